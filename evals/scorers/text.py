"""Compare texts with a reference text: BLEU, ROUGE and METEOR for captions, edit distance for strings.

Corpus BLEU is not a mean of sentence scores. The n-gram counts of each reply are therefore stored in `Score.parts`, and
`CorpusBleu` sums them, which is exact for any grouping or resample and needs no texts. ROUGE comes from rouge-score (no
stemming), METEOR from nltk. METEOR's synonym stage needs WordNet (`evals data wordnet` installs it from Debian's
`wordnet-base` and `wordnet-sense-index`, `python -m nltk.downloader wordnet` downloads it); without WordNet, METEOR has
only its other two stages and is called `meteor_without_synonyms`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import exp, log
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from evals.errors import UsageError, install_command
from evals.extract.visible import split_reasoning
from evals.scorers.outcomes import no_stated_answer
from evals.types import Point, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_NGRAM = 4
"""Longest n-gram of BLEU."""
MAX_TOKENS = 2_000
"""Maximum number of tokens of a text that are compared; upstream truncates at 512."""
TokenKind: TypeAlias = Literal["words", "blanks", "characters"]
"""`words`: the tokens of BERT's basic tokenizer; `blanks`: the strings between white space; `characters`: every character."""

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")


def bert_words(text: str) -> list[str]:
    """Return the tokens of BERT's basic tokenizer: lower case, every punctuation mark a separate token."""
    return _WORD.findall(text.lower())


def tokenize(text: str, tokens: TokenKind) -> list[str]:
    """Split a text into at most `MAX_TOKENS` tokens, or five times as many characters."""
    if tokens == "characters":
        return list(text[: MAX_TOKENS * 5])
    text = text[: MAX_TOKENS * 50]
    return (bert_words(text) if tokens == "words" else text.split())[:MAX_TOKENS]


def bleu_counts(answer: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """Return the clipped n-gram matches and the totals for n = 1 to 4, and the lengths of both texts (Papineni et al. 2002)."""
    parts = {"bleu_length": float(len(answer)), "bleu_reference": float(len(gold))}
    for n in range(1, MAX_NGRAM + 1):
        answer_ngrams = Counter(tuple(answer[i : i + n]) for i in range(len(answer) - n + 1))
        gold_ngrams = Counter(tuple(gold[i : i + n]) for i in range(len(gold) - n + 1))
        parts[f"bleu_match{n}"] = float((answer_ngrams & gold_ngrams).total())
        parts[f"bleu_total{n}"] = float(answer_ngrams.total())
    return parts


class CorpusBleu(Struct, frozen=True):
    """BLEU over all replies at once, with uniform weights for n-grams up to `order` and without smoothing.

    It equals sacrebleu's `smooth_method="none"` with one reference, and nltk's `corpus_bleu` if no text is empty. A
    missing outcome counts as the gold text (upper bound) or as a text of that length without a matching word (lower bound).
    """

    order: int = 4
    count_empty: bool = True
    """Whether a reply without text counts as a text of length 0 instead of being excluded."""
    tokens: TokenKind = "words"
    """How the gold answers for missing outcomes and empty replies are split into tokens."""

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the statistic; raises ValueError if no reply has text."""
        return self._bleu(self._sums(points))

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[NDArray[np.intp]], float]:
        """Return a function from the indices of resampled clusters to the statistic."""
        import numpy as np

        sums = np.array([self._sums(points) for points in clusters])
        return lambda indices: self._bleu((np.bincount(indices, minlength=len(sums)) @ sums).tolist())

    def _sums(self, points: Sequence[Point]) -> list[float]:
        """Return the number of replies and the sums of their lengths, reference lengths, matches by n and totals by n."""
        counts = [reply_counts for point in points if (reply_counts := self._reply_counts(point))]
        return [sum(column) for column in zip(*counts, strict=True)] or [0.0] * (3 + 2 * self.order)

    def _reply_counts(self, point: Point) -> list[float] | None:
        """Return one reply's contribution to `_sums`; None if an empty reply is excluded."""
        parts = point.parts
        if "bleu_length" not in parts:
            if point.verdict != "missing" and not self.count_empty:
                return None
            parts = _substitute_counts(str(point.target).strip(), point, self.tokens)
        orders = range(1, self.order + 1)
        matches, totals = ([parts[f"bleu_{kind}{n}"] for n in orders] for kind in ("match", "total"))
        return [1.0, parts["bleu_length"], parts["bleu_reference"], *matches, *totals]

    def _bleu(self, sums: Sequence[float]) -> float:
        count, length, reference_length, *counts = sums
        if not count:
            raise ValueError("no reply contains text")
        matches, totals = counts[: self.order], counts[self.order :]
        if not all(matches):
            return 0.0
        log_precision = sum(log(m / t) for m, t in zip(matches, totals, strict=True)) / self.order
        return exp(log_precision + min(0.0, 1 - reference_length / length))


def _substitute_counts(gold: str, point: Point, tokens: TokenKind) -> dict[str, float]:
    """Return the counts of a reply without text, or those at the bound that replaces a missing reply."""
    reference = tokenize(gold, tokens)
    if point.verdict != "missing":
        return bleu_counts((), reference)
    return bleu_counts(reference if point.value else [""] * len(reference), reference)


@lru_cache(1)
def _rouge_scorer() -> Any:
    try:
        from rouge_score import rouge_scorer
    except ImportError:
        raise _missing_packages_error() from None
    return rouge_scorer.RougeScorer(["rouge1", "rouge2"])


def rouge(answer: str, gold: str) -> dict[str, float]:
    """Return the F-measures of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004)."""
    from rouge_score.tokenize import tokenize

    answer = answer[: MAX_TOKENS * 20]
    scores = _rouge_scorer().score(gold, answer)
    answer_tokens, gold_tokens = tokenize(answer, None), tokenize(gold, None)
    shared = common_subsequence_length(answer_tokens, gold_tokens)
    return {
        "rouge_1": float(scores["rouge1"].fmeasure),
        "rouge_2": float(scores["rouge2"].fmeasure),
        "rouge_l": _f_measure(shared / len(answer_tokens), shared / len(gold_tokens)) if shared else 0.0,
    }


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance of two texts in characters."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
    return row[-1]


def _f_measure(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def common_subsequence_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by Hyyrö's bit-parallel algorithm (2004)."""
    positions: dict[str, int] = {}
    for position, token in enumerate(a):
        positions[token] = positions.get(token, 0) | 1 << position
    all_bits = (1 << len(a)) - 1
    row = all_bits
    for token in b:
        matches = row & positions.get(token, 0)
        row = (row + matches | row - matches) & all_bits
    return len(a) - row.bit_count()


def _missing_packages_error() -> UsageError:
    return UsageError(f"scoring texts needs nltk and rouge-score: {install_command('chemistry')}")


class _Lemma(NamedTuple):
    """A lemma with the interface that nltk's METEOR expects."""

    text: str

    def name(self) -> str:
        return self.text


class _Synset(NamedTuple):
    """All of a word's synonyms in WordNet, as one synset."""

    words: tuple[_Lemma, ...]

    def lemmas(self) -> tuple[_Lemma, ...]:
        return self.words


class _CachedWordNet:
    """WordNet for METEOR with cached look-ups; nltk itself caches none."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.synsets = lru_cache(100_000)(self._synsets)

    def _synsets(self, word: str) -> list[_Synset]:
        synonyms = {lemma.name(): None for synset in self._reader.synsets(word) for lemma in synset.lemmas()}
        return [_Synset(tuple(map(_Lemma, synonyms)))]


class _NoSynonyms:
    """A stand-in for WordNet that contains no words."""

    def synsets(self, word: str) -> list[Any]:
        return []


@lru_cache(1)
def wordnet() -> Any:
    """Return WordNet with the interface that METEOR expects, or None if its data is not installed."""
    try:
        from nltk.corpus import wordnet as reader
    except ImportError:
        raise _missing_packages_error() from None
    try:
        reader.ensure_loaded()
    except LookupError:
        return None
    return _CachedWordNet(reader)


@lru_cache(1)
def synonyms_available() -> bool:
    """Return whether METEOR's synonym stage is available: whether WordNet's files exist, without reading them."""
    try:
        from nltk.data import find
    except ImportError:
        return False
    for resource in ("corpora/wordnet.zip", "corpora/wordnet"):
        try:
            find(resource)
        except LookupError:
            continue
        return True
    return False


def meteor(answer: Sequence[str], gold: Sequence[str], *, synonyms: bool) -> float:
    """Return METEOR for two lists of tokens with nltk's parameters (alpha 0.9, beta 3, gamma 0.5).

    nltk's synonym stage looks up stems: "automobile" (stem "automobil") has no synonyms. Raises UsageError if `synonyms` are
    requested and WordNet is not installed.
    """
    try:
        from nltk.translate.meteor_score import meteor_score
    except ImportError:
        raise _missing_packages_error() from None
    reader = wordnet() if synonyms else _NoSynonyms()
    if reader is None:
        raise UsageError("METEOR with synonyms needs WordNet: `evals data wordnet`")
    return float(meteor_score([list(gold)], list(answer), stemmer=_stemmer(), wordnet=reader))


class _Stemmer:
    """Porter's stemmer with a cache of stems."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = lru_cache(50_000)(PorterStemmer().stem)


@lru_cache(1)
def _stemmer() -> _Stemmer:
    return _Stemmer()


class Caption(Struct, frozen=True):
    """Scores a description by `headline`, 0 to 1; all metrics are in the parts.

    Parts: `meteor` (or `meteor_without_synonyms`), `rouge_1`, `rouge_2`, `rouge_l` and the counts `bleu_*`. A description
    with the tokens of the gold text has the value 1 and the verdict `right`, although its METEOR is slightly below 1.
    """

    headline: str = "rouge_l"
    tokens: TokenKind = "words"
    synonyms: bool = False
    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import nltk and read WordNet."""
        _rouge_scorer()
        if self.synonyms:
            wordnet()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = "" if reply.stop == "filter" else split_reasoning(reply.text)[0].strip()
        answer = tokenize(text, self.tokens)
        if not answer:
            return no_stated_answer(reply, "no text")
        gold = str(sample.target).strip()
        reference = tokenize(gold, self.tokens)
        name = "meteor" if self.synonyms else "meteor_without_synonyms"
        parts = {name: meteor(answer, reference, synonyms=self.synonyms), **rouge(text, gold)}
        parts |= bleu_counts(answer, reference)
        is_same = answer == reference
        return Score(
            value=1.0 if is_same else parts[name if self.headline == "meteor" else self.headline],
            verdict="right" if is_same else "graded",
            answer=text[:500],
            parts=parts,
        )
