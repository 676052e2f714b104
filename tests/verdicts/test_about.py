"""Every place that states an interval or a verdict says what it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import evals

LIKE = "about other items like these (items-like-these)"
THESE = "about these items, with new replies (these-items)"
POLICY = '{}[[suite]]\nname = "gpqa:diamond"\nmargin = 0.4\n'


@pytest.fixture
def runs(here: Path) -> Path:
    for name, letter in (("a", "A"), ("b", "B")):
        evals("run", "gpqa:diamond", "--sample", "-m", f"scripted:ANSWER: {letter}", "--run", name, "--quiet")
    (here / "like.toml").write_text(POLICY.format(""))
    (here / "these.toml").write_text(POLICY.format('estimand = "these-items"\n'))
    return here


def test_scores_comparisons_gates_and_plans_name_their_estimand(runs: Path) -> None:
    for words in (
        ("show",),
        ("show", "a"),
        ("compare", "a", "b"),
        ("gate", "b", "--baseline", "a", "--policy", "like.toml"),
        ("gate", "plan", "like.toml", "--baseline", "a"),
    ):
        assert LIKE in " ".join(evals(*words).out.split()), words
    assert "interval: " in evals("show", "a").out
    for words in (
        ("compare", "a", "b", "--estimand", "these-items"),
        ("gate", "plan", "these.toml", "--baseline", "a"),
    ):
        assert THESE in " ".join(evals(*words).out.split()), words


def test_a_plan_does_not_promise_what_the_gate_cannot_tell(runs: Path) -> None:
    judged = evals("gate", "b", "--baseline", "a", "--policy", "these.toml")
    planned = evals("gate", "plan", "these.toml", "--baseline", "a", "--json")
    assert (judged.status, planned.status) == (3, 2)
    (suite,) = planned.json["suites"]
    assert (suite["passes_unchanged"], suite["estimand"]) == (0.0, "these-items")
    assert "evals gate noise" in planned.json["nearest"][0]


def test_items_are_counted_with_the_replies_to_each(runs: Path) -> None:
    evals(
        "run",
        "gpqa:diamond",
        "--sample",
        "-m",
        "scripted:ANSWER: A",
        "--run",
        "four",
        "--repeats",
        "4",
        "--quiet",
    )
    assert "12 x 4" in evals("show", "four").out
