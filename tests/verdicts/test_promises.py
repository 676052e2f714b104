"""Preregistration: a promise file written before a run is kept or broken, which show, gate and bundle verify report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.records import store
from evals.records.promise import promise_status
from tests.support.command import Outcome, evals

POLICY = '[[suite]]\nname = "aime:2025"\nmargin = 0.9\n'


@pytest.fixture
def folder(here: Path) -> Path:
    """Return a folder with a policy and a promise of seed 3."""
    (here / "policy.toml").write_text(POLICY)
    assert evals("gate", "promise", "policy.toml", "promise.json", "--sample", "--seed", "3").status == 0
    return here


def run(*arguments: str) -> Outcome:
    fixed = ("aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--quiet", "--promise", "promise.json")
    return evals("run", *fixed, *arguments)


def gate(*arguments: str) -> Outcome:
    return evals("gate", "new", "--baseline", "new", "--policy", "policy.toml", *arguments)


def test_a_kept_promise_is_reported_until_the_policy_changes(folder: Path) -> None:
    assert run("--seed", "3", "--run", "new").status == 0
    assert "promise kept" in evals("show", "new").out
    assert evals("show", "new", "--json").json["runs"][0]["promise"] == "kept"
    assert "aime:2025: promise kept" in gate("--json").json["notes"]
    assert evals("bundle", "new", "b.zip").status == 0
    assert "promise kept" in evals("bundle", "verify", "b.zip").out
    (folder / "policy.toml").write_text("# a comment changes nothing\n" + POLICY)
    assert "aime:2025: promise kept" in gate("--json").json["notes"]
    (folder / "policy.toml").write_text(POLICY.replace("0.9", "0.95"))
    assert "aime:2025: promise broken: the policy changed" in gate("--json").json["notes"]


@pytest.mark.parametrize(
    ("arguments", "change"),
    [
        (("--seed", "4"), "seed is 4, not 3"),
        (("--seed", "3", "--limit", "2"), "limit is 2, not none"),
        (("--seed", "3", "--repeats", "2", "--temperature", "1"), "repeats is 2, not"),
        (("--seed", "3", "--protocol", "official"), "aime:2025 (official) is not part of the promise"),
    ],
)
def test_a_broken_promise_is_reported_with_what_changed(
    folder: Path, arguments: tuple[str, ...], change: str
) -> None:
    assert run(*arguments, "--run", "new").status == 0
    assert evals("show", "new", "--json").json["runs"][0]["promise"].startswith(f"broken: {change}")


def test_a_promise_made_after_the_run_is_broken(folder: Path) -> None:
    assert (
        evals(
            "run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", "new", "--seed", "3"
        ).status
        == 0
    )
    (card,) = [stored.card for stored in store.runs(folder / "results")]
    assert promise_status(card) == "none"
    (folder / "promise.json").unlink()
    assert evals("gate", "promise", "policy.toml", "promise.json", "--sample", "--seed", "3").status == 0
    assert run("--seed", "3", "--run", "new").status == 0
    (card,) = [stored.card for stored in store.runs(folder / "results")]
    assert "the promise was made after the run began" in promise_status(card)


def test_invalid_promises_are_reported_in_one_line(folder: Path) -> None:
    evals("gate", "promise", "policy.toml", "promise.json", "--sample").assert_usage_error()
    evals("gate", "promise", "policy.toml", "other.json", "--sample", "--suites", "gpqa").assert_usage_error()
    for content in (
        "",
        "[]",
        '{"made": "x"}',
        json.dumps({"format": 9, "made": 1, "policy_sha256": "", "suites": []}),
    ):
        (folder / "promise.json").write_text(content)
        run("--run", "x").assert_usage_error()
