"""The number of open files, connections included, that this process may have."""

from __future__ import annotations

import resource
from contextlib import suppress
from functools import cache

FILES = 65_536
"""Number that is enough for all calls."""
RESERVE = 64
"""Files that connections leave for records, cards and worker processes, or a quarter of what is allowed."""


def last_connection() -> int:
    """Return the number of the first file that no connection may take; the lowest free number is taken first."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return FILES if soft == resource.RLIM_INFINITY else soft - min(RESERVE, soft // 4)


@cache
def raise_open_files() -> None:
    """Allow this process as many open files as it may have: 1,024, a usual default, are fewer than 1,024 calls need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
