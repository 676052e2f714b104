"""Representations of a molecule, or set of molecules, for comparison; RDKit is imported on first use."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

from msgspec import Struct

from evals.errors import UsageError, install_command

MAX_TAUTOMERS = 250
"""Maximum number of tautomers and of transforms per enumeration (about half a second)."""
_SALT_METALS = frozenset((3, 11, 19, 37, 55, 87, 4, 12, 20, 38, 56, 88))
"""Atomic numbers of the group 1 and group 2 metals."""
_POSSIBLE_SALT_METAL = re.compile(r"\[\d*(?:Li|Na|K|Rb|Cs|Fr|Be|Mg|Ca|Sr|Ba|Ra|#\d)")
"""The beginning of a bracket atom that is a group 1 or group 2 metal, or may be one because its atomic number is given."""
_NONMETALS = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54, 85, 86))
_STEREO_BEYOND_INCHI = re.compile(r"@(?:SP|TB|OH|AL)")
"""Stereo descriptors that InChI cannot express: square planar, bipyramidal, octahedral, allene-like."""
_ISOTOPE = re.compile(r"\[\d")
_CHARGE = re.compile(r"[-+]\d*(?::\d+)?\]|\+\+|--")
_HYDROGENS = re.compile(r"H\d*(?![a-z\d])")
_MAX_ROUND_TRIPS = 3
"""Maximum number of round trips of a canonical SMILES; each may change the spurious stereo marks that RDKit adds."""
_RDKIT_ERRORS = (ValueError, RuntimeError, OverflowError)
"""Exceptions that RDKit raises on input that it cannot handle."""


@lru_cache(1)
def rdkit() -> Any:
    """Return RDKit's modules and tools, with logging disabled; raises UsageError, which names the extra, if RDKit is missing."""
    try:
        from rdkit import Chem, DataStructs, rdBase
        from rdkit.Chem import rdFingerprintGenerator, rdinchi, rdMolDescriptors, rdMolHash
        from rdkit.Chem.MolStandardize import rdMolStandardize
    except ImportError:
        raise UsageError(f"scoring molecules needs RDKit: {install_command('chemistry')}") from None
    rdBase.DisableLog("rdApp.*")
    tautomer_enumerator = rdMolStandardize.TautomerEnumerator()
    tautomer_enumerator.SetMaxTautomers(MAX_TAUTOMERS)
    tautomer_enumerator.SetMaxTransforms(MAX_TAUTOMERS)
    return SimpleNamespace(
        Chem=Chem,
        DataStructs=DataStructs,
        rdMolDescriptors=rdMolDescriptors,
        hashes=rdMolHash,
        inchi=rdinchi,
        morgan=rdFingerprintGenerator.GetMorganGenerator(radius=2),
        rdk=rdFingerprintGenerator.GetRDKitFPGenerator(),
        morgan_2048=rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048),
        fragment_chooser=rdMolStandardize.LargestFragmentChooser(),
        uncharger=rdMolStandardize.Uncharger(),
        tautomer_enumerator=tautomer_enumerator,
        standardize=rdMolStandardize,
    )


class UsesRdkit(Struct, frozen=True):
    """Base of scorers that use RDKit, in a worker with a deadline."""

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import RDKit."""
        rdkit()


class MoleculeForms:
    """Representations of a molecule, or, if `several`, of a set of molecules; each is computed on first use."""

    def __init__(self, smiles: str, *, several: bool = False) -> None:
        self.smiles = smiles
        self.several = several
        self._rd = rdkit()

    @cached_property
    def mol(self) -> Any:
        """Return the RDKit molecule without atom-map numbers, or None if it is invalid."""
        try:
            mol = self._rd.Chem.MolFromSmiles(self.smiles) or self._with_dative_bonds()
        except _RDKIT_ERRORS:
            return None
        if mol is None or not mol.GetNumAtoms():
            return None
        if ":" in self.smiles:
            for atom in mol.GetAtoms():
                atom.SetAtomMapNum(0)
        return mol

    @cached_property
    def raw(self) -> Any:
        """Return the unsanitised molecule, or None if the syntax is wrong."""
        try:
            return self._rd.Chem.MolFromSmiles(self.smiles, sanitize=False)
        except _RDKIT_ERRORS:
            return None

    def _with_dative_bonds(self) -> Any:
        """Return a complex of a metal and anions (`[Pt+2][Cl-]`) with dative bonds; None for any other molecule."""
        if "-]" not in self.smiles or self.raw is None:
            return None
        mol, dative = self._rd.Chem.RWMol(self.raw), self._rd.Chem.BondType.DATIVE
        has_changed = False
        for bond in list(mol.GetBonds()):
            ends = bond.GetBeginAtom(), bond.GetEndAtom()
            for donor, metal in (ends, ends[::-1]):
                is_anion = donor.GetFormalCharge() < 0 and donor.GetDegree() == 1
                if is_anion and metal.GetAtomicNum() not in _NONMETALS:
                    mol.RemoveBond(donor.GetIdx(), metal.GetIdx())
                    mol.AddBond(donor.GetIdx(), metal.GetIdx(), dative)
                    has_changed = True
        if not has_changed or self._rd.Chem.SanitizeMol(mol, catchErrors=True):
            return None
        return mol.GetMol()

    def fault(self) -> str:
        """Return why this is not a valid molecule."""
        if self.raw is None:
            return "not valid SMILES: syntax error"
        try:
            self.raw.UpdatePropertyCache(strict=False)
            problems = self._rd.Chem.DetectChemistryProblems(self.raw)
        except _RDKIT_ERRORS:
            return "not a molecule: it contains an impossible atom"
        return problems[0].Message() if problems else "not a molecule"

    @cached_property
    def canonical(self) -> str:
        """Return the canonical isomeric SMILES."""
        return str(self._rd.Chem.MolToSmiles(self.mol))

    @cached_property
    def composition(self) -> str:
        """Return the formula of all components, with isotopes and charge."""
        return str(self._rd.rdMolDescriptors.CalcMolFormula(self.mol, separateIsotopes=True))

    @cached_property
    def heavy_atom_formula(self) -> str:
        """Return the formula of all components without hydrogen and charge."""
        formula = str(self._rd.rdMolDescriptors.CalcMolFormula(self.mol))
        return _HYDROGENS.sub("", formula.partition("+")[0].partition("-")[0])

    @cached_property
    def fixed_h_inchi(self) -> str:
        """Return the InChI with a fixed-H layer and disconnected group 1 and group 2 metals; empty if InChI cannot express it."""
        if _STEREO_BEYOND_INCHI.search(self.smiles):
            return ""
        try:
            inchi, *_ = self._rd.inchi.MolToInchi(self._disconnect_metals(), "-FixedH -RecMet")
        except (ValueError, RuntimeError):
            return ""
        return str(inchi)

    @cached_property
    def may_have_salt_metal(self) -> bool:
        """Return whether the SMILES may have a group 1 or group 2 metal atom, whose bonds may be drawn or omitted."""
        return _POSSIBLE_SALT_METAL.search(self.smiles) is not None

    def _disconnect_metals(self) -> Any:
        """Return the molecule with the bonds of group 1 and group 2 metals broken heterolytically."""
        if not self.may_have_salt_metal:
            return self.mol
        if not any(atom.GetAtomicNum() in _SALT_METALS and atom.GetDegree() for atom in self.mol.GetAtoms()):
            return self.mol
        mol, dative = self._rd.Chem.RWMol(self.mol), self._rd.Chem.BondType.DATIVE
        for bond in list(mol.GetBonds()):
            begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
            metal, partner = (begin, end) if begin.GetAtomicNum() in _SALT_METALS else (end, begin)
            if metal.GetAtomicNum() not in _SALT_METALS or partner.GetAtomicNum() in _SALT_METALS:
                continue
            order = 0 if bond.GetBondType() == dative else int(bond.GetBondTypeAsDouble())
            mol.RemoveBond(begin.GetIdx(), end.GetIdx())
            metal.SetFormalCharge(metal.GetFormalCharge() + order)
            partner.SetFormalCharge(partner.GetFormalCharge() - order)
        return mol if self._rd.Chem.SanitizeMol(mol, catchErrors=True) == 0 else self.mol

    @cached_property
    def round_trip_smiles(self) -> frozenset[str]:
        """Return the canonical SMILES before and after round trips through RDKit, which may change spurious stereo marks."""
        versions = [self.canonical]
        for _ in range(_MAX_ROUND_TRIPS):
            mol = self._rd.Chem.MolFromSmiles(versions[-1])
            if mol is None or (smiles := str(self._rd.Chem.MolToSmiles(mol))) in versions:
                break
            versions.append(smiles)
        return frozenset(versions)

    @cached_property
    def components(self) -> Counter[str]:
        """Return the canonical SMILES of the components with their counts."""
        return Counter(self.canonical.split("."))

    def repaired(self) -> MoleculeForms | None:
        """Return a valid version of this invalid molecule; None if there is none.

        Atoms with too many bonds are charged, then the molecule is neutralised, so the positions of hydrogens are guesses.
        """
        if self.raw is None:
            return None
        mol = self._rd.Chem.RWMol(self.raw)
        try:
            mol.UpdatePropertyCache(strict=False)
            for problem in self._rd.Chem.DetectChemistryProblems(mol):
                if problem.GetType() == "AtomValenceException":
                    atom = mol.GetAtomWithIdx(problem.GetAtomIdx())
                    atom.SetFormalCharge(atom.GetFormalCharge() + 1)
            if self._rd.Chem.SanitizeMol(mol, catchErrors=True):
                return None
            neutral = self._rd.uncharger.uncharge(mol.GetMol())
        except _RDKIT_ERRORS:
            return None
        return MoleculeForms(str(self._rd.Chem.MolToSmiles(neutral)), several=self.several)

    @cached_property
    def flat_mol(self) -> Any:
        """Return the molecule without stereo."""
        if not any(mark in self.smiles for mark in "@/\\"):
            return self.mol
        mol = self._rd.Chem.Mol(self.mol)
        self._rd.Chem.RemoveStereochemistry(mol)
        return mol

    @cached_property
    def flat(self) -> str:
        """Return the canonical SMILES without stereo."""
        return self.canonical if self.flat_mol is self.mol else str(self._rd.Chem.MolToSmiles(self.flat_mol))

    @cached_property
    def parent_mol(self) -> Any:
        """Return the parent: the largest fragment (all fragments of a set), neutral and without stereo and isotopes."""
        mol = self.flat_mol
        if "." in self.smiles and not self.several:
            mol = self._rd.fragment_chooser.choose(mol)
        if _ISOTOPE.search(self.smiles):
            mol = self._rd.Chem.Mol(mol)
            for atom in mol.GetAtoms():
                atom.SetIsotope(0)
            mol = self._rd.Chem.RemoveHs(mol)
        return self._rd.uncharger.uncharge(mol) if _CHARGE.search(self.smiles) else mol

    @cached_property
    def parent(self) -> str:
        """Return the canonical SMILES of the parent."""
        return (
            self.flat if self.parent_mol is self.flat_mol else str(self._rd.Chem.MolToSmiles(self.parent_mol))
        )

    @cached_property
    def formula(self) -> str:
        """Return the molecular formula of the parent."""
        return str(self._rd.rdMolDescriptors.CalcMolFormula(self.parent_mol))

    @cached_property
    def element_graph(self) -> str:
        """Return RDKit's element graph of the parent; different element graphs imply different heavy-atom graphs."""
        hashes = self._rd.hashes
        return str(hashes.MolHash(self.parent_mol, hashes.HashFunction.ElementGraph))

    @cached_property
    def heavy_atom_graph(self) -> str:
        """Return the SMILES of the parent's heavy atoms with single bonds, without hydrogens and charges."""
        mol = self._rd.Chem.RWMol(self.parent_mol)
        for atom in mol.GetAtoms():
            atom.SetIsAromatic(False)  # noqa: FBT003 - RDKit's parameter is positional
            atom.SetFormalCharge(0)
            atom.SetNumExplicitHs(0)
            atom.SetNoImplicit(True)  # noqa: FBT003
        for bond in mol.GetBonds():
            bond.SetBondType(self._rd.Chem.BondType.SINGLE)
            bond.SetIsAromatic(False)  # noqa: FBT003
        return str(self._rd.Chem.MolToSmiles(mol))

    def tautomer(self) -> tuple[str, bool]:
        """Return the canonical tautomer of the parent, and whether the enumeration was completed."""
        tautomers, is_complete = [], True
        for fragment in self._rd.Chem.GetMolFrags(self.parent_mol, asMols=True):
            result = self._rd.tautomer_enumerator.Enumerate(fragment)
            is_complete &= result.status == self._rd.standardize.TautomerEnumeratorStatus.Completed
            tautomers.append(
                str(self._rd.Chem.MolToSmiles(self._rd.tautomer_enumerator.PickCanonical(result)))
            )
        return ".".join(sorted(tautomers)), is_complete

    @cached_property
    def inchikey_block(self) -> str:
        """Return the first block of the InChIKey: connectivity without stereo, isotopes and the positions of mobile hydrogens."""
        return str(self._rd.Chem.MolToInchiKey(self.mol)).partition("-")[0]

    @cached_property
    def fingerprints(self) -> dict[str, Any]:
        """Return the molecule's fingerprints by kind."""
        fingerprints = _FINGERPRINT_CACHE.get(self.smiles)
        if fingerprints is None:
            fingerprints = compute_fingerprints(self.mol)
            if len(_FINGERPRINT_CACHE) >= _MAX_FINGERPRINTS:
                del _FINGERPRINT_CACHE[next(iter(_FINGERPRINT_CACHE))]
            _FINGERPRINT_CACHE[self.smiles] = fingerprints
        return fingerprints


_FINGERPRINT_CACHE: dict[str, dict[str, Any]] = {}
"""SMILES -> fingerprints. Computing them takes half the time of a comparison, and gold answers recur."""
_MAX_FINGERPRINTS = 8_000


def same_inchikey_block(a: MoleculeForms, b: MoleculeForms) -> bool:
    """Return whether the first blocks of the InChIKeys agree; the keys are not computed if the heavy atoms differ."""
    return a.heavy_atom_formula == b.heavy_atom_formula and a.inchikey_block == b.inchikey_block


def similarities(a: MoleculeForms, b: MoleculeForms) -> dict[str, float]:
    """Return the Tanimoto similarities by three fingerprints; they are not computed for equal molecules."""
    if a.heavy_atom_formula == b.heavy_atom_formula and a.canonical == b.canonical:
        return {"morgan": 1.0, "rdk": 1.0, "maccs": 1.0}
    return tanimoto_similarities(a.fingerprints, b.fingerprints)


def compute_fingerprints(mol: Any) -> dict[str, Any]:
    """Return an RDKit molecule's Morgan count fingerprint (radius 2), RDKit's path fingerprint and the MACCS keys."""
    rd = rdkit()
    return {
        "morgan": rd.morgan.GetSparseCountFingerprint(mol),
        "rdk": rd.rdk.GetFingerprint(mol),
        "maccs": rd.rdMolDescriptors.GetMACCSKeysFingerprint(mol),
    }


def tanimoto_similarities(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
    """Return the Tanimoto similarity of two molecules for each kind of fingerprint."""
    tanimoto = rdkit().DataStructs.TanimotoSimilarity
    return {name: float(tanimoto(fingerprint, second[name])) for name, fingerprint in first.items()}
