"""How alike are two molecules? A ladder of nested rungs, and what is wrong at the first that does not hold.

>>> climb("OCC", "CCO").name
'canonical'
>>> climb("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O").why
'right skeleton, wrong stereo: atom 2 (C) is S, should be R'

Rungs, from the top: the same string; the same canonical SMILES; the same compound in another drawing; the same
without stereo; the same largest parent, neutral and without isotopes; the same tautomer. Whatever reaches a rung
counts for all below it. For a set of molecules (reactants) every component is kept and the components are compared
as a multiset. The tautomer rung is tried only where formula and heavy-atom skeleton agree; RDKit's enumeration is
bounded by counts, not by the clock, so that a score can be made again.

Two drawings show one compound if their InChIs with fixed hydrogens agree (options `-FixedH -RecMet`) after metals of
groups 1 and 2 are disconnected: resonance forms, ionic against covalent salts, and stereo marks on atoms that are no
stereocentres. Other metals keep their bonds. Tautomers, protonation states, isotopes and stereoisomers stay apart.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from msgspec import Struct

from evals.errors import UsageError

RUNGS = {
    "none": 0.0,
    "tautomer": 1.0,
    "parent": 2.0,
    "no_stereo": 3.0,
    "compound": 3.5,
    "canonical": 4.0,
    "string": 5.0,
}
"""Rung -> the number that stands for it in records; `compound` came later than the others, whose numbers stay."""
TAUTOMERS = 250
"""Most tautomers, and most transforms, that one enumeration may try (about half a second)."""


class Climb(Struct, frozen=True):
    """Where the ladder ended."""

    rung: float
    """A value of `RUNGS`."""
    why: str
    """What is wrong at the rung above, in one line."""
    undecided: bool = False
    """A person should look: the tautomer enumeration was stopped, or the target is no valid molecule."""

    @property
    def name(self) -> str:
        """Return the rung's name."""
        return next(name for name, number in RUNGS.items() if number == self.rung)


_REACTIVE = frozenset((3, 11, 19, 37, 55, 87, 4, 12, 20, 38, 56, 88))
"""Atomic numbers of the metals of groups 1 and 2."""
_NONMETALS = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54, 85, 86))
_NO_INCHI = re.compile(r"@(?:SP|TB|OH|AL)")
"""Stereo of more or fewer than four neighbours, which InChI does not know."""
_DRAWINGS = 4
"""Most components on either side that are compared as drawings."""
_REWRITES = 3
"""How often a canonical SMILES is read and written again: RDKit's phantom stereo may change at each turn."""


@lru_cache(1)
def rdkit() -> Any:
    """Import RDKit, quietly; raises UsageError naming the extra where it is absent."""
    try:
        from rdkit import Chem, DataStructs, rdBase
        from rdkit.Chem import rdFingerprintGenerator, rdinchi, rdMolDescriptors
        from rdkit.Chem.MolStandardize import rdMolStandardize
    except ImportError:
        raise UsageError("judging molecules needs RDKit: pip install 'science-evals[chemistry]'") from None
    rdBase.DisableLog("rdApp.*")
    tautomers = rdMolStandardize.TautomerEnumerator()
    tautomers.SetMaxTautomers(TAUTOMERS)
    tautomers.SetMaxTransforms(TAUTOMERS)
    return SimpleNamespace(
        Chem=Chem,
        DataStructs=DataStructs,
        Descriptors=rdMolDescriptors,
        inchi=rdinchi,
        morgan=rdFingerprintGenerator.GetMorganGenerator(radius=2),
        rdk=rdFingerprintGenerator.GetRDKitFPGenerator(),
        morgan_2048=rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048),
        largest=rdMolStandardize.LargestFragmentChooser(),
        uncharger=rdMolStandardize.Uncharger(),
        tautomers=tautomers,
        standardize=rdMolStandardize,
    )


class Form:
    """One molecule (or set of molecules) in all the forms that are compared; each is computed when needed."""

    def __init__(self, smiles: str, *, several: bool = False) -> None:
        self.smiles = smiles
        self.several = several
        self._rd = rdkit()

    @cached_property
    def mol(self) -> Any:
        """RDKit molecule without atom-map numbers, or None."""
        try:
            mol = self._rd.Chem.MolFromSmiles(self.smiles) or self._with_dative_bonds()
        except (ValueError, RuntimeError, OverflowError):
            return None
        if mol is None or not mol.GetNumAtoms():
            return None
        if ":" in self.smiles:
            for atom in mol.GetAtoms():
                atom.SetAtomMapNum(0)
        return mol

    @cached_property
    def raw(self) -> Any:
        """The molecule as written, valences unchecked, or None where the syntax is wrong."""
        try:
            return self._rd.Chem.MolFromSmiles(self.smiles, sanitize=False)
        except (ValueError, RuntimeError, OverflowError):
            return None

    def _with_dative_bonds(self) -> Any:
        """Read a complex whose anions are bound to the metal (`[Pt+2][Cl-]`), their bonds as dative; or None."""
        if "-]" not in self.smiles or self.raw is None:
            return None
        mol, kinds = self._rd.Chem.RWMol(self.raw), self._rd.Chem.BondType
        changed = False
        for bond in list(mol.GetBonds()):
            ends = bond.GetBeginAtom(), bond.GetEndAtom()
            for donor, metal in (ends, ends[::-1]):
                if (
                    metal.GetAtomicNum() not in _NONMETALS
                    and donor.GetFormalCharge() < 0
                    and donor.GetDegree() == 1
                ):
                    mol.RemoveBond(donor.GetIdx(), metal.GetIdx())
                    mol.AddBond(donor.GetIdx(), metal.GetIdx(), kinds.DATIVE)
                    changed = True
        if not changed or self._rd.Chem.SanitizeMol(mol, catchErrors=True):
            return None
        return mol.GetMol()

    def fault(self) -> str:
        """Say why this is no molecule."""
        if self.raw is None:
            return "not SMILES: the syntax is broken"
        try:
            self.raw.UpdatePropertyCache(strict=False)
            problems = self._rd.Chem.DetectChemistryProblems(self.raw)
        except (ValueError, RuntimeError, OverflowError):
            return "not a molecule: an atom in it is impossible"
        return problems[0].Message() if problems else "not a molecule"

    @cached_property
    def canonical(self) -> str:
        """Canonical isomeric SMILES."""
        return str(self._rd.Chem.MolToSmiles(self.mol))

    @cached_property
    def composition(self) -> str:
        """Formula of the whole, with its isotopes and its charge."""
        return str(self._rd.Descriptors.CalcMolFormula(self.mol, separateIsotopes=True))

    @cached_property
    def fixed_inchi(self) -> str:
        """InChI with fixed hydrogens, metals of groups 1 and 2 disconnected; empty where InChI cannot say."""
        if _NO_INCHI.search(self.smiles):
            return ""
        try:
            inchi, *_ = self._rd.inchi.MolToInchi(self._disconnected(), "-FixedH -RecMet")
        except (ValueError, RuntimeError):
            return ""
        return str(inchi)

    def _disconnected(self) -> Any:
        """Break the bonds of metals of groups 1 and 2; both electrons of a bond stay with the other atom."""
        if not any(atom.GetAtomicNum() in _REACTIVE and atom.GetDegree() for atom in self.mol.GetAtoms()):
            return self.mol
        mol = self._rd.Chem.RWMol(self.mol)
        for bond in list(mol.GetBonds()):
            one, other = bond.GetBeginAtom(), bond.GetEndAtom()
            metal, partner = (one, other) if one.GetAtomicNum() in _REACTIVE else (other, one)
            if metal.GetAtomicNum() not in _REACTIVE or partner.GetAtomicNum() in _REACTIVE:
                continue
            order = (
                0 if bond.GetBondType() == self._rd.Chem.BondType.DATIVE else int(bond.GetBondTypeAsDouble())
            )
            mol.RemoveBond(one.GetIdx(), other.GetIdx())
            metal.SetFormalCharge(metal.GetFormalCharge() + order)
            partner.SetFormalCharge(partner.GetFormalCharge() - order)
        return mol if self._rd.Chem.SanitizeMol(mol, catchErrors=True) == 0 else self.mol

    @cached_property
    def rewritten(self) -> frozenset[str]:
        """What RDKit writes when it reads its own canonical SMILES again and again; one text but for phantom stereo."""
        found = [self.canonical]
        for _ in range(_REWRITES):
            mol = self._rd.Chem.MolFromSmiles(found[-1])
            if mol is None or (text := str(self._rd.Chem.MolToSmiles(mol))) in found:
                break
            found.append(text)
        return frozenset(found)

    @cached_property
    def components(self) -> Counter[str]:
        """Canonical SMILES of the components, each as often as it stands there."""
        return Counter(self.canonical.split("."))

    def mended(self) -> Form | None:
        """Return the molecule that an impossible SMILES most likely means: atoms with a bond too many are charged.

        The place of its hydrogens is a guess. None where that does not help.
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
            whole = self._rd.uncharger.uncharge(mol.GetMol())
        except (ValueError, RuntimeError, OverflowError):
            return None
        return Form(str(self._rd.Chem.MolToSmiles(whole)), several=self.several)

    @cached_property
    def flat_mol(self) -> Any:
        """Without stereo."""
        mol = self._rd.Chem.Mol(self.mol)
        self._rd.Chem.RemoveStereochemistry(mol)
        return mol

    @cached_property
    def flat(self) -> str:
        """Canonical SMILES without stereo."""
        return str(self._rd.Chem.MolToSmiles(self.flat_mol))

    @cached_property
    def parent_mol(self) -> Any:
        """The largest fragment (of a set: all), neutral, without isotopes."""
        mol = self.flat_mol if self.several else self._rd.largest.choose(self.flat_mol)
        if re.search(r"\[\d", self.smiles):
            mol = self._rd.Chem.Mol(mol)
            for atom in mol.GetAtoms():
                atom.SetIsotope(0)
            mol = self._rd.Chem.RemoveHs(mol)
        return self._rd.uncharger.uncharge(mol)

    @cached_property
    def parent(self) -> str:
        """Canonical SMILES of the parent."""
        return str(self._rd.Chem.MolToSmiles(self.parent_mol))

    @cached_property
    def formula(self) -> str:
        """Molecular formula of the parent."""
        return str(self._rd.Descriptors.CalcMolFormula(self.parent_mol))

    @cached_property
    def skeleton(self) -> str:
        """The parent's heavy atoms, joined by single bonds, hydrogens and charges forgotten."""
        mol = self._rd.Chem.RWMol(self.parent_mol)
        for atom in mol.GetAtoms():
            atom.SetIsAromatic(False)  # noqa: FBT003 - RDKit takes it by position
            atom.SetFormalCharge(0)
            atom.SetNumExplicitHs(0)
            atom.SetNoImplicit(True)  # noqa: FBT003
        for bond in mol.GetBonds():
            bond.SetBondType(self._rd.Chem.BondType.SINGLE)
            bond.SetIsAromatic(False)  # noqa: FBT003
        return str(self._rd.Chem.MolToSmiles(mol))

    def tautomer(self) -> tuple[str, bool]:
        """Canonical tautomer of the parent, and whether the enumeration came to its end."""
        names, whole = [], True
        for part in self._rd.Chem.GetMolFrags(self.parent_mol, asMols=True):
            found = self._rd.tautomers.Enumerate(part)
            whole &= found.status == self._rd.standardize.TautomerEnumeratorStatus.Completed
            best = self._rd.tautomers.PickCanonical(found)
            names.append(str(self._rd.Chem.MolToSmiles(best)))
        return ".".join(sorted(names)), whole

    @cached_property
    def skeleton_key(self) -> str:
        """First block of the InChIKey: the skeleton without stereo, isotopes and (mobile) hydrogens."""
        return str(self._rd.Chem.MolToInchiKey(self.mol)).partition("-")[0]

    @cached_property
    def atoms(self) -> list[int]:
        """Atomic numbers of the heavy atoms, sorted."""
        return sorted(number for atom in self.mol.GetAtoms() if (number := atom.GetAtomicNum()) > 1)

    @cached_property
    def fingerprints(self) -> tuple[Any, Any, Any]:
        """Morgan counts (radius 2), RDKit's path fingerprint and MACCS keys."""
        return (
            self._rd.morgan.GetSparseCountFingerprint(self.mol),
            self._rd.rdk.GetFingerprint(self.mol),
            self._rd.Descriptors.GetMACCSKeysFingerprint(self.mol),
        )


def same_skeleton(a: Form, b: Form) -> bool:
    """Whether the first blocks of the InChIKeys agree; other atoms need no InChI."""
    same_size = a.mol.GetNumHeavyAtoms() == b.mol.GetNumHeavyAtoms()
    return same_size and a.atoms == b.atoms and a.skeleton_key == b.skeleton_key


def similarities(a: Form, b: Form) -> dict[str, float]:
    """Tanimoto similarity by three fingerprints; 1 without computing where the canonical SMILES agree."""
    if a.canonical == b.canonical:
        return {"morgan": 1.0, "rdk": 1.0, "maccs": 1.0}
    tanimoto = rdkit().DataStructs.TanimotoSimilarity
    pairs = zip(("morgan", "rdk", "maccs"), a.fingerprints, b.fingerprints, strict=True)
    return {name: float(tanimoto(x, y)) for name, x, y in pairs}


def climb(answer: str | Form, target: str | Form, *, several: bool = False) -> Climb:
    """Find the highest rung on which both agree; `several` keeps all components of a set."""
    a = answer if isinstance(answer, Form) else Form(answer, several=several)
    t = target if isinstance(target, Form) else Form(target, several=several)
    if a.smiles == t.smiles:
        return Climb(RUNGS["string"], "")
    if a.mol is None:
        return Climb(0, a.fault())
    if t.mol is None:
        return _to_a_bad_target(a, t)
    if a.canonical == t.canonical:
        return Climb(RUNGS["canonical"], "the same molecule, written differently")
    try:
        return _below_canonical(a, t)
    except (ValueError, RuntimeError) as error:  # rings that RDKit reads but cannot write as double bonds
        return Climb(0, f"another molecule, and an odd one: {(str(error).splitlines() or [''])[0][:100]}")


def _to_a_bad_target(a: Form, t: Form) -> Climb:
    """Compare with a target that RDKit cannot read: with what it most likely means, hydrogens left open."""
    fault = f"the target is no valid molecule ({t.fault()})"
    meant = t.mended()
    found = climb(a, meant) if meant else Climb(0, "")
    if found.rung >= RUNGS["tautomer"] and found.rung not in (RUNGS["parent"], RUNGS["no_stereo"]):
        return Climb(RUNGS["compound"], f"{fault}; the same but for its hydrogens", undecided=True)
    return Climb(found.rung, "; ".join(filter(None, (fault, found.why))), undecided=True)


def same_compound(a: Form, t: Form) -> bool:
    """Whether two molecules whose canonical SMILES differ are one compound in two drawings."""
    if a.mol.GetNumHeavyAtoms() != t.mol.GetNumHeavyAtoms() or a.composition != t.composition:
        return False
    if a.skeleton_key == t.skeleton_key and a.fixed_inchi == t.fixed_inchi != "":
        return True
    bridged = a._rd.Descriptors.CalcNumBridgeheadAtoms(a.mol) and a.flat == t.flat
    return bool(bridged) and not a.rewritten.isdisjoint(t.rewritten)


def _below_canonical(a: Form, t: Form) -> Climb:
    if same_compound(a, t):
        return Climb(RUNGS["compound"], "the same compound, drawn differently")
    if a.flat == t.flat:
        return Climb(RUNGS["no_stereo"], f"right skeleton, wrong stereo: {_stereo_fault(a, t)}")
    return _below_stereo(a, t)


class Components(NamedTuple):
    """The components of an answer beside those of the target, as canonical SMILES."""

    right: list[str]
    missing: list[str]
    extra: list[str]

    @property
    def f1(self) -> float:
        """2 x right / (stated + wanted)."""
        return 2 * len(self.right) / (2 * len(self.right) + len(self.missing) + len(self.extra))

    def __str__(self) -> str:
        """Say which are right, missing, too many."""
        verbs = (("right", self.right), ("missing", self.missing), ("too much", self.extra))
        said = (
            f"{' and '.join(some[:3])} {'is' if len(some) == 1 else 'are'} {verb}"
            for verb, some in verbs
            if some
        )
        return ", ".join(said)


def compare_components(a: Form, t: Form) -> Components:
    """Match components one to one; of two that differ in canonical SMILES, drawings of one compound match, too."""
    right = list((a.components & t.components).elements())
    if (
        not right and a.components.total() == t.components.total() == 1
    ):  # the climb has compared these already
        return Components([], [t.canonical], [a.canonical])
    extra, missing = (
        list((x - y).elements()) for x, y in ((a.components, t.components), (t.components, a.components))
    )
    for one in extra[:_DRAWINGS]:
        same = (other for other in missing[:_DRAWINGS] if same_compound(Form(one), Form(other)))
        if (other := next(same, None)) is not None:
            extra.remove(one)
            missing.remove(other)
            right.append(one)
    return Components(right, missing, extra)


def _another(a: Form, t: Form) -> str:
    """Say how two molecules of different formulas differ: by component where some are right, else by formula."""
    if len(a.components) + len(t.components) > 2:
        found = compare_components(a, t)
        if found.right:
            return str(found)
    return f"another molecule: {a.formula}, should be {t.formula}"


def _below_stereo(a: Form, t: Form) -> Climb:
    if a.parent == t.parent:
        return Climb(RUNGS["parent"], f"right parent, but {_parent_fault(a, t)}")
    return _tautomers(a, t)


def _tautomers(a: Form, t: Form) -> Climb:
    if a.formula != t.formula:
        return Climb(0, _another(a, t))
    if a.skeleton != t.skeleton:
        return Climb(0, f"an isomer: {a.formula} is right, the skeleton is not")
    (mine, whole), (theirs, whole_too) = a.tautomer(), t.tautomer()
    if mine == theirs:
        return Climb(RUNGS["tautomer"], _tautomer_fault(a, t))
    if whole and whole_too:
        return Climb(0, "right atoms and skeleton, but bonds or hydrogens elsewhere, and no tautomer")
    return Climb(0, "right atoms and skeleton; whether it is a tautomer was not decided", undecided=True)


def _tautomer_fault(a: Form, t: Form) -> str:
    """Say what kind of tautomer: only of mobile hydrogens on heteroatoms is it what chemists call one compound."""
    mine, theirs = (
        sorted(x.GetTotalNumHs() for x in form.parent_mol.GetAtoms() if x.GetAtomicNum() == 6)
        for form in (a, t)
    )
    if mine == theirs:
        return "another tautomer of the right molecule"
    return "an isomer: a hydrogen sits on another carbon (keto and enol, aldose and ketose are such pairs)"


def _parent_fault(a: Form, t: Form) -> str:
    mine, theirs = a.flat.split("."), t.flat.split(".")
    more = [part for part in mine if mine.count(part) > theirs.count(part)]
    less = [part for part in theirs if theirs.count(part) > mine.count(part)]
    isotopes = [sorted(filter(None, (x.GetIsotope() for x in form.flat_mol.GetAtoms()))) for form in (a, t)]
    charges = [sum(x.GetFormalCharge() for x in form.flat_mol.GetAtoms()) for form in (a, t)]
    if isotopes[0] != isotopes[1]:
        return "isotopes differ"
    if charges[0] != charges[1]:
        return f"charge {charges[0]}, should be {charges[1]}"
    if len(mine) != len(theirs):
        return f"with {'.'.join(more)} instead of {'.'.join(less)}" if more and less else _odd_one(more, less)
    return f"{'.'.join(more)} instead of {'.'.join(less)}"


def _odd_one(more: list[str], less: list[str]) -> str:
    return f"{'.'.join(more)} is too much" if more else f"{'.'.join(less)} is missing"


def _labels(form: Form) -> tuple[dict[int, str], dict[frozenset[int], str]]:
    """CIP labels by atom, and E/Z by the atoms of a double bond."""
    chem = form._rd.Chem
    mol = chem.Mol(form.mol)
    chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    atoms = {a.GetIdx(): a.GetProp("_CIPCode") for a in mol.GetAtoms() if a.HasProp("_CIPCode")}
    names = {"STEREOE": "E", "STEREOTRANS": "E", "STEREOZ": "Z", "STEREOCIS": "Z"}
    bonds = {
        frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())): names[str(b.GetStereo())]
        for b in mol.GetBonds()
        if str(b.GetStereo()) in names
    }
    return atoms, bonds


def _stereo_fault(a: Form, t: Form) -> str:
    """Name the stereo elements that differ; atoms are counted from 1 in the target's SMILES."""
    atoms, bonds = _labels(a)
    right_atoms, right_bonds = _labels(t)
    best: list[str] = ["stereo differs"] * 99
    matches = t.flat_mol.GetSubstructMatches(a.flat_mol, uniquify=False, maxMatches=64)
    for match in matches:
        place = {match[i]: label for i, label in atoms.items()}
        faults = [
            f"atom {i + 1} ({t.mol.GetAtomWithIdx(i).GetSymbol()}) {_should(place.get(i), right_atoms.get(i))}"
            for i in sorted(place.keys() | right_atoms.keys())
            if place.get(i) != right_atoms.get(i)
        ]
        double = {frozenset(match[i] for i in pair): label for pair, label in bonds.items()}
        faults += [
            f"double bond {'='.join(str(i + 1) for i in sorted(pair))} "
            f"{_should(double.get(pair), right_bonds.get(pair))}"
            for pair in sorted(double.keys() | right_bonds.keys(), key=sorted)
            if double.get(pair) != right_bonds.get(pair)
        ]
        best = min(best, faults, key=len)
    if len(best) > 3:
        return f"{'; '.join(best[:3])}; and {len(best) - 3} more" if len(best) < 99 else best[0]
    return "; ".join(best) or "the relative arrangement differs"


def _should(given: str | None, right: str | None) -> str:
    if given is None:
        return f"has no stereo, should be {right}"
    return f"is {given}, should be {right}" if right else f"is {given}, should have none"
