"""Draw the sample items of the image suites: `python -m tools.make_samples_vision` writes suites/samples/.

Every image is drawn from numbers in this file, and every answer is computed from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from tools.sample_files import SAMPLES, write_rows

SIZE = (240, 180)
DrawFunction = Callable[[ImageDraw.ImageDraw], None]


class Item(NamedTuple):
    """A question about one image; without options, the answer is a number."""

    name: str
    draw: DrawFunction
    question: str
    options: tuple[str, ...]
    answer: str
    subject: str
    """As MATH-Vision names it."""
    field: str
    """The subject as MMMU names it."""


def bars(values: dict[str, int]) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.line((30, 10, 30, 150, 230, 150), fill="black", width=2)
        for i, (name, height) in enumerate(values.items()):
            left = 45 + 45 * i
            pen.rectangle((left, 150 - 14 * height, left + 28, 150), fill="steelblue")
            pen.text((left + 10, 155), name, fill="black")
            pen.text((left + 10, 136 - 14 * height), str(height), fill="black")

    return draw


def triangle(base: int, height: int) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.polygon(((40, 150), (40 + 25 * base, 150), (40, 150 - 25 * height)), outline="black", width=2)
        pen.rectangle((40, 140, 50, 150), outline="black")
        pen.text((40 + 12 * base, 155), str(base), fill="black")
        pen.text((20, 150 - 13 * height), str(height), fill="black")

    return draw


def circle(radius: int) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.ellipse((50, 20, 190, 160), outline="black", width=2)
        pen.line((120, 90, 190, 90), fill="black", width=2)
        pen.text((145, 75), f"r = {radius}", fill="black")

    return draw


def grid(columns: int, rows: int, shaded: int) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        for i in range(columns * rows):
            x, y = 20 + 30 * (i % columns), 20 + 30 * (i // columns)
            pen.rectangle((x, y, x + 30, y + 30), outline="black", fill="grey" if i < shaded else "white")

    return draw


def clock(hour: int, minute: int) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.ellipse((50, 20, 190, 160), outline="black", width=2)
        for number in range(1, 13):
            angle = math.radians(30 * number)
            pen.text((116 + 58 * math.sin(angle), 85 - 58 * math.cos(angle)), str(number), fill="black")
        for angle, length, width in ((30 * hour + minute / 2, 35, 4), (6 * minute, 52, 2)):
            turn = math.radians(angle)
            pen.line(
                (120, 90, 120 + length * math.sin(turn), 90 - length * math.cos(turn)),
                fill="black",
                width=width,
            )

    return draw


def shapes(dots: int, squares: int) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        for i in range(dots):
            pen.ellipse((20 + 40 * i, 40, 45 + 40 * i, 65), fill="crimson")
        for i in range(squares):
            pen.rectangle((20 + 40 * i, 100, 45 + 40 * i, 125), fill="seagreen")

    return draw


def dice(*faces: int) -> DrawFunction:
    spots = {1: [4], 2: [0, 8], 3: [0, 4, 8], 4: [0, 2, 6, 8], 5: [0, 2, 4, 6, 8], 6: [0, 2, 3, 5, 6, 8]}

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for i, face in enumerate(faces):
            left = 20 + 105 * i
            pen.rounded_rectangle((left, 40, left + 90, 130), 10, outline="black", width=2)
            for spot in spots[face]:
                x, y = left + 20 + 25 * (spot % 3), 60 + 25 * (spot // 3)
                pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill="black")

    return draw


def line(values: tuple[int, ...]) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.line((30, 10, 30, 150, 230, 150), fill="black", width=2)
        points = [(40 + 35 * i, 150 - 12 * v) for i, v in enumerate(values)]
        pen.line(points, fill="darkorange", width=3)
        for i, ((x, y), v) in enumerate(zip(points, values, strict=True)):
            pen.text((x - 3, y - 14), str(v), fill="black")
            pen.text((x - 3, 155), str(i + 1), fill="black")

    return draw


def thermometer(degrees: int) -> DrawFunction:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((110, 10, 130, 150), outline="black", width=2)
        pen.rectangle((112, 150 - 3 * degrees, 128, 150), fill="red")
        for mark in range(0, 41, 10):
            pen.text((140, 145 - 3 * mark), f"{mark} C", fill="black")

    return draw


BAR_HEIGHTS = {"P": 3, "Q": 7, "R": 5, "S": 2}
CURVE = (2, 3, 5, 8, 4)
ITEMS = (
    Item("bars", bars(BAR_HEIGHTS), "Which letter stands under the tallest bar?", ("P", "Q", "R", "S"),
         "ABCD"[list(BAR_HEIGHTS).index(max(BAR_HEIGHTS, key=BAR_HEIGHTS.__getitem__))], "statistics", "Economics"),
    Item("bars-sum", bars(BAR_HEIGHTS), "What is the sum of all bars?", (), str(sum(BAR_HEIGHTS.values())), "statistics", "Finance"),
    Item("triangle", triangle(4, 3), "What is the area of the triangle?", (), str(4 * 3 // 2), "metric geometry - area", "Math"),
    Item("hypotenuse", triangle(4, 3), "How long is the longest side?", ("4", "5", "6", "7"),
         "ABCD"[("4", "5", "6", "7").index(str(int(math.hypot(4, 3))))], "metric geometry - length", "Architecture_and_Engineering"),
    Item("circle", circle(5), "What is the diameter of the circle?", (), str(2 * 5), "metric geometry - length", "Math"),
    Item("grid", grid(6, 4, 7), "How many small squares are white?", (), str(6 * 4 - 7), "counting", "Computer_Science"),
    Item("clock", clock(3, 30), "What time does the clock show?", ("3:30", "6:15", "3:06", "9:30"), "A", "counting", "History"),
    Item("shapes", shapes(5, 3), "How many more dots than squares are there?", (), str(5 - 3), "counting", "Biology"),
    Item("dice", dice(4, 3), "What is the product of the two numbers of spots?", ("7", "12", "9", "16"),
         "ABCD"[("7", "12", "9", "16").index(str(4 * 3))], "arithmetic", "Psychology"),
    Item("line", line(CURVE), "At which position does the curve fall for the first time?", ("2", "3", "4", "5"),
         "ABCD"[("2", "3", "4", "5").index(str(1 + next(i for i in range(1, 5) if CURVE[i] < CURVE[i - 1])))],
         "statistics", "Physics"),
    Item("thermometer", thermometer(20), "How many degrees Celsius does the thermometer show?", (), "20", "arithmetic", "Chemistry"),
)  # fmt: skip


def draw_images(folder: Path) -> None:
    """Draw every image once."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for item in ITEMS:
        picture = Image.new("RGB", SIZE, "white")
        item.draw(ImageDraw.Draw(picture))
        picture.quantize(32).save(folder / "images" / f"{item.name}.png", optimize=True)


def write(suite: str, rows: list[dict[str, Any]]) -> None:
    """Write the images and the rows of a suite."""
    draw_images(SAMPLES / suite)
    write_rows(suite, "items", rows)


def mathvision() -> list[dict[str, Any]]:
    return [
        {
            "id": f"sample-{item.name}",
            "question": f"{item.question}\n<image1>",
            "options": list(item.options),
            "answer": item.answer,
            "solution": None,
            "level": 1,
            "subject": item.subject,
            "image": f"images/{item.name}.png",
        }
        for item in ITEMS
    ]


def mmmu() -> list[dict[str, Any]]:
    return [
        {
            "id": f"sample_{item.field}_{n}",
            "question": f"<image 1> {item.question}",
            "options": repr(list(item.options)),
            "answer": item.answer,
            "question_type": "multiple-choice" if item.options else "open",
            "subject": item.field,
            "image_1": f"images/{item.name}.png",
        }
        for n, item in enumerate(ITEMS, 1)
    ]


SKILLS = {
    "metric geometry - area": ("geometry reasoning", "geometry problem solving"),
    "metric geometry - length": ("geometry reasoning",),
    "arithmetic": ("algebraic reasoning",),
}
"""Subject -> MathVista's labels; on the hub, "geometry problem solving" is a task rather than a skill."""


def mathvista() -> list[dict[str, Any]]:
    return [
        {
            "pid": f"sample-{item.name}",
            "question": item.question,
            "image": f"images/{item.name}.png",
            "choices": list(item.options) or None,
            "unit": None,
            "precision": None,
            "answer": item.options["ABCD".index(item.answer)] if item.options else item.answer,
            "question_type": "multi_choice" if item.options else "free_form",
            "answer_type": "text" if item.options else "integer",
            "metadata": {
                "task": "figure question answering",
                "category": "general-vqa",
                "context": "drawn by us",
                "skills": list(SKILLS.get(item.subject, ())),
            },
        }
        for item in ITEMS
    ]


CHARTS = ("bars", "bars-sum", "line")


def chartqa() -> list[dict[str, Any]]:
    """Return questions about the charts for both subsets, `human` and `augmented`, which overlap."""
    facts: list[tuple[str, str, str]] = [
        ("bars", f"How high is bar {name}?", str(n)) for name, n in BAR_HEIGHTS.items()
    ]
    facts += [("line", f"Which value has position {place}?", str(n)) for place, n in enumerate(CURVE, 1)]
    facts += [
        (item.name, item.question, item.answer) for item in ITEMS if item.name in CHARTS and not item.options
    ]
    facts += [("line", "What is the greatest value of the curve?", str(max(CURVE)))]
    facts += [("bars", "Which bar is the lowest?", min(BAR_HEIGHTS, key=BAR_HEIGHTS.__getitem__))]
    return [
        {"type": subset, "question": q, "answer": a, "image": f"images/{name}.png"}
        for subset, subset_facts in (("human_test", facts[2:]), ("augmented_test", facts[:8]))
        for name, q, a in subset_facts
    ]


def mmstar() -> list[dict[str, Any]]:
    rows = []
    for n, item in enumerate(ITEMS):
        options = item.options or tuple(str(int(item.answer) + d) for d in (1, 0, 3, -1))
        options_text = ", ".join(f"{x}: {text}" for x, text in zip("ABCD", options, strict=True))
        answer = item.answer if item.options else "B"
        rows.append(
            {
                "index": n,
                "question": f"{item.question}\nOptions: {options_text}",
                "answer": answer,
                "category": "math" if "metric" in item.subject else "instance reasoning",
                "l2_category": item.subject,
                "image": f"images/{item.name}.png",
            }
        )
    return rows


def sfe() -> list[dict[str, Any]]:
    """Return all items with the columns of SFE's table."""
    return [
        {
            "index": n,
            "question": f"<image> {item.question}",
            "answer": item.answer,
            "category": "Earth" if item.field == "Chemistry" else "Materials",
            "question_type": "mcq" if item.options else "exact_match" if n % 2 else "open_ended",
            "image": [f"images/{item.name}.png"],
            **dict(zip("ABCD", item.options, strict=False)),
        }
        for n, item in enumerate(ITEMS)
    ]


if __name__ == "__main__":
    write("mathvision", mathvision())
    write("mmmu", mmmu())
    write("mathvista", mathvista())
    write("chartqa", chartqa())
    write("mmstar", mmstar())
    write("sfe", sfe())
