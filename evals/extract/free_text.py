r"""Extract a free-form answer (a number, a word, a short phrase) from a reply, and parse its number.

>>> [number(text) for text in ("12k", "1.2 million", r"\$6000", "three", "in 2014", r"\frac{1}{2}", "5 or 6")]
[12000.0, 1200000.0, 6000.0, 3.0, 2014.0, 0.5, None]
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from evals.extract.formatting import (
    MAX_CHARS,
    half_width,
    shortened_answers,
    strip_formatting,
    with_plain_powers,
)
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import NUMBER_WORDS, SPELLED_PATTERN, spelled_number
from evals.extract.only_number import only_number
from evals.extract.reading import REJECTED, UNMARKED_FORMS, Reading, read_answer, unless_retracted
from evals.extract.statement_mood import mood
from evals.extract.statements import Form
from evals.extract.visible import visible

MAX_REPLY_CHARS = 80
"""Maximum length of a reply that is read as a whole, or of an answer without a marker (`UNMARKED_FORMS`)."""
_SENTENCE_VERB = lazy_pattern(
    r"\s(?:is|are|was|were|has|had|have|shows|equals|measures|(?:occur(?:s|red)|happen(?:s|ed)|peak(?:s|ed)|beg[ai]ns?|start(?:s|ed)|end(?:s|ed))\s+in)\s",
    re.IGNORECASE,
)
_REFUSAL = lazy_pattern(
    r"(?:I|we)\s+(?:do\s?n[o'’]t|don['’]t|can\s?not|can['’]t|am\s+(?:not|unable))\b|(?:sorry|unable)\b|抱歉|无法",
    re.IGNORECASE,
)
_MAX_WORDS = 5
"""Maximum number of words in an answer without a marker, unless it is a number."""
_MAX_SENTENCE_CHARS = 240
"""Maximum length of an answer that is stated in a sentence; a longer one is rejected."""


def stated_text(text: str, *, truncated: bool = False) -> Reading | None:
    """Read the stated free-form answer; the value is a tuple: the answer, then shorter versions, e.g. without an explanation."""
    reading = read_answer(half_width(text), _parse_free_text, truncated=truncated)
    visible_text = half_width(visible(text).text)
    if reading is not None and reading.form in ("whole", "prose") and (only := only_number(visible_text)):
        reading = reading._replace(value=(*reading.value, only.value))
    return unless_retracted(visible_text, reading)


_SHARE_SENTENCE = lazy_pattern(
    r"[\s*_]*+(?:(?:according\s+to|based\s+on|from|in|by|as\s+of)\s+(?:the\s+[a-z ]{1,30}|(?:19|20)\d\d),\s*)?(?:about\s+|approximately\s+|around\s+)?[*_]*(?P<number>\d[\d.,]*\s?(?:%|percent))[*_]*\s+of\s",
    re.IGNORECASE,
)
"""As in "According to the chart, 62 % of respondents agreed."."""
_COUNT_SENTENCE = lazy_pattern(
    r"[\s*_]*+(?:(?:only|exactly)\s|a\stotal\sof\s)?[*_]{0,2}(?P<number>\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)[*_]{0,2}"
    r"(?:\sof\s(?:the\s)?(?:\d{1,4}(?=\s))?)?\s?(?<=\s)(?!of\b|or\b|and\b|to\b|percent\b)[a-z ]{2,40}?\s(?:is|are|was|were|has|have|had|exceeds?|exceeded|shows?|showed|reached|recorded|reported|scored|lies?|falls?)\s(?:above|below|more|less|at|over|under|higher|lower|greater|an?\s|the\s|values?\s|between)",
    re.IGNORECASE,
)
"""As in "Three countries are above 50 %."."""
_CONCLUDES_YES_OR_NO = lazy_pattern(
    r"[,;.]\s(?:so|hence|thus|therefore),?\s(?:the\sanswer\sis\s)?[*_]{0,2}(?P<answer>yes|no)[*_]{0,2}[.!]?\s*\Z",
    re.IGNORECASE,
)
_IN_YEAR = lazy_pattern(r"(?<=[\w%])\s(?:in|during)\s(?:the\syear\s)?(?:1[5-9]|20)\d\d\s*\Z", re.IGNORECASE)
_TIME_PHRASE = lazy_pattern(
    r"[\s*_]*(?:in|by|at|from|for|during|since|between|as\s+of|around)\s[^,\n]{1,40},\s", re.IGNORECASE
)
_CHINESE_SENTENCE = lazy_pattern(r"[\u4e00-\u9fff](?:是|为|等于|达到?)\s*(?=[约*-]{0,3}\d)")
_WITH_DATE_OR_SUBJECT = lazy_pattern(
    r"(?P<answer>[-+$€£]?\d[\d.,]*\s?(?:%|[a-z]{0,12}))[*_]*\s+in\s+(?:19|20)\d\d"
    r"|(?:(?:it|this|that)(?:['’]s|\s+is|\s+was|\s+(?:appears|seems)\s+to\s+be)|(?:reached|recorded|observed|seen)\s+in)\s+(?P<rest>[^,;\n]{1,60})",
    re.IGNORECASE,
)
"""A short answer with a date after it or a subject or verb before it: "23 in 2010", "It's Japan", "recorded in Japan"."""
_NAME_AND_VALUE = lazy_pattern(
    r"(?P<name>[^\W\d][^\d,;:.()\n]{1,40}?)(?:[,:]|\s[-–—])\s[-+$€£]?\d[\d.,]{0,20}\s?(?:%|[A-Za-z]{0,12})"
)
"""As in "Brazil, 17%", which names what has the value."""
_DIGIT = lazy_pattern(r"\d")
_SOURCE = lazy_pattern(
    r"\A[\s*_]*(?:(?:based\s+on|according\s+to|looking\s+at|judging\s+(?:by|from)|from)\s+(?:the|this)\s+(?:[a-z-]{1,15}\s){0,3}(?:chart|graph|figure|plot|diagram|image|picture|table|data),\s+|I\s+(?:can\s+)?(?:count|see)\s+(?="
    + SPELLED_PATTERN
    + r"\b|\d)|(?:the\s+)?(?:country|year|colou?r|category|region|city|month|group|party|company|state|name)(?:\s+name)?[*_]*:[*_]*\s+(?=\S)|I(?:['’]d|\s+would)?\s+(?:think|believe|guess|estimate|say)\s+(?:(?:that\s+)?it(?:['’]s|\s+is)\s+)?)",
    re.IGNORECASE,
)
"""As in "Based on the chart, " and "I count "."""
_CALCULATION = lazy_pattern(
    r"\s*(?:[A-Za-z][A-Za-z ]{0,40}=(?=[^=≈\n]*[=≈]))?[\d\s.,:+×÷*/()%$−-]*\d[\d\s.,:+×÷*/()%$−-]*(?<!\()[=≈]\s*(?=\S)"
)
"""Left-hand side of a calculation whose right-hand side is the answer."""


def _parse_free_text(content: str, form: Form) -> Any:
    if form in UNMARKED_FORMS or form == "whole":
        content = _SOURCE.sub("", content, count=1)
        first_line, _, following = content.strip().partition("\n")
        if _DIGIT.search(first_line) and number(following.rpartition("\n")[2]) is not None:
            return None  # the lines of a calculation, the last of which is read instead
    if calculation := _CALCULATION.match(content):
        content = content[calculation.end() :]
    versions = tuple(version for version in shortened_answers(content) if version)
    if not versions:
        return None
    if named := _NAME_AND_VALUE.fullmatch(versions[-1]):
        versions = (*versions, named["name"])
    comma = content.find(",")
    if _REFUSAL.match(versions[0]) or (comma > 0 and mood(content, 0, comma) == "negated"):
        return REJECTED
    if form == "whole" and (answer := _parse_sentence(content)):
        return (answer,)
    if form in UNMARKED_FORMS or form == "whole":
        if gives_up(content) or "?" in content[-2:] or _CHANGE_SENTENCE.match(content):
            return None
        if _has_predicate(content, form):
            return None  # "In 2010, the value was 23.": the predicate is read instead
        if _TWO_LABELLED.match(content):
            return REJECTED
        if _NUMBER_LIST.fullmatch(versions[-1]):
            return versions
        word_count = len(versions[-1].split())
        if word_count > 2 and form in ("whole", "last line") and any(map(_SENTENCE_VERB.search, versions)):
            return None  # `answer_candidates` yields the sentence's predicate later
        if len(content) > MAX_REPLY_CHARS or (word_count > _MAX_WORDS and number(versions[-1]) is None):
            return None
        if form == "last line" and content.rstrip().endswith((".", ":", "。")) and word_count > 2:
            return None
        matches = [match for match in map(_WITH_DATE_OR_SUBJECT.fullmatch, versions) if match]
        return (*versions, *(match["answer"] or match["rest"] for match in matches))
    return REJECTED if form == "sentence" and len(versions[0]) > _MAX_SENTENCE_CHARS else versions


def _parse_sentence(content: str) -> str | None:
    """Return the share, count, yes or no that the sentence of a whole reply states; None for other sentences."""
    share = _SHARE_SENTENCE.match(content)
    if share and not _DIGIT.search(content, share.end()):
        return str(share["number"])
    if count := _COUNT_SENTENCE.match(content):
        return "1" if count["number"].lower() == "one" else str(count["number"])
    conclusion = _CONCLUDES_YES_OR_NO.search(content)
    return conclusion and str(conclusion["answer"])


def _has_predicate(content: str, form: Form) -> bool:
    """Return whether a sentence begins with a time or is Chinese and states a number, so that its predicate is the answer."""
    is_timed = _TIME_PHRASE.match(content) and _SENTENCE_VERB.search(content)
    return bool(is_timed or (form != "prose" and _CHINESE_SENTENCE.search(content)))


_TWO_LABELLED = lazy_pattern(
    r"[^()\d\n]{0,3}[\d.]{1,20}\s?%?\s\([^()\n]{1,40}\)[,;]\s(?:and\s)?[\d.]{1,20}\s?%?\s\("
)
"""As in "17 (2010), 45 (2015)"."""
_CHANGE_SENTENCE = lazy_pattern(
    r"[\s*_]*+(?:it|the\s[\w ]{2,40}?)\s(?:rose|fell|grew|increased|decreased|dropped|declined|went)\s",
    re.IGNORECASE,
)
"""As in "It rose to 12.3, an increase of 2.2.", whose last value is read instead."""
_NUMBER_LIST = lazy_pattern(r"[\[({]\s*[-−]?[\d.]{1,20}(?:\s*,\s*[-−]?[\d.]{1,20}){1,60}\s*[\])}]")
_SCALES = {
    "k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9, "trillion": 1e12,
    "千": 1e3, "万": 1e4, "百万": 1e6, "亿": 1e8,
}  # fmt: skip
_QUALIFIER = lazy_pattern(
    r"(?:(?:(?:about|around|approximately|approx\.?|roughly|nearly|almost|circa|ca\.?|in|on|at|by|year|the|a\s+total\s+of|an?\s+(?:increase|decrease|drop|rise|decline|difference|gap|gain|growth|reduction)\s+of|total|only|exactly|just)(?![a-z])|~|≈|约|大约|共|\\approx|\\sim)\s*)+(?=[-+\d.$€£¥\\a-z])",
    re.IGNORECASE,
)
_FRACTION = lazy_pattern(
    r"(?P<sign>[-+]?)\s*(?:(?P<whole>\d{1,6})\s+)?\\?[dt]?(?:frac\s*\{?\s*(?P<numerator>\d{1,12})\s*\}?\s*\{?\s*(?P<denominator>\d{1,12})\s*\}?|(?P<dividend>\d{1,12})\s*[/:]\s*(?P<divisor>\d{1,12}))"
)
_NUMBER = lazy_pattern(
    r"(?P<sign>[-+])?\s?(?:(?:USD|EUR|GBP|CNY|RMB)\s|US)?[$€£¥]?\s?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\s\d{3})+(?!\d)|\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE](?P<exponent>[-+]?\d{1,3})|\s*(?:\\times|×|\*|x)\s*10\s*\^?\s*\{?(?P<ten>[-+]?\d{1,3})\}?)?"
    r"\s*(?P<scale>(?:thousand|million|billion|trillion|mio|mn|bn|(?<=\d)\s?[kKMB]|(?<=\d)[mb])(?![A-Za-z/²³^])|百万|千|万|亿)?\s*(?P<percent>%|percent(?:age)?(?:\s+points?)?|个百分点)?\s*(?P<rest>.*)",
    re.DOTALL,
)
_UNIT = lazy_pattern(r"(?:[A-Za-z°µΩ$€£¥%][A-Za-z°µΩ/%$·.\s²³^-]{0,40}\d?|(?!时)[\u4e00-\u9fff]{1,6})?[\s.]*")
_MAX_NUMBER_WORDS = 8
_SECOND_NUMBER_WORD = lazy_pattern(
    rf"\bdozen\b|\b(?:or|to|through)\s+(?:about\s+)?(?:{SPELLED_PATTERN}|one)\b", re.IGNORECASE
)
_SECOND_NUMBER = lazy_pattern(
    r"\s*(?:(?:or|and|to|through|vs)\b|(?:more|less|fewer|higher|lower)\s+than\b)", re.IGNORECASE
)
_LATEX_MARKUP = lazy_pattern(
    r"\\(?:text|mathrm|mathbf|rm|left|right|displaystyle)\b|\\[,;:! ]|[{}](?![^{}]*\})|~"
)
_LEFT_HAND_SIDE = lazy_pattern(
    r"(?:[*_]{0,2}[A-Z][A-Za-z ]{1,24}:[*_]{0,2}\s|(?:(?!\b(?:or|and)\b)[^,;:=≈<>≤≥!\n]){1,60}(?:=|≈|\\approx\b))\s*(?=[^,;=≈]{0,12}\d)"
)
"""A label such as "Length:", or one side of an equation, before the number: "f(2) ≈", "Therefore x =", "√8 ≈"."""
_SIGN_WORD = lazy_pattern(r"\A(?:minus|negative)\s+(?=[\d.])", re.IGNORECASE)
_LEAD_IN = lazy_pattern(r"(?:so|thus|hence|therefore|then|所以|因此|故),?\s*(?=\S)", re.IGNORECASE)
_ALTERNATIVE = lazy_pattern(
    r"(?P<first>[^()]{1,40}?)(?:,?\s+(?:or|i\.e\.,?)\s+(?P<second>[^()]{1,40})|\s*\(or\s+(?P<bracketed>[^()]{1,40})\))"
)
"""As in "0.084, or 8.4%"."""


def number(text: str, *, scaled: bool = True) -> float | None:
    """Return the only number of a short answer, with its scale ("12k", "1.2 million"); a percent sign is ignored.

    None if there is no number, or several; only a unit and a year ("in 2014") may follow the number.
    If not `scaled`, "million" and the like are ignored, for charts whose axis is already in millions.
    """
    text = (
        strip_formatting(with_plain_powers(text[:MAX_CHARS]))[:200]
        .replace("\\%", "%")
        .replace("\\$", "$")
        .replace("{,}", ",")
    )
    if alternative := _ALTERNATIVE.fullmatch(text):
        return _common_value(alternative, scaled=scaled)
    if lead_in := _LEAD_IN.match(text):
        text = text[lead_in.end() :]
    text = _SIGN_WORD.sub("-", text)
    while left_side := _LEFT_HAND_SIDE.match(text):
        text = text[left_side.end() :]
    if qualifier := _QUALIFIER.match(text):
        text = text[qualifier.end() :]
    if (year := _IN_YEAR.search(text)) and _has_digit(text[: year.start()]):
        text = text[: year.start()]
    if (spelled := _leading_spelled_number(text, scaled=scaled)) is not None:
        return None if _has_digit(text) or _SECOND_NUMBER_WORD.search(text) else spelled
    if text[:1] in NUMBER_WORDS and len(text) <= 2:
        return NUMBER_WORDS[text[0]]
    if fraction := _FRACTION.match(text):
        return _fraction_value(fraction, text)
    cleaned = re.sub(r"[{}]", "", _LATEX_MARKUP.sub(" ", text)).strip()
    match = _NUMBER.fullmatch(cleaned)
    if match is None or not _UNIT.fullmatch(match["rest"]) or _SECOND_NUMBER.match(match["rest"]):
        return None
    return _number_value(match, scaled=scaled)


def _common_value(alternative: re.Match[str], *, scaled: bool) -> float | None:
    """Return the value of the second of two alternatives if they are the same number; None if they differ."""
    second_text = alternative["second"] or alternative["bracketed"]
    first, second = number(alternative["first"], scaled=scaled), number(second_text, scaled=scaled)
    if first is None or second is None:
        return None
    is_percentage = "%" in second_text and "%" not in alternative["first"]
    scaled_first = first * 100 if is_percentage else first
    return second if abs(scaled_first - second) <= 1e-6 * abs(second) else None


def _leading_spelled_number(text: str, *, scaled: bool) -> float | None:
    """Return the value of the spelled-out number with which a short answer begins: 200 for "two hundred people"."""
    words = [word.rstrip(".,:;") for word in text.casefold().split()[:_MAX_NUMBER_WORDS]]
    for end in range(len(words), 0, -1):
        if (value := spelled_number(" ".join(words[:end]))) is not None:
            return (
                value
                if scaled or words[end - 1] not in _SCALES
                else spelled_number(" ".join(words[: end - 1]))
            )
    return NUMBER_WORDS.get(words[0]) if words else None


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _fraction_value(fraction: re.Match[str], text: str) -> float | None:
    numerator = float(fraction["numerator"] or fraction["dividend"])
    denominator = float(fraction["denominator"] or fraction["divisor"])
    remainder = text[fraction.end() :]
    if not denominator or _has_digit(remainder) or not _UNIT.fullmatch(remainder.strip()):
        return None
    value = float(fraction["whole"] or 0) + numerator / denominator
    return -value if fraction["sign"] == "-" else value


def _number_value(match: re.Match[str], *, scaled: bool) -> float | None:
    try:
        power = 10.0 ** int(match["exponent"] or match["ten"] or 0)
        value = float(re.sub(r"[,\s]", "", match["digits"])) * power
    except (ValueError, OverflowError):
        return None
    value *= _SCALES.get((match["scale"] or "").casefold(), 1.0) if scaled else 1.0
    if not isfinite(value):
        return None
    return -value if match["sign"] == "-" else value
