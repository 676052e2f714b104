"""Evidence on a paired difference: the interface of all kinds, with intervals at any level and p-values for any margin."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Evidence(ABC):
    """Evidence on the true difference between two runs, B minus A."""

    value: float
    """The observed difference."""
    test: str
    """Name of the test behind `p_equal`."""

    @abstractmethod
    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the two-sided interval; None if there is too little data."""

    @abstractmethod
    def _p_value(self, margin: float, side: int) -> float:
        """Return the p-value of `p_above` (`side`: 1) or `p_below` (-1)."""

    def p_above(self, margin: float) -> float:
        """Return the one-sided p-value against "the true difference is at most `margin`"."""
        return self._p_value(margin, 1)

    def p_below(self, margin: float) -> float:
        """Return the one-sided p-value against "the true difference is at least `margin`"."""
        return self._p_value(margin, -1)

    def p_equal(self) -> float:
        """Return the two-sided p-value against "there is no difference"."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))
