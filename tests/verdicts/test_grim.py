"""The GRIM test, whether a printed score is possible for a number of items: against brute force and on published tables."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import load
from evals.verdicts import reported
from evals.verdicts.grim import GrimTable, examine_claims, on_grid, share_on_grid
from tests.support.command import evals
from tools import make_further_claims


def printed(k: int, cells: int, digits: int, rounding: str) -> str:
    """Return the percentage of `k` right answers of `cells` as it is printed."""
    return str((Decimal(100 * k) / cells).quantize(Decimal(1).scaleb(-digits), rounding=rounding))


@given(st.integers(1, 120), st.integers(1, 4), st.integers(0, 2), st.integers(0, 10_000))
def test_on_grid_agrees_with_trying_every_number_of_right_answers(
    items: int, runs: int, digits: int, value: int
) -> None:
    cells = items * runs
    number = str((Decimal(value % (100 * 10**digits + 1)) / 10**digits).quantize(Decimal(1).scaleb(-digits)))
    possible = {
        printed(k, cells, digits, rounding)
        for k in range(cells + 1)
        for rounding in (ROUND_HALF_UP, ROUND_HALF_DOWN)
    }
    assert on_grid(number, items=items, runs=runs) == (number in possible)


def test_the_share_on_the_grid_counts_the_numbers_that_can_be_printed() -> None:
    for items, digits in ((30, 1), (198, 2), (541, 2)):
        numbers = {printed(k, items, digits, ROUND_HALF_UP) for k in range(items + 1)}
        assert share_on_grid(digits, items) == len(numbers) / (100 * 10**digits + 1)


def shipped_tables() -> dict[tuple[str, str], GrimTable]:
    """Return the test of every table of shipped claims, by suite and source."""
    tables = examine_claims(reported.claims_by_id(), load.item_counts())
    return {(table.suite, table.source): table for table in tables}


def models_that_fit(table: GrimTable) -> set[str]:
    """Return the models whose printed score is possible."""
    return {result.claim.partition("/")[0] for result in table.results if result.is_possible}


def test_published_tables_fit_the_known_numbers_of_items() -> None:
    tables = shipped_tables()
    (deep_research,) = (table for (suite, _), table in tables.items() if suite == "sgi-bench:deep-research")
    assert deep_research.items == 318
    impossible = {
        result.claim.partition("/")[0] for result in deep_research.results if result.is_possible is False
    }
    assert impossible == {
        "gemini-3-pro", "qwen3-max", "claude-opus-4.1", "grok-4", "qwen3-vl-235b-a22b", "intern-s1", "intern-s1-mini",
    }  # fmt: skip
    assert next(result for result in deep_research.results if result.printed == "15.74").fewer_items == (305,)
    (reasoning,) = (table for (suite, _), table in tables.items() if suite == "sgi-bench:reasoning")
    assert len(models_that_fit(reasoning)) == 19
    (hmmt,) = (table for (suite, _), table in tables.items() if suite == "hmmt:2026")
    assert (len(models_that_fit(hmmt)), hmmt.common_runs) == (0, 32)
    assert hmmt.p is not None
    assert hmmt.p < 1e-6
    ifeval = [table for (suite, _), table in tables.items() if suite == "ifeval"]
    assert {"81.15", "71.53"} <= {
        result.printed for table in ifeval for result in table.results if result.is_possible
    }
    # with one decimal more than half of all numbers are possible, so this table is not tested
    assert on_grid("86.7", items=541)
    aime = [
        result for (suite, _), table in tables.items() if suite == "aime:2024" for result in table.results
    ]
    assert 8 in next(result for result in aime if result.printed == "84.58").runs_that_fit


@pytest.mark.parametrize(
    ("line", "why_not"),
    [
        ('percent = { "m" = 50.0 }\nmetric = "macro over groups"', "not a proportion"),
        ('values = { "m" = 0.5 }\nunit = "eV"', "not a percentage (eV)"),
        ('percent = { "m" = 50.0 }', "number of items is unknown"),
        ('percent = { "m" = 50 }\nitems = 5000', "round to most numbers"),
    ],
)
def test_claims_that_cannot_be_tested_are_reported_with_the_reason(
    tmp_path: Path, line: str, why_not: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'[[claim]]\nsuite = "s"\nbenchmark = "S"\nsource = "https://example.org"\n{line}\n')
    (table,) = examine_claims({"m/s": reported.read(path)[0]}, {})
    (result,) = table.results
    assert result.is_possible is None
    assert why_not in result.why_not


def test_repeats_stated_by_the_source_are_counted_in_the_grid(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[[claim]]\nsuite = "aime:2025"\nbenchmark = "AIME"\nsource = "https://example.org"\n'
        'percent = { "m" = 86.04 }\nknobs = { repeats = 16 }\n'
    )
    (table,) = examine_claims({"m/aime:2025": reported.read(path)[0]}, {"aime:2025": 30})
    assert (table.results[0].runs, table.results[0].is_possible) == (16, True)


def test_claims_check_grid_exits_with_1_if_a_number_is_impossible(tmp_path: Path) -> None:
    outcome = evals("claims", "check", "--grid", "--suite", "hmmt:2026")
    assert outcome.status == 1
    assert "33 items x 32 runs" in outcome.out
    assert evals("claims", "check", "--grid", "--suite", "sgi-bench:reasoning").status == 0
    tables = evals("claims", "check", "--grid", "--suite", "hmmt:2026", "--json").json["tables"]
    assert {result["fits"] for result in tables[0]["fits"]} == {False}
    evals("claims", "check").assert_usage_error()
    evals("claims", "check", "some-run", "--grid").assert_usage_error()


def test_the_file_of_further_claims_is_generated_from_the_shared_table(shared: Path) -> None:
    assert make_further_claims.TARGET.read_text(encoding="utf-8") == make_further_claims.file_content(shared)
    assert len(reported.read(make_further_claims.TARGET)) == len(make_further_claims.rows(shared)) == 783


def test_90_percent_of_the_claims_state_a_condition_of_their_measurement() -> None:
    claims = reported.load_claims()
    with_condition = [claim for claim in claims if claim.protocol or claim.knobs or claim.inferred]
    assert len(with_condition) >= 0.9 * len(claims)
    unverified = [claim for claim in claims if "2603.25040" in claim.source]
    assert unverified
    assert all(re.search("not compared with the paper", claim.note) for claim in unverified)


def test_an_inferred_metric_that_is_not_a_proportion_is_not_tested() -> None:
    """ChartQAPro's items score from 0 to 1, so its printed numbers are not multiples of 1/1,948."""
    claims = {name: claim for name, claim in reported.claims_by_id().items() if claim.suite == "chartqapro"}
    assert claims
    results = [result for table in examine_claims(claims, load.item_counts()) for result in table.results]
    assert {result.is_possible for result in results} == {None}
    assert all(result.why_not.startswith("its metric is not a proportion of items") for result in results)
