"""Images and time series of a run, reduced to a limited size for display, and boxes drawn on images.

>>> parse_boxes("It is at [10, 20, 110, 220].")
[Box(x1=10.0, y1=20.0, x2=110.0, y2=220.0)]

The bytes come from the run's media store and are untrusted: decode them in a worker process (`evals.sandbox`). Pages
receive only PNG or JPEG that Pillow has written, and numbers.
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

MAX_SIDE = 1_400
"""Maximum length of an image's longer side in pixels."""
MAX_BYTES = 64 << 20
"""Maximum size of a file that is shown."""
MAX_BOXES = 50
"""Maximum number of boxes that are parsed from a text."""
MAX_POINTS = 2_000
"""Maximum number of points per channel; a longer series is reduced to the minimum and maximum of each of its intervals."""
MAX_CHANNELS = 12
"""Maximum number of channels of a time series that are shown."""
GOLD_COLOUR, ANSWER_COLOUR = "#0072b2", "#d55e00"


def read(run: Path, media: Media) -> bytes:
    """Return a file from the media store beside a run; raises DataError if it is missing, too large or altered."""
    if not re.fullmatch(r"[0-9a-f]{64}", media.sha256):
        raise DataError(f"the name of this {media.kind} in the media store is not a hash")
    path = run.parent.parent / "media" / media.sha256
    try:
        raw = disk.read_small(path, MAX_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DataError(f"too large to show: more than {MAX_BYTES:,} bytes") from None
        raise DataError(f"{media.kind} {media.sha256[:12]} is not in the results folder") from None
    if sha256(raw).hexdigest() != media.sha256:
        raise DataError(f"{media.kind} {media.sha256[:12]} in the results folder does not match its hash")
    return raw


def parse_boxes(text: str) -> list[Box]:
    """Return the boxes (left, top, right, bottom) that a text states in brackets or tags."""
    if not set("[(<{") & set(text):  # four bare numbers may be any list
        return []
    boxes = (Box(*region.numbers) for region in regions(text))
    return [box for box in boxes if box.x2 > box.x1 and box.y2 > box.y1][:MAX_BOXES]


def redraw_image(raw: bytes, gold: Sequence[Box] = (), answer: Sequence[Box] = ()) -> bytes:
    """Return an image reduced to at most `MAX_SIDE`, with boxes drawn on it; raises DataError if it is unreadable.

    Boxes with all coordinates between 0 and 1 are fractions of width and height.
    """
    from PIL import Image, ImageDraw, ImageOps

    Image.MAX_IMAGE_PIXELS = None
    with (
        foreign_code(lambda _: DataError("unreadable image: it is damaged, or its format is not supported")),
        Image.open(BytesIO(raw), formats=READABLE_FORMATS) as original,
    ):
        if original.width * original.height > MAX_DECODED_PIXELS:
            raise DataError(f"too large to show: {original.width}x{original.height} pixels")
        scale = min(1.0, MAX_SIDE / max(original.size))
        original.draft("RGB", (MAX_SIDE, MAX_SIDE))  # decodes a large JPEG at a smaller size
        image = ImageOps.exif_transpose(original)
        if image.mode not in ("L", "RGB"):
            layer = image.convert("RGBA")
            image = Image.new("RGBA", layer.size, "white")
            image.alpha_composite(layer)
        image = image.convert("RGB")
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        canvas = ImageDraw.Draw(image)
        for boxes, colour, width in ((gold, GOLD_COLOUR, 4), (answer, ANSWER_COLOUR, 2)):
            for box in boxes:
                canvas.rectangle(_scale_box(box, scale, image.size), outline=colour, width=width)
        stream = BytesIO()
        is_photo = original.format in ("JPEG", "WEBP")
        image.save(stream, format="JPEG" if is_photo else "PNG", **({"quality": 88} if is_photo else {}))
        return stream.getvalue()


def _scale_box(box: Box, scale: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    are_fractions = all(0 <= value <= 1 for value in box)
    x_scale, y_scale = (size[0], size[1]) if are_fractions else (scale, scale)
    return box.x1 * x_scale, box.y1 * y_scale, box.x2 * x_scale, box.y2 * y_scale


def read_series(raw: bytes, media_type: str) -> pd.DataFrame:
    """Return a time series as a table of `x` (position in time), `channel` and `y`; raises DataError if it is unreadable.

    A prompt contains a series as `application/x-npy`, in which time is the first axis (`evals/data/series.py`).
    """
    from evals.data.series import parse_npy

    if media_type != "application/x-npy":
        raise DataError(f"a series of type {media_type} cannot be drawn")
    with foreign_code(lambda _: DataError("unreadable series: it is not a valid .npy file")):
        values = parse_npy(raw).astype(float)
        values = values.reshape(len(values), -1)
    return _downsample(values)


def _downsample(values: Any) -> pd.DataFrame:
    """Return the finite values of an array (time, channels) as a table, at most `MAX_POINTS` per channel."""
    import numpy as np
    import pandas as pd

    channels = []
    for channel, column in enumerate(values.T[:MAX_CHANNELS], 1):
        points = np.flatnonzero(np.isfinite(column))
        if len(points) > MAX_POINTS:
            intervals = np.array_split(points, MAX_POINTS // 2)
            extremes = [
                (interval[np.argmin(column[interval])], interval[np.argmax(column[interval])])
                for interval in intervals
            ]
            points = np.unique(np.array(extremes))
        channels.append(
            pd.DataFrame({"x": points.astype(float), "channel": str(channel), "y": column[points]})
        )
    frame = pd.concat(channels, ignore_index=True) if channels else pd.DataFrame()
    if frame.empty:
        raise DataError("the series contains no numbers")
    return frame
