"""The pages sample, compare, suite and runs, rendered by Streamlit's test harness without a browser."""

from __future__ import annotations

import html
from collections.abc import Callable
from operator import is_
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support import synthetic_results
from tests.support.cpu_time import assert_cpu_time
from tests.support.dashboard_runs import entry, run
from tests.support.hostile import ATTACKS
from tests.support.paths import ROOT

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.dashboard import state
from evals.dashboard.tables import compare as pairs
from evals.dashboard.tables import frames
from evals.dashboard.tables import sample as items
from evals.dashboard.untrusted.text import JOINER

PageOpener: TypeAlias = Callable[..., AppTest]
APP = ROOT / "dashboard" / "app.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "results"
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
def open_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> PageOpener:
    """Return a function that opens a page with query parameters, in a session of its own."""
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
    return open_in_session


def open_in_session(page: str, *, selected_row: int | None = None, **params: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    app.switch_page(state.PAGES[page][0]).run()  # removes the parameters
    for name, value in params.items():
        app.query_params[name] = value
    if selected_row is not None:
        app.session_state["flips"] = {"selection": {"rows": [selected_row], "columns": [], "cells": []}}
    app.run()
    assert not app.exception
    return app


def text_of(app: AppTest) -> str:
    """Return the text of a page as a reader sees it."""
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
    text = "\n".join(str(part.value) for part in parts)
    return html.unescape(text).replace(JOINER, "")


@pytest.mark.slow
def test_runs_of_two_models_with_one_id_are_selected_and_compared_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results"
    synthetic_results.write_checkpoints(folder, count=3, samples=20)
    for run_entry in frames.index(folder).entries:
        if run_entry.card.config.version == "1":  # the last one has another version of the suite
            model = f"{'x' * 50}/{run_entry.card.model}"
            synthetic_results.update_card(run_entry.path, run="v1", model=model)
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(folder))
    index = frames.index(folder)
    assert frames.index(folder).entries == index.entries
    assert all(map(is_, frames.index(folder).entries, index.entries))
    runs = [run_entry for run_entry in index.entries if run_entry.card.run == "v1"]
    names = [f"v1 ({run_entry.card.model})" for run_entry in runs]
    assert [run_entry.name for run_entry in runs] == names
    assert [index.find(name) for name in (*names, "v1")] == [*runs, runs[1]]
    suite = runs[0].card.config.suite
    for name in names:
        for page in ("suite", "sample"):
            selection = open_in_session(page, run=name, suite=suite).selectbox(key="pick-run")
            assert (selection.value, len(selection.options)) == (name, 3)
        assert f"by {name[4:-1]}" in text_of(open_in_session("runs", run=name, suite=suite))
    app = open_in_session("sample", run=names[0], suite=suite, beside=names[1])
    assert all(run_entry.card.model in text_of(app) for run_entry in runs)
    candidates = pairs.candidates(index)
    assert [candidates[name] for name in names] == [(run_entry,) for run_entry in runs]
    app = open_in_session("compare", runs=names)
    outcomes = next(table.value for table in app.dataframe if "right" in table.value.index)
    assert [column[0] for column in outcomes.columns] == ["A", "B"]
    assert outcomes.sum().tolist() == [20, 20]


@pytest.mark.parametrize("page", ["sample", "compare", "suite"])
def test_pages_of_an_empty_folder_show_a_command_to_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(tmp_path))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.switch_page(state.PAGES[page][0]).run()
    assert not app.exception
    assert app.info
    assert app.code[0].value.startswith("evals run ")


# --- sample


def test_a_sample_is_shown_with_prompt_reply_answer_gold_and_reasoning(
    open_page: PageOpener, results: Path
) -> None:
    run_entry = entry(results, "some", "mmlu-pro")
    wrong = items.filter_listing(items.listing([run_entry]), outcomes={0: "wrong"})
    app = open_page("sample", run="some", suite="mmlu-pro", verdict="wrong")
    item = items.item(run_entry, wrong["sample"][0])
    assert item is not None
    assert item.reply is not None
    text = text_of(app)
    assert f"1 of {len(wrong)} matches, of {run_entry.card.expected}" in text
    assert item.prompt_text.splitlines()[0] in text
    assert item.reply.text.splitlines()[-1].strip() in text
    assert ":green-badge[gold]" in text
    assert ":orange-badge[wrong]" in text
    assert any(expander.label.startswith("Reasoning") for expander in app.expander)


@pytest.mark.slow
def test_next_and_previous_follow_the_filter_and_are_stored_in_the_url(
    open_page: PageOpener, results: Path
) -> None:
    wrong = items.filter_listing(items.listing([entry(results, "as", "mmlu-pro")]), outcomes={0: "wrong"})
    ids = wrong["sample"].tolist()
    app = open_page("sample", run="as", suite="mmlu-pro", verdict="wrong")
    assert app.header[0].value.startswith(ids[0])
    app.button(key="step-N").click().run()
    assert app.query_params["sample"] in (ids[1], [ids[1]])
    assert app.header[0].value.startswith(ids[1])
    reopened = open_page("sample", run="as", suite="mmlu-pro", verdict="wrong", sample=ids[1])
    assert reopened.header[0].value == app.header[0].value
    reopened.button(key="step-P").click().run()
    assert reopened.header[0].value.startswith(ids[0])
    assert reopened.button(key="step-P").disabled


@pytest.mark.slow
def test_an_unknown_sample_is_reported(open_page: PageOpener) -> None:
    app = open_page("sample", run="as", suite="mmlu-pro", sample="<b>none</b>", repeat="x")
    assert "There is no sample <b>none</b> in this run." in text_of(app)


@pytest.mark.slow
def test_two_runs_are_shown_side_by_side_with_differences_highlighted(open_page: PageOpener) -> None:
    app = open_page("sample", run="as", suite="mmlu-pro", beside="some", differ="true")
    text = text_of(app)
    assert "-background[" in text
    assert text.count("Prompt as sent") == 1
    assert app.multiselect[0].value == ["some"]


@pytest.mark.slow
def test_next_steps_through_the_repeats_of_a_sample(open_page: PageOpener) -> None:
    app = open_page("sample", run="repeats", suite="aime:2025")
    heading = app.header[0].value
    app.button(key="step-N").click().run()
    assert "repeat 0" in heading
    assert app.header[0].value == heading.replace("repeat 0", "repeat 1")


def test_only_ids_and_verdicts_of_a_gated_suite_are_shown(open_page: PageOpener, results: Path) -> None:
    run_entry = entry(results, "gated")
    from evals.records.store import Run

    record = next(iter(Run(run_entry.path).records()))
    app = open_page("sample", run="gated", suite="gpqa:diamond", beside="gated-too")
    text = text_of(app)
    assert "gated" in text
    assert "badge[" in text
    for line in str(record.prompt.messages[0].parts[0].text).splitlines():
        assert len(line) < 8 or line not in text
    assert not app.expander
    assert not app.code


def test_molecules_are_drawn_with_their_similarities(open_page: PageOpener) -> None:
    app = open_page("sample", run="chem", suite="smolinstruct:FS")
    assert [metric.label for metric in app.metric] == [
        "Tanimoto, Morgan, radius 2", "Tanimoto, RDKit paths", "Tanimoto, MACCS keys"
    ]  # fmt: skip
    assert "the largest common substructure, 7 atoms" in text_of(app)
    assert len(app.get("image")) == 4  # the answer, the gold molecule, and the reaction with each


def test_attacks_are_shown_as_plain_text_in_every_element(open_page: PageOpener) -> None:
    app = open_page("sample", run="evil", suite="mmlu-pro")
    raw = "\n".join(str(part.value) for part in (*app.markdown, *app.caption, *app.header))
    for fragment in ("evil.example", "owned()", "<script", "](http", "$\\href"):
        assert fragment not in raw
    assert "evil.example/bare" in text_of(app)
    assert not [element for element in app.markdown if element.allow_html and "evil" in element.value]
    assert all(
        attack.splitlines()[0][:20] in text_of(app) for name, attack in ATTACKS.items() if name == "script"
    )


# --- compare


def test_two_runs_are_compared_with_scores_quadrants_and_discordant_samples(
    open_page: PageOpener, results: Path
) -> None:
    app = open_page("compare", runs=["as", "some"])
    table, *_, discordant = (element.value for element in app.dataframe)
    assert list(table["suite"]) == ["mmlu-pro · strict · sample items"]
    assert {"A", "B", "B − A", "95 % interval", "p (Holm)", "n", "coverage"} <= set(table)
    assert [metric.label for metric in app.metric][:4] == ["both right", "only A", "only B", "neither"]
    total = sum(int(metric.value) for metric in app.metric)
    assert total == entry(results, "as").card.expected
    assert "Tango" in text_of(app)
    assert len(discordant) == sum(int(metric.value) for metric in app.metric[1:3])


@pytest.mark.slow
def test_the_filter_of_discordant_samples_is_read_from_the_url(open_page: PageOpener) -> None:
    app = open_page("compare", runs=["as", "some"], flip="only B")
    discordant = app.dataframe[-1].value
    assert set(discordant["B"]) == {"right"}
    assert "right" not in set(discordant["A"])


@pytest.mark.slow
def test_a_selected_discordant_sample_is_shown_side_by_side(open_page: PageOpener) -> None:
    app = open_page("compare", runs=["as", "some"], selected_row=0)
    assert "only in this reply" in text_of(app)


@pytest.mark.slow
def test_runs_that_are_not_comparable_are_listed_with_the_reason(open_page: PageOpener) -> None:
    app = open_page("compare", runs=["as", "official"])
    assert [expander.label for expander in app.expander] == ["Not comparable: 1 suite"]
    assert "protocol differs: strict (A) and official (B)" in text_of(app)
    assert not app.metric
    app = open_page("compare", runs=["as", "chem"])
    assert "no suite in common" in text_of(app)


@pytest.mark.slow
def test_three_runs_are_compared_pair_by_pair(open_page: PageOpener) -> None:
    app = open_page("compare", runs=["as", "some", "evil"], pair="B → C")
    assert set(app.dataframe[0].value["pair"]) == {"A → B", "A → C", "B → C"}
    assert [metric.label for metric in app.metric][1:3] == ["only B", "only C"]


@pytest.mark.slow
def test_gated_runs_are_compared_without_answers(open_page: PageOpener) -> None:
    app = open_page("compare", runs=["gated", "gated-too"])
    assert not {"answer of A", "answer of B"} & set(app.dataframe[-1].value)


@pytest.mark.slow
def test_comparing_one_run_asks_for_more(open_page: PageOpener) -> None:
    app = open_page("compare", runs=["as"])
    assert "Select two to four" in text_of(app)


# --- suite


def test_a_suite_shows_groups_lengths_and_hard_items(open_page: PageOpener, results: Path) -> None:
    app = open_page("suite", run="some", suite="mmlu-pro")
    assert [element.value for element in app.header] == [
        "Groups", "Difficulty and length", "Missing outcomes", "Items that all models get wrong"
    ]  # fmt: skip
    groups = app.dataframe[0].value
    assert groups["n"].sum() == entry(results, "some", "mmlu-pro").card.expected
    assert "This needs comparable runs" in text_of(app)


@pytest.mark.slow
def test_no_page_imports_the_module_of_another_page(open_page: PageOpener) -> None:
    """The module of a page renders it when imported, so no page may import the module of another."""
    import ast

    for path in (ROOT / "dashboard" / "views").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "evals.dashboard.views":
                assert {alias.name for alias in node.names} <= {"pickers", "replies", "drawings"}, path
            assert not (
                isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evals.dashboard.views.")
            )


@pytest.mark.slow
def test_comparisons_are_ordered_by_the_size_of_significant_differences(
    open_page: PageOpener, results: Path
) -> None:
    index = frames.index(results)
    candidates = pairs.candidates(index)
    matches = pairs.matches([candidates["as"], candidates["some"]])
    rows = pairs.compare_headlines(matches)
    order = pairs.order_by_size(rows)
    sizes = [abs(rows[i].difference or 0.0) for i in order if pairs.better_side(rows[i]) != "n.s."]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
def test_runs_are_filtered_by_suite(open_page: PageOpener) -> None:
    app = open_page("runs", on="aime:2025")
    assert set(app.dataframe[0].value["suite"]) == {"aime:2025"}
    assert "1 of 8 runs" in text_of(app)


@pytest.mark.slow
def test_sample_items_and_missing_groups_are_stated(open_page: PageOpener, results: Path) -> None:
    app = open_page("suite", run="chem", suite="smolinstruct:FS")
    assert "Bundled sample items: not a benchmark score." in text_of(app)
    assert "This suite has no groups" in text_of(app)


@pytest.mark.slow
def test_a_broken_run_is_reported_on_the_page(
    open_page: PageOpener, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    (entry(folder, "as", "mmlu-pro").path / "records.parquet").write_bytes(b"not a table")
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(folder))
    for page in ("sample", "suite"):
        app = open_in_session(page, run="as", suite="mmlu-pro")
        assert "cannot be read" in text_of(app)
    assert "Run as cannot be read" in text_of(open_in_session("compare", runs=["as", "some"]))


# --- speed


@pytest.mark.alone
@pytest.mark.slow
def test_pages_of_large_runs_render_within_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path
) -> None:
    """With 12,032 replies of a kilobyte, a reload of the sample page takes under 1 s and of the compare page under 2 s."""
    from tests.support.dashboard_runs import write_large_run

    folder = tmp_path / "results"
    for name in ("one", "two"):
        write_large_run(folder, name, like=entry(results, "as", "mmlu-pro"), samples=12_032)
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(folder))
    for page, params, limit_s in (
        ("sample", {"run": "one", "suite": "mmlu-pro", "verdict": "wrong"}, 1.0),
        ("compare", {"runs": ["one", "two"]}, 2.0),
    ):
        app = open_in_session(page, **params)  # imports

        def reload(app: AppTest = app) -> None:
            for cached_function in (
                pairs._suite_run,
                pairs._pairing,
                pairs._headline_row,
                pairs._compare_groups,
                pairs._pair_samples,
                frames._query,
            ):
                cached_function.cache_clear()
            app.run()

        assert_cpu_time(limit_s, reload, page)
        assert not app.exception
