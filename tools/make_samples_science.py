"""Draw the sample items of physics, charts, maps and microscopy: `python -m tools.make_samples_science`.

Writes suites/samples/{physics,chartbench,msearth,xlrs,microvqa}. Every image is drawn (matplotlib, RDKit) from numbers in
this file, and every answer is computed from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from PIL import Image

from tools.sample_files import SAMPLES, write_rows

Row = dict[str, Any]


def draw(
    path: Path, paint: Callable[[Axes], None], *, size: tuple[float, float] = (3.2, 2.4), bare: bool = False
) -> None:
    """Draw an image in 64 colours and save it; `bare`: without axes, on equal scales."""
    figure, axes = plt.subplots(figsize=size, dpi=80, layout=None if bare else "constrained")
    if bare:
        axes.set_axis_off()
        axes.set_aspect("equal")
    paint(axes)
    stream = BytesIO()
    figure.savefig(stream, format="png")
    plt.close(figure)
    save(path, Image.open(stream))


def save(path: Path, picture: Image.Image) -> None:
    """Save an image in 64 colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(64).save(path, optimize=True)


# --- physics ------------------------------------------------------------------------------------------------

H, C, E_CHARGE, K_B = 6.62607015e-34, 299_792_458.0, 1.602176634e-19, 1.380649e-23


def power(value: float, digits: int = 3) -> str:
    """Return a number in LaTeX with a power of ten."""
    exponent = math.floor(math.log10(abs(value)))
    return f"{value / 10.0**exponent:.{digits - 1}f} \\times 10^{{{exponent}}}"


def ramp(axes: Axes) -> None:
    axes.plot([0, 4, 0, 0], [0, 0, 3, 0], "k-")
    axes.text(1.9, -0.4, "4 m")
    axes.text(-0.8, 1.4, "3 m")


def lens(axes: Axes) -> None:
    axes.axhline(0, color="black", lw=0.8)
    axes.plot([0, 0], [-1, 1], "b-", lw=3)
    axes.annotate("", (-30, 0.6), (-30, 0), arrowprops={"arrowstyle": "->"})
    for x, name in ((-30, "30 cm"), (20, "f = 20 cm")):
        axes.text(x - 6, -0.5, name)
    axes.set_xlim(-40, 40)
    axes.set_yticks([])


def circuit(axes: Axes) -> None:
    axes.plot([0, 0, 4, 4, 0], [0, 2, 2, 0, 0], "k-")
    for x, y, name in ((-0.9, 0.9, "12 V"), (1.6, 2.15, "2 ohm"), (4.1, 0.9, "4 ohm")):
        axes.text(x, y, name)
    axes.set_xlim(-1.2, 5.6)


def levels(axes: Axes) -> None:
    for n in (1, 2, 3):
        axes.axhline(-13.6 / n**2, color="black")
        axes.text(0.02, -13.6 / n**2 + 0.2, f"n = {n}")
    axes.set_ylabel("E / eV")
    axes.set_xticks([])


FIGURES = {"ramp": ramp, "lens": lens, "circuit": circuit, "levels": levels}
PHYSICS_PROBLEMS: list[tuple[str, str, list[str], str]] = [
    ("mechanics/sample-1", "A block slides without friction from the top of the ramp in the figure to its foot; g is the "
     "acceleration of gravity.\n(a) Find its speed at the foot for g = 9.81 m/s^2.\n(b) Find its acceleration along the ramp "
     "as a multiple of g.", [f"v = {math.sqrt(2 * 9.81 * 3):.2f} \\, \\text{{m/s}}", "a = \\frac{3}{5} g"], "ramp"),
    ("mechanics/sample-2", "A mass m hangs from a massless spring of constant k. Find the period of small oscillations.",
     ["T = 2\\pi \\sqrt{\\frac{m}{k}}"], ""),
    ("mechanics/sample-3", "A pendulum of length \\ell swings with a small amplitude. Give\n(a) its angular frequency,\n"
     "(b) its period,\n(c) the ratio of its periods at lengths 4\\ell and \\ell.",
     ["\\omega = \\sqrt{\\frac{g}{\\ell}}", "T = 2\\pi \\sqrt{\\frac{\\ell}{g}}", "2"], ""),
    ("optics/sample-1", "An object stands before the thin converging lens of the figure.\n(a) At what distance behind the lens "
     "is its image?\n(b) What is the magnification?", [f"{1 / (1 / 20 - 1 / 30):.0f} \\, \\text{{cm}}",
     f"-{1 / (1 / 20 - 1 / 30) / 30:.0f}"], "lens"),
    ("optics/sample-2", "Which colour of light is bent most by a glass prism: red, green or violet? Explain in a sentence.",
     ["\\text{Violet, since the refractive index of glass is greatest for the shortest wavelength}"], ""),
    ("electro/sample-1", "The circuit in the figure holds a battery and two resistors in series.\n(a) Find the current.\n(b) Find "
     "the power in the larger resistor.", [f"I = {12 / 6:.0f} \\, \\text{{A}}", f"P = {4 * (12 / 6) ** 2:.0f} \\, \\text{{W}}"],
     "circuit"),
    ("electro/sample-2", "Find the electric field at a distance r from a point charge q in vacuum.",
     ["E = \\frac{q}{4\\pi \\epsilon_0 r^2}"], ""),
    ("atomic/sample-1", "The figure shows levels of hydrogen. What wavelength has the light of the transition from n = 3 to n = 2?",
     [f"\\lambda = {H * C / (13.6 * (1 / 4 - 1 / 9) * E_CHARGE) * 1e9:.0f} \\, \\text{{nm}}"], "levels"),
    ("quantum/sample-1", "A particle of mass m is confined to a box of width L with infinite walls.\n(a) Give its energy levels.\n"
     "(b) By what factor does the ground state's energy change if L is halved?",
     ["E_n = \\frac{n^2 \\pi^2 \\hbar^2}{2 m L^2}", "4"], ""),
    ("quantum/sample-2", "What is the energy of a photon of wavelength 500 nm, in eV?",
     [f"{H * C / 500e-9 / E_CHARGE:.2f} \\, \\text{{eV}}"], ""),
    ("statistics/sample-1", "Find the mean translational energy of a molecule of an ideal gas\n(a) at temperature T,\n(b) at 300 K, "
     "in joules.", ["\\frac{3}{2} k T", f"{power(1.5 * K_B * 300)} \\, \\text{{J}}"], ""),
    ("statistics/sample-2", "Two levels have energies 0 and \\epsilon. Find the partition function of one particle at inverse "
     "temperature \\beta.", ["Z = 1 + e^{-\\beta \\epsilon}"], ""),
]  # fmt: skip


def physics() -> list[Row]:
    """Draw the figures; return the problems with the columns of the authors' files."""
    for name, paint in FIGURES.items():
        draw(SAMPLES / "physics" / "images" / f"{name}.png", paint, bare=name in ("ramp", "circuit"))
    return [
        {
            "id": name,
            "questions": question,
            "final_answers": answers,
            "graphs": [{"type": "image_url", "image_url": {"url": f"images/{figure}.png"}}]
            if figure
            else None,
        }
        for name, question, answers, figure in PHYSICS_PROBLEMS
    ]


# --- charts -------------------------------------------------------------------------------------------------

CHART_KINDS: dict[str, tuple[str, str, str, dict[str, list[float]]]] = {
    "vertical_multi": ("bar", "Output", "kt", {"Iron": [12, 19, 31], "Zinc": [25, 8, 16]}),
    "line_single": ("line", "Level", "m", {"Lake": [4.0, 7.5, 6.0]}),
    "pie": ("pie", "Share", "%", {"Parts": [50.0, 30.0, 20.0]}),
    "scatter_2d": ("scatter", "Mass", "g", {"Beetle": [2.0, 5.0, 9.0]}),
}
"""Kind of chart -> (family, measured quantity, its unit, series with a value for each of `YEARS`)."""
YEARS = ("2021", "2022", "2023")


def chart(kind: str) -> Callable[[Axes], None]:
    family, measured, unit, series = CHART_KINDS[kind]

    def paint(axes: Axes) -> None:
        if family == "pie":
            axes.pie(series["Parts"], labels=YEARS, autopct="%.0f%%")
            return
        for number, (name, values) in enumerate(series.items()):
            places = [i + 0.35 * number for i in range(3)]
            if family == "bar":
                axes.bar(places, values, width=0.35, label=name)
            elif family == "line":
                axes.plot(places, values, label=name)
            else:
                axes.scatter(places, values, label=name)
        axes.set_xticks(range(3), YEARS)
        axes.set_ylabel(f"{measured} / {unit}")
        axes.grid(visible=True, axis="y")
        axes.legend()

    return paint


def chartbench() -> list[Row]:
    """Draw the charts; return four pairs of assertions and a numeric question for each, with the columns of test.jsonl."""
    rows: list[Row] = []
    for kind, (family, measured, unit, series) in CHART_KINDS.items():
        file = f"images/{kind}.png"
        draw(SAMPLES / "chartbench" / file, chart(kind))
        name, values = next(iter(series.items()))
        top, low = values.index(max(values)), values.index(min(values))
        percent = unit == "%"
        other = "box" if family != "box" else "pie"
        pairs = {
            "CR": (
                f"This is a {family} chart, not a {other} chart.",
                f"This is a {other} chart, not a {family} chart.",
            ),
            "VE": tuple(
                f"The {measured} of {name} in 2022 is {v:g} {unit}."
                for v in (values[1], values[1] + max(values) / 2)
            ),
            "VC": tuple(
                f"The {measured} of {name} in {YEARS[a]} is higher than in {YEARS[b]}."
                for a, b in ((top, low), (low, top))
            ),
            "GC": tuple(f"The {measured} of {name} is highest in {YEARS[i]}." for i in (top, low)),
        }
        kinds = {"chart": family, "image": kind}
        for task, (true, false) in pairs.items():
            turns = [{"label": "Yes", "query": true}, {"label": "No", "query": false}]
            rows.append(
                {
                    "id": len(rows),
                    "image": file,
                    "type": {**kinds, "task": task, "QA": "Acc+"},
                    "conversation": turns,
                }
            )
        label = f"{values[1]:g}%" if percent else f"{float(values[1])}"
        turns = [{"label": label, "query": f"What is the {measured} of {name} in 2022?"}]
        rows.append(
            {
                "id": len(rows),
                "image": file,
                "type": {**kinds, "task": "NQA", "QA": "GPT-acc"},
                "conversation": turns,
            }
        )
    return rows


# --- Earth, maps and microscopes ----------------------------------------------------------------------------

PRECIPITATION = {"Jan": 80, "Apr": 45, "Jul": 10, "Oct": 60}
DEPTHS, TEMPERATURES = (0, 50, 100, 200, 400), (18.0, 17.5, 11.0, 8.0, 6.0)
QUAKES = ((2, 3, 4.1), (5, 7, 5.6), (8, 2, 3.2))


def rain(axes: Axes) -> None:
    axes.bar(list(PRECIPITATION), list(PRECIPITATION.values()))
    axes.set_ylabel("precipitation / mm")


def profile(axes: Axes) -> None:
    axes.plot(TEMPERATURES, DEPTHS, "o-")
    axes.invert_yaxis()
    axes.set_xlabel("temperature / C")
    axes.set_ylabel("depth / m")


def quakes(axes: Axes) -> None:
    for number, (x, y, size) in enumerate(QUAKES, 1):
        axes.scatter(x, y, s=10 * size**2)
        axes.text(x + 0.3, y, f"Q{number}: M {size}")
    axes.set_xlim(0, 11)
    axes.set_ylim(0, 9)


def folds(axes: Axes) -> None:
    for level in range(3):
        axes.plot([x / 10 for x in range(63)], [math.sin(x / 10) + level for x in range(63)], "k-")
    axes.text(math.pi / 2 - 0.2, 1.15, "A")
    axes.text(3 * math.pi / 2 - 0.2, -1.4, "B")


EARTH_QUESTIONS: list[tuple[str, str, str, tuple[str, ...], int]] = [
    ("rain", "Mean precipitation of four months at a station.", "Which month is the driest?", tuple(PRECIPITATION),
     list(PRECIPITATION).index(min(PRECIPITATION, key=PRECIPITATION.__getitem__))),
    ("rain", "Mean precipitation of four months at a station.", "How much more falls in January than in October?",
     ("10 mm", "20 mm", "35 mm", "70 mm"), ("10 mm", "20 mm", "35 mm", "70 mm").index(f"{PRECIPITATION['Jan'] - PRECIPITATION['Oct']} mm")),
    ("profile", "Temperature of the sea by depth.", "Between which depths does the temperature fall fastest?",
     ("0 and 50 m", "50 and 100 m", "100 and 200 m", "200 and 400 m"),
     max(range(4), key=lambda i: (TEMPERATURES[i] - TEMPERATURES[i + 1]) / (DEPTHS[i + 1] - DEPTHS[i]))),
    ("profile", "Temperature of the sea by depth.", "What is the steep part of the curve called?",
     ("Thermocline", "Isobar", "Watershed", "Moraine"), 0),
    ("profile", "Temperature of the sea by depth.", "How warm is the water at 200 m?", ("6 C", "8 C", "11 C", "18 C"),
     ("6 C", "8 C", "11 C", "18 C").index(f"{TEMPERATURES[DEPTHS.index(200)]:g} C")),
    ("quakes", "Three earthquakes with their magnitudes.", "Which earthquake released the most energy?", ("Q1", "Q2", "Q3", "All the same"),
     max(range(3), key=lambda i: QUAKES[i][2])),
    ("quakes", "Three earthquakes with their magnitudes.", "Which earthquake lies furthest south?", ("Q1", "Q2", "Q3", "It cannot be told"),
     min(range(3), key=lambda i: QUAKES[i][1])),
    ("folds", "Layers of rock in section.", "What is the fold at A?", ("A syncline", "A fault", "An anticline", "A dyke"), 2),
    ("folds", "Layers of rock in section.", "What is the fold at B?", ("A syncline", "A fault", "An anticline", "A dyke"), 0),
]  # fmt: skip


def msearth() -> list[Row]:
    """Draw the figures; return questions about them and their captions, with the hub's columns."""
    for name, paint in (("rain", rain), ("profile", profile), ("quakes", quakes), ("folds", folds)):
        draw(SAMPLES / "msearth" / "images" / f"{name}.png", paint, bare=name == "folds")
    rows = []
    for n, (figure, caption, question, options, right) in enumerate(EARTH_QUESTIONS, 1):
        listed = "\n".join(f"{'ABCD'[i]}. {option}" for i, option in enumerate(options))
        rows.append(
            {
                "question_id": f"sample-{n}",
                "query": f"<image>\nCaption: {caption}\nQuestion: {question}\nOptions:\n{listed}",
                "response": f"{'ABCD'[right]}. {options[right]}",
                "image": f"images/{figure}.png",
            }
        )
    return rows


ROOFS = {"red": ((10, 10), (70, 10), (130, 10)), "blue": ((10, 70), (70, 130)), "green": ((130, 70),)}
"""Colour -> corners of the square roofs on the map."""
ROUTE = ((5, 195), (95, 195), (95, 60), (195, 60))


def town(*, later: bool = False) -> Image.Image:
    """Return a map of a town; `later`: without one red roof and the lake."""
    from PIL import ImageDraw

    picture = Image.new("RGB", (200, 200), "wheat")
    pen = ImageDraw.Draw(picture)
    pen.line(ROUTE, fill="grey", width=6)
    for colour, corners in ROOFS.items():
        for x, y in corners[: len(corners) - (later and colour == "red")]:
            pen.rectangle((x, y, x + 40, y + 40), fill=colour)
    if not later:
        pen.ellipse((150, 150, 190, 190), fill="navy")
    return picture


OPTIONS_TEMPLATE = "The choices are listed below:\n{}\n\nSelect the best answer based on the image and reply with its letter.\nThe answer is:"
MAP_QUESTIONS: list[tuple[str, str, str, tuple[str, ...], str, bool]] = [
    ("Counting", "Overall counting", "How many red roofs are there?", ("1", "2", "3", "4"), "ABCD"[len(ROOFS["red"]) - 1], False),
    ("Counting", "Overall counting", "How many roofs are there in all?", ("4", "5", "6", "7"),
     "ABCD"[sum(map(len, ROOFS.values())) - 4], False),
    ("Counting", "Counting with changing detection", "How many red roofs were there less in the second image?", ("0", "1", "2", "3"), "B", True),
    ("Object properties", "Object color", "Which colour has the roof in the upper left corner?", ("Red", "Blue", "Green", "White"), "A", False),
    ("Object properties", "Object color", "Which colour has only one roof?", ("Red", "Blue", "Green", "Grey"), "C", False),
    ("Object spatial relationship", "Object spatial relationship", "Where is the lake?",
     ("Upper left", "Upper right", "Lower left", "Lower right"), "D", False),
    ("Complex reasoning", "Route planning", "A car enters the road in the lower left. At which side does it leave the map?",
     ("Left", "Top", "Right", "Bottom"), "C", False),
    ("Land use classification", "Overall Land use classification", "Which kinds of land use are there?",
     ("Road", "Airport", "Lake", "Buildings"), "ACD", False),
    ("Land use classification", "Overall Land use classification", "Which of these are there in the image?",
     ("Harbour", "Buildings", "Glacier", "Road"), "BD", False),
]  # fmt: skip


def xlrs() -> list[Row]:
    """Draw the maps; return questions about a town seen from above, with the columns of VLMEvalKit's copy."""
    for name in ("town", "later"):
        save(SAMPLES / "xlrs" / "images" / f"{name}.png", town(later=name == "later"))
    rows = []
    for n, (category, task, question, options, right, both) in enumerate(MAP_QUESTIONS):
        lines = "\n".join(f"({'ABCD'[i]}) {option}" for i, option in enumerate(options))
        images = ["images/town.png", *(["images/later.png"] if both else [])]
        rows.append(
            {
                "index": n,
                "category": category,
                "l2-category": task,
                "question": f"{question}\n",
                "multi-choice options": OPTIONS_TEMPLATE.format(lines),
                "answer": right,
                "image": images,
            }
        )
    return rows


def cells(counts: dict[str, int]) -> Callable[[Axes], None]:
    """Return a function that draws round cells with nuclei on a grid; `counts`: colour -> number of cells."""

    def paint(axes: Axes) -> None:
        colours = [colour for colour, count in counts.items() for _ in range(count)]
        for n, colour in enumerate(colours):
            x, y = n % 4, n // 4
            axes.add_patch(Circle((x, y), 0.42, color=colour, alpha=0.5))
            axes.add_patch(Circle((x, y), 0.13, color="navy"))
        axes.set_xlim(-0.6, 3.6)
        axes.set_ylim(-0.6, 2.6)

    return paint


WELLS = {"control": {"green": 9, "red": 1}, "treated": {"green": 3, "red": 7}}
MOLECULES = {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C"}
STAINING = "Live cells are stained green and dead cells red, nuclei blue."
MICROSCOPY_QUESTIONS: list[tuple[str, tuple[str, ...], str, tuple[str, ...], int]] = [
    ("perception", ("control",), f"{STAINING} How many dead cells does the control show?", ("0", "1", "3", "7", "9"),
     ("0", "1", "3", "7", "9").index(str(WELLS["control"]["red"]))),
    ("perception", ("treated",), f"{STAINING} How many live cells are left after treatment?", ("1", "3", "7", "9"),
     ("1", "3", "7", "9").index(str(WELLS["treated"]["green"]))),
    ("perception", ("control", "treated"), f"{STAINING} The first image is the control, the second was treated. What changed?",
     ("The number of all cells", "The share of dead cells", "The number of nuclei in a cell", "The size of the cells"), 1),
    ("perception", ("treated",), f"{STAINING} What share of the cells is dead after treatment?", ("10 %", "30 %", "50 %", "70 %", "90 %"), 3),
    ("hypothesis generation", ("control", "treated"), f"{STAINING} What would best explain the second image, taken after a day with a compound?",
     ("It feeds the cells", "It kills the cells", "It makes the cells divide", "It bleaches the green stain only"), 1),
    ("hypothesis generation", ("control",), f"{STAINING} Every cell has one nucleus in its middle. What does that speak for?",
     ("Cells at rest", "Cells in the midst of division", "Fused cells", "Red blood cells of mammals"), 0),
    ("experiment proposal", ("control", "treated"), f"{STAINING} Which further well would show that the solvent is not the cause?",
     ("One with the solvent alone", "One with twice the compound", "One without any cells", "One with another camera"), 0),
    ("experiment proposal", ("treated", "aspirin"), f"{STAINING} The compound is drawn beside. Which atom would a label have to replace to be "
     "seen by fluorine imaging?", ("Any carbon by another carbon", "A hydrogen by fluorine", "An oxygen by sulfur", "None can be replaced"), 1),
    ("perception", ("caffeine",), "How many nitrogen atoms has the drawn molecule?", ("2", "3", "4", "5"),
     ("2", "3", "4", "5").index(str(MOLECULES["caffeine"].lower().count("n")))),
]  # fmt: skip


def microvqa() -> list[Row]:
    """Draw the images; return questions about cells, with the hub's columns."""
    from rdkit import Chem
    from rdkit.Chem import Draw

    for name, counts in WELLS.items():
        draw(SAMPLES / "microvqa" / "images" / f"{name}.png", cells(counts), bare=True)
    for name, smiles in MOLECULES.items():
        save(
            SAMPLES / "microvqa" / "images" / f"{name}.png",
            Draw.MolToImage(Chem.MolFromSmiles(smiles), size=(240, 180)),
        )
    tasks = {"perception": 1, "hypothesis generation": 2, "experiment proposal": 3}
    return [
        {
            "key_question": f"sample-{n}",
            "task": tasks[task],
            "task_str": task,
            "images_list": [f"images/{name}.png" for name in images],
            "question": question,
            "choices": list(choices),
            "correct_index": right,
        }
        for n, (task, images, question, choices, right) in enumerate(MICROSCOPY_QUESTIONS, 1)
    ]


if __name__ == "__main__":
    write_rows("physics", "items", physics())
    write_rows("chartbench", "items", chartbench())
    write_rows("msearth", "items", msearth())
    write_rows("xlrs", "items", xlrs())
    write_rows("microvqa", "items", microvqa())
