"""Exponential back-off between retries; the runner, judges and batches share it."""

from __future__ import annotations

import random

from evals.errors import RateLimit

FIRST_S, MAX_S = 0.5, 30.0
"""Delay after the first failed attempt, and maximum delay, unless the server requests another."""


def wait_s(attempt: int, error: Exception | None = None) -> float:
    """Return the seconds to wait after a failed attempt (counted from 1): the wait requested by the server, or an exponential delay.

    Jitter keeps calls that failed together from being retried together.
    """
    if isinstance(error, RateLimit) and error.retry_after_s:
        return error.retry_after_s + random.uniform(0.0, 0.1 * min(error.retry_after_s, 10.0) + 0.01)
    return min(MAX_S, FIRST_S * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.5, 1.0)
