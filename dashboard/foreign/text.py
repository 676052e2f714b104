r"""Foreign text on a page: whatever a model or a data set wrote is shown as it stands, and does nothing.

>>> label("[click](http://evil.example) *now*")
'&#91;click&#93;&#40;http&#58;⁠&#47;&#47;evil&#46;example&#41; &#42;now&#42;'

Streamlit reads most of its strings as Markdown, in two passes: the source (links, images, HTML, formulas,
directives such as `:red[...]`), then the text that is left, in which it still finds bare addresses, `:emoji:`,
icons and arrows. Against the first, every mark is written as a character reference; against the second, a word
joiner (U+2060, of no width) stands where such a pattern would match. Only formulas are let through, and of those
only what is on a list of commands that set mathematics.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from evals.dashboard.foreign.formulas import Piece, pieces

JOINER = "\u2060"
LONGEST = 24_000
"""Characters of one text that a page shows: three quarters from its beginning, the rest from its end."""

_BREAKS = frozenset(":@-<>~")
"""What begins a pattern of Streamlit's second pass: `:icon:`, an e-mail address, `->`, `--`, `~=`."""
_MARKS = {
    ord(c): f"&#{ord(c)};{JOINER if c in _BREAKS else ''}" for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
}
READ = "blue"
"""Ground of what was read as the answer."""
_WWW = re.compile(r"(?<=www)(?=\.)", re.IGNORECASE)


# --- what cannot be seen ------------------------------------------------------------------------------------


def visible(text: str) -> str:
    r"""Write what the eye cannot see and a screen may obey: control, bidirectional and zero-width characters.

    >>> visible("a\x1b[2Jb\u202ec")
    'a⟨U+001B⟩[2Jb⟨U+202E⟩c'
    """
    return text if text.isprintable() and not _HIDDEN.search(text) else "".join(map(_seen, text))


_HIDDEN = re.compile("[\u034f\u115f\u1160\u3164\uffa0\ufe00-\ufe0e\U000e0100-\U000e01ef]")
"""Characters that Python would print and that take no room: variation selectors, fillers, tags."""


def _seen(c: str) -> str:
    if c in "\n\t" or (c.isprintable() and not _HIDDEN.match(c)):
        return c
    if unicodedata.category(c) == "Zs":
        return " "
    return f"⟨U+{ord(c):04X}⟩"


class Cut(NamedTuple):
    """A text that is short enough for a page."""

    text: str
    left_out: int
    """Characters."""
    mark: tuple[int, int] | None = None
    """Where the marked characters stand now; None: there are none, or they are left out."""


def cut(text: str, most: int = LONGEST, *, mark: tuple[int, int] | None = None) -> Cut:
    """Keep beginning and end of a long text, with a line that says how much is left out between them."""
    if len(text) <= most:
        return Cut(text, 0, mark)
    head, tail = most * 3 // 4, most - most * 3 // 4
    left = len(text) - most
    short = f"{text[:head]}\n[... {left:,} characters left out ...]\n{text[-tail:]}"
    if mark and mark[0] >= len(text) - tail:
        moved = len(text) - len(short)
        mark = mark[0] - moved, mark[1] - moved
    elif mark:
        mark = (mark[0], min(mark[1], head)) if mark[0] < head else None
    return Cut(short, left, mark)


def around(text: str, mark: tuple[int, int], *, before: int = 240, after: int = 120) -> Cut:
    """Keep what stands about a mark, from word to word."""
    start, end = max(0, mark[0] - before), min(len(text), mark[1] + after)
    if start:
        start = min(
            (place for place in (text.find(" ", start), text.find("\n", start)) if place >= 0), default=start
        )
        start = min(start, mark[0])
    left_out = start + len(text) - end
    lead = "… " if start else ""
    kept = f"{lead}{text[start:end]}{' …' if end < len(text) else ''}"
    moved = start - len(lead)
    return Cut(kept, left_out, (mark[0] - moved, mark[1] - moved))


# --- as Markdown --------------------------------------------------------------------------------------------


def literal(text: str) -> str:
    """Write a text, without its line ends, as Markdown that shows exactly that text."""
    return _WWW.sub(JOINER, visible(text)).translate(_MARKS)


def label(text: object, most: int = 120) -> str:
    """Write foreign text as one short line: in titles, labels, captions and tooltips."""
    line = " ".join(str(text).split())
    return literal(line if len(line) <= most else f"{line[: most - 1]}…")


def markdown(text: str, *, formulas: bool = True, mark: tuple[int, int] | None = None) -> str:
    """Return a text as Markdown that shows it line by line, with its formulas set and the characters of `mark` marked.

    A formula that `mark` touches is marked as a whole.
    """
    text = text.rstrip()  # Streamlit would take the spaces and leave the break before them
    start, end = (place - text[:place].count("\r\n") for place in mark or (0, 0))
    text = text.replace("\r\n", "\n")
    parts = pieces(text) if formulas else iter([Piece(text, "", 0, len(text))])
    whole = "".join(_written(piece, start, end) for piece in parts)
    whole = "\n".join(map(_spaced, whole.split("\n")))
    whole = re.sub(r"\s*(\0\$\$\0.*?\0\$\$\0)\s*", r"\n\n\1\n\n", whole).strip("\n")
    whole = re.sub(r"\n{2,}", "\0\0", whole)
    return whole.replace("\n", "\\\n").replace("\0", "\n")


def _written(piece: Piece, start: int, end: int) -> str:
    """Return a piece as Markdown; 0 stands for a line end that is Markdown's, and cannot stand in a text."""
    touched = max(start, piece.start) < min(end, piece.end)
    if piece.how == "inline":
        return f":{READ}-background[${piece.text}$]" if touched else f"${piece.text}$"
    if piece.how == "display":
        return (
            f":{READ}-background[$\\displaystyle {piece.text}$]" if touched else f"\0$$\0{piece.text}\0$$\0"
        )
    if not touched:
        return _lines(piece.text)
    first, last = max(start - piece.start, 0), min(end - piece.start, len(piece.text))
    inside = "\n".join(_ground(line, READ) for line in piece.text[first:last].split("\n"))
    return f"{_lines(piece.text[:first])}{inside}{_lines(piece.text[last:])}"


def _lines(text: str) -> str:
    return "\n".join(map(literal, text.expandtabs(4).split("\n")))


def marked(lines: Sequence[Sequence[tuple[str, bool]]], colour: str) -> str:
    """Write lines of (text, whether it is marked) with the marked texts on a ground of a colour of ours."""
    return "\\\n".join(
        "".join(_ground(text, colour) if mark else _spaced(literal(text)) for text, mark in line) or "\u00a0"
        for line in lines
    ).rstrip("\\\n\u00a0 ")


def _ground(text: str, colour: str) -> str:
    return f":{colour}-background[{_spaced(literal(text))}]" if text.strip() else _spaced(literal(text))


def _spaced(text: str) -> str:
    return re.sub(r"^ +| {2,}", lambda spaces: "\u00a0" * len(spaces[0]), text)
