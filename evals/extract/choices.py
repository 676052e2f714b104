r"""Extract the option that a reply states and does not retract: the `strict` rule for multiple choice.

>>> letter("ANSWER: C. Note: the second-best choice is D.", 4), letter("The answer is B. Wait, no, C.", 4)
('C', 'C')
>>> choice("Hence $\\boxed{\\dfrac{27}{64}}$.", ["9/64", "27/64"]).value
'B'

Statements are found in the same way for every kind of answer (`reading.py`). This module parses letters and option texts;
further ways to name an option ("option B is correct", "only C remains", 故选C) are in the table `option_cues.CUES`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evals.extract import statement_mood
from evals.extract.formatting import half_width, strip_formatting
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_cues import CUES
from evals.extract.option_letters import COMMANDS, MARKS, parse_letters
from evals.extract.option_text import UNDETERMINED, Options, split_label
from evals.extract.option_verdicts import option_verdicts
from evals.extract.reading import (
    REJECTED,
    Reading,
    asks_next_question,
    breaks_off,
    read_answer,
    read_layout,
    retracts,
)
from evals.extract.statements import Form
from evals.extract.visible import visible

_NO_OPTION_STATEMENT = lazy_pattern(
    r"[\s*_(\"'\[$\\{]*(?:text\{)?(?:none\b|neither\b|unable\b|not\s+(?:listed|among|given|provided|available|in\s+the)|cannot\s+be\b|unknown\b|undetermined\b|n/a\b|以上(?:都|皆|均)[不非]|无正确|没有正确)",
    re.IGNORECASE,
)
"""A statement that none of the options is the answer."""
_LETTER_BESIDE_TEXT = lazy_pattern(r"[(（]\s*(?:(?:option|choice|answer|letter)\s+)?([A-Z])\s*[)）]")
"""A letter next to an option's text."""
_NONE_OF_THEM = lazy_pattern(
    r"(?:none|neither)\s+of\s+(?:the\s+)?(?:these|above|them|options|choices|others)(?:\s+options)?",
    re.IGNORECASE,
)
_INLINE_LABEL = lazy_pattern(r"(?<![A-Za-z0-9])([A-Z])[).:](?=\s)")
_SENTENCE_END = lazy_pattern(r"[.!?。！？](?=\s)|\n|。")
_MAX_ANSWER_CHARS = 60
"""Maximum length of an answer line, tag or field that is rejected if it names no option; longer ones are ignored."""
_LONE_LETTER = lazy_pattern(r"[ (\[*_`$]{0,4}([A-Z])[)\]*_`$]{0,4}[ \t]*(?:$|\n|[.;](?=\s|$))")
_FIRST_LINE_LETTER = lazy_pattern(r"\s{0,8}[(\[*_`$]{0,4}[A-Z][)\]*_`$.]{0,4}[ \t]*\n")
_CLOSING_LINE = re.compile(
    r"[\n.]?[*_\s]*(?:(?:final\s+)?answer[*_\s]*:|(?:(?:so|thus|hence|therefore),?\s+)?the\s+(?:final\s+|correct\s+|best\s+)?answer\s+is:?)[*_\s(]*([A-Z])[*_)\s.]*",
    re.IGNORECASE,
)


def letter(text: str, count: int) -> str | None:
    """Read the single letter, among the first `count`, that the reply states; None if there is none.

    If the last statement names two options, or a letter beyond `count`, there is no answer: earlier statements, which
    the model retracted, must not be credited.

    >>> letter("The answer is A. No, wait: ANSWER: C", 4), letter("I am not sure.", 10), letter("A or B", 4)
    ('C', None, None)
    """
    reading = stated_letters(text, count, single=True)
    return None if reading is None else str(reading.value)


def choice(text: str, options: Sequence[str], *, truncated: bool = False) -> Reading | None:
    """Read the single option that the reply states by letter or by text; the value is the letter in the prompt.

    `truncated`: the reply was cut off; a statement at the very end is not an answer, since it may be incomplete or about to
    be retracted.
    """
    return stated_letters(text, len(options), options, single=True, truncated=truncated)


def stated_letters(
    text: str, count: int, options: Sequence[str] = (), *, single: bool = False, truncated: bool = False
) -> Reading | None:
    """Read the options that the reply states; the value is a string of letters in the order stated.

    With `single`, two options in one statement are not an answer. `truncated` is as in `choice`.
    """
    if not truncated and (closing := _read_closing_line(text)) is not None:
        if closing.value >= chr(ord("A") + count):
            return None
        if not visible(text).truncated:
            return closing
    text = half_width(text)
    parser = _Parser(count, options, single=single)
    reading = read_answer(text, parser, cues=CUES, use_layout=False, truncated=truncated)
    if reading is None and truncated:
        reading = _complete_reading(read_answer(text, parser, cues=CUES, use_layout=False), text)
    if reading is None and not parser.has_rejected and (not truncated or _FIRST_LINE_LETTER.match(text)):
        reading = _read_layout(text, parser)
    if (
        reading is None
        or not reading.value
        or (single and len(reading.value) > 1)
        or max(reading.value) >= chr(ord("A") + count)
    ):
        return None
    return reading


def _complete_reading(reading: Reading | None, text: str) -> Reading | None:
    """Return the reading of a truncated reply if it is a lone letter on an answer line, and thus complete."""
    if reading is None or reading.form != "line":
        return None
    lone_letter = _LONE_LETTER.match(text, reading.begin)
    if lone_letter is None or lone_letter[1] != reading.value or retracts(text, lone_letter.end()):
        return None
    return reading


def _read_closing_line(text: str) -> Reading | None:
    """Read a last line or sentence in a form that our prompts request: "ANSWER: B", "The answer is (B)."."""
    end = len(text.rstrip())
    line_begin = max(text.rfind("\n", 0, end), text.rfind(". ", max(0, end - 60), end - 1), end - 80, -1)
    closing = _CLOSING_LINE.fullmatch(text, max(line_begin, 0))
    if closing is None or asks_next_question(text) or not (line_begin <= 0 or text[line_begin] in "\n."):
        return None
    return Reading(closing[1].upper(), "line", closing.start(1), closing.end(1))


def option_letters(text: str, count: int) -> Reading | None:
    """Read the letters of a reply without an answer statement by its layout, for example from its last line."""
    reading = _read_layout(half_width(text), _Parser(count, (), single=False))
    return reading if reading and reading.value and max(reading.value) < chr(ord("A") + count) else None


class _Parser:
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
        letters, _, _ = parse_letters(content, 0, len(content), allow_unmarked=True, allow_run=True)
        letters = "".join(dict.fromkeys(letters))
        if self._single and len(letters) > 1:
            self.has_rejected = True
            return REJECTED
        if letters:
            return self._check_letters(content, letters)
        outcome = self._parse_stated_option(content, form)
        self.has_rejected = self.has_rejected or outcome is REJECTED
        return outcome

    def read_option_text(self, text: str) -> Reading | None:
        """Read an option's text in a reply that states no answer."""
        if not self._option_texts:
            return None
        return read_layout(text, self._parse_unstated_option) or self._read_sentence_end(text)

    def _parse_unstated_option(self, content: str, form: Form) -> Any:
        if (named_letter := self.options.letter_of_text(content)) is not None:
            return None if self.options.names_another(content, named_letter) else named_letter
        if len(content) <= 2 * _MAX_ANSWER_CHARS and UNDETERMINED.search(content):
            return self.options.letter_of_undetermined()
        return self.options.letter_of_none() if _NONE_OF_THEM.fullmatch(strip_formatting(content)) else None

    def _read_sentence_end(self, text: str) -> Reading | None:
        """Read an option's text at the end of the last sentence, or the option that a single sentence calls the answer."""
        end = len(text.rstrip().rstrip(".。*_ "))
        begin = max(
            (sentence_end.end() for sentence_end in _SENTENCE_END.finditer(text, max(0, end - 400), end)),
            default=max(0, end - 400),
        )
        if (subject := self.options.letter_of_subject(text[begin:end])) and not text[:begin].strip():
            return Reading(subject, "prose", begin, end)
        final_option = self.options.option_at_end(text[begin:end])
        if final_option is None or _LABEL.match(text, text.rfind("\n", 0, end) + 1):
            return None
        final_letter, option_begin = final_option[0], begin + final_option[1]
        labels = {label[1] for label in _INLINE_LABEL.finditer(text, text.rfind("\n", 0, end) + 1, end)}
        if labels - {final_letter} or statement_mood.mood(text, option_begin, end) != "asserted":
            return None
        return Reading(final_letter, "prose", option_begin, end)

    def follows_option_text(self, line: str, label: re.Match[str], *, offset: int = 0) -> bool:
        """Return whether a letter in brackets follows the text of its option: "the nucleus (D)".

        `offset`: position of the line in the text in which the label was matched.
        """
        index, before = ord(label[1]) - ord("A"), line[: label.start(1) - offset]
        if (
            index >= len(self._option_texts)
            or not before.endswith(" (")
            or len(self._option_texts[index].strip()) < 3
        ):
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
        return letters

    def _letter_of_symbol(self, symbol: str, letters: str) -> str | None:
        """Return the letter of the only option whose text is the lower-case `symbol`; None if it is the stated letter."""
        matching = [chr(65 + i) for i, text in enumerate(self._option_texts) if text.strip(" $") == symbol]
        return matching[0] if len(matching) == 1 and matching[0] != letters else None

    def _parse_stated_option(self, content: str, form: Form) -> Any:
        """Read an option by its text; REJECTED for an answer that is not an option."""
        if self._option_texts and (letter := self.options.letter_of_text(content)):
            beside_text = _LETTER_BESIDE_TEXT.search(content)
            is_contradicted = beside_text and letter != beside_text[1] < chr(65 + self.count)
            return REJECTED if is_contradicted else letter
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


_SYMBOL = lazy_pattern(r"[\s*_]{0,9}\$(?P<letter>[a-z])\$[.\s*_]{0,9}")
"""A lower-case letter between dollar signs, which may be a symbol that is the text of an option."""

# --- replies without an answer statement ----------------------------------------------------------------------

_SINGLE_LETTER_LINE = lazy_pattern(
    r"(?:[\s*_#]*(?:the\s+|my\s+)?(?:final|response|solution|result|correct|conclusion|verdict|output|prediction|selected|selection)\b)?"
    rf"(?:[{MARKS}]|=>|->|[→⇒∴]|{COMMANDS}|option\b|choice\b|选项?)*+(?P<letter>[A-Za-z])(?P<close>[\s*_`~$\"'”’»>)\]}}）】」』.。:,!]|\\[)\]}}]|</s>)*",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(
    r"[\s*_`\"'“#>✅✔✓☑-]*(?:(?i:option|choice)\s+)?(?:[(\[（【](?P<bracketed>[A-Z])[)\]）】]|(?P<bare>[A-Z])(?:[.)\]）。、](?=\s|\D)(?!\s?(?:coli|elegans|subtilis|melanogaster|cerevisiae|aureus|difficile|albicans|falciparum)\b)|[*_]+[.):]?(?=\s|$)|:\s|\s[-–—]\s|\s+it\s+is\b|(?:,\s+(?:as|given|which|for)|,?\s+(?:since|because|due\s+to))\b|[^\S\n]*(?=(?![和或与及跟])[\u4e00-\u9fff])))"
)
_CLOSING_PREDICATE = lazy_pattern(r"\b(?:is|be|are|with|to)\s+(?:option\s+)?[*_$]*\(([A-Z])\)[*_$]*[.!]?\s*$")
"""As in "... so the answer must be (B)."."""
_LAST_LABEL = lazy_pattern(
    r"(?:[.!?。]\s*[*_]*\((?P<bracketed>[A-Z])\)|[.!?]\s+[*_]*(?P<alone>[A-Z])[*_]*\.|(?:→|⇒|=>|->)\s*(?:[*_]{2}\(?(?P<bold>[A-Z])\)?[*_]{2}|\((?P<arrow>[A-Z])\))|(?<=[a-z]{4})\s(?:→|⇒|=>)\s(?P<plain>[A-Z]))[*_.\s]*$"
)
"""As in "So the pressure rises. (C)", "No other has pigments. C." and "E = 37.5 kJ/mol → **C**"."""
_EXCLUDES = lazy_pattern(
    r"[^.;\n]{0,200}?\s(?:is|are|would\s+be|must\s+be)\s+(?:also\s+|clearly\s+|therefore\s+)?(?:wrong|incorrect|false|impossible|ruled|eliminated|excluded|not\s+(?:right|correct|true|possible))\b"
    r"|[\s*_(（]{0,4}[A-Z][\s*_)）]{0,4}(?:选项)?(?:是|为)?(?:错误|错的|不对|不正确|不成立|不符)",
    re.IGNORECASE,
)
_BRACKETED_END = lazy_pattern(r"\(([A-Z])\)[*_.\s]*$")
_BRACKETED = lazy_pattern(r"\([A-Z]\)")
_LETTER_BUT_NOT = lazy_pattern(
    r"[\s*_(\[\"'$]*([A-Z])[)\]*_\"'$]*,?\s*(?:and\s+|but\s+)?\(?(?:not|rather\s+than|instead\s+of)\s+[*_(\[]*[A-Z]\b.{0,40}$"
)
_ALNUM = lazy_pattern(r"[^\W_]")
_CALLS_WRONG = lazy_pattern(r"[^\n]{0,200}(?:\b(?:incorrect|wrong|false|not)\b|✗|✘|❌|错|不)", re.IGNORECASE)


def _read_layout(text: str, parser: _Parser) -> Reading | None:
    """Read a reply without an answer statement: a lone letter, a label, verdicts on all options, or an option's text."""
    text, unclosed = visible(text)
    if unclosed or breaks_off(text):
        return None
    if predicate := _CLOSING_PREDICATE.search(text, max(0, len(text.rstrip()) - 24)):
        return Reading(predicate[1], "prose", *predicate.span(1))
    line_begin = text.rfind("\n", 0, len(text.rstrip())) + 1
    tail_begin = max(line_begin, len(text.rstrip()) - 24)
    if (label := _LAST_LABEL.search(text, tail_begin)) and len(_BRACKETED.findall(text, line_begin)) <= 1:
        return Reading(label[str(label.lastgroup)], "prose", *label.span(str(label.lastgroup)))
    bracketed = _BRACKETED_END.search(text, tail_begin)
    if bracketed and parser.follows_option_text(text[line_begin:], bracketed, offset=line_begin):
        return Reading(bracketed[1], "prose", *bracketed.span(1))
    lines = [line for line in re.finditer(r"[^\n]+", text[-20_000:]) if _ALNUM.search(line[0])]
    offset = max(0, len(text) - 20_000)
    if not lines:
        return None
    if len(lines) == 1 and (stated := _LETTER_BUT_NOT.match(lines[0][0])):
        begin = offset + lines[0].start() + stated.start(1)
        return Reading(stated[1], "whole", begin, begin + 1)
    for line in (lines[-1], lines[0]):
        lone_letter = _SINGLE_LETTER_LINE.fullmatch(line[0]) if len(line[0]) < 60 else None
        if lone_letter and (lone_letter["letter"].isupper() or len(lines) == 1):
            begin = offset + line.start() + lone_letter.start("letter")
            form: Form = "whole" if len(lines) == 1 else "last line"
            return Reading(lone_letter["letter"].upper(), form, begin, begin + 1)
    return (
        _read_only_true_option(text, parser.count)
        or _read_edge_label(lines, offset, parser)
        or parser.read_option_text(text)
    )


def _read_only_true_option(text: str, count: int) -> Reading | None:
    """Read a reply that assesses every option, or at least three, and calls exactly one of them true."""
    verdicts = option_verdicts(text, count)
    true_verdicts = [verdict for verdict in verdicts if verdict.is_correct]
    if len(true_verdicts) != 1 or len(verdicts) < min(3, count):
        return None
    (verdict,) = true_verdicts
    return Reading(verdict.letter, "mark", verdict.position, verdict.position + 1)


def _read_edge_label(lines: list[re.Match[str]], offset: int, parser: _Parser) -> Reading | None:
    """Read the only letter that labels a line, if it labels the first or the last line."""
    labels = {i: label for i, line in enumerate(lines) if (label := _LABEL.match(line[0]))}
    letters = {label["bracketed"] or label["bare"] for label in labels.values()}
    if len(letters) != 1 or not (0 in labels or len(lines) - 1 in labels):
        return None
    index = 0 if 0 in labels else len(lines) - 1
    line = lines[0][0][:2_000]
    if len(lines) == 1 and any(
        other[1] not in letters and not parser.follows_option_text(line, other)
        for other in _INLINE_LABEL.finditer(line)
    ):
        return None
    if index > 0 and _CALLS_WRONG.match(lines[index][0]):
        return None
    if index == 0 and _EXCLUDES.match(line):
        return None
    begin = offset + lines[index].start() + labels[index].start(str(labels[index].lastgroup))
    return Reading(letters.pop(), "whole" if index == 0 else "last line", begin, begin + 1)
