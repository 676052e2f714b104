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
import unicodedata
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
from evals.extract.formatting import half_width
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import REJECTED, Parser, Reading, before_next_question, breaks_off, read_answer
from evals.extract.statements import Cue, CueReading, Cues, Form, Statement
from evals.extract.visible import visible

MAX_TAIL_CHARS = 5_000
"""Maximum number of characters, from the end of a reply without a statement, whose layout is read."""
MAX_CHARS = 2_000
"""Maximum number of characters of a tag or box that are read."""
_MAX_LABELS, _MAX_SPANS = 20, 30
"""Maximum numbers of labels and of emphasised spans that are examined, from the end of a reply."""
_MAX_STATEMENTS = 100
"""Maximum number of statements that are parsed, from the end of a reply."""
_MAX_LINE_CHARS = 300
"""Maximum number of characters that are read outside tags and boxes, for example after a label."""
_MAX_NAME_WORDS = 12
"""Maximum number of words in a systematic name."""
_LATEX_WRAPPER = lazy_pattern(
    r"\\(?:text|mathrm|ce|textbf|mathbf|textit|mathit|rm|boxed|emph)\s?\{((?:[^{}]|\{[^{}]{0,200}\}){0,2000})\}"
)
_FENCE = lazy_pattern(r"```[A-Za-z]{0,12}[ \t]*\n?")
_REMARK = lazy_pattern(
    r"(?<=\S)\s+\([^()\n]{0,200}(?:\([^()\n]{0,100}\)[^()\n]{0,100}){0,5}\)(?=\s*(?:$|[,.;:!。]|\n))|（[^（）\n]{0,300}）|\([^()\n]{0,200}[\u4e00-\u9fff][^()\n]{0,200}\)|\s\[[^\[\]\n]{0,200}\](?=\s*\.?\s*$)"
)
_LINE = lazy_pattern(r"[^\n]+")
_CJK = lazy_pattern(r"[\u3000-\u30ff\u3400-\u9fff\uff01-\uff60]+")
_NOUNS = {
    "formula": r"(?:(?:molecular|chemical|empirical|sum|condensed)\s+)*formula|分子式|化学式",
    "name": r"(?:(?:systematic|preferred|standard)\s+)*(?:IUPAC(?:\s+name)?|named?|called)|(?:IUPAC|系统)?(?:名称|命名|名)",
}
_LABELS = {
    kind: lazy_pattern(
        rf"(?:\b(?:(?:final|correct|the|its|my|resulting)\s+)*(?:{noun}|answer)\b|(?<=[A-Za-z])(?:名称|命名)|{noun}|答案)"
        r"(?P<qualifier>(?:\s+(?:of|for|in|according)\b[^.\n:：=]{0,100}?)?)[*_\"'`)\]]{0,3}\s*(?:[(（][^()（）\n]{0,60}[)）])?[*_]{0,3}\s*"
        r"(?P<mark>[:：=|→]|\b(?:is|was|would\s+be|should\s+be|must\s+be)\b(?:\s+(?:therefore|thus|then))?|应?(?:为|是)|(?<=named)\s|(?<=called)\s|(?<=\n)"
        + (r"|(?-i:\s(?=[*_`$\\]{0,3}[A-Z\[(][A-Za-z]?[\d(A-Z\[_₀-₉])))" if kind == "formula" else ")")
        + r"\s*[:：]?",
        re.IGNORECASE,
    )
    for kind, noun in _NOUNS.items()
}
_OTHER_NAME = lazy_pattern(
    r"\b(?:common|trivial|trade|brand|generic|traditional|retained|not|other|old)\s+(?:or\s+\w+\s+)?$|俗|通用|商品",
    re.IGNORECASE,
)
"""Text before "name" if it is not the systematic one; in Chinese "common", "generic" and "trade"."""
_EMPIRICAL = lazy_pattern(r"\bempirical\s+formula|实验式|最简式", re.IGNORECASE)
"""An empirical formula, which is not the answer of a reply that also states a molecular one."""
_MOLECULAR = lazy_pattern(r"\bmolecular\s+formula|分子式", re.IGNORECASE)
_HEADING = lazy_pattern(r"(?:\A|\n)[ \t]*#[#\s*_]*$")
"""The marks before the first word of a heading."""
_EMPHASIS = lazy_pattern(
    r"\*\*([^*\n]{1,500})\*\*|(?<!`)`([^`\n]{1,500})`(?!`)|```[A-Za-z]{0,12}[ \t]*\n([^`]{1,500})```"
)
_CLAUSE_END = lazy_pattern(
    r"\s\||,\s+(?:which|or|also|better|best|commonly|often|usually|not|i\.e\.|known|because|since|so|where|with|and\s+not|rather)\b|\s(?:which|because|since|also\s+(?:known|called)|rather\s+than|instead\s+of|not)\s"
    r"|\s[–—=≡]\s|\s-\s|\.(?=\s|$)|[。；\n]|;\s(?=[a-z]+\s[a-z]+\s)"
)
_ALTERNATIVES = lazy_pattern(r"\b(?:or|either)\b|或者?|还是")
_SENTENCE_WORDS = lazy_pattern(
    r"[<>?]|\b(?:wrong|incorrect):|\b(?:is|are|was|or|if|then|both|neither|nor|either|some|people|others|none|this|that|not|it|we|you|i|cannot|can|could|seems?|says?|would|the|lets?|let)\b",
    re.IGNORECASE,
)
_SENTENCE_START = lazy_pattern(
    r"(?:it|this|these|i|we|there|the|an?|as\s+follows|given|based|determined|derived|obtained|not|in|also|simply|expected|therefore)\b(?!-)\s*",
    re.IGNORECASE,
)
_LEADING_LABEL = lazy_pattern(
    r"^[\s*_]*(?:(?:the\s+)?(?:molecular|chemical|empirical|iupac|systematic|final|correct)?\s*(?:formula|name|answer)|分子式|化学式|名称|答案)\s*(?:\([^()]{0,40}\))?\s*[*_]{0,2}\s*(?:[:：=]|\bis\b|为|是)[*_]{0,2}\s*",
    re.IGNORECASE,
)
_SPACED_CHARGE = lazy_pattern(
    r"(?<=[A-Z\d)\]₀-₉][a-z\d)\]₀-₉])[ \u00a0\u202f](?=[*(]{0,2}\d?[-+\u2212\u2013](?:[\s*.,;:)]*$|[*.,;)]+\s))"
)
"""The space between a formula and its charge, as in "SO4 2-"."""
_RESULT = lazy_pattern(r"\b(?:gives?|giving|yields?|yielding)\s(?P<formula>\S+)\s*$")
"""As in "Acetylation of C7H6O3 gives C9H8O4."."""
_SEPARATORS = lazy_pattern(r"[\s,;，；、|：:]+")
_AMBIGUOUS = "I In No On As At He His If Of Os Ho Hf OK NO Co CO Be Bi Po La Ni Am U V W Y K"
_AMBIGUOUS_WORDS = frozenset(_AMBIGUOUS.split())
"""Words that are also formulas or element symbols; read only if a statement contains nothing else."""


def _without_formatting(text: str) -> str:
    """Remove code fences, bold, quotes, dollar signs, brackets, LaTeX wrappers, full stop and copula around a statement."""
    text = _FENCE.sub("", text[:MAX_CHARS])
    for _ in range(6):
        previous = text
        text = text.strip().strip('*`"“”「」$| ').rstrip(".。;；!")
        for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]"), ("'", "'"), ("<", ">")):
            if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening + closing):
                text = text[len(opening) : -len(closing)]
        if wrapped := _LATEX_WRAPPER.fullmatch(text):
            text = wrapped[1]
        if text.startswith("(") and _ENCLOSED.fullmatch(text):
            text = text[1:-1]
        text = _COPULA.sub("", text)
        if text == previous:
            break
    return text


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
            narrowed = narrow_reading(visible_text, reading)
            return after_correction(visible_text, narrowed, parse, lambda rest: _read_layout(rest, kind))
    return None if truncated else _read_layout(visible_text, kind)


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
        return parse(content[: MAX_CHARS if form in ("tag", "box") else _MAX_LINE_CHARS], form)

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

    def parse_conclusion(line: str) -> str | None:
        result = _RESULT.search(line)
        return parse(concluding_clause(line)) or (parse(result["formula"]) if result else None)

    kind = _AnswerKind(
        "molformula", ("formula", "分子式", "化学式"), _LABELS["formula"], parse,
        read_delimited=lambda content: _without_formatting(content) or None, parse_span=parse,
        parse_line=lambda line: parse(line) or _formula_like_word(line) or parse_conclusion(line),
        parse_last_line=lambda line: parse(line) or parse_conclusion(line),
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
    if len(lines) == 1 and not text[: last_line.start()].strip() and (value := kind.parse_line(last_line[0])):
        return asserted_reading(text, Reading(value, "whole", *last_line.span()))
    if kind.parse_last_line and (value := kind.parse_last_line(last_line[0])):
        return asserted_reading(text, Reading(value, "last line", *last_line.span()))
    return None


def _formula_like_word(line: str) -> str | None:
    """Return a line that is a single word with digits, probably a malformed formula; None for any other line."""
    unformatted = _without_formatting(line)
    return unformatted if len(unformatted.split()) == 1 and re.search(r"\d", unformatted) else None


def read_formula(text: str, is_formula: Callable[[str], bool]) -> str | None:
    """Read the formula in a statement: the whole statement, or its only token that is a formula."""
    text = _SPACED_CHARGE.sub("^", _without_formatting(text[:_MAX_LINE_CHARS]))
    if is_formula(text):
        return text
    text = _LEADING_LABEL.sub("", _REMARK.sub("", text)).strip()
    text = re.split(r",?\s+(?:not|rather\s+than|instead\s+of)\s", text, maxsplit=1)[0]
    if is_formula(unformatted := _without_formatting(text)):
        return unformatted
    if (remainder := re.split(r"[=→]", text)[-1]) != text and is_formula(
        right_side := _without_formatting(remainder.rstrip("✓✔✅ "))
    ):
        return right_side
    if "\\cdot" in text:
        hydrate_tokens = _unformatted_tokens(re.sub(r"\s*\\cdot\s*", "·", text.replace("\\,", "")))
        if len(formulas := {token for token in hydrate_tokens if "·" in token and is_formula(token)}) == 1:
            return formulas.pop()
    unwrapped = _LATEX_WRAPPER.sub(r" \1 ", _CJK.sub(" ", text)).replace("$", " ")
    tokens = {*_unformatted_tokens(unwrapped)} - _AMBIGUOUS_WORDS - {""}
    formulas = {token for token in tokens if re.search(r"\d|[A-Z].*[A-Z]|[₀-₉]", token) and is_formula(token)}
    return formulas.pop() if len(formulas) == 1 else None


def _unformatted_tokens(text: str) -> list[str]:
    return [_without_formatting(token) for token in _SEPARATORS.split(text)]


def _without_label(text: str) -> str:
    """Return the content of a tag without its label, formatting and remarks."""
    unformatted = _without_formatting(_LEADING_LABEL.sub("", _without_formatting(text)))
    return _without_formatting(_REMARK.sub("", unformatted)) or unformatted


def read_name(text: str) -> str | None:
    """Read the name at the start of a statement; None if there is none."""
    text = text.strip()
    if code := re.match(r"[*_ ]{0,3}`([^`\n]{1,500})`", text):
        text = code[1]
    elif bold := re.match(r"\*\*([^*\n]{1,500})\*\*", text):
        text = bold[1]
    if text.count("**") % 2:  # the opening mark precedes the statement
        text = text.partition("**")[0]
    if "\\" in text:
        text = _LATEX_WRAPPER.sub(r"\1", text)
    text = _LEADING_LABEL.sub("", text)
    if _CJK.search(text):
        remark = _REMARK.search(text)
        text = _latin_part(_REMARK.sub("", text))
        if remark and not re.search(r"[A-Za-z]{3}", text):  # a Chinese name with the English one in brackets
            text = remark[0].strip(" ()（）")
    clause_end = _CLAUSE_END.search(text)
    text = _without_formatting(_REMARK.sub("", text[: clause_end.start()] if clause_end else text))
    text = re.sub(r"^(?:therefore|thus|then|probably|likely|most\s+likely)\s+", "", text)
    if (
        _SENTENCE_START.match(text)
        or _SENTENCE_WORDS.search(text)
        or not re.search(r"[A-Za-zα-ω]{3}", text)
        or len(text.split()) > _MAX_NAME_WORDS
    ):
        return None
    text = text.replace("*", "")  # asterisks of italic locants
    return None if re.fullmatch(r"[-+\d.,\s]+\s?[A-Za-z/%°·]+", text) else text


def _latin_part(text: str) -> str:
    """Return the longest part that has balanced brackets and no Chinese or Japanese characters."""
    parts = [part.strip() for part in _CJK.split(text)]
    balanced = [
        part for part in parts if part.count("(") == part.count(")") and part.count("[") == part.count("]")
    ]
    longest = unicodedata.normalize("NFKC", max(balanced, key=len, default=""))
    return longest[1:-1] if _ENCLOSED.fullmatch(longest) else longest


_COPULA = lazy_pattern(r"(?:입니다|です|である|だ)$")
"""A Korean or Japanese "is", which follows the answer."""
_ENCLOSED = lazy_pattern(r"\((?:[^()]|\([^()]*\))*\)")
"""Text in brackets, with at most one level of brackets inside."""


_SUBJECT = lazy_pattern(r"(?:(?:the|this|that)\s+(?:\w+\s+){1,3}|it\s+)is\s+", re.IGNORECASE)


def _read_name_line(line: str) -> str | None:
    """Read a one-line reply: a name, or a sentence whose predicate is a name ("The compound is butan-2-ol.")."""
    subject = _SUBJECT.match(line)
    name = read_name(line[subject.end() :] if subject else line)
    return name if name and (subject is None or re.search(r"\d", name)) else None


_NAME_KIND = _AnswerKind(
    "iupac", ("name", "named", "called", "名称", "命名", "名"), _LABELS["name"], read_name,
    read_delimited=lambda content: _without_label(content) or None,
    parse_span=lambda span: None if span.rstrip().endswith(":") else read_name(span), parse_line=_read_name_line,
)  # fmt: skip
