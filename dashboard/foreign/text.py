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
_WWW = re.compile(r"(?<=www)(?=\.)", re.IGNORECASE)


# --- what cannot be seen ------------------------------------------------------------------------------------


def visible(text: str) -> str:
    r"""Write what the eye cannot see and a screen may obey: control, bidirectional and zero-width characters.

    >>> visible("a\x1b[2Jb\u202ec")
    'a⟨U+001B⟩[2Jb⟨U+202E⟩c'
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_seen, text))


def _seen(c: str) -> str:
    if c in "\n\t" or (c.isprintable() and not _hidden(c)):
        return c
    if unicodedata.category(c) == "Zs":
        return " "
    return f"⟨U+{ord(c):04X}⟩"


def _hidden(c: str) -> bool:
    """Whether a character that Python would print takes no room: variation selectors, fillers, tags."""
    code = ord(c)
    return (
        0xFE00 <= code <= 0xFE0E
        or 0xE0100 <= code <= 0xE01EF
        or code in (0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0)
    )


class Cut(NamedTuple):
    """A text as long as a page can bear."""

    text: str
    left_out: int
    """Characters."""


def cut(text: str, most: int = LONGEST) -> Cut:
    """Keep beginning and end of a long text, with a line that says how much is left out between them."""
    if len(text) <= most:
        return Cut(text, 0)
    head, tail = most * 3 // 4, most - most * 3 // 4
    left = len(text) - most
    return Cut(f"{text[:head]}\n[... {left:,} characters left out ...]\n{text[-tail:]}", left)


# --- as Markdown --------------------------------------------------------------------------------------------


def literal(text: str) -> str:
    """Write a text, without its line ends, as Markdown that shows exactly that text."""
    return _WWW.sub(JOINER, visible(text)).translate(_MARKS)


def label(text: object, most: int = 120) -> str:
    """Write foreign text as one short line: in titles, labels, captions and tooltips."""
    line = " ".join(str(text).split())
    return literal(line if len(line) <= most else f"{line[: most - 1]}…")


def markdown(text: str, *, formulas: bool = True) -> str:
    """Write a text as Markdown that shows it as it stands, line by line, with its formulas set."""
    text = text.rstrip()  # Streamlit would take the spaces and leave the break before them
    found = pieces(text.replace("\r\n", "\n")) if formulas else iter([Piece(text, "")])
    whole = "".join(_DELIMITED[piece.how](piece.text) for piece in found)
    whole = "\n".join(map(_spaced, whole.split("\n")))
    whole = re.sub(r"\s*(\0\$\$\0.*?\0\$\$\0)\s*", r"\n\n\1\n\n", whole).strip("\n")
    whole = re.sub(r"\n{2,}", "\0\0", whole)
    return whole.replace("\n", "\\\n").replace("\0", "\n")


_DELIMITED = {
    "": lambda text: "\n".join(map(literal, text.expandtabs(4).split("\n"))),
    "inline": "${}$".format,
    "display": "\0$$\0{}\0$$\0".format,
}
"""How a piece is written; 0 stands for a line end that is Markdown's, and cannot stand in a text."""


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
