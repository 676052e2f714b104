"""Sessions that resume or reuse runs: judges, cards, prices, interrupts."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from msgspec import structs

import evals as api
from evals.errors import DataError, Fatal
from evals.labels import STOPPED_EARLY_NOTE
from evals.records.store import Run, write_card
from evals.types import UNKNOWN_FINISH, Prompt, Reply, Sampling, Usage
from tests.support.command import evals

WORDS = (
    "run",
    "gpqa",
    "--sample",
    "--protocol",
    "intern-s1",
    "--run",
    "r",
    "-m",
    "scripted:I would say B, or C.",
)
JUDGE = "scripted:call=tests.support.judges:letter_b"


def run_without_judge(results: Path) -> list[Run]:
    """Create a run whose replies wait for a judge, and return the runs of the folder."""
    card = evals(*WORDS, "--results", results, "--json").json["runs"][0]
    assert card["counts"]["failed:waiting"] > 0
    return [Run(path.parent) for path in results.glob("*/*/*/card.json")]


def test_waiting_replies_are_judged_when_the_run_resumes_with_a_judge(tmp_path: Path) -> None:
    (run,) = run_without_judge(tmp_path)
    card = run.card
    # as if the run had been started with the judge, so that the session below resumes it
    card.config = type(card.config)(
        **{f: getattr(card.config, f) for f in card.config.__struct_fields__} | {"judge": JUDGE}
    )
    write_card(run.path, card)
    outcome = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["runs"][0]["coverage"] == 1.0
    assert outcome.json["runs"][0]["run"] == "r"


def test_a_token_limit_ends_judging_and_a_later_session_completes_it(tmp_path: Path) -> None:
    (run,) = run_without_judge(tmp_path)
    card = run.card
    # as if the run had been started with the judge, so that the session below resumes it
    card.config = type(card.config)(
        **{f: getattr(card.config, f) for f in card.config.__struct_fields__} | {"judge": JUDGE}
    )
    write_card(run.path, card)
    outcome = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--max-total-tokens", 1, "--json")
    assert "--max-total-tokens 1 reached" in outcome.err
    finished = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--json")
    assert finished.json["runs"][0]["coverage"] == 1.0


def test_a_limit_on_the_cost_needs_the_price_of_the_judge(tmp_path: Path) -> None:
    limits = ("--results", tmp_path, "--judge", JUDGE, "--price", "1,1", "--max-cost", 1)
    evals(*WORDS, *limits).assert_usage_error()
    assert evals(*WORDS, *limits, "--judge-price", "0,0").status == 0


def test_a_dry_run_says_that_the_judge_is_not_included(tmp_path: Path) -> None:
    outcome = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--dry-run", "--json")
    assert all("do not include the judge" in row["notes"][-1] for row in outcome.json["dry_run"])
    without_judge = evals(*WORDS, "--results", tmp_path, "--dry-run", "--json")
    assert "judge" not in str([row["notes"] for row in without_judge.json["dry_run"]])


# --- cards of runs that are reused or resumed


class NotedModel:
    """A model that counts its calls, and has a note for the card in its first session."""

    name = "noted"
    accepts: frozenset[str] = frozenset()

    def __init__(self, *notes: str) -> None:
        self.notes = notes

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        return Reply(text="ANSWER: 1", usage=Usage(input=1_000_000, output=0))

    async def close(self) -> None:
        pass


SUITE = api.Suite.of([{"question": f"{n}?", "answer": "1"} for n in range(4)], name="digits")


def test_a_finished_run_that_is_reused_keeps_its_card(tmp_path: Path) -> None:
    path = api.evaluate(SUITE, NotedModel("seed is not sent"), results=tmp_path, quiet=True)[0].path
    before = (path / "card.json").read_bytes()
    assert b"seed is not sent" in before
    api.evaluate(SUITE, NotedModel(), results=tmp_path, quiet=True)
    assert (path / "card.json").read_bytes() == before


def test_a_finished_run_stays_finished_if_another_suite_cannot_be_prepared(tmp_path: Path) -> None:
    (run,) = api.evaluate(SUITE, NotedModel(), results=tmp_path, quiet=True)
    with pytest.raises(DataError):
        api.evaluate(
            [SUITE, "gpqa:diamond"], NotedModel(), results=tmp_path, data=tmp_path / "none", quiet=True
        )
    assert run.card.status == "finished"
    with pytest.raises(DataError):  # nor is a run begun
        api.evaluate(
            [SUITE, "gpqa:diamond"],
            NotedModel(),
            results=tmp_path,
            data=tmp_path / "none",
            quiet=True,
            fresh=True,
        )
    assert len(api.runs(tmp_path)) == 1


def test_two_protocols_of_a_suite_may_share_the_name_of_a_run(tmp_path: Path) -> None:
    other = structs.replace(SUITE, protocol="other")
    for _ in range(2):  # the second time, both are reused
        runs = api.evaluate([SUITE, other], NotedModel(), results=tmp_path, run="x", quiet=True)
        assert [run.path.name for run in runs] == ["x", "x-2"]


def test_a_resumed_run_costs_the_recorded_price_if_none_is_given(tmp_path: Path) -> None:
    limits = {"max_total_tokens": 2_000_000, "concurrency": 1}
    (run,) = api.evaluate(SUITE, NotedModel(), results=tmp_path, quiet=True, price="1,1", **limits)
    assert run.card.cost_usd == 2.0
    api.evaluate(SUITE, NotedModel(), results=tmp_path, quiet=True)
    assert run.card.cost_usd == 4.0


class EndlessModel(NotedModel):
    """A model whose replies have no finish reason."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        return structs.replace(await super().reply(prompt, sampling), finish=f"{UNKNOWN_FINISH}none given")


def test_a_resumed_run_keeps_the_notes_of_its_earlier_sessions(tmp_path: Path) -> None:
    limits = {"max_total_tokens": 2_000_000, "concurrency": 1}
    (run,) = api.evaluate(SUITE, EndlessModel("seed is not sent"), results=tmp_path, quiet=True, **limits)
    first = run.card
    assert [note.partition(":")[0] for note in first.notes] == [
        "seed is not sent",
        "no finish reason for 2 replies",
    ]
    write_card(run.path, structs.replace(first, notes=(*first.notes, STOPPED_EARLY_NOTE)))
    api.evaluate(SUITE, EndlessModel("seed is not sent", "top_k is not sent"), results=tmp_path, quiet=True)
    assert run.card.coverage == 1.0
    assert [note.partition(":")[0] for note in run.card.notes] == [
        "seed is not sent",
        "top_k is not sent",
        "no finish reason for 4 replies",
    ]


class UnavailableModel(NotedModel):
    """A model that rejects the key."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        raise Fatal("HTTP 401")


def test_a_partial_run_is_not_left_running_by_a_session_without_a_reply(tmp_path: Path) -> None:
    limits = {"max_total_tokens": 2_000_000, "concurrency": 1}
    (run,) = api.evaluate(SUITE, NotedModel(), results=tmp_path, quiet=True, **limits)
    assert run.card.status == "partial"
    with pytest.raises(Fatal):
        api.evaluate(SUITE, UnavailableModel(), results=tmp_path, quiet=True)
    assert run.card.status == "partial"
    assert run.card.counts == {"absent": 2, "right": 2}


class UnmeteredModel(NotedModel):
    """A model that reports no token counts."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        return Reply(text="ANSWER: 1")


def test_the_cost_of_replies_without_token_counts_is_unknown(tmp_path: Path) -> None:
    (run,) = api.evaluate(SUITE, UnmeteredModel(), results=tmp_path, quiet=True, price="1,1")
    assert run.card.cost_usd is None


class InterruptingModel(NotedModel):
    """A model that interrupts its process at a given prompt."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        if self._at in str(prompt):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
        return await super().reply(prompt, sampling)


def test_an_interrupt_leaves_completed_runs_finished(tmp_path: Path) -> None:
    other = api.Suite.of([{"question": f"other {n}?", "answer": "1"} for n in range(40)], name="other")
    with pytest.raises(KeyboardInterrupt):
        api.evaluate(
            [SUITE, other], InterruptingModel("other 9?"), results=tmp_path, quiet=True, concurrency=1
        )
    statuses = {card.config.suite: card.status for card in api.runs(tmp_path).cards}
    assert statuses == {"digits": "finished", "other": "interrupted"}
