"""Parse units of a closed vocabulary, and convert them with pint, which is imported at the first conversion."""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite, log10
from typing import Any

from evals.errors import UsageError, install_command
from evals.extract.units.notation import normalise_notation

_AVOGADRO = 6.02214076e23
_PREFIXES = tuple("YZEPTGMkhdcmµunpfa")
_LONG_PREFIXES = (
    "", "tera", "giga", "mega", "kilo", "hecto", "deci", "centi", "milli", "micro", "nano", "pico",
)  # fmt: skip
_PREFIXED = (
    *"mgsAKNJWCVFΩSTHLlM",
    "mol", "cd", "Hz", "Pa", "Wb", "lm", "lx", "Bq", "Gy", "Sv", "eV", "bar", "cal", "Da",
)  # fmt: skip
"""Symbols of units that take the short prefixes."""
_UNIT_NAMES = (
    "meter", "metre", "gram", "second", "kelvin", "mole", "mol", "hertz", "newton", "joule", "pascal", "watt",
    "coulomb", "volt", "farad", "ohm", "siemens", "tesla", "henry", "liter", "litre", "molar", "electronvolt",
    "calorie", "dalton", "bar",
)  # fmt: skip
_WITHOUT_PREFIX = {
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
    "atom": "atom", "atoms": "atom", "at": "atom", "cell": "unit_cell", "cells": "unit_cell", "kgf": "kilogram_force", "kp": "kilogram_force", "dyn": "dyne",
    "dyne": "dyne", "erg": "erg", "ergs": "erg", "lbf": "pound_force", "Msi": "megapsi", "kayser": "cm**-1", "wavenumbers": "cm**-1", "Ohm": "ohm", "ohms": "ohm", "\N{OHM SIGN}": "ohm",
}  # fmt: skip
"""Spelling of a unit that takes no prefix -> pint's name."""


@lru_cache(1)
def _vocabulary() -> dict[str, str]:
    """Return pint's name for every unit of the vocabulary, by its spelling."""
    names_by_spelling = {symbol: symbol for symbol in _PREFIXED}
    names_by_spelling |= {prefix + symbol: prefix + symbol for prefix in _PREFIXES for symbol in _PREFIXED}
    for name in _UNIT_NAMES:
        for prefix in _LONG_PREFIXES:
            for spelling in (f"{prefix}{name}", f"{prefix}{name}s"):
                names_by_spelling |= dict.fromkeys((spelling, spelling.capitalize()), prefix + name)
    for ambiguous in ("as", "am", "al", "hm", "ac", "ha", "at", "cd", "has", "fs", "MM", "hl", "aL", "dl"):
        names_by_spelling.pop(ambiguous, None)
    names_by_spelling |= {
        "fs": "fs", "cd": "cd", "dl": "dl", "kCal": "kcal", "Kcal": "kcal", "KJ": "kJ", "Mpa": "MPa", "Gpa": "GPa",
    }  # fmt: skip
    return names_by_spelling | _WITHOUT_PREFIX


_POWER = r"(?:\^?-\d{1,2}|\^\+?\d{1,2}|[2-9](?![\dA-Za-z.]))"


@lru_cache(1)
def _unit_pattern() -> re.Pattern[str]:
    """Return the pattern of one factor of a unit with its separator and power."""
    words = "|".join(sorted(map(re.escape, _vocabulary()), key=len, reverse=True))
    percent = r"(?:(?:wt|mol|at|vol)\.?\s?)?%|(?:weight|mass|mole|atomic|volume)?\s?per\s?cent\b"
    cluster = r"formula[ -]units?|unit[ -]cells?|f\.?u\.?(?![a-z])"
    moles = r"(?:mol|moles?|g|gram)[ -](?:of[ -])?(?:atoms?|formula[ -]units?|unit[ -]cells?|f\.?u\.?(?![a-z])|compound)"
    return re.compile(
        rf"(?P<open>(?:\s?/\s?|\s?\bper\s)\(?|\s?[·*×]\s?|[ -])?"
        rf"(?P<unit>{percent}|{moles}|{cluster}|(?:degrees?\s|deg\.?\s?|°\s?)[CFcf]\b|(?i:degrees? (?:celsius|fahrenheit))"
        rf"|electron[ -]volts?|kilo-?electron volts?|(?:{words})(?![A-Za-zµ°]))(?P<power>{_POWER})?(?![\dA-Za-z])"
    )


def _unit_name(text: str) -> str:
    """Return pint's name for the spelling of a unit."""
    word = text.strip()
    name = _vocabulary().get(word)
    if name:
        return name
    lower = word.lower()
    if lower.endswith("%") or lower.replace(" ", "").endswith("percent"):
        return "percent"
    if lower.startswith(("mol", "g")):
        return "mole_of_atoms" if "atom" in lower else "mole_of_units"
    if lower.startswith(("formula", "f.u", "fu")):
        return "formula_unit"
    if lower.startswith("unit"):
        return "unit_cell"
    if "volt" in lower:
        return "kiloelectronvolt" if lower.startswith("kilo") else "electronvolt"
    return "degF" if lower[-1] == "f" or lower.endswith("fahrenheit") else "degC"


_LOGARITHMIC_UNIT = re.compile(
    r"\s?\(?(?:in\s)?log(?:_?\{?10\}?)?(?:\s?units?\b|\s?\(?(?P<inner>[A-Za-zµ][A-Za-zµ/^·*\d -]{0,14}?)\)?(?=[\s,;.)]|$))"
)
_UNKNOWN_UNIT = re.compile(
    r"\s?(?P<unit>(?P<first>[A-Za-zµΩÅ]{1,12})(?:(?:\s?/\s?|·|\*|\^-?\d)\(?[A-Za-zµΩÅ\d][A-Za-zµΩÅ\d^()·-]{0,20}){1,3}"
    r"|(?:HV|HRC|HRB|HB|a\.u\.|arb\.(?: units)?)(?![A-Za-z]))"
)
_NOT_BEFORE_UNITS = ",;:.!?)]}|"
"""Characters that no unit begins with."""
_NOT_UNITS = frozenset(("and", "or", "either", "yes", "true", "he", "she", "his", "s", "log", "ln", "exp"))


def unit_at(text: str, start: int) -> tuple[str, int]:
    """Return the unit that begins at a position, and the position after it.

    Units of logarithms are written "log10(GPa)"; an unknown word in the form of a unit is returned unchanged.
    """
    if text[start : start + 1] in _NOT_BEFORE_UNITS:
        return "", start
    if (log := _LOGARITHMIC_UNIT.match(text, start)) is not None:
        inner = (log["inner"] or "").strip()
        return f"log10({normalise_unit(inner) if len(inner) > 1 else ''})", log.end()  # "log S" has no unit
    name, end = _known_unit_at(text, start)
    unknown = _UNKNOWN_UNIT.match(text, start)
    if unknown is None or unknown.end() <= end or (unknown["first"] or "").lower() in _NOT_UNITS:
        return name, end
    if name or (
        not any(_unit_pattern().fullmatch(part) for part in re.split(r"[/·*^()\s]+", unknown["unit"]))
        and "/" in unknown["unit"]
    ):
        return name, end
    return unknown["unit"], unknown.end()


def _known_unit_at(text: str, start: int) -> tuple[str, int]:
    """Return the unit of the vocabulary at a position, and the position after it."""
    factors: list[str] = []
    in_denominator, position = False, start
    if text[start : start + 3].lower() in (" 1/", "*1/"):
        position = start + 2
    while match := _unit_pattern().match(text, position):
        if not factors and match["unit"] == "at":
            break  # "2.1 at pH 7.4"; atoms are abbreviated only in a denominator
        opening, power = match["open"] or "", int(match["power"].lstrip("^") if match["power"] else 1)
        if factors and (
            not opening
            or (
                opening in (" ", "-")
                and not match["power"]
                and not text[:position].endswith("(")
                and not _power_follows(text, match.end())
            )
        ):
            break
        divides = "/" in opening or "per" in opening
        in_denominator = divides or (in_denominator and bool(opening.strip()))
        if "/" in opening and opening.endswith("(") and ")" in text[match.end() : match.end() + 40]:
            denominator = text[match.start("unit") : text.index(")", match.end())]
            factors += _inverse_factors(denominator)
            return "*".join(factors), text.index(")", match.end()) + 1
        name = _unit_name(match["unit"])
        power = -power if in_denominator else power
        factors.append(name if power == 1 else f"{name}**{power}")
        position = match.end()
    return "*".join(factors), position if factors else start


def _power_follows(text: str, start: int) -> bool:
    """Return whether one of the next three factors, separated by spaces, has a power, as `s^-2` in "kg m s^-2"."""
    for _ in range(3):
        match = _unit_pattern().match(text, start)
        if match is None or match["open"] != " " or match["power"]:
            return match is not None and match["open"] == " "
        start = match.end()
    return False


def _inverse_factors(denominator: str) -> list[str]:
    """Return the factors of a denominator such as "mol K" with negative powers."""
    factors = []
    for word in re.split(r"[ ·*]+", denominator):
        if (match := _unit_pattern().fullmatch(word)) and not match["open"]:
            power = int(match["power"].lstrip("^")) if match["power"] else 1
            factors.append(f"{_unit_name(match['unit'])}**{-power}")
    return factors


@lru_cache(1)
def _registry() -> Any:
    try:
        import pint
    except ModuleNotFoundError as error:
        raise UsageError(f"converting units needs `{install_command('materials')}`") from error
    registry: Any = pint.UnitRegistry(cache_folder=None)
    for definition in (
        "rydberg_energy = 13.605693122994 * electron_volt",
        "atom = [atom_count]",
        "unit_cell = [cell_count]",
        "formula_unit = unit_cell",
        f"mole_of_atoms = {_AVOGADRO} * atom",
        f"mole_of_units = {_AVOGADRO} * formula_unit",
    ):
        registry.define(definition)
    return registry


@lru_cache(4096)
def normalise_unit(unit: str) -> str:
    """Return a unit in the form of `Quantity.unit`, as in "J*mol**-1*K**-1" for "J/(mol K)"; unknown units are unchanged."""
    text = normalise_notation(unit).strip()
    if text == DIMENSIONLESS:
        return text
    if (argument := _log_argument(text)) is not None:
        return f"log10({normalise_unit(argument)})"
    name, end = unit_at(" " + text, 0)
    return name if end == len(text) + 1 else unit.strip()


def _log_argument(unit: str) -> str | None:
    """Return the unit in brackets of a logarithmic unit, as in "log10(GPa)"; None for any other unit."""
    is_logarithmic = unit.startswith("log10(") and unit.endswith(")")
    return unit.removeprefix("log10(").removesuffix(")") if is_logarithmic else None


@lru_cache(4096)
def same_dimension(unit: str, other: str) -> bool:
    """Return whether two units have the same dimension; false for unknown units."""
    unit, other = normalise_unit(unit), normalise_unit(other)
    if unit == other:
        return True
    try:
        return bool(_registry().Unit(unit).is_compatible_with(_registry().Unit(other)))
    except (ArithmeticError, AttributeError, ValueError, TypeError):
        return False


DIMENSIONLESS = "dimensionless"
"""The unit of a target without a unit; only logarithms, angles and units such as percent can be converted to it."""


def convert(value: float, unit: str, target: str) -> float | None:
    """Convert a value to the target's unit; None if that is impossible.

    A number without a unit is assumed to be in the target's unit; if `target` is empty, the number is returned unchanged.
    Besides units of the same dimension, these are converted:

    - energies, frequencies and wave numbers (E = h nu = h c / lambda): 15.6 THz is 520 cm**-1;
    - an energy per mole to one per atom or cell: 96.5 kJ/mol is 1 eV/atom; an energy without "per" is assumed to be per
      atom or cell, but one per atom or cell is not converted to an energy without "per";
    - a quantity to its logarithm: 50 GPa is 1.7 in log10(GPa).
    """
    unit, target = normalise_unit(unit), normalise_unit(target)
    if (argument := _log_argument(target)) is not None:
        return _convert_to_logarithm(value, unit, argument)
    if target == DIMENSIONLESS and _log_argument(unit) is not None:
        return value
    if not unit or not target or unit == target:
        return value
    try:
        converted = _convert_with_pint(value, unit, target)
    except (ArithmeticError, AttributeError, ValueError, TypeError):
        return None
    return converted if converted is not None and isfinite(converted) else None


@lru_cache(4096)
def convertible(unit: str, target: str) -> bool:
    """Return whether `convert` can convert a unit to the target's."""
    return convert(1.0, unit, target) is not None


def _convert_to_logarithm(value: float, unit: str, target: str) -> float | None:
    """Return the logarithm of a quantity; numbers that are negative, or have no unit or a logarithmic one, are logarithms."""
    if not unit or (argument := _log_argument(unit)) == "":
        return value
    if argument is not None:
        factor = convert(1.0, argument, target)
        return None if factor is None else value + log10(factor)
    if value < 0 and same_dimension(unit, target):  # "log S = -2.3 mol/L"
        return _convert_to_logarithm(value, f"log10({unit})", target)
    plain_value = convert(value, unit, target)
    return log10(plain_value) if plain_value is not None and plain_value > 0 else None


def _convert_with_pint(value: float, unit: str, target: str) -> float | None:
    """Convert between units of the same dimension, or in the ways that `convert` lists; raises pint's errors for unknown units."""
    registry = _registry()
    target_unit = registry.Unit(target)
    source_unit = registry.Unit(unit)
    if source_unit.is_compatible_with(target_unit):
        return float(registry.Quantity(value, unit).to(target).magnitude)
    quantity = registry.Quantity(value, unit)
    for particle in ("atom", "unit_cell"):
        if f"[{particle.removeprefix('unit_')}_count]" in target_unit.dimensionality:
            for divisor in (
                registry.Quantity(1, "mol") / registry.Quantity(_AVOGADRO, particle),
                1 / registry.Unit(particle),
            ):
                if (quantity * divisor).is_compatible_with(target_unit):
                    return float((quantity * divisor).to(target).magnitude)
            return None
    spectroscopic = [registry.get_dimensionality(name) for name in ("joule", "hertz", "1/cm")]
    if (
        {source_unit.dimensionality, target_unit.dimensionality} <= set(spectroscopic)
        and "radian" not in unit
        and "rpm" not in unit
    ):
        return float(quantity.to(target, "spectroscopy").magnitude)
    return None


def load_units() -> None:
    """Compile the vocabulary and load pint's definitions ahead of time; raises UsageError without pint."""
    convert(1.0, "kPa", "MPa")
