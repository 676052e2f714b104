"""Reported results: numbers that others published, as the dashboard shows them."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pandas as pd

from evals.dashboard.tables.frames import Stamp
from evals.dashboard.tables.leaderboard import Board, Column
from evals.dashboard.tables.models import plain as name_of
from evals.dashboard.tables.styling import Reported, plain, unit
from evals.verdicts import reported as claims
from evals.verdicts.reported import Claim

NOT_SAID = "protocol not stated"


def load(results: Path) -> tuple[Claim, ...]:
    """Read all claims, those of the results folder included; raises DataError where one of its files is broken."""
    own = sorted((results / "claims").glob("*.toml"))
    return _load(results, tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in own))


@lru_cache(maxsize=4)
def _load(results: Path, own: Stamp) -> tuple[Claim, ...]:
    return tuple(claims.load(results if own else None))


def of(found: Iterable[Claim], model: str, column: Column) -> list[Claim]:
    """Return what is published of a model on a suite, under this protocol or one that is not stated."""
    return [
        claim
        for claim in found
        if same_model(claim.model, model)
        and claim.suite in names(column.suite)
        and claim.protocol in ("", column.protocol)
        and not column.sample
    ]


def same_model(one: str, other: str) -> bool:
    """Whether two names are one model's, whatever their case, punctuation and path."""
    return name_of(one) == name_of(other)


def names(suite: str) -> tuple[str, str]:
    """Return the names under which a suite may be claimed: its own, and that of all its variants together."""
    return suite, suite.partition(":")[0]


def said(claim: Claim) -> str:
    """Say a claim in a line: value, protocol, date, source."""
    parts = [f"{claim.benchmark} {plain(claim.value, claim.unit)} {unit(claim.unit)}"]
    parts.append(f"protocol {claim.protocol}" if claim.protocol else NOT_SAID)
    if claim.date:
        parts.append(f"as of {claim.date.isoformat()}")
    if claim.superseded:
        parts.append("superseded by its source")
    if claim.note:
        parts.append(claim.note)
    return f"{', '.join(parts)}: {claim.source}"


def beside(found: Iterable[Claim], board: Board, labels: Iterable[str]) -> list[Reported]:
    """Return reported results of the columns' own suites, protocols and units, a row a model; the newest of several."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    columns = {label: board.columns[label] for label in labels}
    for claim in sorted(found, key=lambda claim: claim.date or datetime.date.min):
        for label, column in columns.items():
            same = (claim.suite, claim.protocol, claim.unit) == (column.suite, column.protocol, column.unit)
            if same and not (column.sample or column.limit or claim.superseded):
                values[claim.model][label] = claim.value
    return [Reported(model, cells) for model, cells in values.items()]


def label(claim: Claim) -> str:
    """Name the column of a claim."""
    return f"{claim.suite} · {claim.protocol or NOT_SAID}"


def table(found: Iterable[Claim], suites: Iterable[str]) -> pd.DataFrame:
    """Lay claims out, models by suite and protocol; several numbers of one cell stand side by side."""
    wanted = list(dict.fromkeys(name for suite in suites for name in names(suite)))
    kept = [claim for claim in found if claim.suite in wanted and not claim.superseded]
    cells: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for claim in kept:
        value = plain(claim.value, claim.unit)
        if value not in (several := cells[claim.model][label(claim)]):
            several.append(value)
    columns = sorted(
        {label(claim) for claim in kept}, key=lambda name: wanted.index(name.partition(" · ")[0])
    )
    rows = [
        {"model": model, **{column: " / ".join(values.get(column, ())) for column in columns}}
        for model, values in cells.items()
    ]
    return pd.DataFrame(rows, columns=["model", *columns])
