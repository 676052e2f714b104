"""The process's limit on open files, which include connections."""

from __future__ import annotations

import resource
from contextlib import suppress
from functools import cache

MAX_FILES = 65_536
"""Highest limit that is requested, far above the maximum number of concurrent calls."""
RESERVED_FILES = 64
"""Number of file descriptors reserved for records, cards and worker processes; if the limit is below 256, a quarter of it."""


def first_reserved_descriptor() -> int:
    """Return the lowest file descriptor that no connection may use.

    Since the system assigns the lowest free descriptor, a connection that gets this one means that too few are left.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_FILES if soft == resource.RLIM_INFINITY else soft - min(RESERVED_FILES, soft // 4)


@cache
def raise_file_limit() -> None:
    """Raise the soft limit on open files to the hard one or `MAX_FILES`: the usual default, 1,024, is too low for 1,024 calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
