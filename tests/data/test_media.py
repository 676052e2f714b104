"""Images in prompts: stored once, converted if servers would disagree, rejected if hostile, and sent by the OpenAI adapter."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from evals.data import Data
from evals.data.media import (
    MAX_DECODED_PIXELS,
    image,
    image_size,
    inspect_image,
    payload,
    store_bytes,
    store_image,
)
from evals.errors import DataError, Rejected
from evals.model_adapters.openai import body, encode_as_data_urls
from evals.types import Media, Message, Prompt, Sampling, Text
from tests.support.error_messages import raises

Image = pytest.importorskip("PIL.Image")
PngImagePlugin = pytest.importorskip("PIL.PngImagePlugin")


def encoded_image(
    mode: str = "RGB", size: tuple[int, int] = (40, 30), form: str = "PNG", **options: Any
) -> bytes:
    stream = BytesIO()
    picture = Image.new(mode, size)
    picture.paste({"RGB": (200, 10, 10), "RGBA": (200, 10, 10, 0), "CMYK": (0, 255, 255, 0), "L": 7, "LA": (7, 0), "P": 3,
                 "I;16": 65535, "1": 1}[mode], (0, 0, size[0] // 2, size[1]))  # fmt: skip
    picture.save(stream, format=form, **options)
    return stream.getvalue()


def sent_image(media: Media) -> Any:
    media_type, raw = asyncio.run(payload(media))
    picture = Image.open(BytesIO(raw))
    assert media_type == f"image/{picture.format.lower()}"
    return picture


def rotated_by_exif(form: str = "JPEG", *, orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded_image(form=form, exif=exif)


def with_exif_at_the_end() -> bytes:
    """Return a PNG whose EXIF chunk stands behind the pixels, as the format allows."""
    raw = rotated_by_exif("PNG")
    start = raw.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(raw[start : start + 4], "big")
    last = raw.index(b"IEND") - 4
    return raw[:start] + raw[end:last] + raw[start:end] + raw[last:]


def rotated_by_xmp() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>')
    return encoded_image(form="PNG", pnginfo=text)


def bomb() -> bytes:
    """Return a small PNG whose header states 50,000 by 50,000 pixels."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    "raw",
    [
        encoded_image(),
        encoded_image(form="JPEG"),
        encoded_image(form="WEBP"),
        encoded_image("L"),
        encoded_image("P", form="GIF"),
        encoded_image("1"),
    ],
)
def test_common_image_formats_are_sent_unchanged(tmp_path: Path, raw: bytes) -> None:
    media = store_image(tmp_path, raw)
    assert (media.width, media.height, media.size, media.sent) == (40, 30, len(raw), "")
    assert asyncio.run(payload(media)) == (media.media_type, raw)
    assert [p.name for p in tmp_path.iterdir()] == [media.sha256]
    assert store_image(tmp_path, raw) == media


@pytest.mark.parametrize(
    ("raw", "pixel"),
    [
        (encoded_image("CMYK", form="JPEG"), (254, 0, 0)),
        (encoded_image("RGBA"), (255, 255, 255)),
        (encoded_image("LA"), (255, 255, 255)),
        (encoded_image("I;16"), (255, 255, 255)),
        (encoded_image(form="TIFF"), (200, 10, 10)),
        (encoded_image(form="BMP"), (200, 10, 10)),
        (
            encoded_image(form="GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")]),
            (200, 10, 10),
        ),
    ],
    ids=["cmyk", "alpha", "grey-alpha", "16-bit", "tiff", "bmp", "animated"],
)
def test_formats_that_servers_decode_differently_are_converted_to_rgb_png(
    tmp_path: Path, raw: bytes, pixel: tuple[int, int, int]
) -> None:
    media = store_image(tmp_path, raw)
    assert media.sent == "png 40x30"
    picture = sent_image(media)
    assert (picture.mode, picture.size, getattr(picture, "n_frames", 1)) == ("RGB", (40, 30), 1)
    assert all(abs(a - b) <= 3 for a, b in zip(picture.getpixel((2, 2)), pixel, strict=True))


def test_threads_that_store_the_same_image_do_not_disturb_each_other(tmp_path: Path) -> None:
    raw = os.urandom(2_000_000)

    def store(number: int) -> str:
        return store_bytes(tmp_path / str(number // 4), raw)

    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(store, range(80)))
    (digest,) = digests
    assert all((tmp_path / str(number) / digest).read_bytes() == raw for number in range(20))


@pytest.mark.parametrize(
    "raw",
    [
        rotated_by_exif(),
        rotated_by_exif("PNG"),
        rotated_by_exif("WEBP"),
        rotated_by_exif("TIFF"),
        with_exif_at_the_end(),
        rotated_by_xmp(),
    ],
    ids=["jpeg", "png", "webp", "tiff", "png with EXIF at its end", "xmp"],
)
def test_the_exif_rotation_of_an_image_is_applied_when_it_is_sent_and_shown(
    tmp_path: Path, raw: bytes
) -> None:
    media = store_image(tmp_path, raw)
    assert (media.width * media.height, media.sent) == (1200, "png 30x40")
    assert image_size(Data(suite="toy", local=tmp_path), raw) == (30, 40)
    sent = sent_image(media)
    assert (sent.size, sent.getexif().get(0x0112, 1)) == ((30, 40), 1)
    red = [
        all(abs(a - b) <= 12 for a, b in zip(sent.getpixel(at), (200, 10, 10), strict=True))
        for at in ((2, 2), (27, 2), (2, 37))
    ]
    assert red == [True, True, False]  # the left half is at the top
    pytest.importorskip("streamlit")
    from evals.dashboard.untrusted.media import redraw_image

    assert Image.open(BytesIO(redraw_image(raw))).size == (30, 40)


@pytest.mark.parametrize("orientation", [1, 0, 9])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_image_whose_exif_states_no_rotation_is_sent_unchanged(
    tmp_path: Path, form: str, orientation: int
) -> None:
    raw = rotated_by_exif(form, orientation=orientation)
    assert asyncio.run(payload(store_image(tmp_path, raw)))[1] == raw


@pytest.mark.parametrize(("max_pixels", "size"), [(1200, (40, 30)), (300, (20, 15)), (1, (1, 1))])
def test_reducing_an_image_to_max_pixels_keeps_its_aspect_ratio(
    tmp_path: Path, max_pixels: int, size: tuple[int, int]
) -> None:
    media = store_image(tmp_path, encoded_image(), max_pixels=max_pixels)
    assert (media.width, media.height) == (40, 30)
    assert sent_image(media).size == size


BROKEN = {
    "empty": b"", "text": b"<html>404</html>", "truncated png": encoded_image(size=(400, 300))[:-40], "truncated jpeg": encoded_image(form="JPEG")[:300],
    "header only": encoded_image()[:20], "bomb": bomb(), "svg": b"<svg onload='x'/>", "pdf": b"%PDF-1.7\n", "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
}  # fmt: skip


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_hostile_file_is_rejected_with_a_message_of_one_line(tmp_path: Path, raw: bytes) -> None:
    media = store_image(tmp_path, raw)
    assert media.sent.startswith("refused: ")
    with raises(Rejected):
        asyncio.run(payload(media))


def test_a_decompression_bomb_is_detected_before_decoding() -> None:
    assert inspect_image(bomb())[3] == "refused: 50000x50000 pixels"
    assert MAX_DECODED_PIXELS >= 10_000 * 10_000  # XLRS-Bench has images of that size


def test_an_image_in_a_row_may_be_a_path_bytes_or_base64(tmp_path: Path) -> None:
    raw = encoded_image()
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.png").write_bytes(raw)
    data = Data(suite="toy", local=tmp_path, media=tmp_path / "media")
    forms = [
        "a.png",
        raw,
        {"bytes": raw, "path": None},
        {"bytes": None, "path": "a.png"},
        b64encode(raw).decode(),
    ]
    assert len({image(data, form) for form in forms}) == 1
    assert image(Data(suite="toy", local=tmp_path), "a.png") is None  # scoring reads no images
    for invalid in ("../a.png", "/etc/host.conf", "b.png", "not base64!", 5):
        with raises(DataError):
            image(data, invalid)


async def test_the_openai_adapter_sends_images_as_data_urls_between_the_texts(tmp_path: Path) -> None:
    raw = encoded_image()
    media = store_image(tmp_path, raw)
    prompt = Prompt(messages=(Message("user", (Text("Look at "), media, Text(" and say."))),))
    content = body("m", prompt, Sampling(), await encode_as_data_urls(prompt))["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    prefix, _, encoded = content[1]["image_url"]["url"].partition(";base64,")
    assert (prefix, b64decode(encoded)) == ("data:image/png", raw)


async def test_an_image_deleted_from_the_results_folder_is_an_error_of_its_sample(tmp_path: Path) -> None:
    media = store_image(tmp_path, encoded_image(size=(41, 31)))
    (tmp_path / media.sha256).unlink()
    with raises(Rejected):
        await payload(media)


@pytest.mark.parametrize("kind", ["link", "other", "longer", "pipe"])
def test_another_file_at_the_path_of_an_image_is_replaced_and_not_sent(tmp_path: Path, kind: str) -> None:
    raw = encoded_image()
    private = tmp_path / "private"
    private.write_bytes(b"not an image, and mine")
    store = tmp_path / "media"
    store.mkdir()
    path = store / sha256(raw).hexdigest()
    create: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(private),
        "other": lambda: path.write_bytes(bytes(len(raw))),
        "longer": lambda: path.write_bytes(raw + b"x"),
        "pipe": lambda: os.mkfifo(path),
    }
    create[kind]()
    media = store_image(store, raw)
    assert asyncio.run(payload(media)) == (media.media_type, raw)
    assert private.read_bytes() == b"not an image, and mine"
    assert not path.is_symlink()
