"""Drawings of molecules, of reactions, and of an answer and the gold molecule with their differences highlighted.

>>> drawing = draw_pair("CC(=O)Nc1ccccc1", "CC(=O)Oc1ccccc1", dark=False)
>>> drawing.shared, drawing.answer.svg[:5], round(drawing.tanimoto["morgan"], 2)
(6, '<?xml', 0.51)

RDKit draws the molecules and finds the largest common substructure within a time limit. SMILES are untrusted: call these
functions in a worker process (`evals.sandbox`). `MoleculeForms` raises UsageError if RDKit is missing, so functions import
RDKit after creating one. Drawings are shown in an image element, in which SVG can neither run scripts nor load anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from evals.scorers.molecule_forms import MoleculeForms, similarities

MAX_ATOMS = 300
"""Maximum number of atoms of a molecule that is drawn; drawings of larger molecules are illegible."""
MAX_SEARCH_ATOMS = 120
"""Maximum number of atoms of a molecule in the search for a common substructure."""
SEARCH_S = 2
"""Time limit of the search in seconds, after which the largest substructure found so far is used."""
MOLECULE_SIZE = (420, 250)
REACTION_SIZE = (840, 260)
"""Width and height of drawings in pixels."""

Colour = tuple[float, float, float]
_SHARED_COLOUR: Mapping[bool, Colour] = {False: (0.74, 0.86, 0.96), True: (0.13, 0.32, 0.50)}
_DIFFERENCE_COLOUR: Mapping[bool, Colour] = {False: (1.00, 0.74, 0.45), True: (0.62, 0.31, 0.06)}
"""RGB of shared atoms (blue) and of differing ones (orange); the key is whether the theme is dark."""


class Drawing(Struct, frozen=True, kw_only=True):
    """The drawing of a molecule or reaction."""

    svg: str
    """Empty if nothing can be drawn."""
    note: str = ""
    """Why it cannot be drawn, or what is wrong with the molecule."""
    atoms: int = 0
    """Number of heavy atoms."""
    formula: str = ""
    """Molecular formula, e.g. `C9H8O4`; empty for reactions and invalid molecules."""


class PairDrawing(Struct, frozen=True, kw_only=True):
    """Drawings of an answer and the gold answer."""

    answer: Drawing
    gold: Drawing
    shared: int = 0
    """Number of heavy atoms in the largest common substructure."""
    is_search_complete: bool = True
    """False if the search was stopped at its time limit, or skipped because of the number of atoms."""
    stereo_differences: int = 0
    """Number of shared atoms with different stereo labels."""
    tanimoto: Mapping[str, float] = {}
    """Fingerprint -> similarity; empty if either molecule is invalid or too large to draw."""


def draw_pair(answer: str, gold: str, *, dark: bool) -> PairDrawing:
    """Draw both molecules in the same layout, with shared and differing atoms in two colours."""
    answer_forms, gold_forms = MoleculeForms(answer), MoleculeForms(gold)
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    if not _is_drawable(answer_forms.mol) or not _is_drawable(gold_forms.mol):
        return PairDrawing(
            answer=draw_molecule(answer, dark=dark),
            gold=draw_molecule(gold, dark=dark),
            is_search_complete=not any(_is_too_large(forms.mol) for forms in (answer_forms, gold_forms)),
        )
    answer_mol, gold_mol = Chem.Mol(answer_forms.mol), Chem.Mol(gold_forms.mol)
    atom_pairs, is_search_complete = _common_substructure(answer_mol, gold_mol)
    differing_pairs = _stereo_differences(answer_mol, gold_mol, atom_pairs)
    rdDepictor.Compute2DCoords(gold_mol)
    _align_layout(answer_mol, gold_mol, atom_pairs)
    identical_pairs = [pair for pair in atom_pairs if pair not in differing_pairs]
    return PairDrawing(
        answer=_draw_valid(answer_mol, {i for i, _ in identical_pairs}, dark=dark),
        gold=_draw_valid(gold_mol, {j for _, j in identical_pairs}, dark=dark),
        shared=sum(answer_mol.GetAtomWithIdx(i).GetAtomicNum() > 1 for i, _ in atom_pairs),
        is_search_complete=is_search_complete,
        stereo_differences=len(differing_pairs),
        tanimoto=similarities(answer_forms, gold_forms),
    )


def draw_molecule(smiles: str, *, dark: bool) -> Drawing:
    """Draw a molecule; an invalid one is drawn as written, with its faulty atoms marked."""
    forms = MoleculeForms(smiles)
    from rdkit import Chem

    if forms.mol is not None:
        if not _is_drawable(forms.mol):
            count = forms.mol.GetNumAtoms()
            return Drawing(
                svg="", note=f"{count} atoms, too many to draw", atoms=forms.mol.GetNumHeavyAtoms()
            )
        return _draw_valid(forms.mol, None, dark=dark)
    note = forms.fault()
    if not _is_drawable(forms.raw):
        return Drawing(svg="", note=note)
    faulty = {i for problem in Chem.DetectChemistryProblems(forms.raw) for i in _problem_atoms(problem)}
    valid_atoms = {atom.GetIdx() for atom in forms.raw.GetAtoms()} - faulty
    return Drawing(
        svg=_draw_svg(forms.raw, valid_atoms, dark=dark, highlight_shared=False),
        note=note,
        atoms=forms.raw.GetNumHeavyAtoms(),
    )


def _draw_valid(mol: Any, shared: set[int] | None, *, dark: bool) -> Drawing:
    from rdkit.Chem import rdMolDescriptors

    return Drawing(
        svg=_draw_svg(mol, shared, dark=dark),
        atoms=mol.GetNumHeavyAtoms(),
        formula=rdMolDescriptors.CalcMolFormula(mol),
    )


def draw_reaction(reactants: str, products: str, *, dark: bool) -> Drawing:
    """Draw a reaction; each side is SMILES with its components separated by dots."""
    for side in (reactants, products):
        if not _is_drawable(MoleculeForms(side).mol):
            return Drawing(svg="", note="one side is invalid or too large to draw")
    from rdkit.Chem import rdChemReactions

    try:
        reaction = rdChemReactions.ReactionFromSmarts(f"{reactants}>>{products}", useSmiles=True)
    except ValueError as error:
        return Drawing(svg="", note=str(error).splitlines()[0][:120])
    drawer = _canvas(REACTION_SIZE, dark=dark)
    drawer.DrawReaction(reaction)
    return Drawing(svg=_svg_text(drawer))


def _is_drawable(mol: Any) -> bool:
    return mol is not None and 0 < mol.GetNumAtoms() <= MAX_ATOMS


def _is_too_large(mol: Any) -> bool:
    return mol is not None and mol.GetNumAtoms() > MAX_ATOMS


def _common_substructure(answer: Any, gold: Any) -> tuple[list[tuple[int, int]], bool]:
    """Return the atom pairs of the largest common substructure, and whether the search for it was complete."""
    from rdkit import Chem
    from rdkit.Chem import rdFMCS

    if max(answer.GetNumAtoms(), gold.GetNumAtoms()) > MAX_SEARCH_ATOMS:
        return [], False
    common = rdFMCS.FindMCS(
        [answer, gold],
        timeout=SEARCH_S,
        ringMatchesRingOnly=True,
        completeRingsOnly=True,
        matchValences=False,
        maximizeBonds=False,
    )
    if not common.numAtoms:
        return [], not common.canceled
    query = Chem.MolFromSmarts(common.smartsString)
    gold_match = gold.GetSubstructMatch(query)
    candidates = answer.GetSubstructMatches(query, uniquify=False, maxMatches=64)
    # the match with the fewest differences in stereochemistry
    answer_match = min(
        candidates,
        key=lambda match: len(_stereo_differences(answer, gold, list(zip(match, gold_match, strict=True)))),
    )
    return list(zip(answer_match, gold_match, strict=True)), not common.canceled


def _stereo_differences(
    answer: Any, gold: Any, atom_pairs: Iterable[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return the atom pairs with different stereo labels; both atoms of a double bond have the bond's label."""
    left, right = _stereo_labels(answer), _stereo_labels(gold)
    return {(i, j) for i, j in atom_pairs if left.get(i) != right.get(j)}


def _stereo_labels(mol: Any) -> dict[int, str]:
    from rdkit import Chem

    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    labels = {a.GetIdx(): a.GetProp("_CIPCode") for a in mol.GetAtoms() if a.HasProp("_CIPCode")}
    for bond in mol.GetBonds():
        name = str(bond.GetStereo())
        if name not in ("STEREONONE", "STEREOANY"):
            label = "E" if name in ("STEREOE", "STEREOTRANS") else "Z"
            labels.update({bond.GetBeginAtomIdx(): label, bond.GetEndAtomIdx(): label})
    return labels


def _align_layout(answer: Any, gold: Any, atom_pairs: list[tuple[int, int]]) -> None:
    """Lay out the answer like the gold molecule if they share more than two atoms."""
    from rdkit.Chem import rdDepictor

    rdDepictor.Compute2DCoords(answer)
    if len(atom_pairs) > 2:
        try:
            rdDepictor.GenerateDepictionMatching2DStructure(answer, gold, [(j, i) for i, j in atom_pairs])
        except (RuntimeError, ValueError):  # the layout is not possible for this molecule
            rdDepictor.Compute2DCoords(answer)


def _problem_atoms(problem: Any) -> list[int]:
    if hasattr(problem, "GetAtomIdx"):
        return [problem.GetAtomIdx()]
    return list(problem.GetAtomIndices()) if hasattr(problem, "GetAtomIndices") else []


def _draw_svg(mol: Any, shared: set[int] | None, *, dark: bool, highlight_shared: bool = True) -> str:
    """Return a molecule as SVG, with the atoms in `shared` highlighted in one colour and all others in another.

    If `shared` is None, nothing is highlighted; if `highlight_shared` is false, only the other atoms are.
    """
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer = _canvas(MOLECULE_SIZE, dark=dark)
    all_atoms = range(mol.GetNumAtoms()) if shared is not None else ()
    shared_atoms = shared or set()
    atoms = {
        i: (_SHARED_COLOUR if i in shared_atoms else _DIFFERENCE_COLOUR)[dark]
        for i in all_atoms
        if highlight_shared or i not in shared_atoms
    }
    bonds = {
        bond.GetIdx(): _SHARED_COLOUR[dark]
        if bond.GetBeginAtomIdx() in shared_atoms and bond.GetEndAtomIdx() in shared_atoms
        else _DIFFERENCE_COLOUR[dark]
        for bond in (mol.GetBonds() if shared is not None and highlight_shared else ())
    }
    if mol.NeedsUpdatePropertyCache():
        mol.UpdatePropertyCache(False)  # noqa: FBT003 - RDKit takes it by position
    is_valid = Chem.DetectChemistryProblems(mol) == ()
    prepared = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=is_valid, addChiralHs=is_valid)
    drawer.drawOptions().prepareMolsBeforeDrawing = False
    drawer.DrawMolecule(
        prepared, highlightAtoms=list(atoms), highlightAtomColors=atoms, highlightBonds=list(bonds),
        highlightBondColors=bonds,
    )  # fmt: skip
    return _svg_text(drawer)


def _canvas(size: tuple[int, int], *, dark: bool) -> Any:
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer: Any = rdMolDraw2D.MolDraw2DSVG(*size)
    options = drawer.drawOptions()
    if dark:
        rdMolDraw2D.SetDarkMode(options)
        options.updateAtomPalette({7: (0.56, 0.66, 1.0), 8: (1.0, 0.47, 0.42)})
    options.clearBackground = False
    options.fixedBondLength = 38
    options.highlightRadius = 0.32
    options.highlightBondWidthMultiplier = 14
    options.addStereoAnnotation = True
    options.padding = 0.06
    options.maxFontSize = 20
    return drawer


def _svg_text(drawer: Any) -> str:
    drawer.FinishDrawing()
    return str(drawer.GetDrawingText())
