r"""Extract options by SuperGPQA's rule, including its known defects.

Source: SuperGPQA/SuperGPQA @ 03a3e278, eval/eval.py (zero-shot); OpenCompass @ a5acc4bb has the same rule. The last line,
then the whole reply, is searched for a letter ("The (final) answer is X", "Answer: X", a letter at the beginning), and
then for an option's text. In the whole reply the *first* match counts. Letters are matched in upper and lower case
but compared in upper case, so that "the answer is (c)" is read but wrong, and "The answer is a multiple of 7" states the
option a. Upstream's patterns time out after five seconds; the patterns here are equivalent and take linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_MACRO = r"\\(?:boxed|mathbf|mathrm|text)\{"
_LETTER = rf"(?:{_MACRO}|[*${{(\[\\])*+\s*+([A-J])(?:[\\}}$\]]*+\)|[\\}})$\]]*+(?:[\s:.*]|$))"
_THE_ANSWER = r"the\s++(?:\w++\s++)?(?:answer|option)(?:\w++\s)?\s++"
_LETTER_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_THE_ANSWER}is?:?\s*+{_LETTER}",
        rf"answer[*\s]*+:\s*+{_LETTER}",
        rf"^(?:(?!{_MACRO})[^\w\r\n])*+{_LETTER}",
    )
)
_LABELS = (
    re.compile(rf"[Tt]{_THE_ANSWER[1:]}is:?\s*+"),
    re.compile(r"[Aa][Nn][Ss][Ww][Ee][Rr]\s*+"),
    re.compile(r"^"),
)
_OPTION_END = re.compile(r"[\\}$\]]*+\)|[\\})$\]]*+(?:[\s:.*]|$)")
_OPENING = re.compile(rf"{_MACRO}|[*${{(\[\\]")
_SPACE = re.compile(r"\s*+")
_PUNCTUATION = re.compile(r"[^\w\r\n]")


def option_supergpqa(text: str, options: Sequence[str]) -> tuple[str] | None:
    """Return the stated letter, in upper or lower case as written; None if there is none."""
    text = text.rstrip()
    regions = (text.rpartition("\n")[2], text)
    for region in regions:
        for pattern in _LETTER_PATTERNS:
            if stated := pattern.search(region):
                return (stated[1],)
    for region in regions:
        for label in _LABELS:
            option = _option_after_label(region, label, options)
            if option is not None:
                return (chr(ord("A") + options.index(option)),) if option else None
    return None


def _option_after_label(region: str, label: re.Pattern[str], options: Sequence[str]) -> str | None:
    """Return the text of the option that follows a label, after any opening brackets and macros; None if none does."""
    for match in label.finditer(region):
        for begin in _option_positions(region, match.end(), skip_punctuation=label is _LABELS[2]):
            for option in options:
                if region.startswith(option, begin) and _OPTION_END.match(region, begin + len(option)):
                    return option
    return None


def _option_positions(region: str, position: int, *, skip_punctuation: bool) -> Iterator[int]:
    """Yield the positions at which an option's text may begin: after spaces, opening brackets, macros and punctuation."""
    while True:
        punctuation = skip_punctuation and _PUNCTUATION.match(region, position)
        yield position if punctuation else _after_space(region, position)
        if token := _OPENING.match(region, position):
            skip_punctuation = skip_punctuation and len(token[0]) == 1
            position = token.end()
        elif punctuation:
            position += 1
        else:
            return


def _after_space(region: str, position: int) -> int:
    space = _SPACE.match(region, position)
    return space.end() if space else position
