"""Summarise a comparison in sentences: which run is better, by how much, and where no difference is significant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from evals.verdicts.compare import Comparison, Row
from evals.verdicts.flips import Flip, count_verdict_changes
from evals.verdicts.formatting import format_amount

ALPHA = 0.05
MAX_LISTED = 6
"""Maximum number of suites without a significant difference that are named."""


def sentences(comparison: Comparison) -> list[str]:
    """Return one sentence if two runs are compared, or a sentence per suite for three or more runs."""
    if not comparison.pairs:
        return []
    if comparison.ranks:
        suites = dict.fromkeys(rank.suite for rank in comparison.ranks)
        return [_ranking_sentence(comparison, suite) for suite in suites]
    headlines = [row for row in comparison.pairs if row.headline and not row.group]
    rows_per_suite = Counter(row.suite for row in headlines)
    labelled = [
        structs.replace(row, suite=f"{row.suite} ({row.protocol})") if rows_per_suite[row.suite] > 1 else row
        for row in headlines
    ]
    return [_two_run_sentence(labelled)] if labelled else []


def _two_run_sentence(headlines: Sequence[Row]) -> str:
    name = f"B ({headlines[0].model_b})" if headlines[0].model_b != headlines[0].model_a else "B"
    suite_count = len(headlines)
    significant = sorted(
        filter(_is_significant, headlines),
        key=lambda row: abs(row.difference or 0.0) if row.unit == "fraction" else 0.0,
        reverse=True,
    )
    clauses = [
        _difference_clause(row, family_size=suite_count, is_first=not index)
        for index, row in enumerate(significant)
    ]
    compared = [row for row in headlines if row.difference is not None]
    insignificant = [row for row in compared if not _is_significant(row)]
    parts = [f"{name} {', '.join(clauses)}"] if clauses else []
    if insignificant:
        parts.append(
            f"no significant difference on {_insignificant_suites(insignificant, family_size=suite_count)}"
        )
    if len(compared) < suite_count:
        parts.append(
            f"nothing to compare on {', '.join(row.suite for row in headlines if row.difference is None)}"
        )
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _is_significant(row: Row) -> bool:
    """Return whether a difference is significant by its adjusted p-value, or by the unadjusted one if there is no other."""
    p = row.p_adjusted if row.p_adjusted is not None else row.p
    return row.difference is not None and p is not None and p < ALPHA


def _difference_clause(row: Row, *, family_size: int, is_first: bool) -> str:
    """Return a clause on one suite; only the first of a sentence has a verb, and names the interval's level and adjustment."""
    sign = 1 if row.better == "higher" else -1
    direction = "better" if sign * (row.difference or 0.0) > 0 else "worse"
    interval = _interval_clause(row, family_size, is_first=is_first)
    return f"{'is ' if is_first else ''}{_format_points(abs(row.difference or 0.0), row.unit)} {direction} on {row.suite} ({interval})"


def _format_points(value: float, unit: str) -> str:
    if unit == "fraction":
        size = f"{100 * value:.1f}" if value >= 0.0005 else f"{100 * value:.2g}"
        return f"{size} {'point' if size == '1.0' else 'points'}"
    return f"{value:.3g} {unit}".rstrip()


def _interval_clause(row: Row, family_size: int, *, is_first: bool) -> str:
    """Format the interval of the size of the difference: of B - A if that is positive, else of A - B."""
    low, high = row.adjusted_interval
    if low is None or high is None:
        return "interval unknown"
    sign = 1.0 if (row.difference or 0.0) >= 0 else -1.0
    scale, spec = (100.0, ".1f") if row.unit == "fraction" else (1.0, ".3g")
    limits = sorted((sign * scale * low, sign * scale * high))
    interval = f"{limits[0]:{spec}} to {limits[1]:{spec}}"
    if not is_first:
        return interval
    is_adjusted = family_size > 1 and row.low_adjusted is not None
    return f"95 % interval {interval}{f', adjusted for {family_size} suites' if is_adjusted else ''}"


def _insignificant_suites(rows: Sequence[Row], *, family_size: int) -> str:
    """List suites without a significant difference, with their intervals if at most three suites are compared."""
    if len(rows) > MAX_LISTED:
        return f"{', '.join(row.suite for row in rows[:MAX_LISTED])} and {len(rows) - MAX_LISTED} more"
    if family_size > 3:
        return ", ".join(row.suite for row in rows)
    return ", ".join(f"{row.suite} ({_insignificant_interval(row)})" for row in rows)


def _insignificant_interval(row: Row) -> str:
    low, high = row.adjusted_interval
    if low is None or high is None:
        return f"{format_amount(row.difference, row.unit, signed=True)}, interval unknown"
    scale, spec = (100.0, "+.1f") if row.unit == "fraction" else (1.0, "+.3g")
    unit = "points" if row.unit == "fraction" else row.unit
    return f"95 % interval {scale * low:{spec}} to {scale * high:{spec}} {unit}".rstrip()


def _ranking_sentence(comparison: Comparison, suite: str) -> str:
    ranks = [rank for rank in comparison.ranks if rank.suite == suite]
    unit = next(row.unit for row in comparison.pairs if row.suite == suite and row.headline)
    names = [rank.model for rank in ranks]
    labels = [rank.model if names.count(rank.model) == 1 else f"{rank.model} ({rank.run})" for rank in ranks]
    best, others = ranks[0], list(zip(labels, ranks, strict=True))[1:]
    if best.value is None:
        return f"{suite}: nothing to compare."
    tied = [label for label, rank in others if set(rank.groups) & set(best.groups)]
    worse = [label for label, rank in others if not set(rank.groups) & set(best.groups)]
    sentence = f"{suite}: {labels[0]} has the best score ({format_amount(best.value, unit)})"
    if tied:
        sentence += f"; not significantly different from it: {', '.join(tied)}"
    if worse:
        sentence += f"; significantly worse: {', '.join(worse)}"
    return f"{sentence}."


# --- changed predictions -------------------------------------------------------------------------------------


def changed_prediction_lines(flips: Iterable[Flip]) -> Iterator[str]:
    """Yield a line per suite: how many samples score lower in B, score higher, or differ in verdict but not in score."""
    by_suite: dict[str, list[Flip]] = {}
    for flip in flips:
        by_suite.setdefault(flip.suite, []).append(flip)
    for suite, suite_flips in by_suite.items():
        worse, better = [f for f in suite_flips if f.worse], [f for f in suite_flips if f.improved]
        clauses = [_count_clause("lower score in B", worse), _count_clause("higher score", better)]
        if equal := [f for f in suite_flips if not f.worse and not f.improved]:
            clauses.append(_count_clause("same score, different verdict", equal))
        yield f"{suite}: {'; '.join(clauses)}"


def _count_clause(change: str, flips: Sequence[Flip]) -> str:
    """Format the number of samples with a change, and their changes of verdict: `higher score: 3 (3 wrong -> right)`."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in count_verdict_changes(flips).items())
    return f"{change}: {len(flips)}{f' ({kinds})' if kinds else ''}"


def discordant_samples(flips: Iterable[Flip]) -> list[Flip]:
    """Return the samples whose score changed, in the given order."""
    return [flip for flip in flips if flip.worse or flip.improved]
