"""Integers as others read them: MathArena (eth-sri/matharena @ e9276603, parser), and the rule stage of `intern-s1`."""

from __future__ import annotations

import re

from evals.extract.later import later
from evals.extract.tags import boxes, stated

_DIGITS = 300
"""More digits than any answer has; longer runs are no integers to us."""
_WRAPPER = later(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|rm|bf|displaystyle|large|Large|left|right)\b"
)
_SPACE = later(r"\\[,!;: ]|\\q?quad\b|~|\{,\}(?=\d)|[{}$*`]")
_DEGREES = later(r"\^\s*\\circ\b|\^\s*°|°|\\degree\b|\\%|%")
_INTEGER = later(r"[-+−]?\s?(?:\d{1,3}(?:[,，]\d{3})+|\d+)(?:\.0+)?(?![\d.,]*\d)")
_UNIT = later(r"(?:\s*[.。]?\s*|\s*[A-Za-z][A-Za-z ]{0,40}[.。]?)\s*")
_SEVERAL = later(r"=[^=,;]{0,80}[,;]\s*[A-Za-z\\]{1,10}\s*=")
_LAST = later(r"[-−]?\d+(?:,\d{3})*")


def _parse(text: str) -> int | None:
    """Read a short answer that is one integer, perhaps with its name before `=` and a unit behind."""
    plain = _DEGREES.sub("", text)
    plain = _SPACE.sub("", _WRAPPER.sub(" ", plain)).replace("−", "-")
    if _SEVERAL.search(plain):
        return None
    plain = re.split(r"=|\\approx\b|\\equiv\b", plain)[-1].strip(" \t\n\r()[]\"'")
    found = _INTEGER.match(plain)
    if found is None or not _UNIT.fullmatch(plain, found.end()):
        return None
    return _value(found[0])


def _value(digits: str) -> int | None:
    digits = re.sub(r"[,，\s]", "", digits).split(".")[0].replace("−", "-")
    return int(digits) if len(digits) <= _DIGITS else None


def integer(text: str) -> int | None:
    r"""Read the last box that holds an integer, else the last stated answer: the rule stage of `intern-s1`, kept as it was."""
    for _, _, content in reversed(boxes(text)):
        if len(content) <= 2000 and (value := _parse(content)) is not None:
            return value
    said = stated(text)
    return _parse(said) if said else None


def integer_matharena(text: str) -> int | None:
    r"""Read an integer as matharena does: the last `\boxed` or `\fbox`, else the last integer in the text.

    Lenient by design (`strict_parsing: false`). Source: eth-sri/matharena @ e9276603, parser.
    """
    for _, _, content in reversed(boxes(text)):
        if len(content) <= 2000 and (value := _parse(content)) is not None:
            return value
        break
    size = 256
    while True:
        start = max(0, len(text) - size)
        numbers = _LAST.findall(text, start)
        if len(numbers) > 1 or (numbers and start == 0):
            return _value(numbers[-1])
        if start == 0:
            return None
        size *= 4
