"""Molecules in words: the formula of a SMILES, computed in a worker process under a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from evals.errors import EvalsError
from evals.sandbox import Pool
from evals.scorers.molecule_forms import Form
from evals.verdicts.flips import Flip
from evals.verdicts.formatting import flip_line, shortened

LONGEST = 1000
"""Maximum number of characters of a SMILES that is parsed."""


def formula(smiles: str) -> str:
    """Return the formula of a SMILES, component by component; empty if one is not a molecule.

    >>> formula("CC(=O)O.OCC")
    'C2H4O2 + C2H6O'
    """
    forms = [Form(part) for part in smiles.split(".")]
    return " + ".join(form.formula for form in forms) if all(form.mol is not None for form in forms) else ""


@contextmanager
def formulas() -> Iterator[Callable[[str], str]]:
    """Yield a function from SMILES to formula; it returns an empty text if RDKit is absent or cannot parse it."""
    with Pool(1, timeout_s=5.0) as pool:

        @cache
        def named(smiles: str) -> str:
            if len(smiles) > LONGEST:
                return ""
            try:
                return str(pool.call(formula, smiles))
            except EvalsError:
                return ""

        yield named


def flip_lines(flips: Sequence[Flip], most: int, what: str, *, quote: str = "") -> list[str]:
    """Return at most `most` lines on changed samples; molecules get their formulas, which shows isomers as such."""
    if not any(flip.molecule for flip in flips[:most]):
        return shortened([flip_line(flip, quote=quote) for flip in flips], most, what)
    with formulas() as formula:
        first = [flip_line(flip, quote=quote, formula=formula) for flip in flips[:most]]
        return shortened([*first, *(flip.id for flip in flips[most:])], most, what)
