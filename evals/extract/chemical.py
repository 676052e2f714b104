r"""Extract a molecular formula or a systematic name from a reply.

>>> stated_formula("**C9H8O4** (molar mass: **180.16 g/mol**)", str.isalnum).value
'C9H8O4'
>>> stated_name("The IUPAC name of this molecule is 2-acetyloxybenzoic acid (aspirin).").value
'2-acetyloxybenzoic acid'

Strong statements are tags, boxes, JSON fields, answer lines and sentences; labels ("Formula:", "is called") count only
without a strong statement, or if they correct one. The content of a tag or box is returned even if it is neither a formula
nor a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from evals.extract import statement_mood
from evals.extract.answer_cues import (
    after_correction,
    asserted_reading,
    concluding_clause,
    is_undecided,
    json_field_value,
    narrow_reading,
    tag_content_start,
    text_after_label,
    without_denial,
)
from evals.extract.chemical_text import (
    MAX_CHARS,
    MAX_LINE_CHARS,
    formula_like_word,
    is_about_another_molecule,
    read_conclusion,
    read_formula,
    read_last_name,
    read_name,
    read_name_line,
    without_formatting,
    without_label,
)
from evals.extract.formatting import half_width
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import (
    REJECTED,
    Parser,
    Reading,
    before_next_question,
    breaks_off,
    read_answer,
    retracts,
)
from evals.extract.statements import Cue, CueReading, Cues, Form, Statement
from evals.extract.visible import visible

MAX_TAIL_CHARS = 5_000
"""Maximum number of characters, from the end of a reply without a statement, whose layout is read."""
_MAX_LABELS, _MAX_SPANS = 20, 30
"""Maximum numbers of labels and of emphasised spans that are examined, from the end of a reply."""
_MAX_STATEMENTS = 100
"""Maximum number of statements that are parsed, from the end of a reply."""
_LINE = lazy_pattern(r"[^\n]+")
_NOUNS = {
    "formula": r"(?:(?:molecular|chemical|empirical|sum|condensed)\s+)*formula|分子式|化学式",
    "name": r"(?:(?:systematic|preferred|standard)\s+)*(?:IUPAC(?:\s+(?:name|nomenclature))?|named?|called)|(?:IUPAC|系统)?(?:名称|命名|名)",
}
_LABELS = {
    kind: lazy_pattern(
        rf"(?:\b(?:(?:final|correct|the|its|my|resulting)\s+)*(?:{noun}|answer)\b|(?<=[A-Za-z])(?:名称|命名)|{noun}|答案)"
        r"(?P<qualifier>(?:\s+(?:of|for|in|according)\b(?:[^.\n:：=]|=(?=[A-Z\[])){0,100}?)?)[*_\"'`)\]]{0,3}\s*(?:[(（][^()（）\n]{0,60}[)）])?[*_]{0,3}\s*"
        r"(?P<mark>[:：|→]|=(?![A-Z\[]\S*\s[a-z])|\b(?:is|was|would\s+be|should\s+be|must\s+be)\b(?:\s+(?:therefore|thus|then))?|应?(?:为|是)|(?<=named)\s|(?<=nomenclature),?\s|(?<=called)\s|(?<=name\s)(?:it|this\s(?:compound|molecule))(?=\s)|(?<=\n)"
        + (r"|(?-i:\s(?=[*_`$\\]{0,3}[A-Z\[(][A-Za-z]?[\d(A-Z\[_₀-₉])))" if kind == "formula" else ")")
        + r"\s*[:：]?",
        re.IGNORECASE,
    )
    for kind, noun in _NOUNS.items()
}
_OTHER_NAME = lazy_pattern(
    r"\b(?:common|trivial|trade|brand|generic|traditional|retained|not|other|old)\s+(?:or\s+\w+\s+)?$|(?:^|[.;]\s)(?:an?|any|another)\s\w+\s(?:with|having)\s(?:the\s)?$|俗|通用|商品",
    re.IGNORECASE | re.MULTILINE,
)
"""Text before "name" if it is not the systematic one, or before "formula" if any molecule may have it.

The Chinese words are "common", "generic" and "trade".
"""
_EMPIRICAL = lazy_pattern(r"\bempirical\s+formula|实验式|最简式", re.IGNORECASE)
"""An empirical formula, which is not the answer of a reply that also states a molecular one."""
_MOLECULAR = lazy_pattern(r"\bmolecular\s+formula|分子式", re.IGNORECASE)
_HEADING = lazy_pattern(r"(?:\A|\n)[ \t]*(?:#{1,6}[ \t]*)?(?:\d{1,2}[.)][ \t]*)?[*_]{0,3}$")
"""The marks before the first word of a line of its own, a heading."""
_EMPHASIS = lazy_pattern(
    r"\*\*([^*\n]{1,500})\*\*|(?<!`)`([^`\n]{1,500})`(?!`)|```[A-Za-z]{0,12}[ \t]*\n([^`]{1,500})```"
)
_NAMED_FORMULA = lazy_pattern(
    r"\b(?:is|represents|corresponds\sto|describes|denotes)\s(?:[\w,'-]+\s){1,4}\((\S{2,40})\)[.\s]*\Z"
)
"""As in "This SMILES corresponds to paracetamol (C8H9NO2)."."""
_ALTERNATIVES = lazy_pattern(r"\b(?:or|either)\b|或者?|还是")


class _AnswerKind(NamedTuple):
    """The parsers and patterns for a kind of answer: formulas or names."""

    tag: str
    nouns: tuple[str, ...]
    label: re.Pattern[str]
    parse: Callable[[str], str | None]
    read_delimited: Callable[[str], str | None]
    """Reads the content of a tag or box, even if it is neither a formula nor a name."""
    parse_span: Callable[[str], str | None]
    """Reads a bold or code span."""
    parse_line: Callable[[str], str | None]
    """Reads a one-line reply."""
    parse_last_line: Callable[[str], str | None] | None = None
    """Reads the last line of a longer reply; None: that line is not read."""


def _read_stated_answer(text: str, kind: _AnswerKind, *, truncated: bool) -> Reading | None:
    visible_text, in_reasoning = visible(text)
    if in_reasoning or not visible_text.strip():
        return None
    visible_text, parse = before_next_question(half_width(visible_text)), _make_parser(kind)
    # labels are weak statements in the first pass, and strong ones in the second (see `reading.py`)
    for strong in (False, True):
        budget = iter(range(_MAX_LABELS))
        cues = Cues(
            Cue(noun, _make_cue_reader(kind, noun, budget, strong=strong)) for noun in (kind.tag, *kind.nouns)
        )
        reading = read_answer(visible_text, parse, cues=cues, use_layout=False, truncated=truncated)
        if reading is not None:
            narrowed = narrow_reading(visible_text, _concluded(visible_text, reading, kind))
            return after_correction(visible_text, narrowed, parse, lambda rest: _read_layout(rest, kind))
    return None if truncated else _read_layout(visible_text, kind)


def _concluded(text: str, reading: Reading, kind: _AnswerKind) -> Reading:
    """Return the answer in the clause that ends the line of a sentence ("..., hence C2H6O"), or else the reading itself."""
    line_end = text.find("\n", reading.end)
    end = min(line_end if line_end >= 0 else len(text), reading.end + _MAX_SPANS * 10)
    clause = concluding_clause(text[reading.end : end]) if reading.form == "sentence" else ""
    value = kind.parse(clause) if 0 < len(clause.split()) <= 2 else None
    return reading if value is None else reading._replace(value=value, begin=reading.end, end=end)


def _make_parser(kind: _AnswerKind) -> Parser:
    @lru_cache(_MAX_LABELS)  # statements on one line share their text
    def parse(content: str, form: Form) -> Any:
        if form == "sentence":
            if (asserted_content := without_denial(content)) is None:
                return REJECTED
            content = asserted_content
        if form == "box" and content.startswith("\\boxed"):
            return REJECTED  # the reply ends inside its box
        if _ALTERNATIVES.search(content) and kind.tag == "iupac":
            return REJECTED
        if form in ("tag", "box"):
            return kind.parse(content) or kind.read_delimited(content)
        return kind.parse(content.partition("\n")[0] if form == "line" else content)

    budget = iter(range(_MAX_STATEMENTS))

    def parse_bounded(content: str, form: Form) -> Any:
        if next(budget, None) is None:
            return None
        return parse(content[: MAX_CHARS if form in ("tag", "box") else MAX_LINE_CHARS], form)

    return parse_bounded


def _make_cue_reader(
    kind: _AnswerKind, noun: str, budget: Iterator[int], *, strong: bool
) -> Callable[[str, int], CueReading | None]:
    """Return the function that reads the context of a noun, which names a tag or JSON field, or is part of a label."""

    def read_cue(text: str, begin: int) -> CueReading | None:
        end = begin + len(noun)
        if content_begin := tag_content_start(text, begin, end):
            return _read_tag(text, begin, content_begin, kind)
        if text[max(0, begin - 1) : begin] == "/":
            return None
        if (field := json_field_value(text, begin, end)) is not None:
            return None, field, True
        if next(budget, None) is None:
            return None
        labels = kind.label.finditer(text, max(0, begin - 60), begin + 260)
        label = next((match for match in labels if match.start() <= begin < match.end()), None)
        if label is None or _OTHER_NAME.search(text, max(0, label.start() - 30), label.start()):
            return None
        if _EMPIRICAL.search(label[0]) and _MOLECULAR.search(text):
            return None
        if not label["mark"] and (
            label["qualifier"] or not _HEADING.search(text, max(0, label.start() - 40), label.start())
        ):
            return None
        statement = text_after_label(text, label.start(), label)
        return None if statement is None else (None, statement, strong)

    return read_cue


def _read_tag(text: str, begin: int, content_begin: int, kind: _AnswerKind) -> CueReading | None:
    limit = min(len(text), content_begin + MAX_CHARS)
    closing = re.compile(rf"<\s*/?\s*{kind.tag}\s*>", re.IGNORECASE).search(text, content_begin, limit)
    end = closing.start() if closing else limit
    content = text[content_begin:end]
    if not content.strip() or (closing is None and "\n" in content.strip()):
        return None
    value = kind.parse(content) or kind.read_delimited(content)
    return value, Statement("tag", content_begin, end, statement_mood.mood(text, begin - 1, end)), True


def stated_formula(
    text: str, is_formula: Callable[[str], bool], *, truncated: bool = False
) -> Reading | None:
    """Return the last formula that a reply states; None if there is none. `is_formula`: whether a string is a formula."""

    def parse(content: str) -> str | None:
        return read_formula(content, is_formula)

    def parse_last_line(line: str) -> str | None:
        named = _NAMED_FORMULA.search(line, max(0, len(line) - MAX_LINE_CHARS))
        return parse(line) or read_conclusion(line, parse) or (parse(named[1]) if named else None)

    kind = _AnswerKind(
        "molformula", ("formula", "分子式", "化学式"), _LABELS["formula"], parse,
        read_delimited=lambda content: without_formatting(content) or None, parse_span=parse,
        parse_line=lambda line: parse(_first_sentence(line)) or formula_like_word(line) or parse_last_line(line),
        parse_last_line=parse_last_line,
    )  # fmt: skip
    return _read_stated_answer(text, kind, truncated=truncated)


def stated_name(text: str, *, truncated: bool = False) -> Reading | None:
    """Return the last systematic name that a reply states; None if there is none."""
    return _read_stated_answer(text, _NAME_KIND, truncated=truncated)


def _read_layout(text: str, kind: _AnswerKind) -> Reading | None:
    """Read the answer from the layout: the only answer in bold or code, a one-line reply, or the last line."""
    begin = max(0, len(text) - MAX_TAIL_CHARS)
    lines = [line for line in _LINE.finditer(text, begin) if line[0].strip()]
    if (
        not lines
        or gives_up(text, lines[-1].start())
        or text.rstrip().endswith("?")
        or breaks_off(text[-MAX_CHARS:])
        or is_undecided(text, lines[-1].start())
        or is_about_another_molecule(lines[-1][0])
    ):
        return None
    readings = []
    for span in [*_EMPHASIS.finditer(text, begin)][-_MAX_SPANS:]:
        group = span.lastindex or 1
        value = kind.parse_span(span[group])
        if value is not None and statement_mood.mood(text, span.start(), span.end()) == "asserted":
            readings.append(
                narrow_reading(text, Reading(value, "emphasis", span.start(group), span.end(group)))
            )
    readings = [reading for reading in readings if re.search(r"\d", reading.value)] or readings
    if readings:
        return readings[-1] if len({reading.value for reading in readings}) == 1 else None
    last_line = lines[-1]
    if len(lines) == 1 and not text[: last_line.start()].strip():
        asserted = without_denial(last_line[0]) or ""
        if value := kind.parse_line(asserted):
            return asserted_reading(
                text, Reading(value, "whole", last_line.end() - len(asserted), last_line.end())
            )
    if kind.parse_last_line and (value := kind.parse_last_line(last_line[0])):
        return asserted_reading(text, Reading(value, "last line", *last_line.span()))
    return _read_first_line(text, lines[0], kind)


def _first_sentence(line: str) -> str:
    """Return the first word of a line if a sentence that does not doubt it follows: "C9H8O4. Salicylic acid is C7H6O3."."""
    word, stop, following = line.partition(". ")
    is_answer = stop and len(word.split()) == 1 and not (retracts(line, 0) or _DOUBT.search(following))
    return word if is_answer else line


_DOUBT = lazy_pattern(
    r"\b(?:actually|however|wrong|incorrect|instead|should|would|but\s(?:it|this|that))\b", re.IGNORECASE
)


def _read_first_line(text: str, line: re.Match[str], kind: _AnswerKind) -> Reading | None:
    """Read a first line that is nothing but the answer and stands apart from the explanation below it."""
    is_apart = text.startswith(("\n\n", "\n("), line.end()) and not text[: line.start()].strip()
    value = (
        kind.parse_last_line(line[0]) or kind.parse(line[0]) if is_apart and kind.parse_last_line else None
    )
    if (
        value is None
        or len(line[0].split()) > 2
        or retracts(text, line.end())
        or _DOUBT.search(text, line.end())
    ):
        return None
    return asserted_reading(text, Reading(value, "last line", *line.span()))


_NAME_KIND = _AnswerKind(
    "iupac", ("name", "named", "called", "名称", "命名", "名"), _LABELS["name"], read_name,
    read_delimited=lambda content: without_label(content) or None,
    parse_span=lambda span: None if span.rstrip().endswith(":") else read_name(span), parse_line=read_name_line, parse_last_line=lambda line: read_conclusion(line, read_last_name),
)  # fmt: skip
