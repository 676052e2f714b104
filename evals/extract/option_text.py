r"""Recognise options by their texts: "the ribosome", `\frac{27}{64}` for 27/64, "None of the above".

>>> Options(["mitochondrion", "ribosome"]).letter_of_text("the **ribosome**.")
'B'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from evals.extract.formatting import shortened_answers, strip_formatting
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import spelled_number

_PERCENT = lazy_pattern(r"(?<=\d)\s?(?:percent|per\s?cent)\b", re.IGNORECASE)
_DEGREES = lazy_pattern(r"(?<=\d)\s?degrees?(?:\s(?P<scale>[CF])(?:elsius|ahrenheit)?)?\b", re.IGNORECASE)
_SINGLE_GROUP = lazy_pattern(r"([\^_])\{(\w{1,3})\}")
_FRACTION = lazy_pattern(r"\\[dtc]?frac\s*\{([^{}]{1,80})\}\s*\{([^{}]{1,80})\}")
_SHORT_FRACTION = lazy_pattern(r"\\[dtc]?frac\s*(\d)\s*(\d)")
_LATEX_COMMAND = lazy_pattern(
    r"\\(?:ce|pu|text|textbf|textrm|mathrm|mathbf|mathit|rm|left|right|displaystyle|mbox)(?![A-Za-z])|\\[,;:! ]"
)
_DELETE_MARKUP = str.maketrans("–—", "--", "~${}^_*`'\"“”‘’")
_INVERSE_UNIT = lazy_pattern(
    r"(?<=[A-Za-z}¹])(?:[\s·*]|\\[,;: ]|\\cdot(?![a-z]))+(?:\\(?:mathrm|text)\{)?([A-Za-z]{1,3})\}?(?:\^\{?-1\}?|⁻¹)"
)
"""As in "m s^{-1}"."""
_ARTICLE = lazy_pattern(
    r"(?:(?:that|because|since)\s+(?=\S))?(?:(?:the|a|an|option|choice|answer|(?:it|they)(?:\s+(?:is|are|will(?:\s+be)?))?)\s+(?=\S))?",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(r"[(\[]?([A-Z])[)\]]?\s*[.:)、．]\s*(?=\S)")
_NONE_OF_THEM = lazy_pattern(
    r"(?:none|neither)\s+(?:of\s+)?(?:the|these|them|above)|以上(?:都|皆|均)(?:不|非)|none\b",
    re.IGNORECASE,
)
UNDETERMINED = lazy_pattern(
    r"\b(?:cannot|can\s?not|can['’]t)\s+be\s+(?:determined|decided|known|answered|calculated)\b|\bnot\s+enough\s+information\b|\binsufficient\s+(?:information|data)\b|无法确定|不能确定",
    re.IGNORECASE,
)
_CALLED_ANSWER = lazy_pattern(
    r"(?P<subject>[^.;:]{2,80}?)\s(?:is|are)\s+(?:what|the\s+(?:one|only|correct|right|best|answer)\b|right\b|correct\b)",
    re.IGNORECASE,
)
_CONNECTIVE = lazy_pattern(
    r"^[\s*_]*(?:so|thus|hence|therefore|accordingly|consequently|overall|in\s+conclusion),?\s+",
    re.IGNORECASE,
)
_PREDICATE_START = lazy_pattern(
    r"[\s*_]*(?!(?:if|when|although|while|whether|not|no|there|my|what|this\s+is|it\s+is)\b)(?:(?!\b(?:that|which|who|what|question)\b)[^.,;:?!]){1,60}?\s(?:is|are|lies|sits|stands)\s+[*_]*(?:(?:located|situated|placed|clearly|therefore|thus)\s+)?(?:(?:on|to|at|in)\s+the\s+)?(?P<rest>[^?,;]{1,160})$",
    re.IGNORECASE,
)
_AFTER_OPTION = lazy_pattern(r"(?![\w-])(?!\s(?:out|all|now|off|at\sthe)\b)")
_SECOND_SUBJECT = lazy_pattern(
    r"\b(?:not|or|but|and|if|unless|while|whereas|only|when)\b|n['’]t\b|[?]", re.IGNORECASE
)
"""Words with which a predicate is restricted, or goes on to say something else."""
_IS_BEST_CHOICE = lazy_pattern(
    r"\s(?:is|are)\s+the\s+(?:(?:correct|right|best|most\s+likely|most\s+suitable|most\s+appropriate)\s+)?(?:answer|choice|option|match|fit|solvent|product|structure)\b",
    re.IGNORECASE,
)
"""A predicate that states an answer wherever in the reply it occurs: "DMF is the best choice here"."""
_MAKES_ANSWER = lazy_pattern(
    r"\b(?:makes?|making|points?\s+to|suggests?|favou?rs?)\s+(?P<subject>[^.;:]{3,80}?)\s+(?:as\s+)?the\s+(?:most\s+(?:likely|probable)|best|correct|right|only)\b",
    re.IGNORECASE,
)
_ADDS_OR_DENIES = lazy_pattern(
    r"\b(?:not|no|never|neither|nor|without|cannot|and|or|but|only|if|unless|except|fails?|lacks?|prevents?|decreas\w+|false)\b|n['’]t\b|[,;]",
    re.IGNORECASE,
)
_PLURAL = lazy_pattern(r"(?<=[a-z]{3})s[.*_\s]*$")
_PREDICATE = lazy_pattern(
    r"(?!\W{0,3}my\sfavou?rite\b)[^.,;:]{1,40}?\s(?:is|are)\s+(?P<result>[^.;]+)\.?\s*$", re.IGNORECASE
)
"""As in "X is the ribosome"."""
EMPHASISED_START = lazy_pattern(
    r"\s*(?P<mark>\*\*|`)(?P<answer>[^*`\n]{1,200})(?P=mark),\s(?!\W{0,3}(?:or|and|but|perhaps|maybe|not|which\s+is\s+(?:wrong|incorrect|not))\b)[^*`\n]*\Z"
)
"""As in "**CC(C)=O**, acetone"."""
_ASCII_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹₊₋⁺⁻⁄", "01234567890123456789+-+-/")
_HENCE = lazy_pattern(
    r"\b(?:so|hence|therefore|thus|i\.e\.|namely)\b[\s,:]*(?:it\s+is\s+|the\s+|is\s+)?[\"'“‘]?$",
    re.IGNORECASE,
)
_CALCULATION = lazy_pattern(
    r"(?:=|\bi\.e\.|\bthat\s+is|\bnamely)[\s,:]*(?P<result>[^=≈]{1,80}?)(?:\s*(?:≈|\\approx\b)[^=≈]{1,30})?\.?\s*$",
    re.IGNORECASE,
)
"""As in "(3/4)^3 = 27/64 ≈ 0.42"."""
_ROUNDED = lazy_pattern(r"≈|\\approx(?![a-z])")
_CALCULATION_CUES = ("=", "i.e", "that", "namely")
_MIN_TEXT_CHARS = 4
"""Minimum length of an option's text that is recognised within a sentence."""
_MAX_COMPARED_CHARS = 600
"""Maximum number of characters of a statement that are compared with the options' texts."""


class Options:
    """The options as shown, prepared for comparison with the text of a statement."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = options
        self._max_statement_chars = 2 * max(map(len, options), default=0) + 120
        self._none_indices = [i for i, option in enumerate(options) if _NONE_OF_THEM.match(option.strip())]
        self._texts, unit = _without_common_unit(options)
        self._unit = normalise_text(f"1 {unit}")[1:].casefold()
        self._longest_words = [_longest_word(option) for option in self._texts]

    def letter_of_text(self, statement: str) -> str | None:
        """Return the letter of the only option whose text is the statement; None if there is none, or several."""
        statement = statement[: self._max_statement_chars]
        lower = "".join(_without_latex(statement).split())
        candidates = [
            text for text, word in zip(self._texts, self._longest_words, strict=True) if word in lower
        ]
        if not candidates:
            return self._letter_of_number(statement)
        texts = {normalise_text(candidate).casefold() for candidate in candidates}
        versions = list(shortened_answers(statement))
        if any(sign in lower for sign in _CALCULATION_CUES) and (
            calculation := _CALCULATION.search(statement)
        ):
            versions.append(calculation["result"])
        if "≈" in statement or "\\approx" in statement:
            exact, rounded = _ROUNDED.split(statement, maxsplit=1)
            is_symbol = not any(c.isdigit() for c in exact) and statement.count("$") % 2 == 0
            versions.append(rounded if is_symbol else exact)
        if predicate := _PREDICATE.match(statement):
            versions.append(predicate["result"])
        if plural := _PLURAL.search(statement):
            versions.append(statement[: plural.start()])
        for version in versions:
            if letter := self._letter_if_equal(version, texts):
                return letter
        emphasised = EMPHASISED_START.match(statement)
        letter = self._letter_if_equal(emphasised["answer"], texts) if emphasised else None
        if letter is None:
            return self._letter_of_number(statement)
        return None if self.names_another(statement, letter) else letter

    def _letter_of_number(self, statement: str) -> str | None:
        """Return the letter of the only option with the stated number and unit, as in "-3.4 eV" for the option -3.40 eV."""
        if not any(self._numbers):
            return None
        if len(statement) <= _MAX_QUANTITY_CHARS:
            statement = QUALIFIER.sub("", statement)
        for version in shortened_answers(statement):
            number = _parse_number(normalise_text(version).casefold().removesuffix(self._unit))
            readings = [number, (number[0] / 100, "")] if number and number[1] == "%" else [number]
            if (
                number
                and _UNIT_OF_LENGTH_OR_TIME.fullmatch(number[1])
                and not any(n and n[1] for n in self._numbers)
            ):
                readings.append((number[0], ""))
            indices = [i for i, option in enumerate(self._numbers) if option and option in readings]
            if indices:
                return chr(ord("A") + indices[0]) if len(indices) == 1 else None
        return None

    def has_number(self, index: int, number: str) -> bool:
        """Return whether an option is a quantity with this number."""
        option, stated = self._numbers[index], _parse_number(normalise_text(number))
        return option is not None and stated is not None and option[0] == stated[0]

    @cached_property
    def _numbers(self) -> list[tuple[float, str] | None]:
        """Return number and unit of each option; None for an option that is not a number."""
        return [_parse_number(normalise_text(text).casefold()) for text in self._texts]

    def letter_of_exact_text(self, text: str) -> str | None:
        """Return the letter of the only option whose text is `text`; None if there is none, or several."""
        text = text[: self._max_statement_chars]
        return self._letter_if_equal(text, {normalise_text(text).casefold()})

    def _letter_if_equal(self, statement: str, candidates: set[str]) -> str | None:
        """Return the letter of the option whose text is the statement; `candidates`: normalised lower-case texts to match."""
        normalised = normalise_text(statement[:_MAX_COMPARED_CHARS])
        lower = normalised.casefold()
        if not normalised or candidates.isdisjoint((lower, lower.removesuffix(self._unit))):
            return None
        exact, folded, ignore_case = self._normalised
        normalised = (lower if ignore_case else normalised).removesuffix(self._unit)
        texts = folded if ignore_case else exact
        indices = [i for i, text in enumerate(texts) if text == normalised]
        return chr(ord("A") + indices[0]) if len(indices) == 1 else None

    @cached_property
    def _normalised(self) -> tuple[list[str], list[str], bool]:
        """Return the normalised options, the same in lower case, and whether case can be ignored (no two differ in it alone)."""
        exact = [normalise_text(option) for option in self._texts]
        folded = [text.casefold() for text in exact]
        return exact, folded, len(set(folded)) == len(set(exact))

    def letter_of_part(self, statement: str) -> str | None:
        """Return the letter of the only option that begins or ends with a statement of at least three words.

        The rest of the option must not deny it or add to it.
        """
        part = " ".join(strip_formatting(statement).casefold().rstrip(".").split())
        if part.count(" ") < 2 or len(part) > _MAX_COMPARED_CHARS or any(c.isdigit() for c in part):
            return None
        texts = [" ".join(option.casefold().rstrip(". ").split()) for option in self._options]
        indices = [i for i, text in enumerate(texts) if f" {part} " in f" {text} "]
        if len(indices) != 1:
            return None
        before, _, after = f" {texts[indices[0]]} ".partition(f" {part} ")
        is_edge = not before.strip() or not after.strip()
        return (
            chr(ord("A") + indices[0])
            if is_edge and not _ADDS_OR_DENIES.search(before + " " + after)
            else None
        )

    def option_at_end(self, sentence: str) -> tuple[str, int] | None:
        """Return letter and start of the option text that ends a sentence; None if others precede it without a "hence"."""
        lower = sentence.casefold()
        texts = [option.strip().rstrip(".").casefold() for option in self._options]
        matches = [
            i
            for i, text in enumerate(texts)
            if len(text) >= _MIN_TEXT_CHARS
            and lower.endswith(text)
            and not lower[: -len(text)][-1:].isalnum()
        ]
        if not matches:
            return None
        index = max(matches, key=lambda i: len(texts[i]))
        begin = len(sentence) - len(texts[index])
        if any(
            len(text) >= _MIN_TEXT_CHARS and text in lower[:begin] for text in texts
        ) and not _HENCE.search(lower, 0, begin):
            return None
        return chr(ord("A") + index), begin

    def letter_of_subject(self, sentence: str, *, is_last: bool = False) -> str | None:
        """Return the letter of the option that a sentence calls the answer: "A ribosome is what the arrow points to.".

        If it is only the last sentence of a reply, it must use the word "answer", "choice" or the like.
        """
        sentence = _CONNECTIVE.sub("", sentence.strip())
        called_answer = _CALLED_ANSWER.match(sentence) or _MAKES_ANSWER.search(sentence)
        if is_last and not _IS_BEST_CHOICE.search(sentence):
            return None
        return self.letter_of_text(called_answer["subject"]) if called_answer else None

    def letter_of_predicate(self, sentence: str) -> str | None:
        """Return the letter of the option with which the predicate of a sentence begins: "The cup is below the shelf."."""
        predicate = _PREDICATE_START.match(sentence)
        rest = predicate["rest"].casefold() if predicate else ""
        texts = [option.strip().rstrip(".").casefold() for option in self._options]
        indices = [
            i
            for i, text in enumerate(texts)
            if len(text) >= _MIN_TEXT_CHARS and rest.startswith(text) and _AFTER_OPTION.match(rest, len(text))
        ]
        if len(indices) != 1 or _SECOND_SUBJECT.search(rest):
            return None
        letter = chr(ord("A") + indices[0])
        return None if self.names_another(sentence, letter) else letter

    def letter_of_undetermined(self) -> str | None:
        """Return the letter of the only option like "cannot be determined"."""
        indices = [i for i, option in enumerate(self._options) if UNDETERMINED.search(option)]
        return chr(ord("A") + indices[0]) if len(indices) == 1 else None

    def names_another(self, statement: str, letter: str) -> bool:
        """Return whether a statement names an option other than `letter`."""
        texts = [option.strip().rstrip(".").casefold() for option in self._options]
        lower, own_text = statement.casefold(), texts[ord(letter) - ord("A")]
        return any(len(text) >= _MIN_TEXT_CHARS and text in lower and text not in own_text for text in texts)

    def letter_of_none(self) -> str | None:
        """Return the letter of the only option like "none of the above"."""
        return chr(ord("A") + self._none_indices[0]) if len(self._none_indices) == 1 else None


_NUMBER_WITH_UNIT = lazy_pattern(
    r"(?P<number>[-+−\d.,/×^{}()\s]*\d[-+\d.,/×^{}()]*)\s+(?P<unit>[A-Za-z°%µ][^\d\n]{0,30})"
)


def _without_common_unit(options: Sequence[str]) -> tuple[list[str], str]:
    """Return the options without their common unit, and that unit, so that "32" matches "32 degrees"."""
    texts, units = [], set()
    for option in options:
        quantity = _NUMBER_WITH_UNIT.fullmatch(option.strip())
        if quantity is None:
            return list(options), ""
        texts.append(quantity["number"])
        units.add(quantity["unit"].strip())
    return (texts, units.pop()) if len(units) == 1 else (list(options), "")


_UNIT_OF_LENGTH_OR_TIME = lazy_pattern(
    r"(?:[cmk]?m|in|ft|inches|feet|units?|(?:square|cubic)units?|[cmk]?m[23²³]|s|min|h|hours?|minutes?|seconds?|days?|years?|°)"
)
"""A unit that may be stated with the number of an option that has none."""
_MAX_QUANTITY_CHARS = 40
"""Maximum length of a statement that consists of a quantity after "about"."""
QUALIFIER = lazy_pattern(
    r"^[\s*_]*(?:approximately|approx\.|about|roughly|around|nearly|close\s+to)\s+", re.IGNORECASE
)
_NUMBER = lazy_pattern(
    r"(?P<number>[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,15})?)(?P<unit>[^\d,.:/×·*^=+-][^\d]{0,29})?"
)
_FRACTION_OF_DIGITS = lazy_pattern(r"(-?[0-9]{1,9})/([1-9][0-9]{0,8})")


def _parse_number(text: str) -> tuple[float, str] | None:
    """Return the number and the unit in a normalised text, including "3/2" and "three"; None for any other text."""
    if (value := spelled_number(text)) is not None:
        return value, ""
    if fraction := _FRACTION_OF_DIGITS.fullmatch(text):
        return int(fraction[1]) / int(fraction[2]), ""
    number = _NUMBER.fullmatch(text)
    return (float(number["number"].replace(",", "")), number["unit"] or "") if number else None


_FUNCTIONS = "log|ln|exp|sin|cos|tan|min|max"
_FUNCTION = lazy_pattern(rf"\\({_FUNCTIONS})(?![A-Za-z])")
_MACRO_OR_BRACES = lazy_pattern(rf"\\(?!(?:{_FUNCTIONS})(?![a-z]))[a-z]+|\}}\s*\{{")
_DELETE_LATEX_SIGNS = str.maketrans("", "", "^_{}$")
_WORD = lazy_pattern(r"[a-z0-9]+")


def _longest_word(option: str) -> str:
    """Return the longest word or number of an option, which any statement of its text contains; empty if it has none."""
    return max(_WORD.findall(_without_latex(option)), key=len, default="")


def _without_latex(text: str) -> str:
    """Return the text in lower case without LaTeX commands and signs; exponents directly follow their base."""
    text = _ascii_digits(text).casefold()
    return (_MACRO_OR_BRACES.sub(" ", text) if "\\" in text or "}" in text else text).translate(
        _DELETE_LATEX_SIGNS
    )


def _ascii_digits(text: str) -> str:
    return text if text.isascii() else text.translate(_ASCII_DIGITS)


_SYMBOLS = {
    "times": "×", "cdot": "·", "pi": "π", "mu": "μ", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "theta": "θ",
    "lambda": "λ", "sigma": "σ", "omega": "ω", "Delta": "Δ", "Omega": "Ω", "circ": "°", "degree": "°", "pm": "±",
    "infty": "∞", "rightarrow": "→", "to": "→", "leq": "≤", "geq": "≥", "le": "≤", "ge": "≥",
}  # fmt: skip
_SYMBOL = lazy_pattern(rf"\\({'|'.join(_SYMBOLS)})(?![A-Za-z])\s*")


def _unicode_symbol(command: re.Match[str]) -> str:
    return _SYMBOLS[command[1]]


def normalise_text(text: str) -> str:
    """Return the text without formatting, spaces and leading article; fractions are written as `a/b`."""
    text = _PERCENT.sub("%", strip_formatting(text))
    if "egree" in text:
        text = _DEGREES.sub(r"°\g<scale>", text)
    if "-1" in text or "⁻¹" in text:
        text = _INVERSE_UNIT.sub(r"/\1", text)
    text = _ascii_digits(text).replace("\\$", "").replace("\\%", "%")
    if article := _ARTICLE.match(text):
        text = text[article.end() :]
    if "\\" in text:
        text = _FUNCTION.sub(r"\1", _SINGLE_GROUP.sub(r"\1\2", text))
        text = _SHORT_FRACTION.sub(r"\1/\2", _FRACTION.sub(r"\1/\2", text))
        text = _LATEX_COMMAND.sub("", _SYMBOL.sub(_unicode_symbol, text))
    return "".join(text.split()).translate(_DELETE_MARKUP).rstrip(".")


_LABEL_AND_GLOSS = lazy_pattern(
    r"(?:option|choice)?\s*[(\[]?(?P<letter>[A-Z])[)\]]?(?:\s*[.:)=、．,]\s*|\s+[-–—]\s+|\s*(?P<open>\())(?=\S)(?P<gloss>[^\n]+)",
    re.IGNORECASE,
)


def split_gloss(text: str) -> tuple[str, str] | None:
    """Split "B (sodium chloride)" or "B, sodium chloride" into (letter, text).

    None if no letter comes first, or if words follow the bracket, as in "B (ice) is wrong".
    """
    label = _LABEL_AND_GLOSS.match(strip_formatting(text))
    if label is None or not label["letter"].isupper():
        return None
    gloss = strip_formatting(label["gloss"])
    if label["open"]:
        gloss, _, remark = gloss.partition(")")
        return None if any(c.isalnum() for c in remark) else (label["letter"], gloss)
    return label["letter"], gloss


def split_label(text: str) -> tuple[str, str] | None:
    """Split "B. sodium chloride" into (letter, text); None if it does not begin with a label."""
    label = _LABEL.match(strip_formatting(text))
    return (label[1], strip_formatting(text)[label.end() :]) if label else None
