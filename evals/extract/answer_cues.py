"""Cues shared by several kinds of answers: a pair of tags, a JSON field, and the text after a label."""

from __future__ import annotations

import re
from collections.abc import Callable

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import REFUSED, Parser, Reading
from evals.extract.statement_mood import mood
from evals.extract.statements import MAX_STATEMENT_CHARS, Form, Statement

_FIELD_LEFT = lazy_pattern(r"[\"'][A-Za-z_ ]{0,30}$")
_FIELD_RIGHT = lazy_pattern(
    r"[A-Za-z_ ]{0,20}[\"']\s*:\s*(?:\"(?P<string>(?:[^\"\\\n]|\\.){1,5000})\"|\[(?P<list>[^\n]{0,5000}?)\](?=\s*[,}\n])|(?P<bare>-?\d[^\s,{}\[\]\"]{0,40}))",
)
_SENTENCE_END = lazy_pattern(r"\n|[。；;！？]|(?<=\S\S)[.!?](?=[\s*_\"'”’]|$)")
_LINE_END = lazy_pattern(r"\n")
_TABLE_RULE = lazy_pattern(r"\n\s*\|?\s*:?-{2,}")
"""The rule below the head of a table, whose cells are not answers."""
_TAG_OPEN = lazy_pattern(r"<\s*$")
_TAG_CLOSE = lazy_pattern(r"\s*>")


def tag_content_start(text: str, at: int, end: int) -> int:
    """Return the start of the content if the word from `at` to `end` names an opening tag, else 0."""
    if not _TAG_OPEN.search(text, max(0, at - 4), at):
        return 0
    close = _TAG_CLOSE.match(text, end)
    return close.end() if close else 0


def field_at(text: str, at: int, end: int) -> Statement | None:
    """Return the value of the JSON field whose key contains the word from `at` to `end`."""
    left = _FIELD_LEFT.search(text, max(0, at - 32), at)
    field = _FIELD_RIGHT.match(text, end) if left else None
    if left is None or field is None:
        return None
    group = str(field.lastgroup)
    return Statement("json", field.start(group), field.end(group), mood(text, left.start(), field.end()))


def label_at(text: str, at: int, label: re.Match[str]) -> Statement | None:
    """Return the text after a label: the rest of its line or sentence, or of the next line if that is empty.

    `label` has a group `mark`: a colon or equals sign, or a verb.
    """
    verb = label["mark"][:1].isalpha() or label["mark"][:1] in ("是", "为")
    begin, stop = label.end(), min(len(text), label.end() + MAX_STATEMENT_CHARS)
    while begin < stop and (text[begin].isspace() or text[begin] in "*_#"):
        begin += 1
    if text.startswith("```", begin):
        begin = text.find("\n", begin, stop) + 1 or stop
    mark = (_SENTENCE_END if verb else _LINE_END).search(text, begin, stop)
    end = mark.start() if mark else stop
    if end <= begin or (label["mark"][:1] == "|" and _TABLE_RULE.match(text, text.find("\n", begin, stop))):
        return None
    form: Form = "sentence" if verb else "line"
    return Statement(form, begin, end, mood(text, at, end if verb else begin, link=label[0]))


_RETRACTED = lazy_pattern(
    r"\bwait\b|\bcorrection\b|\bscratch\s+that|\boops\b|\b(?:made|is)\s+an?\s+(?:error|mistake|slip)|\blet\s+me\s+re-?\s?\w+"
    r"|\b(?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+right)|不对|等等|更正|重新",
    re.IGNORECASE,
)
_CORRECTED = lazy_pattern(
    r"[^\n]{0,120}?(?::|：|\bno,|\bshould\s+be\b|\bis\s+actually\b|应为|应该是)\s*", re.IGNORECASE
)
_CONFIRMED = lazy_pattern(
    r"\b(?:correct|right|confirm\w*|consistent|same|holds?|fine|verified)\b|[✓✔✅]|正确|没错|一致",
    re.IGNORECASE,
)


def after_correction(
    text: str, reading: Reading, parse: Parser, reread: Callable[[str], Reading | None]
) -> Reading | None:
    """Return a reading, or its correction by the words that follow; None if it is retracted without a replacement.

    `reread` reads the following text by its layout; it receives the text with the retracted part replaced by blanks.
    """
    retraction = _RETRACTED.search(text, reading.end, min(len(text), reading.end + 400))
    if retraction is None or _CONFIRMED.search(text, retraction.end(), retraction.end() + 300):
        return reading
    if lead := _CORRECTED.match(text, retraction.end()):
        mark = _SENTENCE_END.search(text, lead.end(), lead.end() + MAX_STATEMENT_CHARS)
        end = mark.start() if mark else min(len(text), lead.end() + MAX_STATEMENT_CHARS)
        value = parse(text[lead.end() : end], "sentence")
        if value is not None and value is not REFUSED and mood(text, lead.end(), end) == "asserted":
            return narrow_reading(text, Reading(value, "correction", lead.end(), end))
    line = text.find("\n", retraction.end())
    begin = line if line >= 0 else len(text)
    return reread(" " * begin + text[begin:])


_ALTERNATIVE = lazy_pattern(
    r"[\]}>$]\s*,?\s*(?:or|或)\s+(?:(?:possibly|perhaps|maybe|else|also)\s+)?(?:\[ANSWER\]|\$?\\boxed\{|<[A-Za-z]{1,12}>)\s*$",
    re.IGNORECASE,
)


def is_alternative(text: str, reading: Reading) -> bool:
    """Return whether a box or tag is the second of two alternatives: "[ANSWER]12[/ANSWER] or [ANSWER]14[/ANSWER]"."""
    return _ALTERNATIVE.search(text, max(0, reading.begin - 60), reading.begin) is not None


_CONCLUDES = lazy_pattern(
    r"(?:^|(?<=[.!?;,。；，:\n]))[\s*_]*(?:and\s+)?(?:(?:so|thus|hence|therefore|consequently|altogether|in\s+total|overall|finally)\b|所以|因此|于是|综上|故)[\s,]*(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
"""A conclusion at the beginning of a clause, up to its subject."""
_LINK = lazy_pattern(
    r"(?:\b(?:is|are|equals?|gives?|get|have|obtain|comes\s+to)\b(?:\s+(?:therefore|thus|then|hence))?|=|≈|为|是|得到?|等于)[:\s]*",
    re.IGNORECASE,
)
_CONCLUDING_LINK = lazy_pattern(r"\b(?:is|are)\s+(?:therefore|thus|hence)\b[:\s]*", re.IGNORECASE)
_REMARKS = lazy_pattern(
    r"\b(?:check\w*|verif\w+|confirm\w*|indeed|note|remark|sanity|for\s+(?:example|instance)|correct|consistent|if|would|could|might)\b|验证|检验|注意|例如|如果|若",
    re.IGNORECASE,
)
_NAME_LIST = lazy_pattern(r"[A-Za-z}]\s*=")
_CALLED_ANSWER = lazy_pattern(r"\banswer\b[^.\n]*$|答案[^。\n]*$", re.IGNORECASE)


def concluding_reading(text: str, reading: Reading, parse: Parser) -> Reading:
    """Return the reading of a box, or of the last sentence if the boxes are only its intermediate results.

    A box that the reply calls its answer is kept, and so is any before a last sentence that checks it or remarks on it.
    """
    end = len(text.rstrip())
    if reading.form != "box" or _CALLED_ANSWER.search(text, max(0, reading.begin - 60), reading.begin):
        return reading
    begin = max(reading.end, text.rfind("\n", 0, end) + 1, end - MAX_STATEMENT_CHARS)
    for stop in _SENTENCE_END.finditer(text, begin, max(begin, end - 1)):
        begin = stop.end()
    if _REMARKS.search(text, reading.end, end):
        return reading
    if clause := _CONCLUDES.search(text, begin, end):
        link = _LINK.search(text, clause.end() + 1, end)
    else:
        link = _CONCLUDING_LINK.search(text, begin, end) if begin > reading.end else None
    content = text[link.end() : end] if link else ""
    value = None if not content or _NAME_LIST.search(content) else parse(content, "sentence")
    if link is None or value is None or value is REFUSED or mood(text, link.start(), end) != "asserted":
        return reading
    return Reading(value, "prose", link.end(), end)


def asserted_reading(text: str, reading: Reading | None) -> Reading | None:
    """Return a reading by layout with its extent narrowed, unless its context denies it."""
    if reading is None:
        return None
    narrowed = narrow_reading(text, reading)
    link = text[max(0, narrowed.begin - 60) : narrowed.begin]
    return narrowed if mood(text, narrowed.begin, narrowed.end, link=link) == "asserted" else None


_UNDECIDED = lazy_pattern(
    r"\b(?:either|torn|neither|plausible|(?:decide|choose|choosing|undecided|distinguish)\s+between|compare|whether|could\s+(?:not|be)|couldn['’]t|might\s+be|some\s+(?:people\s+)?say)\b"
    r"|\bboth\b[^.\n]{0,200}\b(?:seem|are|could|look|work)\b|都有可能|之间",
    re.IGNORECASE,
)


def is_undecided(text: str, begin: int = 0) -> bool:
    """Return whether the text weighs several answers without deciding."""
    return _UNDECIDED.search(text, begin) is not None


_DENIAL = lazy_pattern(r"[\s*_`\"'(]*(?:not|never|n['’]t|不是?)(?![A-Za-z])\s*", re.IGNORECASE)
_BUT = lazy_pattern(r"\bbut\s+(?:rather\s+)?|而是")


def without_denial(content: str) -> str | None:
    """Return what replaces an answer that a statement denies ("not A but B"), None if nothing does; other statements are unchanged."""
    denial = _DENIAL.match(content)
    if denial is None:
        return content
    contrast = _BUT.search(content, denial.end())
    return content[contrast.end() :] if contrast else None


def narrow_reading(text: str, reading: Reading) -> Reading:
    """Return a reading narrowed to the answer itself, if its statement contains it literally."""
    answer_text = reading.value if isinstance(reading.value, str) else reading.value.text
    at = text.find(answer_text, reading.begin, reading.end) if answer_text else -1
    return reading if at < 0 else reading._replace(begin=at, end=at + len(answer_text))
