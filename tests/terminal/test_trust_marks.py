"""Promises and challenges in `evals show`: notes in words, symbols with a legend, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.challenge.summary import FILE_NAME, Challenge
from evals.records import store
from evals.terminal.trust_marks import trust_marks
from tests.support.command import evals

POLICY = '[[suite]]\nname = "aime:2025"\nmargin = 0.9\n'


@pytest.fixture
def results(here: Path) -> Path:
    (here / "policy.toml").write_text(POLICY)
    assert evals("gate", "promise", "policy.toml", "promise.json", "--sample", "--seed", "3").status == 0
    for name, options in {
        "kept": ("--promise", "promise.json", "--seed", "3"),
        "broken": ("--promise", "promise.json", "--seed", "4"),
        "plain": (),
    }.items():
        model = f"scripted:{name}"
        assert (
            evals("run", "aime:2025", "--sample", "-m", model, "--quiet", "--run", name, *options).status == 0
        )
    return here / "results"


def write_challenge(results: Path, name: str, **changes: Any) -> None:
    """Write the outcome of a challenge into a run's folder."""
    (run,) = (run for run in store.runs(results) if run.path.name == name)
    config = run.card.config
    outcome = {
        "suite": config.suite, "protocol": config.protocol, "run": name, "claimed": "x", "reader": "hf:x",
        "backend": "transformers 5.2.0", "method": "greedy", "replies": 60, "tokens": 600, "alpha": 0.01, "seed": 0,
        "verdict": "consistent",
    }  # fmt: skip
    (run.path / FILE_NAME).write_text(json.dumps(outcome | changes), encoding="utf-8")


def shown_rows(*arguments: str) -> dict[str, str]:
    """Return the row of each run that `evals show` prints."""
    lines = evals("show", *arguments).out.splitlines()
    return {run: next(line for line in lines if run in line) for run in ("kept", "broken", "plain")}


def test_the_promise_is_shown_with_the_score(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shown_rows()
    assert "promise kept" in rows["kept"]
    assert "promise broken" in rows["broken"]
    assert "promise" not in rows["plain"]
    monkeypatch.setenv("COLUMNS", "80")
    assert shown_rows()["kept"].endswith("S ✓")
    assert "✗: promise broken (preregistered, but not run as promised)" in evals("show").out
    monkeypatch.setenv("COLUMNS", "200")
    pivot = evals("show", "broken", "--pivot").out
    assert "S ✗" in pivot
    assert "✗: promise broken" in pivot


def test_a_challenge_is_not_shown_for_a_run_of_another_model_with_the_same_id(here: Path) -> None:
    for text in ("1", "2"):
        evals("run", "aime:2025", "--sample", "-m", f"scripted:{text}", "--quiet", "--run", text)
    (first, second) = store.runs(here / "results")
    # as if the two models had different names, with one id
    folder = second.path.parent.with_name("other")
    folder.mkdir()
    card = second.card
    card.run, card.model = first.path.name, "other"
    store.write_card(second.path, card)
    second.path.rename(folder / card.run)
    config = first.card.config
    outcome = {
        "suite": config.suite, "protocol": config.protocol, "run": card.run, "claimed": "x", "reader": "hf:x",
        "backend": "transformers 5.2.0", "method": "greedy", "replies": 60, "tokens": 600, "alpha": 0.01, "seed": 0,
        "verdict": "different",
    }  # fmt: skip
    (first.path / FILE_NAME).write_text(json.dumps(outcome), encoding="utf-8")
    lines = evals("show", card.run).out.splitlines()
    (challenged,) = (line for line in lines if "different" in line and "sample items" in line)
    assert challenged.split()[0] == "scripted"


@pytest.mark.parametrize(
    ("verdict", "note", "symbol"),
    [
        ("consistent", "challenged", "●"),
        ("close", "challenged, close", "≈"),
        ("different", "challenge: different", "≠"),
        ("untestable", "challenge: untestable", "○"),
    ],
)
def test_the_challenge_is_shown_with_the_score(
    results: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, note: str, symbol: str
) -> None:
    write_challenge(results, "plain", verdict=verdict, reason="\x1b[31mwhy\x1b]0;x\x07 \u202e<b>")
    rows = shown_rows()
    assert rows["plain"].endswith(f"sample items; {note}")
    assert "challenge" not in rows["kept"] + rows["broken"]
    details = evals("show", "plain").out
    assert f"challenge {verdict} (60 replies tested with hf:x, greedy, alpha 0.01): why <b>" in details
    assert "\x1b]" not in details
    assert "\u202e" not in details
    assert evals("show", "plain", "--json").json["runs"][0]["challenge"]["verdict"] == verdict
    assert evals("show", "kept", "--json").json["runs"][0]["challenge"] is None
    cells = evals("show", "--pivot", "--json").json["cells"]
    assert [note in cell["marks"] for cell in cells] == [cell["runs"] == ["plain"] for cell in cells]
    monkeypatch.setenv("COLUMNS", "80")
    assert shown_rows()["plain"].endswith(f"S {symbol}")


@pytest.mark.parametrize("changes", [{"run": "kept"}, {"suite": "gpqa:diamond"}, {"verdict": "proven"}])
def test_an_outcome_that_does_not_count_has_no_mark(results: Path, changes: dict[str, Any]) -> None:
    write_challenge(results, "plain", **changes)
    assert "challenge" not in shown_rows()["plain"]
    assert "challenge does not count: challenge.json" in evals("show", "plain").out


def test_pooled_runs_have_the_mark_of_the_worst_verdict() -> None:
    def marks(*verdicts: Any) -> list[str]:
        challenges = [
            None if verdict is None else Challenge(suite="s", protocol="p", verdict=verdict)
            for verdict in verdicts
        ]
        return list(trust_marks([], challenges))

    assert marks("consistent", "consistent") == ["●"]
    assert marks("consistent", "close") == ["≈"]
    assert marks("consistent", None) == []
    assert marks("different", None) == ["≠"]
    assert marks("untestable", "close") == ["○"]
    assert marks() == []
