"""Formulas and canonical SMILES of molecules, computed in a worker process with a time limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from evals.errors import EvalsError
from evals.sandbox import Pool
from evals.scorers.molecule_forms import MoleculeForms
from evals.verdicts.flips import Flip
from evals.verdicts.formatting import flip_line, shorten_list

MAX_SMILES_CHARS = 1000
"""Maximum length of a SMILES that is parsed."""


class Molecule(NamedTuple):
    """The description of a SMILES."""

    formula: str = ""
    """Formulas of the components; empty if the SMILES is invalid."""
    canonical: str = ""
    """RDKit's canonical SMILES."""


def describe_molecule(smiles: str) -> Molecule:
    """Return the formula and the canonical SMILES; both empty if a component is invalid.

    >>> describe_molecule("OCC.CC(=O)O")
    Molecule(formula='C2H6O + C2H4O2', canonical='CC(=O)O.CCO')
    """
    forms = [MoleculeForms(part) for part in smiles.split(".")]
    if any(form.mol is None for form in forms):
        return Molecule()
    return Molecule(
        " + ".join(form.formula for form in forms), ".".join(sorted(form.canonical for form in forms))
    )


@contextmanager
def molecule_describer() -> Iterator[Callable[[str], Molecule]]:
    """Yield a function that describes a SMILES; its result is empty if RDKit is missing or fails, or the SMILES is too long."""
    with Pool(1, timeout_s=5.0) as pool:

        @cache
        def describe(smiles: str) -> Molecule:
            if len(smiles) > MAX_SMILES_CHARS:
                return Molecule()
            try:
                return Molecule(*pool.call(describe_molecule, smiles))
            except EvalsError:
                return Molecule()

        yield describe


def flip_lines(flips: Sequence[Flip], limit: int, noun: str, *, quote: str = "") -> list[str]:
    """Return at most `limit` lines about changed samples, with the formulas of molecules; the last one may state how many are omitted."""
    if not any(flip.molecule for flip in flips[:limit]):
        return shorten_list([flip_line(flip, quote=quote) for flip in flips], limit, noun)
    with molecule_describer() as describe:
        lines = [
            flip_line(flip, quote=quote, formula=lambda smiles: describe(smiles).formula)
            for flip in flips[:limit]
        ]
        return shorten_list([*lines, *(flip.id for flip in flips[limit:])], limit, noun)
