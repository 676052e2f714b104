"""Images, boxes and time series for a page: bounded, and nothing but pixels and numbers."""

from __future__ import annotations

import math
import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from evals.dashboard.foreign import media
from evals.errors import DataError
from evals.scorers.boxes import Box, iou
from evals.types import Media

pytest.importorskip("PIL", reason="the extra `vision` is not installed")


def image(size=(200, 100), mode="RGB", form="PNG", colour="white") -> bytes:
    from PIL import Image

    stream = BytesIO()
    Image.new(mode, size, colour).save(stream, format=form)
    return stream.getvalue()


def pixels(raw: bytes):
    from PIL import Image

    return Image.open(BytesIO(raw))


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10), 1.0),
        (Box(0, 0, 10, 10), Box(5, 0, 15, 10), 1 / 3),
        (Box(0, 0, 10, 10), Box(10, 0, 20, 10), 0.0),
        (Box(0, 0, 10, 10), Box(2, 2, 4, 4), 0.04),
        (Box(0, 0, 0, 0), Box(0, 0, 0, 0), 0.0),
    ],
)
def test_intersection_over_union(one: Box, other: Box, share: float) -> None:
    assert iou(one, other) == pytest.approx(share)
    assert iou(other, one) == pytest.approx(share)


def test_boxes_are_read_out_of_text() -> None:
    assert media.parse_boxes("a (1, 2, 3, 4) and [[0.1,0.2,0.5,0.9]]") == [
        Box(1, 2, 3, 4),
        Box(0.1, 0.2, 0.5, 0.9),
    ]
    assert media.parse_boxes("[3, 2, 1, 4] [1,2,3] [1,2,3,4,5] none") == []
    assert len(media.parse_boxes("[1,2,3,4]" * 500)) == media.MAX_BOXES


def test_boxes_are_drawn_where_they_are_also_on_a_smaller_picture() -> None:
    found = pixels(
        media.redraw_image(image((2800, 1400)), [Box(280, 280, 560, 560)], [Box(0.5, 0.5, 0.75, 0.75)])
    )
    assert found.size == (1400, 700)
    assert "#{:02x}{:02x}{:02x}".format(*found.getpixel((140, 200))) == media.GOLD_COLOUR
    assert "#{:02x}{:02x}{:02x}".format(*found.getpixel((700, 400))) == media.ANSWER_COLOUR
    assert found.getpixel((350, 350)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "form"), [("RGBA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("I;16", "PNG"), ("L", "WEBP")]
)
def test_images_of_every_kind_become_plain_ones(mode: str, form: str) -> None:
    found = pixels(media.redraw_image(image(mode=mode, form=form, colour=0)))
    assert found.format in ("PNG", "JPEG")
    assert found.size == (200, 100)


@pytest.mark.parametrize("raw", [b"", b"<svg onload=owned()>", image()[:60], b"GIF89a" + b"\xff" * 50])
def test_what_is_no_image_is_one_line(raw: bytes) -> None:
    with pytest.raises(DataError, match="unreadable image"):
        media.redraw_image(raw)


def test_bytes_come_from_the_suites_store_and_from_nowhere_else(tmp_path: Path) -> None:
    run = tmp_path / "suite@1" / "model" / "run"
    name = sha256(b"there").hexdigest()
    store = tmp_path / "suite@1" / "media"
    store.mkdir(parents=True)
    (store / name).write_bytes(b"there")
    assert media.read(run, Media("image", "image/png", name)) == b"there"
    (tmp_path / "private").write_text("mine")
    (store / ("ab" * 32)).symlink_to(tmp_path / "private")
    (store / ("ac" * 32)).symlink_to("/dev/zero")
    os.mkfifo(store / ("ad" * 32))
    for other in ("ab", "ac", "ad"):
        with pytest.raises(DataError, match=r"does not match|not in the results|too many"):
            media.read(run, Media("image", "image/png", other * 32))
    with pytest.raises(DataError, match="not in the results folder"):
        media.read(run, Media("image", "image/png", "cd" * 32))
    for odd in ("../../../etc/passwd", "", name.upper(), name + "/.."):
        with pytest.raises(DataError, match="not a hash"):
            media.read(run, Media("image", "image/png", odd))


def npy(values: list[list[float]]) -> bytes:
    stream = BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


def test_a_series_is_a_row_per_point_and_channel() -> None:
    frame = media.read_series(npy([[3.0, 5.0], [4.0, math.nan]]), "application/x-npy")
    assert list(frame.itertuples(index=False, name=None)) == [(0, "1", 3), (1, "1", 4), (0, "2", 5)]


def test_a_long_series_keeps_its_peaks() -> None:
    values = [math.sin(i / 50) for i in range(100_000)]
    values[54_321] = 9.0
    found = media.read_series(npy([[value] for value in values]), "application/x-npy")
    assert len(found) <= media.MAX_POINTS
    assert found["y"].max() == 9.0
    assert found["x"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "text/csv"),
        (b"x", "application/x-npy"),
        (npy([]), "application/x-npy"),
        (npy([[math.nan]]), "application/x-npy"),
    ],
)
def test_what_is_no_series_is_one_line(raw: bytes, kind: str) -> None:
    with pytest.raises(DataError) as caught:
        media.read_series(raw, kind)
    assert "\n" not in str(caught.value)
