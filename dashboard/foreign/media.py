"""Images of bounded size, with boxes on them, and time series of prompts, prepared for a page.

>>> rectangles("It is at [10, 20, 110, 220].")
[Box(x1=10.0, y1=20.0, x2=110.0, y2=220.0)]

Bytes come from the run's media store by their hash. They are foreign: decode them in a worker process
(`evals.sandbox`); a page gets PNG or JPEG written by Pillow, and points parsed as numbers.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals import disk
from evals.boundary import foreign_code
from evals.data.media import MAX_DECODED_PIXELS, READABLE_FORMATS
from evals.errors import DataError
from evals.extract.regions import regions
from evals.scorers.boxes import Box
from evals.types import Media

if TYPE_CHECKING:
    import pandas as pd

SIDE = 1_400
"""Pixels of an image's longer side on a page."""
MOST_BYTES = 64 << 20
MOST_BOXES = 50
MOST_POINTS = 2_000
"""Per channel; a longer series is shown by the minimum and maximum of each interval."""
MOST_CHANNELS = 12
GOLD, ANSWER = "#0072b2", "#d55e00"


def read(run: Path, media: Media) -> bytes:
    """Read a file that was sent from the media store of a run's suite.

    Raises DataError if it is missing, too large or not what its name says, e.g. a link to another file.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", media.sha256):
        raise DataError("its name in the store is not a hash")
    path = run.parent.parent / "media" / media.sha256
    try:
        raw = disk.read_small(path, MOST_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DataError(f"more than {MOST_BYTES:,} bytes are too many to show") from None
        raise DataError(
            f"the bytes of {media.kind} {media.sha256[:12]} are not in the results folder"
        ) from None
    if sha256(raw).hexdigest() != media.sha256:
        raise DataError(f"the file of {media.kind} {media.sha256[:12]} in the results folder is another one")
    return raw


# --- images and boxes ---------------------------------------------------------------------------------------


def rectangles(text: str) -> list[Box]:
    """Return the rectangles (left, top, right, bottom) that a text states in brackets or tags."""
    if not set("[(<{") & set(text):  # four bare numbers are as likely a list
        return []
    boxes = (Box(*region.numbers) for region in regions(text))
    return [box for box in boxes if box.x2 > box.x1 and box.y2 > box.y1][:MOST_BOXES]


def picture(raw: bytes, gold: Sequence[Box] = (), answer: Sequence[Box] = ()) -> bytes:
    """Redraw an image, no larger than a page needs, with boxes on it; raises DataError if it is unreadable.

    Boxes with all numbers between 0 and 1 are fractions of width and height.
    """
    from PIL import Image, ImageDraw, ImageOps

    Image.MAX_IMAGE_PIXELS = None
    with (
        foreign_code(lambda why: DataError(f"no readable image ({why.partition(':')[0]})")),
        Image.open(BytesIO(raw), formats=READABLE_FORMATS) as opened,
    ):
        if opened.width * opened.height > MAX_DECODED_PIXELS:
            raise DataError(f"{opened.width}x{opened.height} pixels are too many to show")
        opened.draft("RGB", (SIDE, SIDE))
        scale = min(1.0, SIDE / max(opened.size))
        image = ImageOps.exif_transpose(opened)
        if image.mode not in ("L", "RGB"):
            layer = image.convert("RGBA")
            image = Image.new("RGBA", layer.size, "white")
            image.alpha_composite(layer)
        image = image.convert("RGB")
        image.thumbnail((SIDE, SIDE))
        pen = ImageDraw.Draw(image)
        for boxes, colour, width in ((gold, GOLD, 4), (answer, ANSWER, 2)):
            for box in boxes:
                pen.rectangle(_scaled(box, scale, image.size), outline=colour, width=width)
        stream = BytesIO()
        photo = opened.format in ("JPEG", "WEBP")
        image.save(stream, format="JPEG" if photo else "PNG", **({"quality": 88} if photo else {}))
        return stream.getvalue()


def _scaled(box: Box, scale: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    shares = all(0 <= value <= 1 for value in box)
    across, down = (size[0], size[1]) if shares else (scale, scale)
    return box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down


# --- time series --------------------------------------------------------------------------------------------


def series(raw: bytes, media_type: str) -> pd.DataFrame:
    """Return a time series as rows of `x` (position in time), `channel` and `y`; raises DataError if it is unreadable.

    Prompts hold them as `application/x-npy`, time first (`evals/data/series.py`).
    """
    from evals.data.series import parse_npy

    if media_type != "application/x-npy":
        raise DataError(f"a series of type {media_type} cannot be drawn")
    with foreign_code(lambda why: DataError(f"no readable series ({why.partition(':')[0]})")):
        values = parse_npy(raw).astype(float)
        values = values.reshape(len(values), -1)
    return _thinned(values)


def _thinned(values: Any) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    parts = []
    for channel, column in enumerate(values.T[:MOST_CHANNELS], 1):
        kept = np.flatnonzero(np.isfinite(column))
        if len(kept) > MOST_POINTS:
            stretches = np.array_split(kept, MOST_POINTS // 2)
            ends = [(s[np.argmin(column[s])], s[np.argmax(column[s])]) for s in stretches]
            kept = np.unique(np.array(ends))
        parts.append(pd.DataFrame({"x": kept.astype(float), "channel": str(channel), "y": column[kept]}))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if frame.empty:
        raise DataError("the series holds no numbers")
    return frame
