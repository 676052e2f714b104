r"""A side-by-side diff of two texts: first by lines, then by words within changed lines.

>>> diff("It is A.\nDone.", "It is B.\nDone.").left
[[Fragment(text='It is ', marked=False), Fragment(text='A.', marked=True)], [Fragment(text='Done.', marked=False)]]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

MAX_WORDS = 800
"""Maximum number of words of a changed passage that is compared word by word; a longer one is marked completely."""
MAX_LINES = 3_000
"""Maximum number of lines of a text; later lines are not shown."""


class Fragment(NamedTuple):
    """Adjacent words of a line that are all marked, or all unmarked."""

    text: str
    marked: bool
    """Whether the fragment differs from the other text."""


Line = list[Fragment]


class Sides(NamedTuple):
    """The lines of both texts."""

    left: list[Line]
    right: list[Line]


def diff(left: str, right: str) -> Sides:
    """Return the lines of two texts, with the differences marked."""
    left_lines, right_lines = left.split("\n")[:MAX_LINES], right.split("\n")[:MAX_LINES]
    sides = Sides([], [])
    for operation, i, j, k, m in SequenceMatcher(None, left_lines, right_lines, autojunk=False).get_opcodes():
        if operation == "equal":
            sides.left.extend([Fragment(line, marked=False)] for line in left_lines[i:j])
            sides.right.extend([Fragment(line, marked=False)] for line in right_lines[k:m])
        else:
            left_changed, right_changed = _diff_words(left_lines[i:j], right_lines[k:m])
            sides.left.extend(left_changed)
            sides.right.extend(right_changed)
    return sides


def _diff_words(left_lines: Sequence[str], right_lines: Sequence[str]) -> tuple[list[Line], list[Line]]:
    left_words, right_words = (
        re.findall(r"\n|[^\S\n]+|[\w.]+|[^\w\s]", "\n".join(lines)) for lines in (left_lines, right_lines)
    )
    if not left_words or not right_words or len(left_words) > MAX_WORDS or len(right_words) > MAX_WORDS:
        return [[Fragment(line, marked=True)] for line in left_lines], [
            [Fragment(line, marked=True)] for line in right_lines
        ]
    blocks = SequenceMatcher(None, left_words, right_words, autojunk=False).get_opcodes()
    left = [(word, operation != "equal") for operation, i, j, _, _ in blocks for word in left_words[i:j]]
    right = [(word, operation != "equal") for operation, _, _, k, m in blocks for word in right_words[k:m]]
    return _join_words(left), _join_words(right)


def _join_words(words: Sequence[tuple[str, bool]]) -> list[Line]:
    """Split words into lines, and join adjacent ones that are both marked or both unmarked."""
    lines: list[Line] = [[]]
    for text, marked in words:
        line = lines[-1]
        if text == "\n":
            lines.append([])
        elif line and line[-1].marked == marked:
            line[-1] = Fragment(line[-1].text + text, marked)
        else:
            line.append(Fragment(text, marked))
    return lines
