"""Reported results with what their grid says, and the figure of tokenizers' compression."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.dashboard import state
from evals.dashboard.charts import figures
from evals.dashboard.tables import frames, reported, science
from evals.dashboard.tables.leaderboard import build
from evals.verdicts.reported import Claim
from tests.support.command import evals
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow  # a page takes a second

APP = ROOT / "dashboard" / "app.py"


def _claim(model: str, printed: str, **facts: object) -> Claim:
    digits = len(printed.partition(".")[2])
    known: dict[str, object] = {
        "model": model, "suite": "aime:2024", "benchmark": "AIME 2024", "metric": "accuracy", "unit": "fraction",
        "value": float(printed) / 100, "digits": digits, "source": "made up", "items": 30,
    }  # fmt: skip
    return msgspec.convert(known | facts, Claim)


def test_each_model_says_which_of_its_printed_scores_are_possible() -> None:
    claims = [
        _claim("mini", "84.58"),
        _claim("mini", "81.15", suite="ifeval", benchmark="IFEval", items=541),
        _claim("large", "90.00"),
        _claim("judged", "55.1", metric="mean score"),
    ]
    table = reported.table(claims, ["aime:2024", "ifeval"]).set_index("model")
    assert table.columns[0] == reported.POSSIBLE_SCORES
    words = table[reported.POSSIBLE_SCORES]
    assert words["mini"].startswith("1 of 2. aime:2024 84.58 is not a share of 30 answers: 8 ")
    assert "runs would fit" in words["mini"]
    assert words["large"] == "1 of 1"
    assert words["judged"].startswith("not tested: its metric is not a proportion of items")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled strings counted in bytes, under both protocols."""
    folder = tmp_path_factory.mktemp("tokens")
    for suite, protocol in (("compression", "bare"), ("compression:science", "tagged")):
        done = evals(
            "run", suite, "-m", "tokens:bytes", "--protocol", protocol, "--results", folder, "--quiet"
        )
        assert done.status == 0, done.err
    return folder


def test_the_figure_has_a_bar_per_tokenizer_and_kind_of_text(counted: Path) -> None:
    board = build(frames.index(counted).entries)
    assert science.compression_protocols(board) == ["bare", "tagged"]
    bare, tagged = (science.compression(board, protocol) for protocol in ("bare", "tagged"))
    assert set(bare["suite"]) > set(tagged["suite"]) == {"smiles", "selfies", "iupac", "fasta", "formula"}
    assert set(bare["value"]) == set(tagged["value"]) == {1.0}
    pytest.importorskip("vl_convert")
    chart = figures.grouped_bars(bare, list(bare["suite"]), dark=False, unit="characters per token")
    svg = figures.render_for_print(chart, "svg").decode()
    assert "characters per token" in svg
    assert "100" not in [text.strip() for text in svg.replace("<", ">").split(">")]  # no axis of percentages
    assert figures.render_for_print(chart, "pdf").startswith(b"%PDF")


def test_the_page_draws_it_and_its_files_if_tokenizers_were_counted(
    counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, drawn in ((counted, True), (tmp_path, False)):
        monkeypatch.setenv(state.RESULTS_VARIABLE, str(folder))
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.run()
        app.switch_page(state.PAGES["science"][0])
        app.run()
        assert not app.exception
        assert ("Tokenizer compression" in [head.value for head in app.header]) == drawn
