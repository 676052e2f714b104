"""Images: stored once by hash, and converted only if necessary.

Whether an image must be converted is decided from its header when the data are read, so that records can state how it is
sent. The conversion happens when the image is sent, outside the event loop, and its result is not cached. A file that is not
an image or is too large makes its sample fail.
"""

from __future__ import annotations

import asyncio
import os
import threading
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import structs

from evals import disk
from evals.boundary import foreign_code
from evals.data import Data
from evals.errors import DataError, Rejected, needs
from evals.labels import AsPng, Refused, SentForm, parse_sent
from evals.types import Media, Part, Text

MAX_DECODED_PIXELS = 120_000_000
"""Maximum size of an image that is decoded; 360 MB as RGB."""
MAX_BYTES = 200_000_000
"""Maximum size of a file that is read."""
MAX_PATH_LENGTH = 1024
"""Longer texts in a row are the content of a file rather than a path."""
INLINE_BYTES = 256 * 1024
"""Files up to this size are read on the event loop, since a thread would take longer."""
UNCONVERTED_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
"""Formats that are sent unconverted -> MIME type."""
READABLE_FORMATS = (*UNCONVERTED_FORMATS, "TIFF", "BMP")
EXIF_ORIENTATION = 0x0112
PNG_ORIENTATION = {
    b"eXIf": "exif",
    b"Raw profile type exif": "Raw profile type exif",
    b"XML:com.adobe.xmp": "XML:com.adobe.xmp",
}
"""Mark of a part of a PNG that may state its orientation -> Pillow's key for the part."""
_used_folders: dict[str, None] = {}
"""Folders with stored files, in the order of their first use."""


@runtime_checkable
class SavableImage(Protocol):
    """An image decoded by the `datasets` package."""

    def save(self, stream: BytesIO, image_format: str, /) -> None:
        """Write the encoded image."""
        ...


def image(data: Data, value: object) -> Media | None:
    """Store the image of a row: a path below the data's folder, bytes, base64, or the hub's {bytes, path}.

    Return None if no model is called (`data.media` is not set). Raises DataError for a missing file.
    """
    if data.media is None:
        return None
    return store_image(data.media, _image_bytes(data, value), max_pixels=data.max_pixels)


def images(data: Data, values: Iterable[object]) -> list[Media]:
    """Store the images of a row, see `image`; empty if no model is called."""
    return [media for value in values if (media := image(data, value)) is not None]


def image_size(data: Data, value: object) -> tuple[int, int]:
    """Return the width and height of a row's image in pixels, upright as it is sent; both 0 for a file that is not an image."""
    _, width, height, sent = inspect_image(_image_bytes(data, value))
    form = parse_sent(sent)
    return (form.width, form.height) if isinstance(form, AsPng) else (width, height)


def with_image(data: Data, text: object, value: object, *, required: bool = False) -> tuple[Part, ...]:
    """Return the image and the question of a row; empty if it has no question.

    Raises DataError if an image is `required` and missing.
    """
    if not text:
        return ()
    media = image(data, value) if value or required else None
    return (Text(str(text)),) if media is None else (media, Text(str(text)))


def _image_bytes(data: Data, value: object) -> bytes:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and len(value) < MAX_PATH_LENGTH and "." in value:
        return read_below_folder(data, value)
    if isinstance(value, str):
        try:
            return b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True)
        except Base64Error:
            raise DataError(f"{data.suite}: an image is neither a file name nor base64") from None
    if not isinstance(value, SavableImage):
        raise DataError(f"{data.suite}: {value!r:.80} is not an image")
    stream = BytesIO()
    value.save(stream, "PNG")
    return stream.getvalue()


def read_below_folder(data: Data, name: str) -> bytes:
    """Return the bytes of a file below the data's folder; empty if it is too large. Raises DataError if it is missing."""
    root = data.folder().resolve()
    path = (root / name).resolve()
    is_inside = path.is_relative_to(root) or (root / Path(name).parts[0]).is_symlink()
    if not is_inside or ".." in Path(name).parts:
        raise DataError(f"{data.suite}: file {name!r} lies outside the data's folder")
    try:
        if path.stat().st_size > MAX_BYTES:
            return b""
        return disk.read_small(path, MAX_BYTES)
    except OSError as error:
        raise DataError(f"{data.suite}: file {name!r}: {error.strerror} in {root}") from None


def store_image(folder: Path, raw: bytes, *, max_pixels: int | None = None) -> Media:
    """Store an image under its hash, and decide how it will be sent; `max_pixels`: larger images are scaled down."""
    digest = store_bytes(folder, raw)
    media_type, width, height, sent = inspect_image(raw, max_pixels=max_pixels)
    return Media("image", media_type, digest, len(raw), width, height, sent)


def store_bytes(folder: Path, raw: bytes) -> str:
    """Store bytes in a file named by their SHA-256, and return the hash; an existing file with other content is replaced.

    A results folder from another person may contain a wrong image under this name, or a link to a private file, which would
    otherwise be sent.
    """
    digest = sha256(raw).hexdigest()
    path = folder / digest
    if not _has_content(path, raw):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{digest}.{threading.get_native_id()}"
        with disk.naming(path), os.fdopen(disk.create(temporary, new=True), "wb") as stream:
            stream.write(raw)
        temporary.replace(path)
    _used_folders[str(folder)] = None
    return digest


def _has_content(path: Path, raw: bytes) -> bool:
    """Return whether a path is a file, not a link, with this content."""
    try:
        return path.lstat().st_size == len(raw) and not path.is_symlink() and disk.read_small(path) == raw
    except OSError:
        return False


def inspect_image(raw: bytes, *, max_pixels: int | None = None) -> tuple[str, int, int, str]:
    """Return MIME type, width and height in pixels from an image's header, and how it will be sent (`Media.sent`)."""
    pil = _pillow()
    try:
        with foreign_code(Rejected), pil.open(BytesIO(raw), formats=READABLE_FORMATS) as pil_image:
            width, height = pil_image.size
            media_type = UNCONVERTED_FORMATS.get(
                pil_image.format or "", f"image/{(pil_image.format or 'unknown').lower()}"
            )
            if width * height > MAX_DECODED_PIXELS:
                return media_type, width, height, str(Refused(f"{width}x{height} pixels"))
            if (
                pil_image.format not in UNCONVERTED_FORMATS
                or _may_state_orientation_at_end(pil_image, raw)
                or _is_ambiguous(pil_image)
                or _is_truncated(pil_image.format, raw)
            ):
                pil_image.load()  # raises for a broken file
            return media_type, width, height, str(_conversion(pil_image, max_pixels) or "")
    except Rejected as error:
        refused = Refused(f"not a readable image ({str(error).partition(':')[0]})")
        return "application/octet-stream", 0, 0, str(refused)


def _is_ambiguous(pil_image: Any) -> bool:
    """Return whether servers may decode an image in different ways: alpha, CMYK, 16 bits, several frames, EXIF rotation."""
    has_alpha = pil_image.mode in ("RGBA", "LA", "PA") or "transparency" in pil_image.info
    is_animated = pil_image.format in ("GIF", "PNG", "WEBP") and getattr(pil_image, "n_frames", 1) > 1
    has_odd_mode = pil_image.mode not in ("RGB", "L", "P", "1")
    return has_alpha or is_animated or has_odd_mode or _orientation(pil_image) != 1


def _may_state_orientation_at_end(pil_image: Any, raw: bytes) -> bool:
    """Return whether a PNG may state its orientation behind the pixels, which Pillow reads when it decodes the image."""
    return pil_image.format == "PNG" and any(
        key not in pil_image.info and mark in raw for mark, key in PNG_ORIENTATION.items()
    )


def _orientation(pil_image: Any) -> int:
    """Return the EXIF orientation, as `exif_transpose` applies it; a PNG that states none is not decoded."""
    if pil_image.format == "PNG" and not any(key in pil_image.info for key in PNG_ORIENTATION.values()):
        return 1
    orientation = pil_image.getexif().get(EXIF_ORIENTATION)
    return orientation if orientation in range(2, 9) else 1


def _is_truncated(image_format: str, raw: bytes) -> bool:
    end_markers = {"PNG": b"IEND", "JPEG": b"\xff\xd9", "GIF": b";"}
    return image_format in end_markers and end_markers[image_format] not in raw[-16:]


def _conversion(pil_image: Any, max_pixels: int | None) -> SentForm:
    """Return the size to which an image must be converted; None if its file can be sent unconverted."""
    width, height = pil_image.size
    if _orientation(pil_image) in (5, 6, 7, 8):  # rotated by 90 degrees
        width, height = height, width
    if max_pixels and width * height > max_pixels:
        width, height = _scaled_down(width, height, max_pixels)
    elif pil_image.format in UNCONVERTED_FORMATS and not _is_ambiguous(pil_image):
        return None
    return AsPng(width, height)


def _scaled_down(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Return a width and height with at most `max_pixels` pixels and the same ratio, up to rounding."""
    scale = min(1.0, (max_pixels / (width * height)) ** 0.5)
    return max(1, int(width * scale)), max(1, int(height * scale))


def enlarge_image(media: Media, factor: int, *, max_pixels: int | None = None) -> Media:
    """Return an image to be sent at `factor` times its size, within `max_pixels`; a refused image is returned unchanged."""
    sent = parse_sent(media.sent)
    if isinstance(sent, Refused):
        return media
    width, height = sent if isinstance(sent, AsPng) else (media.width, media.height)
    limit = min(max_pixels or MAX_DECODED_PIXELS, MAX_DECODED_PIXELS)
    return structs.replace(media, sent=str(AsPng(*_scaled_down(factor * width, factor * height, limit))))


def _pillow() -> Any:
    with needs("an image in a prompt", "vision"):
        from PIL import Image
    Image.MAX_IMAGE_PIXELS = None  # sizes are checked against MAX_DECODED_PIXELS before decoding
    return Image


def convert_to_png(raw: bytes, size: AsPng) -> bytes:
    """Return an image as PNG of the given size: first frame, upright, on white, 8-bit RGB."""
    from PIL import ImageOps

    pil = _pillow()
    width, height = size
    with pil.open(BytesIO(raw), formats=READABLE_FORMATS) as pil_image:
        converted = ImageOps.exif_transpose(pil_image)
        if converted.mode.startswith("I"):
            grayscale: Any = converted
            scale = 255 / 65535 if grayscale.getextrema()[1] > 255 else 1.0
            converted = grayscale.convert("I").point(lambda value: value * scale).convert("L")
        if converted.mode in ("RGBA", "LA", "PA") or "transparency" in converted.info:
            with_alpha = converted.convert("RGBA")
            converted = pil.new("RGBA", with_alpha.size, "white")
            converted.alpha_composite(with_alpha)
        converted = converted.convert("RGB")
        if converted.size != (width, height):
            is_enlarged = width * height > converted.width * converted.height
            converted = converted.resize(
                (width, height), pil.Resampling.BILINEAR if is_enlarged else pil.Resampling.LANCZOS
            )
        stream = BytesIO()
        converted.save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


async def payload(media: Media) -> tuple[str, bytes]:
    """Return the MIME type and the bytes to send; raises Rejected for an image that cannot be sent."""
    sent = parse_sent(media.sent)
    if isinstance(sent, Refused):
        raise Rejected(f"image {media.sha256[:12]} {sent}")
    path = stored_path(media)
    if sent is None and media.size <= INLINE_BYTES:
        return media.media_type, path.read_bytes()
    raw = await asyncio.to_thread(path.read_bytes)
    if not isinstance(sent, AsPng):
        return media.media_type, raw
    with foreign_code(lambda why: Rejected(f"image {media.sha256[:12]} cannot be converted: {why}")):
        return "image/png", await asyncio.to_thread(convert_to_png, raw, sent)


def stored_path(media: Media) -> Path:
    """Return the path of a media file's stored bytes; raises Rejected if it is missing."""
    for folder in _used_folders:
        path = Path(folder) / media.sha256
        if path.exists():
            return path
    raise Rejected(f"the file of {media.kind} {media.sha256[:12]} is missing from the results folder")
