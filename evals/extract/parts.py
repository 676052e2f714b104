r"""Split answers with several parts: a reply into boxes, a box into answers, an answer into the part's name and the rest.

>>> innermost_boxes(r"\boxed{\frac{1}{2}} and \boxed{\boxed{3}}")
['\\frac{1}{2}', '3']
>>> split_answers(r"x = 1, \; y = (2, 3)", 2)
['x = 1', 'y = (2, 3)']
"""

from __future__ import annotations

import re

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.tags import boxes
from evals.extract.units.notation import strip_around

MAX_CHARS = 2_000
"""Maximum length of the content of a box in characters; the rest is dropped."""
_BOX_COMMAND = lazy_pattern(r"\\+boxed\{")
_LAYOUT_COMMAND = lazy_pattern(
    r"\\[,;:! ]|\\q?quad\b|~|\\(?:displaystyle|left|right|bigl?|Bigl?|bigr|Bigr)\b|\\(?:begin|end)\{\w+\*?\}|&"
)
_PART_NAME = lazy_pattern(
    r"\s*(?:\\(?:text|textbf|mathrm|mathbf)\{\s*)?\(?([a-h])\)\s*[:.]?\s*(?P<close>\})?\s*[:.]?\s*"
)
_AND = lazy_pattern(r"\s*(?:\\text\{\s*and\s*\}|\band\b)\s*")
_EQUALS_SIGN = lazy_pattern(r"=|\\(?:approx|simeq|equiv|sim|cong)\b|\u2248")
_SEPARATORS = lazy_pattern(r"(?P<mark>\\\\|\n|(?<!\\);|\\q?quad\b)|\\.|[\[\](){}]")
_SEPARATORS_OR_COMMAS = lazy_pattern(
    r"(?P<mark>\\\\|\n|(?<!\\);|\\q?quad\b|(?<!\\),(?!\d{3}(?!\d)))|\\.|[\[\](){}]"
)


def outermost_boxes(text: str) -> list[str]:
    r"""Return the content of each outermost `\boxed{}`, or of the first box within it; empty ones are left out."""
    contents: list[str] = []
    end = -1
    for begin, box_end, content in boxes(text):
        if begin < end or not _BOX_COMMAND.match(text, begin):
            continue
        end = box_end
        nested = boxes(content)
        if chosen := (nested[0][2] if nested else content).strip():
            contents.append(chosen)
    return contents


def innermost_boxes(text: str) -> list[str]:
    """Return the contents of the non-empty innermost boxes, in the order of the text."""
    spans = boxes(text)
    innermost = [
        content.strip()
        for index, (_, end, content) in enumerate(spans)
        if index + 1 == len(spans) or spans[index + 1][0] >= end
    ]
    return [content for content in innermost if content]


def split_answers(text: str, count: int) -> list[str]:
    """Split the content of a box into `count` answers at its outermost separators; return it unsplit if there are not `count`."""
    text = text[:MAX_CHARS]
    with_semicolons = _AND.sub(";", text)
    for candidate, separators in (
        (text, _SEPARATORS),
        (with_semicolons, _SEPARATORS),
        (with_semicolons, _SEPARATORS_OR_COMMAS),
    ):
        pieces = map(without_layout, _split_outside_brackets(candidate, separators))
        answers = [answer for piece in pieces if (answer := strip_around(piece, " .,;$"))]
        if len(answers) == count:
            return answers
    return [text]


def _split_outside_brackets(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split at the separators that are outside all brackets."""
    pieces, depth, begin = [], 0, 0
    for token in separator.finditer(text):
        if token["mark"] and depth == 0:
            pieces.append(text[begin : token.start()])
            begin = token.end()
        depth += (token[0] in "([{") - (token[0] in ")]}")
    return [*pieces, text[begin:]]


def split_part_name(text: str) -> tuple[str, str]:
    """Split the name of a part, such as "(b)", from an answer; return (name or empty, the rest)."""
    name = _PART_NAME.match(text)
    if name is None:
        return "", text
    remainder = text[name.end() :]
    if name[0].lstrip().startswith("\\") and not name["close"]:  # the brace of the command is still open
        remainder = text[: name.start(1)].lstrip(" (").removesuffix("(") + remainder
    return (name[1], remainder.strip()) if remainder.strip(" }") else ("", text)


def equation_sides(text: str) -> list[str]:
    """Split an equation at its outermost equals and approximation signs."""
    pieces, depth, begin = [], 0, 0
    sign_ends = {sign.start(): sign.end() for sign in _EQUALS_SIGN.finditer(text)}
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth <= 0 and position in sign_ends and begin <= position:
            pieces.append(text[begin:position].strip())
            begin = sign_ends[position]
    return [*pieces, text[begin:].strip()]


def without_layout(text: str) -> str:
    """Remove layout commands and repeated spaces from a formula."""
    return " ".join(_LAYOUT_COMMAND.sub(" ", text).split())
