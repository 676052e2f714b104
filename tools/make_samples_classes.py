"""Draw the sample items of the suites for image classifiers: `python -m tools.make_samples_classes` writes suites/samples/.

A drawing encodes its class by a rule that a small network can learn: a number of discs, a position, an angle, or the colour
and direction of stripes. It does not resemble the data set, so a checkpoint tuned on the real data cannot recognise it.
"""

from __future__ import annotations

import base64
import colorsys
import io
import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from evals import load
from tools.sample_files import write_rows

SIZE = 32
ITEMS = 8
DrawFunction = Callable[[ImageDraw.ImageDraw, int, int, Random], None]
"""Function of (pen, label, number of classes, random generator) that draws one image."""


def discs(pen: ImageDraw.ImageDraw, label: int, classes: int, random: Random) -> None:
    cells = random.sample(range(16), label + 3)
    for cell in cells:
        x, y = 8 * (cell % 4), 8 * (cell // 4)
        pen.ellipse((x + 1, y + 1, x + 6, y + 6), fill=random.choice(("crimson", "gold", "white", "cyan")))


def position(pen: ImageDraw.ImageDraw, label: int, classes: int, random: Random) -> None:
    left, top = 2 * label, random.randrange(26)
    pen.rectangle((left, top, left + 3, top + 5), fill="white")


def angle(pen: ImageDraw.ImageDraw, label: int, classes: int, random: Random) -> None:
    turn, x, y = 2 * math.pi * label / classes, random.randrange(12, 20), random.randrange(12, 20)
    pen.line((x, y, x + 11 * math.cos(turn), y + 11 * math.sin(turn)), fill="white", width=2)
    pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill="white")


def stripes(pen: ImageDraw.ImageDraw, label: int, classes: int, random: Random) -> None:
    hue = colorsys.hsv_to_rgb(label / classes, 0.8, 0.9)
    colour = tuple(round(255 * part) for part in hue)
    turn, shift = math.pi * (7 * label % classes) / classes, random.randrange(8)
    for offset in range(-48, 49, 8):
        x, y = 16 - math.sin(turn) * (offset + shift), 16 + math.cos(turn) * (offset + shift)
        ends = (
            x - 40 * math.cos(turn),
            y - 40 * math.sin(turn),
            x + 40 * math.cos(turn),
            y + 40 * math.sin(turn),
        )
        pen.line(ends, fill=colour, width=3)


DRAW_FUNCTIONS: dict[str, DrawFunction] = {
    "clevr_count": discs,
    "dsprites_loc": position,
    "dsprites_ori": angle,
    "smallnorb_azi": angle,
}
"""Data set -> function that draws its images; `stripes` for all others."""


def drawing(name: str, label: int, classes: int, seed: int) -> Image.Image:
    """Return an image of a class."""
    picture = Image.new("RGB", (SIZE, SIZE), "black")
    DRAW_FUNCTIONS.get(name, stripes)(
        ImageDraw.Draw(picture), label, classes, Random(f"{name} {label} {seed}")
    )
    return picture.quantize(8).convert("P")


def as_base64(picture: Image.Image) -> str:
    """Return an image as PNG in base64."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def main() -> None:
    """Write the items of both suites."""
    for suite in ("fgvc", "vtab"):
        for name, variant in load.benchmark(suite).variants.items():
            classes = variant.classes or 0
            rows = []
            for number in range(ITEMS):
                label = number * classes // ITEMS if classes >= ITEMS else number % classes
                image = as_base64(drawing(name, label, classes, number))
                rows.append({"id": f"drawn-{number}", "image": image, "label": label})
            write_rows(suite, name, rows)


if __name__ == "__main__":
    main()
