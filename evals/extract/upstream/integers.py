"""Extract integers by the rules of MathArena (eth-sri/matharena @ e9276603, parser) and of protocol `intern-s1`."""

from __future__ import annotations

import re

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.numbers import TWO_EQUATIONS, integer_from_digits
from evals.extract.tags import boxes, stated_answer
from evals.extract.upstream.latex_numbers import latex_value

MAX_BOX_CHARS = 2_000
"""Maximum length of the content of a box that is read."""
_WRAPPER = lazy_pattern(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|rm|bf|displaystyle|large|Large|left|right)\b"
)
_SPACING_AND_MARKUP = lazy_pattern(r"\\[,!;: ]|\\q?quad\b|~|\{,\}(?=\d)|[{}$*`]")
_UNIT_SIGNS = lazy_pattern(r"\^\s*\\circ\b|\^\s*°|°|\\degree\b|\\%|%")
_INTEGER = lazy_pattern(r"[-+−]?\s?(?:\d{1,3}(?:[,，]\d{3})+|\d+)(?:\.0+)?(?![\d.,]*\d)")
_UNIT = lazy_pattern(r"(?:\s*[.。]?\s*|\s*[A-Za-z][A-Za-z ]{0,40}[.。]?)\s*")
_DIGIT_RUN = lazy_pattern(r"\b\d+\b")


def _parse_integer(text: str) -> int | None:
    """Read a short answer that is one integer, optionally with a name and `=` before it and a unit after it."""
    cleaned = _UNIT_SIGNS.sub("", text)
    cleaned = _SPACING_AND_MARKUP.sub("", _WRAPPER.sub(" ", cleaned)).replace("−", "-")
    if TWO_EQUATIONS.search(cleaned):
        return None
    cleaned = re.split(r"=|\\approx\b|\\equiv\b", cleaned)[-1].strip(" \t\n\r()[]\"'")
    integer = _INTEGER.match(cleaned)
    if integer is None or not _UNIT.fullmatch(cleaned, integer.end()):
        return None
    return integer_from_digits(integer[0])


def integer(text: str) -> int | None:
    r"""Read the last box with an integer, or else the last stated answer: the frozen rule of `intern-s1`, used before its judge."""
    for _, _, content in reversed(boxes(text)):
        if len(content) <= MAX_BOX_CHARS and (value := _parse_integer(content)) is not None:
            return value
    stated_text = stated_answer(text)
    return _parse_integer(stated_text) if stated_text else None


_IGNORED_COMMANDS = lazy_pattern(
    r"\\(?:left|right|[bB]ig[lr]?|[lL]arge|displaystyle|hline|vline)(?![A-Za-z])|\\[,;:! ]|\\q?quad\b|\\text\{[^{}]*\}|\^\s*\{?\\circ\}?|\$"
)
_THOUSANDS_COMMA = lazy_pattern(r"(?<=\d),(?=\d)")


def integer_matharena(text: str) -> int | None:
    r"""Read an integer as MathArena does: the last `\boxed` or `\fbox`; without any box, the last integer in the text.

    If the last box is not an integer, it is evaluated (by sympy upstream, by a closed grammar here): `\boxed{65+48}` is 113.
    If it cannot be evaluated, there is no answer; upstream uses the last integer of the text if its parsers fail on the box.
    The last integer is a run of digits between word boundaries, without sign and separators: "-1,024" is 24. Upstream
    is lenient here on purpose (`strict_parsing: false`). Source: eth-sri/matharena @ e9276603, src/matharena/parser.py.

    >>> integer_matharena(r"\boxed{\frac{226}{2}}"), integer_matharena(r"2 cases: \boxed{x}"), integer_matharena("so 5")
    (113, None, 5)
    """
    if spans := boxes(text):
        content = spans[-1][2]
        if len(content) > MAX_BOX_CHARS:
            return None
        stated_integer = _parse_integer(content)
        return stated_integer if stated_integer is not None else _evaluate_expression(content)
    numbers = _DIGIT_RUN.findall(text)
    return integer_from_digits(numbers[-1]) if numbers else None


def _evaluate_expression(content: str) -> int | None:
    """Evaluate the text after the last equals sign; None if it is not an integer."""
    content = _IGNORED_COMMANDS.sub(" ", content).rpartition("=")[2].partition("\\approx")[0]
    number = latex_value(
        _THOUSANDS_COMMA.sub("", content.replace("[", "(").replace("]", ")")).strip().rstrip(".")
    )
    return int(number) if number is not None and abs(number) < 2**53 and number == int(number) else None
