"""The letters that SciEvalKit reads from a reply to a question with several right options, with its known defects.

Source: InternScience/SciEvalKit @ 0817251a, scieval/dataset/trqa.py. In this order, the first that has a letter: the last
`<choice>` tag, the last box, GLM's last box tokens, the last "Answer:" or "Option -" that a full stop or the reply's end
follows, a last line of at most five letters. *Every* letter counts as an option: `<choice>none</choice>` states E, N and O,
and the last line "Cab." states A, B and C. More than ten different letters state nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evals.extract.visible import visible

MOST = 10
_CHOICE = re.compile(r"<(/?)choice>", re.IGNORECASE)
_GLM = re.compile(r"<\|(begin|end)_of_box\|>")
_BOX = re.compile(r"\\boxed\s*+\{([^}]++)\}")
_KEYWORD = re.compile(r"(?:answer|option|correct choice)s?\s*+[:\-]([a-z\s,]++)(?:$|\.)", re.IGNORECASE)
_BARE = re.compile(r"[\s,.*`]")


def letters_scieval(text: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    """Return the letters that a reply states, in alphabetical order; None if it states none."""
    text = visible(text).text.strip()
    for content in _stated(text):
        if letters := _letters(content):
            return tuple(sorted(letters))
    return None


def _stated(text: str) -> Iterator[str]:
    yield from reversed(list(_between(_CHOICE, text, opens="", closes="/")))
    yield from _BOX.findall(text)[-1:]
    yield from list(_between(_GLM, text, opens="begin", closes="end"))[-1:]
    yield from _KEYWORD.findall(text)[-1:]
    line = _BARE.sub("", _without_tags(text.rpartition("\n")[2]).upper())
    if line.isalpha() and len(line) <= 5:
        yield line


def _between(mark: re.Pattern[str], text: str, *, opens: str, closes: str) -> Iterator[str]:
    """Yield the text between an opening mark and the next closing one, as `OPEN(.*?)CLOSE` finds it, in linear time."""
    begin = -1
    for match in mark.finditer(text):
        if match[1] == closes and begin >= 0:
            yield text[begin : match.start()]
            begin = -1
        elif match[1] == opens and begin < 0:
            begin = match.end()


def _without_tags(text: str) -> str:
    """Remove `<[^>]+>`, in linear time: that pattern is quadratic in opening brackets."""
    parts, place = list[str](), 0
    while (begin := text.find("<", place)) >= 0 and (end := text.find(">", begin + 1)) >= 0:
        kept = begin if end > begin + 1 else end + 1
        parts.append(text[place:kept])
        place = end + 1
    return "".join(parts) + text[place:]


def _letters(content: str) -> set[str]:
    letters = set(re.findall("[A-Z]", _without_tags(content).upper()))
    return letters if len(letters) <= MOST else set()
