"""Draw the sample items of MMMU-Pro: `python -m tools.make_samples_pro` writes suites/samples/mmmu/pro/.

Charts are drawn by matplotlib, molecules by RDKit, and every answer is computed from what is drawn. In `standard`, questions
have ten options and refer to their images; one has images as its options. In `vision`, the whole question is one image.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from rdkit import Chem
from rdkit.Chem import Descriptors, Draw, rdMolDescriptors

from tools.sample_files import SAMPLES, write_rows

IMAGES = SAMPLES / "mmmu" / "pro" / "images"
MOLECULES = {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "ethanol": "CCO"}
BAR_HEIGHTS = {"P": 3, "Q": 7, "R": 5, "S": 2}
CURVE = (2, 3, 5, 8, 4, 6)


class Question(NamedTuple):
    """A question about one image, whose answer is a whole number."""

    name: str
    image: str
    text: str
    answer: int
    subject: str


def _mol(name: str) -> Any:
    return Chem.MolFromSmiles(MOLECULES[name])


QUESTIONS = (
    Question("rings", "caffeine", "How many rings does this molecule have?", rdMolDescriptors.CalcNumRings(_mol("caffeine")), "Chemistry"),
    Question("nitrogens", "caffeine", "How many nitrogen atoms does this molecule have?",
             sum(atom.GetSymbol() == "N" for atom in _mol("caffeine").GetAtoms()), "Chemistry"),
    Question("carbons", "aspirin", "How many carbon atoms does this molecule have?",
             sum(atom.GetSymbol() == "C" for atom in _mol("aspirin").GetAtoms()), "Chemistry"),
    Question("donors", "aspirin", "How many hydrogen-bond donors does this molecule have?",
             rdMolDescriptors.CalcNumHBD(_mol("aspirin")), "Pharmacy"),
    Question("valence", "ethanol", "How many valence electrons does this molecule have in all?",
             int(Descriptors.NumValenceElectrons(_mol("ethanol"))), "Chemistry"),
    Question("sum", "bars", "What is the sum of all bars?", sum(BAR_HEIGHTS.values()), "Economics"),
    Question("spread", "bars", "By how much is the tallest bar higher than the lowest one?",
             max(BAR_HEIGHTS.values()) - min(BAR_HEIGHTS.values()), "Sociology"),
    Question("peak", "course", "At which position does the curve have its greatest value?", 1 + CURVE.index(max(CURVE)), "Physics"),
    Question("falls", "course", "How many times does the curve fall from one position to the next?",
             sum(b < a for a, b in pairwise(CURVE)), "Math"),
)  # fmt: skip


def _plot_bars(figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.bar_label(axes.bar(list(BAR_HEIGHTS), list(BAR_HEIGHTS.values())))


def _plot_curve(figure: Figure) -> None:
    figure.add_subplot().plot(range(1, len(CURVE) + 1), CURVE, marker="o")


CHARTS: dict[str, Callable[[Figure], None]] = {"bars": _plot_bars, "course": _plot_curve}


def draw_images(folder: Path) -> None:
    """Draw every image once, small and in few colours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MOLECULES:
        _save(Draw.MolToImage(_mol(name), size=(240, 180)), folder / f"{name}.png")
    for name, chart in CHARTS.items():
        figure = plt.figure(figsize=(3.0, 2.2), dpi=80)
        chart(figure)
        _save(_render(figure), folder / f"{name}.png")


def draw_page(question: Question, options: list[str], folder: Path) -> None:
    """Draw a question with its image and options as one image."""
    figure = plt.figure(figsize=(4.6, 4.2), dpi=80)
    figure.text(0.04, 0.94, question.text, fontsize=8)
    axes = figure.add_axes((0.1, 0.35, 0.8, 0.55))
    axes.imshow(Image.open(folder / f"{question.image}.png").convert("RGB"))
    axes.axis("off")
    lines = [f"{x}. {option}" for x, option in zip("ABCDEFGHIJ", options, strict=True)]
    for row, line in enumerate(lines):
        figure.text(0.08 + 0.45 * (row // 5), 0.28 - 0.05 * (row % 5), line, fontsize=8)
    _save(_render(figure), folder / f"page-{question.name}.png")


def _render(figure: Figure) -> Image.Image:
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    plt.close(figure)
    return Image.open(stream).convert("RGB")


def _save(image: Image.Image, path: Path) -> None:
    image.convert("RGB").quantize(16).save(path, optimize=True)


def ten_options(question: Question, position: int) -> tuple[list[str], str]:
    """Return ten consecutive whole numbers, with the answer at `position` or, if it is smaller, further ahead, and its letter."""
    first = max(0, question.answer - position)
    return [str(first + i) for i in range(10)], "ABCDEFGHIJ"[question.answer - first]


def rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw the pages of `vision`, and return the rows of `standard` and `vision`."""
    standard, vision = [], []
    for number, question in enumerate(QUESTIONS, 1):
        options, answer = ten_options(question, 3 * number % 10)
        columns = {
            "id": f"sample_{question.subject}_{number}",
            "options": repr(options),
            "answer": answer,
            "subject": question.subject,
        }
        standard.append(
            {
                **columns,
                "question": f"<image 1> {question.text}",
                "image_1": f"pro/images/{question.image}.png",
            }
        )
        vision.append({**columns, "image": f"pro/images/page-{question.name}.png"})
        draw_page(question, options, IMAGES)
    names = sorted(MOLECULES, key=lambda name: rdMolDescriptors.CalcExactMolWt(_mol(name)))
    standard.append(
        {
            "id": f"sample_Chemistry_{len(QUESTIONS) + 1}",
            "question": "Which of these molecules is the heaviest?",
            "options": repr([f"<image {n}>" for n in (3, 1, 2)]),
            "answer": "A",
            "subject": "Chemistry",
            **{f"image_{n}": f"pro/images/{name}.png" for n, name in enumerate(names, 1)},
        }
    )  # fmt: skip
    return standard, vision


if __name__ == "__main__":
    draw_images(IMAGES)
    for setting, setting_rows in zip(("standard", "vision"), rows(), strict=True):
        write_rows("mmmu", f"pro/{setting}", setting_rows)
