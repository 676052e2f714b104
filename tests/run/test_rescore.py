"""Stored replies are scored again without the model, the prompts or the data set, and the changed scores are listed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from evals.records.store import Run
from evals.records.writer import Writer
from evals.run.rescore import Change, rescore, store_final_metrics
from evals.suite import Suite
from evals.types import Failure, Prompt, Reply, Sample, Score
from tests.support import toy


def fail_if_called(*_: object, **__: object) -> object:
    raise AssertionError("scoring again needs neither data nor prompts")


def other_rule(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
    """Grade the replies as right that the old rule grades as wrong."""
    right = reply.text.strip() != sample.target
    return Score(value=float(right), verdict="right" if right else "wrong", answer=reply.text.strip())


def suite(scorer: object, **changes: object) -> Suite:
    return toy.suite(samples=fail_if_called, prompter=fail_if_called, scorers={"exact": scorer}, **changes)


@pytest.fixture(params=[True, False], ids=["finalized", "open"])
def writer(tmp_path: Path, request: pytest.FixtureRequest) -> Writer:
    """The writer of a run of four samples: three replies, of which one is wrong, and a failure."""
    run_writer = toy.writer(tmp_path / "run")
    run_writer.write_samples(toy.samples(4))
    for record in (
        toy.record("q000"),
        toy.record("q001"),
        toy.record("q002", text="B", value=0.0),
        toy.failed_record("q003"),
    ):
        run_writer.append(record)
    if request.param:
        run_writer.finalize()
    return run_writer


def scores(writer: Writer) -> dict[str, object]:
    return {r.sample: r.scores.get("exact") for r in Run(writer.path).records()}


def test_the_same_rule_changes_nothing(writer: Writer) -> None:
    before = list(Run(writer.path).records())
    assert rescore(writer, suite(toy.Exact())) == []
    assert list(Run(writer.path).records()) == before
    writer.close()


def test_another_rule_changes_the_scores_and_lists_the_samples(writer: Writer) -> None:
    changes = rescore(writer, suite(other_rule))
    assert changes == [
        Change(id="q000", repeat=0, before="right (A)", after="wrong (A)"),
        Change(id="q001", repeat=0, before="right (A)", after="wrong (A)"),
        Change(id="q002", repeat=0, before="wrong (B)", after="right (B)"),
    ]
    summary = store_final_metrics(writer, suite(other_rule))
    assert summary.counts == {"failed:serverfault": 1, "right": 1, "wrong": 2}
    assert writer.card.scorers == {"exact": "other_rule@1"}
    assert (writer.card.coverage, writer.card.expected) == (0.75, 4)
    writer.close()


def test_replies_and_failures_stay_as_they_were(writer: Writer) -> None:
    before = [(r.sample, r.prompt, r.outcome, r.started) for r in Run(writer.path).records()]
    rescore(writer, suite(other_rule))
    writer.finalize()
    assert [(r.sample, r.prompt, r.outcome, r.started) for r in Run(writer.path).records()] == before
    writer.close()


def test_a_rule_that_crashes_leaves_a_failure_and_keeps_the_reply(writer: Writer) -> None:
    def crash(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        raise KeyError(sample.id)

    changes = rescore(writer, suite(crash))
    assert [c.after for c in changes] == ["no score"] * 3
    assert scores(writer)["q000"] == Failure(stage="scorer", kind="crash", message="KeyError: 'q000'")
    assert all(isinstance(r.outcome, Reply) for r in Run(writer.path).records() if r.sample != "q003")
    writer.close()


def test_another_reason_for_the_same_score_is_stored_but_not_listed(writer: Writer) -> None:
    def rule_with_reason(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        return structs.replace(toy.Exact()(sample, prompt, reply), why="because")

    assert rescore(writer, suite(rule_with_reason)) == []
    assert scores(writer)["q000"].why == "because"
    writer.close()


def test_an_asynchronous_scorer_is_awaited(writer: Writer) -> None:
    async def judge(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        await asyncio.sleep(0)
        return other_rule(sample, prompt, reply)

    assert len(rescore(writer, suite(judge))) == 3
    writer.close()


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_reply_to_an_unknown_sample_is_not_scored_again(writer: Writer, *, is_slow: bool) -> None:
    async def slow_rule(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        return other_rule(sample, prompt, reply)

    unknown = toy.record("q999")
    writer.append(unknown)
    assert len(rescore(writer, suite(slow_rule if is_slow else other_rule))) == 3
    assert unknown in list(Run(writer.path).records())
    writer.close()


def test_scoring_again_does_not_need_the_question(writer: Writer) -> None:
    def check_sample(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        assert sample.question == ()
        assert sample.choices == ("yes", "no")
        return toy.Exact()(sample, prompt, reply)

    assert rescore(writer, suite(check_sample)) == []
    writer.close()


def test_final_metrics_are_stored_on_the_card(writer: Writer) -> None:
    store_final_metrics(writer, suite(toy.Exact()))
    writer.write_card()
    card = Run(writer.path).card
    assert card.counts == {"failed:serverfault": 1, "right": 2, "wrong": 1}
    assert card.tokens == {"input": 9, "output": 6}
    headline = next(e for e in card.estimates if e.headline)
    assert (headline.value, headline.worst, headline.best) == (pytest.approx(2 / 3), 0.5, 0.75)
    writer.close()
