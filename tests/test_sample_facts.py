"""The looked-up facts behind the bundled items are true: held against measured data that packages ship.

`chemicals` (CRC Handbook, SYRRES, ATcT) has boiling points, enthalpies, partition coefficients and molar volumes;
pymatgen has densities and bulk moduli of the elements; the shared Matbench tables have measured gaps and glasses.
"""

from __future__ import annotations

import bz2
import json
from pathlib import Path
from typing import Any

import make_samples_chemistry as chemistry
import materials_facts as facts
import pytest
from chemicals import Hfs, Tb, logP, logP_methods, search_chemical
from chemicals.identifiers import CAS_from_any
from chemicals.volume import rho_data_CRC_inorg_s_const as molar_volumes
from pymatgen.core import Composition, Element
from rdkit import Chem

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


@pytest.mark.parametrize(("solvent", "celsius"), facts.BOILING)
def test_boiling_points(solvent: str, celsius: float) -> None:
    known = [Tb(CAS_from_any(solvent), method=m) for m in ("CRC_ORG", "COMMON_CHEMISTRY", "WEBBOOK", "HEOS")]
    assert min(abs(one - 273.15 - celsius) for one in known if one is not None) <= 0.3


@pytest.mark.parametrize(("formula", "kilojoules"), facts.FORMATION)
def test_enthalpies_of_formation(formula: str, kilojoules: float) -> None:
    assert Hfs(CAS_from_any(formula)) / 1000 == pytest.approx(kilojoules, abs=0.5)


OXIDES = {
    "CaO": -634.9, "SrO": -592.0, "BaO": -548.0, "ZrO2": -1100.6, "Al2O3": 2 * -837.9, "Ga2O3": 2 * -544.6,
    "Fe2O3": 2 * -412.1, "Na2O": 2 * -207.1, "K2O": 2 * -180.8, "Nb2O5": 2 * -949.8, "Ta2O5": 2 * -1023.0,
    "1312-81-8": 2 * -896.9,
}  # fmt: skip
"""Oxides as the table of perovskites uses them, per mole of the oxide; the last is La2O3 by its number."""


@pytest.mark.parametrize(("oxide", "kilojoules"), OXIDES.items())
def test_enthalpies_of_the_oxides_of_perovskites(oxide: str, kilojoules: float) -> None:
    cas = oxide if "-" in oxide else CAS_from_any(oxide)
    assert Hfs(cas) / 1000 == pytest.approx(kilojoules, abs=0.5)
    halved = kilojoules / 2 if oxide[-2:] in ("O3", "O5", "2O", "-8") else kilojoules
    stated = {round(value, 1) for _, _, values in facts.PEROVSKITES for value in values[:2]}
    assert round(halved, 1) in stated


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


@pytest.mark.parametrize(("formula", "cell"), [e for e in facts.DIATOMIC.items() if e[0] not in DENSE])
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
