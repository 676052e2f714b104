r"""The option that SuperGPQA's own code reads from a reply, with its known defects.

Source: SuperGPQA/SuperGPQA @ 03a3e278, eval/eval.py (zero-shot), the same in OpenCompass @ a5acc4bb. Searched for in the last
line, then in the whole reply, first by letter: "The (final) answer is X", "Answer: X", a reply that begins with a letter;
then, if that finds none, by the option's own text. In the whole reply the *first* place counts. Letters are found in either
case and compared in capitals, so that "the answer is (c)", which is read, is wrong, and "The answer is a multiple of 7" states
the option a. Upstream's patterns are given up after five seconds; these are equal to them, and linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_MACRO = r"\\(?:boxed|mathbf|mathrm|text)\{"
_LETTER = rf"(?:{_MACRO}|[*${{(\[\\])*+\s*+([A-J])(?:[\\}}$\]]*+\)|[\\}})$\]]*+(?:[\s:.*]|$))"
_THE = r"the\s++(?:\w++\s++)?(?:answer|option)(?:\w++\s)?\s++"
_LETTERS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_THE}is?:?\s*+{_LETTER}",
        rf"answer[*\s]*+:\s*+{_LETTER}",
        rf"^(?:(?!{_MACRO})[^\w\r\n])*+{_LETTER}",
    )
)
_HEADS = (
    re.compile(rf"[Tt]{_THE[1:]}is:?\s*+"),
    re.compile(r"[Aa][Nn][Ss][Ww][Ee][Rr]\s*+"),
    re.compile(r"^"),
)
_CLOSES = re.compile(r"[\\}$\]]*+\)|[\\})$\]]*+(?:[\s:.*]|$)")
_TOKEN = re.compile(rf"{_MACRO}|[*${{(\[\\]")
_SPACE = re.compile(r"\s*+")
_SIGN = re.compile(r"[^\w\r\n]")


def option_supergpqa(text: str, shown: Sequence[str]) -> tuple[str] | None:
    """Return the letter that a reply states, in lower case if written so; None if none is read."""
    text = text.rstrip()
    regions = (text.rpartition("\n")[2], text)
    for region in regions:
        for pattern in _LETTERS:
            if stated := pattern.search(region):
                return (stated[1],)
    for region in regions:
        for head in _HEADS:
            option = _by_text(region, head, shown)
            if option is not None:
                return (chr(ord("A") + shown.index(option)),) if option else None
    return None


def _by_text(region: str, head: re.Pattern[str], shown: Sequence[str]) -> str | None:
    """Return the text of the option that follows a label, after any opening brackets and macros; None if none does."""
    for match in head.finditer(region):
        for begin in _begins(region, match.end(), signs=head is _HEADS[2]):
            for option in shown:
                if region.startswith(option, begin) and _CLOSES.match(region, begin + len(option)):
                    return option
    return None


def _begins(region: str, at: int, *, signs: bool) -> Iterator[int]:
    """Yield the positions at which an option's text may begin: after ever more openings (at a reply's beginning, any signs) and spaces."""
    while True:
        sign = signs and _SIGN.match(region, at)
        yield at if sign else _behind_space(region, at)
        if token := _TOKEN.match(region, at):
            signs = signs and len(token[0]) == 1
            at = token.end()
        elif sign:
            at += 1
        else:
            return


def _behind_space(region: str, at: int) -> int:
    space = _SPACE.match(region, at)
    return space.end() if space else at
