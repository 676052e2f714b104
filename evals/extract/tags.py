r"""Extract answers in delimiters (`\boxed{}`, `<answer>`, JSON), and the last stated free answer."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from evals.extract.lazy_pattern import lazy_pattern

_BOX = lazy_pattern(r"\\(?:boxed|fbox)\b")
_BOX_TOKEN = lazy_pattern(
    r"\\+(?:boxed|fbox)\s*\{|\\+(?:boxed|fbox)[^\S\n]+(?P<bare>[^\s${}\\]+)|\\.|[{}]", re.DOTALL
)
_JSON_TOKEN = lazy_pattern(r'"(?:[^"\\\n]++|\\.)*+"|\\.|[{}]')
_JSON_DEPTH = 200


def boxes(text: str, start: int = 0) -> list[tuple[int, int, str]]:
    r"""List every complete `\boxed{}`, `\fbox{}` and `\boxed X` as (start, end, content), by start.

    Braces balance to any depth; escaped ones (`\{`) do not count. One pass.
    """
    first = _BOX.search(text, start)
    if first is None:
        return []
    spans: list[tuple[int, int, str]] = []
    open_: list[tuple[int, int]] = []  # (start of the command or -1 for a plain brace, start of content)
    for token in _BOX_TOKEN.finditer(text, first.start()):
        word = token[0]
        if word == "{":
            open_.append((-1, 0))
        elif word == "}":
            if open_:
                begin, inside = open_.pop()
                if begin >= 0:
                    spans.append((begin, token.end(), text[inside : token.start()]))
        elif word[-1] == "{" and len(word) > 2:
            open_.append((token.start(), token.end()))
        elif token["bare"]:
            spans.append((token.start(), token.end(), token["bare"]))
    if len(spans) > 1:
        spans.sort()
    return spans


def box_contents(text: str) -> list[str]:
    r"""Return the contents of all complete boxes, in the order in which they begin."""
    return [content.strip() for _, _, content in boxes(text)]


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete `\boxed{}`, `\fbox{}` or `\boxed X`; of nested ones the inner.

    >>> last_box(r"\boxed{1} then \boxed{\frac{1}{2}} and a torn \boxed{3")
    '\\frac{1}{2}'
    """
    spans = boxes(text)
    return spans[-1][2].strip() if spans else None


@cache
def _tag(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(/?){re.escape(tag)}(?:\s[^<>]{{0,200}})?>", re.IGNORECASE)


def _spans(text: str, tag: str) -> list[str]:
    """Return the contents between an opening tag and the next closing tag; a second opening tag restarts the content."""
    contents: list[str] = []
    begin = -1
    for mark in _tag(tag).finditer(text):
        if not mark[1]:
            begin = mark.end()
        elif begin >= 0:
            contents.append(text[begin : mark.start()].strip())
            begin = -1
    return contents


def last_tag(text: str, tag: str) -> str | None:
    """Return the content of the last complete `<tag>...</tag>`, any case, stripped."""
    contents = _spans(text, tag)
    return contents[-1] if contents else None


def json_object(text: str, *, unique: bool = False) -> dict[str, Any] | None:
    """Return the last balanced JSON object that parses; of nested ones the outermost.

    NaN, infinities and more than 200 levels are refused; with `unique` also an object in which a key has two values.
    """
    hook = _without_conflict if unique else None
    for begin, end in reversed(_braces(text)):
        try:
            value = json.loads(text[begin:end], parse_constant=_refuse, object_pairs_hook=hook)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _without_conflict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if values.setdefault(key, value) != value:
            raise ValueError(f"two values of {key}")
    return values


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _braces(text: str) -> list[tuple[int, int]]:
    """Find the outermost balanced braces that are not too deep; strings inside braces are skipped."""
    first = text.find("{")
    if first < 0:
        return []
    open_: list[int] = []
    depth: list[int] = []  # greatest depth inside each open brace
    spans: list[tuple[int, int, int]] = []
    for token in _JSON_TOKEN.finditer(text, first):
        if token[0] == "{":
            open_.append(token.start())
            depth.append(0)
        elif token[0] == "}" and open_:
            begin, deep = open_.pop(), depth.pop() + 1
            if depth:
                depth[-1] = max(depth[-1], deep)
            while spans and spans[-1][0] > begin:
                spans.pop()
            spans.append((begin, token.end(), deep))
    return [(begin, end) for begin, end, deep in spans if deep <= _JSON_DEPTH]


_STATED = lazy_pattern(
    r"(?P<open>[\[<]\s*(?:final[ _]?)?(?:answer|ans)\s*[\]>])"
    r"|\b(?:final\s+|correct\s+)?answer(?:\s+(?:is|are|was|will\s+be|would\s+be|must\s+be)\b(?:\s+(?:therefore|thus|then|hence))?"
    r"|[*_\"'`)\]]{0,3}\s{0,3}[:：=][*_\"']{0,3}|[*_]{0,3}\s*\n)"
    r"|答案(?:应该|应)?(?:是|为|[:：])",
    re.IGNORECASE,
)
_CLOSE = lazy_pattern(r"[\[<]\s*/?\s*(?:final[ _]?)?(?:answer|ans)\s*[\]>]", re.IGNORECASE)
_SENTENCE_END = lazy_pattern(r"\n|[.!?](?=\s|$)|。|；")
_MAX_ANSWER_CHARS = 2000


def stated(text: str) -> str | None:
    r"""Return the text of the last stated free answer: box, answer tag, or what follows "answer is" / "Answer:".

    The contents of tags and boxes are returned whole; after a colon the rest of the line (of the next
    one with content, if that line is empty); after "is" the rest of the sentence. Surrounding dollars,
    asterisks, quotes and a final full stop are removed.
    """
    spans = boxes(text)
    begin, answer = (spans[-1][0], spans[-1][2].strip()) if spans else (-1, "")
    for mark in reversed(list(_STATED.finditer(text, max(0, begin)))):
        answer_ = _text_after(text, mark)
        if answer_:
            return answer_
    return answer or None


def _text_after(text: str, mark: re.Match[str]) -> str:
    end = min(len(text), mark.end() + _MAX_ANSWER_CHARS)
    if mark["open"]:
        close = _CLOSE.search(text, mark.end(), end)
        return text[mark.end() : close.start()].strip() if close else ""
    word = mark[0].rstrip("*_\"' ")
    remainder = text[mark.end() : end]
    if word.endswith((":", "：", "=", "r", "R")) or mark[0].endswith("\n"):
        return strip_short_answer(remainder.lstrip(" \t\r\n*_").split("\n", 1)[0])
    sentence_end = _SENTENCE_END.search(remainder)
    return strip_short_answer(remainder[: sentence_end.start()] if sentence_end else remainder)


def strip_short_answer(text: str) -> str:
    r"""Remove the formatting around a short answer: blanks, asterisks, quotes, dollars, `\( \)`, a full stop."""
    while True:
        before = text
        text = text.strip().strip("*`_\"'“”").rstrip(".。").removesuffix("</s>")
        for left, right in (("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            if text.startswith(left) and text.endswith(right) and len(text) >= len(left) + len(right):
                text = text[len(left) : -len(right)]
        if text == before:
            return text
