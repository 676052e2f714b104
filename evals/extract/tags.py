r"""Extract delimited answers (`\boxed{}`, `<answer>`, JSON), and the last stated free-form answer."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from evals.extract.lazy_pattern import lazy_pattern

_BOX_COMMAND = lazy_pattern(r"\\(?:boxed|fbox)\b")
_BOX_TOKEN = lazy_pattern(
    r"\\+(?:boxed|fbox)\s*\{|\\+(?:boxed|fbox)[^\S\n]+(?P<bare>[^\s${}\\]+)|\\.|[{}]", re.DOTALL
)
_JSON_TOKEN = lazy_pattern(r'"(?:[^"\\\n]++|\\.)*+"|\\.|[{}]')
_MAX_JSON_DEPTH = 200


def boxes(text: str, start: int = 0) -> list[tuple[int, int, str]]:
    r"""Return every complete `\boxed{}`, `\fbox{}` and `\boxed X` as (start, end, content), in order of start.

    Braces may be nested to any depth; escaped braces (`\{`) are ignored.
    """
    first = _BOX_COMMAND.search(text, start)
    if first is None:
        return []
    spans: list[tuple[int, int, str]] = []
    stack: list[tuple[int, int]] = []  # (start of the command, or -1 for a plain brace; start of the content)
    for token in _BOX_TOKEN.finditer(text, first.start()):
        delimiter = token[0]
        if delimiter == "{":
            stack.append((-1, 0))
        elif delimiter == "}":
            if stack:
                begin, content_begin = stack.pop()
                if begin >= 0:
                    spans.append((begin, token.end(), text[content_begin : token.start()]))
        elif delimiter[-1] == "{" and len(delimiter) > 2:
            stack.append((token.start(), token.end()))
        elif token["bare"]:
            spans.append((token.start(), token.end(), token["bare"]))
    if len(spans) > 1:
        spans.sort()
    return spans


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete `\boxed{}`, `\fbox{}` or `\boxed X`; for nested boxes, of the inner one.

    >>> last_box(r"\boxed{1} then \boxed{\frac{1}{2}} and an unclosed \boxed{3")
    '\\frac{1}{2}'
    """
    spans = boxes(text)
    return spans[-1][2].strip() if spans else None


@cache
def _tag_pattern(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(/?){re.escape(tag)}(?:\s[^<>]{{0,200}})?>", re.IGNORECASE)


def last_tag(text: str, tag: str) -> str | None:
    """Return the stripped content of the last complete `<tag>...</tag>`, ignoring case.

    If a second opening tag precedes the closing one, the content begins there.
    """
    content, begin = None, -1
    for match in _tag_pattern(tag).finditer(text):
        if not match[1]:
            begin = match.end()
        elif begin >= 0:
            content, begin = text[begin : match.start()].strip(), -1
    return content


def json_object(text: str, *, unique: bool = False) -> dict[str, Any] | None:
    """Return the last balanced JSON object that can be parsed; for nested objects, the outermost one.

    Objects with NaN, infinities or over 200 levels are skipped; if `unique`, also those with different values for a key.
    """
    hook = _unambiguous_object if unique else None
    for begin, end in reversed(_outermost_braces(text)):
        try:
            value = json.loads(text[begin:end], parse_constant=_reject_constant, object_pairs_hook=hook)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _unambiguous_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if values.setdefault(key, value) != value:
            raise ValueError(f"two values of {key}")
    return values


def _reject_constant(constant: str) -> float:
    raise ValueError(constant)


def _outermost_braces(text: str) -> list[tuple[int, int]]:
    """Return the extents of outermost balanced braces with at most 200 levels; braces in strings are ignored."""
    first = text.find("{")
    if first < 0:
        return []
    stack: list[int] = []
    depths: list[int] = []  # number of levels inside each open brace so far
    spans: list[tuple[int, int, int]] = []
    for token in _JSON_TOKEN.finditer(text, first):
        if token[0] == "{":
            stack.append(token.start())
            depths.append(0)
        elif token[0] == "}" and stack:
            begin, levels = stack.pop(), depths.pop() + 1
            if depths:
                depths[-1] = max(depths[-1], levels)
            while spans and spans[-1][0] > begin:
                spans.pop()
            spans.append((begin, token.end(), levels))
    return [(begin, end) for begin, end, levels in spans if levels <= _MAX_JSON_DEPTH]


_ANSWER_MARKER = lazy_pattern(
    r"(?P<open>[\[<]\s*(?:final[ _]?)?(?:answer|ans)\s*[\]>])"
    r"|\b(?:final\s+|correct\s+)?answer(?:\s+(?:is|are|was|will\s+be|would\s+be|must\s+be)\b(?:\s+(?:therefore|thus|then|hence))?"
    r"|[*_\"'`)\]]{0,3}\s{0,3}[:：=][*_\"']{0,3}|[*_]{0,3}\s*\n)"
    r"|答案(?:应该|应)?(?:是|为|[:：])",
    re.IGNORECASE,
)
_CLOSING_TAG = lazy_pattern(r"[\[<]\s*/?\s*(?:final[ _]?)?(?:answer|ans)\s*[\]>]", re.IGNORECASE)
_SENTENCE_END = lazy_pattern(r"\n|[.!?](?=\s|$)|。|；")
_MAX_ANSWER_CHARS = 2000


def stated_answer(text: str) -> str | None:
    r"""Return the text of the last stated free-form answer: a box, an answer tag, or the text after "answer is" or "Answer:".

    The value is the content of a tag or box; after a colon, the rest of the line, or of the next line with content; after
    "is", the rest of the sentence. From a line or sentence, the formatting around the answer is removed.
    """
    spans = boxes(text)
    begin, answer = (spans[-1][0], spans[-1][2].strip()) if spans else (-1, "")
    for marker in reversed(list(_ANSWER_MARKER.finditer(text, max(0, begin)))):
        following = _text_after(text, marker)
        if following:
            return following
    return answer or None


def _text_after(text: str, marker: re.Match[str]) -> str:
    end = min(len(text), marker.end() + _MAX_ANSWER_CHARS)
    if marker["open"]:
        close = _CLOSING_TAG.search(text, marker.end(), end)
        return text[marker.end() : close.start()].strip() if close else ""
    remainder = text[marker.end() : end]
    if marker[0].rstrip("*_\"' ").endswith((":", "：", "=", "\n")):
        return strip_short_answer(remainder.lstrip(" \t\r\n*_").split("\n", 1)[0])
    sentence_end = _SENTENCE_END.search(remainder)
    return strip_short_answer(remainder[: sentence_end.start()] if sentence_end else remainder)


def strip_short_answer(text: str) -> str:
    r"""Remove the formatting around a short answer: spaces, asterisks, quotes, dollar signs, `\( \)`, a full stop."""
    while True:
        previous = text
        text = text.strip().strip("*`_\"'“”").rstrip(".。").removesuffix("</s>")
        for opening, closing in (("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            if (
                text.startswith(opening)
                and text.endswith(closing)
                and len(text) >= len(opening) + len(closing)
            ):
                text = text[len(opening) : -len(closing)]
        if text == previous:
            return text
