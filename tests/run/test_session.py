"""Replies that wait for a judge are scored when the run resumes with a judge, within the limit on tokens."""

from __future__ import annotations

from pathlib import Path

from evals.records.store import Run
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
    from evals.records.store import write_card

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
    from evals.records.store import write_card

    write_card(run.path, card)
    outcome = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--max-total-tokens", 1, "--json")
    assert "--max-total-tokens 1 reached" in outcome.err
    finished = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--json")
    assert finished.json["runs"][0]["coverage"] == 1.0
