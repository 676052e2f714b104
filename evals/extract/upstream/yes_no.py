"""Extract the last yes or no of a reply, and its last probability, by the frozen rule of Matbench's `official`.

`strict` has used another rule since version 2 (`evals.extract.yesno`).
"""

from __future__ import annotations

import re

from evals.extract.lazy_pattern import lazy_pattern

_YES_OR_NO = lazy_pattern(
    r"(?<![\w/'’-])(?P<before>(?:yes|no)\s*(?:/|\bor\b|\band\b)\s*)?(?P<word>yes|no)(?![\w'’/-])"
    r"(?P<after>\s*(?:\bor\b|\band\b(?=\s(?:yes|no)\b)|[^\w\s]|\n|$))?",
    re.IGNORECASE,
)
_PROBABILITY = lazy_pattern(
    r"\bprobability\b[^\d\n%]{0,40}?(1(?:\.0+)?|0?\.\d+|0|\d{1,3}(?:\.\d+)?\s?%)(?![\d.])", re.IGNORECASE
)
_BEFORE_ANSWER = lazy_pattern(
    r"(?:^|[.!?:>{\n。：]|\b(?:is|be|so|therefore|thus|answer|say)\b,?)[\s*_\"'“(\[>{$\\]*(?:text\{)?$",
    re.IGNORECASE,
)
_CHINESE = {"是": True, "是的": True, "对": True, "否": False, "不是": False, "不": False, "不对": False}


def last_yes_no(text: str) -> bool | None:
    """Return the last yes or no that ends a clause and either begins a line, sentence or bracket or follows a word like "so"."""
    reply = text.strip()
    if reply.rstrip("。.") in _CHINESE:
        return _CHINESE[reply.rstrip("。.")]
    answer = None
    for match in _YES_OR_NO.finditer(reply):
        if match["before"] or (match["after"] or "").strip().lower() in ("or", "and", "/"):
            continue
        is_yes, start = match["word"].lower() == "yes", match.start("word")
        is_answer = _BEFORE_ANSWER.search(reply, max(0, start - 40), start) if start else True
        if is_answer and (match["after"] is not None or (is_yes and start == 0)):
            answer = is_yes
    return answer


def last_probability(text: str) -> float | None:
    """Return the number after the last "probability" (0.83 or 83 %); None if it is not between 0 and 1."""
    matches = _PROBABILITY.findall(text[-20_000:])
    if not matches:
        return None
    value = float(matches[-1].rstrip("% ")) / (100 if matches[-1].endswith("%") else 1)
    return value if 0 <= value <= 1 else None
