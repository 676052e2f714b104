"""Grade how far two molecules agree on an ordered scale, and explain the difference.

>>> compare_molecules("OCC", "CCO").name
'canonical'
>>> compare_molecules("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O").why
'right skeleton, wrong stereo: atom 2 (C) is S, should be R'

The levels of agreement are called rungs. From the highest: the same string; the same canonical SMILES; the same
compound drawn differently; the same without stereo; the same parent (largest fragment, neutral and without isotopes);
a tautomer of the parent. A rung implies all lower ones. For a set of molecules (reactants) the components are compared as
a multiset. Tautomers are compared only if formula and heavy-atom skeleton agree; RDKit's enumeration is limited by counts
instead of time, which makes scores reproducible.

Two drawings represent the same compound if their InChIs with fixed hydrogens agree (options `-FixedH -RecMet`) after group 1
and group 2 metals are disconnected. They may then differ in resonance form, in ionic or covalent bonds of a salt, and in stereo
marks on atoms that are not stereocentres. Other metals keep their bonds. Tautomers, protonation states, isotopes and
stereoisomers remain distinct.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from evals.scorers.molecule_faults import parent_fault, stereo_fault, tautomer_fault
from evals.scorers.molecule_forms import MoleculeForms, rdkit

RUNGS = {
    "none": 0.0,
    "tautomer": 1.0,
    "parent": 2.0,
    "no_stereo": 3.0,
    "compound": 3.5,
    "canonical": 4.0,
    "string": 5.0,
}
"""Rung -> its number in records. `compound` was inserted later, without changing the numbers in existing records."""
_MAX_COMPONENTS = 4
"""Maximum number of unmatched components on either side that `same_compound` compares."""


class MoleculeMatch(Struct, frozen=True):
    """The highest rung that an answer reaches."""

    rung: float
    """A value of `RUNGS`."""
    why: str
    """Why the next rung is not reached, in one line."""
    undecided: bool = False
    """Whether a person must review the match: the tautomer enumeration was incomplete, or the target is invalid."""

    @property
    def name(self) -> str:
        """Return the rung's name."""
        return next(name for name, number in RUNGS.items() if number == self.rung)


def compare_molecules(
    answer: str | MoleculeForms, target: str | MoleculeForms, *, several: bool = False
) -> MoleculeMatch:
    """Return the highest rung that the answer reaches; with `several`, all components of a set are compared."""
    if isinstance(answer, str):
        answer = MoleculeForms(answer, several=several)
    if isinstance(target, str):
        target = MoleculeForms(target, several=several)
    if answer.smiles == target.smiles:
        return MoleculeMatch(RUNGS["string"], "")
    if answer.mol is None:
        return MoleculeMatch(0, answer.fault())
    if target.mol is None:
        return _match_invalid_target(answer, target)
    try:
        return (
            _match_same_heavy_atoms(answer, target)
            if answer.heavy_atom_formula == target.heavy_atom_formula
            else _match_parents(answer, target)
        )
    except (ValueError, RuntimeError) as error:  # RDKit parses some aromatic rings that it cannot kekulise
        return MoleculeMatch(
            0,
            f"another molecule, which RDKit cannot kekulise: {(str(error).splitlines() or [''])[0][:100]}",
        )


def _match_invalid_target(answer: MoleculeForms, target: MoleculeForms) -> MoleculeMatch:
    """Compare an answer with a repaired version of a target that RDKit cannot read, ignoring the target's hydrogens."""
    fault = f"the target is not a valid molecule ({target.fault()})"
    repaired = target.repaired()
    best = compare_molecules(answer, repaired) if repaired else MoleculeMatch(0, "")
    if best.rung >= RUNGS["tautomer"] and best.rung not in (RUNGS["parent"], RUNGS["no_stereo"]):
        return MoleculeMatch(RUNGS["compound"], f"{fault}; the same except for its hydrogens", undecided=True)
    return MoleculeMatch(best.rung, "; ".join(filter(None, (fault, best.why))), undecided=True)


def same_compound(answer: MoleculeForms, target: MoleculeForms) -> bool:
    """Return whether two molecules with different canonical SMILES are the same compound, drawn differently."""
    if answer.composition != target.composition:
        return False
    # the first block of an InChIKey depends on the bonds that are drawn
    may_differ_in_bonds = answer.may_have_salt_metal or target.may_have_salt_metal
    if (
        may_differ_in_bonds or answer.inchikey_block == target.inchikey_block
    ) and answer.fixed_h_inchi == target.fixed_h_inchi != "":
        return True
    is_bridged = bool(rdkit().rdMolDescriptors.CalcNumBridgeheadAtoms(answer.mol))
    return (
        is_bridged
        and answer.flat == target.flat
        and not answer.round_trip_smiles.isdisjoint(target.round_trip_smiles)
    )


def _match_same_heavy_atoms(answer: MoleculeForms, target: MoleculeForms) -> MoleculeMatch:
    if answer.canonical == target.canonical:
        return MoleculeMatch(RUNGS["canonical"], "the same molecule, written differently")
    if same_compound(answer, target):
        return MoleculeMatch(RUNGS["compound"], "the same compound, drawn differently")
    if answer.flat == target.flat:
        return MoleculeMatch(
            RUNGS["no_stereo"], f"right skeleton, wrong stereo: {stereo_fault(answer, target)}"
        )
    return _match_parents(answer, target)


def _match_parents(answer: MoleculeForms, target: MoleculeForms) -> MoleculeMatch:
    if answer.formula != target.formula:
        return MoleculeMatch(0, _formula_difference(answer, target))
    if answer.parent == target.parent:
        return MoleculeMatch(RUNGS["parent"], f"right parent, but {parent_fault(answer, target)}")
    if answer.element_graph != target.element_graph or answer.heavy_atom_graph != target.heavy_atom_graph:
        return MoleculeMatch(0, f"an isomer: {answer.formula} is right, the skeleton is not")
    (stated_tautomer, complete), (target_tautomer, target_complete) = answer.tautomer(), target.tautomer()
    if stated_tautomer == target_tautomer:
        return MoleculeMatch(RUNGS["tautomer"], tautomer_fault(answer, target))
    if complete and target_complete:
        return MoleculeMatch(0, "right atoms and skeleton, but bonds or hydrogens elsewhere; not a tautomer")
    return MoleculeMatch(0, "right atoms and skeleton; whether it is a tautomer is unknown", undecided=True)


class Components(NamedTuple):
    """The canonical SMILES of the right, missing and extra components of an answer."""

    right: list[str]
    missing: list[str]
    extra: list[str]

    @property
    def f1(self) -> float:
        """Return 2 x right / (number in the answer + number in the target)."""
        return 2 * len(self.right) / (2 * len(self.right) + len(self.missing) + len(self.extra))

    def __str__(self) -> str:
        """Return a phrase that names the right, missing and extra components."""
        groups = (("right", self.right), ("missing", self.missing), ("extra", self.extra))
        return ", ".join(
            f"{' and '.join(names[:3])} {'is' if len(names) == 1 else 'are'} {verdict}"
            for verdict, names in groups
            if names
        )


def compare_components(answer: MoleculeForms, target: MoleculeForms) -> Components:
    """Match components one to one; drawings of the same compound match even if their canonical SMILES differ."""
    shared = list((answer.components & target.components).elements())
    extra = list((answer.components - target.components).elements())
    missing = list((target.components - answer.components).elements())
    if answer.components.total() == target.components.total() == 1:
        return Components(shared, missing, extra)  # `compare_molecules` compares single molecules
    for component in extra[:_MAX_COMPONENTS]:
        forms = MoleculeForms(component)
        for target_component in missing[:_MAX_COMPONENTS]:
            if same_compound(forms, MoleculeForms(target_component)):
                extra.remove(component)
                missing.remove(target_component)
                shared.append(component)
                break
    return Components(shared, missing, extra)


def _formula_difference(answer: MoleculeForms, target: MoleculeForms) -> str:
    """Describe how two molecules with different formulas differ, by component if some components are right."""
    if "." in answer.smiles or "." in target.smiles:
        components = compare_components(answer, target)
        if components.right:
            return str(components)
    return f"another molecule: {answer.formula}, should be {target.formula}"
