r"""A diff of two texts side by side: by lines, then by words within changed lines.

>>> sides("It is A.\nDone.", "It is B.\nDone.").left
[[Word(text='It is ', marked=False), Word(text='A.', marked=True)], [Word(text='Done.', marked=False)]]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

WORDS = 800
"""Maximum number of words of a changed passage that is compared word by word; a longer one is marked as a whole."""
LINES = 3_000


class Word(NamedTuple):
    """A piece of a line."""

    text: str
    marked: bool
    """Whether only this side has it."""


Line = list[Word]


class Sides(NamedTuple):
    """Both texts, line by line."""

    left: list[Line]
    right: list[Line]


def sides(left: str, right: str) -> Sides:
    """Compare two texts."""
    left_lines, right_lines = left.split("\n")[:LINES], right.split("\n")[:LINES]
    compared = Sides([], [])
    for what, i, j, k, m in SequenceMatcher(None, left_lines, right_lines, autojunk=False).get_opcodes():
        if what == "equal":
            compared.left.extend([Word(line, marked=False)] for line in left_lines[i:j])
            compared.right.extend([Word(line, marked=False)] for line in right_lines[k:m])
        else:
            before, after = _words(left_lines[i:j], right_lines[k:m])
            compared.left.extend(before)
            compared.right.extend(after)
    return compared


def _words(left_lines: Sequence[str], right_lines: Sequence[str]) -> tuple[list[Line], list[Line]]:
    """Compare the words of two passages."""
    before, after = (
        re.findall(r"\n|[^\S\n]+|[\w.]+|[^\w\s]", "\n".join(lines)) for lines in (left_lines, right_lines)
    )
    if not before or not after or len(before) > WORDS or len(after) > WORDS:
        return [[Word(line, marked=True)] for line in left_lines], [
            [Word(line, marked=True)] for line in right_lines
        ]
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    left = [(word, what != "equal") for what, i, j, _, _ in blocks for word in before[i:j]]
    right = [(word, what != "equal") for what, _, _, k, m in blocks for word in after[k:m]]
    return _lines(left), _lines(right)


def _lines(words: Sequence[tuple[str, bool]]) -> list[Line]:
    """Join neighbouring words that are both marked or both not, and split them into lines."""
    lines: list[Line] = [[]]
    for text, marked in words:
        line = lines[-1]
        if text == "\n":
            lines.append([])
        elif line and line[-1].marked == marked:
            line[-1] = Word(line[-1].text + text, marked)
        else:
            line.append(Word(text, marked))
    return lines
