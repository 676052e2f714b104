"""The logic of the pages leaderboard, science, runs and history, each drawn by Streamlit without a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.paths import ROOT

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.dashboard import state
from evals.dashboard.foreign.text import JOINER
from tests.support import synthetic_results

pytestmark = pytest.mark.slow  # a page takes a second

Opener: TypeAlias = Callable[..., AppTest]
APP = ROOT / "dashboard" / "app.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    synthetic_results.write_checkpoints(folder, count=4, samples=60)
    synthetic_results.write_running(folder)
    synthetic_results.write_broken(folder)
    return folder


@pytest.fixture
def shown(results: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Opens a page at a URL, in a session of its own."""
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))

    def opened(page: str, **params: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        if page != "leaderboard":
            app.run()
            app.switch_page(state.PAGES[page][0])
        for name, value in params.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    return opened


def said(app: AppTest) -> str:
    """All words of a page, foreign ones as they are."""
    parts = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.warning, *app.code]
    text = "\n".join(str(part.value) for part in parts).replace(JOINER, "")
    for mark in "-/.,;:()":
        text = text.replace(f"&#{ord(mark)};", mark)
    return text


def test_an_empty_folder_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(tmp_path))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert "This results folder has no runs yet." in said(app)
    assert app.code[0].value == "evals run mmlu-pro gpqa aime --sample -m smollm2"
    for page in ("science", "runs", "history"):
        app.switch_page(state.PAGES[page][0]).run()
        assert not app.exception


def test_the_leaderboard_ranks_says_what_is_alike_and_names_the_broken_run(shown: Opener) -> None:
    app = shown("leaderboard")
    text = said(app)
    assert "Ranked by" in text
    assert "mmlu-pro · official" in text
    assert "Holm over 3 pairs at 5 %" in text
    assert [one.label for one in app.expander][-1] == "1 broken run"
    assert "estimand items-like-these" in text
    assert list(app.dataframe[0].value["", "model"])[-1] == "chance"
    assert len(app.dataframe[0].value) == 5


def test_filters_hold_in_the_url_and_an_empty_choice_says_so(shown: Opener) -> None:
    assert "No run matches these filters." in said(shown("leaderboard", kind="science"))
    app = shown("leaderboard", kind="general", pin="intern/step-01000")
    assert app.dataframe[0].value["", "model"][0] == "intern/step-01000"
    assert "No run matches these filters." in said(shown("leaderboard", since="2030-01-01"))


def test_a_chosen_cell_shows_what_it_rests_on(shown: Opener) -> None:
    app = shown("leaderboard", model="intern/step-01000", column="mmlu-pro · official · v1")
    names = [metric.label for metric in app.metric]
    assert names[1:] == ["95 % interval", "n", "coverage", "bounds"]


def test_a_chosen_model_shows_all_its_numbers(shown: Opener) -> None:
    app = shown("leaderboard", model="intern/step-01000")
    assert "**intern/step-01000**" in said(app)
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


def test_a_mean_over_one_suite_twice_is_refused(shown: Opener) -> None:
    app = shown("leaderboard")
    columns = [name for name, _ in app.dataframe[0].value if name.startswith("mmlu")]
    assert len(columns) == 2  # two versions of the rules
    app.multiselect(key="mean").set_value(columns).run()
    assert "selected several times" in said(app)


def test_claims_stand_under_a_heading_of_their_own(shown: Opener) -> None:
    app = shown("leaderboard")
    assert any(box.label.startswith("Reported results of ") for box in app.expander)
    claims = app.dataframe[1].value
    assert "Intern-S1" in list(claims["model"])
    assert "intern/step-01000" not in list(claims["model"])


def test_science_tells_claims_from_measured_ones(shown: Opener) -> None:
    text = said(shown("science"))
    assert "**0 measured**" in text
    assert "**13 reported**" in text


def test_runs_shows_the_growing_one_and_where_a_number_comes_from(shown: Opener) -> None:
    text = said(shown("runs", run="made-05000"))
    assert "Running mean with a 95 % confidence sequence" in text
    assert "evals run mmlu-pro -m 'server:made#intern/step-01000' --protocol official --data MIRROR" in text
    assert "5 runs" in text


def test_history_judges_the_checkpoints_of_a_beginning(shown: Opener) -> None:
    text = said(shown("history", model="intern/step"))
    assert "4 runs in %, higher is better" in text
    assert "suite version 1 → 2" in text
    assert "nobody" not in text
    assert "No benchmark runs of this model" in said(shown("history", model="nobody"))


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
def test_no_query_breaks_a_page(shown: Callable[..., AppTest], page: str, value: str) -> None:
    shown(page, **dict.fromkeys(PARAMETERS, value))
