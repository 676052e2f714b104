"""What is scored again on resume, and at whose expense."""

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


def waiting(results: Path) -> list[Run]:
    """A run whose replies wait for a judge that a later session brings."""
    found = evals(*WORDS, "--results", results, "--json").json["runs"][0]
    assert found["counts"]["failed:waiting"] > 0
    return [Run(path.parent) for path in results.glob("*/*/*/card.json")]


def test_planning_asks_no_judge_and_the_run_does(tmp_path: Path) -> None:
    (run,) = waiting(tmp_path)
    card = run.card
    card.config = type(card.config)(
        **{f: getattr(card.config, f) for f in card.config.__struct_fields__} | {"judge": JUDGE}
    )
    from evals.records.store import write_card

    write_card(run.path, card)
    found = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--json")
    assert found.status == 0, found.err
    assert found.json["runs"][0]["coverage"] == 1.0
    assert found.json["runs"][0]["run"] == "r"


def test_a_budget_ends_scoring_again(tmp_path: Path) -> None:
    (run,) = waiting(tmp_path)
    card = run.card
    card.config = type(card.config)(
        **{f: getattr(card.config, f) for f in card.config.__struct_fields__} | {"judge": JUDGE}
    )
    from evals.records.store import write_card

    write_card(run.path, card)
    found = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--max-total-tokens", 1, "--json")
    assert "--max-total-tokens 1 reached" in found.err
    finished = evals(*WORDS, "--results", tmp_path, "--judge", JUDGE, "--json")
    assert finished.json["runs"][0]["coverage"] == 1.0
