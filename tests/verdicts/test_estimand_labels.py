"""Every output with an interval or a verdict names its estimand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import evals

ITEMS_LIKE_THESE = "about other items like these (items-like-these)"
THESE_ITEMS = "about these items, with new replies (these-items)"
POLICY = '{}[[suite]]\nname = "gpqa:diamond"\nmargin = 0.4\n'


@pytest.fixture
def runs(here: Path) -> Path:
    """Return a folder with two runs and a policy for each estimand."""
    for name, letter in (("a", "A"), ("b", "B")):
        evals("run", "gpqa:diamond", "--sample", "-m", f"scripted:ANSWER: {letter}", "--run", name, "--quiet")
    (here / "like.toml").write_text(POLICY.format(""))
    (here / "these.toml").write_text(POLICY.format('estimand = "these-items"\n'))
    return here


def test_scores_comparisons_gates_and_plans_name_their_estimand(runs: Path) -> None:
    for arguments in (
        ("show",),
        ("show", "a"),
        ("compare", "a", "b"),
        ("gate", "b", "--baseline", "a", "--policy", "like.toml"),
        ("gate", "plan", "like.toml", "--baseline", "a"),
    ):
        assert ITEMS_LIKE_THESE in " ".join(evals(*arguments).out.split()), arguments
    assert "interval: " in evals("show", "a").out
    for arguments in (
        ("compare", "a", "b", "--estimand", "these-items"),
        ("gate", "plan", "these.toml", "--baseline", "a"),
    ):
        assert THESE_ITEMS in " ".join(evals(*arguments).out.split()), arguments


def test_if_the_gate_is_inconclusive_for_lack_of_repeats_the_plan_is_refused(runs: Path) -> None:
    gate = evals("gate", "b", "--baseline", "a", "--policy", "these.toml")
    plan = evals("gate", "plan", "these.toml", "--baseline", "a", "--json")
    assert (gate.status, plan.status) == (3, 2)
    (suite,) = plan.json["suites"]
    assert (suite["passes_unchanged"], suite["estimand"]) == (0.0, "these-items")
    assert "evals gate noise" in plan.json["nearest"][0]


def test_show_prints_items_times_replies_per_item(runs: Path) -> None:
    options = ("--sample", "-m", "scripted:ANSWER: A", "--run", "four", "--repeats", "4", "--quiet")
    evals("run", "gpqa:diamond", *options)
    assert "12 x 4" in evals("show", "four").out
