"""Find the k-th smallest magnitude of numbers that are read in chunks: exactly, without sorting or copying them.

Magnitudes of floating-point numbers have the same order as their bits read as integers. Each pass counts the next 16 bits
of the numbers whose higher bits are already determined: two passes for float32, four for float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 1 << 18
"""Maximum number of numbers that are processed at once."""
PASS_BITS = 16
"""Maximum number of bits that a pass determines."""


class Selection:
    """One order statistic: `count` all numbers, then `narrow`, until `is_done`."""

    def __init__(self, rank: int, *, width: int) -> None:
        """`rank`: rank of the wanted magnitude, 0 for the smallest; `width`: bits per number, 32 or 64."""
        self._rank = rank
        self._word: Any = np.dtype(f"u{width // 8}")
        self._float: Any = np.dtype(f"f{width // 8}")
        self._magnitude_mask = (1 << (width - 1)) - 1
        """All bits except the sign."""
        self._undetermined = width - 1
        """Number of low bits that are not yet determined."""
        self._prefix = 0
        """The high bits determined so far."""
        self._counts = np.zeros(1 << self._pass_bits, dtype=np.int64)

    @property
    def _pass_bits(self) -> int:
        return min(PASS_BITS, self._undetermined)

    @property
    def is_done(self) -> bool:
        """Return whether the magnitude is determined."""
        return self._undetermined == 0

    @property
    def value(self) -> float:
        """Return the wanted magnitude."""
        return float(np.array(self._prefix, dtype=self._word).view(self._float))

    def count(self, numbers: np.ndarray[Any, Any]) -> None:
        """Count some of the numbers (flat and contiguous, of the given width) without changing them."""
        for start in range(0, len(numbers), BLOCK):
            bits = numbers[start : start + BLOCK].view(self._word) & self._word.type(self._magnitude_mask)
            if self._undetermined < self._word.itemsize * 8 - 1:
                bits = bits[(bits >> self._word.type(self._undetermined)) == self._prefix]
            digits = (bits >> self._word.type(self._undetermined - self._pass_bits)).astype(np.intp)
            digits &= (1 << self._pass_bits) - 1
            self._counts += np.bincount(digits, minlength=1 << self._pass_bits)

    def narrow(self) -> None:
        """Determine the next bits from the counts of a pass over all numbers."""
        ends = self._counts.cumsum()
        digit = int(np.searchsorted(ends, self._rank, side="right"))
        self._rank -= int(ends[digit - 1]) if digit else 0
        self._prefix = self._prefix << self._pass_bits | digit
        self._undetermined -= self._pass_bits
        self._counts = np.zeros(1 << self._pass_bits, dtype=np.int64)
