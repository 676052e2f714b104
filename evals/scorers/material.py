"""Materials: compositions read and compared through pymatgen, crystal structures written as text.

>>> same_composition("Fe2O3", "O3Fe2")
True

pymatgen is imported late (extra `materials`). Text is matched against a closed grammar and a length before
pymatgen sees it: "I think" holds the element I and is no composition.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from evals.errors import UsageError
from evals.scorers.choice import silence
from evals.types import Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition
    from pymatgen.core.structure import Structure

LONGEST = 400
"""Characters of a formula; longer text is none."""
ELEMENTS = frozenset(
    re.findall(
        r"[A-Z][a-z]?",
        "HHeLiBeBCNOFNeNaMgAlSiPSClArKCaScTiVCrMnFeCoNiCuZnGaGeAsSeBrKrRbSrYZrNbMoTcRuRhPdAgCdInSnSbTeIXeCsBaLaCePrNd"
        "PmSmEuGdTbDyHoErTmYbLuHfTaWReOsIrPtAuHgTlPbBiPoAtRnFrRaAcThPaUNpPuAmCmBkCfEsFmMdNoLrRfDbSgBhHsMtDsRgCnNhFlMcLv"
        "TsOgDT",
    )
)
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉․", "0123456789.")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|ce|rm|boxed)\b|\\[,;! ]|[${}_]")
_TOKEN = re.compile(r"([A-Z][a-z]?|[()\[\]])(\d+\.?\d*|\.\d+)?")
_CANDIDATE = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z][a-z]?[\d.]*|[(\[](?=[A-Z(\[])|[)\]][\d.]*){1,80}(?![A-Za-z])"
)


def plain_formula(text: str) -> str:
    """Take LaTeX wrappers, subscripts and blanks out of a formula."""
    bare = _LATEX.sub("", text.translate(_SUBSCRIPTS)).strip().rstrip(".,;:")
    return re.sub(r"\s+", "", bare).replace("[", "(").replace("]", ")")


def looks_like_formula(text: str) -> bool:
    """Whether a text is elements with amounts and balanced brackets; needs no library."""
    bare = plain_formula(text)
    if not bare or len(bare) > LONGEST:
        return False
    depth, position = 0, 0
    while position < len(bare):
        match = _TOKEN.match(bare, position)
        if match is None or (match[1].isalpha() and match[1] not in ELEMENTS):
            return False
        depth += {"(": 1, ")": -1}.get(match[1], 0)
        if depth < 0 or depth > 8 or (match[1] == "(" and match[2]):
            return False
        position = match.end()
    return depth == 0 and bare != "("


def _pymatgen() -> Any:
    try:
        import pymatgen.core
    except ImportError:
        raise UsageError("reading materials needs `pip install 'science-evals[materials]'`") from None
    return pymatgen.core


@lru_cache(16_384)
def composition(text: str) -> Composition | None:
    """Read a composition; None: the text is none."""
    if not looks_like_formula(text):
        return None
    try:
        found: Composition = _pymatgen().Composition(plain_formula(text))
    except (ValueError, KeyError):
        return None
    return found if found.num_atoms > 0 else None


def same_composition(one: str, other: str, *, tolerance: float = 1e-3) -> bool:
    """Whether two formulas are the same mixture: equal atomic fractions, whatever the order or multiple."""
    first, second = composition(one), composition(other)
    if first is None or second is None:
        return False
    elements = set(first.elements) | set(second.elements)
    return all(
        abs(first.get_atomic_fraction(e) - second.get_atomic_fraction(e)) <= tolerance for e in elements
    )


def formula_stated(text: str) -> str | None:
    """Read the formula that a reply states: the last text with two elements or an amount, or all of the reply.

    A bare symbol within a sentence is no answer: "In", "As", "No" and "I" are words.
    """
    tail = _LATEX.sub("", text[-20_000:].translate(_SUBSCRIPTS))
    if looks_like_formula(tail):
        return tail.strip()
    found = (match.group().rstrip(".") for match in _CANDIDATE.finditer(tail))
    formulas = [
        f for f in found if looks_like_formula(f) and len(_TOKEN.findall(f)) + any(map(str.isdigit, f)) > 1
    ]
    return formulas[-1] if formulas else None


class SameMaterial(Struct, frozen=True):
    """Scores 1 where the stated composition is the target's."""

    read: Callable[[str], str | None] = formula_stated
    tolerance: float = 1e-3
    """Of each atomic fraction."""

    def __repr__(self) -> str:
        """Name the rule, so that a change of it shows in a run's card."""
        return f"SameMaterial({self.read.__name__}, tolerance={self.tolerance})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; the target is a formula. Part `elements`: Jaccard similarity of the element sets."""
        target = str(sample.target)
        gold = composition(target)
        if gold is None:
            raise ValueError(f"the target {target!r} of sample {sample.id} is no composition")
        found = None if reply.stop == "filter" else self.read(reply.text)
        if found is None:
            return Score(value=0.0, verdict=silence(reply), why="no formula stated")
        stated = composition(found)
        if stated is None:
            return Score(value=0.0, verdict="invalid", answer=found, why=f"{found} is no composition")
        parts = {"elements": _overlap(set(gold.elements), set(stated.elements))}
        if same_composition(found, target, tolerance=self.tolerance):
            return Score(value=1.0, verdict="right", answer=found, parts=parts)
        why = "right elements, wrong amounts" if parts["elements"] == 1.0 else "other elements"
        return Score(value=0.0, verdict="wrong", answer=found, why=why, parts=parts)


def _overlap(one: set[Any], other: set[Any]) -> float:
    return len(one & other) / len(one | other)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pymatgen's and spglib's remarks (no electronegativity of argon, rounded CIFs) from the user's screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def structure(document: dict[str, Any] | str) -> Structure:
    """Read a structure from pymatgen's own dictionary or from CIF or POSCAR text; raises ValueError."""
    core = _pymatgen()
    if isinstance(document, dict):
        found: Structure = core.Structure.from_dict(document)
        return found
    form = "cif" if "_cell_length_a" in document else "poscar"
    with _quiet():
        parsed: Structure = core.Structure.from_str(document, fmt=form)
    return parsed


def space_group(crystal: Structure) -> str:
    """Symbol and number; empty where spglib finds none."""
    with _quiet():
        try:
            symbol, number = crystal.get_space_group_info(symprec=0.01)
        except (ValueError, TypeError):
            return ""
    return f"{symbol} ({number})"


def describe(crystal: Structure, *, most_sites: int = 60) -> str:
    """Write a crystal as text for a language model: composition, space group, lattice, sites.

    Symmetry is found with a tolerance of 0.01 Å; where that fails the space group is left out.
    """
    lattice = crystal.lattice
    with _quiet():
        lines = [f"Composition: {crystal.composition.reduced_formula}"]
    if group := space_group(crystal):
        lines.append(f"Space group: {group}")
    lines.append(f"Lattice: a = {lattice.a:.4g} Å, b = {lattice.b:.4g} Å, c = {lattice.c:.4g} Å,")
    lines.append(f"  alpha = {lattice.alpha:.4g}°, beta = {lattice.beta:.4g}°, gamma = {lattice.gamma:.4g}°")
    lines.append(f"Sites ({len(crystal)} in the cell, fractional coordinates):")
    for site in crystal[:most_sites]:
        x, y, z = (coordinate % 1.0 for coordinate in site.frac_coords)
        lines.append(f"  {site.species_string} {x:.4f} {y:.4f} {z:.4f}")
    if len(crystal) > most_sites:
        lines.append(f"  ... and {len(crystal) - most_sites} more")
    return "\n".join(lines)
