"""Limits of CPU time that also hold on slow and busy machines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from evals import extract

T = TypeVar("T")

REFERENCE_PATTERN = re.compile(r"\b(?:answer|option|choice)\s+(?:is|was)\b[^\n]{0,40}$", re.IGNORECASE)
REFERENCE_TEXT = "option is " * 6_553
REFERENCE_S = 0.0038
"""CPU time of one search for `REFERENCE_PATTERN` in 64 KiB on the machine on which the limits were set.

Inferred, not measured: the slowest reader took 60 ms on a machine on which this search takes 5 ms, and just under its limit
on the machine on which it was set.
"""


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def slowdown() -> float:
    """Return by what factor this core is currently slower than the one on which the limits were set, at least 1."""
    reference_s = min(cpu_seconds(lambda: REFERENCE_PATTERN.search(REFERENCE_TEXT)) for _ in range(9))
    return max(1.0, reference_s / REFERENCE_S)


def assert_cpu_time(limit_s: float, work: Callable[[], T], description: object = "") -> T:
    """Return the result of a call; raise AssertionError if five calls all exceed the limit for the current speed of this core."""
    result: list[T] = []
    for _ in range(5):  # on a busy machine, the same work takes more CPU time
        extract.visible.cache_clear()  # else only the first call would split the text
        seconds = cpu_seconds(lambda: result.append(work()))
        if seconds < limit_s or seconds < limit_s * slowdown():
            return result[0]
    raise AssertionError(f"{seconds:.3f} s of CPU, limit {limit_s} s {description}")
