"""General ability against science: two means per model, measured ones with intervals, reported ones without.

Source of the figure and of the suites that are chosen first: the Intern-S1 paper (arXiv 2508.15763), figures 1 and 2.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from evals.dashboard.tables.leaderboard import GENERAL as KINDS
from evals.dashboard.tables.leaderboard import Board, Mean, Row, joint
from evals.types import Estimate
from evals.verdicts.reported import Claim

GENERAL = ("mmlu-pro", "gpqa:diamond", "aime:2025")
SCIENCE = ("smolinstruct", "chembench:4k", "matbench")

MEASURED, REPORTED = "measured", "reported"


class Source(NamedTuple):
    """A model under one set of protocols, measured or reported."""

    model: str
    kind: str
    protocol: str
    """Empty: not stated."""

    @property
    def label(self) -> str:
        """Name it for a figure."""
        return self.model if self.kind == REPORTED or not self.protocol else f"{self.model} ({self.protocol})"


class Part(NamedTuple):
    """One number."""

    value: float
    low: float | None
    high: float | None


def sources(board: Board, claims: Iterable[Claim]) -> dict[Source, dict[str, Part]]:
    """Return all fractions of which more is better, by source and suite."""
    found: dict[Source, dict[str, Part]] = defaultdict(dict)
    for (row, label), cell in board.cells.items():
        column = board.columns[label]
        if column.sample or column.limit or column.unit != "fraction" or column.better != "higher":
            continue
        part = _part(cell.estimate)
        if part and not row.baseline:
            found[_source(row, column.protocol)].setdefault(column.suite, part)
    for claim in claims:
        if claim.unit == "fraction" and not claim.superseded:
            source = Source(claim.model, REPORTED, claim.protocol)
            found[source].setdefault(claim.suite, Part(claim.value, None, None))
    return dict(found)


def _source(row: Row, protocol: str) -> Source:
    return Source(row.label, MEASURED, protocol)


def _part(one: Estimate) -> Part | None:
    return None if one.value is None else Part(one.value, one.low, one.high)


def suites(found: dict[Source, dict[str, Part]], *, general: bool) -> list[str]:
    """Return the suites of one kind, the paper's first."""
    first = GENERAL if general else SCIENCE
    known = dict.fromkeys(suite for parts in found.values() for suite in parts)
    fits = [suite for suite in known if (suite.partition(":")[0] in KINDS) == general]
    return sorted(fits, key=lambda suite: (first.index(suite) if suite in first else len(first), suite))


def usual(found: dict[Source, dict[str, Part]], *, general: bool) -> list[str]:
    """Choose suites to begin with: those of measured models that have both kinds, of the protocol with most of them.

    Without such models they are the paper's.
    """
    both = [
        source
        for source, parts in found.items()
        if source.kind == MEASURED and len({suite.partition(":")[0] in KINDS for suite in parts}) == 2
    ]
    counts = Counter(source.protocol for source in both)
    offered = suites(found, general=general)
    if not counts:
        return [suite for suite in (GENERAL if general else SCIENCE) if suite in offered]
    protocol = max(counts, key=lambda name: (counts[name], name))
    chosen = [found[source] for source in both if source.protocol == protocol]
    having = Counter(suite for parts in chosen for suite in parts)
    most = max(having[suite] for suite in offered)
    return [suite for suite in offered if having[suite] == most][:6]


def points(
    found: dict[Source, dict[str, Part]], general: Sequence[str], science: Sequence[str]
) -> pd.DataFrame:
    """Return a row per source that has all of the suites: both means in percent with their joint intervals."""
    rows = []
    for source, parts in found.items():
        if not general or not science or not all(suite in parts for suite in (*general, *science)):
            continue
        row: dict[str, object] = {
            "model": source.label,
            "kind": source.kind,
            "protocol": source.protocol or "not stated",
        }
        for axis, chosen in (("general", general), ("science", science)):
            value = joint([parts[suite] for suite in chosen])
            row |= {axis: 100 * value.value, **_ends(axis, value)}
        rows.append(row)
    names = ["model", "kind", "protocol"]
    names += [f"{axis}{end}" for axis in ("general", "science") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=names)


def _ends(axis: str, value: Mean) -> dict[str, float | None]:
    low, high = (None if end is None else 100 * end for end in (value.low, value.high))
    return {f"{axis}_low": low, f"{axis}_high": high}


def bars(found: dict[Source, dict[str, Part]], chosen: Sequence[str], models: Sequence[str]) -> pd.DataFrame:
    """Return a row per source and suite, in percent."""
    rows = [
        {
            "model": source.label,
            "kind": source.kind,
            "suite": suite,
            "value": 100 * part.value,
            "low": None if part.low is None else 100 * part.low,
            "high": None if part.high is None else 100 * part.high,
        }
        for source, parts in found.items()
        if source.label in models
        for suite, part in parts.items()
        if suite in chosen
    ]
    return pd.DataFrame(rows, columns=["model", "kind", "suite", "value", "low", "high"])


def lacking(found: dict[Source, dict[str, Part]], chosen: Sequence[str]) -> list[str]:
    """Say of each measured model that has some of the suites which ones it lacks."""
    said = []
    for source, parts in found.items():
        missing = [suite for suite in chosen if suite not in parts]
        if source.kind == MEASURED and missing and len(missing) < len(chosen):
            said.append(f"{source.label} lacks {', '.join(missing)}")
    return sorted(said)
