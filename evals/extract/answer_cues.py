"""Read tags, JSON fields, labels, corrections and conclusions that may contain an answer; shared by several readers."""

from __future__ import annotations

import re
from collections.abc import Callable

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import REJECTED, Parser, Reading
from evals.extract.statement_mood import mood
from evals.extract.statements import MAX_STATEMENT_CHARS, Form, Statement

_FIELD_LEFT = lazy_pattern(r"[\"'][A-Za-z_ ]{0,30}$")
_FIELD_RIGHT = lazy_pattern(
    r"[A-Za-z_ ]{0,20}[\"']\s*:\s*(?:\"(?P<string>(?:[^\"\\\n]|\\.){1,5000})\"|\[(?P<list>[^\n]{0,5000}?)\](?=\s*[,}\n])|(?P<bare>-?\d[^\s,{}\[\]\"]{0,40}))"
)
_SENTENCE_END = lazy_pattern(r"\n|[。；;！？]|(?<=\S\S)[.!?](?=[\s*_\"'”’]|$)")
_LINE_END = lazy_pattern(r"\n")
_TABLE_RULE = lazy_pattern(r"\n\s*\|?\s*:?-{2,}")
"""The rule below a table's header, whose cells are not answers."""
_TAG_OPENING = lazy_pattern(r"[<\[]\s*$")
_TAG_CLOSING = lazy_pattern(r"\s*[>\]]")


def tag_content_start(text: str, begin: int, end: int) -> int:
    """Return the start of the content if the word from `begin` to `end` is the name of an opening tag, else 0."""
    if not _TAG_OPENING.search(text, max(0, begin - 4), begin):
        return 0
    close = _TAG_CLOSING.match(text, end)
    return close.end() if close else 0


def json_field_value(text: str, begin: int, end: int) -> Statement | None:
    """Return the statement in the JSON field whose key contains the word from `begin` to `end`; None without such a field."""
    left = _FIELD_LEFT.search(text, max(0, begin - 32), begin)
    right = _FIELD_RIGHT.match(text, end) if left else None
    if left is None or right is None:
        return None
    return Statement("json", *right.span(str(right.lastgroup)), mood(text, left.start(), right.end()))


def text_after_label(text: str, noun_begin: int, label: re.Match[str]) -> Statement | None:
    """Return the text after a label: the rest of its line or sentence; if the line ends there, the next line with content.

    `noun_begin`: start of the noun in the label. The group `mark` of `label` is a verb, or a sign such as a colon.
    """
    has_verb = label["mark"][:1].isalpha() or label["mark"][:1] in ("是", "为")
    content_begin, limit = label.end(), min(len(text), label.end() + MAX_STATEMENT_CHARS)
    while content_begin < limit and (text[content_begin].isspace() or text[content_begin] in "*_#"):
        content_begin += 1
    if text.startswith("```", content_begin):
        content_begin = text.find("\n", content_begin, limit) + 1 or limit
    terminator = (_SENTENCE_END if has_verb else _LINE_END).search(text, content_begin, limit)
    end = terminator.start() if terminator else limit
    if end <= content_begin or (
        label["mark"][:1] == "|" and _TABLE_RULE.match(text, text.find("\n", content_begin, limit))
    ):
        return None
    form: Form = "sentence" if has_verb else "line"
    return Statement(
        form, content_begin, end, mood(text, noun_begin, end if has_verb else content_begin, link=label[0])
    )


_MAX_CORRECTION_DISTANCE, _MAX_CONFIRMATION_DISTANCE = 400, 300
"""Maximum distances in characters: of a correction from the answer, and of a confirmation from the retraction before it."""
_RETRACTION = lazy_pattern(
    r"\bwait\b|\bhold\s+on\b|\bcorrection\b|\bscratch\s+that|\boops\b|\b(?:made|is)\s+an?\s+(?:error|mistake|slip)|\blet\s+me\s+re-?\s?\w+"
    r"|\b(?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+right)|不对|等等|更正|重新",
    re.IGNORECASE,
)
_REPLACEMENT = lazy_pattern(
    r"(?:^|(?<=[.!。\n]))\W{0,6}(?:(?:actually|on\s+second\s+thought|(?:hmm,?\s+)?no|sorry)\b|其实|实际上)[^\n]{0,160}?"
    r"(?:\b(?:should|must)\s+(?:instead\s+)?be\b|应为|应该是)[\s:：]*",
    re.IGNORECASE,
)
"""The beginning of a sentence that replaces the answer, as in "Actually, it should be"."""
_CORRECTION_INTRODUCTION = lazy_pattern(
    r"[^\n]{0,120}?(?::|：|\bno,|\bshould\s+be\b|\bis\s+actually\b|[.!]\s+it(?:['’]s|\s+is)\s|应为|应该是)\s*",
    re.IGNORECASE,
)
_CONFIRMATION = lazy_pattern(
    r"\b(?:correct|right|confirm\w*|consistent|same|holds?|fine|verified)\b|[✓✔✅]|正确|没错|一致",
    re.IGNORECASE,
)


def confirms(text: str, begin: int) -> bool:
    """Return whether a reply confirms its answer after a position."""
    return _CONFIRMATION.search(text, begin) is not None


def after_correction(
    text: str, reading: Reading, parse: Parser, read_rest: Callable[[str], Reading | None]
) -> Reading | None:
    """Return the correction that follows a reading; None if the reply retracts the reading without a replacement.

    Without a retraction or correction, or if a confirmation follows the retraction, return the reading itself. `read_rest`
    reads the lines after a retraction by their layout; its argument is the reply with spaces in place of all earlier lines.
    """
    limit = reading.end + _MAX_CORRECTION_DISTANCE
    retraction = _RETRACTION.search(text, reading.end, limit)
    if retraction is None:
        replacement = _REPLACEMENT.search(text, reading.end, limit)
        return (replacement and _read_correction(text, replacement.end(), parse)) or reading
    if _CONFIRMATION.search(text, retraction.end(), retraction.end() + _MAX_CONFIRMATION_DISTANCE):
        return reading
    if introduction := _CORRECTION_INTRODUCTION.match(text, retraction.end()):
        correction = _read_correction(text, introduction.end(), parse)
        if correction is not None:
            return correction
    newline = text.find("\n", retraction.end())
    rest_begin = newline if newline >= 0 else len(text)
    return read_rest(" " * rest_begin + text[rest_begin:])


def _read_correction(text: str, begin: int, parse: Parser) -> Reading | None:
    """Read the rest of a sentence that introduces a correction; None if it does not state an answer."""
    limit = min(len(text), begin + MAX_STATEMENT_CHARS)
    sentence_end = _SENTENCE_END.search(text, begin, limit)
    end = sentence_end.start() if sentence_end else limit
    value = parse(text[begin:end], "sentence")
    if value is None or value is REJECTED or mood(text, begin, end) != "asserted":
        return None
    return narrow_reading(text, Reading(value, "correction", begin, end))


_ALTERNATIVE = lazy_pattern(
    r"[\]}>$]\s*,?\s*(?:or|或)\s+(?:(?:possibly|perhaps|maybe|else|also)\s+)?(?:\[ANSWER\]|\$?\\boxed\{|<[A-Za-z]{1,12}>)\s*$",
    re.IGNORECASE,
)


def is_alternative(text: str, reading: Reading) -> bool:
    """Return whether a box or tag is the second of two alternatives: "[ANSWER]12[/ANSWER] or [ANSWER]14[/ANSWER]"."""
    return _ALTERNATIVE.search(text, max(0, reading.begin - 60), reading.begin) is not None


_CONCLUSION_START = lazy_pattern(
    r"(?:^|(?<=[.!?;,。；，:\n]))[\s*_]*(?:and\s+)?(?:(?:so|thus|hence|therefore|consequently|altogether|in\s+total|overall|finally)\b|所以|因此|于是|综上|故)[\s,:]*(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
"""The beginning of a concluding clause, up to its subject."""
_THAT_IS = lazy_pattern(
    r"[}$\\)*\]\s]{0,6}[,;]?\s*(?:giving|yielding|which\s+gives|i\.e\.,?|that\s+is,|so)\s+", re.IGNORECASE
)
"""As in ", giving" between a fraction and the sum of its terms."""
_VERB_OR_EQUALS = lazy_pattern(
    r"(?:\b(?:is|are|equals?|gives?|get|have|obtain|comes\s+to)\b(?:\s+(?:therefore|thus|then|hence))?|=|≈|为|是|得到?|等于)[:\s]*",
    re.IGNORECASE,
)
_ONLY_NUMBER = lazy_pattern(r"[*_$]{0,3}[-−]?\d[\d,.]{0,20}[*_$.\s]*\Z")
_CONCLUDING_VERB = lazy_pattern(r"\b(?:is|are)\s+(?:therefore|thus|hence)\b[:\s]*", re.IGNORECASE)
_COMMENT_WORD = lazy_pattern(
    r"\b(?:check\w*|verif\w+|confirm\w*|indeed|note|remark|sanity|for\s+(?:example|instance)|correct|consistent|if|would|could|might)\b|验证|检验|注意|例如|如果|若",
    re.IGNORECASE,
)
_ASSIGNMENT = lazy_pattern(r"[A-Za-z}]\s*=")
_CALLED_ANSWER = lazy_pattern(r"\banswer\b[^.\n]*$|答案[^。\n]*$", re.IGNORECASE)


def concluding_clause(line: str) -> str:
    """Return the text after the last "so", "thus" or the like that begins a clause of a line; empty if there is none."""
    clauses = list(_CONCLUSION_START.finditer(line, max(0, len(line) - MAX_STATEMENT_CHARS)))
    return line[clauses[-1].end() :] if clauses else ""


def concluding_reading(text: str, reading: Reading, parse: Parser) -> Reading:
    """Return the answer in the concluding sentence after a box, which then contains an intermediate result.

    Without such a sentence, return `reading`, including when the reply calls the box the answer, or checks or comments on it
    afterwards.
    """
    end = len(text.rstrip())
    is_unread = isinstance(reading.value, str)  # a box with an answer of another kind
    is_called_answer = _CALLED_ANSWER.search(text, max(0, reading.begin - 60), reading.begin)
    if reading.form != "box" or (is_called_answer and not is_unread):
        return reading
    begin = max(reading.end, text.rfind("\n", 0, end) + 1, end - MAX_STATEMENT_CHARS)
    for sentence_end in _SENTENCE_END.finditer(text, begin, max(begin, end - 1)):
        begin = sentence_end.end()
    if _COMMENT_WORD.search(text, reading.end, end):
        return reading
    following = _THAT_IS.match(text, reading.end, end) if is_unread else None
    if clause := following or _CONCLUSION_START.search(text, begin, end):
        is_number = _ONLY_NUMBER.match(text, clause.end(), end)
        link = clause if is_number else _VERB_OR_EQUALS.search(text, clause.end() + 1, end)
    else:
        link = _CONCLUDING_VERB.search(text, begin, end) if begin > reading.end else None
    conclusion = text[link.end() : end] if link else ""
    value = None if not conclusion or _ASSIGNMENT.search(conclusion) else parse(conclusion, "sentence")
    if link is None or value is None or value is REJECTED or mood(text, link.start(), end) != "asserted":
        return reading
    return Reading(value, "prose", link.end(), end)


_WOULD_AFTER = lazy_pattern(
    r"[\s*_`)]{1,4}would\s+(?:weigh|imply|require|correspond|mean|contradict|contain|need)\b", re.IGNORECASE
)
_MAX_IF_CHARS = 120
_IF_SENTENCE = lazy_pattern(
    r"(?:\A|[.!?\n]\s?)[\s*_]*if\s(?!anything|pressed|(?:i|we|you)\b)[^.!?\n]{1,120},[^.!?\n]*\Z",
    re.IGNORECASE,
)
"""As in "If the acid is esterified, the formula becomes"."""


def asserted_reading(text: str, reading: Reading | None) -> Reading | None:
    """Return a reading found by layout, narrowed to the answer; None if the sentence does not assert the answer."""
    if reading is None:
        return None
    narrowed = narrow_reading(text, reading)
    link = text[max(0, narrowed.begin - 60) : narrowed.begin].rpartition(". ")[2]
    if _IF_SENTENCE.search(text, max(0, narrowed.begin - _MAX_IF_CHARS), narrowed.begin):
        return None
    if _WOULD_AFTER.match(text, narrowed.end):
        return None
    return narrowed if mood(text, narrowed.begin, narrowed.end, link=link) == "asserted" else None


_UNDECIDED = lazy_pattern(
    r"\b(?:either|torn|neither|plausible|(?:decide|choose|choosing|undecided|distinguish)\s+between|compare|whether|could\s+(?:not|be)|couldn['’]t|might\s+be|some\s+(?:people\s+)?say)\b"
    r"|\bboth\b[^.\n]{0,200}\b(?:seem|are|could|look|work)\b|都有可能|之间",
    re.IGNORECASE,
)


def is_undecided(text: str, begin: int = 0) -> bool:
    """Return whether the text considers several answers without deciding on one."""
    return _UNDECIDED.search(text, begin) is not None


_DENIAL = lazy_pattern(r"[\s*_`\"'(]*(?:not|never|n['’]t|不是?)(?![A-Za-z])\s*", re.IGNORECASE)
_CONTRAST = lazy_pattern(r"\bbut\s+(?:rather\s+)?|而是")


def without_denial(content: str) -> str | None:
    """Return "B" for a statement "not A but B", None for "not A", and any other statement unchanged."""
    denial = _DENIAL.match(content)
    if denial is None:
        return content
    contrast = _CONTRAST.search(content, denial.end())
    return content[contrast.end() :] if contrast else None


def narrow_reading(text: str, reading: Reading) -> Reading:
    """Return a reading with the extent of the answer itself, if the statement contains the answer literally."""
    answer_text = reading.value if isinstance(reading.value, str) else reading.value.text
    position = text.find(answer_text, reading.begin, reading.end) if answer_text else -1
    return reading if position < 0 else reading._replace(begin=position, end=position + len(answer_text))
