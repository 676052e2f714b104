"""Molecules in words: formula and canonical SMILES, computed in a worker process under a deadline."""

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

LONGEST = 1000
"""Maximum number of characters of a SMILES that is parsed."""


class Molecule(NamedTuple):
    """A SMILES, described."""

    formula: str = ""
    """Component by component; empty if the SMILES is not a molecule."""
    canonical: str = ""
    """RDKit's canonical SMILES."""


def described(smiles: str) -> Molecule:
    """Return formula and canonical SMILES; empty if a component is not a molecule.

    >>> described("OCC.CC(=O)O")
    Molecule(formula='C2H6O + C2H4O2', canonical='CC(=O)O.CCO')
    """
    forms = [MoleculeForms(part) for part in smiles.split(".")]
    if any(form.mol is None for form in forms):
        return Molecule()
    return Molecule(
        " + ".join(form.formula for form in forms), ".".join(sorted(form.canonical for form in forms))
    )


@contextmanager
def descriptions() -> Iterator[Callable[[str], Molecule]]:
    """Yield a function that describes a SMILES; its result is empty if RDKit is absent or cannot parse it."""
    with Pool(1, timeout_s=5.0) as pool:

        @cache
        def describe(smiles: str) -> Molecule:
            if len(smiles) > LONGEST:
                return Molecule()
            try:
                return Molecule(*pool.call(described, smiles))
            except EvalsError:
                return Molecule()

        yield describe


def flip_lines(flips: Sequence[Flip], most: int, what: str, *, quote: str = "") -> list[str]:
    """Return at most `most` lines on changed samples; molecules get their formulas, which shows isomers as such."""
    if not any(flip.molecule for flip in flips[:most]):
        return shorten_list([flip_line(flip, quote=quote) for flip in flips], most, what)
    with descriptions() as describe:
        first = [
            flip_line(flip, quote=quote, formula=lambda smiles: describe(smiles).formula)
            for flip in flips[:most]
        ]
        return shorten_list([*first, *(flip.id for flip in flips[most:])], most, what)
