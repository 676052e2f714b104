r"""Multiple choice as VLMEvalKit reads it (open-compass/VLMEvalKit @ e8e78f05, vlmeval/utils/matching_util.py).

First letters, then the options' texts; what neither reads is left to a judge (`evals/scorers/upstream/inferred.py`). The
defects, each a case in `tests/cases/vlmevalkit.jsonl`:

* a lone capital "A" among the last four words is option A, article or not;
* a letter further from the end is not seen, so "B is right, because it is the larger one" states nothing;
* two letters anywhere state nothing, however clear the last line is;
* "answer is" is read up to the next letter from A to D, whole word or not: "the answer is clear" is C, and an E to J
  after it is nothing;
* an option's text counts inside words, and a short option ("1") is found in nearly anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

NONE_FITS = "Z"
"""Upstream's letter for an answer that is none of the options."""
UNASKED = "Failed to obtain answer via API"
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_BLANKED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ANSWER_IS = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", re.IGNORECASE)
_NEAR = 5
"""A letter counts only among the last four words."""


def option_stated(text: str, count: int) -> str | None:
    """Read the letter of one of `count` options; `Z` for a refusal, None for no letter.

    >>> option_stated("The answer is B", 4), option_stated("B, since A is too small", 4)
    ('B', None)
    """
    if UNASKED in text:
        return None
    if any(refusal in text for refusal in REFUSALS):
        return NONE_FITS
    words = text.translate(_BLANKED).split()
    seen = set(words)
    letters = [letter for letter in ascii_uppercase[:count] if letter in seen]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - _NEAR:
        return letters[0]
    if not letters and NONE_FITS in seen:
        return NONE_FITS
    match = _ANSWER_IS.search(text)
    return match[1].upper() if match and match[1].upper() in ascii_uppercase[:count] else None


def option_named(text: str, options: Sequence[str]) -> str | None:
    """Return the letter of the only option whose text occurs in the reply, unless the reply is too long for that."""
    low = text.lower()
    if len(low) > 2 * sum(map(len, options)):
        return None
    named_letters = [x for x, option in zip(ascii_uppercase, options, strict=False) if option.lower() in low]
    return named_letters[0] if len(named_letters) == 1 else None


def option_vlmevalkit(text: str, options: Sequence[str]) -> str | None:
    """Read an option's letter as shown, `Z` for none of them, or None if upstream asks a judge.

    >>> option_vlmevalkit("it is a dog", ("a cat", "a dog"))
    'B'
    """
    return option_stated(text, len(options)) or option_named(text, options)
