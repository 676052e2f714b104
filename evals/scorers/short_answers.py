"""Score short answers about images: the rules of `upstream/vqa.py`, applied to the stated answer instead of the whole reply.

"The answer is Paris." states Paris. The difference between a run's scores by the scorers `stated` and `whole` is the cost of
not following the answer format.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evals import extract
from evals.extract.reading import Reading
from evals.scorers import answers
from evals.scorers.outcomes import no_stated_answer, partial_score, with_reading
from evals.scorers.upstream import vqa
from evals.types import Prompt, Reply, Sample, Score


class StatedShortAnswer(Struct, frozen=True):
    """Scores the stated answer: `vqa` by agreement with annotators, `text` by equality of words, `anls` by edit distance.

    The statement is tried with and without the explanation that follows it, and a one-line reply also as a whole; the
    best value counts.
    """

    kind: Literal["vqa", "text", "anls"]

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = None if reply.stop == "filter" else _read_statement(reply)
        line = _single_line(reply)
        candidates = (*(reading.value if reading else ()), *((line,) if line else ()))
        if not candidates:
            return no_stated_answer(reply, "no answer stated")
        values = [self._value(sample.targets, candidate) for candidate in candidates]
        value = max(values)
        if reading is None and not value:
            return no_stated_answer(reply, "no answer stated")
        return with_reading(reading, partial_score(value, answer=candidates[values.index(value)][:200]))

    def _value(self, golds: tuple[str, ...], text: str) -> float:
        match self.kind:
            case "vqa":
                return vqa.vqa_score(golds, text)
            case "anls":
                return vqa.anls(golds, text)
        return float(any(answers.same_words(gold, text) for gold in golds)) or vqa.same_text(golds, text)


MAX_LINE_CHARS = 400
"""Maximum length of a reply that is tried as a whole."""


def _read_statement(reply: Reply) -> Reading | None:
    """Read the stated answer; if there is no explicit statement, the last line of the reply counts."""
    truncated = reply.stop == "length"
    reading = extract.stated_text(reply.text, truncated=truncated)
    if reading is None or reading.form != "whole" or "\n" not in reading.value[0]:
        return reading
    begin = reply.text.rstrip().rfind("\n") + 1
    last = extract.stated_text(reply.text[begin:], truncated=truncated)
    return last and last._replace(form="last line", begin=last.begin + begin, end=last.end + begin)


def _single_line(reply: Reply) -> str:
    """Return a complete reply that is a single short line; empty for any other reply."""
    text = extract.split_reasoning(reply.text)[0].strip()
    is_single_line = reply.stop == "stop" and len(text) <= MAX_LINE_CHARS and "\n" not in text
    return text if is_single_line else ""
