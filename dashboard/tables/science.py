"""General ability against science: two means per model, measured ones with intervals, reported ones without.

Source of the figure and of the suites that are chosen first: the Intern-S1 paper (arXiv 2508.15763), figures 1 and 2.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from evals.dashboard.tables.leaderboard import GENERAL as KINDS
from evals.dashboard.tables.leaderboard import Board
from evals.dashboard.tables.statistics import Mean, joint
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
        """Return its name in figures."""
        return self.model if self.kind == REPORTED or not self.protocol else f"{self.model} ({self.protocol})"


def sources(board: Board, claims: Iterable[Claim]) -> dict[Source, dict[str, Mean]]:
    """Return all fractions for which more is better, by source and suite."""
    numbers: dict[Source, dict[str, Mean]] = defaultdict(dict)
    for (row, label), cell in board.cells.items():
        column = board.columns[label]
        if column.sample or column.limit or column.unit != "fraction" or column.better != "higher":
            continue
        estimate = cell.estimate
        if estimate.value is not None and not row.baseline:
            number = Mean(estimate.value, estimate.low, estimate.high)
            numbers[Source(row.label, MEASURED, column.protocol)].setdefault(column.suite, number)
    for claim in claims:
        if claim.unit == "fraction" and not claim.superseded:
            source = Source(claim.model, REPORTED, claim.protocol)
            numbers[source].setdefault(claim.suite, Mean(claim.value, None, None))
    return dict(numbers)


def suites(numbers: dict[Source, dict[str, Mean]], *, general: bool) -> list[str]:
    """Return the suites of one kind, the paper's first."""
    first = GENERAL if general else SCIENCE
    known = dict.fromkeys(suite for parts in numbers.values() for suite in parts)
    fits = [suite for suite in known if (suite.partition(":")[0] in KINDS) == general]
    return sorted(fits, key=lambda suite: (first.index(suite) if suite in first else len(first), suite))


def default_suites(numbers: dict[Source, dict[str, Mean]], *, general: bool) -> list[str]:
    """Return the suites that the page opens on: of the protocol under which most models have both kinds.

    Without such models, they are the paper's.
    """
    both = [
        source
        for source, parts in numbers.items()
        if source.kind == MEASURED and len({suite.partition(":")[0] in KINDS for suite in parts}) == 2
    ]
    counts = Counter(source.protocol for source in both)
    offered = suites(numbers, general=general)
    if not counts:
        return [suite for suite in (GENERAL if general else SCIENCE) if suite in offered]
    protocol = max(counts, key=lambda name: (counts[name], name))
    chosen = [numbers[source] for source in both if source.protocol == protocol]
    having = Counter(suite for parts in chosen for suite in parts)
    most = max(having[suite] for suite in offered)
    return [suite for suite in offered if having[suite] == most][:6]


def points(
    numbers: dict[Source, dict[str, Mean]], general: Sequence[str], science: Sequence[str]
) -> pd.DataFrame:
    """Return a row per source that has all of the suites: both means in percent with their joint intervals."""
    rows = []
    for source, parts in numbers.items():
        if not general or not science or not all(suite in parts for suite in (*general, *science)):
            continue
        row: dict[str, object] = {
            "model": source.label,
            "kind": source.kind,
            "protocol": source.protocol or "not stated",
        }
        for axis, chosen in (("general", general), ("science", science)):
            ends = _percent(joint([parts[suite] for suite in chosen]))
            row |= dict(zip((axis, f"{axis}_low", f"{axis}_high"), ends, strict=True))
        rows.append(row)
    names = ["model", "kind", "protocol"]
    names += [f"{axis}{end}" for axis in ("general", "science") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=names)


def _percent(number: Mean) -> tuple[float, float | None, float | None]:
    low, high = (None if end is None else 100 * end for end in (number.low, number.high))
    return 100 * number.value, low, high


def bars(
    numbers: dict[Source, dict[str, Mean]], chosen: Sequence[str], models: Sequence[str]
) -> pd.DataFrame:
    """Return a row per source and suite, in percent."""
    rows = [
        (source.label, source.kind, suite, *_percent(part))
        for source, parts in numbers.items()
        if source.label in models
        for suite, part in parts.items()
        if suite in chosen
    ]
    return pd.DataFrame(rows, columns=["model", "kind", "suite", "value", "low", "high"])


COMPRESSION = "compression:"
RATIO = "characters/token"


def compression(board: Board, protocol: str) -> pd.DataFrame:
    """Return a row per tokenizer and kind of text: characters per token, as in figure 4 of the paper."""
    rows = [
        (
            row.label,
            MEASURED,
            column.suite.removeprefix(COMPRESSION),
            estimate.value,
            estimate.low,
            estimate.high,
        )
        for (row, label), cell in board.cells.items()
        if (column := board.columns[label]).suite.startswith(COMPRESSION)
        and (column.unit, column.protocol, column.sample) == (RATIO, protocol, False)
        and (estimate := cell.estimate).value is not None
    ]
    return pd.DataFrame(rows, columns=["model", "kind", "suite", "value", "low", "high"])


def compression_protocols(board: Board) -> list[str]:
    """Return the protocols under which tokenizers were counted."""
    columns = board.columns.values()
    return sorted({column.protocol for column in columns if column.suite.startswith(COMPRESSION)})


def lacking(numbers: dict[Source, dict[str, Mean]], chosen: Sequence[str]) -> list[str]:
    """Return a sentence for each measured model that has some of the suites but not all."""
    sentences = []
    for source, parts in numbers.items():
        missing = [suite for suite in chosen if suite not in parts]
        if source.kind == MEASURED and missing and len(missing) < len(chosen):
            sentences.append(f"{source.label} lacks {', '.join(missing)}")
    return sorted(sentences)
