"""The pages leaderboard, science, runs and history, rendered by Streamlit's test harness without a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.paths import ROOT

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.dashboard import state
from evals.dashboard.untrusted.text import JOINER
from tests.support import synthetic_results

pytestmark = pytest.mark.slow  # rendering a page takes about a second

PageOpener: TypeAlias = Callable[..., AppTest]
APP = ROOT / "dashboard" / "app.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "results"
    synthetic_results.write_checkpoints(folder, count=4, samples=60)
    synthetic_results.write_running(folder)
    synthetic_results.write_broken(folder)
    return folder


@pytest.fixture
def open_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Return a function that opens a page with query parameters, in a session of its own."""
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))

    def open_in_session(page: str, **params: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        if page != "leaderboard":
            app.run()
            app.switch_page(state.PAGES[page][0])
        for name, value in params.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    return open_in_session


def text_of(app: AppTest) -> str:
    """Return the text of a page, with escaped characters restored."""
    parts = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.warning, *app.code]
    text = "\n".join(str(part.value) for part in parts).replace(JOINER, "")
    for character in "-/.,;:()":
        text = text.replace(f"&#{ord(character)};", character)
    return text


def test_pages_of_an_empty_folder_show_a_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(tmp_path))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert "This results folder has no runs yet." in text_of(app)
    assert app.code[0].value == "evals run mmlu-pro gpqa aime --sample -m smollm2"
    for page in ("science", "runs", "history"):
        app.switch_page(state.PAGES[page][0]).run()
        assert not app.exception


def test_the_leaderboard_states_its_ranking_its_adjustment_and_broken_runs(open_page: PageOpener) -> None:
    app = open_page("leaderboard")
    text = text_of(app)
    assert "Ranked by" in text
    assert "mmlu-pro · official" in text
    assert "Holm over 3 pairs at 5 %" in text
    assert [expander.label for expander in app.expander][-1] == "1 broken run"
    assert "estimand items-like-these" in text
    assert list(app.dataframe[0].value["", "model"])[-1] == "chance"
    assert len(app.dataframe[0].value) == 5


def test_filters_are_read_from_the_url_and_may_match_no_run(open_page: PageOpener) -> None:
    assert "No run matches these filters." in text_of(open_page("leaderboard", kind="science"))
    app = open_page("leaderboard", kind="general", pin="intern/step-01000")
    assert app.dataframe[0].value["", "model"][0] == "intern/step-01000"
    assert "No run matches these filters." in text_of(open_page("leaderboard", since="2030-01-01"))


def test_a_selected_cell_is_shown_with_interval_n_coverage_and_bounds(open_page: PageOpener) -> None:
    app = open_page("leaderboard", model="intern/step-01000", column="mmlu-pro · official · v1")
    labels = [metric.label for metric in app.metric]
    assert labels[1:] == ["95 % interval", "n", "coverage", "bounds"]


def test_a_selected_model_is_shown_with_all_its_scores(open_page: PageOpener) -> None:
    app = open_page("leaderboard", model="intern/step-01000")
    assert "**intern/step-01000**" in text_of(app)
    assert set(app.dataframe[1].value) == {
        "suite and protocol",
        "measure",
        "score",
        "n",
        "runs",
        "run",
        "marks",
    }
    assert len(app.dataframe[1].value) == 1


def test_a_mean_over_two_columns_of_a_suite_is_refused(open_page: PageOpener) -> None:
    app = open_page("leaderboard")
    columns = [name for name, _ in app.dataframe[0].value if name.startswith("mmlu")]
    assert len(columns) == 2  # two versions of the rules
    app.multiselect(key="mean").set_value(columns).run()
    assert "selected several times" in text_of(app)


def test_claims_have_a_heading_of_their_own(open_page: PageOpener) -> None:
    app = open_page("leaderboard")
    assert any(expander.label.startswith("Reported results of ") for expander in app.expander)
    claims = app.dataframe[1].value
    assert "Intern-S1" in list(claims["model"])
    assert "intern/step-01000" not in list(claims["model"])


def test_the_science_page_counts_measured_and_reported_models_separately(open_page: PageOpener) -> None:
    text = text_of(open_page("science"))
    assert "**0 measured**" in text
    assert "**13 reported**" in text


def test_the_runs_page_shows_the_running_mean_and_the_command_of_a_run(open_page: PageOpener) -> None:
    text = text_of(open_page("runs", run="made-05000"))
    assert "Running mean with a 95 % confidence sequence" in text
    assert "evals run mmlu-pro -m 'server:made#intern/step-01000' --protocol official --data MIRROR" in text
    assert "5 runs" in text


def test_the_history_page_shows_the_checkpoints_with_a_common_prefix(open_page: PageOpener) -> None:
    text = text_of(open_page("history", model="intern/step"))
    assert "4 runs in %, higher is better" in text
    assert "suite version 1 → 2" in text
    assert "nobody" not in text
    assert "No benchmark runs of this model" in text_of(open_page("history", model="nobody"))


PARAMETERS = ("run", "suite", "sample", "repeat", "model", "column", "kind", "protocol", "weights", "runs", "line", "against", "find")  # fmt: skip


@pytest.mark.parametrize("page", list(state.PAGES))
@pytest.mark.parametrize(
    "value",
    [
        "9" * 5000,
        *[
            pytest.param(value, marks=pytest.mark.slow)
            for value in ("-1", "\u0663", "\x00", "1e999", "../../etc/passwd", "x" * 100_000)
        ],
    ],
)
def test_no_query_parameter_breaks_a_page(open_page: Callable[..., AppTest], page: str, value: str) -> None:
    open_page(page, **dict.fromkeys(PARAMETERS, value))
