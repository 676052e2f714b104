"""Write the bundled items of ChemBench (both) and Matbench: questions in our words, answers computed or looked up.

    python -m tools.make_samples_materials            writes suites/samples/chembench/ and suites/samples/matbench/
    python -m tools.make_samples_materials --check    says what differs from the files, exit 1

What is computed, through pymatgen: molar masses, yields, atomic fractions of alloys from their weight percentages,
crystals from space group and lattice constant, Voigt-Reuss-Hill moduli from elastic constants, energies per atom and
per cell from enthalpies, longitudinal phonons of fluorites from the transverse ones (Lyddane, Sachs and Teller), ideal
perovskites from Shannon's radii. What is looked up stands in materials_facts.py with its sources. Every reaction is
balanced by element.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from math import log10, sqrt
from pathlib import Path
from typing import Any, Literal

from matminer.utils.data import MagpieData
from pymatgen.core.composition import Composition
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import DummySpecies, Element, Species
from pymatgen.core.structure import Structure

from tools.materials_facts import (
    ALLOYS,
    BOILING,
    COMPOUNDS,
    DIATOMIC,
    ELASTIC,
    FLUORITES,
    FORMATION,
    GAPS,
    GLASSES,
    GRAPHITE,
    INDICES,
    LAYERED,
    METALS,
    NO_GLASSES,
    NOBLE,
    OXIDES,
    PBE_GAPS,
    PER_AREA,
    PEROVSKITES,
    PHONONS,
    REACTIONS,
    SIMPLE,
    STATIC,
)

HERE = Path(__file__).resolve().parent.parent / "suites" / "samples"
KJ_PER_EV = 96.48533212
MPA_PER_KSI = 6.894757
Row = dict[str, Any]


def mass(formula: str) -> float:
    return float(Composition(formula).weight)


# --- ChemBench4K --------------------------------------------------------------------------------------------


def question(text: str, right: str, wrong: Sequence[str], place: int) -> Row:
    """A row in the hub's schema, the right option at letter `place` mod 4."""
    options = [option for option in dict.fromkeys(wrong) if option != right][:3]
    options.insert(place % 4, right)
    if len(options) != 4:
        raise ValueError(f"{text!r} has options {options}")
    return {"question": text, **dict(zip("ABCD", options, strict=True)), "answer": "ABCD"[place % 4]}


def cycle(table: Sequence[tuple[str, ...]], ask: str, key: int, answer: int) -> list[Row]:
    """One row per entry: `ask` with column `key`, options from column `answer` of the entry and those after it."""
    rows = []
    for place, entry in enumerate(table):
        others = [table[(place + step) % len(table)][answer] for step in (1, 3, 5, 7, 9)]
        rows.append(question(ask.format(entry[key]), entry[answer], others, place))
    return rows


def balanced(equation: str) -> None:
    left, right = (
        sum((Composition(part.strip()) for part in side.split("+")), Composition({}))
        for side in equation.split("=")
    )
    if left != right:
        raise ValueError(f"{equation} is not balanced: {left} = {right}")


def property_rows() -> list[Row]:
    masses = [(name, f"{mass(formula):.2f} g/mol") for name, _, formula, _ in COMPOUNDS]
    return cycle(masses, "What is the molar mass of {}?", 0, 1)


def yield_rows() -> list[Row]:
    """Percent yields of reactions one to one in the first reactant and the first product."""
    rows = []
    for place, (_, _, equation) in enumerate(REACTIONS):
        balanced(equation)
        reactant, product = (side.split("+")[0].strip() for side in equation.split("="))
        share = 0.55 + 0.03 * place
        grams = round(10.0 / mass(reactant) * mass(product) * share, 2)
        right = grams / (10.0 / mass(reactant) * mass(product))
        options = [f"{100 * (right + step):.0f}%" for step in (-0.15, -0.08, 0.07)]
        text = (
            f"10.00 g of a reactant {reactant} gave {grams:.2f} g of the product {product} (one mole from one mole). "
            "What is the yield?"
        )
        rows.append(question(text, f"{100 * right:.0f}%", options, place))
    return rows


def by_temperature(*, ask_solvent: bool) -> list[Row]:
    """Reflux temperatures; options lie at least 8 degrees apart."""
    rows = []
    for place, (name, boiling) in enumerate(BOILING):
        far: list[tuple[str, float]] = []
        for step in range(1, len(BOILING)):
            other = BOILING[(place + 3 * step) % len(BOILING)]
            if all(abs(other[1] - known[1]) >= 8 for known in [*far, (name, boiling)]):
                far.append(other)
        column = 0 if ask_solvent else 1
        shown = [str(entry[column]) if ask_solvent else f"{entry[1]:.0f} °C" for entry in far]
        if ask_solvent:
            text = (
                f"A reaction is to run under reflux at about {boiling:.0f} °C and 1 atm. Which solvent fits?"
            )
            rows.append(question(text, name, shown, place))
        else:
            text = (
                f"A reaction is run under reflux in {name} at 1 atm. At about which temperature does it run?"
            )
            rows.append(question(text, f"{boiling:.0f} °C", shown, place))
    return rows


def chembench_4k() -> Iterator[tuple[str, list[Row]]]:
    tasks = {
        "Name_Conversion": cycle(COMPOUNDS, "Which SMILES is {}?", 0, 1),
        "Property_Prediction": property_rows(),
        "Mol2caption": cycle(COMPOUNDS, "Which description fits the molecule {}?", 1, 3),
        "Caption2mol": cycle(COMPOUNDS, "Which molecule is {}?", 3, 1),
        "Product_Prediction": cycle(REACTIONS, "What is the main organic product of {}?", 0, 1),
        "Retrosynthesis": cycle(REACTIONS, "Which reaction gives {} as its main organic product?", 1, 0),
        "Yield_Prediction": yield_rows(),
        "Temperature_Prediction": by_temperature(ask_solvent=False),
        "Solvent_Prediction": by_temperature(ask_solvent=True),
    }
    for task, rows in tasks.items():
        yield f"chembench/4k/test/{task}_benchmark.json", rows[2:]
        yield f"chembench/4k/dev/{task}_benchmark.json", rows[:2]


# --- lamalab ------------------------------------------------------------------------------------------------


def task(name: str, keywords: list[str], example: Row, **more: Any) -> Row:
    number = "target" in example
    return {
        "path": f"data/ours/{name}.json",
        "task": {
            "name": name,
            "uuid": f"ours-{name}",
            "description": "sample item of science-evals",
            "keywords": keywords,
            "metrics": ["exact_str_match", "mae", "mse"] if number else ["multiple_choice_grade"],
            "preferred_score": "mae" if number else "multiple_choice_grade",
            "examples": [example],
            **more,
        },
    }


def choose(text: str, right: Sequence[str], wrong: Sequence[str]) -> Row:
    return {
        "input": text,
        "target_scores": {option: int(option in right) for option in sorted([*right, *wrong])},
    }


def lamalab() -> list[Row]:
    iron = Composition("Fe2O3").get_wt_fraction("Fe")
    atoms = Composition("Ca3(PO4)2").num_atoms
    numbers = [
        (
            "molar_mass",
            "physical-chemistry",
            "What is the molar mass of \\ce{H2SO4} in g/mol?",
            f"{mass('H2SO4'):.2f}",
        ),
        (
            "iron_share",
            "inorganic-chemistry",
            "How many percent of the mass of \\ce{Fe2O3} is iron?",
            f"{100 * iron:.2f}",
        ),
        ("water", "general-chemistry", "How many moles are 9.0 g of water?", f"{9.0 / mass('H2O'):.4f}"),
        ("sulfide", "inorganic-chemistry", "What is the oxidation number of sulfur in \\ce{H2S}?", "-2"),
        ("formaldehyde", "organic-chemistry", "What is the oxidation number of carbon in \\ce{CH2O}?", "0"),
        ("methane", "organic-chemistry", "What is the oxidation number of carbon in \\ce{CH4}?", "-4"),
        (
            "phosphate",
            "general-chemistry",
            "How many atoms are in one formula unit of \\ce{Ca3(PO4)2}?",
            f"{atoms:.0f}",
        ),
        (
            "acid",
            "analytical-chemistry",
            "What is the pH of 0.010 mol/L hydrochloric acid?",
            f"{-log10(0.010):.0f}",
        ),
    ]
    rows = [task(name, [topic], {"input": text, "target": target}) for name, topic, text, target in numbers]
    rows[2]["task"]["relative_tolerance"] = 0.02
    rows += [
        task("noble", ["general-chemistry"], choose("Which of these are noble gases?", ["argon", "neon"], ["nitrogen", "chlorine"])),
        task("fcc", ["solid-state-chemistry"], choose("Which of these metals are face-centred cubic at room temperature?", ["aluminium", "copper"], ["iron", "tungsten"])),
        task("acids", ["organic-chemistry"], choose("Which compound is a carboxylic acid?", ["\\ce{CH3COOH}"], ["\\ce{CH3CHO}", "\\ce{CH3CH2OH}", "\\ce{CH3OCH3}"])),
        task("aromatic", ["organic-chemistry"], choose("Which molecule is aromatic?", ["[START_SMILES]c1ccncc1[END_SMILES]"], ["[START_SMILES]C1CCNCC1[END_SMILES]", "[START_SMILES]C1CCCCC1[END_SMILES]"])),
        task("cyanide", ["toxicity", "safety"], choose("Which gas forms when sodium cyanide meets acid?", ["hydrogen cyanide"], ["ammonia", "nitrogen", "carbon monoxide"])),
        task("symmetry", ["inorganic-chemistry"], choose("What is the point group of water?", ["C2v"], ["C3v", "D2h", "Td"])),
    ]  # fmt: skip
    return sorted(rows, key=lambda row: str(row["path"]))


# --- Matbench -----------------------------------------------------------------------------------------------


def crystal(name: str) -> Structure:
    """A crystal by its formula, from its type and lattice constant in Å."""
    kind, *constants = {**SIMPLE, **DIATOMIC, **NOBLE}[name]
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
    """Graphite, and disulfides and their kin of type 2H and 1T."""
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
    """Bulk and shear modulus of a cubic crystal in GPa, Voigt-Reuss-Hill."""
    voigt = (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    return (c11 + 2 * c12) / 3, (voigt + reuss) / 2


def document(structure: Structure) -> Row:
    """A structure as upstream stores it, without what pymatgen can work out again."""
    full = structure.as_dict()
    sites = [{"species": s["species"], "abc": [round(x, 6) for x in s["abc"]]} for s in full["sites"]]
    matrix = [[round(x, 6) for x in row] for row in full["lattice"]["matrix"]]
    return {
        "@module": full["@module"],
        "@class": full["@class"],
        "lattice": {"matrix": matrix},
        "sites": sites,
    }


def table(name: str, column: str, rows: Sequence[tuple[Any, Any]]) -> tuple[str, list[Row]]:
    """Return a task's rows with ids and folds; the folds go round, so that each holds both classes."""
    label = f"ours-{name.replace('_', '-')}"
    made = []
    for place, (given, target) in enumerate(rows):
        key = "composition" if isinstance(given, str) else "structure"
        value = given if isinstance(given, str) else document(given)
        made.append({"mbid": f"{label}-{place + 1:02d}", key: value, column: target, "fold": place % 5})
    return f"matbench/matbench_{name}.jsonl", made


def alloy(percent: dict[str, float], base: str) -> str:
    """Nominal weight percentages, the rest being `base` -> atomic fractions, the base first."""
    weights: dict[str | Element | Species | DummySpecies, float] = {}
    weights.update(percent.items())
    weights[base] = 100.0 - sum(percent.values())
    fractions = Composition.from_weight_dict(dict(weights)).fractional_composition.get_el_amt_dict()
    ordered = [base, *(element for element in fractions if element != base)]
    return "".join(f"{element}{fractions[element]:.4g}" for element in ordered)


def matbench() -> Iterator[tuple[str, list[Row]]]:
    yield table(
        "steels", "yield strength", [(alloy(p, "Fe"), round(ksi * MPA_PER_KSI)) for _, p, ksi in ALLOYS]
    )
    yield table("expt_gap", "gap expt", [(formula, gap) for formula, gap in GAPS])
    insulators = [formula for formula, gap in GAPS if gap > 0]
    labels = [(f, True) for f in METALS] + [(f, False) for f in insulators[: len(METALS)]]
    yield table("expt_is_metal", "is_metal", labels)
    yield table("glass", "gfa", [(f, True) for f in GLASSES] + [(f, False) for f in NO_GLASSES])
    metals = [(crystal(f), f in METALS) for f in (*SIMPLE, *DIATOMIC)]
    yield table("mp_is_metal", "is_metal", sorted(metals, key=lambda row: not row[1]))
    pbe = MagpieData()
    yield table("mp_gap", "gap pbe", [
        (crystal(name), float(pbe.get_elemental_property(Element(name), "GSbandgap"))) for name in PBE_GAPS
    ])  # fmt: skip
    energies = [(crystal(f), round(kj / KJ_PER_EV / Composition(f).num_atoms, 4)) for f, kj in FORMATION]
    yield table("mp_e_form", "e_form", energies)
    yield table(
        "log_kvrh", "log10(K_VRH)", [(crystal(f), round(log10(moduli(*c)[0]), 5)) for f, c in ELASTIC]
    )
    yield table(
        "log_gvrh", "log10(G_VRH)", [(crystal(f), round(log10(moduli(*c)[1]), 5)) for f, c in ELASTIC]
    )
    yield table("dielectric", "n", [(crystal(formula), index) for formula, index, _ in INDICES])
    index = {formula: n for formula, n, _ in INDICES}
    fluorites = [(f, round(1e4 / wave * STATIC[f] / index[f], 1)) for f, wave in FLUORITES]
    peaks = [(crystal(formula), peak) for formula, peak in [*PHONONS, *fluorites]]
    yield table("phonons", "last phdos peak", peaks)
    yield table("jdft2d", "exfoliation_en", [
        (layered("C", "graphite", 2.461, 6.708), GRAPHITE),
        *((layered(f, kind, a, c), round(PER_AREA * sqrt(3) / 2 * a * a / 3, 1)) for f, kind, a, c in LAYERED),
    ])  # fmt: skip
    yield table("perovskites", "e_form", [
        (perovskite(f), round((sum(n * OXIDES[o][1] for o, n in parts.items()) + heat) / KJ_PER_EV, 2))
        for f, parts, heat in PEROVSKITES
    ])  # fmt: skip


def perovskite(formula: str) -> Structure:
    """The ideal cubic cell of five atoms, in which the radii of the second metal and of oxygen touch."""
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
    """File -> content."""
    rows_by_file = {"chembench/lamalab/tasks.jsonl": lamalab(), **dict(chembench_4k()), **dict(matbench())}
    return {name: _written(name, rows) for name, rows in rows_by_file.items()}


def _written(name: str, rows: list[Row]) -> str:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if len(lines) < 12 and "/dev/" not in name:
        raise ValueError(f"{name} has {len(lines)} items, expected at least 12")
    return "[\n" + ",\n".join(lines) + "\n]\n" if name.endswith(".json") else "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    stale = [
        name
        for name, text in files().items()
        if not (path := HERE / name).is_file() or path.read_text() != text
    ]
    if arguments == ["--check"]:
        print("\n".join(f"differs: {name}" for name in stale) or "all as computed")
        return 1 if stale else 0
    for name, text in files().items():
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_text(text)
        print(f"{name}: {text.count(chr(10)) - (2 if name.endswith('.json') else 0)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
