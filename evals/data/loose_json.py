"""JSON as it is written in the wild: with a byte order mark, NaN, and halves of surrogate pairs."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from evals.disk import BOM

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<half>u[dD][89a-fA-F]\w\w)|.)")


def strict(raw: bytes) -> bytes:
    r"""Return JSON without a byte order mark, and with U+FFFD for halves of surrogate pairs."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], raw.removeprefix(BOM))


def decoded(raw: bytes) -> Any:
    r"""Decode JSON, and what Python writes as though it were: NaN, Infinity, halves of surrogate pairs; a BOM is skipped.

    >>> decoded(rb'{"stderr": NaN, "reply": "NaN \ud83d"}')
    {'stderr': nan, 'reply': 'NaN �'}
    """
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        try:
            return json.loads(strict(raw))
        except json.JSONDecodeError:
            raise error from None
