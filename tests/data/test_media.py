"""Images in prompts: kept once, sent as decided, hostile ones refused in one line; through the adapter as it is."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from evals.data import Data
from evals.data.media import MAX_DECODED_PIXELS, image, inspect_image, payload, store_image
from evals.errors import DataError, Rejected
from evals.model_adapters.openai import body, encode_as_data_urls
from evals.types import Media, Message, Prompt, Sampling, Text

Image = pytest.importorskip("PIL.Image")


def drawn(mode: str = "RGB", size: tuple[int, int] = (40, 30), form: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    found = Image.new(mode, size)
    found.paste({"RGB": (200, 10, 10), "RGBA": (200, 10, 10, 0), "CMYK": (0, 255, 255, 0), "L": 7, "LA": (7, 0), "P": 3,
                 "I;16": 65535, "1": 1}[mode], (0, 0, size[0] // 2, size[1]))  # fmt: skip
    found.save(stream, format=form, **options)
    return stream.getvalue()


def sent(media: Media) -> Any:
    kind, raw = asyncio.run(payload(media))
    found = Image.open(BytesIO(raw))
    assert kind == f"image/{found.format.lower()}"
    return found


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return drawn(form="JPEG", exif=exif)


def bomb() -> bytes:
    """A small PNG that says it is 50,000 pixels wide and high."""
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "raw", [drawn(), drawn(form="JPEG"), drawn(form="WEBP"), drawn("L"), drawn("P", form="GIF"), drawn("1")]
)
def test_what_servers_agree_on_is_sent_as_it_is(tmp_path: Path, raw: bytes) -> None:
    media = store_image(tmp_path, raw)
    assert (media.width, media.height, media.size, media.sent) == (40, 30, len(raw), "")
    assert asyncio.run(payload(media)) == (media.media_type, raw)
    assert [p.name for p in tmp_path.iterdir()] == [media.sha256]
    assert store_image(tmp_path, raw) == media


@pytest.mark.parametrize(
    ("raw", "pixel"),
    [
        (drawn("CMYK", form="JPEG"), (254, 0, 0)),
        (drawn("RGBA"), (255, 255, 255)),
        (drawn("LA"), (255, 255, 255)),
        (drawn("I;16"), (255, 255, 255)),
        (drawn(form="TIFF"), (200, 10, 10)),
        (drawn(form="BMP"), (200, 10, 10)),
        (drawn(form="GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")]), (200, 10, 10)),
    ],
    ids=["cmyk", "alpha", "grey-alpha", "16-bit", "tiff", "bmp", "animated"],
)
def test_what_they_do_not_is_drawn_anew(tmp_path: Path, raw: bytes, pixel: tuple[int, int, int]) -> None:
    media = store_image(tmp_path, raw)
    assert media.sent == "png 40x30"
    found = sent(media)
    assert (found.mode, found.size, getattr(found, "n_frames", 1)) == ("RGB", (40, 30), 1)
    assert all(abs(a - b) <= 3 for a, b in zip(found.getpixel((2, 2)), pixel, strict=True))


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    media = store_image(tmp_path, turned())
    assert (media.width, media.height, media.sent) == (40, 30, "png 30x40")
    assert sent(media).size == (30, 40)


@pytest.mark.parametrize(("most", "size"), [(1200, (40, 30)), (300, (20, 15)), (1, (1, 1))])
def test_a_limit_of_pixels_keeps_the_shape(tmp_path: Path, most: int, size: tuple[int, int]) -> None:
    media = store_image(tmp_path, drawn(), max_pixels=most)
    assert (media.width, media.height) == (40, 30)
    assert sent(media).size == size


BROKEN = {
    "empty": b"", "text": b"<html>404</html>", "cut png": drawn(size=(400, 300))[:-40], "cut jpeg": drawn(form="JPEG")[:300],
    "head alone": drawn()[:20], "bomb": bomb(), "svg": b"<svg onload='x'/>", "pdf": b"%PDF-1.7\n", "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
}  # fmt: skip


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, raw: bytes) -> None:
    media = store_image(tmp_path, raw)
    assert media.sent.startswith("refused: ")
    with pytest.raises(Rejected, match="refused") as caught:
        asyncio.run(payload(media))
    assert "\n" not in str(caught.value)


def test_a_bomb_is_seen_before_it_is_decoded() -> None:
    assert inspect_image(bomb())[3] == "refused: 50000x50000 pixels"
    assert MAX_DECODED_PIXELS >= 10_000 * 10_000  # XLRS-Bench's are that large


def test_rows_hold_images_in_many_ways(tmp_path: Path) -> None:
    raw = drawn()
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.png").write_bytes(raw)
    data = Data(suite="toy", local=tmp_path, media=tmp_path / "media")
    ways = [
        "a.png",
        raw,
        {"bytes": raw, "path": None},
        {"bytes": None, "path": "a.png"},
        b64encode(raw).decode(),
    ]
    assert len({image(data, way) for way in ways}) == 1
    assert image(Data(suite="toy", local=tmp_path), "a.png") is None  # scoring reads no images
    for way in ("../a.png", "/etc/host.conf", "b.png", "not base64!", 5):
        with pytest.raises(DataError):
            image(data, way)


async def test_the_openai_protocol_gets_data_urls_in_their_places(tmp_path: Path) -> None:
    raw = drawn()
    media = store_image(tmp_path, raw)
    prompt = Prompt(messages=(Message("user", (Text("Look at "), media, Text(" and say."))),))
    content = body("m", prompt, Sampling(), await encode_as_data_urls(prompt))["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    kind, _, encoded = content[1]["image_url"]["url"].partition(";base64,")
    assert (kind, b64decode(encoded)) == ("data:image/png", raw)


async def test_bytes_that_are_gone_are_the_samples_failure(tmp_path: Path) -> None:
    media = store_image(tmp_path, drawn(size=(41, 31)))
    (tmp_path / media.sha256).unlink()
    with pytest.raises(Rejected, match="missing from the results folder"):
        await payload(media)


@pytest.mark.parametrize("kind", ["link", "other", "longer", "pipe"])
def test_what_somebody_put_under_an_images_name_is_not_sent(tmp_path: Path, kind: str) -> None:
    raw = drawn()
    private = tmp_path / "private"
    private.write_bytes(b"not an image, and mine")
    store = tmp_path / "media"
    store.mkdir()
    path = store / sha256(raw).hexdigest()
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(private),
        "other": lambda: path.write_bytes(bytes(len(raw))),
        "longer": lambda: path.write_bytes(raw + b"x"),
        "pipe": lambda: os.mkfifo(path),
    }
    make[kind]()
    media = store_image(store, raw)
    assert asyncio.run(payload(media)) == (media.media_type, raw)
    assert private.read_bytes() == b"not an image, and mine"
    assert not path.is_symlink()
