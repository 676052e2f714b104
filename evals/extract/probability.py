"""Extract the stated probability of the positive label.

>>> probability("Probability (0 to 1): 0.9"), probability("概率：95%"), probability("Probability: 1e-3")
(0.9, 0.95, 0.001)

Chinese nouns: 概率 "probability", 置信度 "confidence", 可能性 "likelihood".
"""

from __future__ import annotations

import re

from evals.extract.formatting import half_width
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.visible import visible

MAX_CHARS = 20_000
"""Maximum number of characters that are read, from the end of a reply."""
_NOUN = lazy_pattern(r"\bprobability\b|\bconfidence\b|概率|置信度|可能性", re.IGNORECASE)
_REMARK = lazy_pattern(r"\s*(?:\([^()\n]{0,60}\)|\[[^\[\]\n]{0,60}\])")
_VALUE = lazy_pattern(
    r"[^\d\n%.-]{0,60}?(?P<number>\d{1,3}(?:[.,]\d{1,25})?|\.\d{1,25})(?:[eE](?P<exponent>[-+]?\d{1,2})|\s*(?:×|\\times|x|\*)\s*10\s*\^?\s*\{?(?P<ten>[-−+]?\d{1,2})\}?)?(?P<percent>\s?\\?%)?(?![\d.]*\d)(?!\s*(?:to|-|–|or)\s*\d)"
)


def probability(text: str, *, answer_is_no: bool = False) -> float | None:
    """Read the probability of yes that is stated last ("Probability: 0.83", "83 %"); None if it is missing or outside 0 to 1.

    A confidence above one half refers to the stated answer: 90 % confidence in the answer no is a probability of 10 %.
    """
    text = half_width(visible(text).text[-MAX_CHARS:])
    answer, is_confidence = None, False
    for noun in _NOUN.finditer(text):
        begin = noun.end()
        if remark := _REMARK.match(text, begin):
            begin = remark.end()
        value = _VALUE.match(text, begin, begin + 120)
        if value is not None:
            answer, is_confidence = value, noun[0].lower() in ("confidence", "置信度")
    if answer is None:
        return None
    power = int((answer["exponent"] or answer["ten"] or "0").replace("−", "-"))
    stated_value = float(answer["number"].replace(",", ".")) * 10.0**power / (100 if answer["percent"] else 1)
    if not 0 <= stated_value <= 1:
        return None
    return 1 - stated_value if is_confidence and answer_is_no and stated_value > 1 / 2 else stated_value
