"""Drawings of molecules, reactions and crystals: highlighted differences, and inputs that cannot be drawn."""

from __future__ import annotations

import json
from functools import partial
from xml.etree import ElementTree

import pytest

from evals.dashboard.untrusted import crystals
from evals.dashboard.untrusted import molecules as drawings
from evals.errors import DataError
from evals.sandbox import Pool
from evals.scorers.material import describe_crystal, parse_structure
from tests.support.error_messages import raises
from tests.support.paths import ROOT
from tests.support.tables import table

pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")
SHARED = {False: "#BCDBF4", True: "#21517F"}
DIFFERS = {False: "#FFBC72", True: "#9E4F0F"}
SVG = "{http://www.w3.org/2000/svg}"


def colours(svg: str) -> set[str]:
    ElementTree.fromstring(svg)
    return {colour for colour in (*SHARED.values(), *DIFFERS.values()) if colour in svg.upper()}


@pytest.mark.parametrize("dark", [False, True])
def test_atoms_that_differ_and_shared_atoms_have_different_background_colours(dark: bool) -> None:
    pair = drawings.draw_pair("Cn1cnc2c1c(=O)n(C)c(=O)n2C", "Cn1cnc2c1c(=O)[nH]c(=O)n2C", dark=dark)
    assert (pair.shared, pair.answer.atoms, pair.gold.atoms) == (13, 14, 13)
    assert colours(pair.answer.svg) == {SHARED[dark], DIFFERS[dark]}
    assert colours(pair.gold.svg) == {SHARED[dark]}
    assert set(pair.tanimoto) == {"morgan", "rdk", "maccs"}
    assert all(0 < value < 1 for value in pair.tanimoto.values())


@pytest.mark.parametrize(
    ("answer", "gold", "stereo"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", 1),
        ("C/C=C/C", "C/C=C\\C", 2),
        ("CC(N)C(=O)O", "C[C@@H](N)C(=O)O", 1),
        ("C[C@H](O)[C@@H](C)O", "C[C@@H](O)[C@H](C)O", 0),  # meso: the same molecule
        ("C[C@@H](N)C(=O)O", "N[C@@H](C)C(=O)O", 1),
    ],
)
def test_different_stereochemistry_is_highlighted(answer: str, gold: str, stereo: int) -> None:
    pair = drawings.draw_pair(answer, gold, dark=False)
    assert pair.stereo_differences == stereo
    assert (DIFFERS[False] in colours(pair.answer.svg)) == bool(stereo)


def test_two_spellings_of_a_molecule_have_no_difference() -> None:
    pair = drawings.draw_pair("OC(=O)c1ccccc1OC(C)=O", "CC(=O)Oc1ccccc1C(=O)O", dark=False)
    assert pair.shared == pair.answer.atoms == 13
    assert colours(pair.answer.svg) == colours(pair.gold.svg) == {SHARED[False]}


def test_without_common_atoms_everything_is_highlighted_as_different() -> None:
    pair = drawings.draw_pair("FF", "ClCl", dark=False)
    assert pair.shared == 0
    assert colours(pair.answer.svg) == {DIFFERS[False]}


def test_a_molecule_with_an_impossible_valence_is_drawn_with_a_note() -> None:
    pair = drawings.draw_pair("CC(C)(C)(C)C", "CC(C)(C)C", dark=False)
    assert "valence" in pair.answer.note
    assert colours(pair.answer.svg) == {DIFFERS[False]}
    assert pair.tanimoto == {}
    assert pair.gold.svg


@pytest.mark.parametrize(
    "smiles", ["C1CC", "", "not a molecule", "C" * 400, "<svg onload=owned()>", "[Xx]", "C(" * 200]
)
def test_an_answer_that_cannot_be_drawn_has_a_note_with_the_reason(smiles: str) -> None:
    pair = drawings.draw_pair(smiles, "CCO", dark=False)
    assert pair.answer.svg == ""
    assert pair.answer.note
    assert pair.gold.svg


@pytest.mark.parametrize(("smiles", "is_complete"), [("C" * 400, False), ("C" * 200, False), ("C1CC", True)])
def test_a_search_that_is_skipped_for_large_molecules_is_not_complete(smiles: str, is_complete: bool) -> None:
    assert drawings.draw_pair(smiles, "CCO", dark=False).is_search_complete == is_complete
    assert drawings.draw_pair("CCO", smiles, dark=False).is_search_complete == is_complete


def test_the_search_for_the_common_substructure_has_a_time_limit() -> None:
    cage = "C12C3C4C1C5C2C3C45"
    pair = drawings.draw_pair(".".join([cage] * 6), ".".join([cage] * 5 + ["C1CC1C2CC2C3CC3"]), dark=False)
    assert pair.answer.svg
    assert pair.gold.svg


def test_a_reaction_is_drawn_and_an_invalid_one_has_a_note() -> None:
    drawing = drawings.draw_reaction("CC(=O)Cl.NCc1ccccc1", "CC(=O)NCc1ccccc1", dark=False)
    assert ElementTree.fromstring(drawing.svg).tag == f"{SVG}svg"
    assert "invalid" in drawings.draw_reaction("CC(=O)Cl", "C1CC", dark=False).note
    assert "invalid" in drawings.draw_reaction("", "CC", dark=True).note


def test_drawings_can_be_computed_in_a_worker_process() -> None:
    with Pool(1) as pool:
        assert pool.call(partial(drawings.draw_pair, dark=True), "CCO", "CCN").shared == 2
        assert pool.call(partial(crystals.read, dark=True), crystals.EXAMPLE).formula == "NaCl"


STRUCTURES = [
    line
    for name in ("perovskites", "phonons", "jdft2d")
    for line in (ROOT / f"suites/samples/matbench/matbench_{name}.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


@table("row", STRUCTURES, ids=range(len(STRUCTURES)))
def test_a_crystal_is_parsed_from_its_description_in_a_prompt(row: str) -> None:
    original = parse_structure(json.loads(row)["structure"])
    description = describe_crystal(original)
    assert crystals.looks_like_crystal(f"Predict.\n{description}\nState it.")
    crystal = crystals.read(f"Predict.\n{description}\nState it.")
    assert crystal.formula == original.composition.reduced_formula
    assert crystal.space_group in description
    assert len(crystal.sites) == len(original)
    assert crystal.lengths == pytest.approx(original.lattice.abc, rel=1e-3)
    assert crystal.density == pytest.approx(original.density, rel=1e-3)


def test_atoms_on_the_boundary_of_a_cell_are_repeated_on_its_other_sides() -> None:
    svg = ElementTree.fromstring(crystals.read(crystals.EXAMPLE).svg)
    assert len(svg.findall(f"{SVG}line")) == 12
    # Na on corners and faces, Cl on edges and in the centre, and the legend
    assert len(svg.findall(f"{SVG}circle")) == 14 + 13 + 2


def test_cif_and_poscar_are_parsed() -> None:
    rock_salt = parse_structure(rock_salt_dict())
    for format_ in ("cif", "poscar"):
        crystal = crystals.read(rock_salt.to(fmt=format_))
        assert (crystal.formula, crystal.space_group, len(crystal.sites)) == ("NaCl", "Fm-3m (225)", 8)


def rock_salt_dict() -> dict:
    from pymatgen.core import Lattice, Structure

    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
    ).as_dict()


@pytest.mark.parametrize(
    "text",
    [
        "no crystal at all", "_cell_length_a 5", crystals.EXAMPLE.replace("Na 0.0000", "<b> 0.0000"),
        crystals.EXAMPLE.replace("5.64", "nan"), crystals.EXAMPLE.replace("Cl", "Xx"), "x" * 300_000,
        crystals.EXAMPLE.replace("5.64", "0"), crystals.EXAMPLE.replace("90°", "0°"), crystals.EXAMPLE.replace("5.64", "1e300"),
    ],
    ids=[
        "no crystal", "incomplete", "markup", "length nan", "unknown element", "too long",
        "length 0", "angle 0", "length 1e300",
    ],
)  # fmt: skip
def test_text_without_a_valid_crystal_is_a_one_line_error(text: str) -> None:
    with raises(DataError) as caught:
        crystals.read(text)
    assert "\n" not in str(caught.value)
