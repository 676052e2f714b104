"""Read, convert and compare numbers with units in free text.

>>> read_quantity("about 1.2 × 10⁻³ MPa")
Quantity(value=0.0012, unit='MPa', low=None, high=None, approximate=True, text='1.2 × 10^-3 MPa')
>>> convert(1.2, "GPa", "MPa")
1200.0
>>> close(-1.004, -1.0, relative=0.01)
True

Reading needs only the standard library; only a conversion between two different units imports pint
(extra `materials` or `chemistry`). Units come from a closed vocabulary, because pint by itself reads
"in", "as", "are" and "a" as units.
"""

from __future__ import annotations

from evals.extract.units.names import (
    DIMENSIONLESS,
    convert,
    convertible,
    load_units,
    normalise_unit,
    same_dimension,
)
from evals.extract.units.notation import normalise_notation
from evals.extract.units.statement import stated_number
from evals.extract.units.text import Quantity, quantities, read_quantity

__all__ = [
    "DIMENSIONLESS", "Quantity", "close", "convert", "convertible", "load_units", "normalise_notation",
    "normalise_unit", "quantities", "read_quantity", "same_dimension", "stated_number",
]  # fmt: skip


def close(value: float, target: float, *, relative: float = 0.0, absolute: float = 0.0) -> bool:
    """Return whether a value is within the larger of two tolerances of the target."""
    return abs(value - target) <= max(relative * abs(target), absolute)
