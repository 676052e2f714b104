"""Gates of a series share one alpha: each new candidate spends a part, a repeated gate spends nothing, and then none is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from evals import api
from evals.errors import UsageError
from evals.verdicts import alpha_spending, policy
from tests.support.command import Outcome, evals
from tests.support.error_messages import raises

POLICY = 'alpha = 0.2\n[series]\nname = "nightly"\ngates = 2\n[[suite]]\nname = "aime:2025"\nmargin = 0.9\n'


@pytest.fixture
def folder(here: Path) -> Path:
    """Return a folder with a policy for a series of two gates, a baseline and three candidates."""
    (here / "policy.toml").write_text(POLICY)
    for name in ("base", "a", "b", "c"):
        outcome = evals(
            "run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", name, "--fresh", "--quiet"
        )
        assert outcome.status == 0
    return here


def gate(candidate: str, *arguments: str) -> Outcome:
    return evals("gate", candidate, "--baseline", "base", "--policy", "policy.toml", *arguments)


def test_two_gates_share_alpha_and_a_third_is_refused(folder: Path) -> None:
    first = gate("a", "--json").json
    assert first["alpha"] == pytest.approx(0.1)
    assert first["level"] == pytest.approx(0.8)
    assert "gate 1 of 2 at alpha 0.1; 0.1 of 0.2 remains" in first["notes"][-1]
    assert "tested before); 0.1 of 0.2 remains" in gate("a").out
    assert "gate 2 of 2 at alpha 0.1; 0 of 0.2 remains" in gate("b").out
    gate("c").assert_usage_error()
    assert gate("b").status == 0
    assert len((folder / "results/series/nightly.jsonl").read_text().splitlines()) == 2
    assert {run["run"] for run in evals("show", "--json").json["runs"]} == {"base", "a", "b", "c"}


def test_a_run_of_the_same_name_with_other_outcomes_spends_alpha(folder: Path) -> None:
    assert "gate 1 of 2" in gate("a").out
    arguments = ("aime:2025", "--sample", "--run", "a", "--results", "tomorrow", "--quiet")
    assert evals("run", *arguments, "-m", "demo:careful").status == 0
    (card,) = (folder / "tomorrow").rglob("card.json")
    assert "gate 2 of 2" in gate(str(card.parent)).out
    assert "tested before" in gate(str(card.parent)).out


def test_a_gate_recorded_by_an_earlier_version_is_recognised_by_its_names(folder: Path) -> None:
    path = folder / "results/series/nightly.jsonl"
    path.parent.mkdir()
    line = {"candidate": "a", "baseline": "base", "alpha": 0.1, "verdict": "pass", "when": 1.0}
    path.write_text(f"{json.dumps(line)}\n")
    assert "tested before" in gate("a").out


def test_gates_that_run_at_the_same_time_do_not_overspend_alpha(folder: Path) -> None:
    rules = policy.read(folder / "policy.toml")
    without_series = structs.replace(rules, series=None)
    reports = [api.gate(name, baseline="base", policy=without_series) for name in ("a", "b", "c")]
    account = alpha_spending.read_account(
        rules, folder / "results"
    )  # read by all three before any is recorded
    assert account is not None
    notes = [alpha_spending.record(account, report, digest="0").notes[-1] for report in reports[:2]]
    assert [note.partition(" at")[0] for note in notes] == [
        "series nightly: gate 1 of 2",
        "series nightly: gate 2 of 2",
    ]
    with raises(UsageError):
        alpha_spending.record(account, reports[2], digest="0")
    assert len(account.path.read_text().splitlines()) == 2


def test_a_malformed_series_file_is_reported_in_one_line_and_not_changed(folder: Path) -> None:
    path = folder / "results/series/nightly.jsonl"
    path.parent.mkdir()
    path.write_text('{"candidate": 1}\n')
    gate("a").assert_usage_error()
    assert path.read_text() == '{"candidate": 1}\n'


def test_a_series_file_that_is_a_symbolic_link_is_refused(folder: Path) -> None:
    (folder / "results/series").mkdir()
    (folder / "elsewhere").write_text("")
    (folder / "results/series/nightly.jsonl").symlink_to(folder / "elsewhere")
    gate("a").assert_usage_error()
    assert (folder / "elsewhere").read_text() == ""


@pytest.mark.parametrize("line", ['name = "../x"\ngates = 2', 'name = "x"\ngates = 0'], ids=["name", "gates"])
def test_invalid_series_are_refused(line: str) -> None:
    text = f'[series]\n{line}\n[[suite]]\nname = "aime"\nmargin = 0.1\n'
    with raises(ValueError):
        policy.parse(text.encode())
