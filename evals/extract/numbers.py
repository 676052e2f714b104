"""Extract integers from replies, e.g. for AIME; for numbers with units see `evals.extract.quantity`."""

from __future__ import annotations

import re
from math import comb, factorial
from typing import Any

from evals.extract.answer_cues import concluding_clause, concluding_reading, is_alternative
from evals.extract.formatting import CHINESE_LEAD_IN, half_width, strip_formatting, with_plain_powers
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import spelled_number
from evals.extract.only_number import only_number
from evals.extract.reading import (
    REJECTED,
    UNMARKED_FORMS,
    Reading,
    parse_shortened,
    read_answer,
    unless_retracted,
)
from evals.extract.statements import Form
from evals.extract.visible import visible

_MAX_DIGITS = 300
"""Maximum number of digits; longer numbers are not read."""
_MAX_FACTORS = 12
_WRAPPER = lazy_pattern(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mathsf|mbox|rm|bf|displaystyle|large|Large|left|right|boxed|fbox)\b|\\(?:begin|end)\{array\}(?:\{[clr|]{1,4}\})?"
)
_SPACING_AND_MARKUP = lazy_pattern(r"\\[,!;: ]|\\q?quad\b|\\[{}()\[\]]|~|\{,\}(?=\d)|[{}$*`&]|\\\\")
_UNIT_SIGNS = lazy_pattern(r"\^\s*\{?\s*\\circ\b\s*\}?|\^\s*°|°|\\degree\b|\\%|%|\\\$|\\#|\\cdot\s*$")
_MODULO = lazy_pattern(
    r"\\[pb]?mod\b(?:(?!=|≡|\\equiv).)*|\(\s*(?:\\(?:text|mathrm)\s?\{\s*)?mod\b[^()]*\)?|\bmod\s+\d+",
    re.DOTALL,
)
_INTEGER = lazy_pattern(r"[-+−]?\s?(?:\d{1,3}(?:[,，]\d{3})+|\d{1,3}(?:\s\d{3})+|\d+)(?:\.0+)?(?![\d.,]*\d)")
_ANSWER_NAME = lazy_pattern(
    r"(?:the\s+)?(?:final\s+)?(?:answer|result|value|area|sum|total|remainder|count|ans)\s*(?:is|=|:)?\s*(?=[-+−\d])",
    re.IGNORECASE,
)
_UNIT = lazy_pattern(
    r"(?:\s*[.。]?\s*|\s*(?:square\s+|cubic\s+)?(?!(?:was|were|is|are|has|have|had|fails?|does|do|did|can|could|would|will|gives?|works?)\b)(?:(?<=\s)[A-Za-z]|[A-Za-z]{2})[A-Za-z/ ]{0,40}(?:(?:\^\s*|(?<=[A-Za-z]))[-−]?\d|[²³])?[.。]?|\s*(?!时)(?![\u4e00-\u9fff]{0,5}(?:以上|以下|情况))[\u4e00-\u9fff]{1,6}|\s*\([^()\d]{1,60}\)?)\s*"
)
_CLOSING_WORDS = lazy_pattern(
    r"(?:\s+(?:(?:square|cubic)\s+[a-z]{1,12}|units?(?:²|\^2)?|degrees|minutes|dollars|[ckm]?m(?:²|\^2)?|(?:[a-z]+\s+)?(?:in\s+(?:total|all)|altogether))|\s+such\s+[A-Za-z ]{1,40}|\s*[个种条组对次块人名张颗枚只位件本元天岁根棵盒](?!以|步骤|情况|选项|部分|方法|可能)[\u4e00-\u9fff]{0,12})?\s*[.。!！]?\s*"
)
"""Text that may follow a number without an answer marker: "ways in total", "such triples", a Chinese measure word."""
TWO_EQUATIONS = lazy_pattern(r"=[^=,;]{0,80}[,;]\s*[A-Za-z\\]{1,10}\s*=")
"""Two equations, which do not state a single integer."""
_EITHER_EQUATION = lazy_pattern(r"=[^=,;]{0,80}\b(?:or|and)\b\s*[A-Za-z\\]{1,10}\s*=")
_REASON_WITH_EQUATION = lazy_pattern(
    r"\d[,;]?\s+\(?(?:since|because|as|for|where|with|when|if|by|from|using)\b[^=]{0,200}="
)
"""As in "113, since gcd(65, 48) = 1", whose last number is not the answer."""
_SUM_LAST = lazy_pattern(
    r"[,;]\s*(?:(?:and|so|thus|hence)\s+)?[A-Za-z]{1,2}\s*(?:[+*·-]\s*[A-Za-z]{1,2}\s*)+=[^,;]{1,80}$"
)
"""As in "m = 64, n = 9, m + n = 73", whose last equation combines the others."""
_EQUALS = lazy_pattern(r"=|\\approx\b|\\equiv\b|≡|≈")
_OPERATION_OR_BOUND = lazy_pattern(
    r"\s*(?:times\s+(?:the|as|that|this|its|their|larger|greater|more|higher|bigger|longer|smaller|what|[a-z]\b(?<!\ba))|(?:plus|minus|multiplied|divided|less\s+than|more\s+than|or\s+(?:more|less|fewer))\b|-?fold\b|倍)",
    re.IGNORECASE,
)
"""Text after a number that is a factor, term or bound rather than the answer."""
_DIGIT = lazy_pattern(r"\d")
_WORD = lazy_pattern(r"\w")
_DECIMAL_BASE = lazy_pattern(r"_\{?\s*(?:\\text\{)?\s*(?:10|ten)\s*\}*\s*$")
_VERB = lazy_pattern(r"\b(?:is|are|was|were|get|but|it['’]s|equals|gives)\s", re.IGNORECASE)
_MAX_ANSWER_CHARS = 60
"""Maximum length of a sentence with a digit, or of another statement without a digit, that is rejected if it is not an integer.

Longer ones are ignored.
"""


def integer(text: str) -> int | None:
    r"""Return the integer that the reply states and does not retract; being the last number does not make it an answer.

    >>> integer(r"\boxed{m+n=1{,}024}"), integer("The answer is **204**."), integer("There are 3 cases.")
    (1024, 204, None)
    """
    reading = stated_integer(text)
    return None if reading is None else int(reading.value)


def stated_integer(text: str, *, truncated: bool = False) -> Reading | None:
    """Read the stated integer with its position; `truncated`: the reply was cut off, so its last number may be incomplete."""
    reading = read_answer(text, _parse_versions, truncated=truncated)
    if truncated:
        return reading
    reading_or_box = read_answer(text, _parse_or_box, use_layout=False) if reading is None else reading
    visible_text = half_width(visible(text).text)
    if reading_or_box is None:
        number = only_number(visible_text)
        is_integer = number is not None and "." not in number.value
        return number._replace(value=integer_from_digits(number.value)) if number and is_integer else None
    if is_alternative(visible_text, reading_or_box):
        return None
    concluded = concluding_reading(visible_text, reading_or_box, _parse_versions)
    return unless_retracted(visible_text, reading if concluded is reading_or_box else concluded)


_HYPOTHESIS = lazy_pattern(
    r"\W*(?:let|suppose|assume|say|consider)\s++(?!us\b|me\b|[^\n]*[.;]\s+\S)", re.IGNORECASE
)
_FURTHER_LABEL = lazy_pattern(
    r"\d[.;]\s+(?!check|verif)[a-z][a-z ]{1,30}:\s*[$*]{0,3}\d[\d,]*[.$*\s]*$", re.IGNORECASE
)
"""The last of several labelled numbers, as in "Total: 600. Good: 588.", none of which is called the answer."""
_LIST_LABEL = lazy_pattern(r"\s*\d{1,2}[.)]\s+(?=[A-Z])")
_LEAD_IN = lazy_pattern(
    r"\A[\s*_]*+(?:(?:(?:(?-i:So)|thus|hence|therefore|consequently)\b(?=\s+[$*]{0,3}[-−]?\d)|(?:so|thus|hence|therefore|then|finally|consequently|in\s+short|in\s+total|in\s+all|altogether|(?:(?:our|my|the|final|overall)\s+){0,3}(?:total|count|sum|tally|conclusion))\b\s*[,:=]|∴|\$?\\(?:therefore|Rightarrow|implies)\b(?:\\[ ,;:!])?|⇒|→|=>)\s*)+(?=[-−\d$*\\])",
    re.IGNORECASE,
)
"""As in "So, 25", "Hence 25." and "In total: 25"."""
_LABELLED_TOTAL = lazy_pattern(
    r"[\s*_]*(?:the\s+)?(?:(?:total|interior|exterior|overall|shaded|surface|required|angle|final|maximum|minimum)\s+){1,3}(?:time|distance|cost|area|volume|perimeter|length|sum|number|amount|count|value|product|remainder)[*_]*:[\s*_$]*(?P<number>\d[\d,]*)(?:\s?°|\s?[A-Za-z]{1,12}(?:\^?2|²)?)?[\s*_$.]*",
    re.IGNORECASE,
)
"""As in "Total time: 204 minutes"."""


def _parse_statement(content: str, form: Form) -> Any:
    if form in ("whole", "last line"):
        if _HYPOTHESIS.match(content):
            return None
        content = _LEAD_IN.sub("", content, count=1)
        if total := _LABELLED_TOTAL.fullmatch(content):
            return parse_integer(total["number"])
    if form in ("whole", "last line") and _VERB.search(content):
        return None  # the predicate of the sentence is read instead, as prose
    value = parse_integer(content, bare=form in UNMARKED_FORMS)
    if value is not None:
        return value
    if form == "sentence":
        return REJECTED if _DIGIT.search(content) and len(content) <= _MAX_ANSWER_CHARS else None
    is_answer = _DIGIT.search(content) or (len(content) <= _MAX_ANSWER_CHARS and _WORD.search(content))
    return REJECTED if is_answer and form not in UNMARKED_FORMS and form != "whole" else None


_parse_shortened = parse_shortened(_parse_statement)


def _parse_versions(content: str, form: Form) -> Any:
    if form == "whole" and "\n" in content and (":" in content or _VERB.search(content)):
        return None  # several sentences, the last of which is read instead
    if form in ("whole", "last line") and (_FURTHER_LABEL.search(content) or gives_up(content)):
        return None
    if form == "last line" and (label := _LIST_LABEL.match(content)):
        content = content[label.end() :]
    if form in ("whole", "last line", "prose"):
        clause = concluding_clause(content)
        if _DIGIT.search(clause) and _DIGIT.search(content, 0, len(content) - len(clause)):
            content = clause  # what precedes it is an intermediate result
    return _parse_shortened(content, form)


def _parse_or_box(content: str, form: Form) -> Any:
    """Parse an integer; for a box without an integer, return its content."""
    value = _parse_versions(content, form)
    return content if value is REJECTED and form == "box" else value


def parse_integer(text: str, *, bare: bool = False) -> int | None:
    """Read a short answer that is one integer, optionally with a name and `=` before it and, unless `bare`, a unit after it."""
    text = strip_formatting(with_plain_powers(text))
    last_side = _EQUALS.split(text)[-1]
    product = product_of_powers(last_side)
    if product is None and not bare:
        product = _sum_or_quotient(last_side)
    if product is not None:
        return product
    cleaned = _DECIMAL_BASE.sub("", _MODULO.sub("", _UNIT_SIGNS.sub("", text)))
    cleaned = _SPACING_AND_MARKUP.sub("", _WRAPPER.sub(" ", cleaned)).replace("−", "-")
    if (
        _REASON_WITH_EQUATION.search(cleaned)
        or (TWO_EQUATIONS.search(cleaned) and not _SUM_LAST.search(cleaned))
        or _EITHER_EQUATION.search(cleaned)
    ):
        return None
    if (spelled := spelled_number(cleaned.strip(" .()[]\"'"))) is not None:
        return int(spelled) if spelled.is_integer() else None
    sides = _EQUALS.split(cleaned)
    for side in (sides[-1], sides[0]):
        side = CHINESE_LEAD_IN.sub("", side.strip(" \t\n\r()[]|\"',"))
        if name := _ANSWER_NAME.match(side):
            side = side[name.end() :]
        integer = _INTEGER.match(side)
        if (
            integer is not None
            and not _OPERATION_OR_BOUND.match(side, integer.end())
            and (_CLOSING_WORDS if bare else _UNIT).fullmatch(side, integer.end())
        ):
            return integer_from_digits(integer[0])
    return None


_FACTOR = lazy_pattern(
    r"\\d?binom\s*\{(?P<n>\d{1,3})\}\s*\{(?P<k>\d{1,3})\}|(?P<factorial>\d{1,3})\s?!|(?P<base>\d{1,6})(?:\s?\^\s?\{?\s?(?P<exponent>\d{1,3})\s?\}?)?"
)
_TIMES = lazy_pattern(r"\s*(?:\\cdot\b|\\times\b|[×·*⋅])\s*")


def product_of_powers(text: str) -> int | None:
    r"""Return the value of a product of powers, factorials and binomial coefficients; None for any other text.

    >>> product_of_powers(r"2^{9}"), product_of_powers(r"3 \cdot 5!"), product_of_powers("12"), product_of_powers("2^n")
    (512, 360, None, None)
    """
    text = text.strip(" $()")
    factors = [_FACTOR.fullmatch(factor) for factor in _TIMES.split(text)]
    if text.isdigit() or not all(factors) or len(factors) > _MAX_FACTORS:
        return None
    product = 1
    for factor in filter(None, factors):
        if factor["n"]:
            product *= comb(int(factor["n"]), int(factor["k"]))
        else:
            product *= (
                factorial(int(factor["factorial"]))
                if factor["factorial"]
                else int(factor["base"]) ** int(factor["exponent"] or 1)
            )
    return product if product < 10**_MAX_DIGITS else None


_QUOTIENT = lazy_pattern(r"\\[dt]?frac\s*\{(?P<dividend>\d{1,9})\}\s*\{(?P<divisor>[1-9]\d{0,8})\}")


_PLUS_OR_MINUS = lazy_pattern(r"([+-])")


def _sum_or_quotient(text: str) -> int | None:
    r"""Return the value of a sum or difference of products, or of a fraction that is an integer; None for any other text.

    >>> _sum_or_quotient("2^9 - 2 + 3"), _sum_or_quotient(r"\frac{226}{2}"), _sum_or_quotient(r"\frac{1}{2}")
    (513, 113, None)
    """
    text = text.strip(" $()")
    if quotient := _QUOTIENT.fullmatch(text):
        value, remainder = divmod(int(quotient["dividend"]), int(quotient["divisor"]))
        return None if remainder else value
    terms = _PLUS_OR_MINUS.split(text, _MAX_FACTORS)
    total = 0
    for sign, term in zip(("+", *terms[1::2]), terms[::2], strict=True):
        is_plain = term.strip().isdecimal() and len(term) < 10
        if (addend := int(term) if is_plain else product_of_powers(term)) is None:
            return None
        total += addend if sign == "+" else -addend
    return total if len(terms) > 1 else None


def integer_from_digits(digits: str) -> int | None:
    """Return an integer written with separators; None if it is too long."""
    digits = re.sub(r"[,，\s]", "", digits).split(".")[0].replace("−", "-")
    return int(digits) if len(digits) <= _MAX_DIGITS else None
