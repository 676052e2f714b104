"""Reported results: numbers that others published, as the dashboard shows them."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd

from evals import load as load_suites
from evals.dashboard.tables.frames import Stamp
from evals.dashboard.tables.leaderboard import Board, Column
from evals.dashboard.tables.models import plain as name_of
from evals.dashboard.tables.styling import Reported, plain, unit
from evals.verdicts import reported as claims
from evals.verdicts.grim_test import Fit, examine_claims, explanation
from evals.verdicts.reported import Claim

NOT_STATED = "protocol not stated"


def load(results: Path) -> tuple[Claim, ...]:
    """Read all claims, including those of the results folder; raises DataError if one of its files is broken."""
    files = sorted((results / "claims").glob("*.toml"))
    return _load(results, tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=4)
def _load(results: Path, files: Stamp) -> tuple[Claim, ...]:
    return tuple(claims.load_claims(results if files else None))


def of(reported: Iterable[Claim], model: str, column: Column) -> list[Claim]:
    """Return the reported results of a model on a suite, under this protocol or one that is not stated."""
    return [
        claim
        for claim in reported
        if same_model(claim.model, model)
        and claim.suite in names(column.suite)
        and claim.protocol in ("", column.protocol)
        and not column.sample
    ]


def same_model(name: str, other_name: str) -> bool:
    """Return whether two names are the same, ignoring case, punctuation and path."""
    return name_of(name) == name_of(other_name)


def names(suite: str) -> tuple[str, str]:
    """Return the names under which results may be reported: the suite's, and that of all its variants together."""
    return suite, suite.partition(":")[0]


def sentence(claim: Claim) -> str:
    """Return a claim as a sentence: value, protocol, date, source."""
    parts = [f"{claim.benchmark} {plain(claim.value, claim.unit)} {unit(claim.unit)}"]
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


def beside(reported: Iterable[Claim], board: Board, labels: Iterable[str]) -> list[Reported]:
    """Return reported results with the same suite, protocol and unit as a column, a row per model; the newest of several."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    columns = {label: board.columns[label] for label in labels}
    for claim in sorted(reported, key=lambda claim: claim.date or datetime.date.min):
        for label, column in columns.items():
            same = (claim.suite, claim.protocol, claim.unit) == (column.suite, column.protocol, column.unit)
            if same and not (column.sample or column.limit or claim.superseded):
                values[claim.model][label] = claim.value
    return [Reported(model, cells) for model, cells in values.items()]


def label(claim: Claim) -> str:
    """Return the label of a claim's column."""
    return f"{claim.suite} · {claim.protocol or NOT_STATED}"


def table(reported: Iterable[Claim], suites: Iterable[str]) -> pd.DataFrame:
    """Return claims as a table of models by suite and protocol, and whether their numbers are possible.

    Several numbers of one cell are joined.
    """
    wanted = list(dict.fromkeys(name for suite in suites for name in names(suite)))
    kept = [claim for claim in reported if claim.suite in wanted and not claim.superseded]
    cells: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for claim in kept:
        value = plain(claim.value, claim.unit)
        if value not in (numbers := cells[claim.model][label(claim)]):
            numbers.append(value)
    columns = sorted(
        {label(claim) for claim in kept}, key=lambda name: wanted.index(name.partition(" · ")[0])
    )
    fits = _fits(kept)
    wrong: dict[str, list[str]] = defaultdict(list)
    for claim in kept:
        if claim.erratum:
            wrong[claim.model].append(f"{claim.suite} {plain(claim.value, claim.unit)}: {claim.erratum}")
    extra = [ERRATA] if wrong else []
    rows = [
        {
            "model": model,
            GRID: grid_words(fits[model]),
            **{name: ". ".join(wrong[model]) for name in extra},
            **{column: " / ".join(values.get(column, ())) for column in columns},
        }
        for model, values in cells.items()
    ]
    return pd.DataFrame(rows, columns=["model", GRID, *extra, *columns])


ERRATA = "errata"
"""Column that says what is wrong with printed numbers, or cannot be concluded from them; only if anything is."""
GRID = "possible scores"
"""Column that says whether the printed scores can be shares of their benchmarks' items."""


def _fits(kept: Sequence[Claim]) -> dict[str, list[tuple[Claim, Fit]]]:
    """Return the examined numbers of each model."""
    tables = examine_claims(
        {str(number): claim for number, claim in enumerate(kept)}, load_suites.item_counts()
    )
    fits: dict[str, list[tuple[Claim, Fit]]] = defaultdict(list)
    for fit in (fit for examined in tables for fit in examined.fits):
        claim = kept[int(fit.claim)]
        fits[claim.model].append((claim, fit))
    return fits


def grid_words(fits: Sequence[tuple[Claim, Fit]]) -> str:
    """Return how many of a model's printed numbers are possible, and what would explain each of the others."""
    examined = [(claim, fit) for claim, fit in fits if fit.fits is not None]
    if not examined:
        return f"not examined: {fits[0][1].why_not}"
    impossible = [
        f"{claim.suite} {fit.printed} is no share of {fit.items * fit.runs:,} answers: {explanation(fit)}"
        for claim, fit in examined
        if not fit.fits
    ]
    possible = len(examined) - len(impossible)
    return ". ".join([f"{possible} of {len(examined)}", *impossible])
