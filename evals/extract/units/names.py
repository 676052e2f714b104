"""Units: the closed vocabulary that is read, and conversion within a dimension by pint, which is imported late."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from math import isfinite
from typing import Any

from evals.errors import UsageError
from evals.extract.units.marks import plain

_PREFIXES = tuple("YZEPTGMkhdcmµunpfa")
_LONG_PREFIXES = (
    "",
    "tera",
    "giga",
    "mega",
    "kilo",
    "hecto",
    "deci",
    "centi",
    "milli",
    "micro",
    "nano",
    "pico",
)
_PREFIXED = (
    *"mgsAKNJWCVFΩSTHLlM",
    "mol", "cd", "Hz", "Pa", "Wb", "lm", "lx", "Bq", "Gy", "Sv", "eV", "bar", "cal", "Da",
)  # fmt: skip
_NAMED = (
    "meter", "metre", "gram", "second", "kelvin", "mole", "mol", "hertz", "newton", "joule", "pascal", "watt",
    "coulomb", "volt", "farad", "ohm", "siemens", "tesla", "henry", "liter", "litre", "molar", "electronvolt",
    "calorie", "dalton", "bar",
)  # fmt: skip
_PLAIN = {
    "min": "minute", "mins": "minute", "minute": "minute", "minutes": "minute", "h": "hour", "hr": "hour",
    "hrs": "hour", "hour": "hour", "hours": "hour", "d": "day", "day": "day", "days": "day", "week": "week",
    "weeks": "week", "yr": "year", "year": "year", "years": "year", "°C": "degC", "°F": "degF", "°K": "kelvin",
    "celsius": "degC", "Celsius": "degC", "Fahrenheit": "degF", "Kelvin": "kelvin", "Kelvins": "kelvin",
    "°": "degree", "degree": "degree", "degrees": "degree", "rad": "radian", "radian": "radian",
    "radians": "radian", "Å": "angstrom", "angstrom": "angstrom", "angstroms": "angstrom", "Angstrom": "angstrom",
    "Angstroms": "angstrom", "Ångström": "angstrom", "atm": "atm", "atmosphere": "atm", "atmospheres": "atm",
    "torr": "torr", "Torr": "torr", "mmHg": "mmHg", "psi": "psi", "ksi": "ksi", "amu": "dalton", "u": "dalton",
    "percent": "percent", "ppm": "ppm", "ppb": "ppb", "rpm": "rpm", "Ha": "hartree", "hartree": "hartree",
    "Hartree": "hartree", "Hartrees": "hartree", "Ry": "rydberg_energy", "D": "debye", "debye": "debye",
    "Debye": "debye", "ft": "foot", "foot": "foot", "feet": "foot", "inch": "inch", "inches": "inch",
    "lb": "pound", "lbs": "pound", "pound": "pound", "pounds": "pound", "oz": "ounce", "gal": "gallon",
    "gallon": "gallon", "gallons": "gallon", "t": "metric_ton", "tonne": "metric_ton", "tonnes": "metric_ton",
    "atom": "count", "atoms": "count", "cell": "count", "Ohm": "ohm", "ohms": "ohm", "\N{OHM SIGN}": "ohm",
}  # fmt: skip
"""Units that take no prefix here, with pint's name."""


@lru_cache(1)
def _vocabulary() -> dict[str, str]:
    """Every spelling of a unit -> pint's name."""
    known = {symbol: symbol for symbol in _PREFIXED}
    known |= {prefix + symbol: prefix + symbol for prefix in _PREFIXES for symbol in _PREFIXED}
    for name in _NAMED:
        for prefix in _LONG_PREFIXES:
            for ending in ("", "s"):
                known[prefix + name + ending] = known[(prefix + name + ending).capitalize()] = prefix + name
    for shadow in ("as", "am", "al", "hm", "ac", "ha", "at", "cd", "has", "fs", "MM", "hl", "aL", "dl"):
        known.pop(shadow, None)
    known |= {
        "fs": "fs",
        "cd": "cd",
        "dl": "dl",
        "kCal": "kcal",
        "Kcal": "kcal",
        "KJ": "kJ",
        "Mpa": "MPa",
        "Gpa": "GPa",
    }
    return known | _PLAIN


_POWER = r"(?:\^?-\d{1,2}|\^\+?\d{1,2}|[2-9](?![\dA-Za-z.]))"


@lru_cache(1)
def _unit_pattern() -> re.Pattern[str]:
    """Match one factor of a unit with its power, after its separator."""
    words = "|".join(sorted(map(re.escape, _vocabulary()), key=len, reverse=True))
    percent = r"(?:(?:wt|mol|at|vol)\.?\s?)?%|(?:weight|mass|mole|atomic|volume)?\s?per\s?cent\b"
    cluster = r"formula units?|unit cells?|f\.u\."
    return re.compile(
        rf"(?P<open>(?:\s?/\s?|\s?\bper\s)\(?|\s?[·*×]\s?|[ -])?"
        rf"(?P<unit>{percent}|{cluster}|(?:degrees?\s|deg\.?\s?|°\s?)[CFcf]\b|(?i:degrees? (?:celsius|fahrenheit))"
        rf"|electron[ -]volts?|kilo-?electron volts?|(?:{words})(?![A-Za-zµ°]))(?P<power>{_POWER})?(?![\dA-Za-z])",
    )


def _unit_name(text: str) -> str:
    """Translate one spelled unit into pint's name."""
    word = text.strip()
    known = _vocabulary().get(word)
    if known:
        return known
    lower = word.lower()
    if lower.endswith("%") or lower.replace(" ", "").endswith("percent"):
        return "percent"
    if lower.startswith(("formula", "unit cell", "f.u")):
        return "count"
    if "volt" in lower:
        return "kiloelectronvolt" if lower.startswith("kilo") else "electronvolt"
    return "degF" if lower[-1] == "f" or lower.endswith("fahrenheit") else "degC"


def unit_at(text: str, start: int) -> tuple[str, int]:
    """Read the unit that begins at a position; returns it with the position after it."""
    factors: list[str] = []
    below, position = False, start
    if text[start : start + 3].lower() in (" 1/", "*1/"):
        position = start + 2
    while match := _unit_pattern().match(text, position):
        opening, power = match["open"] or "", int(match["power"].lstrip("^") if match["power"] else 1)
        if factors and (
            not opening
            or (opening in (" ", "-") and not match["power"] and not text[:position].endswith("("))
        ):
            break
        divides = "/" in opening or "per" in opening
        below = divides or (below and bool(opening.strip()))
        if "/" in opening and opening.endswith("(") and ")" in text[match.end() : match.end() + 40]:
            inside = text[match.start("unit") : text.index(")", match.end())]
            factors += [f"{f}" for f in _inverse(inside)]
            return "*".join(factors), text.index(")", match.end()) + 1
        name = _unit_name(match["unit"])
        power = -power if below else power
        factors.append(name if power == 1 else f"{name}**{power}")
        position = match.end()
    return "*".join(factors), position if factors else start


def _inverse(inside: str) -> list[str]:
    """Turn "mol K" of "J/(mol K)" into negative powers."""
    found = []
    for word in re.split(r"[ ·*]+", inside):
        if (match := _unit_pattern().fullmatch(word)) and not match["open"]:
            power = int(match["power"].lstrip("^")) if match["power"] else 1
            found.append(f"{_unit_name(match['unit'])}**{-power}")
    return found


@lru_cache(1)
def _registry() -> Any:
    try:
        import pint
    except ModuleNotFoundError as error:
        raise UsageError("converting units needs `pip install 'science-evals[materials]'`") from error
    registry: Any = pint.UnitRegistry(cache_folder=None)
    registry.define("rydberg_energy = 13.605693122994 * electron_volt")
    return registry


@lru_cache(4096)
def normal_unit(unit: str) -> str:
    """Write a unit as `Quantity.unit` does: "J/(mol K)" -> "J*mol**-1*K**-1"; unknown ones as they are."""
    text = plain(unit).strip()
    known, end = unit_at(" " + text, 0)
    return known if end == len(text) + 1 else unit.strip()


@lru_cache(4096)
def same_dimension(one: str, other: str) -> bool:
    """Whether a value in one unit can be converted to the other; an unreadable unit never can."""
    one, other = normal_unit(one), normal_unit(other)
    if one == other:
        return True
    try:
        return bool(_registry().Unit(one).is_compatible_with(_registry().Unit(other)))
    except (ArithmeticError, AttributeError, ValueError, TypeError):
        return False


def convert(value: float, unit: str, target: str) -> float | None:
    """Express a value in the target's unit; None: a unit of another dimension, which is not converted.

    A number without a unit is taken to be in the target's; a target without a unit takes the number as written.
    """
    unit, target = normal_unit(unit), normal_unit(target)
    if not unit or not target or unit == target:
        return value
    if not same_dimension(unit, target):
        return None
    registry = _registry()
    converted = float(registry.Quantity(value, unit).to(target).magnitude)
    return converted if isfinite(converted) else None


def warm() -> None:
    """Do now what the first conversion would do: compile the vocabulary, import pint and read its definitions."""
    with suppress(UsageError):  # without pint, conversions say so when they come
        convert(1.0, "kPa", "MPa")
