"""General ability against science: two means per model, with intervals if measured and without if reported.

The figure and its default suites follow the Intern-S1 paper (arXiv 2508.15763), figures 1 and 2.
"""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import pandas as pd

from evals.dashboard.tables.leaderboard import GENERAL as GENERAL_SUITES
from evals.dashboard.tables.leaderboard import Board
from evals.report.statistics import Interval, mean_of_parts
from evals.verdicts.reported import Claim

PAPER_GENERAL = ("mmlu-pro", "gpqa:diamond", "aime:2025")
PAPER_SCIENCE = ("smolinstruct", "chembench:4k", "matbench")
"""The paper's suites of general ability and of science."""
MAX_DEFAULT_SUITES = 6

MEASURED, REPORTED = "measured", "reported"


class Source(NamedTuple):
    """A model under one protocol, either measured here or reported elsewhere."""

    model: str
    kind: str
    protocol: str
    """Empty if not stated."""

    @property
    def label(self) -> str:
        """Return the label in figures."""
        return self.model if self.kind == REPORTED or not self.protocol else f"{self.model} ({self.protocol})"


ScoresBySource: TypeAlias = dict[Source, dict[str, Interval]]
"""Source -> suite -> score."""


def scores_by_source(board: Board, claims: Iterable[Claim]) -> ScoresBySource:
    """Return all scores that are fractions and for which higher is better, by source and suite.

    All measured scores of a suite under a protocol come from one column, and are therefore comparable. Of several reported
    scores, the newest is returned.
    """
    scores: ScoresBySource = defaultdict(dict)
    eligible = [
        label
        for label, column in board.columns.items()
        if not (column.sample or column.limit) and (column.unit, column.better) == ("fraction", "higher")
    ]
    for label in _main_columns(board, eligible):
        column = board.columns[label]
        for row, cell in board.model_cells(label).items():
            estimate = cell.estimate
            if estimate.value is not None:
                score = Interval(estimate.value, estimate.low, estimate.high, estimate.method)
                scores[Source(row.label, MEASURED, column.protocol)][column.suite] = score
    for claim in sorted(claims, key=lambda claim: claim.date or datetime.date.min):
        if claim.unit == "fraction" and not claim.superseded:
            source = Source(claim.model, REPORTED, claim.protocol)
            scores[source][claim.suite] = Interval(claim.value, None, None, "reported")
    return dict(scores)


def _main_columns(board: Board, labels: Iterable[str]) -> list[str]:
    """Return one column for each suite and protocol: the column with the most models or, among equals, with the newest run.

    If a suite and protocol have several columns, these differ in version, data, judge or metric.
    """
    alternatives: dict[tuple[str, str], list[tuple[int, float, str]]] = defaultdict(list)
    for label in labels:
        column, cells = board.columns[label], board.model_cells(label).values()
        newest = max((cell.entry.card.started for cell in cells if cell.entry), default=0.0)
        alternatives[column.suite, column.protocol].append((len(cells), newest, label))
    return [max(columns)[2] for columns in alternatives.values()]


def suites(scores: ScoresBySource, *, general: bool) -> list[str]:
    """Return the suites of general ability or, if not `general`, of science; the suites of the paper come first."""
    paper_suites = PAPER_GENERAL if general else PAPER_SCIENCE
    all_suites = dict.fromkeys(suite for suite_scores in scores.values() for suite in suite_scores)
    suites_of_kind = [suite for suite in all_suites if (suite.partition(":")[0] in GENERAL_SUITES) == general]
    return sorted(
        suites_of_kind,
        key=lambda suite: (paper_suites.index(suite) if suite in paper_suites else len(paper_suites), suite),
    )


def default_suites(scores: ScoresBySource, *, general: bool) -> list[str]:
    """Return up to `MAX_DEFAULT_SUITES` suites to select initially: those on which the most models were measured.

    Only models that have both general and science suites count, and only under the protocol that most of them use. If there
    are no such models, return the suites of the paper.
    """
    complete_sources = [
        source
        for source, suite_scores in scores.items()
        if source.kind == MEASURED
        and len({suite.partition(":")[0] in GENERAL_SUITES for suite in suite_scores}) == 2
    ]
    counts = Counter(source.protocol for source in complete_sources)
    available = suites(scores, general=general)
    if not counts:
        return [suite for suite in (PAPER_GENERAL if general else PAPER_SCIENCE) if suite in available]
    protocol = max(counts, key=lambda name: (counts[name], name))
    selected_scores = [scores[source] for source in complete_sources if source.protocol == protocol]
    counts_by_suite = Counter(suite for suite_scores in selected_scores for suite in suite_scores)
    highest = max(counts_by_suite[suite] for suite in available)
    return [suite for suite in available if counts_by_suite[suite] == highest][:MAX_DEFAULT_SUITES]


def points(scores: ScoresBySource, general: Sequence[str], science: Sequence[str]) -> pd.DataFrame:
    """Return a table with a row per source that has all suites: both means in percent, with their joint intervals."""
    rows = []
    for source, suite_scores in scores.items():
        if not general or not science or not all(suite in suite_scores for suite in (*general, *science)):
            continue
        row: dict[str, object] = {
            "model": source.label,
            "kind": source.kind,
            "protocol": source.protocol or "not stated",
        }
        for axis, selected in (("general", general), ("science", science)):
            percentages = _to_percent(mean_of_parts([suite_scores[suite] for suite in selected]))
            row |= dict(zip((axis, f"{axis}_low", f"{axis}_high"), percentages, strict=True))
        rows.append(row)
    names = ["model", "kind", "protocol"]
    names += [f"{axis}{suffix}" for axis in ("general", "science") for suffix in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=names)


def _to_percent(score: Interval) -> tuple[float, float | None, float | None]:
    low, high = (None if limit is None else 100 * limit for limit in (score.low, score.high))
    return 100 * score.value, low, high


def bars(scores: ScoresBySource, selected: Sequence[str], labels: Sequence[str]) -> pd.DataFrame:
    """Return a table with a row per source and suite, in percent; `labels`: labels of the sources to include."""
    rows = [
        (source.label, source.kind, suite, *_to_percent(score))
        for source, suite_scores in scores.items()
        if source.label in labels
        for suite, score in suite_scores.items()
        if suite in selected
    ]
    return pd.DataFrame(rows, columns=["model", "kind", "suite", "value", "low", "high"])


COMPRESSION = "compression:"
"""Prefix of the names of the suites that measure tokenizers."""
RATIO = "characters/token"
"""Unit of compression."""


def compression(board: Board, protocol: str) -> pd.DataFrame:
    """Return a table of characters per token, a row per tokenizer and kind of text, as in figure 4 of the paper."""
    eligible = [
        label
        for label, column in board.columns.items()
        if column.suite.startswith(COMPRESSION)
        and (column.unit, column.protocol) == (RATIO, protocol)
        and not (column.sample or column.limit)
    ]
    rows = [
        (row.label, MEASURED, board.columns[label].suite.removeprefix(COMPRESSION), estimate.value, estimate.low, estimate.high)
        for label in _main_columns(board, eligible)
        for row, cell in board.model_cells(label).items()
        if (estimate := cell.estimate).value is not None
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "kind", "suite", "value", "low", "high"])


def compression_protocols(board: Board) -> list[str]:
    """Return the protocols under which compression was measured."""
    columns = board.columns.values()
    return sorted({column.protocol for column in columns if column.suite.startswith(COMPRESSION)})


def incomplete_models(scores: ScoresBySource, selected: Sequence[str]) -> list[str]:
    """Return a line for each measured model that has only some of the suites, with the missing ones."""
    lines = []
    for source, suite_scores in scores.items():
        missing = [suite for suite in selected if suite not in suite_scores]
        if source.kind == MEASURED and missing and len(missing) < len(selected):
            lines.append(f"{source.label}: missing {', '.join(missing)}")
    return sorted(lines)
