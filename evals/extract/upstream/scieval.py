"""Extract letters by SciEvalKit's rule for questions with several right options, including its known defects.

Source: InternScience/SciEvalKit @ 0817251a, scieval/dataset/trqa.py. The first of these that contains a letter
is read: the last `<choice>` tag, the last box, GLM's last box tokens, the text from the last "Answer:" or "Option -" to a
full stop or the end of the reply, a last line of at most five letters. *Every* letter counts as an option:
`<choice>none</choice>` states E, N and O, and the last line "Cab." states A, B and C. More than ten different letters are
not an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evals.extract.visible import visible

MAX_LETTERS = 10
_CHOICE_TAG = re.compile(r"<(/?)choice>", re.IGNORECASE)
_GLM_BOX_TOKEN = re.compile(r"<\|(begin|end)_of_box\|>")
_BOX = re.compile(r"\\boxed\s*+\{([^}]++)\}")
_AFTER_KEYWORD = re.compile(r"(?:answer|option|correct choice)s?\s*+[:\-]([a-z\s,]++)(?:$|\.)", re.IGNORECASE)
_IGNORED_CHARACTER = re.compile(r"[\s,.*`]")


def letters_scieval(text: str, options: Sequence[str]) -> tuple[str, ...] | None:
    """Return the letters that a reply states, in alphabetical order; None if it states none."""
    text = visible(text).text.strip()
    for content in _candidates(text):
        letters = set(re.findall("[A-Z]", _without_tags(content).upper()))
        if 0 < len(letters) <= MAX_LETTERS:
            return tuple(sorted(letters))
    return None


def _candidates(text: str) -> Iterator[str]:
    yield from reversed(list(_between_tags(_CHOICE_TAG, text, opens="", closes="/")))
    yield from _BOX.findall(text)[-1:]
    yield from list(_between_tags(_GLM_BOX_TOKEN, text, opens="begin", closes="end"))[-1:]
    yield from _AFTER_KEYWORD.findall(text)[-1:]
    line = _IGNORED_CHARACTER.sub("", _without_tags(text.rpartition("\n")[2]).upper())
    if line.isalpha() and len(line) <= 5:
        yield line


def _between_tags(mark: re.Pattern[str], text: str, *, opens: str, closes: str) -> Iterator[str]:
    """Yield the matches of `OPEN(.*?)CLOSE`, in linear time."""
    begin = -1
    for match in mark.finditer(text):
        if match[1] == closes and begin >= 0:
            yield text[begin : match.start()]
            begin = -1
        elif match[1] == opens and begin < 0:
            begin = match.end()


def _without_tags(text: str) -> str:
    """Remove the matches of `<[^>]+>`, in linear time."""
    parts, position = list[str](), 0
    while (begin := text.find("<", position)) >= 0 and (end := text.find(">", begin + 1)) >= 0:
        text_end = begin if end > begin + 1 else end + 1
        parts.append(text[position:text_end])
        position = end + 1
    return "".join(parts) + text[position:]
