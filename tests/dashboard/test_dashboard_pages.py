"""The logic of the pages sample, compare and suite, each drawn by Streamlit without a browser."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.dashboard_runs import entry, run
from tests.support.hostile import ATTACKS
from tests.support.paths import ROOT

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.dashboard import state
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import compare as pairs
from evals.dashboard.tables import frames
from evals.dashboard.tables import sample as items

Opener: TypeAlias = Callable[..., AppTest]
APP = ROOT / "dashboard" / "app.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    run(folder, "mmlu-pro", "ANSWER: A", "as")
    run(folder, "mmlu-pro", "sometimes", "some")
    run(folder, "mmlu-pro", "attacking", "evil")
    run(folder, "mmlu-pro", "ANSWER: A", "official", "--protocol", "official")
    run(folder, "aime:2025", "sometimes", "repeats", "--repeats", "2")
    run(folder, "gpqa:diamond", "sometimes", "gated")
    run(folder, "gpqa:diamond", "ANSWER: A", "gated-too")
    run(folder, "smolinstruct:FS", "chemist", "chem")
    return folder


@pytest.fixture
def shown(results: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a page at a URL, in a session of its own."""
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
    return opened


def opened(page: str, *, chosen: int | None = None, **params: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    app.switch_page(state.PAGES[page][0]).run()  # which forgets the parameters
    for name, value in params.items():
        app.query_params[name] = value
    if chosen is not None:
        app.session_state["flips"] = {"selection": {"rows": [chosen], "columns": [], "cells": []}}
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    """All words of a page, as a reader sees them."""
    parts = [
        *app.title,
        *app.header,
        *app.markdown,
        *app.caption,
        *app.info,
        *app.warning,
        *app.error,
        *app.code,
    ]
    words = "\n".join(str(part.value) for part in parts)
    return html.unescape(words).replace(safe.JOINER, "")


@pytest.mark.parametrize("page", ["sample", "compare", "suite"])
def test_an_empty_folder_says_what_to_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(tmp_path))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.switch_page(state.PAGES[page][0]).run()
    assert not app.exception
    assert app.info
    assert app.code[0].value.startswith("evals run ")


# --- sample


def test_a_sample_shows_prompt_reply_answer_gold_and_why(shown: Opener, results: Path) -> None:
    one = entry(results, "some", "mmlu-pro")
    listed = items.filter_listing(items.listing([one]), outcomes={0: "wrong"})
    app = shown("sample", run="some", suite="mmlu-pro", verdict="wrong")
    item = items.item(one, listed["sample"][0])
    assert item is not None
    assert item.reply is not None
    text = said(app)
    assert f"1 of {len(listed)} matches, of {one.card.expected}" in text
    assert item.prompt_text.splitlines()[0] in text
    assert item.reply.text.splitlines()[-1].strip() in text
    assert ":green-badge[gold]" in text
    assert ":orange-badge[wrong]" in text
    assert any(box.label.startswith("Reasoning") for box in app.expander)


@pytest.mark.slow
def test_the_way_goes_through_the_filter_and_stays_in_the_url(shown: Opener, results: Path) -> None:
    wrong = items.filter_listing(items.listing([entry(results, "as", "mmlu-pro")]), outcomes={0: "wrong"})
    names = wrong["sample"].tolist()
    app = shown("sample", run="as", suite="mmlu-pro", verdict="wrong")
    assert app.header[0].value.startswith(names[0])
    app.button(key="step-N").click().run()
    assert app.query_params["sample"] in (names[1], [names[1]])
    assert app.header[0].value.startswith(names[1])
    again = shown("sample", run="as", suite="mmlu-pro", verdict="wrong", sample=names[1])
    assert again.header[0].value == app.header[0].value
    again.button(key="step-P").click().run()
    assert again.header[0].value.startswith(names[0])
    assert again.button(key="step-P").disabled


@pytest.mark.slow
def test_a_sample_that_is_not_there_says_so(shown: Opener) -> None:
    app = shown("sample", run="as", suite="mmlu-pro", sample="<b>none</b>", repeat="x")
    assert "There is no sample <b>none</b> in this run." in said(app)


@pytest.mark.slow
def test_runs_stand_side_by_side_with_what_differs_marked(shown: Opener) -> None:
    app = shown("sample", run="as", suite="mmlu-pro", beside="some", differ="true")
    text = said(app)
    assert "-background[" in text
    assert text.count("Prompt as sent") == 1
    assert app.multiselect[0].value == ["some"]


@pytest.mark.slow
def test_repeats_are_walked_one_by_one(shown: Opener) -> None:
    app = shown("sample", run="repeats", suite="aime:2025")
    first = app.header[0].value
    app.button(key="step-N").click().run()
    assert "repeat 0" in first
    assert app.header[0].value == first.replace("repeat 0", "repeat 1")


def test_of_a_gated_suite_only_ids_and_verdicts_are_shown(shown: Opener, results: Path) -> None:
    one = entry(results, "gated")
    from evals.records.store import Run

    record = next(iter(Run(one.path).records()))
    app = shown("sample", run="gated", suite="gpqa:diamond", beside="gated-too")
    text = said(app)
    assert "gated" in text
    assert "badge[" in text
    for line in str(record.prompt.messages[0].parts[0].text).splitlines():
        assert len(line) < 8 or line not in text
    assert not app.expander
    assert not app.code


def test_molecules_are_drawn_with_their_likeness(shown: Opener) -> None:
    app = shown("sample", run="chem", suite="smolinstruct:FS")
    assert [metric.label for metric in app.metric] == [
        "Tanimoto, Morgan, radius 2", "Tanimoto, RDKit paths", "Tanimoto, MACCS keys"
    ]  # fmt: skip
    assert "the largest common substructure, 7 atoms" in said(app)
    assert len(app.get("image")) == 4  # answer, gold, and the reaction with either


def test_no_attack_is_more_than_words_in_any_element(shown: Opener) -> None:
    app = shown("sample", run="evil", suite="mmlu-pro")
    raw = "\n".join(str(part.value) for part in (*app.markdown, *app.caption, *app.header))
    for name in ("evil.example", "owned()", "<script", "](http", "$\\href"):
        assert name not in raw
    assert "evil.example/bare" in said(app)
    assert not [one for one in app.markdown if one.allow_html and "evil" in one.value]
    assert all(
        attack.splitlines()[0][:20] in said(app) for name, attack in ATTACKS.items() if name == "script"
    )


# --- compare


def test_two_runs_are_compared_in_numbers_quadrants_and_flips(shown: Opener, results: Path) -> None:
    app = shown("compare", runs=["as", "some"])
    table, *_, flips = (one.value for one in app.dataframe)
    assert list(table["suite"]) == ["mmlu-pro · strict · sample items"]
    assert {"A", "B", "B − A", "95 % interval", "p (Holm)", "n", "coverage"} <= set(table)
    assert [metric.label for metric in app.metric][:4] == ["both right", "only A", "only B", "neither"]
    total = sum(int(metric.value) for metric in app.metric)
    assert total == entry(results, "as").card.expected
    assert "Tango" in said(app)
    assert len(flips) == sum(int(metric.value) for metric in app.metric[1:3])


@pytest.mark.slow
def test_a_flip_filter_is_in_the_url(shown: Opener) -> None:
    app = shown("compare", runs=["as", "some"], flip="only B")
    flips = app.dataframe[-1].value
    assert set(flips["B"]) == {"right"}
    assert "right" not in set(flips["A"])


@pytest.mark.slow
def test_a_chosen_flip_opens_side_by_side(shown: Opener) -> None:
    app = shown("compare", runs=["as", "some"], chosen=0)
    assert "only in this reply" in said(app)


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused_with_the_reason(shown: Opener) -> None:
    app = shown("compare", runs=["as", "official"])
    assert [box.label for box in app.expander] == ["Not comparable: 1 suite"]
    assert "protocol differs: strict (A) and official (B)" in said(app)
    assert not app.metric
    app = shown("compare", runs=["as", "chem"])
    assert "no suite in common" in said(app)


@pytest.mark.slow
def test_three_runs_are_compared_pair_by_pair(shown: Opener) -> None:
    app = shown("compare", runs=["as", "some", "evil"], pair="B → C")
    assert set(app.dataframe[0].value["pair"]) == {"A → B", "A → C", "B → C"}
    assert [metric.label for metric in app.metric][1:3] == ["only B", "only C"]


@pytest.mark.slow
def test_gated_runs_are_compared_without_answers(shown: Opener) -> None:
    app = shown("compare", runs=["gated", "gated-too"])
    assert not {"answer of A", "answer of B"} & set(app.dataframe[-1].value)


@pytest.mark.slow
def test_one_run_is_not_enough(shown: Opener) -> None:
    app = shown("compare", runs=["as"])
    assert "Select two to four" in said(app)


# --- suite


def test_a_suite_shows_groups_lengths_and_hard_items(shown: Opener, results: Path) -> None:
    app = shown("suite", run="some", suite="mmlu-pro")
    assert [one.value for one in app.header] == [
        "Groups", "Difficulty and length", "Missing outcomes", "Items that all models get wrong"
    ]  # fmt: skip
    groups = app.dataframe[0].value
    assert groups["n"].sum() == entry(results, "some", "mmlu-pro").card.expected
    assert "This needs comparable runs" in said(app)


@pytest.mark.slow
def test_no_page_draws_another_page_first(shown: Opener) -> None:
    """A page is drawn when its file is run: a page that imports another page's file would draw it."""
    import ast

    for path in (ROOT / "dashboard" / "views").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "evals.dashboard.views":
                assert {name.name for name in node.names} <= {"pickers", "replies", "drawings"}, path
            assert not (
                isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evals.dashboard.views.")
            )


@pytest.mark.slow
def test_compare_opens_on_the_largest_difference(shown: Opener, results: Path) -> None:
    index = frames.index(results)
    known = pairs.candidates(index)
    several = pairs.matches([known["as"], known["some"]])
    rows = pairs.compare_headlines(several)
    order = pairs.order_by_size(rows)
    sizes = [abs(rows[i].difference or 0.0) for i in order if pairs.better_side(rows[i]) != "n.s."]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
def test_runs_are_filtered(shown: Opener) -> None:
    app = shown("runs", on="aime:2025")
    assert set(app.dataframe[0].value["suite"]) == {"aime:2025"}
    assert "1 of 8 runs" in said(app)


@pytest.mark.slow
def test_a_suite_of_errors_names_its_unit(shown: Opener, results: Path) -> None:
    app = shown("suite", run="chem", suite="smolinstruct:FS")
    assert "Bundled sample items: not a benchmark score." in said(app)
    assert "This suite has no groups" in said(app)


@pytest.mark.slow
def test_a_broken_run_is_one_line(
    shown: Opener, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    (entry(folder, "as", "mmlu-pro").path / "records.parquet").write_bytes(b"not a table")
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(folder))
    for page in ("sample", "suite"):
        app = opened(page, run="as", suite="mmlu-pro")
        assert "cannot be read" in said(app)
    assert "Run as cannot be read" in said(opened("compare", runs=["as", "some"]))


# --- quick enough


@pytest.mark.alone
@pytest.mark.slow
def test_large_runs_open_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    """12,032 samples, replies of a kilobyte: a sample in a second, a comparison in two, each page's second time."""
    from tests.support.dashboard_runs import write_large_run

    folder = tmp_path / "results"
    for name in ("one", "two"):
        write_large_run(folder, name, like=entry(results, "as", "mmlu-pro"), samples=12_032)
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(folder))
    for page, params, limit_s in (
        ("sample", {"run": "one", "suite": "mmlu-pro", "verdict": "wrong"}, 1.0),
        ("compare", {"runs": ["one", "two"]}, 2.0),
    ):
        app = opened(page, **params)  # imports
        for cached in (
            pairs._suite_run,
            pairs._pairing,
            pairs._headline_row,
            pairs._compare_groups,
            pairs._pair_samples,
            frames._query,
        ):
            cached.cache_clear()
        began = time.process_time()
        app.run()
        assert time.process_time() - began < limit_s  # of processor time: the machine may be busy
        assert not app.exception
