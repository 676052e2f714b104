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
"""Maximum number of suites named in a list."""


def sentences(comparison: Comparison) -> list[str]:
    """Return a sentence for two runs, or one per suite for more."""
    if not comparison.pairs:
        return []
    if comparison.ranks:
        return [
            _ranked(comparison, suite) for suite in dict.fromkeys(rank.suite for rank in comparison.ranks)
        ]
    heads = [row for row in comparison.pairs if row.headline and not row.group]
    times = Counter(row.suite for row in heads)
    named = [
        structs.replace(row, suite=f"{row.suite} ({row.protocol})") if times[row.suite] > 1 else row
        for row in heads
    ]
    return [_two_run_sentence(named)] if named else []


def _two_run_sentence(heads: Sequence[Row]) -> str:
    """Return a sentence on two runs: the suites on which B is better, worse, or not significantly different."""
    name = f"B ({heads[0].model_b})" if heads[0].model_b != heads[0].model_a else "B"
    many = len(heads)
    shown = sorted((row for row in heads if significant(row)), key=_size, reverse=True)
    clauses = [
        _difference(row, adjusted=many, verb="" if place else "is ") for place, row in enumerate(shown)
    ]
    rest = [row for row in heads if not significant(row)]
    empty = [row.suite for row in rest if row.difference is None]
    same = [row for row in rest if row.difference is not None]
    text = f"{name} {', '.join(clauses)}" if clauses else ""
    if same:
        text += f"{'; ' if text else ''}no significant difference on {_suites(same, adjusted=many)}"
    if empty:
        text += f"{'; ' if text else ''}nothing to compare on {', '.join(empty)}"
    return f"{text[:1].upper()}{text[1:]}."


def significant(row: Row) -> bool:
    """Return whether a difference is significant after the adjustment for the number of suites."""
    p = row.p_adjusted if row.p_adjusted is not None else row.p
    return row.difference is not None and p is not None and p < ALPHA


def _better(row: Row) -> bool:
    return (row.difference or 0.0) > 0 if row.better == "higher" else (row.difference or 0.0) < 0


def _size(row: Row) -> float:
    return abs(row.difference or 0.0) if row.unit == "fraction" else 0.0


def _difference(row: Row, *, adjusted: int, verb: str) -> str:
    """Return a clause; the first one has the verb, and says what the intervals are."""
    word = "better" if _better(row) else "worse"
    interval = _interval(row, adjusted if verb else 0)
    interval = interval if verb else interval.removeprefix("95 % interval ")
    return f"{verb}{_points(abs(row.difference or 0.0), row.unit)} {word} on {row.suite} ({interval})"


def _points(value: float, unit: str) -> str:
    if unit == "fraction":
        size = f"{100 * value:.1f}" if value >= 0.0005 else f"{100 * value:.2g}"
        return f"{size} {'point' if size == '1.0' else 'points'}"
    return f"{value:.3g} {unit}".rstrip()


def _interval(row: Row, adjusted: int) -> str:
    """Format the interval of B's gain (or loss) in the sentence's direction, smaller limit first."""
    low, high = row.ends
    if low is None or high is None:
        return "interval not known"
    sign = 1.0 if (row.difference or 0.0) >= 0 else -1.0
    scale, form = (100.0, ".1f") if row.unit == "fraction" else (1.0, ".3g")
    ends = sorted((sign * scale * low, sign * scale * high))
    several = f", adjusted for {adjusted} suites" if adjusted > 1 and row.low_adjusted is not None else ""
    return f"95 % interval {ends[0]:{form}} to {ends[1]:{form}}{several}"


def _suites(rows: Sequence[Row], *, adjusted: int) -> str:
    """Name suites without a significant difference; up to three with their intervals."""
    if len(rows) > MAX_LISTED:
        return f"{', '.join(row.suite for row in rows[:MAX_LISTED])} and {len(rows) - MAX_LISTED} more"
    if adjusted > 3:
        return ", ".join(row.suite for row in rows)
    return ", ".join(f"{row.suite} ({_undecided_clause(row)})" for row in rows)


def _undecided_clause(row: Row) -> str:
    low, high = row.ends
    if low is None or high is None:
        return f"{format_amount(row.difference, row.unit, signed=True)}, interval not known"
    scale, form = (100.0, "+.1f") if row.unit == "fraction" else (1.0, "+.3g")
    unit = "points" if row.unit == "fraction" else row.unit
    return f"95 % interval {scale * low:{form}} to {scale * high:{form}} {unit}".rstrip()


def _ranked(comparison: Comparison, suite: str) -> str:
    ranks = [rank for rank in comparison.ranks if rank.suite == suite]
    unit = next(row.unit for row in comparison.pairs if row.suite == suite and row.headline)
    names = [rank.model for rank in ranks]
    called = {
        rank.run: rank.model if names.count(rank.model) == 1 else f"{rank.model} ({rank.run})"
        for rank in ranks
    }
    best, others = ranks[0], ranks[1:]
    tied = [called[rank.run] for rank in others if set(rank.groups) & set(best.groups)]
    worse = [called[rank.run] for rank in others if not set(rank.groups) & set(best.groups)]
    text = f"{suite}: {called[best.run]} has the best score ({format_amount(best.value, unit)})"
    if tied:
        text += f"; not significantly different from it: {', '.join(tied)}"
    if worse:
        text += f"; worse than it: {', '.join(worse)}"
    return f"{text}."


# --- changed predictions -------------------------------------------------------------------------------------


def changed_prediction_lines(flips: Iterable[Flip]) -> Iterator[str]:
    """Yield for each suite how many samples score less or more in B, or have another verdict with the same score."""
    by_suite: dict[str, list[Flip]] = {}
    for flip in flips:
        by_suite.setdefault(flip.suite, []).append(flip)
    for suite, several in by_suite.items():
        worse, better = [f for f in several if f.worse], [f for f in several if f.improved]
        same = [f for f in several if not f.worse and not f.improved]
        text = [f"{len(worse)} score less in B{_kinds(worse)}", f"{len(better)} score more{_kinds(better)}"]
        text += [f"{len(same)} score the same by another verdict{_kinds(same)}"] if same else []
        yield f"{suite}: {'; '.join(text)}"


def _kinds(flips: Sequence[Flip]) -> str:
    """Format counts of changed verdicts: ` (3 right -> wrong)`."""
    kinds = count_verdict_changes(flips)
    return f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})" if kinds else ""


def discordant(flips: Iterable[Flip]) -> list[Flip]:
    """Return the samples whose score changed, in the given order."""
    return [flip for flip in flips if flip.worse or flip.improved]
