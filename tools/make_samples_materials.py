"""Write the bundled items of ChemBench (both) and Matbench: our own questions, with answers computed or looked up.

    python -m tools.make_samples_materials            write suites/samples/chembench/ and suites/samples/matbench/
    python -m tools.make_samples_materials --check    list files that differ; exit status 1 if there are any

These are computed, with pymatgen: molar masses, yields, atomic fractions of alloys from weight percentages, crystals from
space group and lattice constant, Voigt-Reuss-Hill moduli from elastic constants, energies per atom and per cell from
enthalpies, longitudinal phonons of fluorites from transverse ones (Lyddane, Sachs and Teller), and ideal perovskites from
Shannon's radii. Values that are looked up are in materials_facts.py, with their sources. All reactions are checked for balance.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from math import log10, sqrt
from typing import Any, Literal

from matminer.utils.data import MagpieData
from pymatgen.core.composition import Composition
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import DummySpecies, Element, Species
from pymatgen.core.structure import Structure

from tools.materials_facts import (
    ALLOYS,
    BAND_GAPS,
    BOILING_POINTS,
    COMPOUND_CRYSTALS,
    COMPOUNDS,
    ELASTIC_CONSTANTS,
    ELEMENT_CRYSTALS,
    EXFOLIATION_ENERGY_PER_AREA,
    FLUORITE_WAVELENGTHS,
    FORMATION_ENTHALPIES,
    GLASSES,
    GRAPHITE_BINDING_ENERGY,
    LAYERED_CRYSTALS,
    METALS,
    NO_GLASSES,
    NOBLE_GAS_CRYSTALS,
    OXIDES,
    PBE_GAP_ELEMENTS,
    PEROVSKITES,
    PHONONS,
    REACTIONS,
    REFRACTIVE_INDICES,
    STATIC_INDICES,
)
from tools.sample_files import SAMPLES, write_or_check

KJ_PER_EV = 96.48533212
MPA_PER_KSI = 6.894757
Row = dict[str, Any]


def mass(formula: str) -> float:
    """Return the molar mass in g/mol."""
    return float(Composition(formula).weight)


# --- ChemBench4K --------------------------------------------------------------------------------------------


def question_row(text: str, right: str, wrong: Sequence[str], number: int) -> Row:
    """Return a row with the hub's columns; the right option has the letter `number` mod 4."""
    options = [option for option in dict.fromkeys(wrong) if option != right][:3]
    options.insert(number % 4, right)
    if len(options) != 4:
        raise ValueError(f"{text!r} has options {options}")
    return {"question": text, **dict(zip("ABCD", options, strict=True)), "answer": "ABCD"[number % 4]}


def rows_from_table(table: Sequence[tuple[str, ...]], template: str, key: int, answer: int) -> list[Row]:
    """Return a question per entry: `template` with column `key`; its options are column `answer` of this and other entries."""
    rows = []
    for number, entry in enumerate(table):
        others = [table[(number + step) % len(table)][answer] for step in (1, 3, 5, 7, 9)]
        rows.append(question_row(template.format(entry[key]), entry[answer], others, number))
    return rows


def check_balance(equation: str) -> None:
    """Raise ValueError if a reaction equation is not balanced."""
    left, right = (
        sum((Composition(part.strip()) for part in side.split("+")), Composition({}))
        for side in equation.split("=")
    )
    if left != right:
        raise ValueError(f"{equation} is not balanced: {left} = {right}")


def property_rows() -> list[Row]:
    masses = [(name, f"{mass(formula):.2f} g/mol") for name, _, formula, _ in COMPOUNDS]
    return rows_from_table(masses, "What is the molar mass of {}?", 0, 1)


def yield_rows() -> list[Row]:
    """Return questions about the yield of reactions with one mole of the first product per mole of the first reactant."""
    rows = []
    for number, (_, _, equation) in enumerate(REACTIONS):
        check_balance(equation)
        reactant, product = (side.split("+")[0].strip() for side in equation.split("="))
        theoretical_grams = 10.0 / mass(reactant) * mass(product)
        grams = round(theoretical_grams * (0.55 + 0.03 * number), 2)
        right = grams / theoretical_grams
        options = [f"{100 * (right + step):.0f}%" for step in (-0.15, -0.08, 0.07)]
        text = (
            f"10.00 g of a reactant {reactant} gave {grams:.2f} g of the product {product} (one mole from one mole). "
            "What is the yield?"
        )
        rows.append(question_row(text, f"{100 * right:.0f}%", options, number))
    return rows


def reflux_rows(*, ask_solvent: bool) -> list[Row]:
    """Return questions about solvents or temperatures for reflux; the options' boiling points differ by at least 8 degrees."""
    rows = []
    for number, (name, boiling) in enumerate(BOILING_POINTS):
        distinct: list[tuple[str, float]] = []
        for step in range(1, len(BOILING_POINTS)):
            other = BOILING_POINTS[(number + 3 * step) % len(BOILING_POINTS)]
            if all(abs(other[1] - known[1]) >= 8 for known in [*distinct, (name, boiling)]):
                distinct.append(other)
        if ask_solvent:
            text = (
                f"A reaction is to run under reflux at about {boiling:.0f} °C and 1 atm. Which solvent fits?"
            )
            rows.append(question_row(text, name, [solvent for solvent, _ in distinct], number))
        else:
            text = (
                f"A reaction is run under reflux in {name} at 1 atm. At about which temperature does it run?"
            )
            wrong = [f"{temperature:.0f} °C" for _, temperature in distinct]
            rows.append(question_row(text, f"{boiling:.0f} °C", wrong, number))
    return rows


def chembench_4k() -> Iterator[tuple[str, list[Row]]]:
    """Yield (file, rows) for the nine tasks."""
    tasks = {
        "Name_Conversion": rows_from_table(COMPOUNDS, "Which SMILES is {}?", 0, 1),
        "Property_Prediction": property_rows(),
        "Mol2caption": rows_from_table(COMPOUNDS, "Which description fits the molecule {}?", 1, 3),
        "Caption2mol": rows_from_table(COMPOUNDS, "Which molecule is {}?", 3, 1),
        "Product_Prediction": rows_from_table(REACTIONS, "What is the main organic product of {}?", 0, 1),
        "Retrosynthesis": rows_from_table(
            REACTIONS, "Which reaction gives {} as its main organic product?", 1, 0
        ),
        "Yield_Prediction": yield_rows(),
        "Temperature_Prediction": reflux_rows(ask_solvent=False),
        "Solvent_Prediction": reflux_rows(ask_solvent=True),
    }
    for task, rows in tasks.items():
        yield f"chembench/4k/test/{task}_benchmark.json", rows[2:]
        yield f"chembench/4k/dev/{task}_benchmark.json", rows[:2]


# --- lamalab ------------------------------------------------------------------------------------------------


def task_row(name: str, keywords: list[str], example: Row) -> Row:
    """Return a row with the corpus' columns."""
    numeric = "target" in example
    return {
        "path": f"data/ours/{name}.json",
        "task": {
            "name": name,
            "uuid": f"ours-{name}",
            "description": "sample item of science-evals",
            "keywords": keywords,
            "metrics": ["exact_str_match", "mae", "mse"] if numeric else ["multiple_choice_grade"],
            "preferred_score": "mae" if numeric else "multiple_choice_grade",
            "examples": [example],
        },
    }


def choice_example(text: str, right: Sequence[str], wrong: Sequence[str]) -> Row:
    """Return the example of a multiple-choice task."""
    return {
        "input": text,
        "target_scores": {option: int(option in right) for option in sorted([*right, *wrong])},
    }


def lamalab() -> list[Row]:
    """Return all tasks, sorted by path."""
    iron = Composition("Fe2O3").get_wt_fraction("Fe")
    atoms = Composition("Ca3(PO4)2").num_atoms
    numbers = [
        ("molar_mass", "physical-chemistry", "What is the molar mass of \\ce{H2SO4} in g/mol?", f"{mass('H2SO4'):.2f}"),
        ("iron_share", "inorganic-chemistry", "How many percent of the mass of \\ce{Fe2O3} is iron?", f"{100 * iron:.2f}"),
        ("water", "general-chemistry", "How many moles are 9.0 g of water?", f"{9.0 / mass('H2O'):.4f}"),
        ("sulfide", "inorganic-chemistry", "What is the oxidation number of sulfur in \\ce{H2S}?", "-2"),
        ("formaldehyde", "organic-chemistry", "What is the oxidation number of carbon in \\ce{CH2O}?", "0"),
        ("methane", "organic-chemistry", "What is the oxidation number of carbon in \\ce{CH4}?", "-4"),
        ("phosphate", "general-chemistry", "How many atoms are in one formula unit of \\ce{Ca3(PO4)2}?", f"{atoms:.0f}"),
        ("acid", "analytical-chemistry", "What is the pH of 0.010 mol/L hydrochloric acid?", f"{-log10(0.010):.0f}"),
    ]  # fmt: skip
    rows = []
    for name, topic, text, target in numbers:
        row = task_row(name, [topic], {"input": text, "target": target})
        if name == "water":
            row["task"]["relative_tolerance"] = 0.02
        rows.append(row)
    rows += [
        task_row("noble", ["general-chemistry"], choice_example("Which of these are noble gases?", ["argon", "neon"], ["nitrogen", "chlorine"])),
        task_row("fcc", ["solid-state-chemistry"], choice_example("Which of these metals are face-centred cubic at room temperature?", ["aluminium", "copper"], ["iron", "tungsten"])),
        task_row("acids", ["organic-chemistry"], choice_example("Which compound is a carboxylic acid?", ["\\ce{CH3COOH}"], ["\\ce{CH3CHO}", "\\ce{CH3CH2OH}", "\\ce{CH3OCH3}"])),
        task_row("aromatic", ["organic-chemistry"], choice_example("Which molecule is aromatic?", ["[START_SMILES]c1ccncc1[END_SMILES]"], ["[START_SMILES]C1CCNCC1[END_SMILES]", "[START_SMILES]C1CCCCC1[END_SMILES]"])),
        task_row("cyanide", ["toxicity", "safety"], choice_example("Which gas forms when sodium cyanide meets acid?", ["hydrogen cyanide"], ["ammonia", "nitrogen", "carbon monoxide"])),
        task_row("symmetry", ["inorganic-chemistry"], choice_example("What is the point group of water?", ["C2v"], ["C3v", "D2h", "Td"])),
    ]  # fmt: skip
    return sorted(rows, key=lambda row: str(row["path"]))


# --- Matbench -----------------------------------------------------------------------------------------------


def crystal(name: str) -> Structure:
    """Return the crystal of a formula, from its structure type and lattice constant in Å."""
    kind, *constants = {**ELEMENT_CRYSTALS, **COMPOUND_CRYSTALS, **NOBLE_GAS_CRYSTALS}[name]
    elements = [element.symbol for element in Composition(name).elements]
    groups: dict[str, tuple[str, list[list[float]]]] = {
        "fcc": ("Fm-3m", [[0, 0, 0]]),
        "bcc": ("Im-3m", [[0, 0, 0]]),
        "diamond": ("Fd-3m", [[0, 0, 0]]),
        "rocksalt": ("Fm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "zincblende": ("F-43m", [[0, 0, 0], [0.25, 0.25, 0.25]]),
        "caesium chloride": ("Pm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "fluorite": ("Fm-3m", [[0, 0, 0], [0.25, 0.25, 0.25]]),
    }
    group, sites = groups[str(kind)]
    return Structure.from_spacegroup(group, Lattice.cubic(float(constants[0])), elements, sites)


def layered(name: str, kind: str, a: float, c: float) -> Structure:
    """Return the crystal of graphite, or of a dichalcogenide of type 2H or 1T; lattice constants in Å."""
    first, *rest = (element.symbol for element in Composition(name).elements)
    lattice = Lattice.hexagonal(a, c)
    if kind == "graphite":
        return Structure.from_spacegroup(
            "P6_3/mmc", lattice, ["C", "C"], [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]
        )
    if kind == "2H":
        return Structure.from_spacegroup(
            "P6_3/mmc", lattice, [first, rest[0]], [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.621]]
        )
    return Structure.from_spacegroup("P-3m1", lattice, [first, rest[0]], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]])


def moduli(c11: float, c12: float, c44: float) -> tuple[float, float]:
    """Return the Voigt-Reuss-Hill bulk and shear moduli of a cubic crystal in GPa."""
    voigt = (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    return (c11 + 2 * c12) / 3, (voigt + reuss) / 2


def structure_document(structure: Structure) -> Row:
    """Return a structure as upstream stores it, without the parts that pymatgen can recompute."""
    full = structure.as_dict()
    sites = [
        {"species": site["species"], "abc": [round(x, 6) for x in site["abc"]]} for site in full["sites"]
    ]
    matrix = [[round(x, 6) for x in row] for row in full["lattice"]["matrix"]]
    return {
        "@module": full["@module"],
        "@class": full["@class"],
        "lattice": {"matrix": matrix},
        "sites": sites,
    }


def table(name: str, column: str, rows: Sequence[tuple[Any, Any]]) -> tuple[str, list[Row]]:
    """Return a task's file and rows; folds are assigned cyclically, so that each contains both classes."""
    label = f"ours-{name.replace('_', '-')}"
    table_rows = []
    for number, (material, target) in enumerate(rows):
        key = "composition" if isinstance(material, str) else "structure"
        value = material if isinstance(material, str) else structure_document(material)
        mbid = f"{label}-{number + 1:02d}"
        table_rows.append({"mbid": mbid, key: value, column: target, "fold": number % 5})
    return f"matbench/matbench_{name}.jsonl", table_rows


def alloy(percent: dict[str, float], base: str) -> str:
    """Return a composition in atomic fractions, base first, from nominal weight percentages; the rest is `base`."""
    weights: dict[str | Element | Species | DummySpecies, float] = {}
    weights.update(percent.items())
    weights[base] = 100.0 - sum(percent.values())
    fractions = Composition.from_weight_dict(dict(weights)).fractional_composition.get_el_amt_dict()
    ordered = [base, *(element for element in fractions if element != base)]
    return "".join(f"{element}{fractions[element]:.4g}" for element in ordered)


def matbench() -> Iterator[tuple[str, list[Row]]]:
    """Yield (file, rows) for each task."""
    yield table(
        "steels", "yield strength", [(alloy(p, "Fe"), round(ksi * MPA_PER_KSI)) for _, p, ksi in ALLOYS]
    )
    yield table("expt_gap", "gap expt", [(formula, gap) for formula, gap in BAND_GAPS])
    insulators = [formula for formula, gap in BAND_GAPS if gap > 0]
    labels = [(f, True) for f in METALS] + [(f, False) for f in insulators[: len(METALS)]]
    yield table("expt_is_metal", "is_metal", labels)
    yield table("glass", "gfa", [(f, True) for f in GLASSES] + [(f, False) for f in NO_GLASSES])
    metals = [(crystal(f), f in METALS) for f in (*ELEMENT_CRYSTALS, *COMPOUND_CRYSTALS)]
    yield table("mp_is_metal", "is_metal", sorted(metals, key=lambda row: not row[1]))
    magpie = MagpieData()
    yield table("mp_gap", "gap pbe", [
        (crystal(name), float(magpie.get_elemental_property(Element(name), "GSbandgap"))) for name in PBE_GAP_ELEMENTS
    ])  # fmt: skip
    energies = [
        (crystal(f), round(kj / KJ_PER_EV / Composition(f).num_atoms, 4)) for f, kj in FORMATION_ENTHALPIES
    ]
    yield table("mp_e_form", "e_form", energies)
    yield table(
        "log_kvrh",
        "log10(K_VRH)",
        [(crystal(f), round(log10(moduli(*c)[0]), 5)) for f, c in ELASTIC_CONSTANTS],
    )
    yield table(
        "log_gvrh",
        "log10(G_VRH)",
        [(crystal(f), round(log10(moduli(*c)[1]), 5)) for f, c in ELASTIC_CONSTANTS],
    )
    yield table("dielectric", "n", [(crystal(formula), index) for formula, index, _ in REFRACTIVE_INDICES])
    index = {formula: n for formula, n, _ in REFRACTIVE_INDICES}
    fluorites = [(f, round(1e4 / wave * STATIC_INDICES[f] / index[f], 1)) for f, wave in FLUORITE_WAVELENGTHS]
    peaks = [(crystal(formula), peak) for formula, peak in [*PHONONS, *fluorites]]
    yield table("phonons", "last phdos peak", peaks)
    yield table("jdft2d", "exfoliation_en", [
        (layered("C", "graphite", 2.461, 6.708), GRAPHITE_BINDING_ENERGY),
        *((layered(f, kind, a, c), round(EXFOLIATION_ENERGY_PER_AREA * sqrt(3) / 2 * a * a / 3, 1)) for f, kind, a, c in LAYERED_CRYSTALS),
    ])  # fmt: skip
    yield table("perovskites", "e_form", [
        (perovskite(f), round((sum(n * OXIDES[o][1] for o, n in parts.items()) + heat) / KJ_PER_EV, 2))
        for f, parts, heat in PEROVSKITES
    ])  # fmt: skip


def perovskite(formula: str) -> Structure:
    """Return the ideal cubic cell of five atoms, in which the ions of the second metal and of oxygen touch."""
    first, second, oxygen = (element.symbol for element in Composition(formula).elements)
    (charges,) = Composition(formula).oxi_state_guesses(
        oxi_states_override={first: [{"Ba": 2}.get(first, 3)]}
    )
    spins: dict[str, Literal["High Spin", "Low Spin"]] = {"Fe": "High Spin", "Co": "Low Spin"}
    metal = Species(second, int(charges[second])).get_shannon_radius("VI", spins.get(second, ""), "ionic")
    a = 2 * (metal + Species("O", -2).get_shannon_radius("VI", "", "ionic"))
    sites: list[list[float]] = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(round(a, 3)), [first, second, oxygen], sites)


def files() -> dict[str, str]:
    """Return the contents by file name."""
    rows_by_file = {"chembench/lamalab/tasks.jsonl": lamalab(), **dict(chembench_4k()), **dict(matbench())}
    return {name: _file_content(name, rows) for name, rows in rows_by_file.items()}


def _file_content(name: str, rows: list[Row]) -> str:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if len(lines) < 12 and "/dev/" not in name:
        raise ValueError(f"{name} has {len(lines)} items, expected at least 12")
    return "[\n" + ",\n".join(lines) + "\n]\n" if name.endswith(".json") else "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(SAMPLES, files()))
