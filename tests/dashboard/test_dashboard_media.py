"""Images, boxes and time series on pages: untrusted files are bounded in size and reduced to pixels and numbers."""

from __future__ import annotations

import math
import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from evals.dashboard.untrusted import media
from evals.errors import DataError
from evals.scorers.boxes import Box, iou
from evals.types import Media
from tests.support.error_messages import raises

pytest.importorskip("PIL", reason="the extra `vision` is not installed")


def image(size=(200, 100), mode="RGB", format_="PNG", colour="white") -> bytes:
    from PIL import Image

    stream = BytesIO()
    Image.new(mode, size, colour).save(stream, format=format_)
    return stream.getvalue()


def open_image(content: bytes):
    from PIL import Image

    return Image.open(BytesIO(content))


@pytest.mark.parametrize(
    ("box", "other_box", "expected"),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10), 1.0),
        (Box(0, 0, 10, 10), Box(5, 0, 15, 10), 1 / 3),
        (Box(0, 0, 10, 10), Box(10, 0, 20, 10), 0.0),
        (Box(0, 0, 10, 10), Box(2, 2, 4, 4), 0.04),
        (Box(0, 0, 0, 0), Box(0, 0, 0, 0), 0.0),
    ],
)
def test_intersection_over_union(box: Box, other_box: Box, expected: float) -> None:
    assert iou(box, other_box) == pytest.approx(expected)
    assert iou(other_box, box) == pytest.approx(expected)


def test_boxes_are_parsed_from_text() -> None:
    assert media.parse_boxes("a (1, 2, 3, 4) and [[0.1,0.2,0.5,0.9]]") == [
        Box(1, 2, 3, 4),
        Box(0.1, 0.2, 0.5, 0.9),
    ]
    assert media.parse_boxes("[3, 2, 1, 4] [1,2,3] [1,2,3,4,5] none") == []
    assert len(media.parse_boxes("[1,2,3,4]" * 500)) == media.MAX_BOXES


def test_boxes_are_scaled_with_a_large_image() -> None:
    picture = open_image(
        media.redraw_image(image((2800, 1400)), [Box(280, 280, 560, 560)], [Box(0.5, 0.5, 0.75, 0.75)])
    )
    assert picture.size == (1400, 700)
    assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel((140, 200))) == media.GOLD_COLOUR
    assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel((700, 400))) == media.ANSWER_COLOUR
    assert picture.getpixel((350, 350)) == (255, 255, 255)


def test_boxes_are_scaled_with_a_jpeg_that_is_decoded_at_a_smaller_size() -> None:
    picture = open_image(
        media.redraw_image(image((2800, 2800), format_="JPEG"), [Box(1400, 1400, 2000, 2000)])
    )
    assert picture.size == (1400, 1400)
    red, _, blue = picture.getpixel((701, 850))
    assert blue > 120 > red


@pytest.mark.parametrize(
    ("mode", "format_"), [("RGBA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("I;16", "PNG"), ("L", "WEBP")]
)
def test_images_of_every_kind_are_redrawn_as_png_or_jpeg(mode: str, format_: str) -> None:
    picture = open_image(media.redraw_image(image(mode=mode, format_=format_, colour=0)))
    assert picture.format in ("PNG", "JPEG")
    assert picture.size == (200, 100)


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg onload=owned()>", image()[:60], b"GIF89a" + b"\xff" * 50],
    ids=["empty", "svg", "truncated png", "broken gif"],
)
def test_an_unreadable_image_is_a_data_error(content: bytes) -> None:
    with raises(DataError):
        media.redraw_image(content)


def test_media_are_read_only_from_the_media_folder_of_the_suite(tmp_path: Path) -> None:
    run = tmp_path / "suite@1" / "model" / "run"
    content_hash = sha256(b"content").hexdigest()
    store = tmp_path / "suite@1" / "media"
    store.mkdir(parents=True)
    (store / content_hash).write_bytes(b"content")
    assert media.read(run, Media("image", "image/png", content_hash)) == b"content"
    (tmp_path / "private").write_text("private")
    (store / ("ab" * 32)).symlink_to(tmp_path / "private")
    (store / ("ac" * 32)).symlink_to("/dev/zero")
    os.mkfifo(store / ("ad" * 32))
    for digits in ("ab", "ac", "ad"):
        with raises(DataError):
            media.read(run, Media("image", "image/png", digits * 32))
    with raises(DataError):
        media.read(run, Media("image", "image/png", "cd" * 32))
    for invalid_hash in ("../../../etc/passwd", "", content_hash.upper(), content_hash + "/.."):
        with raises(DataError):
            media.read(run, Media("image", "image/png", invalid_hash))


def npy(values: list[list[float]]) -> bytes:
    stream = BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


def test_a_series_has_a_row_per_point_and_channel() -> None:
    frame = media.read_series(npy([[3.0, 5.0], [4.0, math.nan]]), "application/x-npy")
    assert list(frame.itertuples(index=False, name=None)) == [(0, "1", 3), (1, "1", 4), (0, "2", 5)]


def test_a_long_series_keeps_its_peaks() -> None:
    values = [math.sin(i / 50) for i in range(100_000)]
    values[54_321] = 9.0
    frame = media.read_series(npy([[value] for value in values]), "application/x-npy")
    assert len(frame) <= media.MAX_POINTS
    assert frame["y"].max() == 9.0
    assert frame["x"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "text/csv"),
        (b"x", "application/x-npy"),
        (npy([]), "application/x-npy"),
        (npy([[math.nan]]), "application/x-npy"),
    ],
    ids=["empty csv", "not npy", "empty npy", "not finite"],
)
def test_an_unreadable_series_is_a_one_line_error(content: bytes, media_type: str) -> None:
    with raises(DataError) as caught:
        media.read_series(content, media_type)
    assert "\n" not in str(caught.value)
