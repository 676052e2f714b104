r"""Show untrusted text from models and data sets verbatim, so that it cannot affect the page.

>>> label("[click](http://evil.example) *now*")
'&#91;click&#93;&#40;http&#58;⁠&#47;&#47;evil&#46;example&#41; &#42;now&#42;'

Streamlit parses most strings as Markdown, in two passes: first links, images, HTML, formulas and directives such as
`:red[...]`, then bare URLs, `:emoji:`, icons and arrows in the remaining text. Against the first pass, punctuation is
escaped as character references; against the second, a word joiner (U+2060, of zero width) is inserted into its matches.
Of the formulas, only safe ones are typeset (`formulas.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from evals.dashboard.untrusted.formulas import Piece, split_formulas

JOINER = "\u2060"
MAX_CHARS = 24_000
"""Maximum length of a displayed text. Three quarters of it come from the start of a longer text, the rest from its end."""

_SECOND_PASS_CHARS = frozenset(":@-<>~")
"""Characters that start a pattern of Streamlit's second pass: `:icon:`, an e-mail address, `->`, `--`, `~=`."""
_ESCAPES = {
    ord(c): f"&#{ord(c)};{JOINER if c in _SECOND_PASS_CHARS else ''}"
    for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
}
ANSWER_COLOUR = "blue"
"""Background of the extracted answer."""
_WWW_DOT = re.compile(r"(?<=www)(?=\.)", re.IGNORECASE)


def visible(text: str) -> str:
    r"""Return text with control, bidirectional and zero-width characters replaced by their code points.

    >>> visible("a\x1b[2Jb\u202ec")
    'a⟨U+001B⟩[2Jb⟨U+202E⟩c'
    """
    return text if text.isprintable() and not _INVISIBLE.search(text) else "".join(map(_make_visible, text))


_INVISIBLE = re.compile("[\u034f\u115f\u1160\u3164\uffa0\ufe00-\ufe0e\U000e0100-\U000e01ef]")
"""Characters that are printable to Python, but invisible: variation selectors, fillers, tags."""


def _make_visible(c: str) -> str:
    if c in "\n\t" or (c.isprintable() and not _INVISIBLE.match(c)):
        return c
    if unicodedata.category(c) == "Zs":
        return " "
    return f"⟨U+{ord(c):04X}⟩"


class Shortened(NamedTuple):
    """A text that may have been shortened."""

    text: str
    omitted: int
    """Number of omitted characters."""
    mark: tuple[int, int] | None = None
    """Start and end of the marked characters; None if there are none, or they are omitted."""


def shorten(text: str, limit: int = MAX_CHARS, *, mark: tuple[int, int] | None = None) -> Shortened:
    """Return a text or, if it is longer than `limit`, its start and end, joined by a line that states how much is omitted."""
    if len(text) <= limit:
        return Shortened(text, 0, mark)
    head_length, tail_length = limit * 3 // 4, limit - limit * 3 // 4
    omitted = len(text) - limit
    shortened = f"{text[:head_length]}\n[... {omitted:,} characters omitted ...]\n{text[-tail_length:]}"
    if mark and mark[0] >= len(text) - tail_length:
        shift = len(text) - len(shortened)
        mark = mark[0] - shift, mark[1] - shift
    elif mark:
        mark = (mark[0], min(mark[1], head_length)) if mark[0] < head_length else None
    return Shortened(shortened, omitted, mark)


def excerpt(text: str, mark: tuple[int, int]) -> Shortened:
    """Return a marked part of a text with up to 240 characters before and 120 after it, starting at the beginning of a word."""
    start, end = max(0, mark[0] - 240), min(len(text), mark[1] + 120)
    if start:
        start = min(
            (position for position in (text.find(" ", start), text.find("\n", start)) if position >= 0),
            default=start,
        )
        start = min(start, mark[0])
    omitted = start + len(text) - end
    prefix = "… " if start else ""
    excerpt_text = f"{prefix}{text[start:end]}{' …' if end < len(text) else ''}"
    shift = start - len(prefix)
    return Shortened(excerpt_text, omitted, (mark[0] - shift, mark[1] - shift))


def literal(text: str) -> str:
    """Return Markdown that shows a text verbatim, with tabs expanded to columns of four; line breaks stay as they are."""
    return _WWW_DOT.sub(JOINER, visible(text.expandtabs(4))).translate(_ESCAPES)


def label(text: object, limit: int = 120) -> str:
    """Return untrusted text as one short line of Markdown, for titles, labels, captions and tooltips."""
    line = " ".join(str(text).split())
    return literal(line if len(line) <= limit else f"{line[: limit - 1]}…")


def markdown(text: str, *, mark: tuple[int, int] | None = None) -> str:
    """Return Markdown that shows text with its line breaks, with formulas typeset and the range `mark` highlighted.

    A formula that overlaps `mark` is highlighted completely.
    """
    text = text.rstrip()  # Streamlit strips trailing spaces, but not the line break before them
    start, end = (position - text[:position].count("\r\n") for position in mark or (0, 0))
    text = text.replace("\r\n", "\n")
    escaped = "".join(_piece_to_markdown(piece, start, end) for piece in split_formulas(text))
    escaped = "\n".join(map(_keep_spaces, escaped.split("\n")))
    escaped = re.sub(r"\s*(\0\$\$\0.*?\0\$\$\0)\s*", r"\n\n\1\n\n", escaped).strip("\n")
    escaped = re.sub(r"\n{2,}", "\0\0", escaped)
    return escaped.replace("\n", "\\\n").replace("\0", "\n")


def _piece_to_markdown(piece: Piece, start: int, end: int) -> str:
    """Return a piece as Markdown; NUL, which does not occur in it, stands for line breaks of the Markdown, not the text."""
    overlaps = max(start, piece.start) < min(end, piece.end)
    if piece.mode == "inline":
        return f":{ANSWER_COLOUR}-background[${piece.text}$]" if overlaps else f"${piece.text}$"
    if piece.mode == "display":
        return (
            f":{ANSWER_COLOUR}-background[$\\displaystyle {piece.text}$]"
            if overlaps
            else f"\0$$\0{piece.text}\0$$\0"
        )
    if not overlaps:
        return literal(piece.text)
    first, last = max(start - piece.start, 0), min(end - piece.start, len(piece.text))
    highlighted = "\n".join(_highlight(line, ANSWER_COLOUR) for line in piece.text[first:last].split("\n"))
    return f"{literal(piece.text[:first])}{highlighted}{literal(piece.text[last:])}"


def lines_to_markdown(lines: Sequence[Sequence[tuple[str, bool]]], colour: str) -> str:
    """Return lines of (text, whether it is marked) as Markdown, with marked texts highlighted in `colour`."""
    return "\\\n".join(
        "".join(_highlight(text, colour) if mark else _keep_spaces(literal(text)) for text, mark in line)
        or "\u00a0"
        for line in lines
    ).rstrip("\\\n\u00a0 ")


def _highlight(text: str, colour: str) -> str:
    spaced = _keep_spaces(literal(text))
    return f":{colour}-background[{spaced}]" if text.strip() else spaced


def _keep_spaces(text: str) -> str:
    return re.sub(r"^ +| {2,}", lambda spaces: "\u00a0" * len(spaces[0]), text)
