"""Short answers about images as VLMEvalKit scores them (@ e8e78f05, dataset/utils/vqa_eval.py and dataset/image_vqa.py).

All three rules compare the **whole reply**, so a sentence with the right answer is wrong. OptMerge's tables (arXiv
2505.19892) were made with VLMEvalKit 0.2rc1, which has the same rules: their scores near zero are mostly format errors.

* `VqaScore` (TextVQA, VizWiz): the mean over the ten annotators of min(1, number of other agreeing annotators / 3), after
  normalisation. An answer that fewer than four annotators gave therefore never scores 1.
* `WholeReply` (GQA, OCRVQA): equality up to case and surrounding white space; the best of several gold answers.
* `Anls` (DocVQA, InfoVQA): 1 - edits / length of the longer text, the best of several gold answers, 0 below one half. The
  edits are counted after white space is collapsed, the length before, so spaces raise the score.

Known defects of the normalisation, kept: whether a punctuation mark is removed or replaced by a space depends on the whole
text (a comma between digits anywhere removes all marks); only the first 32 full stops are removed; "none" is 0; gold answers
that consist of an article become empty, so an empty reply agrees with them (it gets their value and the verdict
`unanswered`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from msgspec import Struct

from evals.scorers.outcomes import no_answer, partial_score
from evals.scorers.text import edit_distance
from evals.types import Prompt, Reply, Sample, Score

Rule: TypeAlias = Callable[[Sequence[str], str], float]
"""(gold answers, stated answer) -> value from 0 to 1."""
MAX_CHARS = 20_000
"""Maximum length of a reply; a longer one is wrong."""
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"(?<!\d)\.(?!\d)")
_MAX_FULL_STOPS = 32
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = {"none": "0"} | {
    word: str(number)
    for number, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))
}  # fmt: skip
_SINGLE_CONTRACTIONS = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't it'd "
    "it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't somebody'll "
    "somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd they'll "
    "they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd "
    "who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've"
)
_DOUBLE_CONTRACTIONS = (
    "couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've someone'd've "
    "something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've"
)


def _without_one_apostrophe(word: str) -> list[str]:
    """Return the misspellings of a word in which one of its apostrophes is missing."""
    return [word[:position] + word[position + 1 :] for position, letter in enumerate(word) if letter == "'"]


_CONTRACTIONS = (
    {word.replace("'", ""): word for word in _SINGLE_CONTRACTIONS.split()}
    | {misspelt: word for word in _DOUBLE_CONTRACTIONS.split() for misspelt in _without_one_apostrophe(word)}
    | {"somebody'd": "somebodyd"}  # as in upstream's table
)


def normalise_answer(text: str) -> str:
    """Return a text as upstream compares it: in lower case, without punctuation and articles, with digits for number words."""
    text = text.replace("\n", " ").replace("\t", " ").strip()
    removes_all = _COMMA_IN_NUMBER.search(text) is not None
    cleaned = text
    for mark in _PUNCTUATION:
        is_removed = removes_all or f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if is_removed else " ")
    cleaned = _FULL_STOP.sub("", cleaned, count=_MAX_FULL_STOPS)
    words = (_NUMBERS.get(word, word) for word in cleaned.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_score(golds: Sequence[str], stated: str) -> float:
    """Return the mean over annotators of min(1, number of other annotators who agree with the answer / 3)."""
    answer = normalise_answer(stated)
    agreements = [normalise_answer(gold) == answer for gold in golds]
    total = sum(agreements)
    return sum(min(1.0, (total - agrees) / 3) for agrees in agreements) / len(golds)


def same_text(golds: Sequence[str], stated: str) -> float:
    """Return 1 if the reply equals a gold answer up to case and surrounding white space, else 0."""
    return float(stated.strip().lower() in {gold.strip().lower() for gold in golds})


def anls(golds: Sequence[str], stated: str) -> float:
    """Return the best normalised similarity to a gold answer; 0 if it is below one half."""
    best = max(_similarity(gold, stated) for gold in golds)
    return best if best >= 0.5 else 0.0


def _similarity(gold: str, stated: str) -> float:
    """Return 1 - edits / length of the longer text; a value below one half may be a bound from the lengths alone."""
    length = max(len(gold.upper()), len(stated.upper()))
    first, second = (" ".join(text.strip().lower().split()) for text in (gold, stated))
    if not length:
        return 1.0
    if (minimum_distance := abs(len(first) - len(second)) / length) > 0.5:
        return 1.0 - minimum_distance
    return 1.0 - edit_distance(second, first) / length


class _WholeReplyScorer(Struct, frozen=True):
    rule: ClassVar[Rule]

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        if reply.stop == "filter":
            return Score(value=0.0, verdict="refused", why="stopped by a content filter")
        if len(reply.text) > MAX_CHARS:
            return Score(value=0.0, verdict="wrong", why=f"longer than {MAX_CHARS} characters")
        value, text = type(self).rule(sample.targets, reply.text), reply.text.strip()
        if not text:
            return no_answer(reply, "no text", value=value, suspect=value > 0)
        return partial_score(value, answer=text[:200])


class VqaScore(_WholeReplyScorer, frozen=True):
    """Scores a whole reply by its agreement with the annotators."""

    rule: ClassVar[Rule] = vqa_score


class WholeReply(_WholeReplyScorer, frozen=True):
    """Scores 1 if the whole reply equals a gold answer, ignoring case and surrounding white space."""

    rule: ClassVar[Rule] = same_text


class Anls(_WholeReplyScorer, frozen=True):
    """Scores a whole reply by its edit distance from a gold answer."""

    rule: ClassVar[Rule] = anls
