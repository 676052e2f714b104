"""Reported results, or claims: published scores that were not measured here."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path

import pandas as pd

from evals import load as load_suites
from evals.dashboard.tables.frames import Stamp
from evals.dashboard.tables.leaderboard import Board, Column
from evals.dashboard.tables.styling import ReportedRow, format_value, unit_symbol
from evals.errors import EvalsError
from evals.verdicts.grim import GrimResult, examine_claims, explanation
from evals.verdicts.reported import Claim, is_same_model, load_claims

NOT_STATED = "protocol not stated"
ERRATA = "errata"
"""Heading of the column of known errors in reported results, which is omitted if there are none."""
POSSIBLE_SCORES = "possible scores"
"""Heading of the column on whether a whole number of right answers could yield the scores."""


def load(results: Path) -> tuple[Claim, ...]:
    """Return the claims in the package and in the results folder; raises DataError if a file there is invalid."""
    files = sorted((results / "claims").glob("*.toml"))
    return _load(results, tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=4)
def _load(results: Path, files: Stamp) -> tuple[Claim, ...]:
    return tuple(load_claims(results if files else None))


def claims_for(claims: Iterable[Claim], model: str, column: Column) -> list[Claim]:
    """Return the claims about a model on a column's suite, under the column's protocol or an unstated one."""
    return [
        claim
        for claim in claims
        if is_same_model(claim.model, model)
        and claim.suite in suite_names(column.suite)
        and claim.protocol in ("", column.protocol)
        and not column.sample
    ]


@cache
def suite_names(suite: str) -> tuple[str, ...]:
    """Return the names under which a suite's results may be reported: its own, its sets', and the benchmark's.

    The benchmark's name is left out if it denotes other data: `mmmu` is not MMMU-Pro.

    >>> suite_names("mmmu:pro-standard"), suite_names("matbench:steels")
    (('mmmu:pro-standard', 'mmmu:pro'), ('matbench:steels', 'matbench'))
    """
    name, _, variant = suite.partition(":")
    try:
        benchmark = load_suites.recorded_benchmark(name)
    except EvalsError:  # unknown to this version, or code that must not be run
        return tuple(dict.fromkeys((suite, name)))
    sets = (f"{name}:{set_name}" for set_name, variants in benchmark.sets.items() if variant in variants)
    names = (suite, *sets) if "" in benchmark.variants else (suite, *sets, name)
    return tuple(dict.fromkeys(names))


def claim_text(claim: Claim) -> str:
    """Return a claim as text: value, protocol, date, remarks and source."""
    parts = [f"{claim.benchmark} {format_value(claim.value, claim.unit)} {unit_symbol(claim.unit)}"]
    parts.append(f"protocol {claim.protocol}" if claim.protocol else NOT_STATED)
    if claim.date:
        parts.append(f"as of {claim.date.isoformat()}")
    if claim.superseded:
        parts.append("superseded by its source")
    if claim.note:
        parts.append(claim.note)
    if claim.erratum:
        parts.append(f"erratum: {claim.erratum}")
    return f"{', '.join(parts)}: {claim.source}"


def reported_rows(claims: Iterable[Claim], board: Board, labels: Sequence[str]) -> list[ReportedRow]:
    """Return a row per model with its newest claim for each column's suite, protocol and unit."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for claim in sorted(claims, key=lambda claim: claim.date or datetime.date.min):
        key = (claim.suite, claim.protocol, claim.unit)
        for label, column in ((label, board.columns[label]) for label in labels):
            is_same_score = key == (column.suite, column.protocol, column.unit)
            if is_same_score and not (column.sample or column.limit or claim.superseded):
                values[claim.model][label] = claim.value
    return [ReportedRow(model, cells) for model, cells in values.items()]


def claim_label(claim: Claim) -> str:
    """Return the label of a claim's column."""
    return f"{claim.suite} · {claim.protocol or NOT_STATED}"


def table(claims: Iterable[Claim], suites: Iterable[str]) -> pd.DataFrame:
    """Return claims as a table of models by suite and protocol, with a column on whether the scores are possible.

    If several scores were reported for a cell, slashes separate them.
    """
    names = list(dict.fromkeys(name for suite in suites for name in suite_names(suite)))
    selected_claims = [claim for claim in claims if claim.suite in names and not claim.superseded]
    cells: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for claim in selected_claims:
        score = format_value(claim.value, claim.unit)
        if score not in (scores := cells[claim.model][claim_label(claim)]):
            scores.append(score)
    columns = sorted(
        {claim_label(claim) for claim in selected_claims},
        key=lambda name: names.index(name.partition(" · ")[0]),
    )
    grim_results = _grim_results_by_model(selected_claims)
    errata: dict[str, list[str]] = {model: [] for model in cells}
    for claim in selected_claims:
        if claim.erratum:
            score = format_value(claim.value, claim.unit)
            errata[claim.model].append(f"{claim.suite} {score}: {claim.erratum}")
    rows = [
        {
            "model": model,
            POSSIBLE_SCORES: possible_scores_text(grim_results[model]),
            ERRATA: ". ".join(errata[model]),
            **{column: " / ".join(scores_by_column.get(column, ())) for column in columns},
        }
        for model, scores_by_column in cells.items()
    ]
    errata_columns = [ERRATA] if any(errata.values()) else []
    return pd.DataFrame(rows, columns=["model", POSSIBLE_SCORES, *errata_columns, *columns])


def _grim_results_by_model(claims: Sequence[Claim]) -> dict[str, list[tuple[Claim, GrimResult]]]:
    """Return, by model, each claim with the test of whether its score is possible."""
    tables = examine_claims({str(i): claim for i, claim in enumerate(claims)}, load_suites.item_counts())
    results: dict[str, list[tuple[Claim, GrimResult]]] = defaultdict(list)
    for result in (result for suite_table in tables for result in suite_table.results):
        claim = claims[int(result.claim)]
        results[claim.model].append((claim, result))
    return results


def possible_scores_text(results: Sequence[tuple[Claim, GrimResult]]) -> str:
    """Return how many of a model's scores are possible, and what would explain the others."""
    tested = [(claim, result) for claim, result in results if result.is_possible is not None]
    if not tested:
        return f"not tested: {results[0][1].why_not}"
    impossible = [
        f"{claim.suite}: no number of right answers out of {result.items * result.runs:,} rounds to {result.printed} % "
        f"({explanation(result)})"
        for claim, result in tested
        if not result.is_possible
    ]
    possible = len(tested) - len(impossible)
    return ". ".join([f"{possible} of {len(tested)}", *impossible])
