r"""Two texts side by side, with what only one of them has marked: first by lines, then by words within them.

>>> sides("It is A.\nDone.", "It is B.\nDone.").left
[[Word(text='It is ', marked=False), Word(text='A.', marked=True)], [Word(text='Done.', marked=False)]]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

WORDS = 800
"""Words of a changed stretch that are compared one by one; a longer stretch is marked as a whole."""
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
    one, other = left.split("\n")[:LINES], right.split("\n")[:LINES]
    found = Sides([], [])
    for what, i, j, k, m in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if what == "equal":
            found.left.extend([Word(line, marked=False)] for line in one[i:j])
            found.right.extend([Word(line, marked=False)] for line in other[k:m])
        else:
            before, after = _words(one[i:j], other[k:m])
            found.left.extend(before)
            found.right.extend(after)
    return found


def _words(one: Sequence[str], other: Sequence[str]) -> tuple[list[Line], list[Line]]:
    """Compare the words of two stretches of lines."""
    before, after = (re.findall(r"\n|[^\S\n]+|[\w.]+|[^\w\s]", "\n".join(lines)) for lines in (one, other))
    if not before or not after or len(before) > WORDS or len(after) > WORDS:
        return [[Word(line, marked=True)] for line in one], [[Word(line, marked=True)] for line in other]
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    left = [(word, what != "equal") for what, i, j, _, _ in blocks for word in before[i:j]]
    right = [(word, what != "equal") for what, _, _, k, m in blocks for word in after[k:m]]
    return _lines(left), _lines(right)


def _lines(words: Sequence[tuple[str, bool]]) -> list[Line]:
    """Join neighbours that are marked alike, and part the lines."""
    found: list[Line] = [[]]
    for text, marked in words:
        line = found[-1]
        if text == "\n":
            found.append([])
        elif line and line[-1].marked == marked:
            line[-1] = Word(line[-1].text + text, marked)
        else:
            line.append(Word(text, marked))
    return found
