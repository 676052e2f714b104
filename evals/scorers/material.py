"""Recognise formulas of materials, and describe crystal structures in words.

>>> looks_like_formula("Fe2O3"), looks_like_formula("I think")
(True, False)

pymatgen is imported lazily (extra `materials`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evals.errors import UsageError, install_command
from evals.scorers.formula import ELEMENTS

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MAX_FORMULA_CHARS = 400
"""Maximum length of a formula in characters."""
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉․", "0123456789.")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|ce|rm|boxed)\b|\\[,;! ]|[${}_]")
_FORMULA_TOKEN = re.compile(r"([A-Z][a-z]?|[()\[\]])(\d+\.?\d*|\.\d+)?")


def plain_formula(text: str) -> str:
    """Return a formula without LaTeX and white space, with plain digits for subscripts and round brackets for square ones."""
    formula = _LATEX.sub("", text.translate(_SUBSCRIPTS)).strip().rstrip(".,;:")
    return re.sub(r"\s+", "", formula).replace("[", "(").replace("]", ")")


def looks_like_formula(text: str) -> bool:
    """Return whether a text consists of elements with amounts and balanced brackets; needs no pymatgen."""
    formula = plain_formula(text)
    if not formula or len(formula) > MAX_FORMULA_CHARS:
        return False
    depth, position = 0, 0
    while position < len(formula):
        match = _FORMULA_TOKEN.match(formula, position)
        if match is None or (match[1].isalpha() and match[1] not in ELEMENTS):
            return False
        depth += {"(": 1, ")": -1}.get(match[1], 0)
        if depth < 0 or depth > 8 or (match[1] == "(" and match[2]):
            return False
        position = match.end()
    return depth == 0


@contextmanager
def _suppress_warnings() -> Iterator[None]:
    """Suppress the warnings of pymatgen and spglib, such as those about rounded coordinates in CIF files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parse_structure(document: dict[str, Any] | str) -> Structure:
    """Parse a structure from pymatgen's own dictionary, or from CIF or POSCAR text; raises ValueError if it is malformed."""
    try:
        from pymatgen.core.structure import Structure
    except ImportError:
        raise UsageError(
            f"parsing crystal structures needs pymatgen: {install_command('materials')}"
        ) from None
    if isinstance(document, dict):
        return Structure.from_dict(document)
    with _suppress_warnings():
        return Structure.from_str(document, fmt="cif" if "_cell_length_a" in document else "poscar")


def space_group(crystal: Structure) -> str:
    """Return the symbol and number of the space group, as in "Fm-3m (225)"; empty if spglib finds none."""
    with _suppress_warnings():
        try:
            symbol, number = crystal.get_space_group_info(symprec=0.01)
        except (ValueError, TypeError):
            return ""
    return f"{symbol} ({number})"


def describe_crystal(crystal: Structure, *, max_sites: int = 60) -> str:
    """Return a description of a crystal for a language model: composition, space group, lattice, sites.

    The space group is determined with a tolerance of 0.01 Å and omitted if that fails.
    """
    lattice = crystal.lattice
    with _suppress_warnings():
        lines = [f"Composition: {crystal.composition.reduced_formula}"]
    if group := space_group(crystal):
        lines.append(f"Space group: {group}")
    lines.append(f"Lattice: a = {lattice.a:.4g} Å, b = {lattice.b:.4g} Å, c = {lattice.c:.4g} Å,")
    lines.append(f"  alpha = {lattice.alpha:.4g}°, beta = {lattice.beta:.4g}°, gamma = {lattice.gamma:.4g}°")
    lines.append(f"Sites ({len(crystal)} in the cell, fractional coordinates):")
    for site in crystal[:max_sites]:
        x, y, z = (coordinate % 1.0 for coordinate in site.frac_coords)
        lines.append(f"  {site.species_string} {x:.4f} {y:.4f} {z:.4f}")
    if len(crystal) > max_sites:
        lines.append(f"  ... and {len(crystal) - max_sites} more")
    return "\n".join(lines)
