"""Integers as other harnesses read them: MathArena (eth-sri/matharena @ e9276603, parser), and the rule stage of `intern-s1`."""

from __future__ import annotations

import re

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.tags import boxes, stated
from evals.extract.upstream.latex_numbers import value

_MAX_DIGITS = 300
"""More digits than any answer has; longer runs are no integers to us."""
_WRAPPER = lazy_pattern(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|rm|bf|displaystyle|large|Large|left|right)\b"
)
_SPACE = lazy_pattern(r"\\[,!;: ]|\\q?quad\b|~|\{,\}(?=\d)|[{}$*`]")
_DEGREES = lazy_pattern(r"\^\s*\\circ\b|\^\s*°|°|\\degree\b|\\%|%")
_INTEGER = lazy_pattern(r"[-+−]?\s?(?:\d{1,3}(?:[,，]\d{3})+|\d+)(?:\.0+)?(?![\d.,]*\d)")
_UNIT = lazy_pattern(r"(?:\s*[.。]?\s*|\s*[A-Za-z][A-Za-z ]{0,40}[.。]?)\s*")
_SEVERAL = lazy_pattern(r"=[^=,;]{0,80}[,;]\s*[A-Za-z\\]{1,10}\s*=")
_LAST = lazy_pattern(r"[-−]?\d+(?:,\d{3})*")


def _parse(text: str) -> int | None:
    """Read a short answer that is one integer, perhaps with a name and `=` before it and a unit after it."""
    plain = _DEGREES.sub("", text)
    plain = _SPACE.sub("", _WRAPPER.sub(" ", plain)).replace("−", "-")
    if _SEVERAL.search(plain):
        return None
    plain = re.split(r"=|\\approx\b|\\equiv\b", plain)[-1].strip(" \t\n\r()[]\"'")
    integer = _INTEGER.match(plain)
    if integer is None or not _UNIT.fullmatch(plain, integer.end()):
        return None
    return _value(integer[0])


def _value(digits: str) -> int | None:
    digits = re.sub(r"[,，\s]", "", digits).split(".")[0].replace("−", "-")
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def integer(text: str) -> int | None:
    r"""Read the last box that holds an integer, else the last stated answer: the frozen rule stage of `intern-s1`."""
    for _, _, content in reversed(boxes(text)):
        if len(content) <= 2000 and (value := _parse(content)) is not None:
            return value
    stated_text = stated(text)
    return _parse(stated_text) if stated_text else None


_DROPPED = lazy_pattern(
    r"\\(?:left|right|[bB]ig[lr]?|[lL]arge|displaystyle|hline|vline)(?![A-Za-z])|\\[,;:! ]|\\q?quad\b|\\text\{[^{}]*\}|\^\s*\{?\\circ\}?|\$"
)
_JOINED = lazy_pattern(r"(?<=\d),(?=\d)")


def integer_matharena(text: str) -> int | None:
    r"""Read an integer as matharena does: the last `\boxed` or `\fbox`; without any box, the last integer in the text.

    A last box that is not literally an integer is computed (sympy upstream, here a closed grammar): `\boxed{65+48}` is 113. One
    that cannot be computed is not an answer, and the last integer of the text does not take its place. Lenient by design
    (`strict_parsing: false`). Source: eth-sri/matharena, src/matharena/parser.py @ 2ccbd328.

    >>> integer_matharena(r"\boxed{\frac{226}{2}}"), integer_matharena(r"2 cases: \boxed{x}"), integer_matharena("so 5")
    (113, None, 5)
    """
    if spans := boxes(text):
        content = spans[-1][2]
        if len(content) > 2000:
            return None
        whole = _parse(content)
        return whole if whole is not None else _computed(content)
    size = 256
    while True:
        start = max(0, len(text) - size)
        numbers = _LAST.findall(text, start)
        if len(numbers) > 1 or (numbers and start == 0):
            return _value(numbers[-1])
        if start == 0:
            return None
        size *= 4


def _computed(content: str) -> int | None:
    """Compute what follows the last equals sign; None if it is not an integer."""
    content = _DROPPED.sub(" ", content).rpartition("=")[2].partition("\\approx")[0]
    number = value(_JOINED.sub("", content.replace("[", "(").replace("]", ")")).strip().rstrip("."))
    return int(number) if number is not None and abs(number) < 2**53 and number == int(number) else None
