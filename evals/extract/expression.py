"""Extract a mathematical expression from a reply, and normalise it for comparison."""

from __future__ import annotations

import re
from typing import Any

from evals.extract import statement_mood
from evals.extract.answer_cues import concluding_clause
from evals.extract.formatting import (
    CHINESE_LEAD_IN,
    half_width,
    shortened_answers,
    strip_formatting,
    with_plain_powers,
)
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import spelled_number
from evals.extract.only_number import only_number
from evals.extract.reading import REJECTED, UNMARKED_FORMS, Reading, read_answer, unless_retracted
from evals.extract.statements import Form
from evals.extract.visible import visible

_MAX_FORMULA_CHARS = 120
_FORMULA_SIGN = lazy_pattern(r"[\d\\$=√π∞¼-¾⅐-⅞]")
_WORD = lazy_pattern(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_EQUALS = lazy_pattern(r"[=≈]\s*")
_LEAD_IN = lazy_pattern(
    r"^[\s*_]*(?:[A-Z][A-Za-z ]{2,24}[*_]*:[*_]*\s+(?=[\d\\$√(-]|[a-z]\s?=)|(?:so|thus|hence|therefore|then|finally|consequently)\b|因此|所以|故|综上所?述?|[∴⇒→])\s*,?\s*(?:we\s+(?:get|have|obtain|find)\b\s*)?|^[\s*_]*(?:I(?:['’]d|\s+would)?\s+(?:think|believe|guess|estimate|say)\s+(?:that\s+)?)?(?:(?:it['’]s|it\s+is|that['’]s|that\s+is|the\s+answer\s+is)\s+)?(?:exactly\s+|precisely\s+)?(?<=\s)(?=[\d\\$√(-])",
    re.IGNORECASE,
)
_BOLD_LABEL = lazy_pattern(r"\A\s*\*\*[^*\n]{1,40}:\*\*")
_CHINESE_SENTENCE = lazy_pattern(r"[^\d\n\u4e00-\u9fff]{0,40}[\u4e00-\u9fff][^\d\n]{0,60}\d")
_CHINESE_PREDICATE = lazy_pattern(
    r"[^\d\n，。；]{0,40}[\u4e00-\u9fff](?:是|为|等于|得到?|有|共)\s*(?P<value>\$?[-\d√(\\][^\u4e00-\u9fff，。；\n]{0,60}[\u4e00-\u9fff]{0,6})"
)
"""As in 阴影部分的面积是36平方厘米, a sentence with a single value."""
_LIST_LINE = lazy_pattern(r"\n\s*(?:\d{1,2}[.)]|[-*•])\s+")
_CLAUSE_VERB = lazy_pattern(
    r"\b(?:I|we)\s+(?:get|obtain|have|find)\b|\s(?:is|are|equals)\s|^\W*(?:he|she|it|they|you)\s",
    re.IGNORECASE,
)
_UNDECIDED_OR_DENIED = lazy_pattern(r"(?:either|between|somewhere|不是|介于)\b|不是|介于", re.IGNORECASE)
"""The beginning of a text that is not an answer; 不是 is "is not", 介于 is "between"."""
_SINGLE_WORD = lazy_pattern(r"[A-Z][a-z]{2,20}|[a-z]{3,20}")
"""A word, which is an answer only as a whole reply: a day, a colour."""
_NAME = lazy_pattern(r"(?:an?\s)?(?P<name>[A-Z][a-z]{2,20})")
"""A name at the end of a sentence, as in "So the winner is Tom."."""
COUNTED = lazy_pattern(
    r"(?P<number>[-+]?\d{1,3}(?:,\d{3})+|[-+]?\d+(?:\.\d+)?)\s+(?:(?:square|cubic|different|possible|distinct|whole|small)\s+)?(?!(?:times|more|less|fewer|plus|minus|over|and|mod|modulo|hundred|thousand|million|billion|dozen|half|halves|thirds?|quarters?|squared|cubed|factorial|root|roots|choose|percent|squares?\s+root)\b)[a-z]{3,20}(?:\s+(?:in\s+(?:total|all)|altogether|left|each|per\s+[a-z]{2,12}|for\s+each\s+[a-z]{2,12}))?\.?"
)
"""A number and what is counted: "12 squares", "60 different ways"."""
_MAX_WORDS = 4
"""Maximum number of words in an answer that is not a formula."""


def stated_expression(text: str, *, truncated: bool = False) -> Reading | None:
    """Read the stated expression; the value is a tuple: the answer, then versions without a trailing explanation.

    In a sentence such as "it is 7/9 ≈ 0.78", the exact value comes first.
    """
    reading = read_answer(half_width(text), _parse_expression, truncated=truncated)
    visible_text = half_width(visible(text).text)
    if reading is not None and reading.form == "prose":
        exact = _EXACT_BEFORE.search(visible_text, max(0, reading.begin - 100), reading.begin)
        reading = reading._replace(value=(exact["exact"], *reading.value)) if exact else reading
        if left := _VARIABLE_BEFORE.search(visible_text, max(0, reading.begin - 20), reading.begin):
            reading = reading._replace(value=(*reading.value, f"{left[1]} = {reading.value[-1]}"))
    if reading is None and not truncated and (number := only_number(visible_text)):
        return number._replace(value=(number.value,))
    return unless_retracted(visible_text, reading)


_EXACT_BEFORE = lazy_pattern(
    r"(?:\b(?:is|are|equals|be)\s|=)\s*(?P<exact>(?:(?!\.\s|\b(?:is|are|equals|be)\s)[^=≈\n]){1,60}?)\s*(?:≈|\\approx)[\s*_$]{0,4}$"
)
"""As in "is 7/9 ≈", before the rounded value."""
_VARIABLE_BEFORE = lazy_pattern(r"\b(?:is|are)\s[*_$\\(]{0,4}([a-z])\s?=\s*$")
"""As in "The line is y =", before the right-hand side."""


def _parse_expression(content: str, form: Form) -> Any:
    is_unmarked = form in UNMARKED_FORMS or form == "whole"
    if is_unmarked:
        if (unmarked := _without_lead_in(content, form)) is None:
            return None
        content = unmarked
    versions = tuple(
        version
        for version in shortened_answers(content)
        if any(map(str.isalnum, version)) or version in ("∞", "∅")
    )
    if not versions:
        return None
    if _UNDECIDED_OR_DENIED.match(versions[0]) or (not is_unmarked and gives_up(versions[0])):
        return REJECTED
    shortest = versions[-1]
    is_spelled = spelled_number(shortest) is not None
    is_counted = is_spelled or COUNTED.fullmatch(shortest) is not None
    word_count = 1 if is_counted else len(_WORD.findall(_UNIT.sub("", shortest)))
    is_formula = is_spelled or _FORMULA_SIGN.search(shortest) is not None
    if is_unmarked:
        if statement_mood.mood(content, _value_position(content), len(content)) != "asserted":
            return None
        if content.rstrip("$* ").endswith("?") or (form != "prose" and _CLAUSE_VERB.search(shortest)):
            return None
        name = _NAME.fullmatch(content.strip("*_` .")) if form == "prose" else None
        if name is not None:
            return (name["name"],)
        is_formula = is_formula or (
            form == "whole" and _SINGLE_WORD.fullmatch(content.strip("*_` .")) is not None
        )
        is_answer = is_formula and word_count <= 1 and len(content) <= _MAX_FORMULA_CHARS
        return versions if is_answer and not gives_up(content) else None
    if predicate := _CHINESE_PREDICATE.fullmatch(shortest):
        versions = (*versions, predicate["value"])
    if form == "sentence" and word_count > _MAX_WORDS:
        return REJECTED if is_formula else None
    return versions


def _without_lead_in(content: str, form: Form) -> str | None:
    """Return a statement without an answer marker and without words such as "so" before the answer.

    None if another part of the reply is read instead: the emphasised part, the last item of a list, or a predicate.
    """
    if form == "whole" and (
        "**" in _BOLD_LABEL.sub("", content).strip("*_ \n") or _LIST_LINE.search(content)
    ):
        return None
    if _CHINESE_SENTENCE.match(content):
        return None
    if form == "last line":
        content = _LIST_LINE.sub("", "\n" + content)
    clause = concluding_clause(content)
    content = _LEAD_IN.sub("", clause if _FORMULA_SIGN.search(clause) else content)
    return content.replace("$", "") if content.count("$") == 1 else content


def _value_position(content: str) -> int:
    """Return the position after the first equals sign, or else 0: words before it, as in "let x = 3", determine the mood."""
    equals = _EQUALS.search(content)
    return equals.end() if equals else 0


_BARE_DECIMAL = lazy_pattern(r"^(?P<sign>[-+]?)\.(?=\d)")
_AND = lazy_pattern(r"(?<=[\d})])\s*(?:,\s*)?\band\b\s*(?=[-+\d\\(])")
_LATEX_SPACE = lazy_pattern(r"(?<!\\)\\[,;:! ]|~|\\[bB]igg?[lrm]?(?![A-Za-z])")
_SQRT_CALL = lazy_pattern(r"(?:\\|(?<![A-Za-z\\]))sqrt\s*\(([^()]{1,60})\)")
_SIGN_WORD = lazy_pattern(r"^(?:negative|minus)\s+(?=[\d\\$√])", re.IGNORECASE)
_BARE_FRACTION = lazy_pattern(r"\\frac\s*(\\(?!sqrt)[A-Za-z]{2,8})\s*(\d)(?!\d)")
_BARE_ROOT = lazy_pattern(r"(?P<root>√|\\sqrt(?:\[3\])?)\s*(?P<radicand>\d+(?:\.\d+)?|(?<=√)[A-Za-z])")
_DIGIT_GROUP_SEPARATOR = lazy_pattern(r"(?<=\d)(?:,\\!\s?|\\[,;:! ]|\{,\}|~|\s)(?=\d{3}(?!\d))")
_COMMA_GROUPED_NUMBER = lazy_pattern(r"(?<![\d,(\[])\d{1,3}(?:,\d{3})+(?![\d,])")
_TEXT_COMMAND = lazy_pattern(
    r"\\(?:text|textrm|textbf|mathrm|mbox|operatorname|rm)\s*\{\s*(?P<inner>[^{}]*)\}(?P<power>\s*\^\s*\{?\s*-?\d\s*\}?)?"
)
_KEPT_TEXT = lazy_pattern(
    r"\s*(?:or|and|if|mod|in|to)\s*|\s*(?:or|and|plus|minus)\s.{1,40}|\s*(?:sin|cos|tan|ln|log|exp|min|max|gcd|lcm)\s*",
    re.IGNORECASE,
)
_UNIT = lazy_pattern(
    r"(?:(?<=\d)(?=(?:[ckm]m|kg|mg|mph)(?!\w))|(?<=[\w})])\s+)(?:(?:square|cubic|sq\.?)\s+)?(?:units?|cm|mm|km|m|kg|g|mg|s|ms|min|minutes?|hours?|h|seconds?|degrees?|dollars?|cents?|inch(?:es)?|feet|ft|miles?|meters?|metres?|litres?|liters?|percent|years?|days?|people|ways|points?|mph|[ap]\.?m\.?|o['’]clock|(?:k?m|cm|mm|miles?|ft|k?g|mg|L|k?J)\s?(?:/|per\b)\s?(?:hour|second|minute|day|min|sec|hr|mol|cm|kg|[hsmgL]))(?:\s*\^?\s*\{?[23]\}?|[²³])?\s*$",
    re.IGNORECASE,
)
_DEGREES = lazy_pattern(r"\^\s*\{?\s*\\circ\s*\}?|°\s?[CF](?![A-Za-z])|°|\\degree\b")
_COLUMN_VECTOR = lazy_pattern(r"\\begin\{[pb]?matrix\}(?P<inner>[^&]*?)\\end\{[pb]?matrix\}", re.DOTALL)
_MIXED_NUMBER = lazy_pattern(
    r"(?P<sign>[-+]?)\s*(?P<whole>\d{1,6})\s+(?P<numerator>\d{1,6})\s*/\s*(?P<denominator>\d{1,6})"
)
_INEQUALITY = lazy_pattern(
    r"\s*(?P<lower>[^<>=≤≥]{1,40}?)\s*(?P<left_sign><|≤|\\leq?(?![a-z])|\\lt)\s*\\?[A-Za-z]\w{0,8}\s*(?P<right_sign><|≤|\\leq?(?![a-z])|\\lt)\s*(?P<upper>[^<>=≤≥]{1,40}?)\s*"
)
_LEFT_HAND_SIDE = lazy_pattern(
    r"\s*(?:(?:the\s+)?(?:length|area|perimeter|volume|angle|radius|side|height|width|distance|ratio|slope|sum)\s+(?:of\s+)?)?(?:m?\s*\\(?:angle|measuredangle|triangle|overline|widehat|operatorname)\s*)?\{?\\?[A-Za-z]{1,20}\}?(?:_\{?\w{1,4}\}?)?(?:\s*\([^()=]{1,12}\))?\s*(?:=|\\in\b|∈|:=)\s*(?=\S)",
    re.IGNORECASE,
)
_NUMBER_BASE = lazy_pattern(r"_\{?\s*(?:\\text\{)?\d{1,2}\}*\s*$")
_BOLD_MARK = lazy_pattern(r"(?<!\d)\*\*|\*\*(?!\d)")
_MATRIX_IN_BRACKETS = lazy_pattern(
    r"(?:\\left)?[\[(]\s*\\begin\{array\}\{[clr|\s]{1,20}\}(?P<inner>.*?)\\end\{array\}\s*(?:\\right)?[\])]",
    re.DOTALL,
)
_REPEATING_DECIMAL = lazy_pattern(
    r"(?P<whole>\d{1,9})\.(?P<fixed>\d{0,9})\\(?:overline|bar|dot)\s*\{?(?P<period>\d{1,9})\}?"
)
_DEGREES_OF_FUNCTION = lazy_pattern(
    r"(\\(?:sin|cos|tan|cot|sec|csc))\s*\(?\s*(\d{1,3})\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)\s*\)?"
)
_HALF_LINE = lazy_pattern(
    r"\s*\\?[A-Za-z]\s*(?P<sign><|>|\\leq?(?![a-z])|\\geq?(?![a-z])|\\lt|\\gt|\\neq?(?![a-z]))\s*(?P<bound>[-+]?(?:\d|\\(?:frac|sqrt|pi)(?![a-z])|[{}./])+)\s*"
)
"""An inequality with one bound, as in x < 3 or x \\neq -4."""
_E_NOTATION = lazy_pattern(r"([-+]?\d+(?:\.\d+)?)[eE]\+?(-?\d{1,3})")
_OVER = lazy_pattern(r"\{?\s*([^{}\\]{1,20}?)\s*\\over(?![a-z])\s*([^{}\\]{1,20}?)\s*\}?")
_NO_SOLUTION = lazy_pattern(
    r"no\s+(?:real\s+)?solutions?(?:\s+exists?)?|(?:the\s+)?empty\s+set|\\emptyset|\\\{\s*\\\}|无解",
    re.IGNORECASE,
)
_SET_BUILDER = lazy_pattern(
    r"\A\\\{\s*[a-z]\s*(?:(?:\\in(?![a-z])|∈)\s*ℝ\s*)?(?::|\\mid(?![a-z])|\|)\s*(?P<condition>[^{}]{1,80})\\\}\Z"
)
"""As in "\\{x : 0 < x < 3\\}"."""
_OR = lazy_pattern(r"\s*(?:\bor\b|\\(?:lor|vee)\b|或)\s*")
_ALL_BUT = lazy_pattern(r"ℝ\s*(?:\\setminus|\\backslash|-)\s*\\\{(?P<bound>[^{},]{1,20})\\\}")
_PI = lazy_pattern(r"(?<![A-Za-z\\])pi(?![A-Za-z])")
_LATEX_SYMBOLS = str.maketrans({
    "π": "\\pi ", "±": "\\pm ", "∞": "\\infty ", "√": "\\sqrt", "×": "\\times ", "·": "\\cdot ", "≤": "\\leq ", "≥": "\\geq ",
    "≠": "\\neq ", "∠": "\\angle ", "∪": "\\cup ", "∅": "\\emptyset ", "⟨": "(", "⟩": ")", "–": "-",
})  # fmt: skip
_SYNONYMS = {
    "\\$": "", "€": "", "£": "", "$": "", "\\%": "%", "\\left": "", "\\right": "", "\\langle": "(", "\\rangle": ")",
    "\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\(": "", "\\)": "", "\\varnothing": "\\emptyset", "\\leqslant": "\\leq", "\\geqslant": "\\geq",
}  # fmt: skip
"""LaTeX command or currency sign -> its replacement; applied in this order."""


def normalise_expression(text: str) -> str:
    """Return an expression in a common notation: no units, no digit grouping; double inequalities as intervals, columns as tuples."""
    text = strip_formatting(with_plain_powers(text.replace("\\mathbb{R}", "ℝ")))
    text = _SET_BUILDER.sub(r"\g<condition>", text)
    text = _BARE_DECIMAL.sub(r"\g<sign>0.", _BOLD_MARK.sub("", text))
    text = _MATRIX_IN_BRACKETS.sub(r"\\begin{pmatrix}\g<inner>\\end{pmatrix}", text)
    text = _DEGREES_OF_FUNCTION.sub(r"\1(\\frac{\2\\pi}{180})", _REPEATING_DECIMAL.sub(_as_fraction, text))
    for command, replacement in _SYNONYMS.items():
        text = text.replace(command, replacement)
    text = text.strip()
    text = _BARE_FRACTION.sub(r"\\frac{\1}{\2}", text).replace("∛", "\\sqrt[3]")
    text = _BARE_ROOT.sub(_braced_root, _SIGN_WORD.sub("-", CHINESE_LEAD_IN.sub("", text)))
    text = _SQRT_CALL.sub(r"\\sqrt{\1}", text).replace("{bmatrix}", "{pmatrix}")
    text = _DIGIT_GROUP_SEPARATOR.sub("", _DEGREES.sub("", text))
    text = _COMMA_GROUPED_NUMBER.sub(lambda number: number[0].replace(",", ""), text)
    text = _UNIT.sub("", _LATEX_SPACE.sub(" ", _TEXT_COMMAND.sub(_unwrap_command, text))).strip()
    text = _AND.sub(", ", text)
    if matrix := _COLUMN_VECTOR.fullmatch(text):
        text = "(" + ", ".join(row.strip() for row in matrix["inner"].split("\\\\") if row.strip()) + ")"
    if mixed := _MIXED_NUMBER.fullmatch(text):
        text = f"{mixed['sign']}({mixed['whole']}+{mixed['numerator']}/{mixed['denominator']})"
    if inequality := _INEQUALITY.fullmatch(text):
        opening = "(" if inequality["left_sign"] in ("<", "\\lt") else "["
        closing = ")" if inequality["right_sign"] in ("<", "\\lt") else "]"
        text = f"{opening}{inequality['lower']}, {inequality['upper']}{closing}"
    text = _PI.sub(r"\\pi ", text.translate(_LATEX_SYMBOLS)).strip(" .")
    if power := _E_NOTATION.fullmatch(text):
        text = f"{power[1]} \\times 10^{{{power[2]}}}"
    if quotient := _OVER.fullmatch(text):
        text = f"\\frac{{{quotient[1]}}}{{{quotient[2]}}}"
    return "\\emptyset" if _NO_SOLUTION.fullmatch(text) else _as_intervals(text) or text


def _as_fraction(decimal: re.Match[str]) -> str:
    """Return "(7)/3" for 2.333... with a line over the period."""
    whole, fixed, period = decimal.groups()
    denominator = 10 ** len(fixed) * (10 ** len(period) - 1)
    return f"\\frac{{{int(whole + fixed + period) - int(whole + fixed)}}}{{{denominator}}}"


def _as_intervals(text: str) -> str | None:
    r"""Return inequalities with one bound each as intervals: "(-\\infty, 3)" for "x < 3"; None for any other text."""
    if text == "ℝ":
        return "(-\\infty, \\infty)"
    if rest := _ALL_BUT.fullmatch(text):
        text = f"x\\neq {rest['bound']}"
    if len(text) > _MAX_FORMULA_CHARS or not (_RELATION.search(text)):
        return None
    half_lines = [_HALF_LINE.fullmatch(part) for part in _OR.split(text)]
    intervals = [_interval(half_line["sign"], half_line["bound"]) for half_line in half_lines if half_line]
    return "\\cup ".join(sorted(intervals)) if len(intervals) == len(half_lines) else None


_RELATION = lazy_pattern(r"[<>]|\\(?:[lg]eq?|[lg]t|neq?)(?![a-z])")


def _interval(sign: str, bound: str) -> str:
    """Return the real numbers on one side of a bound, or on both, as in an inequality with this sign."""
    if sign.startswith("\\ne"):
        return f"(-\\infty, {bound})\\cup ({bound}, \\infty)"
    is_open = sign in ("<", ">", "\\lt", "\\gt")
    if sign in ("<", "\\lt") or sign.startswith("\\le"):
        return f"(-\\infty, {bound}{')' if is_open else ']'}"
    return f"{'(' if is_open else '['}{bound}, \\infty)"


def _braced_root(root: re.Match[str]) -> str:
    command = "\\sqrt" if root["root"] == "√" else root["root"]
    return f"{command}{{{root['radicand']}}}"


def _unwrap_command(command: re.Match[str]) -> str:
    inner, power = command["inner"], command["power"] or ""
    if command.start() == 0 or (not power and _KEPT_TEXT.fullmatch(inner)):
        return f" {inner}{power} "
    return " "


_CALCULATION = lazy_pattern(r"(?:[-+*/().,\s\d×·!^{}]|\\(?:times|cdot|frac)(?![a-z])){3,80}=\s*(?=[-\d])")
"""The left-hand side of a calculation with numbers only."""


def without_calculation(text: str) -> str:
    """Return the result of a calculation with numbers only: 24 for "4! = 24"; any other text unchanged."""
    return text.rpartition("=")[2].strip() if _CALCULATION.match(text) else text


def right_hand_side(text: str) -> str:
    """Return the right-hand side of an equation: 3 for "x = 3"."""
    left_side = _LEFT_HAND_SIDE.match(text)
    if left_side is None:
        return without_calculation(text)
    value = text[left_side.end() :]
    if "=" in value and not any(sign in value for sign in ",;<>"):
        return value.rpartition("=")[2].strip() or text  # "A = 2 + 2 = 4"
    return text if "=" in value else value


def without_base(text: str) -> str:
    """Remove the base of a number: 2516 for 2516_8."""
    return _NUMBER_BASE.sub("", text)
