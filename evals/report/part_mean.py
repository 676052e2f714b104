"""The mean of one score part over a run."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from evals.types import Point


class PartMean(Struct, frozen=True):
    """The mean of a score part, times a factor."""

    part: str
    absent: float | None = None
    """Value of a scored reply without the part; None: such replies are excluded."""
    factor: float = 1.0

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the mean times the factor; raises ValueError if no reply has a value."""
        values = [value for point in points if (value := self._value_of(point)) is not None]
        if not values:
            raise ValueError(f"no reply has the score part {self.part}")
        return self.factor * sum(values) / len(values)

    def _value_of(self, point: Point) -> float | None:
        return point.value if point.verdict == "missing" else point.parts.get(self.part, self.absent)
