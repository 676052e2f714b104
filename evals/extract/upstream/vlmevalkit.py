r"""Extract options by VLMEvalKit's rule (open-compass/VLMEvalKit @ e8e78f05, vlmeval/utils/matching_util.py).

Options are read by letter, then by their texts; other replies are passed to a judge
(`evals/scorers/upstream/inferred.py`). Known defects, each with a case in `tests/cases/vlmevalkit.jsonl`:

* the word "A" among the last four words is option A, even as an article;
* a letter further from the end is ignored, so "B is right, because it is the larger one" has no answer;
* a reply with two letters has no answer, however clear its last line is;
* a letter A to D after "answer is" counts even within a word ("the answer is clear" is C), and E to J do not count;
* an option's text counts within words, so that a short option ("1") matches many replies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

NONE_FITS = "Z"
"""Upstream's letter for an answer that fits no option."""
API_FAILURE = "Failed to obtain answer via API"
"""Text that upstream stores in place of a reply if a call failed."""
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
"""A reply with any of these texts fits no option."""
_PUNCTUATION_TO_BLANKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ANSWER_IS = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", re.IGNORECASE)
_LAST_WORDS = 4
"""A letter counts only if it is among this many last words."""


def option_by_letter(text: str, count: int) -> str | None:
    """Return the letter of one of `count` options, or `Z` for a refusal; None if no letter is stated.

    >>> option_by_letter("The answer is B", 4), option_by_letter("B, since A is too small", 4)
    ('B', None)
    """
    if API_FAILURE in text:
        return None
    if any(refusal in text for refusal in REFUSALS):
        return NONE_FITS
    words = text.translate(_PUNCTUATION_TO_BLANKS).split()
    distinct = set(words)
    letters = [letter for letter in ascii_uppercase[:count] if letter in distinct]
    if len(letters) == 1 and words.index(letters[0]) >= len(words) - _LAST_WORDS:
        return letters[0]
    if not letters and NONE_FITS in distinct:
        return NONE_FITS
    match = _ANSWER_IS.search(text)
    return match[1].upper() if match and match[1].upper() in ascii_uppercase[:count] else None


def option_by_text(text: str, options: Sequence[str]) -> str | None:
    """Return the letter of the only option whose text occurs in a reply of at most twice the options' length."""
    lower = text.lower()
    if len(lower) > 2 * sum(map(len, options)):
        return None
    named_letters = [
        letter for letter, option in zip(ascii_uppercase, options, strict=False) if option.lower() in lower
    ]
    return named_letters[0] if len(named_letters) == 1 else None


def option_vlmevalkit(text: str, options: Sequence[str]) -> str | None:
    """Return the letter of an option, or `Z` for a refusal; None if upstream asks a judge.

    >>> option_vlmevalkit("it is a dog", ("a cat", "a dog"))
    'B'
    """
    return option_by_letter(text, len(options)) or option_by_text(text, options)
