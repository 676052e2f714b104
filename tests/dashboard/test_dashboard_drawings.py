"""Molecules, reactions and crystals as pictures: what is shared, what differs, and what cannot be drawn."""

from __future__ import annotations

import json
from functools import partial
from xml.etree import ElementTree

import pytest

from evals.dashboard.foreign import crystals
from evals.dashboard.foreign import molecules as drawings
from evals.errors import DataError
from evals.sandbox import Pool
from evals.scorers.material import describe_crystal, parse_structure
from tests.support.paths import ROOT
from tests.support.tables import table

pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")
SHARED = {False: "#BCDBF4", True: "#21517F"}
DIFFERS = {False: "#FFBC72", True: "#9E4F0F"}
SVG = "{http://www.w3.org/2000/svg}"


def colours(svg: str) -> set[str]:
    ElementTree.fromstring(svg)
    return {name for name in (*SHARED.values(), *DIFFERS.values()) if name in svg.upper()}


@pytest.mark.parametrize("dark", [False, True])
def test_the_difference_stands_on_another_ground_than_what_is_shared(dark: bool) -> None:
    found = drawings.draw_pair("Cn1cnc2c1c(=O)n(C)c(=O)n2C", "Cn1cnc2c1c(=O)[nH]c(=O)n2C", dark=dark)
    assert (found.shared, found.answer.atoms, found.gold.atoms) == (13, 14, 13)
    assert colours(found.answer.svg) == {SHARED[dark], DIFFERS[dark]}
    assert colours(found.gold.svg) == {SHARED[dark]}
    assert set(found.tanimoto) == {"morgan", "rdk", "maccs"}
    assert all(0 < value < 1 for value in found.tanimoto.values())


@pytest.mark.parametrize(
    ("answer", "gold", "stereo"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", 1),
        ("C/C=C/C", "C/C=C\\C", 2),
        ("CC(N)C(=O)O", "C[C@@H](N)C(=O)O", 1),
        ("C[C@H](O)[C@@H](C)O", "C[C@@H](O)[C@H](C)O", 0),  # the same, read from its other end
        ("C[C@@H](N)C(=O)O", "N[C@@H](C)C(=O)O", 1),
    ],
)
def test_stereo_is_a_difference(answer: str, gold: str, stereo: int) -> None:
    found = drawings.draw_pair(answer, gold, dark=False)
    assert found.stereo_differences == stereo
    assert (DIFFERS[False] in colours(found.answer.svg)) == bool(stereo)


def test_the_same_molecule_has_no_difference() -> None:
    found = drawings.draw_pair("OC(=O)c1ccccc1OC(C)=O", "CC(=O)Oc1ccccc1C(=O)O", dark=False)
    assert found.shared == found.answer.atoms == 13
    assert colours(found.answer.svg) == colours(found.gold.svg) == {SHARED[False]}


def test_nothing_in_common_is_all_difference() -> None:
    found = drawings.draw_pair("FF", "ClCl", dark=False)
    assert found.shared == 0
    assert colours(found.answer.svg) == {DIFFERS[False]}


def test_an_impossible_molecule_is_drawn_as_written_with_its_fault() -> None:
    found = drawings.draw_pair("CC(C)(C)(C)C", "CC(C)(C)C", dark=False)
    assert "valence" in found.answer.note
    assert colours(found.answer.svg) == {DIFFERS[False]}
    assert found.tanimoto == {}
    assert found.gold.svg


@pytest.mark.parametrize(
    "smiles", ["C1CC", "", "not a molecule", "C" * 400, "<svg onload=owned()>", "[Xx]", "C(" * 200]
)
def test_what_cannot_be_drawn_says_why(smiles: str) -> None:
    found = drawings.draw_pair(smiles, "CCO", dark=False)
    assert found.answer.svg == ""
    assert found.answer.note
    assert found.gold.svg


def test_the_search_for_what_is_shared_ends_in_time() -> None:
    cage = "C12C3C4C1C5C2C3C45"
    found = drawings.draw_pair(".".join([cage] * 6), ".".join([cage] * 5 + ["C1CC1C2CC2C3CC3"]), dark=False)
    assert found.answer.svg
    assert found.gold.svg


def test_a_reaction_has_both_sides_and_a_broken_one_says_so() -> None:
    found = drawings.draw_reaction("CC(=O)Cl.NCc1ccccc1", "CC(=O)NCc1ccccc1", dark=False)
    assert ElementTree.fromstring(found.svg).tag == f"{SVG}svg"
    assert "invalid" in drawings.draw_reaction("CC(=O)Cl", "C1CC", dark=False).note
    assert "invalid" in drawings.draw_reaction("", "CC", dark=True).note


def test_pictures_can_be_made_in_a_worker() -> None:
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
def test_a_crystal_is_read_from_the_words_that_a_model_was_shown(row: str) -> None:
    original = parse_structure(json.loads(row)["structure"])
    words = describe_crystal(original)
    assert crystals.looks_like_crystal(f"Predict.\n{words}\nState it.")
    found = crystals.read(f"Predict.\n{words}\nState it.")
    assert found.formula == original.composition.reduced_formula
    assert found.space_group in words
    assert len(found.sites) == len(original)
    assert found.lengths == pytest.approx(original.lattice.abc, rel=1e-3)
    assert found.density == pytest.approx(original.density, rel=1e-3)


def test_a_crystal_is_drawn_with_its_corners_repeated() -> None:
    found = ElementTree.fromstring(crystals.read(crystals.EXAMPLE).svg)
    assert len(found.findall(f"{SVG}line")) == 12
    assert (
        len(found.findall(f"{SVG}circle")) == 14 + 13 + 2
    )  # fcc corners and faces; edges and centre; legend


def test_cif_and_poscar_are_read() -> None:
    rock = parse_structure(structure_dict())
    for form in ("cif", "poscar"):
        found = crystals.read(rock.to(fmt=form))
        assert (found.formula, found.space_group, len(found.sites)) == ("NaCl", "Fm-3m (225)", 8)


def structure_dict() -> dict:
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
    ids=range(9),
)  # fmt: skip
def test_what_is_no_crystal_is_one_line(text: str) -> None:
    with pytest.raises(DataError) as caught:
        crystals.read(text)
    assert "\n" not in str(caught.value)
