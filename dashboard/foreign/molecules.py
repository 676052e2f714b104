"""Molecules and reactions as pictures: an answer beside the gold answer, what both share and what differs.

>>> both = pair("CC(=O)Nc1ccccc1", "CC(=O)Oc1ccccc1", dark=False)
>>> both.shared, both.answer.svg[:5], round(both.tanimoto["morgan"], 2)
(6, '<?xml', 0.51)

RDKit draws and finds the largest common substructure, under a time limit. SMILES are whatever a model wrote: call
these functions in a worker process (`evals.sandbox`), where a crash or a loop costs one picture and not the page.
A picture goes through an image element, in which SVG can neither run nor load anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from evals.scorers.molecule_forms import Form, rdkit, similarities

MOST_ATOMS = 300
"""Of a molecule that is drawn; a larger one is unreadable."""
MOST_SHARED = 120
"""Atoms of a molecule whose common substructure is looked for."""
SEARCH_S = 2
"""For the largest common substructure; when it is over, the largest so far is taken."""
SIZE = (420, 250)
WIDE = (840, 260)
"""Pixels of a molecule's and of a reaction's picture; SVG is sharp at any other size."""

Colour = tuple[float, float, float]
_SHARED: Mapping[bool, Colour] = {False: (0.74, 0.86, 0.96), True: (0.13, 0.32, 0.50)}
_DIFFERS: Mapping[bool, Colour] = {False: (1.00, 0.74, 0.45), True: (0.62, 0.31, 0.06)}
"""By whether the ground is dark: blue for what both have, orange for the rest; both readable under the atoms."""


class Picture(Struct, frozen=True, kw_only=True):
    """One molecule or reaction, drawn."""

    svg: str
    """Empty where nothing can be drawn."""
    note: str = ""
    """Why not, or what is wrong with the molecule."""
    atoms: int = 0
    """Heavy atoms."""


class PairPicture(Struct, frozen=True, kw_only=True):
    """An answer beside the gold answer."""

    answer: Picture
    gold: Picture
    shared: int = 0
    """Heavy atoms of the largest common substructure."""
    cut: bool = False
    """Whether the search for it ran out of time."""
    stereo: int = 0
    """Shared atoms whose stereo label differs."""
    tanimoto: Mapping[str, float] = {}
    """Fingerprint -> similarity; empty where either is no molecule."""


def pair(answer: str, gold: str, *, dark: bool) -> PairPicture:
    """Draw both, laid out alike, with what they share and what differs on coloured grounds."""
    chem = _drawers()
    mine, theirs = Form(answer), Form(gold)
    if not _drawable(mine.mol) or not _drawable(theirs.mol):
        return PairPicture(answer=molecule(answer, dark=dark), gold=molecule(gold, dark=dark))
    one, other = chem.Chem.Mol(mine.mol), chem.Chem.Mol(theirs.mol)
    atoms, cut = _common(chem, one, other)
    differing = _stereo(chem, one, other, atoms)
    chem.Depict.Compute2DCoords(other)
    _lay_out(chem, one, other, atoms)
    left, right = ({pair[side] for pair in atoms if pair not in differing} for side in (0, 1))
    return PairPicture(
        answer=Picture(svg=_draw(chem, one, left, dark=dark), atoms=one.GetNumHeavyAtoms()),
        gold=Picture(svg=_draw(chem, other, right, dark=dark), atoms=other.GetNumHeavyAtoms()),
        shared=sum(one.GetAtomWithIdx(i).GetAtomicNum() > 1 for i, _ in atoms),
        cut=cut,
        stereo=len(differing),
        tanimoto=similarities(mine, theirs),
    )


def molecule(smiles: str, *, dark: bool) -> Picture:
    """Draw one molecule; one that cannot exist is drawn as written, its faulty atoms marked."""
    chem = _drawers()
    form = Form(smiles)
    if form.mol is not None:
        if not _drawable(form.mol):
            return Picture(
                svg="",
                note=f"{form.mol.GetNumAtoms()} atoms, too many to draw",
                atoms=form.mol.GetNumHeavyAtoms(),
            )
        return Picture(svg=_draw(chem, form.mol, None, dark=dark), atoms=form.mol.GetNumHeavyAtoms())
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


def reaction(reactants: str, products: str, *, dark: bool) -> Picture:
    """Draw a reaction; both sides are SMILES, their components parted by dots."""
    chem = _drawers()
    for side in (reactants, products):
        mol = Form(side).mol
        if not _drawable(mol):
            return Picture(svg="", note="one side is no molecule, or too large to draw")
    try:
        found = chem.Reactions.ReactionFromSmarts(f"{reactants}>>{products}", useSmiles=True)
    except ValueError as error:
        return Picture(svg="", note=str(error).splitlines()[0][:120])
    drawer = _canvas(chem, WIDE, dark=dark)
    drawer.DrawReaction(found)
    return Picture(svg=_finished(drawer))


def _drawers() -> Any:
    """Return RDKit's parts for drawing; raises UsageError naming the extra where it is absent."""
    chem = rdkit().Chem
    from rdkit.Chem import rdChemReactions, rdDepictor, rdFMCS
    from rdkit.Chem.Draw import rdMolDraw2D

    return SimpleNamespace(
        Chem=chem, Reactions=rdChemReactions, Depict=rdDepictor, MCS=rdFMCS, Draw=rdMolDraw2D
    )


def _drawable(mol: Any) -> bool:
    return mol is not None and 0 < mol.GetNumAtoms() <= MOST_ATOMS


def _common(chem: Any, one: Any, other: Any) -> tuple[list[tuple[int, int]], bool]:
    """Find the atoms of the largest common substructure in both, and whether the search was cut."""
    if max(one.GetNumAtoms(), other.GetNumAtoms()) > MOST_SHARED:
        return [], True
    found = chem.MCS.FindMCS(
        [one, other],
        timeout=SEARCH_S,
        ringMatchesRingOnly=True,
        completeRingsOnly=True,
        matchValences=False,
        maximizeBonds=False,
    )
    if not found.numAtoms:
        return [], bool(found.canceled)
    query = chem.Chem.MolFromSmarts(found.smartsString)
    theirs = other.GetSubstructMatch(query)
    candidates = one.GetSubstructMatches(query, uniquify=False, maxMatches=64)
    # of several ways to lay one on the other, the one that agrees in most stereo labels
    mine = min(
        candidates, key=lambda match: len(_stereo(chem, one, other, list(zip(match, theirs, strict=True))))
    )
    return list(zip(mine, theirs, strict=True)), bool(found.canceled)


def _stereo(chem: Any, one: Any, other: Any, atoms: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the shared atoms with different stereo labels; of a double bond, both its ends."""
    left, right = _labels(chem, one), _labels(chem, other)
    return {(i, j) for i, j in atoms if left.get(i) != right.get(j)}


def _labels(chem: Any, mol: Any) -> dict[int, str]:
    chem.Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    found = {a.GetIdx(): a.GetProp("_CIPCode") for a in mol.GetAtoms() if a.HasProp("_CIPCode")}
    for bond in mol.GetBonds():
        name = str(bond.GetStereo())
        if name not in ("STEREONONE", "STEREOANY"):
            label = "E" if name in ("STEREOE", "STEREOTRANS") else "Z"
            found.update({bond.GetBeginAtomIdx(): label, bond.GetEndAtomIdx(): label})
    return found


def _lay_out(chem: Any, one: Any, other: Any, atoms: list[tuple[int, int]]) -> None:
    """Lay a molecule out as another one lies, where they share enough."""
    chem.Depict.Compute2DCoords(one)
    if len(atoms) > 2:
        try:
            chem.Depict.GenerateDepictionMatching2DStructure(one, other, [(j, i) for i, j in atoms])
        except (RuntimeError, ValueError):  # the shared part cannot be laid so in this molecule
            chem.Depict.Compute2DCoords(one)


def _atoms_of(problem: Any) -> list[int]:
    one = getattr(problem, "GetAtomIdx", None)
    return [one()] if one else list(problem.GetAtomIndices()) if hasattr(problem, "GetAtomIndices") else []


def _draw(chem: Any, mol: Any, shared: set[int] | None, *, dark: bool, grounds: bool = True) -> str:
    """Draw a molecule; atoms of `shared` on the one ground (or on none), all others on the other; None: no grounds."""
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
