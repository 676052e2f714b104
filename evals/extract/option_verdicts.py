"""Parse replies that assess every option: "A: incorrect", "✅ C. 2-butanol", a table of verdicts."""

from __future__ import annotations

import re
from typing import NamedTuple

from evals.extract.lazy_pattern import lazy_pattern

_NONEMPTY_LINE = lazy_pattern(r"[^\n]+")
_NEXT_OPTION = lazy_pattern(
    r"(?<=[;；])\s*(?=[A-Z]\s*选?项)|(?<=[;,。；])\s*(?=[A-Z]\s*(?:选?项)?:?\s*(?:说法|描述|表述)?(?:是|为)?(?:正确|对|错|不正确|不对))|(?<=[.;,。；])\s+(?=[*_(\[]{0,3}(?:[Oo]ption\s+)?[*_(\[]{0,3}[A-Z][*_)\]]{0,3}\s*(?:[.:)=]|[—–-]\s|is\b|[✓✔✅☑✗✘❌]))"
)
_RIGHT, _WRONG = r"[✓✔✅☑🟢]|\[x\]", r"[✗✘❌✖🔴]|\[ \]"
_OPTION_LINE = lazy_pattern(
    rf"[\s*_>|#•-]*(?:\d[.)]\s+)?(?:(?P<tick>{_RIGHT})|(?P<cross>{_WRONG}))?[\s*_:|]*(?:(?:option|choice|statement)\s+|选项)?[(\[]?(?P<letter>[A-Z])[)\]]?(?![A-Za-z0-9])[*_]*\s*(?P<rest>.*)",
    re.IGNORECASE,
)
_TICK_OR_CROSS = lazy_pattern(rf"(?P<tick>{_RIGHT})|(?P<cross>{_WRONG})")
_VERDICT_WORD = lazy_pattern(
    r"(?:[.:)|—–=-]|\bis\b|选?项)*+[\s*_|:]*+(?:[,，]\s*[^,，;；。\n]{1,20}[,，]\s*)?(?:is\s+)?(?:(?:(?P<tick>true|correct|yes|right|valid)|(?P<cross>false|incorrect|wrong|no|not\s+\w+|invalid))\b|(?:说法|描述|表述)?(?:是|为)?(?:(?P<right>正确|对)|(?P<wrong>错误?|不正确|不对)))(?P<after>[^\n]*)",
    re.IGNORECASE,
)
_CLOSING_VERDICT = lazy_pattern(
    r"[^\n]*(?:\s[—–-]|[:→.])\s*[*_]*(?:(?P<tick>true|correct)|(?P<cross>false|incorrect|not\s(?:true|correct)))\b[*_]*[.;]?\s*$"
    r"|[^\n]{1,80}?[*_]*\s[—–-]\s+[*_]*(?:(?P<agreed>yes|true|correct)|(?P<denied>no|false|incorrect))[*_]*[,.;:]\s[^\n]*$"
    r"|(?:(?!\b(?:yes|no|true|false)\b)[^\n])*\|\s*[*_]*(?:(?P<yes>yes|true)|(?P<no>no|false))\b[*_]*\s*\|?\s*$",
    re.IGNORECASE,
)
"""As in "A. Entropy increases — true.", a verdict after the option's text, or in the only cell of its kind in a table's row."""
_CONDITION = lazy_pattern(r"\s*,?\s*(?:only|if|when|unless|but|except|provided|under)\b", re.IGNORECASE)
_MAX_VERDICT_CHARS = 300
"""Maximum length of the verdict on one option in characters; the rest is ignored."""
_MAX_LINES = 200
_BOLD_HEADING = lazy_pattern(r"\*\*[A-Z][a-z]{2,}(?:\s\w+){0,4}\*\*")
_TABLE_RULE = lazy_pattern(r"[\s|:=-]*(?:\d{1,2}[.)])?")
"""The rule of a table, or the number of an item whose text is another piece."""


class OptionVerdict(NamedTuple):
    """The verdict on one option."""

    letter: str
    position: int
    is_correct: bool


def option_verdicts(text: str, count: int) -> list[OptionVerdict]:
    """Return the verdict on each of the first `count` options; empty if an option has two, or if the reply has other content.

    >>> [(verdict.letter, verdict.is_correct) for verdict in option_verdicts("A: correct. B: incorrect (tertiary). C: correct.", 3)]
    [('A', True), ('B', False), ('C', True)]
    """
    verdicts: list[OptionVerdict] = []
    for line in list(_NONEMPTY_LINE.finditer(text))[-_MAX_LINES:]:
        begin = line.start()
        for piece in _NEXT_OPTION.split(line[0][: 4 * _MAX_VERDICT_CHARS]):
            piece_begin = text.find(piece, begin)
            begin = piece_begin + len(piece)
            verdict = _parse_verdict(piece[:_MAX_VERDICT_CHARS], piece_begin, count)
            if verdict is not None:
                verdicts.append(verdict)
            elif not _is_ignorable(piece):
                return []
    letters = [verdict.letter for verdict in verdicts]
    return verdicts if len(set(letters)) == len(letters) else []


def _parse_verdict(piece: str, piece_begin: int, count: int) -> OptionVerdict | None:
    item = _OPTION_LINE.match(piece)
    if item is None or not item["letter"].isupper() or ord(item["letter"]) - ord("A") >= count:
        return None
    marks = {str(mark.lastgroup) for mark in _TICK_OR_CROSS.finditer(piece)}
    word = _VERDICT_WORD.match(item["rest"])
    closing = None if word or marks else _CLOSING_VERDICT.match(item["rest"])
    if word is not None and _CONDITION.match(word["after"]):
        return None
    if word is not None and not marks:
        marks = {"tick" if word["tick"] or word["right"] else "cross"}
    if closing is not None:
        marks = {"tick" if closing["tick"] or closing["yes"] or closing["agreed"] else "cross"}
    if len(marks) != 1:
        return None
    return OptionVerdict(item["letter"], piece_begin + item.start("letter"), marks == {"tick"})


def _is_ignorable(piece: str) -> bool:
    """Return whether a piece states nothing, such as the header or rule of a table, or a heading with a colon."""
    stripped = piece.strip().strip("*_ ")
    return (
        not stripped
        or stripped.startswith(("|", "#"))
        or stripped.endswith(":")
        or bool(_TABLE_RULE.fullmatch(stripped) or _BOLD_HEADING.fullmatch(piece.strip()))
    )
