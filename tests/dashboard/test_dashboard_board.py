"""Tables of the dashboard: columns, cells and means of the leaderboard, filters, ranks, claims, runs, history and downloads."""

from __future__ import annotations

import datetime
import json
import re
from base64 import b64encode
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

import pandas as pd

from evals.dashboard import downloads, export, filters
from evals.dashboard.tables import (
    frames,
    history,
    leaderboard,
    provenance,
    reported,
    runs,
    science,
    significance,
    statistics,
    styling,
)
from evals.dashboard.tables.models import model_facts
from evals.errors import UsageError
from evals.plain import format_with_interval
from evals.records.card import Card, Config
from evals.report.metrics import mean_value
from evals.run.overview import aggregates
from evals.types import Estimate, Metric, Sampling
from evals.verdicts.reported import Claim
from evals.verdicts.reproduction import measured_scores
from tests.support import synthetic_results
from tests.support.error_messages import raises


def entry(
    model: str,
    value: float | None,
    *,
    suite: str = "mmlu-pro",
    half_width: float = 0.02,
    unit: str = "fraction",
    better: str = "higher",
    config: dict[str, Any] | None = None,
    **changes: Any,
) -> frames.Entry:
    """Return a run as the index of a results folder would, without files."""
    config_fields = {
        "suite": suite, "version": "1", "protocol": "official", "data_sha256": "d" * 64, "model": model,
        "sampling": Sampling(), "seed": 0, "repeats": 1, **(config or {}),
    }  # fmt: skip
    low, high = (None, None) if value is None else (value - half_width, value + half_width)
    estimate = Estimate(
        metric="accuracy", group="", value=value, low=low, high=high, worst=low, best=high, n=100, clusters=100,
        unit=unit, better=better, method="Wilson", headline=True,
    )  # fmt: skip
    fields = {
        "run": f"{model}-{suite}",
        "coverage": 1.0,
        "started": 1e9,
        "estimates": (estimate,),
        "data": "hub",
        "status": "finished",
        **changes,
    }
    return frames.Entry(
        path=Path(f"/nowhere/{model}"), card=Card(config=Config(**config_fields), model=model, **fields)
    )


def labels(*entries: frames.Entry) -> list[str]:
    return list(leaderboard.build(entries).columns)


# --- columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"config": {"protocol": "strict"}}, "mmlu-pro · strict"),
        ({"config": {"version": "2"}}, "mmlu-pro · official · v2"),
        ({"config": {"data_sha256": "e" * 64}}, "mmlu-pro · official · data eeeeee"),
        ({"config": {"limit": 50}}, "mmlu-pro · official · 50 items"),
        ({"config": {"judge": "openai:j"}}, "mmlu-pro · official · judged by openai:j"),
        ({"data": "sample"}, "mmlu-pro · official · sample items"),
    ],
    ids=["protocol", "version", "data", "items", "judge", "sample items"],
)
def test_runs_under_different_conditions_have_different_columns(changes: dict[str, Any], label: str) -> None:
    columns = labels(entry("a", 0.5), entry("b", 0.6, **changes))
    assert len(columns) == 2
    assert label in columns


def test_runs_under_the_same_conditions_share_a_column_with_a_short_label() -> None:
    assert labels(entry("a", 0.5), entry("b", 0.6)) == ["mmlu-pro · official"]


def test_runs_with_different_numbers_of_repeats_share_a_column() -> None:
    def run_with_repeats(model: str, repeats: int) -> frames.Entry:
        run = entry(model, 0.5, suite="aime:2025", config={"repeats": repeats})
        estimates = tuple(
            structs.replace(estimate, metric=f"avg@{repeats}") for estimate in run.card.estimates
        )
        return frames.Entry(path=run.path, card=structs.replace(run.card, estimates=estimates))

    assert labels(run_with_repeats("a", 1), run_with_repeats("b", 16)) == ["aime:2025 · official"]


def test_a_cell_shows_the_newest_run_of_a_model_and_the_number_of_its_runs() -> None:
    board = leaderboard.build(
        [entry("a", 0.5, started=2e9, run="new"), entry("a", 0.6, started=1e9, run="old")]
    )
    cell = board.cells[board.rows[0], "mmlu-pro · official"]
    assert (cell.estimate.value, cell.runs, cell.entry and cell.entry.card.run) == (0.5, 2, "new")


def test_a_model_with_and_without_thinking_has_two_rows() -> None:
    board = leaderboard.build(
        [
            entry("a", 0.5, config={"sampling": Sampling(thinking=True)}),
            entry("a", 0.4, config={"sampling": Sampling(thinking=False)}),
        ]
    )
    assert [row.label for row in board.rows] == ["a (thinking off)", "a (thinking on)"]


def test_a_run_without_a_score_has_no_row() -> None:
    assert leaderboard.build([entry("a", None)]).rows == ()


def test_the_mean_that_a_suite_defines_over_its_tasks_is_a_column() -> None:
    tasks = {"steels": 400.0, "expt_gap": 0.5, "expt_is_metal": 0.9, "glass": 0.8}
    entries = [
        entry("a", value, suite=f"matbench:{task}", config={"protocol": "intern-s1"})
        for task, value in tasks.items()
    ]
    board = leaderboard.build(entries)
    cell = board.cells[board.rows[0], "matbench · intern-s1"]
    assert cell.estimate.value == pytest.approx((0.8 + 0.75 + 0.9 + 0.8) / 4)
    assert cell.entry is None
    assert "matbench · intern-s1" not in leaderboard.build(entries[:3]).columns  # a task is missing


def test_a_mean_of_some_variants_has_a_column_of_its_own_and_counts_only_their_items() -> None:
    scores = {"mmmu": 0.9, "mmmu:pro-standard": 0.5, "mmmu:pro-vision": 0.3}
    entries = [entry("a", value, suite=suite, run="v1") for suite, value in scores.items()]
    board = leaderboard.build(entries)
    values = {label: cell.estimate.value for (_, label), cell in board.cells.items()}
    assert values["mmmu · official"] == 0.9
    assert values["mmmu:pro · official"] == pytest.approx(0.4)
    estimate = board.cells[board.rows[0], "mmmu:pro · official"].estimate
    assert (estimate.metric, estimate.n) == ("mean of 2 tasks", 200)


def test_means_of_different_versions_of_a_suite_have_different_columns() -> None:
    entries = [
        entry(model, 0.5, suite=f"mmmu:pro-{kind}", config={"version": version})
        for model, version in (("a", "1"), ("b", "2"))
        for kind in ("standard", "vision")
    ]
    board = leaderboard.build(entries)
    labels_of_means = {row.model: label for (row, label), cell in board.cells.items() if cell.entry is None}
    assert labels_of_means == {"a": "mmmu:pro · official · v1", "b": "mmmu:pro · official · v2"}
    assert {label: board.columns[label].version for label in labels_of_means.values()} == {
        "mmmu:pro · official · v1": "1",
        "mmmu:pro · official · v2": "2",
    }


def test_the_mean_of_some_variants_is_checked_against_claims_of_its_own_name() -> None:
    suites = ("mmmu", "mmmu:pro-standard", "mmmu:pro-vision")
    cards = [entry(model, 0.5, suite=suite, run="v1").card for model in "ab" for suite in suites]
    means = [score for score in measured_scores(cards, aggregates(cards)) if len(score.cards) != 1]
    assert [(score.suite, {card.model for card in score.cards}) for score in means] == [
        ("mmmu:pro", {"a"}),
        ("mmmu:pro", {"b"}),
    ]
    assert all({card.config.suite for card in score.cards} == {*suites[1:]} for score in means)


# --- cells, means and colours -------------------------------------------------------------------------------


def test_a_cell_shows_coverage_if_it_is_incomplete() -> None:
    counts = {"right": 1, "failed:timeout": 1}
    board = leaderboard.build(
        [
            entry("a", 0.5),
            entry("b", 0.6, coverage=0.998, counts=counts),
            entry("c", 0.7, coverage=0.99999, counts=counts),
        ]
    )
    assert [styling.cell_text(board.cells[row, "mmlu-pro · official"]) for row in board.rows] == [
        "50.0 ±2.0",
        "60.0 ±2.0 (99.8 %)",
        "70.0 ±2.0 (>99.9 %)",
    ]


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (0.4358, 0.427, 0.4447, "fraction", "43.6 ±0.9"),
        (0.0, 0.0, 0.242, "fraction", "0.0 +24.2 −0.0"),
        (0.90123, 0.90093, 0.90153, "fraction", "90.12 ±0.03"),
        (0.9998, 0.976, 0.99996, "fraction", "99.98 +0.02 −2.38"),
        (1.0, 0.999996, 1.0, "fraction", "100.000 ±<0.001"),
        (103.5, 91.28, 116.4, "MPa", "104 ±13"),
        (0.446, 0.4277, 0.4671, "eV", "0.446 ±0.020"),
        (0.5, None, None, "fraction", "50.0"),
        (None, None, None, "fraction", ""),
    ],
)
def test_a_score_is_formatted_with_its_interval(value, low, high, unit, text) -> None:
    assert format_with_interval(value, low, high, unit) == text


def test_a_mean_has_the_joint_interval_of_independent_suites() -> None:
    board = leaderboard.build(
        [entry("a", 0.5, half_width=0.03), entry("a", 0.7, suite="gpqa:diamond", half_width=0.04)]
    )
    mean = statistics.mean(board, board.rows[0], list(board.columns))
    assert mean is not None
    assert mean[:3] == pytest.approx((0.6, 0.6 - 0.025, 0.6 + 0.025))


def test_a_model_without_all_suites_has_no_mean() -> None:
    board = leaderboard.build([entry("a", 0.5), entry("b", 0.5), entry("a", 0.7, suite="gpqa:diamond")])
    assert statistics.mean(board, leaderboard.Row("b", None), list(board.columns)) is None


def test_different_units_and_two_protocols_of_a_suite_cannot_be_averaged() -> None:
    board = leaderboard.build(
        [
            entry("a", 0.5), entry("a", 0.5, config={"protocol": "strict"}),
            entry("a", 100.0, suite="matbench:steels", unit="MPa", better="lower"),
        ]
    )  # fmt: skip
    assert "selected several times" in statistics.averaging_fault(
        board, ["mmlu-pro · official", "mmlu-pro · strict"]
    )
    assert "MPa" in statistics.averaging_fault(board, ["mmlu-pro · official", "matbench:steels · official"])
    assert statistics.averaging_fault(board, ["mmlu-pro · official"]) == ""


def test_standings_count_only_significant_differences() -> None:
    def standings_of(better: str, *values: tuple[float, float]) -> list[float]:
        entries = [
            entry(str(index), value, half_width=half_width)
            for index, (value, half_width) in enumerate(values)
        ]
        standings = statistics.standings(
            {leaderboard.row_of(e.card): e.headline for e in entries if e.headline}, better=better
        )
        return list(standings.values())

    assert standings_of("higher", (0.1, 0.01), (0.5, 0.01), (0.3, 0.01)) == [0.0, 1.0, 0.5]
    assert standings_of("lower", (0.1, 0.01), (0.5, 0.01), (0.3, 0.01)) == [1.0, 0.0, 0.5]
    # no difference is significant
    assert standings_of("higher", (0.50, 0.05), (0.52, 0.05), (0.51, 0.05)) == []
    # rows that are not significantly different have the same standing
    assert standings_of("higher", (0.70, 0.02), (0.71, 0.02), (0.30, 0.02)) == [
        0.75,
        0.75,
        0.0,
    ]
    assert standings_of("higher", (0.5, 0.0)) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_text_contrasts_with_every_cell_colour(dark: bool, share: float) -> None:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [
            channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4
            for channel in channels
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    text, background = luminance("#f2f5f9" if dark else "#0e1420"), luminance(styling.blend(share, dark=dark))
    assert (max(text, background) + 0.05) / (min(text, background) + 0.05) >= 7


def test_the_table_keeps_the_order_of_the_rows_and_ends_with_chance() -> None:
    board = leaderboard.build([entry("a", 0.5), entry("baseline:mean", 0.9), entry("b", 0.6, chance=0.25)])
    selection = filters.Filters(columns=("mmlu-pro · official",), rank_by="mmlu-pro · official")
    table = styling.table(board, selection, list(board.rows), significance.ColumnRanks())
    assert table.texts["model"].tolist() == ["a", "b", "baseline:mean", "chance"]
    assert table.texts["mmlu-pro · official"].tolist()[-1] == "25.0"
    assert table.colours["mmlu-pro · official"].isna().tolist() == [False, False, True, True]
    style = styling.style_table(table, dark=False)
    for html in (style.to_html(), style.to_html()):  # a style can be rendered repeatedly
        assert [html.count(text) for text in ("50.0 ±2.0", "60.0 ±2.0", "90.0 ±2.0", "25.0")] == [
            1,
            1,
            1,
            1,
        ]


# --- filters ------------------------------------------------------------------------------------------------


def test_filters_select_rows_and_columns() -> None:
    board = leaderboard.build(
        [
            entry("Intern-S1", 0.8), entry("o3", 0.9), entry("Qwen3-8B", 0.5, suite="chembench:4k"),
            entry("Qwen3-8B", 0.5, data="sample"),
        ]
    )  # fmt: skip

    def rows(**fields: Any) -> list[str]:
        return [row.label for row in filters.matching_rows(board, filters.Filters(**fields))]

    assert rows() == ["Intern-S1", "o3", "Qwen3-8B"]
    assert rows(weights="open") == ["Intern-S1", "Qwen3-8B"]
    assert rows(weights="closed") == ["o3"]
    assert rows(sizes=("up to 10B",)) == ["Qwen3-8B"]
    assert rows(kind="science") == ["Qwen3-8B"]
    assert filters.matching_columns(board, filters.Filters(kind="general")) == ["mmlu-pro · official"]
    assert "mmlu-pro · official · sample items" in filters.matching_columns(
        board, filters.Filters(include_sample_items=True)
    )
    assert filters.matches_date(1e9, filters.Filters(since=datetime.date(2001, 9, 9)))
    assert not filters.matches_date(1e9, filters.Filters(since=datetime.date(2001, 9, 10)))


@pytest.mark.parametrize(
    ("name", "is_open", "size_b"),
    [
        ("Intern-S1", True, 241), ("internlm/Intern-S1-mini-FP8", True, 8.3), ("Qwen3-235B-A22B", True, 235),
        ("Llama-3.1-8B-Instruct", True, 8), ("o3", False, None), ("our-13b-chat", None, 13), ("nobody", None, None),
    ],
)  # fmt: skip
def test_weights_and_sizes_of_models_are_known_by_name(
    name: str, is_open: bool | None, size_b: float | None
) -> None:
    assert (model_facts(name).open, model_facts(name).size_b) == (is_open, size_b)


# --- significance -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_results.write_all(tmp_path_factory.mktemp("synthetic") / "results")


def test_ranks_and_groups_equal_those_of_evals_compare(results: Path) -> None:
    from evals.verdicts import suite_runs
    from evals.verdicts.compare import compare

    board = leaderboard.build(frames.index(results).entries)
    label = "gpqa:diamond · official"
    entries_by_row = board.runs(label)
    ranks = significance.rank_models(board.columns[label], entries_by_row)
    comparison = compare([[suite_runs.of_run(frames.store.Run(e.path))] for e in entries_by_row.values()])
    labels = {e.card.run: row.label for row, e in entries_by_row.items()}
    expected = {labels[rank.run]: (rank.rank_low, rank.rank_high, rank.groups) for rank in comparison.ranks}
    assert {rank.model: (rank.rank_low, rank.rank_high, rank.groups) for rank in ranks.ranks} == expected
    assert ranks.n == (200, 200)
    assert ranks.pairs == 10


def test_a_macro_mean_needs_a_scored_sample_in_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    values = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, np.nan]])
    monkeypatch.setattr(
        significance, "_sample_values", lambda paths: (values, ["a", "b", "c"], ["x", "x", "y"])
    )
    metric = Metric(name="accuracy_macro", of=mean_value, pool="macro")
    ranks = significance._compare_means.__wrapped__(
        None, metric, (("a", Path("a"), ()), ("b", Path("b"), ()))
    )
    assert (ranks.ranks, "in one of the groups" in ranks.why_not) == ((), True)


def test_the_ranked_column_is_coloured_by_the_paired_comparison(results: Path) -> None:
    board = leaderboard.build(frames.index(results).entries)
    label = "gpqa:diamond · official"
    entries_by_row = board.runs(label)
    ranks = significance.rank_models(board.columns[label], entries_by_row)
    table = styling.table(
        board, filters.Filters(columns=(label,), rank_by=label), list(entries_by_row), ranks
    )
    shares_by_rank: dict[str, set[float]] = {}
    for rank, share in zip(ranks.ranks, table.colours[label], strict=False):
        shares_by_rank.setdefault(f"{rank.rank_low} {rank.rank_high}", set()).add(share)
    assert all(len(shares) == 1 for shares in shares_by_rank.values())
    assert table.headings[label][0] == label
    assert table.headings[label][1].startswith("accuracy, % ↑")


def test_an_unusual_temperature_within_a_column_is_marked() -> None:
    entries = [
        entry("a", 0.5), entry("b", 0.4), entry("c", 0.6, config={"sampling": Sampling(temperature=0.7)}),
        entry("d", 0.6, suite="aime:2025", config={"sampling": Sampling(temperature=0.7)}),
    ]  # fmt: skip
    marks = {row.model: cell.marks.get("T") for (row, _), cell in leaderboard.build(entries).cells.items()}
    assert marks == {"a": None, "b": None, "c": "unusual temperature, 0.7", "d": None}


def test_marks_are_shown_in_the_cell() -> None:
    run = entry("a", 0.5)
    estimate = structs.replace(run.card.estimates[0], n=1000, clusters=12)
    card = structs.replace(run.card, estimates=(estimate,), counts={"right": 3, "absent": 9}, coverage=0.25)
    (cell,) = leaderboard.build([structs.replace(run, card=card)]).cells.values()
    assert styling.cell_text(cell) == "50.0 ±2.0 (25.0 %) EF"


def test_reported_results_are_ranked_with_measured_ones_under_the_same_protocol() -> None:
    board = leaderboard.build([entry("a", 0.5), entry("a", 0.5, config={"protocol": "strict"})])
    label = "mmlu-pro · official"
    claims = [
        claim("m", 0.9, protocol="official", date=datetime.date(2025, 1, 1)),
        claim("m", 0.6, protocol="official", date=datetime.date(2024, 1, 1)),
        claim("n", 0.6), claim("o", 60.0, protocol="official", unit="points"),
        claim("p", 0.6, protocol="official", superseded=True),
    ]  # fmt: skip
    rows = reported.reported_rows(claims, board, list(board.columns))
    assert rows == [styling.ReportedRow("m", {label: 0.9})]
    selection = filters.Filters(columns=(label,), rank_by=label)
    table = styling.table(board, selection, [*board.rows, *rows], significance.ColumnRanks())
    assert table.texts.to_dict("records")[1] == {"model": "m (reported)", "rank": "", label: "90.0"}


def test_a_single_model_is_not_compared(results: Path) -> None:
    board = leaderboard.build(frames.index(results).entries)
    label = next(iter(board.columns))
    row, cell = next(iter(board.model_cells(label).items()))
    assert cell.entry
    assert "only one model" in significance.summary(
        significance.rank_models(board.columns[label], {row: cell.entry})
    )


# --- claims -------------------------------------------------------------------------------------------------


def claim(model: str, value: float, **changes: Any) -> Claim:
    settings = {
        "suite": "mmlu-pro",
        "benchmark": "MMLU-Pro",
        "unit": "fraction",
        "source": "https://example.org",
        **changes,
    }
    return Claim(model=model, value=value, **settings)


def test_claims_have_a_column_for_each_protocol_and_several_values_share_a_cell() -> None:
    claims = [
        claim("m", 0.5, protocol="intern-s1"), claim("m", 0.6), claim("m", 0.7), claim("n", 0.1, superseded=True),
        claim("m", 0.2, suite="gpqa:diamond"),
    ]  # fmt: skip
    table = reported.table(claims, ["mmlu-pro"])
    assert table.drop(columns=reported.POSSIBLE_SCORES).to_dict("records") == [
        {"model": "m", "mmlu-pro · intern-s1": "50.0", "mmlu-pro · protocol not stated": "60.0 / 70.0"}
    ]


def test_a_claim_for_another_variant_is_not_matched_to_a_measured_score() -> None:
    column = leaderboard.column_of(
        entry("a", 0.5, suite="chembench:lamalab").card, entry("a", 0.5).card.estimates[0]
    )
    claims = [
        claim("A", 0.5, suite="chembench:4k"),
        claim("a", 0.4, suite="chembench:lamalab", protocol="official"),
    ]
    assert [match.value for match in reported.claims_for(claims, "a", column)] == [0.4]


def test_mmmu_pro_is_matched_with_its_own_published_numbers_and_not_with_those_of_mmmu() -> None:
    scores = {"mmmu": 0.9, "mmmu:pro-standard": 0.5, "mmmu:pro-vision": 0.3}
    board = leaderboard.build([entry("a", value, suite=suite, run="v1") for suite, value in scores.items()])
    claims = [claim("a", 0.8, suite="mmmu"), claim("a", 0.6, suite="mmmu:pro")]
    values = {
        label: [match.value for match in reported.claims_for(claims, "a", column)]
        for label, column in board.columns.items()
    }
    assert values == {
        "mmmu · official": [0.8],
        "mmmu:pro · official": [0.6],
        "mmmu:pro-standard · official": [0.6],
        "mmmu:pro-vision · official": [0.6],
    }


# --- general versus science ---------------------------------------------------------------------------------


def test_a_point_needs_all_suites_under_one_protocol() -> None:
    board = leaderboard.build(
        [
            entry("a", 0.5), entry("a", 0.7, suite="chembench:4k"),
            entry("b", 0.5), entry("b", 0.7, suite="chembench:4k", config={"protocol": "strict"}),
            entry("baseline:x", 0.5), entry("baseline:x", 0.5, suite="chembench:4k"),
        ]
    )  # fmt: skip
    claims = [
        claim("c", 0.9, protocol="intern-s1"),
        claim("c", 0.8, suite="chembench:4k", protocol="intern-s1"),
    ]
    scores = science.scores_by_source(board, claims)
    points = science.points(scores, ["mmlu-pro"], ["chembench:4k"])
    assert points["model"].tolist() == ["a (official)", "c"]
    assert points["kind"].tolist() == ["measured", "reported"]
    assert points["general_low"].tolist()[0] == pytest.approx(48.0)
    assert pd.isna(points["general_low"].tolist()[1])
    assert science.incomplete_models(scores, ["mmlu-pro", "chembench:4k"]) == [
        "b (official): missing chembench:4k",
        "b (strict): missing mmlu-pro",
    ]


def test_a_suite_and_protocol_has_one_column_and_the_newest_reported_score() -> None:
    versions = {"a": ("1", "2"), "b": ("2",), "c": ("1", "10"), "d": ("10", "2")}
    board = leaderboard.build(
        [
            entry(model, int(version) / 100, run=f"{model}-{version}", config={"version": version})
            for model, model_versions in versions.items()
            for version in model_versions
        ]
    )
    claims = [
        claim("e", 0.9, date=datetime.date(2026, 2, 1)),
        claim("e", 0.8, date=datetime.date(2025, 2, 1)),
        claim("e", 0.7, suite="gpqa:diamond"),
    ]
    scores = science.scores_by_source(board, claims)
    values = {source.label: suite_scores["mmlu-pro"].value for source, suite_scores in scores.items()}
    # version 2 has the most models; c, which has only versions 1 and 10, is left out
    assert values == {"a (official)": 0.02, "b (official)": 0.02, "d (official)": 0.02, "e": 0.9}


def test_figures_are_vector_graphics_without_overlapping_labels() -> None:
    from evals.dashboard.charts import figures

    claims = [
        claim(f"model-{i}", value, suite=suite, protocol="intern-s1")
        for i, value in enumerate((0.5, 0.501, 0.502, 0.9))
        for suite in ("mmlu-pro", "chembench:4k")
    ]
    points = science.points(
        science.scores_by_source(leaderboard.build([]), claims), ["mmlu-pro"], ["chembench:4k"]
    )
    chart = figures.scatter(points, dark=False)
    assert figures.render_for_print(chart, "svg").startswith(b"<svg")
    assert figures.render_for_print(chart, "pdf").startswith(b"%PDF")
    labels = figures.place_labels(points, "general", "science")
    shown_labels = labels[labels["name"] != ""]
    heights = sorted(shown_labels.loc[shown_labels["general"] < 60, "science_name"])
    assert all(b - a > 1 for a, b in pairwise(heights))
    assert "model-3" in set(shown_labels["name"])


def test_the_figure_starts_with_suites_that_were_measured() -> None:
    board = leaderboard.build([entry("a", 0.5), entry("a", 0.7, suite="chembench:4k"), entry("b", 0.5)])
    scores = science.scores_by_source(board, [claim("c", 0.9, suite="gpqa:diamond")])
    assert science.default_suites(scores, general=True) == ["mmlu-pro"]
    assert science.default_suites(scores, general=False) == ["chembench:4k"]
    assert science.default_suites(
        science.scores_by_source(leaderboard.build([]), [claim("c", 0.9)]), general=True
    ) == ["mmlu-pro"]


# --- runs and history ---------------------------------------------------------------------------------------


def test_the_command_reproduces_a_run() -> None:
    card = entry(
        "server:http://h/v1#m", 0.5, suite="gpqa:diamond", data="local",
        config={"limit": 50, "seed": 3, "repeats": 4, "sampling": Sampling(temperature=0.7, max_tokens=512, thinking=True)},
    ).card  # fmt: skip
    assert provenance.command(card) == (
        "evals run gpqa:diamond -m 'server:http://h/v1#m' --protocol official --data MIRROR --limit 50 --repeats 4 --seed 3 "
        "--temperature 0.7 --max-tokens 512 --thinking"
    )
    single = structs.replace(card, config=structs.replace(card.config, limit=2, sample_ids=("q 1", "q2")))
    assert "--sample-id 'q 1' --sample-id q2" in provenance.command(single)
    assert "--limit" not in provenance.command(single)
    hostile = structs.replace(card, origin="import replies", source="a b; rm -rf ~", model="$(id)")
    assert "'a b; rm -rf ~'" in provenance.command(hostile)
    assert "'$(id)'" in provenance.command(hostile)


def test_the_confidence_sequence_of_an_active_run_only_narrows(results: Path) -> None:
    (active_run,) = [e for e in frames.index(results).entries if e.card.status == "running"]
    progress = runs.progress(active_run)
    assert (progress.done, progress.expected) == (180, 300)
    assert sum(progress.verdicts.values()) == 180
    curve = runs.running_mean(active_run)
    assert curve["n"].tolist()[-1] == 180
    assert curve["low"].is_monotonic_increasing
    assert curve["high"].is_monotonic_decreasing
    assert (curve["low"] <= curve["high"]).all()
    config = structs.replace(active_run.card.config, suite="matbench:glass", protocol="official")
    other_suite = structs.replace(active_run, card=structs.replace(active_run.card, config=config))
    assert runs.running_mean(other_suite).empty  # its headline is not the mean of these values


def test_pareto_optimal_models_are_not_dominated() -> None:
    table = pd.DataFrame(
        {"model": list("abcd"), "value": [0.5, 0.7, 0.6, 0.9], "cost": [1.0, 2.0, 3.0, float("nan")]}
    )
    optimal = runs.pareto(table, "cost", better="higher").set_index("model")["optimal"].to_dict()
    assert optimal == {"a": True, "b": True, "c": False}
    assert runs.pareto(table, "cost", better="lower")["optimal"].tolist() == [True, False, False]


def test_history_has_a_verdict_on_each_checkpoint_and_states_what_changed(results: Path) -> None:
    (line,) = history.histories(frames.index(results).entries, "intern/step")
    table = history.table(line, margin=0.02, against="the one before")
    assert table["verdict"].tolist() == ["", "pass", "pass", "regression", "pass", "not comparable"]
    assert table["changed"].tolist()[-1] == "suite version 1 → 2 (prompt or scoring rule)"
    assert table["segment"].tolist() == [0, 0, 0, 0, 0, 1]
    assert history.table(line, margin=0.02, against="the first")["verdict"].tolist()[3] == "regression"
    assert history.histories(frames.index(results).entries, "nobody") == []


# --- downloads ----------------------------------------------------------------------------------------------


def test_downloads_state_how_each_score_was_measured(results: Path, tmp_path: Path) -> None:
    board = leaderboard.build(frames.index(results).entries)
    frame = downloads.tidy_table(board, board.rows, list(board.columns))
    assert len(frame) == len(board.cells)
    assert {"value", "low", "high", "coverage", "n", "protocol", "data_sha256", "run"} <= set(frame)
    (tmp_path / "x.parquet").write_bytes(downloads.parquet(frame))
    assert pd.read_parquet(tmp_path / "x.parquet")["value"].tolist() == frame["value"].tolist()


def test_names_that_look_like_formulas_are_quoted_in_the_csv() -> None:
    text = downloads.csv(pd.DataFrame({"model": ["=1+1", "@x", "fine"], "value": [-1.0, 2.0, 3.0]})).decode()
    assert text.splitlines() == ["model,value", "'=1+1,-1.0", "'@x,2.0", "fine,3.0"]


def test_runs_of_several_models_with_one_id_have_their_own_sample_pages(tmp_path: Path) -> None:
    results, folder = tmp_path / "results", tmp_path / "out"
    synthetic_results.write_checkpoints(results, count=2, samples=20)
    models = [run.card.model for run in frames.index(results).entries]
    for run in frames.index(results).entries:
        synthetic_results.update_card(run.path, run="imported")
    export.export(results, folder)
    index = (folder / "index.html").read_text()
    pages = {name: (folder / name).read_text() for name in re.findall(r'href="(samples/[^"]+)"', index)}
    assert len(pages) == len(models) == 2
    assert all(sum(f"<h1>{model} " in page for page in pages.values()) == 1 for model in models)


def test_the_exported_page_loads_nothing_and_runs_only_its_own_script(tmp_path: Path) -> None:
    results, folder = tmp_path / "results", tmp_path / "out"
    synthetic_results.write_checkpoints(results, count=3, samples=60)
    hostile = '<script>fetch("http://evil")</script>"><img src=x onerror=alert(1)>'
    synthetic_results.update_card(frames.index(results).entries[0].path, model=hostile)
    paths = export.export(results, folder)
    names = {str(path.relative_to(folder)) for path in paths}
    assert {"index.html", "leaderboard.csv", "leaderboard.json", "samples/mmlu-pro-made-05000.html"} <= names
    index = (folder / "index.html").read_text()
    assert index.startswith(export.PAGE_MARKER)
    for path in paths:
        if path.suffix == ".html":
            text = path.read_text()
            assert re.findall(r"<script.*?</script>", text, re.DOTALL) == [
                f"<script>{export.SCRIPT}</script>"
            ]
            assert f"'sha256-{b64encode(sha256(export.SCRIPT.encode()).digest()).decode()}'" in text
            assert "<img" not in text
    assert "&lt;script&gt;" in index
    assert "http://" not in index.replace("&quot;http://evil&quot;", "")
    document = json.loads((folder / "leaderboard.json").read_text())
    assert {column["protocol"] for column in document["columns"]} == {"official"}
    assert hostile in {cell["model"] for cell in document["cells"]}
    assert document["claims"]
    export.export(results, folder)  # a page of this command may be overwritten
    for name in re.findall(r'href="(samples/[^"]+)"', index):
        assert (folder / name).exists()
    sample = (folder / "samples" / "mmlu-pro-made-05000.html").read_text()
    assert "<mark>" in sample
    verdicts = re.findall(r": (\w+)</h2>", sample)
    assert verdicts
    assert verdicts == sorted(verdicts, key=lambda verdict: verdict == "right")


@pytest.mark.slow
def test_a_foreign_page_is_not_overwritten_and_no_page_is_written_without_scores(
    results: Path, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<h1>my home page</h1>")
    with raises(UsageError):
        export.export(results, tmp_path)
    with raises(UsageError):
        export.export(tmp_path, tmp_path / "new")


# --- which run represents a model ---------------------------------------------------------------------------


def test_a_run_that_stopped_early_does_not_replace_a_complete_one() -> None:
    complete_run = entry("a", 0.349, run="full", started=1.0, counts={"right": 349, "wrong": 651})
    early_run = entry(
        "a", 0.30, run="early", started=2.0, coverage=0.014, counts={"right": 3, "wrong": 7, "absent": 986}
    )
    newer_run = entry(
        "a", 0.352, run="newer", started=3.0, coverage=0.99, counts={"right": 352, "failed:timeout": 10}
    )
    for entries, run, is_complete in (
        ([complete_run, early_run], "full", True),
        ([early_run, complete_run], "full", True),
        # a failed call is an outcome: the newer run is complete
        ([complete_run, early_run, newer_run], "newer", True),
        ([early_run], "early", False),
    ):
        (cell,) = leaderboard.build(entries).cells.values()
        assert cell.entry is not None
        assert (cell.entry.card.run, cell.entry.card.complete, cell.runs) == (run, is_complete, len(entries))


def test_a_subset_represents_a_model_only_without_a_complete_run() -> None:
    complete_run = entry("a", 0.35, started=1.0)
    subset_run = entry("a", 0.4, started=2.0, config={"limit": 200})
    other_model = entry("b", 0.5, config={"limit": 200})
    assert [column.limit for column in leaderboard.build([complete_run, subset_run]).columns.values()] == [
        None
    ]
    board = leaderboard.build([complete_run, subset_run, other_model])
    assert {(row.model, board.columns[label].limit) for row, label in board.cells} == {
        ("a", None),
        ("b", 200),
    }
    entry_of_b = board.cells[next(key for key in board.cells if key[0].model == "b")].entry
    assert entry_of_b is not None
    assert not entry_of_b.card.complete


def test_other_subsets_of_the_same_size_have_columns_of_their_own() -> None:
    runs = [
        entry("a", 0.4, started=1.0, config={"limit": 200}),
        entry("b", 0.5, started=2.0, config={"limit": 200}),
        entry("a", 0.6, started=3.0, config={"limit": 200, "seed": 1}),
        entry("b", 0.7, started=4.0, config={"limit": 200, "sample_ids": ("x", "y")}),
    ]
    board = leaderboard.build(runs)
    scores = {
        label: sorted(cell.estimate.value for (_, name), cell in board.cells.items() if name == label)
        for label in board.columns
    }
    assert sorted(scores.values()) == [[0.4, 0.5], [0.6], [0.7]]
    assert scores["mmlu-pro · official · 200 items · seed 1"] == [0.6]
    assert history.changes(runs[0], runs[2]) == ["items of seed 0 → seed 1"]
    complete_run = entry("a", 0.5, started=5.0)
    columns = leaderboard.build([*runs[::2], complete_run]).columns.values()
    assert [column.limit for column in columns] == [None]


def test_the_model_with_most_checkpoints_is_listed_first_in_the_history() -> None:
    checkpoints = [
        entry(f"step-{number}", 0.5, run=f"r{number}", started=float(number)) for number in (10, 20, 30)
    ]
    two_runs = [entry("a", 0.5, run=f"a{number}", started=float(number)) for number in range(2)]
    assert history.models_with_history([*two_runs, *checkpoints])[:2] == ["step-", "a"]


def test_runs_that_stopped_early_are_not_compared_with_complete_ones() -> None:
    from evals.dashboard.tables import suite

    complete_run = entry("a", 0.349, run="full", started=1.0, counts={"right": 349, "wrong": 651})
    early_run = entry("a", 0.30, run="early", started=2.0, coverage=0.01, counts={"right": 3, "absent": 986})
    (line,) = history.histories([complete_run, early_run], "a")
    assert [e.card.run for e in line.entries] == ["full"]
    (line,) = history.histories([early_run], "a")
    assert [e.card.run for e in line.entries] == ["early"]
    other_model = structs.replace(entry("b", 0.5), path=Path("elsewhere"))
    assert [e.card.run for e in suite.comparable_runs(other_model, [complete_run, early_run])] == ["full"]
    rescored = structs.replace(complete_run, card=structs.replace(complete_run.card, run="old", started=0.5))
    (newest,) = suite.comparable_runs(other_model, [complete_run, rescored])  # by the time of its card
    assert newest.card.run == "full"
