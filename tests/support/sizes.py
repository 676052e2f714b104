"""How large a simulation is: small in every check, at its full size in the nightly one."""

from __future__ import annotations

import os

FULL = "EVALS_FULL_SIZE"
"""Environment variable that `make nightly` sets."""


def size(ci: int, nightly: int) -> int:
    """Return the number of repetitions in this check."""
    return nightly if os.environ.get(FULL) else ci
