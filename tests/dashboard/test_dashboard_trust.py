"""Promises and challenges shown with scores: leaderboard, history, compare, suite, runs, downloads and the exported page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.support.paths import ROOT

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.challenge.summary import FILE_NAME
from evals.dashboard import downloads, export, state
from evals.dashboard.tables import frames
from evals.dashboard.tables.leaderboard import build
from evals.dashboard.untrusted.text import JOINER
from evals.records import store
from evals.records.card import Card, Promise, PromisedSuite
from tests.support import synthetic_results

pytestmark = pytest.mark.slow  # rendering a page takes about a second

HOSTILE = "\x1b[31m<script>alert(1)</script> **bold** $x$ [a](javascript:b)"


def promise_of(card: Card, **changes: Any) -> Promise:
    """Return a promise that the run kept, unless `changes` contradict its configuration."""
    config = card.config
    fields = ("suite", "protocol", "version", "data_sha256", "seed", "repeats", "limit", "judge")
    plan = PromisedSuite(**{name: getattr(config, name) for name in fields} | changes)
    return Promise(made=card.started - 1, policy_sha256="0" * 64, suites=(plan,))


def write_challenge(path: Path, card: Card, **changes: Any) -> None:
    config = card.config
    outcome = {
        "suite": config.suite, "protocol": config.protocol, "run": card.run, "claimed": "x", "reader": "hf:x",
        "backend": "transformers 5.2.0", "method": "greedy", "replies": 60, "tokens": 600, "alpha": 0.01, "seed": 0,
        "verdict": "consistent", "reason": HOSTILE,
    }  # fmt: skip
    (path / FILE_NAME).write_text(json.dumps(outcome | changes), encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five runs with different marks, and return the folder.

    The first kept its promise, and its challenge is consistent; the second broke it, and the verdict is `different`; the
    third has an untestable challenge, the fourth the outcome of another run, and the fifth has neither.
    """
    folder = tmp_path_factory.mktemp("trust") / "results"
    synthetic_results.write_checkpoints(folder, count=5, samples=60)
    first, second, third, fourth = (run.path for run in store.runs(folder)[:4])
    cards = {path: store.read_card(path) for path in (first, second, third, fourth)}
    store.write_card(first, structs.replace(cards[first], promise=promise_of(cards[first])))
    store.write_card(second, structs.replace(cards[second], promise=promise_of(cards[second], seed=9)))
    write_challenge(first, cards[first])
    write_challenge(second, cards[second], verdict="different")
    write_challenge(third, cards[third], verdict="untestable")
    write_challenge(fourth, cards[fourth], run="another")
    return folder


@pytest.fixture
def open_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))

    def open_in_session(name: str, **params: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60)
        if name != "leaderboard":
            app.run()
            app.switch_page(state.PAGES[name][0])
        for param, value in params.items():
            app.query_params[param] = value
        app.run()
        assert not app.exception
        return app

    return open_in_session


def captions(app: AppTest) -> str:
    text = "\n".join(str(part.value) for part in app.caption).replace(JOINER, "")
    for character in "-/.,;:()":
        text = text.replace(f"&#{ord(character)};", character)
    return text


def entries(results: Path) -> dict[str, frames.Entry]:
    """Return verdict of the challenge, or reason why it does not count -> run."""
    return {
        entry.challenge.valid_verdict or entry.challenge.fault: entry
        for entry in frames.index(results).entries
        if entry.challenge is not None
    }


def test_marks_are_shown_in_cells_and_explained_in_the_legend(
    results: Path, open_page: Callable[..., AppTest]
) -> None:
    board = build(frames.index(results).entries)
    marks = {row.model: "".join(cell.marks) for (row, _), cell in board.cells.items()}
    by_verdict = {verdict: marks[entry.card.model] for verdict, entry in entries(results).items()}
    assert by_verdict == {
        "consistent": "✓●", "different": "✗≠", "untestable": "○", f"{FILE_NAME} belongs to another run": "",
    }  # fmt: skip
    legend = captions(open_page("leaderboard"))
    for explanation in (
        "**✓** promise kept",
        "**✗** promise broken",
        "**●** challenged",
        "**≠** challenge: different",
    ):
        assert explanation in legend


def test_history_and_compare_show_the_marks(results: Path, open_page: Callable[..., AppTest]) -> None:
    different_card, consistent_card = (
        entries(results)[verdict].card for verdict in ("different", "consistent")
    )
    page = open_page("history", model="intern/step-")
    marks = page.dataframe[0].value.set_index("run")["marks"]
    assert (marks[different_card.run], marks[consistent_card.run]) == ("✗≠", "✓●")
    page.query_params["runs"] = [consistent_card.run, different_card.run]
    page.switch_page(state.PAGES["compare"][0]).run()
    (row,) = page.dataframe[0].value.to_dict("records")
    assert (row["A"].split()[-1], row["B"].split()[-1]) == ("✓●", "✗≠")
    for text in (captions(open_page("history", model="intern/step-")), captions(page)):
        assert "**✗** promise broken" in text
        assert "**≠** challenge: different" in text


def test_pages_without_marks_have_no_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic_results.write_checkpoints(tmp_path, count=2, samples=60)
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(tmp_path))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60).run()
    for name in ("history", "compare"):
        app.switch_page(state.PAGES[name][0]).run()
        assert "marks" not in app.dataframe[0].value
        assert "Marks:" not in captions(app)


def test_details_of_a_score_state_the_broken_promise_and_the_challenge(
    results: Path, open_page: Callable[..., AppTest]
) -> None:
    entry = entries(results)["different"]
    board = build(frames.index(results).entries)
    label = next(name for row, name in board.cells if row.model == entry.card.model)
    text = captions(open_page("leaderboard", model=entry.card.model, column=label))
    assert "Promise broken: seed is" in text
    assert "challenge different (60 replies tested with hf:x, greedy, alpha 0.01)" in text


@pytest.mark.parametrize("page", ["suite", "runs"])
def test_details_of_a_run_state_the_challenge_as_plain_text(
    results: Path, open_page: Callable[..., AppTest], page: str
) -> None:
    entry = entries(results)["untestable"]
    text = captions(open_page(page, run=entry.card.run, suite=entry.card.config.suite))
    assert "Challenge untestable" in text
    for markup in ("<script>", "**bold**", "\x1b", "$x$", "[a]("):
        assert markup not in text
    entry_with_fault = entries(results)[f"{FILE_NAME} belongs to another run"]
    text = captions(open_page(page, run=entry_with_fault.card.run, suite=entry_with_fault.card.config.suite))
    assert f"Challenge does not count: {FILE_NAME} belongs to another run" in text


def test_the_list_of_runs_has_columns_of_promises_and_challenges_only_if_needed(
    results: Path, open_page: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_page("runs").dataframe[0].value
    assert sorted(table["promise"].dropna()) == ["broken", "kept"]
    assert sorted(table["challenge"].dropna()) == ["consistent", "different", "untestable"]
    synthetic_results.write_checkpoints(tmp_path / "plain", count=1, samples=20)
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(tmp_path / "plain"))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60).run()
    assert "promise" not in captions(app).casefold()
    app.switch_page(state.PAGES["runs"][0]).run()
    assert not {"promise", "challenge"} & set(app.dataframe[0].value)


def test_downloads_and_the_exported_page_contain_promises_and_challenges(
    results: Path, tmp_path: Path
) -> None:
    board = build(frames.index(results).entries)
    table = downloads.tidy_table(board, board.rows, list(board.columns))
    assert sorted(table["promise"]) == ["broken", "kept", "none", "none", "none"]
    assert sorted(table["challenge"].dropna()) == ["consistent", "different", "untestable"]
    export.export(results, tmp_path / "export", samples=0)
    page = (tmp_path / "export" / "index.html").read_text()
    assert "● challenged (the replies were tested with the claimed model" in page
    assert "✗≠" in page
    assert "<script>alert" not in page


def test_a_new_challenge_appears_in_the_index(tmp_path: Path) -> None:
    synthetic_results.write_checkpoints(tmp_path, count=1, samples=20)
    (entry,) = frames.index(tmp_path).entries
    assert entry.challenge is None
    write_challenge(entry.path, entry.card, verdict="close")
    (entry,) = frames.index(tmp_path).entries
    assert entry.challenge is not None
    assert entry.challenge.valid_verdict == "close"
