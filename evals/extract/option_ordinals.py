"""Options named by their place: "the third option", "option three", 第三个选项."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import OptionCueReader, is_for_one_case, is_word_start
from evals.extract.option_letters import CLAUSE_END
from evals.extract.statements import CueReading, Statement

_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_CARDINALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_PLACES = (
    {word: place for words in (_ORDINALS, _CARDINALS) for place, word in enumerate(words)}
    | {character: place for place, character in enumerate("一二三四五六七八九十")}
    | {str(place + 1): place for place in range(10)}
)
_NOUN = r"(?:answer\s+)?(?:option|choice|alternative|possibility|answer)(?:\s+(?:given|listed|offered|above|in\s+the\s+list|on\s+the\s+list))?"
_CHINESE = r"第(?P<{}>[一二三四五六七八九十]|\d{{1,2}})\s*(?:个|種|种)?(?:选项|项|个|选择|答案)"
_STATED = lazy_pattern(
    rf"(?:the\s+|my\s+)?(?:(?P<ordinal>{'|'.join(_ORDINALS)})\s+(?:of\s+the\s+)?(?:{_NOUN}|one|statement|item)s?"
    rf"|(?:option|choice|alternative)\s+(?:number\s+|no\.\s*)?#?(?P<cardinal>{'|'.join(_CARDINALS)}|10|[1-9])"
    rf"|{_CHINESE.format('chinese')})(?:\s*[(（,:][^\n]*|，[^\n]*)?[.。]?",
    re.IGNORECASE,
)
_AFTER_ORDINAL = lazy_pattern(rf"\s+(?:of\s+the\s+)?{_NOUN}(?P<plural>s?)\b[*_]*", re.IGNORECASE)
_AFTER_CHINESE = lazy_pattern(_CHINESE.format("place"))
_GLOSS = r"(?:\s*[(（][^()（）\n]{1,60}[)）]|,\s[^,.;\n]{1,60},)?"
_CALLED_CORRECT = lazy_pattern(
    rf"{_GLOSS}\s*(?:(?:is|must\s+be|has\s+to\s+be)\s+(?:therefore\s+|thus\s+|clearly\s+)?(?:the\s+)?(?:only\s+)?(?:correct|right|best|answer|true|one\s+that\s+(?:fits|works|holds|is\s+correct))\b"
    r"|(?:fits|works|holds|matches|applies)(?:\s+best)?\s*(?:[.!]|\n|$)|(?:才|就)?(?:是|为)?(?:唯一|最)?(?:正确|对|符合|恰当|合适))",
    re.IGNORECASE,
)
_INTRODUCES = lazy_pattern(
    r"(?:^|\n|[.!?:。：，,]\s*|\b(?:(?:it|this|that|which|answer|one|correct|right)\s+(?:is|must\s+be|corresponds\s+to)|(?:it|that|this)['’]s|so|thus|hence|therefore|choose|pick|select|to|with|matches|i\.e\.,?)\s+|应?选择?|答案是|因此|所以|故|是|为)[\s*_]*(?:the\s+)?$",
    re.IGNORECASE,
)
_CLOSING = lazy_pattern(rf"{_GLOSS}[*_]*(?=[.。!！]?[\s*_]*$)", re.IGNORECASE)


def letter_of_place(content: str) -> str | None:
    """Return the letter of an answer such as "the third option" or "option three (chloroplast)"."""
    stated = _STATED.fullmatch(content.strip(" \t\n*_$"))
    return None if stated is None else _letter(stated[str(stated.lastgroup)])


def _letter(word: str) -> str | None:
    place = _PLACES.get(word.lower())
    return None if place is None else chr(ord("A") + place)


def _read_ordinal(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the third option is correct", and "it is the third option" at the end of a reply."""
    is_chinese = word == "第"
    end = begin + len(word)
    noun = _AFTER_CHINESE.match(text, begin) if is_chinese else _AFTER_ORDINAL.match(text, end, end + 60)
    letter = noun and _letter(noun["place"] if is_chinese else word)
    if noun is None or letter is None or not (is_chinese or is_word_start(text, begin)):
        return None
    is_stated = (
        _INTRODUCES.search(text, max(0, begin - 40), begin)
        and not (not is_chinese and noun["plural"] and " of " not in noun[0])
        and (_CLOSING.match(text, noun.end()) or CLAUSE_END.match(text, noun.end()))
    )
    if not is_stated and not _CALLED_CORRECT.match(text, noun.end(), noun.end() + 160):
        return None
    mood = statement_mood.mood(text, begin, noun.end())
    if mood == "asserted" and is_for_one_case(text, begin):
        mood = "conditional"
    return letter, Statement("cue", begin, noun.end(), mood), False


CUES: dict[str, OptionCueReader] = dict.fromkeys((*_ORDINALS, "第"), _read_ordinal)
"""Cue word -> its reader; the words are searched for only near the start and the end of a reply."""
