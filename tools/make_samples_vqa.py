"""Draw the sample items of the suites with short answers and of RefCOCO: `python -m tools.make_samples_vqa`.

Writes suites/samples/. Every image is drawn from facts in this file, and every answer follows from the same facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from tools.sample_files import SAMPLES, write_rows

SIZE = (240, 180)


class Shape(NamedTuple):
    """A coloured shape with its bounding box in pixels."""

    kind: str
    colour: str
    box: tuple[int, int, int, int]


SCENES: dict[str, tuple[Shape, ...]] = {
    "two": (Shape("square", "red", (20, 30, 80, 90)), Shape("circle", "blue", (140, 90, 210, 160))),
    "three": (
        Shape("circle", "green", (15, 15, 75, 75)),
        Shape("square", "yellow", (100, 50, 150, 100)),
        Shape("circle", "black", (170, 110, 230, 170)),
    ),
}
SIGNS: dict[str, tuple[str, ...]] = {
    "exit": ("EXIT 12",),
    "bakery": ("GOLDEN CRUST", "open 7 to 19"),
    "platform": ("PLATFORM 3", "Oslo 10:45"),
}
COVERS = {
    "tides": ("The Tides of Kelm", "Ada Brook", "Science"),
    "bread": ("Bread at Dawn", "Jon Mills", "Cookbooks"),
}
"""Image -> title, author and genre on the cover of a book."""
PAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "invoice": (("Invoice", "4471"), ("Date", "12 March 1998"), ("Total", "$318.50"), ("Signed", "R. Hale")),
    "memo": (("To", "Plant managers"), ("From", "L. Ortega"), ("Subject", "Boiler inspection")),
}
FIGURES: dict[str, tuple[tuple[str, str], ...]] = {
    "water": (("Farming", "70 %"), ("Industry", "19 %"), ("Homes", "11 %")),
    "routes": (("Ferries", "14"), ("Trams", "8"), ("Buses", "52")),
}
Row = dict[str, Any]


def draw_image(suite: str, name: str, draw: Callable[[ImageDraw.ImageDraw], None]) -> str:
    """Draw an image and return its path below the suite's folder."""
    folder = SAMPLES / suite / "images"
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE, "white")
    draw(ImageDraw.Draw(image))
    image.quantize(32).save(folder / f"{name}.png", optimize=True)
    return f"images/{name}.png"


def draw_scene(suite: str, name: str) -> str:
    """Draw one of `SCENES` and return its path."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for kind, colour, box in SCENES[name]:
            (pen.ellipse if kind == "circle" else pen.rectangle)(box, fill=colour)

    return draw_image(suite, name, draw)


def draw_lines(suite: str, name: str, texts: tuple[str, ...]) -> str:
    """Draw lines of text in a frame and return the image's path."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((10, 10, 230, 170), outline="black", width=2)
        for number, text in enumerate(texts):
            pen.text((24, 26 + 32 * number), text, fill="black", font_size=18)

    return draw_image(suite, name, draw)


def gqa() -> list[Row]:
    facts = []
    for name, shapes in SCENES.items():
        image = draw_scene("gqa", name)
        facts += [
            (image, "query", f"What is the colour of the {s.kind} at ({s.box[0]}, {s.box[1]})?", s.colour)
            for s in shapes
        ]
        facts += [(image, "verify", f"Is there a {c} {k}?", "yes" if any((c, k) == s[:2][::-1] for s in shapes) else "no")
                  for c, k in (("red", "square"), ("green", "circle"))]  # fmt: skip
    return [
        {"id": f"sample-{n}", "image": image, "question": q, "answer": a, "types": {"structural": kind}}
        for n, (image, kind, q, a) in enumerate(facts)
    ]


def ten_answers(answer: str, *others: str) -> list[str]:
    """Return the answers of ten annotators: `others`, and `answer` for the rest."""
    return [answer] * (10 - len(others)) + list(others)


def sign_questions(suite: str) -> list[tuple[str, str, list[str]]]:
    """Draw the signs; return (image, question, answers) for each question about them."""
    images = {name: draw_lines(suite, name, texts) for name, texts in SIGNS.items()}
    return [
        (images["exit"], "Which number has the exit?", ten_answers("12", "exit 12")),
        (images["exit"], "What does the sign say?", ten_answers("exit 12", "Exit 12", "exit")),
        (images["bakery"], "What is the name of the bakery?", ten_answers("golden crust", "the golden crust", "bakery")),
        (images["bakery"], "When does it open?", ten_answers("7", "seven", "7 am")),
        (images["platform"], "Where does the train go?", ten_answers("oslo", "Oslo")),
        (images["platform"], "When does the train leave?", ten_answers("10:45", "unanswerable")),
    ]  # fmt: skip


def textvqa() -> list[Row]:
    questions = enumerate(sign_questions("textvqa"))
    return [{"question_id": f"sample-{n}", "image_id": image, "image": image, "question": q, "answers": a}
            for n, (image, q, a) in questions]  # fmt: skip


def vizwiz() -> list[Row]:
    questions = sign_questions("vizwiz")
    blank = draw_image("vizwiz", "dark", lambda pen: pen.rectangle((0, 0, *SIZE), fill="#202020"))
    questions += [(blank, "What is this?", ten_answers("unanswerable", "unsuitable", "dark"))]
    questions += [
        (
            blank,
            "What colour is it?",
            ["black", "black", "black", "grey", "grey", "grey", "blue", "blue", "brown", "no"],
        )
    ]
    return [{"question_id": f"sample-{n}", "image": image, "question": q, "answers": a, "category": "other" if image != blank else "unanswerable"}
            for n, (image, q, a) in enumerate(questions)]  # fmt: skip


def ocrvqa() -> tuple[list[Row], list[Row]]:
    single, covers = [], []
    for name, (title, author, genre) in COVERS.items():
        image = draw_lines("ocrvqa", name, (title, author, genre))
        questions = [
            ("What is the title of this book?", title),
            ("Who wrote this book?", author),
            ("What is the genre of this book?", genre),
            ("Is this book related to Science?", "Yes" if genre == "Science" else "No"),
        ]
        covers.append({"image_id": f"sample-{name}", "image": image, "questions": [q for q, _ in questions],
                       "answers": [a for _, a in questions], "genre": genre})  # fmt: skip
        single += [{"index": f"sample-{name}-{n}", "image": image, "question": q, "answer": a}
                   for n, (q, a) in enumerate(questions)]  # fmt: skip
    return single, covers


def documents(
    suite: str, pages: dict[str, tuple[tuple[str, str], ...]], template: str, type_column: str
) -> list[Row]:
    """Draw pages of labelled fields; return a question for each field."""
    rows: list[Row] = []
    for name, fields in pages.items():
        image = draw_lines(suite, name, tuple(f"{label}: {value}" for label, value in fields))
        for label, value in fields:
            golds = [value, value.replace("$", "")] if "$" in value else [value]
            rows.append({"questionId": f"sample-{len(rows)}", "image": image, "question": template.format(label),
                         "answers": golds, type_column: ["form"]})  # fmt: skip
    return rows


def refcoco() -> list[Row]:
    rows: list[Row] = []
    for name, shapes in SCENES.items():
        image = draw_scene("refcoco", name)
        for kind, colour, (x1, y1, x2, y2) in shapes:
            rows.append({"question_id": f"sample-{len(rows)}", "image": image, "file_name": f"{name}.png",
                         "answer": [f"the {colour} {kind}", f"{kind} in {colour}"],
                         "bbox": [x1, y1, x2 - x1, y2 - y1]})  # fmt: skip
    return rows


if __name__ == "__main__":
    write_rows("gqa", "items", gqa())
    write_rows("textvqa", "items", textvqa())
    write_rows("vizwiz", "items", vizwiz())
    for file, rows in zip(("testcore", "test"), ocrvqa(), strict=True):
        write_rows("ocrvqa", file, rows)
    write_rows(
        "docvqa", "items", documents("docvqa", PAGES, "What does the page give as: {}?", "question_types")
    )
    write_rows(
        "infovqa", "items", documents("infovqa", FIGURES, "Which figure belongs to: {}?", "answer_type")
    )
    for file in ("val", "testA", "testB", "plus-val", "plus-testA", "plus-testB", "g-val", "g-test"):
        write_rows("refcoco", file, refcoco())
