"""Options named by their place: "the third option", "option three", 第三个选项, "la tercera opción", 3番目の選択肢."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.languages import is_denied_or_conditional
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import OptionCueReader, is_for_one_case, is_word_start
from evals.extract.option_cues_non_english import NEGATED_AFTER
from evals.extract.option_letters import CLAUSE_END
from evals.extract.statements import CueReading, Statement

_ENGLISH = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
]  # fmt: skip
_NUMERALS = ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th"]
_CARDINALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_OTHER_LANGUAGES = (
    ["erste", "zweite", "dritte", "vierte", "fünfte"],
    ["première", "deuxième", "troisième", "quatrième", "cinquième"],
    ["primera", "segunda", "tercera", "cuarta", "quinta"],
    ["prima", "seconda", "terza", "quarta", "quinta"],
    ["primeira", "segunda", "terceira", "quarta", "quinta"],
)
_EAST_ASIAN = (["一", "二", "三", "四", "五"], ["첫", "두", "세", "네", "다섯"])
_PLACES = (
    {
        word: place
        for words in (_ENGLISH, _NUMERALS, _CARDINALS, *_OTHER_LANGUAGES, *_EAST_ASIAN)
        for place, word in enumerate(words)
    }
    | {character: place for place, character in enumerate("一二三四五六七八九十")}
    | {str(place + 1): place for place in range(10)}
)
_ORDINALS = (*_ENGLISH, *_NUMERALS)
_OTHER_ORDINALS = tuple(dict.fromkeys(word for words in _OTHER_LANGUAGES for word in words))
_NOUN = r"(?:answer\s+)?(?:option|choice|alternative|possibility|answer|statement)(?:\s+(?:given|listed|offered|above|in\s+the\s+list|on\s+the\s+list))?"
_OTHER_NOUN = r"(?:option|antwort|antwortmöglichkeit|aussage|möglichkeit|réponse|proposition|affirmation|opción|respuesta|alternativa|afirmación|opzione|risposta|affermazione|opção|resposta|afirmação)"
_CHINESE = r"第(?P<{}>[一二三四五六七八九十]|\d{{1,2}})\s*(?:个|種|种)?(?:选项|项|个|选择|答案)"
_NUMBERED = rf"(?:option|choice|alternative)\s+(?:number\s+|no\.\s*)?#?(?P<cardinal>{'|'.join(_CARDINALS)}|10|[1-9])(?![\d.]*\d)"
_STATED = lazy_pattern(
    rf"(?:the\s+|my\s+)?(?:(?P<ordinal>{'|'.join(_ORDINALS)})\s+(?:of\s+the\s+)?(?:{_NOUN}|one|item)s?"
    rf"|{_NUMBERED}|(?P<other>{'|'.join(_OTHER_ORDINALS)})\s+{_OTHER_NOUN}"
    rf"|{_CHINESE.format('chinese')})(?:\s*[(（,:][^\n]*|，[^\n]*)?[.。]?",
    re.IGNORECASE,
)
_AFTER_ORDINAL = lazy_pattern(
    rf"\s+(?:of\s+the\s+)?(?:{_NOUN}(?P<plural>s?)|(?P<one>one))\b[*_]*", re.IGNORECASE
)
_AFTER_OTHER_ORDINAL = lazy_pattern(rf"\s+{_OTHER_NOUN}\b[*_]*", re.IGNORECASE)
_AFTER_CHINESE = lazy_pattern(_CHINESE.format("place"))
_EAST_ASIAN_OPTION = lazy_pattern(
    r"(?P<place>[一二三四五]|[1-9]|첫|두|세|네|다섯)\s?(?:番目|つ目|번째)(?:の|\s)?(?:选択肢|選択肢|选项|選項|答え|記述|선택지|보기|옵션|답)(?:が|は|이|가|은|는)\s?(?:正解|正しい|適切|정답|맞|옳)"
)
"""As in 3番目の選択肢が正解 and 세 번째 선택지가 정답 ("the third option is the right answer")."""
_EAST_ASIAN_CUES = ("番目", "つ目", "번째")
_GLOSS = r"(?:\s*[(（][^()（）\n]{1,60}[)）]|,\s[^,.;\n]{1,60},)?"
_CALLED_CORRECT = lazy_pattern(
    rf"{_GLOSS}\s*(?:(?:is|must\s+be|has\s+to\s+be)\s+(?:therefore\s+|thus\s+|clearly\s+)?(?:the\s+)?(?:only\s+)?(?:correct|right|best|answer|true|one\s+that\s+(?:fits|works|holds|is\s+correct))\b"
    r"|(?:fits|works|holds|matches|applies)(?:\s+best)?\s*(?:[.!]|\n|$)|(?:才|就)?(?:是|为)?(?:唯一|最)?(?:正确|对|符合|恰当|合适))",
    re.IGNORECASE,
)
_CALLED_CORRECT_ELSEWHERE = lazy_pattern(
    rf"{_GLOSS}\s+(?:ist|est|es|è|é)\s+(?:(?:die|la|a|quella)\s+)?(?:richtig|korrekt|correct|corrett|corret|bonne|juste|exact|giust|esatt|cert[ao])",
    re.IGNORECASE,
)
_INTRODUCES = lazy_pattern(
    r"(?:^|\n|[.!?:。：，,]\s*|\b(?:(?:it|this|that|which|answer|one|correct|right)\s+(?:is|must\s+be|corresponds\s+to)|(?:it|that|this)['’]s|so|thus|hence|therefore|choose|pick|select|to|with|matches|i\.e\.,?)\s+|应?选择?|答案是|因此|所以|故|是|为)[\s*_]*(?:the\s+)?$",
    re.IGNORECASE,
)
_INTRODUCES_ONE = lazy_pattern(
    r"(?:\b(?:it|answer|one|choice)\s+(?:is|must\s+be)|\bit['’]s|\b(?:choose|pick|select|go\s+(?:with|for)))\s+[*_]*the\s+[*_]*$",
    re.IGNORECASE,
)
"""What must precede "third one", which names no noun."""
_CLOSING = lazy_pattern(rf"{_GLOSS}[*_]*(?=[.。!！]?[\s*_]*$)", re.IGNORECASE)
_NUMBERED_OPTION = lazy_pattern(_NUMBERED, re.IGNORECASE)
_STATEMENT_NOUN = lazy_pattern(r"\w{3,7}\s+(?:of\s+the\s+)?statement", re.IGNORECASE)


def letter_of_place(content: str) -> str | None:
    """Return the letter of an answer such as "the third option" or "option three (chloroplast)"."""
    stated = _STATED.fullmatch(content.strip(" \t\n*_$"))
    return None if stated is None else _letter(stated[str(stated.lastgroup)])


def names_statement(text: str, begin: int) -> bool:
    """Return whether the text at `begin` is "third statement", which a question may itself have numbered."""
    return _STATEMENT_NOUN.match(text, begin) is not None


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
    introduction = _INTRODUCES_ONE if not is_chinese and noun["one"] else _INTRODUCES
    is_stated = (
        introduction.search(text, max(0, begin - 40), begin)
        and not (not is_chinese and noun["plural"] and " of " not in noun[0])
        and (_CLOSING.match(text, noun.end()) or CLAUSE_END.match(text, noun.end()))
    )
    if not is_stated and not _CALLED_CORRECT.match(text, noun.end(), noun.end() + 160):
        return None
    return letter, Statement("cue", begin, noun.end(), _mood(text, begin, noun.end())), False


def _mood(text: str, begin: int, end: int) -> statement_mood.Mood:
    mood = statement_mood.mood(text, begin, end)
    return "conditional" if mood == "asserted" and is_for_one_case(text, begin) else mood


def read_numbered_option(text: str, begin: int) -> CueReading | None:
    """Return "option 3" as a statement to be parsed, since 3 may be the text of an option; None if it is not called correct."""
    number = _NUMBERED_OPTION.match(text, begin, begin + 40)
    if number is None:
        return None
    is_stated = _INTRODUCES.search(text, max(0, begin - 40), begin) and _CLOSING.match(text, number.end())
    if not is_stated and not _CALLED_CORRECT.match(text, number.end(), number.end() + 160):
        return None
    return None, Statement("cue", *number.span(), _mood(text, begin, number.end())), False


def _read_other_ordinal(text: str, begin: int, word: str) -> CueReading | None:
    """Read "La tercera opción es correcta" and "die dritte Option ist richtig" ("the third option is correct")."""
    noun = _AFTER_OTHER_ORDINAL.match(text, begin + len(word), begin + len(word) + 60)
    letter = _letter(word)
    if noun is None or letter is None or not is_word_start(text, begin):
        return None
    is_correct = _CALLED_CORRECT_ELSEWHERE.match(text, noun.end(), noun.end() + 160)
    if is_correct is None or is_denied_or_conditional(text, begin):
        return None
    return letter, Statement("cue", begin, noun.end()), False


def _read_east_asian(text: str, begin: int, word: str) -> CueReading | None:
    option = _EAST_ASIAN_OPTION.match(text, begin - 1) or _EAST_ASIAN_OPTION.match(text, max(0, begin - 2))
    letter = option and _letter(option["place"])
    if option is None or letter is None or NEGATED_AFTER.match(text, option.end()):
        return None
    if is_denied_or_conditional(text, option.start()):
        return None
    return letter, Statement("cue", *option.span("place")), False


CUES: dict[str, OptionCueReader] = {
    **dict.fromkeys((*_ORDINALS, "第"), _read_ordinal),
    **dict.fromkeys(_OTHER_ORDINALS, _read_other_ordinal),
    **dict.fromkeys(_EAST_ASIAN_CUES, _read_east_asian),
}
"""Cue word -> its reader; the words are searched for only near the start and the end of a reply."""
