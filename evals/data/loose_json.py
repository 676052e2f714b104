"""Decode JSON with common deviations from the standard: a byte order mark, NaN, and unpaired surrogates."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from evals.disk import BOM

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<unpaired>u[dD][89a-fA-F]\w\w)|.)")
"""An escape sequence, or two for a pair of surrogates."""
_SURROGATE_BYTES = re.compile(
    rb"(\xed[\xa0-\xaf][\x80-\xbf])(\xed[\xb0-\xbf][\x80-\xbf])|\xed[\xa0-\xbf][\x80-\xbf]"
)
"""Surrogates encoded byte by byte, as Java and old MySQL write them: a pair, or a single one."""


def _join_surrogates(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        return "\ufffd".encode()
    pair = match[0].decode("utf-8", "surrogatepass")
    return pair.encode("utf-16", "surrogatepass").decode("utf-16").encode()


def to_strict_json(raw: bytes) -> bytes:
    """Return JSON without a byte order mark, and with U+FFFD for unpaired surrogates."""
    if b"\xed" in raw:
        raw = _SURROGATE_BYTES.sub(_join_surrogates, raw)
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["unpaired"] else escape[0], raw.removeprefix(BOM))


def decode_json(raw: bytes) -> Any:
    r"""Decode JSON with Python's extensions: NaN, Infinity, unpaired surrogates; a byte order mark is skipped.

    >>> decode_json(rb'{"stderr": NaN, "reply": "NaN \ud83d"}')
    {'stderr': nan, 'reply': 'NaN �'}
    """
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        try:
            return json.loads(to_strict_json(raw))
        except json.JSONDecodeError:
            raise error from None
