"""Explain in one line why a molecule agrees with the target only on a lower rung of the ladder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.scorers.molecule_forms import Form

_MOST_MATCHES = 64
_UNKNOWN = ["stereo differs"] * 99
_DOUBLE_BONDS = {"STEREOE": "E", "STEREOTRANS": "E", "STEREOZ": "Z", "STEREOCIS": "Z"}


def tautomer_fault(a: Form, t: Form) -> str:
    """Return the kind of tautomer: chemists call both one compound only with mobile hydrogens on heteroatoms."""
    stated, wanted = (
        sorted(atom.GetTotalNumHs() for atom in form.parent_mol.GetAtoms() if atom.GetAtomicNum() == 6)
        for form in (a, t)
    )
    if stated == wanted:
        return "another tautomer of the right molecule"
    return "an isomer: a hydrogen sits on another carbon (keto and enol, aldose and ketose are such pairs)"


def parent_fault(a: Form, t: Form) -> str:
    """Return what two molecules with the same parent differ in: isotopes, charge or further components."""
    stated, wanted = a.flat.split("."), t.flat.split(".")
    extra = [part for part in stated if stated.count(part) > wanted.count(part)]
    missing = [part for part in wanted if wanted.count(part) > stated.count(part)]
    isotopes = [
        sorted(filter(None, (atom.GetIsotope() for atom in form.flat_mol.GetAtoms()))) for form in (a, t)
    ]
    charges = [sum(atom.GetFormalCharge() for atom in form.flat_mol.GetAtoms()) for form in (a, t)]
    if isotopes[0] != isotopes[1]:
        return "isotopes differ"
    if charges[0] != charges[1]:
        return f"charge {charges[0]}, should be {charges[1]}"
    if len(stated) == len(wanted) or (extra and missing):
        return (
            f"{'with ' if len(stated) != len(wanted) else ''}{'.'.join(extra)} instead of {'.'.join(missing)}"
        )
    return f"{'.'.join(extra)} is too much" if extra else f"{'.'.join(missing)} is missing"


def stereo_fault(a: Form, t: Form) -> str:
    """Return the stereo elements that differ; atoms are counted from 1 in the target's SMILES."""
    stated, wanted = _labels(a), _labels(t)
    matches = t.flat_mol.GetSubstructMatches(a.flat_mol, uniquify=False, maxMatches=_MOST_MATCHES)
    faults = min(
        (list(_differences(t.mol, match, stated, wanted)) for match in matches), key=len, default=_UNKNOWN
    )
    if faults is _UNKNOWN:
        return faults[0]
    if len(faults) > 3:
        return f"{'; '.join(faults[:3])}; and {len(faults) - 3} more"
    return "; ".join(faults) or "the relative arrangement differs"


_Labels = tuple[dict[int, str], dict[frozenset[int], str]]
"""CIP labels by atom, and E or Z by the atoms of a double bond."""


def _labels(form: Form) -> _Labels:
    chem = form._rd.Chem
    mol = chem.Mol(form.mol)
    chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    atoms = {atom.GetIdx(): atom.GetProp("_CIPCode") for atom in mol.GetAtoms() if atom.HasProp("_CIPCode")}
    bonds = {
        frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())): _DOUBLE_BONDS[str(bond.GetStereo())]
        for bond in mol.GetBonds()
        if str(bond.GetStereo()) in _DOUBLE_BONDS
    }
    return atoms, bonds


def _differences(target: Any, match: tuple[int, ...], stated: _Labels, wanted: _Labels) -> Iterator[str]:
    """Yield the differing labels under one mapping of the answer's atoms to the target's."""
    atoms = {match[i]: label for i, label in stated[0].items()}
    for i in sorted(atoms.keys() | wanted[0].keys()):
        if atoms.get(i) != wanted[0].get(i):
            symbol = target.GetAtomWithIdx(i).GetSymbol()
            yield f"atom {i + 1} ({symbol}) {_should(atoms.get(i), wanted[0].get(i))}"
    bonds = {frozenset(match[i] for i in pair): label for pair, label in stated[1].items()}
    for pair in sorted(bonds.keys() | wanted[1].keys(), key=sorted):
        if bonds.get(pair) != wanted[1].get(pair):
            ends = "=".join(str(i + 1) for i in sorted(pair))
            yield f"double bond {ends} {_should(bonds.get(pair), wanted[1].get(pair))}"


def _should(stated: str | None, wanted: str | None) -> str:
    if stated is None:
        return f"has no stereo, should be {wanted}"
    return f"is {stated}, should be {wanted}" if wanted else f"is {stated}, should have none"
