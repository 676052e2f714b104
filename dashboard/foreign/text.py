r"""Foreign text on a page: the output of models and data sets is shown verbatim and has no effect.

>>> label("[click](http://evil.example) *now*")
'&#91;click&#93;&#40;http&#58;⁠&#47;&#47;evil&#46;example&#41; &#42;now&#42;'

Streamlit reads most of its strings as Markdown, in two passes: the source (links, images, HTML, formulas,
directives such as `:red[...]`), then the text that is left, in which it still finds bare addresses, `:emoji:`,
icons and arrows. Against the first, punctuation is written as character references; against the second, a word
joiner (U+2060, of no width) is inserted into such patterns. Only formulas are let through, and of those
only those whose commands are on a list.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from evals.dashboard.foreign.formulas import Piece, pieces

JOINER = "\u2060"
LONGEST = 24_000
"""Characters of a text that a page shows: three quarters from its beginning, the rest from its end."""

_BREAKS = frozenset(":@-<>~")
"""Characters that begin a pattern of Streamlit's second pass: `:icon:`, an e-mail address, `->`, `--`, `~=`."""
_MARKS = {
    ord(c): f"&#{ord(c)};{JOINER if c in _BREAKS else ''}" for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
}
READ = "blue"
"""Background of the extracted answer."""
_WWW = re.compile(r"(?<=www)(?=\.)", re.IGNORECASE)


# --- invisible characters ------------------------------------------------------------------------------------


def visible(text: str) -> str:
    r"""Return a text with control, bidirectional and zero-width characters written out.

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


class Shortened(NamedTuple):
    """A text that is short enough for a page."""

    text: str
    left_out: int
    """Characters."""
    mark: tuple[int, int] | None = None
    """Position of the marked characters; None: there are none, or they are left out."""


def shorten(text: str, most: int = LONGEST, *, mark: tuple[int, int] | None = None) -> Shortened:
    """Return beginning and end of a long text, with a line between them that says how much is left out."""
    if len(text) <= most:
        return Shortened(text, 0, mark)
    head, tail = most * 3 // 4, most - most * 3 // 4
    left = len(text) - most
    short = f"{text[:head]}\n[... {left:,} characters left out ...]\n{text[-tail:]}"
    if mark and mark[0] >= len(text) - tail:
        moved = len(text) - len(short)
        mark = mark[0] - moved, mark[1] - moved
    elif mark:
        mark = (mark[0], min(mark[1], head)) if mark[0] < head else None
    return Shortened(short, left, mark)


def excerpt(text: str, mark: tuple[int, int], *, before: int = 240, after: int = 120) -> Shortened:
    """Return an excerpt around a mark, cut at words."""
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
    return Shortened(kept, left_out, (mark[0] - moved, mark[1] - moved))


# --- as Markdown --------------------------------------------------------------------------------------------


def literal(text: str) -> str:
    """Return Markdown that shows exactly this line of text."""
    return _WWW.sub(JOINER, visible(text)).translate(_MARKS)


def label(text: object, most: int = 120) -> str:
    """Return foreign text as one short line of Markdown, for titles, labels, captions and tooltips."""
    line = " ".join(str(text).split())
    return literal(line if len(line) <= most else f"{line[: most - 1]}…")


def markdown(text: str, *, formulas: bool = True, mark: tuple[int, int] | None = None) -> str:
    """Return Markdown that shows a text line by line, with formulas typeset and the characters of `mark` highlighted.

    A formula that overlaps `mark` is highlighted as a whole.
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
    """Return a piece as Markdown; NUL, which no text contains here, stands for a line end of the Markdown."""
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
    """Return lines of (text, whether it is marked) as Markdown, marked texts highlighted in `colour`."""
    return "\\\n".join(
        "".join(_ground(text, colour) if mark else _spaced(literal(text)) for text, mark in line) or "\u00a0"
        for line in lines
    ).rstrip("\\\n\u00a0 ")


def _ground(text: str, colour: str) -> str:
    return f":{colour}-background[{_spaced(literal(text))}]" if text.strip() else _spaced(literal(text))


def _spaced(text: str) -> str:
    return re.sub(r"^ +| {2,}", lambda spaces: "\u00a0" * len(spaces[0]), text)
