"""The rules of ChemBench's authors (lamalab), with their known defects.

Sources: chembench 0.3.0 on PyPI (constant.py, prompter.py, utils.py), and the recorded reports of
lamalab-org/chembench-paper @ 8fe22914: on three runs of 2,788 tasks, these patterns reproduce every recorded answer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import isfinite

from msgspec import Struct

from evals.extract.units import Quantity
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 100_000
"""Number of characters at the end of a reply that are read; upstream's patterns take quadratic time."""
MAX_GAP = 2000
"""Maximum number of characters between the full stop or comma after the letters and the closing tag."""
_OPENING_TAG = re.compile(r"(?:\[ANSWER\]|\[ANS\]|<ANS>|<ANSWER>|<ans>)\s*+(?=[A-Z])")
_CLOSING_TAG = re.compile(r"\[/?ANSWER\]|\[/ANS\]|</ANS>|</ANSWER>|</ans>")
_LETTER_LIST = re.compile(r"[A-Z](?:,\s*+[A-Z])*")
_SPACE = re.compile(r"\s*+")


def _skip_spaces(text: str, position: int) -> int:
    spaces = _SPACE.match(text, position)
    return spaces.end() if spaces else position


def options_lamalab(text: str, options: Sequence[str]) -> tuple[str, ...] | None:
    """Return the union of the letters in all answer tags.

    A tag with an option's text, as in `[ANSWER]C2v[/ANSWER]`, is not read; upstream then calls a language model.
    """
    letters = set(re.findall("[A-Z]", " ".join(_tagged_letters(text[-MAX_CHARS:]))))
    return tuple(sorted(letters)) or None


def _tagged_letters(text: str) -> Iterator[str]:
    """Yield the letter lists in answer tags, in time linear in the text.

    Equivalent to `TAG\\s*([A-Z](?:,\\s*[A-Z])*)\\s*(?:[.,].{0,2000}?)?END`: between the letters and the closing tag there is
    nothing, or a full stop or comma and at most 2000 characters. If other text follows the last letter, that letter belongs
    to the text after the last comma.
    """
    closings = [(match.start(), match.end()) for match in _CLOSING_TAG.finditer(text)]
    position = 0
    while (opening := _OPENING_TAG.search(text, position)) is not None:
        position = opening.end()
        letters = _LETTER_LIST.match(text, position)
        next_closing = bisect_left(closings, (position, 0))
        if letters is None or next_closing == len(closings):
            continue
        (start, end), letters_text = closings[next_closing], letters[0]
        letters_end = _skip_spaces(text, letters.end())
        within_gap = text[letters_end : letters_end + 1] in (".", ",") and start - letters_end - 1 <= MAX_GAP
        if start != letters_end and not within_gap:
            letters_text, comma, _ = letters_text.rpartition(",")
            if not comma or start - (position + len(letters_text)) - 1 > MAX_GAP:
                continue
        yield letters_text
        position = end


_NUMBER_OPENING = re.compile(r"\[ANSWER\]\s*+")
_NUMBER_CLOSING = re.compile(r"\[/?ANSWER\]")


def _tagged_number(text: str) -> str | None:
    """Return the first answer tag with its content, which must be a single line, in linear time.

    Equivalent to `\\[ANSWER\\][\\s\\n]*(.*?)[\\s\\n]*\\[/?ANSWER\\]`.
    """
    position = 0
    while (opening := _NUMBER_OPENING.search(text, position)) is not None:
        closing = _NUMBER_CLOSING.search(text, opening.end())
        if closing is None:
            return None
        if "\n" not in text[opening.end() : closing.start()].rstrip():
            return text[opening.start() : closing.end()]
        position = opening.end()
    return None


_NUMBER_TOKEN = re.compile(
    r"(?<!\w)([+-]?(?:[0-9]++\.[0-9]++|[0-9]++|\.[0-9]++)\s?)?(\^[-+]?[0-9]+)?((?:[eE]|exp|EXP)[-+]?[0-9]+)?"
    r"((?:[*x]|\\times|\\u00d7)\s?[0-9]+\^([-+]?[0-9]+|\{[-+]?[0-9]+\}))?(?!\w)"
)
_NUMBER_FACTORS = re.compile(
    r"(?P<sign>[+-]?)(?P<value>(?:\d++\.\d++|\.?\d++)(?:[eE][-+]?\d+)?)\s?(?:\^(?P<power>[-+]?\d+(?:[eE][-+]?\d+)?))?"
    r"(?:(?:[*x]|\\times|\\u00d7)\s?(?P<base>\d+)\^\{?(?P<exponent>[-+]?\d+)\}?)?"
)
_WORDS_UP_TO_NINETEEN = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_WORDS_FOR_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALE_WORDS = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORD_VALUES = {word: i for i, word in enumerate(_WORDS_UP_TO_NINETEEN)} | {
    word: 10 * i for i, word in enumerate(_WORDS_FOR_TENS, 2)
}
_NUMBER_WORD = "|".join((*_WORDS_UP_TO_NINETEEN, *_WORDS_FOR_TENS, *_SCALE_WORDS))
_NUMBER_PHRASE = re.compile(rf"(?:{_NUMBER_WORD})(?:\s+(?:{_NUMBER_WORD}))*", re.IGNORECASE)
"""The alternatives are in upstream's order: "six" precedes "sixteen" and "sixty", so both are read as 6."""


def number_lamalab(text: str) -> Quantity | None:
    """Return the first number in the first answer tag, as written.

    Without a tag, return the first number words anywhere in the reply, even inside another word ("often" is 10, "weight" is
    8, "sixteen" is 6), as for all 16 such replies in the recorded reports. Otherwise upstream calls a language model; here
    the result is None.
    """
    if (tagged := _tagged_number(text[-MAX_CHARS:])) is None:
        words = _NUMBER_PHRASE.search(text[-MAX_CHARS:])
        return _quantity(_parse_number_words(words[0]), words[0][:200]) if words else None
    token = next((candidate for candidate in _NUMBER_TOKEN.finditer(tagged) if candidate[0]), None)
    value = _parse_token(token[0].strip()) if token else None
    return None if value is None or token is None else _quantity(value, token[0].strip())


def _parse_number_words(words: str) -> float:
    """Return the value of number words such as "two hundred five" as upstream does; a scale word alone is 0."""
    whole = current = 0
    for word in words.lower().split()[:1000]:
        current = current * _SCALE_WORDS.get(word, 1) + _WORD_VALUES.get(word, 0)
        if _SCALE_WORDS.get(word, 1) > 100:
            whole, current = whole + current, 0
    return float(whole + current)


def _parse_token(token: str) -> float | None:
    """Return the value of "1.2", "e-3", "1.5 x 10^{-3}" or "-10^2" (-100), which upstream evaluates with pint.

    None if pint rejects it ("exp3", "2 e5", "^5"), or it is not a finite number.
    """
    if token.startswith("e"):
        token = f"1{token}"
    if not (match := _NUMBER_FACTORS.fullmatch(token)):
        return None
    try:
        value = float(match["value"]) ** float(match["power"] or 1.0)
        if match["base"]:
            value *= float(match["base"]) ** int(match["exponent"])
    except (OverflowError, ZeroDivisionError, ValueError):  # ValueError: an exponent of thousands of digits
        return None
    value = -value if match["sign"] == "-" else value
    return value if isfinite(value) else None


def _quantity(value: float, text: str) -> Quantity:
    return Quantity(value, unit="", low=None, high=None, approximate=False, text=text)


class SignedTolerance(Struct, frozen=True):
    """Scores 1 if |stated - target| < tolerance, where the tolerance is 0.01 * target *with its sign*.

    A target of zero or below can therefore never be matched, a known defect of upstream, unless the task has its own
    `relative_tolerance`, which is used as an absolute tolerance, as upstream does.
    """

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        target = float(sample.target)  # type: ignore[arg-type]
        number = None if reply.stop == "filter" else number_lamalab(reply.text)
        if number is None:
            return no_answer(reply, "no number that upstream's patterns find")
        tolerance = float(sample.meta.get("relative_tolerance") or 0.01 * target)
        right = abs(number.value - target) < tolerance
        why = "" if right else f"stated {number.text}"
        if tolerance <= 0:
            why += f"; upstream's tolerance is {tolerance:.3g}, which nothing can meet"
        return binary_score(
            right=right, answer=f"{number.value!r}", why=why, parts={"error": number.value - target}
        )
