"""The leaderboard's rules: what shares a column, what a cell says, what is significantly different, what a mean needs."""

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

from evals.dashboard import downloads as files
from evals.dashboard import export, filters
from evals.dashboard.tables import (
    frames,
    provenance,
    statistics,
)
from evals.dashboard.tables import (
    history as past,
)
from evals.dashboard.tables import (
    leaderboard as board,
)
from evals.dashboard.tables import (
    reported as claimed,
)
from evals.dashboard.tables import (
    runs as effort,
)
from evals.dashboard.tables import (
    science as abilities,
)
from evals.dashboard.tables import (
    significance as ties,
)
from evals.dashboard.tables import (
    styling as heat,
)
from evals.dashboard.tables.models import model_facts
from evals.errors import UsageError
from evals.records.card import Card, Config
from evals.report.metrics import mean_value
from evals.types import Estimate, Metric, Sampling
from evals.verdicts.reported import Claim
from tests.support import synthetic_results


def entry(
    model: str,
    value: float | None,
    *,
    suite: str = "mmlu-pro",
    half: float = 0.02,
    unit: str = "fraction",
    better: str = "higher",
    config: dict[str, Any] | None = None,
    **changes: Any,
) -> frames.Entry:
    """A run as the index gives it."""
    settings = {
        "suite": suite, "version": "1", "protocol": "official", "data_sha256": "d" * 64, "model": model,
        "sampling": Sampling(), "seed": 0, "repeats": 1, **(config or {}),
    }  # fmt: skip
    low, high = (None, None) if value is None else (value - half, value + half)
    one = Estimate(
        metric="accuracy", group="", value=value, low=low, high=high, worst=low, best=high, n=100, clusters=100,
        unit=unit, better=better, method="Wilson", headline=True,
    )  # fmt: skip
    facts_ = {
        "run": f"{model}-{suite}",
        "coverage": 1.0,
        "started": 1e9,
        "estimates": (one,),
        "data": "hub",
        "status": "finished",
        **changes,
    }
    return frames.Entry(
        path=Path(f"/nowhere/{model}"), card=Card(config=Config(**settings), model=model, **facts_)
    )


def labels(*entries: frames.Entry) -> list[str]:
    return list(board.build(entries).columns)


# --- columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
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
def test_what_differs_never_shares_a_column(changes: dict[str, Any], said: str) -> None:
    found = labels(entry("a", 0.5), entry("b", 0.6, **changes))
    assert len(found) == 2
    assert said in found


def test_what_is_alike_shares_one_and_is_named_shortly() -> None:
    assert labels(entry("a", 0.5), entry("b", 0.6)) == ["mmlu-pro · official"]


def test_repeats_do_not_part_a_column() -> None:
    def repeated(model: str, repeats: int) -> frames.Entry:
        one = entry(model, 0.5, suite="aime:2025", config={"repeats": repeats})
        named = tuple(structs.replace(e, metric=f"avg@{repeats}") for e in one.card.estimates)
        return frames.Entry(path=one.path, card=structs.replace(one.card, estimates=named))

    assert labels(repeated("a", 1), repeated("b", 16)) == ["aime:2025 · official"]


def test_the_newest_run_of_a_model_counts_and_the_cell_says_how_many_there_are() -> None:
    made = board.build([entry("a", 0.5, started=2e9, run="new"), entry("a", 0.6, started=1e9, run="old")])
    cell = made.cells[made.rows[0], "mmlu-pro · official"]
    assert (cell.estimate.value, cell.runs, cell.entry and cell.entry.card.run) == (0.5, 2, "new")


def test_a_model_that_was_told_to_think_is_another_row() -> None:
    made = board.build(
        [
            entry("a", 0.5, config={"sampling": Sampling(thinking=True)}),
            entry("a", 0.4, config={"sampling": Sampling(thinking=False)}),
        ]
    )
    assert [row.label for row in made.rows] == ["a (thinking off)", "a (thinking on)"]


def test_a_run_without_a_number_is_in_no_cell() -> None:
    assert board.build([entry("a", None)]).rows == ()


def test_a_suites_own_mean_over_its_tasks_is_a_column() -> None:
    tasks = {"steels": 400.0, "expt_gap": 0.5, "expt_is_metal": 0.9, "glass": 0.8}
    several = [
        entry("a", value, suite=f"matbench:{task}", config={"protocol": "intern-s1"})
        for task, value in tasks.items()
    ]
    made = board.build(several)
    cell = made.cells[made.rows[0], "matbench · intern-s1"]
    assert cell.estimate.value == pytest.approx((0.8 + 0.75 + 0.9 + 0.8) / 4)
    assert cell.entry is None
    assert "matbench · intern-s1" not in board.build(several[:3]).columns  # a task is missing


# --- cells, means and colours -------------------------------------------------------------------------------


def test_a_cell_shows_coverage_where_it_is_not_whole() -> None:
    failed = {"right": 1, "failed:timeout": 1}
    made = board.build(
        [
            entry("a", 0.5),
            entry("b", 0.6, coverage=0.998, counts=failed),
            entry("c", 0.7, coverage=0.99999, counts=failed),
        ]
    )
    assert [heat.cell_text(made.cells[row, "mmlu-pro · official"]) for row in made.rows] == [
        "50.0 ±2.0",
        "60.0 ±2.0 (99.8 %)",
        "70.0 ±2.0 (100.0 %)",
    ]


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "said"),
    [
        (0.4358, 0.427, 0.4447, "fraction", "43.6 ±0.9"),
        (0.0, 0.0, 0.242, "fraction", "0.0 +24.2 −0.0"),
        (103.5, 91.28, 116.4, "MPa", "104 ±13"),
        (0.446, 0.4277, 0.4671, "eV", "0.446 ±0.020"),
        (0.5, None, None, "fraction", "50.0"),
        (None, None, None, "fraction", ""),
    ],
)
def test_a_number_is_written_with_its_interval(value, low, high, unit, said) -> None:
    assert statistics.format_with_interval(value, low, high, unit) == said


def test_a_mean_has_the_joint_interval_of_independent_suites() -> None:
    made = board.build([entry("a", 0.5, half=0.03), entry("a", 0.7, suite="gpqa:diamond", half=0.04)])
    found = statistics.mean(made, made.rows[0], list(made.columns))
    assert found == pytest.approx((0.6, 0.6 - 0.025, 0.6 + 0.025))


def test_a_mean_needs_all_of_its_suites() -> None:
    made = board.build([entry("a", 0.5), entry("b", 0.5), entry("a", 0.7, suite="gpqa:diamond")])
    assert statistics.mean(made, board.Row("b", None), list(made.columns)) is None


def test_a_mean_over_units_or_over_two_protocols_of_a_suite_is_refused() -> None:
    made = board.build(
        [
            entry("a", 0.5), entry("a", 0.5, config={"protocol": "strict"}),
            entry("a", 100.0, suite="matbench:steels", unit="MPa", better="lower"),
        ]
    )  # fmt: skip
    assert "selected several times" in statistics.averaging_fault(
        made, ["mmlu-pro · official", "mmlu-pro · strict"]
    )
    assert "MPa" in statistics.averaging_fault(made, ["mmlu-pro · official", "matbench:steels · official"])
    assert statistics.averaging_fault(made, ["mmlu-pro · official"]) == ""


def test_standing_is_what_the_intervals_support() -> None:
    def standing(better: str, *values: tuple[float, float]) -> list[float]:
        made = [entry(str(i), value, half=half) for i, (value, half) in enumerate(values)]
        found = statistics.standing(
            {board.row_of(e.card): e.headline for e in made if e.headline}, better=better
        )
        return list(found.values())

    assert standing("higher", (0.1, 0.01), (0.5, 0.01), (0.3, 0.01)) == [0.0, 1.0, 0.5]
    assert standing("lower", (0.1, 0.01), (0.5, 0.01), (0.3, 0.01)) == [1.0, 0.0, 0.5]
    assert standing("higher", (0.50, 0.05), (0.52, 0.05), (0.51, 0.05)) == []  # nothing is shown
    assert standing("higher", (0.70, 0.02), (0.71, 0.02), (0.30, 0.02)) == [
        0.75,
        0.75,
        0.0,
    ]  # tied ones are alike
    assert standing("higher", (0.5, 0.0)) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_text_stands_out_from_every_heat(dark: bool, share: float) -> None:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    text, ground = light("#f2f5f9" if dark else "#0e1420"), light(heat.blend(share, dark=dark))
    assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 7


def test_the_table_is_in_order_and_ends_with_chance() -> None:
    made = board.build([entry("a", 0.5), entry("baseline:mean", 0.9), entry("b", 0.6, chance=0.25)])
    selected = filters.Filters(columns=("mmlu-pro · official",), rank_by="mmlu-pro · official")
    found = heat.table(made, selected, list(made.rows), ties.ColumnRanks())
    assert found.texts["model"].tolist() == ["a", "b", "baseline:mean", "chance"]
    assert found.texts["mmlu-pro · official"].tolist()[-1] == "25.0"
    assert found.colours["mmlu-pro · official"].isna().tolist() == [False, False, True, True]
    style = heat.style_table(found, dark=False)
    for html in (style.to_html(), style.to_html()):  # whoever draws it may write it twice
        assert [html.count(words) for words in ("50.0 ±2.0", "60.0 ±2.0", "90.0 ±2.0", "25.0")] == [
            1,
            1,
            1,
            1,
        ]


# --- filters ------------------------------------------------------------------------------------------------


def test_filters_leave_what_they_say() -> None:
    made = board.build(
        [
            entry("Intern-S1", 0.8), entry("o3", 0.9), entry("Qwen3-8B", 0.5, suite="chembench:4k"),
            entry("Qwen3-8B", 0.5, data="sample"),
        ]
    )  # fmt: skip

    def rows(**kept: Any) -> list[str]:
        return [row.label for row in filters.matching_rows(made, filters.Filters(**kept))]

    assert rows() == ["Intern-S1", "o3", "Qwen3-8B"]
    assert rows(weights="open") == ["Intern-S1", "Qwen3-8B"]
    assert rows(weights="closed") == ["o3"]
    assert rows(sizes=("up to 10B",)) == ["Qwen3-8B"]
    assert rows(kind="science") == ["Qwen3-8B"]
    assert filters.matching_columns(made, filters.Filters(kind="general")) == ["mmlu-pro · official"]
    assert "mmlu-pro · official · sample items" in filters.matching_columns(
        made, filters.Filters(include_sample_items=True)
    )
    assert filters.matches_date(1e9, filters.Filters(since=datetime.date(2001, 9, 9)))
    assert not filters.matches_date(1e9, filters.Filters(since=datetime.date(2001, 9, 10)))


@pytest.mark.parametrize(
    ("name", "open_", "size"),
    [
        ("Intern-S1", True, 241), ("internlm/Intern-S1-mini-FP8", True, 8.3), ("Qwen3-235B-A22B", True, 235),
        ("Llama-3.1-8B-Instruct", True, 8), ("o3", False, None), ("our-13b-chat", None, 13), ("nobody", None, None),
    ],
)  # fmt: skip
def test_what_is_known_of_models(name: str, open_: bool | None, size: float | None) -> None:
    assert (model_facts(name).open, model_facts(name).size_b) == (open_, size)


# --- ties ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_results.write_all(tmp_path_factory.mktemp("made") / "results")


def test_ties_are_those_of_evals_compare(made: Path) -> None:
    from evals.verdicts import suite_runs
    from evals.verdicts.compare import compare

    found = board.build(frames.index(made).entries)
    label = "gpqa:diamond · official"
    runs = {row: cell.entry for row, cell in found.column(label).items() if cell.entry}
    ours = ties.rank_models(found.columns[label], runs)
    theirs = compare([[suite_runs.of_run(frames.store.Run(one.path))] for one in runs.values()])
    by_run = {one.card.run: row.label for row, one in runs.items()}
    want = {by_run[one.run]: (one.rank_low, one.rank_high, one.groups) for one in theirs.ranks}
    assert {one.model: (one.rank_low, one.rank_high, one.groups) for one in ours.ranks} == want
    assert ours.n == (200, 200)
    assert ours.pairs == 10


def test_a_mean_over_groups_needs_a_scored_sample_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    values = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, np.nan]])
    monkeypatch.setattr(ties, "_sample_values", lambda paths: (values, ["a", "b", "c"], ["x", "x", "y"]))
    metric = Metric(name="accuracy_macro", of=mean_value, pool="macro")
    found = ties._compare_means.__wrapped__(None, metric, (("a", Path("a"), ()), ("b", Path("b"), ())))
    assert (found.ranks, "in one of the groups" in found.why_not) == ((), True)


def test_the_ranked_column_is_coloured_as_the_paired_comparison_says(made: Path) -> None:
    found = board.build(frames.index(made).entries)
    label = "gpqa:diamond · official"
    runs = {row: cell.entry for row, cell in found.column(label).items() if cell.entry}
    places = ties.rank_models(found.columns[label], runs)
    shown = heat.table(found, filters.Filters(columns=(label,), rank_by=label), list(runs), places)
    by_letters: dict[str, set[float]] = {}
    for place, share in zip(places.ranks, shown.colours[label], strict=False):
        by_letters.setdefault(f"{place.rank_low} {place.rank_high}", set()).add(share)
    assert all(len(shares) == 1 for shares in by_letters.values())
    assert shown.headings[label][0] == label
    assert shown.headings[label][1].startswith("accuracy, % ↑")


def test_a_temperature_unlike_most_of_the_column_is_marked() -> None:
    several = [
        entry("a", 0.5), entry("b", 0.4), entry("c", 0.6, config={"sampling": Sampling(temperature=0.7)}),
        entry("d", 0.6, suite="aime:2025", config={"sampling": Sampling(temperature=0.7)}),
    ]  # fmt: skip
    marks = {row.model: cell.marks.get("T") for (row, _), cell in board.build(several).cells.items()}
    assert marks == {"a": None, "b": None, "c": "unusual temperature, 0.7", "d": None}


def test_marks_stand_in_the_cell() -> None:
    few = entry("a", 0.5)
    estimate = structs.replace(few.card.estimates[0], n=1000, clusters=12)
    early = structs.replace(few.card, estimates=(estimate,), counts={"right": 3, "absent": 9}, coverage=0.25)
    (cell,) = board.build([structs.replace(few, card=early)]).cells.values()
    assert heat.cell_text(cell) == "50.0 ±2.0 (25.0 %) EF"


def test_reported_results_lie_beside_measured_ones_of_their_protocol() -> None:
    made = board.build([entry("a", 0.5), entry("a", 0.5, config={"protocol": "strict"})])
    label = "mmlu-pro · official"
    several = [
        claim("m", 0.9, protocol="official", date=datetime.date(2025, 1, 1)),
        claim("m", 0.6, protocol="official", date=datetime.date(2024, 1, 1)),
        claim("n", 0.6), claim("o", 60.0, protocol="official", unit="points"),
        claim("p", 0.6, protocol="official", superseded=True),
    ]  # fmt: skip
    theirs = claimed.reported_rows(several, made, list(made.columns))
    assert theirs == [heat.ReportedRow("m", {label: 0.9})]
    chosen = filters.Filters(columns=(label,), rank_by=label)
    shown = heat.table(made, chosen, [*made.rows, *theirs], ties.ColumnRanks())
    assert shown.texts.to_dict("records")[1] == {"model": "m (reported)", "rank": "", label: "90.0"}


def test_one_model_is_compared_with_nobody(made: Path) -> None:
    found = board.build(frames.index(made).entries)
    label = next(iter(found.columns))
    row, cell = next(iter(found.column(label).items()))
    assert cell.entry
    assert "only one model" in ties.sentence(ties.rank_models(found.columns[label], {row: cell.entry}))


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


def test_claims_stand_under_their_own_protocol_and_doubles_beside_each_other() -> None:
    several = [
        claim("m", 0.5, protocol="intern-s1"), claim("m", 0.6), claim("m", 0.7), claim("n", 0.1, superseded=True),
        claim("m", 0.2, suite="gpqa:diamond"),
    ]  # fmt: skip
    found = claimed.table(several, ["mmlu-pro"])
    assert found.drop(columns=claimed.POSSIBLE_SCORES).to_dict("records") == [
        {"model": "m", "mmlu-pro · intern-s1": "50.0", "mmlu-pro · protocol not stated": "60.0 / 70.0"}
    ]


def test_a_claim_of_another_variant_is_not_beside_a_measured_number() -> None:
    column = board.column_of(
        entry("a", 0.5, suite="chembench:lamalab").card, entry("a", 0.5).card.estimates[0]
    )
    several = [
        claim("A", 0.5, suite="chembench:4k"),
        claim("a", 0.4, suite="chembench:lamalab", protocol="official"),
    ]
    assert [one.value for one in claimed.claims_for(several, "a", column)] == [0.4]


# --- general against science --------------------------------------------------------------------------------


def test_a_point_needs_all_suites_under_one_protocol() -> None:
    made_board = board.build(
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
    found = abilities.sources(made_board, claims)
    points = abilities.points(found, ["mmlu-pro"], ["chembench:4k"])
    assert points["model"].tolist() == ["a (official)", "c"]
    assert points["kind"].tolist() == ["measured", "reported"]
    assert points["general_low"].tolist()[0] == pytest.approx(48.0)
    assert pd.isna(points["general_low"].tolist()[1])
    assert abilities.incomplete_models(found, ["mmlu-pro", "chembench:4k"]) == [
        "b (official): missing chembench:4k",
        "b (strict): missing mmlu-pro",
    ]


def test_the_figures_are_printed_as_vectors_and_no_name_covers_another() -> None:
    from evals.dashboard.charts import figures

    claims = [
        claim(f"model-{i}", value, suite=suite, protocol="intern-s1")
        for i, value in enumerate((0.5, 0.501, 0.502, 0.9))
        for suite in ("mmlu-pro", "chembench:4k")
    ]
    points = abilities.points(abilities.sources(board.build([]), claims), ["mmlu-pro"], ["chembench:4k"])
    chart = figures.scatter(points, dark=False)
    assert figures.render_for_print(chart, "svg").startswith(b"<svg")
    assert figures.render_for_print(chart, "pdf").startswith(b"%PDF")
    placed = figures.place_labels(points, "general", "science")
    shown = placed[placed["name"] != ""]
    heights = sorted(shown.loc[shown["general"] < 60, "science_name"])
    assert all(b - a > 1 for a, b in pairwise(heights))
    assert "model-3" in set(shown["name"])


def test_the_figure_opens_on_suites_that_measured_models_have() -> None:
    made = board.build([entry("a", 0.5), entry("a", 0.7, suite="chembench:4k"), entry("b", 0.5)])
    found = abilities.sources(made, [claim("c", 0.9, suite="gpqa:diamond")])
    assert abilities.default_suites(found, general=True) == ["mmlu-pro"]
    assert abilities.default_suites(found, general=False) == ["chembench:4k"]
    assert abilities.default_suites(abilities.sources(board.build([]), [claim("c", 0.9)]), general=True) == [
        "mmlu-pro"
    ]


# --- runs and history ---------------------------------------------------------------------------------------


def test_the_command_repeats_a_run() -> None:
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


def test_a_growing_run_is_counted_and_its_band_only_narrows(made: Path) -> None:
    (growing,) = [e for e in frames.index(made).entries if e.card.status == "running"]
    found = effort.progress(growing)
    assert (found.done, found.expected) == (180, 300)
    assert sum(found.verdicts.values()) == 180
    curve = effort.running_mean(growing)
    assert curve["n"].tolist()[-1] == 180
    assert curve["low"].is_monotonic_increasing
    assert curve["high"].is_monotonic_decreasing
    assert (curve["low"] <= curve["high"]).all()
    config = structs.replace(growing.card.config, suite="matbench:glass", protocol="official")
    other = structs.replace(growing, card=structs.replace(growing.card, config=config))
    assert effort.running_mean(other).empty  # its headline is not the mean of these values


def test_the_front_holds_what_nobody_beats_in_both() -> None:
    table = pd.DataFrame(
        {"model": list("abcd"), "value": [0.5, 0.7, 0.6, 0.9], "cost": [1.0, 2.0, 3.0, float("nan")]}
    )
    found = effort.pareto(table, "cost", better="higher").set_index("model")["optimal"].to_dict()
    assert found == {"a": True, "b": True, "c": False}
    assert effort.pareto(table, "cost", better="lower")["optimal"].tolist() == [True, False, False]


def test_history_judges_each_checkpoint_and_marks_what_changed(made: Path) -> None:
    (line,) = past.histories(frames.index(made).entries, "intern/step")
    table = past.table(line, margin=0.02, against="the one before")
    assert table["verdict"].tolist() == ["", "pass", "pass", "regression", "pass", "not comparable"]
    assert table["changed"].tolist()[-1] == "suite version 1 → 2 (prompt or scoring rule)"
    assert table["segment"].tolist() == [0, 0, 0, 0, 0, 1]
    assert past.table(line, margin=0.02, against="the first")["verdict"].tolist()[3] == "regression"
    assert past.histories(frames.index(made).entries, "nobody") == []


# --- files --------------------------------------------------------------------------------------------------


def test_downloads_hold_all_that_a_number_rests_on(made: Path, tmp_path: Path) -> None:
    found = board.build(frames.index(made).entries)
    frame = files.tidy_table(found, found.rows, list(found.columns))
    assert len(frame) == len(found.cells)
    assert {"value", "low", "high", "coverage", "n", "protocol", "data_sha256", "run"} <= set(frame)
    (tmp_path / "x.parquet").write_bytes(files.parquet(frame))
    assert pd.read_parquet(tmp_path / "x.parquet")["value"].tolist() == frame["value"].tolist()


def test_a_formula_in_a_name_is_text_in_the_csv() -> None:
    text = files.csv(pd.DataFrame({"model": ["=1+1", "@x", "fine"], "value": [-1.0, 2.0, 3.0]})).decode()
    assert text.splitlines() == ["model,value", "'=1+1,-1.0", "'@x,2.0", "fine,3.0"]


def test_the_export_stands_alone_and_obeys_nobody(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "out"
    synthetic_results.write_checkpoints(results, count=3, samples=60)
    evil = '<script>fetch("http://evil")</script>"><img src=x onerror=alert(1)>'
    synthetic_results.update_card(frames.index(results).entries[0].path, model=evil)
    written = export.export(results, out)
    names = {str(path.relative_to(out)) for path in written}
    assert {"index.html", "leaderboard.csv", "leaderboard.json", "samples/mmlu-pro-made-05000.html"} <= names
    page = (out / "index.html").read_text()
    assert page.startswith(export.PAGE_MARKER)
    for path in written:
        if path.suffix == ".html":
            text = path.read_text()
            assert re.findall(r"<script.*?</script>", text, re.DOTALL) == [
                f"<script>{export.SCRIPT}</script>"
            ]
            assert f"'sha256-{b64encode(sha256(export.SCRIPT.encode()).digest()).decode()}'" in text
            assert "<img" not in text
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("&quot;http://evil&quot;", "")
    document = json.loads((out / "leaderboard.json").read_text())
    assert {column["protocol"] for column in document["columns"]} == {"official"}
    assert evil in {cell["model"] for cell in document["cells"]}
    assert document["claims"]
    export.export(results, out)  # our own page may be written again
    for name in re.findall(r'href="(samples/[^"]+)"', page):
        assert (out / name).exists()
    sample = (out / "samples" / "mmlu-pro-made-05000.html").read_text()
    assert "<mark>" in sample
    verdicts = re.findall(r": (\w+)</h2>", sample)
    assert verdicts
    assert verdicts == sorted(verdicts, key=lambda verdict: verdict == "right")


@pytest.mark.slow
def test_somebody_elses_page_is_not_overwritten(made: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>my home page</h1>")
    with pytest.raises(UsageError, match="not written by this command"):
        export.export(made, tmp_path)
    with pytest.raises(UsageError, match="has a score yet"):
        export.export(tmp_path, tmp_path / "new")


# --- which run stands for a model ---------------------------------------------------------------------------


def test_a_run_that_stopped_early_does_not_replace_the_complete_one() -> None:
    full = entry("a", 0.349, run="full", started=1.0, counts={"right": 349, "wrong": 651})
    early = entry(
        "a", 0.30, run="early", started=2.0, coverage=0.014, counts={"right": 3, "wrong": 7, "absent": 986}
    )
    newer = entry(
        "a", 0.352, run="newer", started=3.0, coverage=0.99, counts={"right": 352, "failed:timeout": 10}
    )
    for several, chosen, complete in (
        ([full, early], "full", True),
        ([early, full], "full", True),
        ([full, early, newer], "newer", True),  # failures are outcomes: what was asked is the whole benchmark
        ([early], "early", False),
    ):
        (cell,) = board.build(several).cells.values()
        assert cell.entry is not None
        assert (cell.entry.card.run, cell.entry.card.complete, cell.runs) == (chosen, complete, len(several))


def test_a_subset_stands_for_a_model_only_while_nothing_complete_is_there() -> None:
    full, part = entry("a", 0.35, started=1.0), entry("a", 0.4, started=2.0, config={"limit": 200})
    other = entry("b", 0.5, config={"limit": 200})
    assert [c.limit for c in board.build([full, part]).columns.values()] == [None]
    found = board.build([full, part, other])
    assert {(row.model, found.columns[label].limit) for row, label in found.cells} == {
        ("a", None),
        ("b", 200),
    }
    subset = found.cells[next(key for key in found.cells if key[0].model == "b")].entry
    assert subset is not None
    assert not subset.card.complete


def test_history_opens_on_the_longest_line() -> None:
    steps = [entry(f"step-{i}", 0.5, run=f"r{i}", started=float(i)) for i in (10, 20, 30)]
    twice = [entry("a", 0.5, run=f"a{i}", started=float(i)) for i in range(2)]
    assert past.models_with_history([*twice, *steps])[:2] == ["step-", "a"]


def test_an_early_stop_is_no_point_of_the_history_and_no_company_of_a_suite() -> None:
    from evals.dashboard.tables import suite as suites

    full = entry("a", 0.349, run="full", started=1.0, counts={"right": 349, "wrong": 651})
    early = entry("a", 0.30, run="early", started=2.0, coverage=0.01, counts={"right": 3, "absent": 986})
    (line,) = past.histories([full, early], "a")
    assert [one.card.run for one in line.entries] == ["full"]
    (line,) = past.histories([early], "a")
    assert [one.card.run for one in line.entries] == ["early"]
    other = structs.replace(entry("b", 0.5), path=Path("elsewhere"))
    assert [one.card.run for one in suites.comparable_runs(other, [full, early])] == ["full"]
