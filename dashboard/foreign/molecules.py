"""Drawings of molecules and reactions; of an answer and the gold molecule with what they share and what differs.

>>> both = pair("CC(=O)Nc1ccccc1", "CC(=O)Oc1ccccc1", dark=False)
>>> both.shared, both.answer.svg[:5], round(both.tanimoto["morgan"], 2)
(6, '<?xml', 0.51)

RDKit draws and finds the largest common substructure, under a time limit. SMILES are untrusted output of a model: call
these functions in a worker process (`evals.sandbox`), so that a crash or a loop costs one picture and not the page.
A picture goes through an image element, in which SVG can neither run nor load anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from evals.scorers.molecule_forms import MoleculeForms, rdkit, similarities

MOST_ATOMS = 300
"""Atoms of a molecule that is drawn; larger ones are unreadable."""
MOST_SHARED = 120
"""Atoms of a molecule for which a common substructure is searched."""
SEARCH_S = 2
"""Time limit of the search for the largest common substructure; then the largest so far is used."""
SIZE = (420, 250)
WIDE = (840, 260)
"""Pixels of a molecule's and of a reaction's picture; SVG is sharp at any other size."""

Colour = tuple[float, float, float]
_SHARED: Mapping[bool, Colour] = {False: (0.74, 0.86, 0.96), True: (0.13, 0.32, 0.50)}
_DIFFERS: Mapping[bool, Colour] = {False: (1.00, 0.74, 0.45), True: (0.62, 0.31, 0.06)}
"""By whether the theme is dark: blue for shared atoms, orange for others; atoms are readable on both."""


class Picture(Struct, frozen=True, kw_only=True):
    """One molecule or reaction, drawn."""

    svg: str
    """Empty if nothing can be drawn."""
    note: str = ""
    """Why not, or what is wrong with the molecule."""
    atoms: int = 0
    """Heavy atoms."""
    formula: str = ""
    """Molecular formula, e.g. `C9H8O4`; empty for a reaction or an impossible molecule."""


class PairPicture(Struct, frozen=True, kw_only=True):
    """An answer beside the gold answer."""

    answer: Picture
    gold: Picture
    shared: int = 0
    """Heavy atoms of the largest common substructure."""
    stopped: bool = False
    """Whether the search was stopped at its time limit."""
    stereo: int = 0
    """Shared atoms whose stereo label differs."""
    tanimoto: Mapping[str, float] = {}
    """Fingerprint -> similarity; empty if either is not a molecule."""


def pair(answer: str, gold: str, *, dark: bool) -> PairPicture:
    """Draw both with the same layout, shared and differing atoms highlighted."""
    chem = _drawers()
    answer_form, gold_form = MoleculeForms(answer), MoleculeForms(gold)
    if not _drawable(answer_form.mol) or not _drawable(gold_form.mol):
        return PairPicture(answer=molecule(answer, dark=dark), gold=molecule(gold, dark=dark))
    answer_mol, gold_mol = chem.Chem.Mol(answer_form.mol), chem.Chem.Mol(gold_form.mol)
    atoms, stopped = _common(chem, answer_mol, gold_mol)
    differing = _stereo(chem, answer_mol, gold_mol, atoms)
    chem.Depict.Compute2DCoords(gold_mol)
    _lay_out(chem, answer_mol, gold_mol, atoms)
    left, right = ({pair[side] for pair in atoms if pair not in differing} for side in (0, 1))
    return PairPicture(
        answer=_picture(chem, answer_mol, left, dark=dark),
        gold=_picture(chem, gold_mol, right, dark=dark),
        shared=sum(answer_mol.GetAtomWithIdx(i).GetAtomicNum() > 1 for i, _ in atoms),
        stopped=stopped,
        stereo=len(differing),
        tanimoto=similarities(answer_form, gold_form),
    )


def molecule(smiles: str, *, dark: bool) -> Picture:
    """Draw a molecule; an impossible one is drawn as written, with its faulty atoms marked."""
    chem = _drawers()
    form = MoleculeForms(smiles)
    if form.mol is not None:
        if not _drawable(form.mol):
            count = form.mol.GetNumAtoms()
            return Picture(svg="", note=f"{count} atoms, too many to draw", atoms=form.mol.GetNumHeavyAtoms())
        return _picture(chem, form.mol, None, dark=dark)
    note = form.fault()
    if not _drawable(form.raw):
        return Picture(svg="", note=note)
    faulty = {i for problem in chem.Chem.DetectChemistryProblems(form.raw) for i in _atoms_of(problem)}
    sound = {atom.GetIdx() for atom in form.raw.GetAtoms()} - faulty
    return Picture(
        svg=_draw(chem, form.raw, sound, dark=dark, grounds=False),
        note=note,
        atoms=form.raw.GetNumHeavyAtoms(),
    )


def _picture(chem: Any, mol: Any, shared: set[int] | None, *, dark: bool) -> Picture:
    return Picture(
        svg=_draw(chem, mol, shared, dark=dark),
        atoms=mol.GetNumHeavyAtoms(),
        formula=chem.Descriptors.CalcMolFormula(mol),
    )


def reaction(reactants: str, products: str, *, dark: bool) -> Picture:
    """Draw a reaction; both sides are SMILES, components separated by dots."""
    chem = _drawers()
    for side in (reactants, products):
        mol = MoleculeForms(side).mol
        if not _drawable(mol):
            return Picture(svg="", note="one side is not a molecule, or too large to draw")
    try:
        parsed = chem.Reactions.ReactionFromSmarts(f"{reactants}>>{products}", useSmiles=True)
    except ValueError as error:
        return Picture(svg="", note=str(error).splitlines()[0][:120])
    drawer = _canvas(chem, WIDE, dark=dark)
    drawer.DrawReaction(parsed)
    return Picture(svg=_finished(drawer))


def _drawers() -> Any:
    """Return RDKit's modules for drawing; raises UsageError if RDKit is not installed."""
    chem = rdkit().Chem
    from rdkit.Chem import rdChemReactions, rdDepictor, rdFMCS, rdMolDescriptors
    from rdkit.Chem.Draw import rdMolDraw2D

    return SimpleNamespace(
        Chem=chem, Reactions=rdChemReactions, Depict=rdDepictor, MCS=rdFMCS, Draw=rdMolDraw2D,
        Descriptors=rdMolDescriptors,
    )  # fmt: skip


def _drawable(mol: Any) -> bool:
    return mol is not None and 0 < mol.GetNumAtoms() <= MOST_ATOMS


def _common(chem: Any, answer: Any, gold: Any) -> tuple[list[tuple[int, int]], bool]:
    """Return pairs of atoms of the largest common substructure, and whether the search was stopped."""
    if max(answer.GetNumAtoms(), gold.GetNumAtoms()) > MOST_SHARED:
        return [], True
    common = chem.MCS.FindMCS(
        [answer, gold],
        timeout=SEARCH_S,
        ringMatchesRingOnly=True,
        completeRingsOnly=True,
        matchValences=False,
        maximizeBonds=False,
    )
    if not common.numAtoms:
        return [], bool(common.canceled)
    query = chem.Chem.MolFromSmarts(common.smartsString)
    gold_match = gold.GetSubstructMatch(query)
    candidates = answer.GetSubstructMatches(query, uniquify=False, maxMatches=64)
    # of several ways to lay the answer on the gold molecule, the one that agrees in most stereo labels
    answer_match = min(
        candidates,
        key=lambda match: len(_stereo(chem, answer, gold, list(zip(match, gold_match, strict=True)))),
    )
    return list(zip(answer_match, gold_match, strict=True)), bool(common.canceled)


def _stereo(chem: Any, answer: Any, gold: Any, atoms: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the shared atoms with different stereo labels; of a double bond, both ends."""
    left, right = _labels(chem, answer), _labels(chem, gold)
    return {(i, j) for i, j in atoms if left.get(i) != right.get(j)}


def _labels(chem: Any, mol: Any) -> dict[int, str]:
    chem.Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    labels = {a.GetIdx(): a.GetProp("_CIPCode") for a in mol.GetAtoms() if a.HasProp("_CIPCode")}
    for bond in mol.GetBonds():
        name = str(bond.GetStereo())
        if name not in ("STEREONONE", "STEREOANY"):
            label = "E" if name in ("STEREOE", "STEREOTRANS") else "Z"
            labels.update({bond.GetBeginAtomIdx(): label, bond.GetEndAtomIdx(): label})
    return labels


def _lay_out(chem: Any, answer: Any, gold: Any, atoms: list[tuple[int, int]]) -> None:
    """Lay out the answer like the gold molecule if they share enough atoms."""
    chem.Depict.Compute2DCoords(answer)
    if len(atoms) > 2:
        try:
            chem.Depict.GenerateDepictionMatching2DStructure(answer, gold, [(j, i) for i, j in atoms])
        except (RuntimeError, ValueError):  # this molecule does not allow that layout
            chem.Depict.Compute2DCoords(answer)


def _atoms_of(problem: Any) -> list[int]:
    atom_index = getattr(problem, "GetAtomIdx", None)
    return (
        [atom_index()]
        if atom_index
        else list(problem.GetAtomIndices())
        if hasattr(problem, "GetAtomIndices")
        else []
    )


def _draw(chem: Any, mol: Any, shared: set[int] | None, *, dark: bool, grounds: bool = True) -> str:
    """Draw a molecule; atoms of `shared` in one colour (none without `grounds`), all others in the other; None: no colours."""
    drawer = _canvas(chem, SIZE, dark=dark)
    every = range(mol.GetNumAtoms()) if shared is not None else ()
    kept = shared or set()
    atoms = {i: (_SHARED if i in kept else _DIFFERS)[dark] for i in every if grounds or i not in kept}
    bonds = {
        bond.GetIdx(): _SHARED[dark]
        if bond.GetBeginAtomIdx() in kept and bond.GetEndAtomIdx() in kept
        else _DIFFERS[dark]
        for bond in (mol.GetBonds() if shared is not None and grounds else ())
    }
    options = {
        "highlightAtoms": list(atoms),
        "highlightAtomColors": atoms,
        "highlightBonds": list(bonds),
        "highlightBondColors": bonds,
    }
    if mol.NeedsUpdatePropertyCache():
        mol.UpdatePropertyCache(False)  # noqa: FBT003 - RDKit takes it by position
    sound = chem.Chem.DetectChemistryProblems(mol) == ()
    ready = chem.Draw.PrepareMolForDrawing(mol, kekulize=sound, addChiralHs=sound)
    drawer.drawOptions().prepareMolsBeforeDrawing = False
    drawer.DrawMolecule(ready, **options)
    return _finished(drawer)


def _canvas(chem: Any, size: tuple[int, int], *, dark: bool) -> Any:
    drawer = chem.Draw.MolDraw2DSVG(*size)
    options = drawer.drawOptions()
    if dark:
        chem.Draw.SetDarkMode(options)
        options.updateAtomPalette({7: (0.56, 0.66, 1.0), 8: (1.0, 0.47, 0.42)})
    options.clearBackground = False
    options.fixedBondLength = 38
    options.highlightRadius = 0.32
    options.highlightBondWidthMultiplier = 14
    options.addStereoAnnotation = True
    options.padding = 0.06
    options.maxFontSize = 20
    return drawer


def _finished(drawer: Any) -> str:
    drawer.FinishDrawing()
    return str(drawer.GetDrawingText())
