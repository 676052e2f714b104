"""The last yes or no of a reply, and the last probability, as Matbench's `official` and the rule beside its judge read it; frozen.

`strict` reads otherwise since its version 2 (`evals.extract.yesno`).
"""

from __future__ import annotations

import re

from evals.extract.lazy_pattern import lazy_pattern

_WORD = lazy_pattern(
    r"(?<![\w/'’-])(?P<before>(?:yes|no)\s*(?:/|\bor\b|\band\b)\s*)?(?P<word>yes|no)(?![\w'’/-])"
    r"(?P<after>\s*(?:\bor\b|\band\b(?=\s(?:yes|no)\b)|[^\w\s]|\n|$))?",
    re.IGNORECASE,
)
_PROBABILITY = lazy_pattern(
    r"\bprobability\b[^\d\n%]{0,40}?(1(?:\.0+)?|0?\.\d+|0|\d{1,3}(?:\.\d+)?\s?%)(?![\d.])", re.IGNORECASE
)
_LEAD = lazy_pattern(
    r"(?:^|[.!?:>{\n。：]|\b(?:is|be|so|therefore|thus|answer|say)\b,?)[\s*_\"'“(\[>{$\\]*(?:text\{)?$",
    re.IGNORECASE,
)
_CHINESE = {"是": True, "是的": True, "对": True, "否": False, "不是": False, "不": False, "不对": False}


def last_yes_no(text: str) -> bool | None:
    """Return the last yes or no that opens a line, sentence or bracket, or follows "is", "so" and the like, and ends there."""
    reply = text.strip()
    if reply.rstrip("。.") in _CHINESE:
        return _CHINESE[reply.rstrip("。.")]
    answer = None
    for match in _WORD.finditer(reply):
        if match["before"] or (match["after"] or "").strip().lower() in ("or", "and", "/"):
            continue
        yes, start = match["word"].lower() == "yes", match.start("word")
        leads = _LEAD.search(reply, max(0, start - 40), start) if start else True
        if leads and (match["after"] is not None or (yes and start == 0)):
            answer = yes
    return answer


def last_probability(text: str) -> float | None:
    """Return the number after the last "probability", as 0.83 or 83 %; None if it is outside 0 to 1."""
    stated = _PROBABILITY.findall(text[-20_000:])
    if not stated:
        return None
    value = float(stated[-1].rstrip("% ")) / (100 if stated[-1].endswith("%") else 1)
    return value if 0 <= value <= 1 else None
