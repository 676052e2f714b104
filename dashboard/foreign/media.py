"""What a prompt holds besides text, made fit for a page: images of bounded size, boxes on them, time series.

>>> rectangles("It is at [10, 20, 110, 220].")
[Box(x1=10.0, y1=20.0, x2=110.0, y2=220.0)]

Bytes come from the run's media store by their hash. They are foreign: decode them in a worker process
(`evals.sandbox`); a page gets PNG or JPEG that Pillow wrote, and points that were parsed as numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.boundary import foreign_code
from evals.data.media import MOST_PIXELS, OPENED
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
"""Of one channel on a page; a longer series is shown by the least and greatest value of each stretch."""
MOST_CHANNELS = 12
GOLD, ANSWER = "#0072b2", "#d55e00"


def read(run: Path, media: Media) -> bytes:
    """Read what was sent from the store of a run's suite; raises DataError where it is gone or too large."""
    if not re.fullmatch(r"[0-9a-f]{64}", media.sha256):
        raise DataError("its name in the store is no hash")
    path = run.parent.parent / "media" / media.sha256
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path.stat().st_size:,} bytes are too many to show")
        return path.read_bytes()
    except OSError:
        raise DataError(
            f"the bytes of {media.kind} {media.sha256[:12]} are not in the results folder"
        ) from None


# --- images and boxes ---------------------------------------------------------------------------------------


def rectangles(text: str) -> list[Box]:
    """Read the rectangles that a text states in brackets or tags: left, top, right, bottom."""
    if not set("[(<{") & set(text):  # four bare numbers are as likely a list
        return []
    found = (Box(*region.numbers) for region in regions(text))
    return [box for box in found if box.x2 > box.x1 and box.y2 > box.y1][:MOST_BOXES]


def picture(raw: bytes, gold: Sequence[Box] = (), answer: Sequence[Box] = ()) -> bytes:
    """Draw an image anew, no larger than a page needs, with boxes on it; raises DataError for what is no image.

    Boxes whose numbers all lie between 0 and 1 are shares of width and height.
    """
    from PIL import Image, ImageDraw, ImageOps

    Image.MAX_IMAGE_PIXELS = None
    with (
        foreign_code(lambda why: DataError(f"no readable image ({why.partition(':')[0]})")),
        Image.open(BytesIO(raw), formats=OPENED) as opened,
    ):
        if opened.width * opened.height > MOST_PIXELS:
            raise DataError(f"{opened.width}x{opened.height} pixels are too many to show")
        opened.draft("RGB", (SIDE, SIDE))
        scale = min(1.0, SIDE / max(opened.size))
        found = ImageOps.exif_transpose(opened)
        if found.mode not in ("L", "RGB"):
            layer = found.convert("RGBA")
            found = Image.new("RGBA", layer.size, "white")
            found.alpha_composite(layer)
        found = found.convert("RGB")
        found.thumbnail((SIDE, SIDE))
        pen = ImageDraw.Draw(found)
        for boxes, colour, width in ((gold, GOLD, 4), (answer, ANSWER, 2)):
            for box in boxes:
                pen.rectangle(_scaled(box, scale, found.size), outline=colour, width=width)
        stream = BytesIO()
        photo = opened.format in ("JPEG", "WEBP")
        found.save(stream, format="JPEG" if photo else "PNG", **({"quality": 88} if photo else {}))
        return stream.getvalue()


def _scaled(box: Box, scale: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    shares = all(0 <= value <= 1 for value in box)
    across, down = (size[0], size[1]) if shares else (scale, scale)
    return box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down


# --- time series --------------------------------------------------------------------------------------------


def series(raw: bytes, media_type: str) -> pd.DataFrame:
    """Read a time series into rows of `x`, `channel` and `y`; raises DataError for what is none.

    `application/x-npy` (as `evals/data/series.py` keeps them, time first), `text/csv` (a column per channel, a first one named time, t or x taken as such), `application/json` (a list of
    numbers, or a list per channel, or {channel: list}) and `audio/wav`; else x counts points, or seconds where the
    file knows its rate.
    """
    readers = {
        "application/x-npy": _npy,
        "text/csv": _csv,
        "application/json": _json,
        "audio/wav": _wav,
        "audio/x-wav": _wav,
    }
    reader = readers.get(media_type.partition(";")[0].strip())
    if reader is None:
        raise DataError(f"a series of type {media_type} cannot be drawn")
    with foreign_code(lambda why: DataError(f"no readable series ({why.partition(':')[0]})")):
        x, channels = reader(raw)
    return _thinned(x, channels)


def _npy(raw: bytes) -> tuple[Any, dict[str, Any]]:
    from evals.data.series import npy

    values = npy(raw).astype(float)
    return None, {str(n): column for n, column in enumerate(values.reshape(len(values), -1).T, 1)}


def _csv(raw: bytes) -> tuple[Any, dict[str, Any]]:
    import pandas as pd

    table = pd.read_csv(BytesIO(raw), nrows=2_000_000).apply(pd.to_numeric, errors="coerce")
    first = str(table.columns[0])
    named = first.strip().lower().partition(" ")[0] in ("time", "t", "x", "index")
    x = table.iloc[:, 0].to_numpy(float) if named and len(table.columns) > 1 else None
    kept = table.iloc[:, 1:] if x is not None else table
    return x, {str(name): kept[name].to_numpy(float) for name in kept.columns}


def _json(raw: bytes) -> tuple[Any, dict[str, Any]]:
    import msgspec
    import numpy as np

    found = msgspec.json.decode(raw)
    if isinstance(found, list) and found and isinstance(found[0], int | float):
        found = [found]
    if isinstance(found, list):
        found = {str(i + 1): values for i, values in enumerate(found)}
    return None, {str(name): np.array(values, dtype=float) for name, values in found.items()}


def _wav(raw: bytes) -> tuple[Any, dict[str, Any]]:
    import wave

    import numpy as np

    with wave.open(BytesIO(raw)) as file:
        count, rate, width = file.getnchannels(), file.getframerate(), file.getsampwidth()
        kinds = {1: "u1", 2: "<i2", 4: "<i4"}
        if width not in kinds or not 0 < count <= 64:
            raise DataError(f"{8 * width} bits in {count} channels cannot be drawn")
        values = np.frombuffer(file.readframes(file.getnframes()), dtype=kinds[width]).astype(float)
    values = values[: len(values) // count * count].reshape(-1, count)
    return np.arange(len(values)) / rate, {str(i + 1): values[:, i] for i in range(count)}


def _thinned(x: Any, channels: dict[str, Any]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    parts = []
    for name, values in list(channels.items())[:MOST_CHANNELS]:
        places = np.arange(len(values)) if x is None else np.asarray(x)[: len(values)]
        kept = np.flatnonzero(np.isfinite(values) & np.isfinite(places))
        if len(kept) > MOST_POINTS:
            stretches = np.array_split(kept, MOST_POINTS // 2)
            ends = [(s[np.argmin(values[s])], s[np.argmax(values[s])]) for s in stretches]
            kept = np.unique(np.array(ends))
        parts.append(pd.DataFrame({"x": places[kept].astype(float), "channel": name[:40], "y": values[kept]}))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    if frame.empty:
        raise DataError("the series holds no numbers")
    return frame.reset_index(drop=True)
