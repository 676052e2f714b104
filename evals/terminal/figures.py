"""Numbers as text: fractions, scores with units, intervals, counts and times."""

from __future__ import annotations

import time
from collections.abc import Mapping

from evals.labels import Failed
from evals.plain import percent_digits
from evals.types import VERDICTS, Estimate


def score_text(estimate: Estimate | None) -> str:
    """Return an estimate's value with its unit; fractions are in percent."""
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.unit == "fraction":
        return f"{100 * estimate.value:.1f} %"
    return f"{estimate.value:.4g} {estimate.unit}".rstrip()


def interval(estimate: Estimate | None, *, separator: str = " to ") -> str:
    """Return the interval of an estimate without its unit; `separator` is used only for fractions."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    if estimate.unit == "fraction":
        low, high = 100 * estimate.low, 100 * estimate.high
        digits = percent_digits(high - low)
        return f"{low:.{digits}f}{separator}{high:.{digits}f}"
    return f"{estimate.low:.4g} to {estimate.high:.4g}"


def best_first(estimate: Estimate | None) -> tuple[bool, float]:
    """Return a sort key by which the best score comes first and missing ones come last."""
    if estimate is None or estimate.value is None:
        return True, 0.0
    return False, -estimate.value if estimate.better == "higher" else estimate.value


def utc_time(seconds: float, time_format: str = "%Y-%m-%d %H:%M") -> str:
    """Return a time in UTC, given in seconds since the epoch; empty if it is 0."""
    return time.strftime(time_format, time.gmtime(seconds)) if seconds else ""


def counts_line(counts: Mapping[str, int]) -> str:
    """Return counts as text, verdicts first."""
    verdicts = [verdict for verdict in VERDICTS if verdict in counts]
    other_names = sorted(name for name in counts if name not in VERDICTS)
    failures = {name: f"failed {failed.kind}" for name in other_names if (failed := Failed.parse(name))}
    return ", ".join(f"{counts[name]:,} {failures.get(name, name)}" for name in (*verdicts, *other_names))
