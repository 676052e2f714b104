"""Compare two molecules on a ladder of nested rungs, and explain the first that does not hold.

>>> climb("OCC", "CCO").name
'canonical'
>>> climb("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O").why
'right skeleton, wrong stereo: atom 2 (C) is S, should be R'

Rungs, from the top: the same string; the same canonical SMILES; the same compound in another drawing; the same
without stereo; the same largest parent, neutral and without isotopes; the same tautomer. Whatever reaches a rung
counts for all below it. For a set of molecules (reactants) every component is kept, and they are compared
as a multiset. The tautomer rung is tried only if formula and heavy-atom skeleton agree; RDKit's enumeration is
bounded by counts, not by the clock, so that scores are reproducible.

Two drawings show one compound if their InChIs with fixed hydrogens agree (options `-FixedH -RecMet`) after metals of
groups 1 and 2 are disconnected: resonance forms, ionic against covalent salts, and stereo marks on atoms that are not
stereocentres. Other metals keep their bonds. Tautomers, protonation states, isotopes and stereoisomers stay apart.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from evals.scorers.molecule_faults import parent_fault, stereo_fault, tautomer_fault
from evals.scorers.molecule_forms import Form

RUNGS = {
    "none": 0.0,
    "tautomer": 1.0,
    "parent": 2.0,
    "no_stereo": 3.0,
    "compound": 3.5,
    "canonical": 4.0,
    "string": 5.0,
}
"""Rung -> its number in records; `compound` was added after the others, whose numbers stay."""
_DRAWINGS = 4
"""Maximum number of components on either side that are compared as drawings."""


class Climb(Struct, frozen=True):
    """The highest rung that holds."""

    rung: float
    """A value of `RUNGS`."""
    why: str
    """What is wrong at the rung above, in one line."""
    undecided: bool = False
    """Needs review: the tautomer enumeration was stopped, or the target is not a valid molecule."""

    @property
    def name(self) -> str:
        """Return the rung's name."""
        return next(name for name, number in RUNGS.items() if number == self.rung)


def climb(answer: str | Form, target: str | Form, *, several: bool = False) -> Climb:
    """Return the highest rung on which both agree; `several` keeps all components of a set."""
    a = answer if isinstance(answer, Form) else Form(answer, several=several)
    t = target if isinstance(target, Form) else Form(target, several=several)
    if a.smiles == t.smiles:
        return Climb(RUNGS["string"], "")
    if a.mol is None:
        return Climb(0, a.fault())
    if t.mol is None:
        return _to_invalid_target(a, t)
    try:
        return _same_heavy_atoms(a, t) if a.heavy_atoms == t.heavy_atoms else _parents(a, t)
    except (ValueError, RuntimeError) as error:  # rings that RDKit reads but cannot write as double bonds
        return Climb(0, f"another molecule, and an odd one: {(str(error).splitlines() or [''])[0][:100]}")


def _to_invalid_target(a: Form, t: Form) -> Climb:
    """Compare with the most likely meaning of a target that RDKit cannot read, ignoring its hydrogens."""
    fault = f"the target is no valid molecule ({t.fault()})"
    meant = t.mended()
    best = climb(a, meant) if meant else Climb(0, "")
    if best.rung >= RUNGS["tautomer"] and best.rung not in (RUNGS["parent"], RUNGS["no_stereo"]):
        return Climb(RUNGS["compound"], f"{fault}; the same but for its hydrogens", undecided=True)
    return Climb(best.rung, "; ".join(filter(None, (fault, best.why))), undecided=True)


def same_compound(a: Form, t: Form) -> bool:
    """Return whether two molecules whose canonical SMILES differ are one compound in two drawings."""
    if a.composition != t.composition:
        return False
    disconnected = a.may_have_salt_metal or t.may_have_salt_metal  # the keys are of the molecules as drawn
    if (disconnected or a.skeleton_key == t.skeleton_key) and a.fixed_inchi == t.fixed_inchi != "":
        return True
    bridged = a._rd.Descriptors.CalcNumBridgeheadAtoms(a.mol) and a.flat == t.flat
    return bool(bridged) and not a.rewritten.isdisjoint(t.rewritten)


def _same_heavy_atoms(a: Form, t: Form) -> Climb:
    if a.canonical == t.canonical:
        return Climb(RUNGS["canonical"], "the same molecule, written differently")
    if same_compound(a, t):
        return Climb(RUNGS["compound"], "the same compound, drawn differently")
    if a.flat == t.flat:
        return Climb(RUNGS["no_stereo"], f"right skeleton, wrong stereo: {stereo_fault(a, t)}")
    return _parents(a, t)


def _parents(a: Form, t: Form) -> Climb:
    if a.formula != t.formula:
        return Climb(0, _other_formula(a, t))
    if a.parent == t.parent:
        return Climb(RUNGS["parent"], f"right parent, but {parent_fault(a, t)}")
    if a.element_graph != t.element_graph or a.skeleton != t.skeleton:
        return Climb(0, f"an isomer: {a.formula} is right, the skeleton is not")
    (stated, complete), (wanted, wanted_complete) = a.tautomer(), t.tautomer()
    if stated == wanted:
        return Climb(RUNGS["tautomer"], tautomer_fault(a, t))
    if complete and wanted_complete:
        return Climb(0, "right atoms and skeleton, but bonds or hydrogens elsewhere, and no tautomer")
    return Climb(0, "right atoms and skeleton; whether it is a tautomer was not decided", undecided=True)


class Components(NamedTuple):
    """The components of an answer compared with those of the target, as canonical SMILES."""

    right: list[str]
    missing: list[str]
    extra: list[str]

    @property
    def f1(self) -> float:
        """2 x right / (stated + wanted)."""
        return 2 * len(self.right) / (2 * len(self.right) + len(self.missing) + len(self.extra))

    def __str__(self) -> str:
        """Return which are right, missing and too many, in words."""
        groups = (("right", self.right), ("missing", self.missing), ("too much", self.extra))
        return ", ".join(
            f"{' and '.join(names[:3])} {'is' if len(names) == 1 else 'are'} {verdict}"
            for verdict, names in groups
            if names
        )


def compare_components(a: Form, t: Form) -> Components:
    """Match components one to one; two drawings of one compound match although their canonical SMILES differ."""
    if a.components.total() == t.components.total() == 1:  # the climb has compared these already
        right = a.canonical == t.canonical
        return Components(
            [a.canonical] if right else [], [] if right else [t.canonical], [] if right else [a.canonical]
        )
    right_ones = list((a.components & t.components).elements())
    extra, missing = (
        list((a.components - t.components).elements()),
        list((t.components - a.components).elements()),
    )
    for stated in extra[:_DRAWINGS]:
        form = Form(stated)
        wanted = next((name for name in missing[:_DRAWINGS] if same_compound(form, Form(name))), None)
        if wanted is not None:
            extra.remove(stated)
            missing.remove(wanted)
            right_ones.append(stated)
    return Components(right_ones, missing, extra)


def _other_formula(a: Form, t: Form) -> str:
    """Return how two molecules of different formulas differ: by component if some are right, else by formula."""
    if "." in a.smiles or "." in t.smiles:
        components = compare_components(a, t)
        if components.right:
            return str(components)
    return f"another molecule: {a.formula}, should be {t.formula}"
