"""How long to wait before another try: the one back-off of runner, judge and batches."""

from __future__ import annotations

import random

from evals.errors import RateLimit

FIRST_S = 0.5
MOST_S = 30.0


def wait_s(attempt: int, error: Exception | None = None) -> float:
    """Return the seconds to wait after the given attempt, from 1: as long as the server asks, else twice as long each time.

    Half of it is drawn at random, so that calls that failed together do not come again together.
    """
    if isinstance(error, RateLimit) and error.retry_after_s:  # 0 is no wait to speak of
        return error.retry_after_s + random.uniform(0.0, 0.1 * min(error.retry_after_s, 10.0) + 0.01)
    return min(MOST_S, FIRST_S * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.5, 1.0)
