"""Cues for options in Chinese and in other languages."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_cue import CueResult, is_word_start, read_cue
from evals.extract.option_letters import parse_letters
from evals.extract.statements import Statement

# --- Chinese ------------------------------------------------------------------------------------------------

_CHINESE_BEFORE = lazy_pattern(
    r"(?:选项|选|项|答案)?\s*[(（]?(?<![A-Za-z0-9])(?P<letter>[A-Z])[)）]?\s*(?:选?项)?(?:的)?(?:才)?(?:说法|描述|表述)?(?:是|为)?(?:唯一|最)?$"
)
_CHOSEN = lazy_pattern(r"(?:项|择|出|选)?\s*(?:答案|选项|项)?(?:应该|应|就)?(?:是|为|:)?")


def read_chosen(text: str, at: int, word: str) -> CueResult:
    """Read 故选C, 选项C, 选择C选项."""
    if text.startswith(("择题", "项是", "项有"), at + 1) and not text.startswith("项是", at + 1):
        return None
    item = text.startswith("项", at + 1)
    if item and not re.search(
        r"(?:正确|合适|佳|恰当|对|符合|确|应|优|终|符|案|是|为|题|即|故|则)的?$", text[max(0, at - 6) : at]
    ):
        return None
    link = _CHOSEN.match(text, at + 1)
    return read_cue(text, at, link.end() if link else at + 1, strong=True, firm=True, run=True)


_RIGHT_ONE = lazy_pattern(r"(?:的)?(?:选项|答案|说法|项|一项|选择)?(?:应该|应|就)?\s*(?:是|为|:)\s*")


def read_right(text: str, at: int, word: str) -> CueResult:
    """Read C选项正确, 正确的是C."""
    left = text[max(0, at - 24) : at]
    if left.endswith("不"):
        return None
    if (before := _CHINESE_BEFORE.search(left)) is not None:
        first = at - len(left) + before.start("letter")
        return (
            before["letter"],
            Statement("cue", first, first + 1, statement_mood.mood(text, first, first)),
            True,
        )
    link = _RIGHT_ONE.match(text, at + len(word))
    return read_cue(text, at, link.end(), strong=True, firm=True, run=True) if link else None


def read_suits(text: str, at: int, word: str) -> CueResult:
    """Read B 选项最符合题意."""
    left = text[max(0, at - 24) : at]
    before = None if left.endswith("不") else _CHINESE_BEFORE.search(left)
    if before is None:
        return None
    first = at - len(left) + before.start("letter")
    return before["letter"], Statement("cue", first, first + 1, statement_mood.mood(text, first, first)), True


def read_should(text: str, at: int, word: str) -> CueResult:
    """Read 应为C, 应该是C, 不对, C."""
    link = re.compile(r"(?:[是为选]|[,，。:：\s]{1,3})?").match(text, at + len(word))
    end = link.end() if link else at
    letters, first, last = parse_letters(text, end, min(len(text), end + 40), strong=True)
    if not letters or not text[first].isupper():
        return None
    return letters, Statement("correction", first, last, statement_mood.mood(text, at, last)), True


_FITS_CHINESE = lazy_pattern(r"[^A-Za-z\n。;，,]{0,6}?(?:符合|正确|成立|满足|对|合适|可行|是)")


def read_only(text: str, at: int, word: str) -> CueResult:
    """Read 只有C符合题意."""
    letters, first, last = parse_letters(text, at + len(word), min(len(text), at + 40), strong=True)
    if len(letters) != 1 or not text[first].isupper() or not _FITS_CHINESE.match(text, last):
        return None
    return letters, Statement("cue", first, last, statement_mood.mood(text, at, at)), True


# --- other languages ----------------------------------------------------------------------------------------

_PRAISED_ELSEWHERE = lazy_pattern(
    r"(?:richtig|korrekt|правильн|верн|correct|corrett|corret|esatt|giust|bonne|juste|exact|mejor|melhor|miglior|meilleur|best|正しい|正解の|올바른|맞는)\w{0,4}[\s*_]*$",
    re.IGNORECASE,
)
_LINK_ELSEWHERE = lazy_pattern(
    r"(?:\s+(?:correct|corrett|corret|esatt|giust|just|exact|richtig)\w{0,3})?\s*[*_]{0,2}\s*(?:[:：—–-]|(?:is|ist|est|es|è|é|lautet|будет|является|это)\b(?:\s+(?:la|le|el|il|a|die))?|は|が|은|는)",
    re.IGNORECASE,
)


def read_foreign_option(text: str, at: int, word: str) -> CueResult:
    """Read "La opción correcta es la C", "Правильный вариант — C"."""
    if not is_word_start(text, at):
        return None
    link = _LINK_ELSEWHERE.match(text, at + len(word), at + len(word) + 60)
    if link is None or not (
        _PRAISED_ELSEWHERE.search(text, max(0, at - 30), at)
        or _PRAISED_ELSEWHERE.search(text, at + len(word), link.end())
        or re.search(r"correct|corrett|corret|esatt|giust|exact|richtig", link[0], re.IGNORECASE)
    ):
        return None
    return read_cue(text, at, link.end(), strong=True, firm=True)
