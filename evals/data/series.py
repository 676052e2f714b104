"""Time series and structures in prompts: stored once by hash, validated when the data are read.

Models that accept time series receive the array (time on its first axis) with its sampling rate; others receive it as text
if it is short enough. A structure (CIF) is always sent as text. An invalid file makes its sample fail; a time series whose
text is too long ends the command before the first call.

    Media(kind="time_series", sent="")                 as an array
    Media(kind="time_series", sent="text 2814 characters")
    Media(kind="structure", sent="refused: not a CIF file: it has no data_ block")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from evals.data import Data
from evals.data.media import MAX_PATH_LENGTH, read_below_folder, store_bytes, stored_path
from evals.errors import DataError, Rejected
from evals.labels import AsText, Refused, parse_sent
from evals.plain import count_of
from evals.types import Media, Message, Part, Prompt, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AS_TEXT = frozenset({"time_series", "structure"})
"""Kinds of media that are sent as text to models that do not accept them."""
MAX_VALUES = 20_000_000
"""Maximum number of values, over all channels."""
MAX_CHANNELS = 4_096
MAX_TEXT_CHARS = 60_000
"""Maximum characters of a time series or structure as text."""
NPY_TYPE = "application/x-npy"
CIF_TYPE = "chemical/x-cif"


def series(
    data: Data, value: object, *, rate_hz: float, channels: Sequence[str] = (), name: str = ""
) -> Media | None:
    """Store the time series of a row: a path (.npy, .csv), .npy bytes, a list of values, or a list of values per channel.

    Arrays and files have time on their first axis and channels on their second. `rate_hz`: samples per second;
    `channels`: their names; `name`: the sample's id, for messages. Return None if no model is called. Raises DataError for a
    series that must be sent as text and is too long.
    """
    import numpy as np

    if data.media is None:
        return None
    raw = read_below_folder(data, value) if isinstance(value, str) else value
    raw = raw if isinstance(raw, bytes) else b""
    try:
        array = _checked_values(_parse_array(raw, value), rate_hz, channels)
    except (ValueError, TypeError, EOFError, OSError) as error:
        return _refused_media(
            data.media, "time_series", NPY_TYPE, raw or repr(value)[:1000].encode(), str(error)
        )
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    digest = store_bytes(data.media, stream.getvalue())
    length, count = array.shape
    names = tuple(channels) or tuple(str(n) for n in range(1, count + 1))
    media = Media(
        "time_series", NPY_TYPE, digest, stream.tell(), rate_hz=float(rate_hz), length=length, channels=names
    )
    if "time_series" in data.model_inputs:
        return media
    text = series_text(media, array)
    if len(text) > MAX_TEXT_CHARS:
        raise DataError(
            f"{data.suite}: {name or digest[:12]}: a time series of {length} x {count} values is {len(text)} characters "
            f"as text, more than {MAX_TEXT_CHARS}: this suite needs a model that accepts time series"
        )
    return structs.replace(media, sent=str(AsText(len(text))))


def _parse_array(raw: bytes, value: object) -> NDArray[Any]:
    """Return the array of a value in any form that `series` accepts, time on its first axis."""
    import numpy as np

    if raw.startswith(b"\x93NUMPY"):
        return parse_npy(raw)
    if raw:
        lines = raw.decode("utf-8").strip().splitlines()
        return _rectangular_array([[float(cell) for cell in line.split(",")] for line in lines], "row")
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("no values")
    if isinstance(value[0], list | tuple):
        return _rectangular_array(value, "channel").T
    return np.array(value)


def parse_npy(raw: bytes) -> NDArray[Any]:
    """Return the array of an .npy file; raises ValueError if it is invalid, or shorter or longer than its header states."""
    import numpy as np
    from numpy.lib import format as header

    stream = BytesIO(raw)
    version = header.read_magic(stream)
    read_header = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("it contains Python objects, which are not read")
    if math.prod(shape) * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(
            f"its header states {dtype} of shape {shape}, and {len(raw) - stream.tell()} bytes follow"
        )
    array: NDArray[Any] = np.load(BytesIO(raw), allow_pickle=False)
    return array


def _rectangular_array(rows: Sequence[Sequence[float]], noun: str) -> NDArray[Any]:
    """Return an array; raises ValueError if the lists differ in length."""
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"ragged: {noun} {number} has {count_of(len(row), 'value')}, {noun} 1 has {len(rows[0])}"
            )
    import numpy as np

    return np.array(rows)


def _checked_values(array: NDArray[Any], rate_hz: float, channels: Sequence[str]) -> NDArray[np.float64]:
    """Return the values as float64 of shape (length, channels); raises ValueError if they are invalid."""
    import numpy as np

    if array.dtype.kind not in "iuf":
        raise ValueError("its values are not real numbers")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"an array of shape {array.shape} is not a time series")
    if array.size > MAX_VALUES:
        raise ValueError(f"{array.size} values, more than {MAX_VALUES}")
    values = np.ascontiguousarray(array.reshape(len(array), -1), dtype="<f8")
    if not np.isfinite(values).all():
        index = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"value {index[0] + 1} of channel {index[1] + 1} is {values[tuple(index)]}")
    if not 0 < rate_hz < float("inf"):
        raise ValueError(f"invalid sampling rate of {rate_hz} Hz")
    if values.shape[1] > MAX_CHANNELS:
        raise ValueError(f"{values.shape[1]} channels, more than {MAX_CHANNELS}")
    if channels and len(channels) != values.shape[1]:
        raise ValueError(
            f"{count_of(len(channels), 'channel name')} for {count_of(values.shape[1], 'channel')}"
        )
    return values


def series_text(media: Media, array: NDArray[np.float64]) -> str:
    """Return a time series, of shape (length, channels), as text: a heading, then a line per channel, six digits per value."""
    heading = f"Time series, {media.length} values per channel, {media.rate_hz:g} samples per second."
    lines = (
        f"{name}: {', '.join(f'{value:.6g}' for value in column)}"
        for name, column in zip(media.channels, array.T.tolist(), strict=True)
    )
    return "\n".join((heading, *lines))


def structure(data: Data, value: object) -> Media | None:
    """Store the crystal structure of a row: the text of a CIF file, or a path. Return None if no model is called."""
    if data.media is None:
        return None
    if isinstance(value, bytes):
        raw = value
    else:
        text = str(value)
        is_path = "\n" not in text and len(text) < MAX_PATH_LENGTH
        raw = read_below_folder(data, text) if is_path else text.encode()
    try:
        text = _cif_text(raw)
    except ValueError as error:
        return _refused_media(data.media, "structure", CIF_TYPE, raw, str(error))
    return Media("structure", CIF_TYPE, store_bytes(data.media, raw), len(raw), sent=str(AsText(len(text))))


def _cif_text(raw: bytes) -> str:
    """Return the text of a CIF file; raises ValueError if it is not one."""
    try:
        text = raw.decode("utf-8").replace("\r\n", "\n").strip()
    except UnicodeDecodeError:
        raise ValueError("not a CIF file: it is not UTF-8") from None
    if not any(line.lower().startswith("data_") for line in text.splitlines()):
        raise ValueError("not a CIF file: it has no data_ block")
    if "_atom_site" not in text or "_cell_length_a" not in text:
        raise ValueError("not a crystal structure: it has no cell or no atoms")
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError(f"{len(text)} characters, more than {MAX_TEXT_CHARS}")
    if any(ord(character) < 32 and character not in "\n\t" for character in text):
        raise ValueError("not a CIF file: it contains control characters")
    return text


def _refused_media(folder: Path, kind: Any, media_type: str, raw: bytes, reason: str) -> Media:
    line = " ".join(reason.split())[:200]
    return Media(kind, media_type, store_bytes(folder, raw), len(raw), sent=str(Refused(line)))


def inline_text_media(prompt: Prompt) -> Prompt:
    """Return a prompt in which media sent as text are inlined; raises Rejected for a time series or structure marked refused."""
    if not any(isinstance(p, Media) and p.kind in AS_TEXT for m in prompt.messages for p in m.parts):
        return prompt
    messages = tuple(Message(m.role, tuple(_inline(part) for part in m.parts)) for m in prompt.messages)
    return structs.replace(prompt, messages=messages)


def _inline(part: Part) -> Part:
    if not isinstance(part, Media) or part.kind not in AS_TEXT:
        return part
    if isinstance(parse_sent(part.sent), Refused):
        raise Rejected(f"{part.kind.replace('_', ' ')} {part.sha256[:12]} {part.sent}")
    if not part.sent:
        return part
    raw = stored_path(part).read_bytes()
    if part.kind == "structure":
        return Text(f"\n```cif\n{_cif_text(raw)}\n```\n")
    return Text(f"\n{series_text(part, parse_npy(raw))}\n")
