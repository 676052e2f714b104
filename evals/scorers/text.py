"""Texts beside a reference text: BLEU, ROUGE, METEOR for captions, edit distance for strings.

Corpus BLEU is not a mean of sentence scores, so each reply keeps its n-gram counts in `Score.parts`, and
`CorpusBleu` sums them: exact under regrouping and bootstrap, and no text is needed again. ROUGE comes from
rouge-score (no stemming), METEOR from nltk. METEOR's synonym stage needs WordNet (`evals data wordnet` lays out
what Debian's `wordnet-base` and `wordnet-sense-index` install; `python -m nltk.downloader wordnet` fetches it); without it the other two stages are scored and the number gets another name, `meteor_without_synonyms`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import exp, log
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from evals.errors import UsageError, install
from evals.extract.visible import split_reasoning
from evals.scorers.choice import unanswered
from evals.types import Point, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ORDERS = 4
"""Longest n-gram of BLEU."""
LONGEST = 2_000
"""Tokens of a reply that are scored; upstream cuts at 512."""
Tokens: TypeAlias = Literal["words", "blanks", "characters"]

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")


def words(text: str) -> list[str]:
    """Split as BERT's basic tokenizer does: lower case, every punctuation mark a token of its own."""
    return _WORD.findall(text.lower())


def split(text: str, tokens: Tokens) -> list[str]:
    """Split a text into at most `LONGEST` tokens, five times as many characters; `blanks` as `str.split`."""
    if tokens == "characters":
        return list(text[: LONGEST * 5])
    text = text[: LONGEST * 50]
    return (words(text) if tokens == "words" else text.split())[:LONGEST]


def bleu_counts(answer: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """Clipped n-gram matches and totals for n = 1 to 4, and both lengths (Papineni et al. 2002)."""
    parts = {"bleu_length": float(len(answer)), "bleu_reference": float(len(gold))}
    for n in range(1, ORDERS + 1):
        mine = Counter(tuple(answer[i : i + n]) for i in range(len(answer) - n + 1))
        theirs = Counter(tuple(gold[i : i + n]) for i in range(len(gold) - n + 1))
        parts[f"bleu_match{n}"] = float((mine & theirs).total())
        parts[f"bleu_total{n}"] = float(mine.total())
    return parts


class CorpusBleu(Struct, frozen=True):
    """BLEU over all replies at once, uniform weights up to `order`, no smoothing.

    As sacrebleu's `smooth_method="none"` computes it with one reference, and nltk's `corpus_bleu` where no text is
    empty. A missing outcome is at its best the gold text, at its worst a text of that length without a word of it.
    """

    order: int = 4
    silence: bool = True
    """Whether a reply without text counts, as one of length 0; else it is left out."""
    tokens: Tokens = "words"
    """Of the gold answers that replace missing outcomes."""

    def __call__(self, points: Sequence[Point]) -> float:
        """Reduce; raises ValueError if no reply has text."""
        return self._of(self._sums(points))

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[NDArray[np.intp]], float]:
        """Return the statistic of a resample of clusters, taken by their indices."""
        import numpy as np

        sums = np.array([self._sums(points) for points in clusters])
        return lambda indices: self._of((np.bincount(indices, minlength=len(sums)) @ sums).tolist())

    def _sums(self, points: Sequence[Point]) -> list[float]:
        """Replies counted, their length and their references', matches and totals by n."""
        rows = [row for point in points if (row := self._row(point))]
        return [sum(column) for column in zip(*rows, strict=True)] or [0.0] * (3 + 2 * self.order)

    def _row(self, point: Point) -> list[float] | None:
        parts = point.parts
        if "bleu_length" not in parts:
            if point.verdict != "missing" and not self.silence:
                return None
            parts = _unscored(str(point.target).strip(), point, self.tokens)
        orders = range(1, self.order + 1)
        match, total = ([parts[f"bleu_{what}{n}"] for n in orders] for what in ("match", "total"))
        return [1.0, parts["bleu_length"], parts["bleu_reference"], *match, *total]

    def _of(self, sums: Sequence[float]) -> float:
        count, length, reference, *rest = sums
        if not count:
            raise ValueError("no reply holds a text")
        match, total = rest[: self.order], rest[self.order :]
        if not all(match):
            return 0.0
        precision = sum(log(m / t) for m, t in zip(match, total, strict=True)) / self.order
        return exp(precision + min(0.0, 1 - reference / length))


def _unscored(gold: str, point: Point, tokens: Tokens) -> dict[str, float]:
    """Count a reply without text, or the substitute for a missing one."""
    reference = split(gold, tokens)
    if point.verdict != "missing":
        return bleu_counts((), reference)
    return bleu_counts(reference if point.value else [""] * len(reference), reference)


@lru_cache(1)
def _rouge() -> Any:
    try:
        from rouge_score import rouge_scorer
    except ImportError:
        raise _absent() from None
    return rouge_scorer.RougeScorer(["rouge1", "rouge2"])


def rouge(answer: str, gold: str) -> dict[str, float]:
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004)."""
    from rouge_score.tokenize import tokenize

    answer = answer[: LONGEST * 20]
    scores = _rouge().score(gold, answer)
    stated, wanted = tokenize(answer, None), tokenize(gold, None)
    shared = common_subsequence(stated, wanted)
    return {
        "rouge_1": float(scores["rouge1"].fmeasure),
        "rouge_2": float(scores["rouge2"].fmeasure),
        "rouge_l": _f_measure(shared / len(stated), shared / len(wanted)) if shared else 0.0,
    }


def distance(one: str, other: str) -> int:
    """Return Levenshtein's distance: the edits of single characters that turn one text into the other."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
    return row[-1]


def _f_measure(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, in parallel over the bits of one integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(a)) - 1
    row = every
    for token in b:
        matches = row & places.get(token, 0)
        row = (row + matches | row - matches) & every
    return len(a) - row.bit_count()


def _absent() -> UsageError:
    return UsageError(f"judging texts needs nltk and rouge-score: {install('chemistry')}")


class _Lemma(NamedTuple):
    """A word as nltk's METEOR asks for it."""

    text: str

    def name(self) -> str:
        """Return the word."""
        return self.text


class _Synset(NamedTuple):
    """All that WordNet has beside a word, as one set of synonyms."""

    words: tuple[_Lemma, ...]

    def lemmas(self) -> tuple[_Lemma, ...]:
        """Return the words."""
        return self.words


class _Remembered:
    """WordNet for METEOR with cached look-ups; nltk looks a word up every time."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.synsets = lru_cache(100_000)(self._synsets)

    def _synsets(self, word: str) -> list[_Synset]:
        names = {lemma.name(): None for synset in self._reader.synsets(word) for lemma in synset.lemmas()}
        return [_Synset(tuple(map(_Lemma, names)))]


class _NoSynonyms:
    """A replacement for WordNet that knows no words."""

    def synsets(self, word: str) -> list[Any]:
        """Find nothing."""
        return []


@lru_cache(1)
def wordnet() -> Any:
    """Return WordNet as METEOR asks for it, loaded, or None if its data is not installed."""
    try:
        from nltk.corpus import wordnet as reader
    except ImportError:
        raise _absent() from None
    try:
        reader.ensure_loaded()
    except LookupError:
        return None
    return _Remembered(reader)


@lru_cache(1)
def synonyms() -> bool:
    """Return whether METEOR's synonym stage is available: WordNet's files exist (they are not read)."""
    try:
        from nltk.data import find
    except ImportError:
        return False
    for place in ("corpora/wordnet.zip", "corpora/wordnet"):
        try:
            find(place)
        except LookupError:
            continue
        return True
    return False


def meteor(answer: Sequence[str], gold: Sequence[str], *, synonyms: bool) -> float:
    """METEOR with nltk's parameters (alpha 0.9, beta 3, gamma 0.5) on tokens.

    In nltk the synonym stage sees what the stemmer left, so "automobile" (stem "automobil") has no synonyms.
    Raises UsageError if `synonyms` are asked for and WordNet is absent.
    """
    try:
        from nltk.translate.meteor_score import meteor_score
    except ImportError:
        raise _absent() from None
    reader = wordnet() if synonyms else _NoSynonyms()
    if reader is None:
        raise UsageError("METEOR with synonyms needs WordNet: `evals data wordnet`")
    return float(meteor_score([list(gold)], list(answer), stemmer=_stemmer(), wordnet=reader))


class _Stemmer:
    """Porter's stemmer, which keeps the stems of words seen before."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = lru_cache(50_000)(PorterStemmer().stem)


@lru_cache(1)
def _stemmer() -> _Stemmer:
    return _Stemmer()


class Caption(Struct, frozen=True):
    """Scores a description by `headline`, 0 to 1; all other values are in the parts.

    Parts: `meteor` (or `meteor_without_synonyms`), `rouge_1`, `rouge_2`, `rouge_l`, `bleu_*` counts. The
    value of a text that equals a gold text is 1 and its verdict `right`; METEOR itself is a little less then.
    """

    headline: str = "rouge_l"
    tokens: Tokens = "words"
    synonyms: bool = False
    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import nltk and read WordNet."""
        _rouge()
        if self.synonyms:
            wordnet()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        text = "" if reply.stop == "filter" else split_reasoning(reply.text)[0].strip()
        answer = split(text, self.tokens)
        if not answer:
            return unanswered(reply, "no text")
        gold = str(sample.target).strip()
        reference = split(gold, self.tokens)
        name = "meteor" if self.synonyms else "meteor_without_synonyms"
        parts = {name: meteor(answer, reference, synonyms=self.synonyms), **rouge(text, gold)}
        parts |= bleu_counts(answer, reference)
        same = answer == reference
        return Score(
            value=1.0 if same else parts[name if self.headline == "meteor" else self.headline],
            verdict="right" if same else "graded",
            answer=text[:500],
            parts=parts,
        )
