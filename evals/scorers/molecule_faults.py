"""Explain in one line how a molecule differs from the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.scorers.molecule_forms import MoleculeForms, rdkit

_MAX_MATCHES = 64
"""Maximum number of mappings of the answer's atoms to the target's that are compared."""
_DOUBLE_BOND_LABELS = {"STEREOE": "E", "STEREOTRANS": "E", "STEREOZ": "Z", "STEREOCIS": "Z"}


def tautomer_fault(answer: MoleculeForms, target: MoleculeForms) -> str:
    """Describe whether two tautomers differ only in hydrogens on heteroatoms, or also in hydrogens on carbon."""
    answer_hydrogens, target_hydrogens = (
        sorted(atom.GetTotalNumHs() for atom in forms.parent_mol.GetAtoms() if atom.GetAtomicNum() == 6)
        for forms in (answer, target)
    )
    if answer_hydrogens == target_hydrogens:
        return "another tautomer of the right molecule"
    return "an isomer: a hydrogen is on another carbon (as in keto and enol forms, or aldose and ketose)"


def parent_fault(answer: MoleculeForms, target: MoleculeForms) -> str:
    """Describe how two molecules with the same parent differ: in isotopes, charge or components."""
    answer_components, target_components = answer.flat.split("."), target.flat.split(".")
    extra = [c for c in answer_components if answer_components.count(c) > target_components.count(c)]
    missing = [c for c in target_components if target_components.count(c) > answer_components.count(c)]
    isotopes = [
        sorted(filter(None, (atom.GetIsotope() for atom in forms.flat_mol.GetAtoms())))
        for forms in (answer, target)
    ]
    charges = [
        sum(atom.GetFormalCharge() for atom in forms.flat_mol.GetAtoms()) for forms in (answer, target)
    ]
    if isotopes[0] != isotopes[1]:
        return "isotopes differ"
    if charges[0] != charges[1]:
        return f"charge {charges[0]}, should be {charges[1]}"
    same_count = len(answer_components) == len(target_components)
    extra_smiles, missing_smiles = ".".join(extra), ".".join(missing)
    if same_count or (extra and missing):
        return f"{'' if same_count else 'with '}{extra_smiles} instead of {missing_smiles}"
    return f"{extra_smiles} is extra" if extra else f"{missing_smiles} is missing"


def stereo_fault(answer: MoleculeForms, target: MoleculeForms) -> str:
    """Describe the atoms and double bonds whose stereo differs; atoms are numbered from 1 as in the target's SMILES."""
    answer_labels, target_labels = _stereo_labels(answer), _stereo_labels(target)
    matches = target.flat_mol.GetSubstructMatches(answer.flat_mol, uniquify=False, maxMatches=_MAX_MATCHES)
    faults = min(
        (list(_differences(target.mol, match, answer_labels, target_labels)) for match in matches),
        key=len,
        default=None,
    )
    if faults is None:
        return "stereo differs"
    if len(faults) > 3:
        return f"{'; '.join(faults[:3])}; and {len(faults) - 3} more"
    return "; ".join(faults) or "the relative arrangement differs"


_Labels = tuple[dict[int, str], dict[frozenset[int], str]]
"""CIP labels by atom, and E or Z by the atoms of a double bond."""


def _stereo_labels(forms: MoleculeForms) -> _Labels:
    """Return the stereo labels of a molecule, newly assigned by RDKit."""
    chem = rdkit().Chem
    mol = chem.Mol(forms.mol)
    chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    atoms = {atom.GetIdx(): atom.GetProp("_CIPCode") for atom in mol.GetAtoms() if atom.HasProp("_CIPCode")}
    bonds = {
        frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())): _DOUBLE_BOND_LABELS[str(bond.GetStereo())]
        for bond in mol.GetBonds()
        if str(bond.GetStereo()) in _DOUBLE_BOND_LABELS
    }
    return atoms, bonds


def _differences(
    target_mol: Any, match: tuple[int, ...], answer_labels: _Labels, target_labels: _Labels
) -> Iterator[str]:
    """Yield the labels that differ under a mapping of the answer's atoms to the target's."""
    atoms = {match[i]: label for i, label in answer_labels[0].items()}
    for i in sorted(atoms.keys() | target_labels[0].keys()):
        if atoms.get(i) != target_labels[0].get(i):
            symbol = target_mol.GetAtomWithIdx(i).GetSymbol()
            yield f"atom {i + 1} ({symbol}) {_describe_difference(atoms.get(i), target_labels[0].get(i))}"
    bonds = {frozenset(match[i] for i in pair): label for pair, label in answer_labels[1].items()}
    for pair in sorted(bonds.keys() | target_labels[1].keys(), key=sorted):
        if bonds.get(pair) != target_labels[1].get(pair):
            ends = "=".join(str(i + 1) for i in sorted(pair))
            yield f"double bond {ends} {_describe_difference(bonds.get(pair), target_labels[1].get(pair))}"


def _describe_difference(answer_label: str | None, target_label: str | None) -> str:
    if answer_label is None:
        return f"has no stereo, should be {target_label}"
    return (
        f"is {answer_label}, should be {target_label}"
        if target_label
        else f"is {answer_label}, should have none"
    )
