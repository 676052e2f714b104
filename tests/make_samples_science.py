"""Draw the sample items of physics, charts, maps and microscopy: `python tests/make_samples_science.py`.

Writes suites/samples/{physics,chartbench,msearth,xlrs,microvqa}. Every picture is drawn (matplotlib, RDKit) from numbers
that stand here, and every answer is computed from the same numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent / "suites" / "samples"
Row = dict[str, Any]


def draw(
    path: Path, paint: Callable[[Axes], None], *, size: tuple[float, float] = (3.2, 2.4), bare: bool = False
) -> None:
    """Draw one picture in 64 colours."""
    figure, axes = plt.subplots(figsize=size, dpi=80, layout="constrained")
    if bare:
        axes.set_axis_off()
        axes.set_aspect("equal")
    paint(axes)
    stream = BytesIO()
    figure.savefig(stream, format="png")
    plt.close(figure)
    keep(path, Image.open(stream))


def keep(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(64).save(path, optimize=True)


def write(suite: str, file: str, rows: list[Row]) -> None:
    (ROOT / suite).mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (ROOT / suite / f"{file}.jsonl").write_text(text, encoding="utf-8")


# --- physics ------------------------------------------------------------------------------------------------

H, C, E_CHARGE, K_B = 6.62607015e-34, 299_792_458.0, 1.602176634e-19, 1.380649e-23


def power(value: float, digits: int = 3) -> str:
    """Write a number in LaTeX with a power of ten."""
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
PHYSICS: list[tuple[str, str, list[str], str]] = [
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
    """Problems in the columns of the authors' files."""
    for name, paint in FIGURES.items():
        draw(ROOT / "physics" / "images" / f"{name}.png", paint)
    return [
        {
            "id": name,
            "questions": question,
            "final_answers": answers,
            "graphs": [{"type": "image_url", "image_url": {"url": f"images/{figure}.png"}}]
            if figure
            else None,
        }
        for name, question, answers, figure in PHYSICS
    ]


# --- charts -------------------------------------------------------------------------------------------------

KINDS = {
    "vertical_multi": ("bar", "Output", "kt", {"Iron": [12, 19, 31], "Zinc": [25, 8, 16]}),
    "line_single": ("line", "Level", "m", {"Lake": [4.0, 7.5, 6.0]}),
    "pie": ("pie", "Share", "%", {"Parts": [50.0, 30.0, 20.0]}),
    "scatter_2d": ("scatter", "Mass", "g", {"Beetle": [2.0, 5.0, 9.0]}),
}
"""Kind -> (family, what is measured, its unit, series of three values for the categories 2021 to 2023)."""
YEARS = ("2021", "2022", "2023")


def chart(kind: str) -> Callable[[Axes], None]:
    family, measured, unit, series = KINDS[kind]

    def paint(axes: Axes) -> None:
        if family == "pie":
            axes.pie(series["Parts"], labels=YEARS, autopct="%.0f%%")
            return
        for number, (name, values) in enumerate(series.items()):
            places = [i + 0.35 * number for i in range(3)]
            {"bar": axes.bar, "line": axes.plot, "scatter": axes.scatter}[family](
                places, values, label=name, **({"width": 0.35} if family == "bar" else {})
            )
        axes.set_xticks(range(3), YEARS)
        axes.set_ylabel(f"{measured} / {unit}")
        axes.grid(visible=True, axis="y")
        axes.legend()

    return paint


def chartbench() -> list[Row]:
    """For each chart, four pairs of assertions and a number, in the columns of the authors' test.jsonl."""
    rows: list[Row] = []
    for kind, (family, measured, unit, series) in KINDS.items():
        file = f"images/{kind}.png"
        draw(ROOT / "chartbench" / file, chart(kind))
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


if __name__ == "__main__":
    write("physics", "items", physics())
    write("chartbench", "items", chartbench())
