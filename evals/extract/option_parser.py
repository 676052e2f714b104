"""Parse a statement of a reply to a multiple-choice question as letters or as the text of an option."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from evals.extract import statement_mood
from evals.extract.answer_cues import without_denial
from evals.extract.formatting import HTML_TAG, strip_formatting
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_letters import parse_letters
from evals.extract.option_ordinals import letter_of_place
from evals.extract.option_text import QUALIFIER, UNDETERMINED, Options, split_gloss, split_label
from evals.extract.reading import REJECTED, Reading, read_layout
from evals.extract.statements import Form
from evals.extract.yesno import stated_yes_no

_NO_OPTION_STATEMENT = lazy_pattern(
    r"[\s*_(\"'\[$\\{]*(?:text\{)?(?:none\b|neither\b|unable\b|not\s+(?:listed|among|given|provided|available|in\s+the)|cannot\s+be\b|unknown\b|undetermined\b|n/a\b|以上(?:都|皆|均)[不非]|无正确|没有正确)",
    re.IGNORECASE,
)
"""A statement that none of the options is the answer."""
_LETTER_BESIDE_TEXT = lazy_pattern(
    r"[(（]\s*(?:(?:option|choice|answer|letter)\s+)?([A-Z])\s*[)）](?![\w=#(\[])"
)
"""A letter next to an option's text; not the branch of a SMILES, as in `CC(C)=O`."""
_NONE_OF_THEM = lazy_pattern(
    r"(?:none|neither)\s+of\s+(?:the\s+)?(?:these|above|them|options|choices|others)(?:\s+options)?",
    re.IGNORECASE,
)
_QUANTITY_IN_WORDS = lazy_pattern(r"(?<![\w.,])([-−]?\d[\d,]*(?:\.\d+)?)(?:\s[a-z]{2,12}){1,4}\s\($")
"""As in "6.0 meters per second (", before an option's letter."""
_CLOSEST_TO = lazy_pattern(
    r"(?:\b(?:about|approximately|around|roughly|closest\s+to|nearest\s+to|rounds\s+to|rounded\s+to|corresponds\s+to|agrees\s+with)\s|[→⇒⟹➜]|->|=>)\s*(?P<value>[^\s,;→⇒⟹➜]+(?:\s[^\s,;→⇒⟹➜]+){0,3})$",
    re.IGNORECASE,
)
"""As in "closest to 4.7" and "→ 25%", at the end of a reply."""
_DENIED_VALUE = lazy_pattern(
    r"\b(?:not|never|far|neither|no(?!\s+doubt)|nor|nothing|unlike|hardly|cannot|than)\b|n['’]t\b",
    re.IGNORECASE,
)
_CLAUSE_STARTS = (",", ";", ":", " but ", " is ", " are ", " was ", " were ")
"""A denial before one of these does not apply to the option after it: "the one that is not listed is E"."""
_RANGE_START = lazy_pattern(r"\d\s*(?:to|and|or|[-–])\s*$")
_DENIED_AFTER_BRACKET = lazy_pattern(
    r"[^()\n]{1,120}\([^()\n]{1,60}\)[^()\n]{0,120}?(?:\b(?:too|not|never|wrong|incorrect|fails?|cannot|excluded|ruled|less|insufficient|unable|no)\b|n['’]t\b)",
    re.IGNORECASE,
)
"""As in "LiAlH4 (B) is too strong"."""
INLINE_LABEL = lazy_pattern(r"(?<![A-Za-z0-9])([A-Z])[).:](?=\s)")
_SENTENCE_END = lazy_pattern(r"[.!?。！？](?=\s)|\n|。")
_MAX_ANSWER_CHARS = 60
"""Maximum length of an answer line, tag or field that is rejected if it names no option; longer ones are ignored."""
LABEL = lazy_pattern(
    r"[\s*_`\"'“#>✅✔✓☑-]*(?:(?i:option|choice)\s+)?(?:[(\[（【](?P<bracketed>[A-Z])[)\]）】]|(?P<bare>[A-Z])(?:[.)\]）。、](?=\s|\D)(?!\s?(?:coli|elegans|subtilis|melanogaster|cerevisiae|aureus|difficile|albicans|falciparum)\b)|[*_]+[.):]?(?=\s|$)|:\s|\s[-–—]\s|\s[→⇒]\s(?![A-Z]\b|wrong\b|incorrect\b|false\b|no\b)|\s+it\s+is\b|(?:,\s+(?:as|given|which|for)|,?\s+(?:since|because|due\s+to)|\s+as\s+(?:the|it|this|we|they|there))\b|[^\S\n]*(?=(?!选?项(?!:)|可能|似乎|貌似|好像|[和或与及跟看])[\u4e00-\u9fff])))"
)
"""The letter at the start of a line: "(B)", "B. ...", "**B**", "B because ..."."""
MAX_GLOSS_CHARS = 200
"""Maximum number of characters of a line that are compared with the text of the option that its letter names."""
_OF_NO_HELP = lazy_pattern(
    r"\bmy\s+favou?rite\b|\b(?:question|problem|stem|prompt)\s+(?:only\s+)?(?:mentions?|refers\s+to|talks\s+about)\b|\b(?:does\s+not|doesn['’]t|will\s+not|won['’]t|cannot|can['’]t)\s+(?:really\s+)?help\b",
    re.IGNORECASE,
)
_MAX_LINES_CHARS = 4_000
_BULLET = lazy_pattern(r"\s*(?:[-–—•]|\d[.)])\s+(?=[*_(]{0,3}[A-Z]\b)")
_COMBINING_WORD = lazy_pattern(r"\b(?:and|only|both|or|neither|alone)\b", re.IGNORECASE)
_ROMAN = lazy_pattern(r"\b(?:I{1,3}|I?V|VI{1,3})\b")
_ROMAN_LIST = lazy_pattern(
    r"[\s*_(]*(?:(?i:statements?|options?|items?)\s+)?(?:I{1,3}|I?V|VI{1,3})\b\)?(?:\s*(?:,\s*(?:and\b)?|\band\b|&|、|和)\s*\(?(?:I{1,3}|I?V|VI{1,3})\b\)?){1,6}(?:\s+(?i:only|alone))?[\s*_).]*"
)
"""As in "I, II and IV only"; the numbers of statements, not options."""
_CONCLUDING_WORD = lazy_pattern(
    r"^[\s*_#]*(?:(?:结论|结果|判断|结论是)[*_]*[::]|(?:综上(?:所述)?|因此|所以|故)[,,:]?|(?:so|thus|hence|therefore|conclusion|verdict|prediction|decision)[*_]*:)[\s*_]*",
    re.IGNORECASE,
)
"""As in "结论: 否" ("conclusion: no")."""
_LEADS_TO_LETTER = lazy_pattern(
    r"(?P<value>[^→⇒⟹➜\n]{1,80}?)[ \t]*(?:[→⇒⟹➜]|->|=>)[ \t]*(?P<letter>[*_]{0,3}(?:(?i:option|choice|answer)[ \t])?[*_]{0,3}[(\[（【]?[A-Z][)\]）】]?[*_]{0,3})[.\s]*"
)
"""As in "9.9 m/s → **(H)**": a value that leads to the letter of its option."""
_STRUCTURE = lazy_pattern(r"\s*[A-Za-z\d@+\-\[\]]*\([^\s()]+\)[^\s()]\S*\s*")
"""A SMILES with a branch, whose "(C)" is not an option."""
_SYMBOL = lazy_pattern(r"[\s*_]{0,9}\$(?P<letter>[a-z])\$[.\s*_]{0,9}")
"""A lower-case letter between dollar signs, which may be a symbol that is the text of an option."""


def is_denied(text: str, sentence_begin: int, option_begin: int) -> bool:
    """Return whether the clause before an option denies it."""
    clause_begin = max(
        sentence_begin, *(text.rfind(mark, sentence_begin, option_begin) for mark in _CLAUSE_STARTS)
    )
    return _DENIED_VALUE.search(text, clause_begin, option_begin) is not None


class OptionParser:
    """Parses a statement as letters or as an option's text, and records in `has_rejected` whether it has rejected any."""

    def __init__(self, count: int, options: Sequence[str], *, single: bool) -> None:
        self.count = count
        self._single = single
        self._option_texts = options
        self._options: Options | None = None
        self.has_rejected = False

    @property
    def options(self) -> Options:
        """Return the options, prepared for comparison on first use."""
        if self._options is None:
            self._options = Options(self._option_texts)
        return self._options

    def __call__(self, content: str, form: Form) -> Any:
        """Return the letters of a statement, REJECTED if it states another answer, None if it states none."""
        if "</" in content:
            content = HTML_TAG.sub("", content)
        if form == "line" and (bullet := _BULLET.match(content)):
            content = content[bullet.end() :]
        if form == "line" and (arrow := _LEADS_TO_LETTER.fullmatch(content)):
            content = self._option_of_value(arrow["value"], arrow["letter"]) or content
        content = without_denial(content) or content
        if self.names_statements and (roman := _ROMAN_LIST.fullmatch(content)):
            return self._option_of_statements(roman[0])
        letters, _, _ = parse_letters(content, 0, len(content), allow_unmarked=True, allow_run=True)
        letters = "".join(dict.fromkeys(letters))
        if self._single and (option := self._exact_option(content) or self.letter_with_own_text(content)):
            return option
        if self._single and len(letters) > 1:
            self.has_rejected = True
            return REJECTED
        if letters:
            return self._check_letters(content, letters)
        outcome = self._parse_stated_option(content, form)
        self.has_rejected = self.has_rejected or outcome is REJECTED
        return outcome

    def _option_of_value(self, value: str, letter: str) -> str | None:
        """Return the letter to which a value leads, unless the value is a condition, a letter or another option's text."""
        letters, _, _ = parse_letters(letter, 0, len(letter), allow_unmarked=True, allow_run=False)
        labels, _, _ = parse_letters(value, 0, len(value), allow_unmarked=True, allow_run=False)
        named = self.options.letter_of_text(value) if self._option_texts else None
        is_condition = statement_mood.mood(value, 0, len(value)) != "asserted"
        if len(letters) != 1 or labels or is_condition or named not in (None, letters[0]):
            return None
        return letters[0]

    def read_option_text(self, text: str) -> Reading | None:
        """Read an option's text in a reply that states no answer."""
        if not self._option_texts or _OF_NO_HELP.search(text, max(0, len(text) - 2 * MAX_GLOSS_CHARS)):
            return None
        return (
            read_layout(text, self._parse_unstated_option)
            or self._read_sentence_end(text)
            or self._read_yes_no(text)
            or self._read_first_line(text)
        )

    def _read_first_line(self, text: str) -> Reading | None:
        """Read a first line that is the text of an option, if no other line is that of another one."""
        lines = [line for line in text[:_MAX_LINES_CHARS].splitlines() if line.strip()]
        letters = {self.options.letter_of_exact_text(line) for line in lines}
        first = self.options.letter_of_exact_text(lines[0]) if len(lines) > 1 else None
        if (
            first is None
            or letters - {None, first}
            or lines[0].lstrip()[0] == "#"
            or lines[1].lstrip()[0].islower()
        ):
            return None
        begin = text.find(lines[0])
        return Reading(first, "whole", begin, begin + len(lines[0]))

    def _read_yes_no(self, text: str) -> Reading | None:
        """Read the yes or no of a reply if the options are just these, or true and false."""
        words = [option.strip(" .").casefold() for option in self._option_texts]
        verdicts = [
            word for word in words if not UNDETERMINED.search(word) and word not in ("maybe", "unknown")
        ]
        if sorted(verdicts) not in (["no", "yes"], ["false", "true"]):
            return None
        reading = stated_yes_no(text)
        if reading is None:
            return None
        index = next(i for i, word in enumerate(words) if (word in ("yes", "true")) == reading.value)
        return reading._replace(value=chr(ord("A") + index), form="prose")

    def _parse_unstated_option(self, content: str, form: Form) -> Any:
        content = _CONCLUDING_WORD.sub("", content)
        content = without_denial(content) or content
        if _DENIED_AFTER_BRACKET.match(content):
            return None
        if (named_letter := self.options.letter_of_text(content)) is not None:
            return None if self.options.names_another(content, named_letter) else named_letter
        if len(content) <= 2 * _MAX_ANSWER_CHARS and UNDETERMINED.search(content):
            return self.options.letter_of_undetermined()
        return self.options.letter_of_none() if _NONE_OF_THEM.fullmatch(strip_formatting(content)) else None

    def _read_sentence_end(self, text: str) -> Reading | None:
        """Read an option's text at the end of the last sentence, or the option that a single sentence calls the answer."""
        end = len(text.rstrip().rstrip(".。*_\"'”’ "))
        begin = max(
            (sentence_end.end() for sentence_end in _SENTENCE_END.finditer(text, max(0, end - 400), end)),
            default=max(0, end - 400),
        )
        is_last = bool(text[:begin].strip())
        sentence = text[begin:end]
        subject = self.options.letter_of_subject(sentence, is_last=is_last)
        if subject is None and not is_last and statement_mood.mood(text, begin, end) == "asserted":
            subject = self.options.letter_of_predicate(sentence)
        if subject is not None:
            return Reading(subject, "prose", begin, end)
        if (closest := _CLOSEST_TO.search(text, begin, end)) and (
            closest_letter := self.options.letter_of_text(closest["value"])
        ):
            is_asserted = statement_mood.mood(text, *closest.span("value")) == "asserted"
            is_value_denied = _DENIED_VALUE.search(text, begin, closest.start())
            if (
                not is_asserted
                or is_value_denied
                or self.options.names_another(text[begin:end], closest_letter)
            ):
                return None
            return Reading(closest_letter, "prose", *closest.span("value"))
        final_option = self.options.option_at_end(text[begin:end])
        if final_option is None or LABEL.match(text, text.rfind("\n", 0, end) + 1):
            return None
        final_letter, option_begin = final_option[0], begin + final_option[1]
        if is_denied(text, begin, option_begin) or _RANGE_START.search(text, begin, option_begin):
            return None
        labels = {label[1] for label in INLINE_LABEL.finditer(text, text.rfind("\n", 0, end) + 1, end)}
        if labels - {final_letter} or statement_mood.mood(text, option_begin, end) != "asserted":
            return None
        return Reading(final_letter, "prose", option_begin, end)

    def follows_option_text(self, line: str, label: re.Match[str], *, offset: int = 0) -> bool:
        """Return whether a letter in brackets follows the text of its option: "the nucleus (D)".

        `offset`: position of the line in the text in which the label was matched.
        """
        index, before = ord(label[1]) - ord("A"), line[: label.start(1) - offset]
        if index >= len(self._option_texts) or not before.endswith(" ("):
            return False
        if quantity := _QUANTITY_IN_WORDS.search(before[-80:]):
            return self.options.has_number(index, quantity[1])
        if len(self._option_texts[index].strip()) < 3:
            return False
        return before[:-2].casefold().endswith(self._option_texts[index].strip().casefold())

    def _check_letters(self, content: str, letters: str) -> Any:
        """Return the letters of a statement, or of the option with the stated symbol; REJECTED if letter and text disagree."""
        if (symbol := _SYMBOL.fullmatch(content)) and (
            symbol_letter := self._letter_of_symbol(symbol["letter"], letters)
        ):
            return symbol_letter
        if len(letters) == 1 and self._option_texts and (label_and_text := split_label(content)) is not None:
            other_letter = self.options.letter_of_text(label_and_text[1])
            if other_letter is not None and label_and_text[0] == letters and other_letter != letters:
                self.has_rejected = True
                return REJECTED
        if len(letters) == 1 and self.has_other_gloss(content, letters):
            self.has_rejected = True
            return REJECTED
        return letters

    def has_other_gloss(self, content: str, letter: str) -> bool:
        """Return whether the text beside a letter is that of another option: "B (chloroplast)" if C is the chloroplast."""
        if not self._option_texts or (gloss := split_gloss(content[:MAX_GLOSS_CHARS])) is None:
            return False
        other_letter = self.options.letter_of_exact_text(gloss[1])
        return gloss[0] == letter and other_letter not in (None, letter)

    def letter_with_own_text(self, line: str) -> str | None:
        """Return the letter of "D (27/64)" or "D = 27/64" if that is the text of option D."""
        is_stated = self._option_texts and not line.rstrip().endswith("?")
        gloss = split_gloss(line[:MAX_GLOSS_CHARS]) if is_stated else None
        return gloss[0] if gloss and self.options.letter_of_exact_text(gloss[1]) == gloss[0] else None

    def has_text(self, text: str, letter: str) -> bool:
        """Return whether a text states the option with this letter, without denying it."""
        is_option = self._option_texts and self.options.letter_of_text(text) == letter
        return bool(is_option) and not _DENIED_VALUE.search(text) and not text.rstrip().endswith("?")

    def _exact_option(self, content: str) -> str | None:
        """Return the option whose text, such as "I and III", "Both A and B" or a SMILES, is the whole statement."""
        if len(self._option_texts) < 2 or not (
            _COMBINING_WORD.search(content) or _STRUCTURE.fullmatch(content)
        ):
            return None
        return self.options.letter_of_exact_text(content)

    def _letter_of_symbol(self, symbol: str, letters: str) -> str | None:
        """Return the letter of the only option whose text is the lower-case `symbol`; None if it is the stated letter."""
        indices = [i for i, text in enumerate(self._option_texts) if text.strip(" $") == symbol]
        letter = chr(ord("A") + indices[0]) if len(indices) == 1 else None
        return None if letter == letters else letter

    @cached_property
    def names_statements(self) -> bool:
        """Return whether an option combines numbered statements, such as "I and II"."""
        return any(map(_ROMAN_LIST.fullmatch, self._option_texts))

    def letter_of_all_statements(self, count: int | None) -> str | None:
        """Return the letter of the option that combines all numbered statements, which are `count` if that is known."""
        numerals = {
            n for text in self._option_texts if _ROMAN_LIST.fullmatch(text) for n in _ROMAN.findall(text)
        }
        indices = [i for i, text in enumerate(self._option_texts) if set(_ROMAN.findall(text)) == numerals]
        is_known = len(indices) == 1 and count in (None, len(numerals))
        return chr(ord("A") + indices[0]) if numerals and is_known else None

    def _option_of_statements(self, stated: str) -> Any:
        """Return the option that combines the same statements, such as "I and II" for "I & II"; REJECTED if there is none."""
        numerals = _ROMAN.findall(stated)
        indices = [
            i
            for i, text in enumerate(self._option_texts)
            if _ROMAN_LIST.fullmatch(text) and _ROMAN.findall(text) == numerals
        ]
        self.has_rejected = self.has_rejected or len(indices) != 1
        return chr(ord("A") + indices[0]) if len(indices) == 1 else REJECTED

    def _parse_stated_option(self, content: str, form: Form) -> Any:
        """Read an option by its text; REJECTED for an answer that is not an option."""
        content = QUALIFIER.sub("", content)
        if self._option_texts and (letter := self.options.letter_of_text(content)):
            beside_text = _LETTER_BESIDE_TEXT.search(content)
            is_contradicted = beside_text and letter != beside_text[1] < chr(ord("A") + self.count)
            return REJECTED if is_contradicted else letter
        if self._option_texts and form in ("line", "tag", "json", "box", "sentence"):
            letter = self.options.letter_of_part(content)
            if letter is not None:
                return letter
        if (letter := letter_of_place(content)) is not None:
            return letter if letter < chr(ord("A") + self.count) else REJECTED
        if _NO_OPTION_STATEMENT.match(content):
            undetermined = UNDETERMINED.search(content) and self.options.letter_of_undetermined()
            return undetermined or (self._option_texts and self.options.letter_of_none()) or REJECTED
        if (
            form in ("tag", "line", "json")
            and 0 < len(strip_formatting(content)) <= _MAX_ANSWER_CHARS
            and "\n" not in content.strip()
        ):
            return REJECTED
        return None
