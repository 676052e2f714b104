"""Yes and no, and text made safe for a terminal."""

from __future__ import annotations

import re

from evals.extract.later import later

_YES_NO = later(
    r"(?<![\w/'’-])(?P<before>(?:yes|no)\s*(?:/|\bor\b|\band\b)\s*)?(?P<word>yes|no)(?![\w'’/-])"
    r"(?P<after>\s*(?:\bor\b|\band\b(?=\s(?:yes|no)\b)|[^\w\s]|\n|$))?",
    re.IGNORECASE,
)
_LEAD = later(
    r"(?:^|[.!?:>{\n。：]|\b(?:is|be|so|therefore|thus|answer|say)\b,?)[\s*_\"'“(\[>{$\\]*(?:text\{)?$",
    re.IGNORECASE,
)
_CJK = {"是": True, "是的": True, "对": True, "否": False, "不是": False, "不": False, "不对": False}

_ESCAPES = later(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and kin
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_SURROGATE = later(r"[\ud800-\udfff]")


def yes_no(text: str) -> bool | None:
    """Read the last yes or no that is stated as an answer; "there is no base" states nothing.

    A word counts where it opens a line, a sentence or a bracket, or follows "is", "so", "therefore", and
    where a mark or the end follows it ("yes" at the start may be followed by a word). "Yes or no" and "yes and no" are none.
    """
    reply = text.strip()
    if reply.rstrip("。.") in _CJK:
        return _CJK[reply.rstrip("。.")]
    answer = None
    for found in _YES_NO.finditer(reply):
        if found["before"] or (found["after"] or "").strip().lower() in ("or", "and", "/"):
            continue
        yes = found["word"].lower() == "yes"
        ends = found["after"] is not None
        start = found.start("word")
        leads = _LEAD.search(reply, max(0, start - 40), start) if start else True
        if leads and (ends or (yes and start == 0)):
            answer = yes
    return answer


def plain(text: str) -> str:
    """Take terminal escapes, control characters and direction overrides out; newline and tab stay."""
    return _SURROGATE.sub("\ufffd", _ESCAPES.sub("", text))
