"""Reported results with a check that their values are possible, and the figure of tokenizer compression."""

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

pytestmark = pytest.mark.slow  # rendering a page takes about a second

APP = ROOT / "dashboard" / "app.py"


def _claim(model: str, percentage: str, **changes: object) -> Claim:
    digits = len(percentage.partition(".")[2])
    fields: dict[str, object] = {
        "model": model, "suite": "aime:2024", "benchmark": "AIME 2024", "metric": "accuracy", "unit": "fraction",
        "value": float(percentage) / 100, "digits": digits, "source": "fictitious", "items": 30,
    }  # fmt: skip
    return msgspec.convert(fields | changes, Claim)


def test_the_table_states_which_reported_scores_are_possible_proportions() -> None:
    claims = [
        _claim("mini", "84.58"),
        _claim("mini", "81.15", suite="ifeval", benchmark="IFEval", items=541),
        _claim("large", "90.00"),
        _claim("judged", "55.1", metric="mean score"),
    ]
    table = reported.table(claims, ["aime:2024", "ifeval"]).set_index("model")
    assert table.columns[0] == reported.POSSIBLE_SCORES
    statements = table[reported.POSSIBLE_SCORES]
    assert statements["mini"].startswith(
        "1 of 2. aime:2024: no number of right answers out of 30 rounds to 84.58 % (8, 16, "
    )
    assert "runs would fit" in statements["mini"]
    assert statements["large"] == "1 of 1"
    assert statements["judged"].startswith("not tested: its metric is not a proportion of items")


@pytest.fixture(scope="module")
def compression_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results of the byte tokenizer on the bundled strings, under both protocols."""
    folder = tmp_path_factory.mktemp("tokens")
    for suite, protocol in (("compression", "bare"), ("compression:science", "tagged")):
        outcome = evals(
            "run", suite, "-m", "tokens:bytes", "--protocol", protocol, "--results", folder, "--quiet"
        )
        assert outcome.status == 0, outcome.err
    return folder


def test_the_figure_of_compression_has_a_bar_for_each_kind_of_text(compression_results: Path) -> None:
    board = build(frames.index(compression_results).entries)
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


def test_the_figure_of_compression_is_shown_only_if_tokenizers_were_measured(
    compression_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for results, is_shown in ((compression_results, True), (tmp_path, False)):
        monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.run()
        app.switch_page(state.PAGES["science"][0])
        app.run()
        assert not app.exception
        assert ("Tokenizer compression" in [header.value for header in app.header]) == is_shown
