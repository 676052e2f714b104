"""Numbers with units in free text: the cases of `cases/units.jsonl`, conversions and comparisons, and hostile text."""

from __future__ import annotations

import json
import subprocess
import sys
from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.extract.units import (
    close,
    convert,
    normalise_notation,
    normalise_unit,
    quantities,
    read_quantity,
    same_dimension,
    stated_number,
)
from tests.support.cpu_time import assert_cpu_time
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "units.jsonl").read_text().splitlines()]


@table("case", CASES, ids=lambda case: f"{case['text'][:30]}|{case['why']}")
def test_quantities_are_read_as_in_the_table(case: dict[str, Any]) -> None:
    if case.get("wanted"):
        pytest.importorskip("pint")
    quantity = read_quantity(case["text"], case.get("wanted", ""))
    if case["value"] is None:
        assert quantity is None
        return
    assert quantity is not None
    assert quantity.value == pytest.approx(case["value"], rel=1e-12)
    assert (quantity.unit, quantity.low, quantity.high) == (
        case.get("unit", ""),
        case.get("low"),
        case.get("high"),
    )


@table(
    "text, unit",
    [
        (r"5\,\text{cm}^{-1}", "cm**-1"),
        (r"5\,\text{kJ mol}^{-1}", "kJ*mol**-1"),
        (r"5\,\mathrm{m/s}^2", "m*s**-2"),
        (r"5\,\frac{\mathrm{m}}{\mathrm{s}^{2}}", "m*s**-2"),
        (r"5~{\rm cm}^3", "cm**3"),
        (r"5\,\mathrm{~cm}^{3}", "cm**3"),
        (r"5\,\mu\mathrm{m}", "µm"),
        (r"5\pm0.1\,\mathrm{cm}", "cm"),
        (r"0.05\cdot10^{2} cm", "cm"),
        ("5 cm$^{-1}$", "cm**-1"),
        (r"5 m/s\(^2\)", "m*s**-2"),
        ("0.5 × 10<sup>1</sup> cm<sup>-1</sup>", "cm**-1"),
        ("5 kg m s^-2", "kg*m*s**-2"),
        ("5 emu g^-1", ""),
        ("5 eV m", "eV"),
        ("(5 ± 1) cm", "cm"),
        ("(4–6) cm", "cm"),
        ("5 [cm]", "cm"),
        ("5 (%)", "percent"),
        ("5. kcal/mol", "kcal*mol**-1"),
        ("5. At 300 K it is more", ""),
        ("5 (A)", ""),
        ("5 [1]", ""),
    ],
)
def test_units_apart_from_their_number_are_read(text: str, unit: str) -> None:
    quantity = stated_number(text)
    assert quantity is not None
    assert (quantity.value, quantity.unit) == (5.0, unit)


@table(
    "text, value",
    [
        ("10^1.5", 10**1.5),
        ("10^{-2.5}", 10**-2.5),
        ("2·10^{0.5}", 2 * 10**0.5),
        ("10^5.", 1e5),
        ("10<sup>5</sup>", 1e5),
        ("0^-1.5", None),
    ],
)
def test_powers_are_evaluated(text: str, value: float | None) -> None:
    assert [quantity.value for quantity in quantities(text)] == ([] if value is None else [value])


@pytest.mark.parametrize("text", ["about 5", "~5", "≈ 5", "<5", "3-5", "at least 5", "ca. 5"])
def test_approximate_values_are_marked_as_approximate(text: str) -> None:
    quantity = read_quantity(text)
    assert quantity is not None
    assert quantity.approximate


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15))
def test_the_repr_of_a_float_is_read_back_exactly(value: float) -> None:
    quantity = read_quantity(f"Answer: {value!r}")
    assert quantity is not None
    assert quantity.value == value


@given(st.text(max_size=300))
def test_any_text_is_read_without_errors_or_infinite_values(text: str) -> None:
    assert all(isfinite(q.value) for q in quantities(text))


@given(st.text(alphabet="0123456789.,eE+-−^{}\\ ×x*/()±%°~<>", max_size=120))
def test_any_text_of_digits_and_signs_is_read_without_errors_or_infinite_values(text: str) -> None:
    assert all(isfinite(q.value) for q in quantities(text))


@table("piece", ["1,", "1 ", "-", "1e", "a1 ", "1/", "\\frac{", "1 m ", "(1 ± ", "1.", "^1", "·1"])
def test_five_megabytes_of_hostile_text_are_read_in_under_two_seconds(piece: str) -> None:
    text = piece * (5_000_000 // len(piece))
    assert_cpu_time(2, lambda: read_quantity(text))


# --- conversion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (1.2, "GPa", "MPa", 1200.0),
        (25.0, "°C", "K", 298.15),
        (1.0, "kcal/mol", "kJ/mol", 4.184),
        (50.0, "meV/atom", "eV/atom", 0.05),
        (0.5, "M", "mol/L", 0.5),
        (290.0, "ksi", "MPa", 1999.4796),
        (5.0, "%", "dimensionless", 0.05),
        (5.0, "", "MPa", 5.0),
        (5.0, "MPa", "", 5.0),
        (-1.0, "eV", "meV", -1000.0),
    ],
)
def test_units_of_one_dimension_are_converted(value: float, unit: str, target: str, expected: float) -> None:
    pytest.importorskip("pint")
    assert convert(value, unit, target) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("unit", "target"), [("K", "eV"), ("g", "mol"), ("J/mol", "J"), ("furlong per moon", "m")]
)
def test_units_of_different_dimensions_are_not_converted(unit: str, target: str) -> None:
    pytest.importorskip("pint")
    assert convert(1.0, unit, target) is None
    assert not same_dimension(unit, target)


def test_conversion_to_the_same_unit_does_not_need_pint() -> None:
    code = "import sys; sys.modules['pint'] = None; from evals.extract.units import *; print(convert(2.0, 'MPa', 'MPa'), read_quantity('5 GPa').unit)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["2.0", "GPa"]


def test_without_pint_the_error_message_names_the_extra() -> None:
    code = "import sys; sys.modules['pint'] = None; from evals.extract.units import convert; convert(2.0, 'GPa', 'MPa')"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.stderr.strip().splitlines()[-1].endswith("[materials]'`")


@pytest.mark.parametrize("unit", ["MPa", "eV/atom", "cm**-1", "J/(mol K)", "g/cm³"])
def test_normalising_a_unit_twice_equals_normalising_it_once(unit: str) -> None:
    assert normalise_unit(normalise_unit(unit)) == normalise_unit(unit)


# --- comparison ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "target", "relative", "absolute", "expected"),
    [
        (
            -1.004,
            -1.0,
            0.01,
            0.0,
            True,
        ),  # 0.01 * target, the tolerance of `lamalab.SignedTolerance`, is negative here
        (-1.02, -1.0, 0.01, 0.0, False),
        (0.0, 0.0, 0.01, 0.0, True),
        (1e-9, 0.0, 0.01, 0.0, False),
        (1e-9, 0.0, 0.01, 1e-6, True),
        (101.0, 100.0, 0.01, 0.0, True),
        (1.0, -1.0, 0.01, 0.0, False),
    ],
)
def test_values_are_close_within_the_relative_or_absolute_tolerance(
    value: float, target: float, relative: float, absolute: float, expected: bool
) -> None:
    assert close(value, target, relative=relative, absolute=absolute) is expected


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_closeness_does_not_change_if_both_signs_are_flipped(value: float, target: float) -> None:
    assert close(value, target, relative=0.01) == close(-value, -target, relative=0.01)


def test_normalised_notation_has_no_latex_wrappers() -> None:
    assert normalise_notation("$1.2 \\times 10^{-3}\\,\\mathrm{mol}$").split() == ["1.2", "×", "10^-3", "mol"]
