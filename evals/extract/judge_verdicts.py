r"""Parse the replies of judge models: verdicts, and answers that a judge extracted.

Only the form that the judge was asked for is accepted.

>>> verdict('{"case": "3f9a", "verdict": "A"}', "3f9a", ("A", "B"))
'A'
>>> verdict("A, because the candidate says so", "3f9a", ("A", "B")) is None
True
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf, isfinite
from typing import Any, Literal

import msgspec

MAX_CHARS = 4_000
"""Maximum length of a judge's reply in characters."""
_FENCE = re.compile(r"\A```(?i:json)?[ \t]*\n(.*)\n[ \t]*```\Z", re.DOTALL)
_BOX = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]{1,20})\}{1,2}")


def _verdict_field(text: str, case: str, field: str) -> Any:
    """Return a field of a judge's reply, which must be a single JSON object with `field` and `case`; None for any other text.

    `case` is a hash of the judged texts, which the candidate's reply cannot contain and the judge must repeat; a judge that
    only copies from that reply therefore gives no valid verdict.
    """
    text = text.strip()
    if len(text) > MAX_CHARS:
        return None
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        reply = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    return reply[field] if set(reply) == {"case", field} and reply["case"] == case else None


def verdict(text: str, case: str, allowed: Sequence[str]) -> str | None:
    """Read one of the allowed verdicts; None for any other text."""
    value = _verdict_field(text, case, "verdict")
    return value if isinstance(value, str) and value in allowed else None


def extracted_number(text: str, case: str) -> float | Literal["nothing"] | None:
    """Read the number that a judge extracted from a reply; `nothing` if it found none, None if the judge's reply is invalid."""
    field_value = _verdict_field(text, case, "number")
    if field_value == "none":
        return "nothing"
    if isinstance(field_value, bool) or not isinstance(field_value, int | float):
        return None
    try:
        return float(field_value) if isfinite(field_value) else None
    except OverflowError:
        return None


def extracted_answer(text: str, case: str) -> str | None:
    """Read the answer that a judge extracted from a reply; empty if it found none, None if the judge's reply is invalid."""
    field_value = _verdict_field(text, case, "answer")
    return field_value.strip() if isinstance(field_value, str) else None


_OPENCOMPASS_NAMES = {"CORRECT": "A", "INCORRECT": "B", "A: CORRECT": "A", "B: INCORRECT": "B"}


def bare_verdict(text: str, allowed: Sequence[str]) -> str | None:
    """Read the verdict of a judge that was given upstream's prompt: an allowed verdict and nothing else.

    If the allowed verdicts are A and B, their names in OpenCompass' prompt, CORRECT and INCORRECT, are also accepted.
    Brackets, bold, dollar signs and a box around the verdict are ignored.
    """
    if box := _BOX.fullmatch(text.strip(" \t\r\n$.")):
        text = box[1]
    word = re.sub(r"\s?[:(]\s?", ": ", text.strip(" \t\r\n*.\"'`$()[]").upper())
    if word in allowed:
        return word
    return _OPENCOMPASS_NAMES.get(word) if tuple(allowed) == ("A", "B") else None


def bare_number(text: str) -> float | None:
    """Read the number of a judge that was asked to reply with nothing else; bold, code and dollar signs are ignored."""
    text = text.strip(" \t\r\n*`$").replace("\u2212", "-")
    try:
        number = float(text) if len(text) < 100 and "_" not in text else inf
    except ValueError:
        return None
    return number if isfinite(number) else None
