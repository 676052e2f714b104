"""Agreement of a judge with a rule or with people, and scores corrected for the judge's errors.

Rogan-Gladen 1978 (doi 10.1093/oxfordjournals.aje.a112510); prediction-powered inference with a tuned weight
(Angelopoulos et al., arXiv 2301.09633 and 2311.01453).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

from msgspec import Struct

from evals.errors import UsageError
from evals.report import statistics as stats
from evals.types import Score

MIN_YOUDEN_INDEX = 0.05
"""Smallest TPR + TNR - 1 of a judge whose errors `rogan_gladen` corrects; a smaller divisor makes the result meaningless."""
KAPPA_RESAMPLES = 400


class RatedPair(Struct, frozen=True):
    """Two verdicts on whether one reply is right."""

    reference: bool
    """Verdict of the rule or of a person."""
    judge: bool
    weight: float = 1.0
    """Number of replies that the pair represents."""
    item: str = ""
    """The item that the reply belongs to: replies to one item are not independent; empty: an item of its own."""


class Agreement(Struct, frozen=True, kw_only=True):
    """Agreement of a judge with a rule or a person. Rates are (value, low, high) with a 95 % interval; None without replies."""

    n: int
    kappa: tuple[float, float | None, float | None] | None
    """Cohen's kappa; None if it is undefined."""
    wrongly_right: tuple[float, float, float] | None
    """Share of right verdicts by the judge among the replies that the other rater calls wrong."""
    wrongly_wrong: tuple[float, float, float] | None
    """Share of wrong verdicts by the judge among the replies that the other rater calls right."""


def kappa(pairs: Sequence[RatedPair]) -> float:
    """Return Cohen's kappa of weighted pairs; raises ValueError if it is undefined."""
    total = sum(p.weight for p in pairs)
    if not total:
        raise ValueError("no pairs")
    observed = sum(p.weight for p in pairs if p.reference == p.judge) / total
    reference_rate = sum(p.weight for p in pairs if p.reference) / total
    judge_rate = sum(p.weight for p in pairs if p.judge) / total
    chance = reference_rate * judge_rate + (1 - reference_rate) * (1 - judge_rate)
    if chance >= 1:
        raise ValueError("all verdicts are the same")
    return (observed - chance) / (1 - chance)


def agreement(pairs: Sequence[RatedPair]) -> Agreement:
    """Return the agreement of a judge with another rater."""
    by_item: dict[str, list[RatedPair]] = {}
    for pair, item in zip(pairs, _items_of(pairs), strict=True):
        by_item.setdefault(item, []).append(pair)
    clusters = list(by_item.values())
    try:
        interval = stats.bootstrap(
            len(clusters),
            lambda i: kappa([p for k in i for p in clusters[k]]),
            seed=0,
            resamples=KAPPA_RESAMPLES,
        )
        kappa_interval = (interval.value, interval.low, interval.high)
    except ValueError:
        kappa_interval = None
    return Agreement(
        n=len(pairs),
        kappa=kappa_interval,
        wrongly_right=_error_rate([p for p in pairs if not p.reference]),
        wrongly_wrong=_error_rate([p for p in pairs if p.reference]),
    )


def _items_of(pairs: Sequence[RatedPair]) -> list[str]:
    """Return the item of each pair; one of its own (with a name that no file can state) if it states none."""
    return [pair.item or f"\x00{n}" for n, pair in enumerate(pairs)]


def _error_rate(pairs: Sequence[RatedPair]) -> tuple[float, float, float] | None:
    """Return the share of pairs whose verdicts differ."""
    if not pairs:
        return None
    errors, items = [p.judge != p.reference for p in pairs], _items_of(pairs)
    if len(set(items)) == len(items):
        interval = stats.wilson(sum(errors), len(errors))
    else:
        interval = stats.clustered_mean(errors, items, bounds=(0.0, 1.0))
    return interval.value, interval.low or 0.0, interval.high if interval.high is not None else 1.0


def rated_pairs(scores: Iterable[Score], *, audit: float) -> list[RatedPair]:
    """Return the verdicts of rule and judge on each reply that has both.

    Of the replies that the rule calls right, the judge saw only the share `audit`, so their weight is 1 / `audit`.
    """
    verdicts = [
        (score.parts["rule"] == 1.0, score.parts["judge"] == 1.0)
        for score in scores
        if "rule" in score.parts and "judge" in score.parts
    ]
    return [RatedPair(rule, judge, 1 / audit if rule else 1.0) for rule, judge in verdicts]


class CorrectedShare(Struct, frozen=True, kw_only=True):
    """A share of right answers, corrected for the judge's known errors."""

    value: float
    low: float
    high: float
    method: str


def rogan_gladen(
    verdicts: Sequence[bool], labels: Sequence[RatedPair], *, items: Sequence[str] | None = None
) -> CorrectedShare:
    """Return a judge's share of right verdicts, corrected by its error rates on an independent labelled set.

    (p + TNR - 1) / (TPR + TNR - 1), delta method over the three shares; `items`: the item of each verdict. Raises
    UsageError if the judge is barely better than chance, or if there are no verdicts, no replies labelled right or none
    labelled wrong.
    """
    right, wrong = ([p for p in labels if p.reference == label] for label in (True, False))
    if not right or not wrong or not verdicts:
        raise UsageError(
            "Rogan-Gladen needs verdicts, and replies labelled right as well as replies labelled wrong"
        )
    p, tpr = sum(verdicts) / len(verdicts), sum(pair.judge for pair in right) / len(right)
    tnr = 1 - sum(pair.judge for pair in wrong) / len(wrong)
    youden_index = tpr + tnr - 1
    if youden_index <= MIN_YOUDEN_INDEX:
        raise UsageError(
            f"the judge distinguishes right from wrong barely better than chance (TPR + TNR - 1 = {youden_index:.2f})"
        )
    value = (p + tnr - 1) / youden_index
    variance_tpr, variance_tnr = (
        _variance_of_mean([float(pair.judge) for pair in pairs], _items_of(pairs)) for pairs in (right, wrong)
    )
    variance = (
        _variance_of_mean([float(verdict) for verdict in verdicts], items)
        + value**2 * variance_tpr
        + (1 - value) ** 2 * variance_tnr
    ) / youden_index**2
    return _clipped_interval(value, sqrt(variance), "Rogan-Gladen, delta method")


def _variance_of_mean(values: Sequence[float], items: Sequence[str] | None) -> float:
    """Return the variance of a share, of which only different items are independent; equal values count once per item."""
    share, count = sum(values) / len(values), len(values)
    if items is None or len(set(items)) == count:
        return _variance(share, count)
    if len(set(items)) == 1 or not 0 < share < 1:
        return _variance(share, len(set(items)))
    return max(_variance(share, count), stats.standard_error(values, items) ** 2)


def _variance(share: float, n: int) -> float:
    """Return the variance of a share with half an observation of each kind added, so that it is never 0."""
    smoothed = (share * n + 0.5) / (n + 1)
    return smoothed * (1 - smoothed) / n


def ppi(
    verdicts: Sequence[bool], labels: Sequence[RatedPair], *, items: Sequence[str] | None = None
) -> CorrectedShare:
    """Return the prediction-powered estimate of the share of right answers from labelled and unlabelled replies.

    theta = mean_N(lambda f) + mean_n(y - lambda f), where f is the judge's verdict and y the label; `verdicts` are those
    on the N unlabelled replies, and `items` their items. Raises UsageError if there are fewer than two replies of either
    kind, or if all are to one item.
    """
    import numpy as np

    n, unlabelled_count = len(labels), len(verdicts)
    clusters = [*_items_of(labels), *(items or (f"\x01{k}" for k in range(unlabelled_count)))]
    if n < 2 or unlabelled_count < 2 or len(set(clusters)) < 2:
        raise UsageError(
            "prediction-powered inference needs at least two labelled and two unlabelled replies"
        )
    y = np.array([p.reference for p in labels], dtype=float)
    f = np.array([p.judge for p in labels], dtype=float)
    unlabelled = np.array(verdicts, dtype=float)
    variance = float(np.concatenate([f, unlabelled]).var(ddof=1))
    weight = float(np.cov(y, f, ddof=1)[0, 1]) / ((1 + n / unlabelled_count) * variance) if variance else 0.0
    weight = min(1.0, max(0.0, weight))
    rectified = y - weight * f
    squared_error = (
        weight**2 * float(unlabelled.var(ddof=1)) / unlabelled_count + float(rectified.var(ddof=1)) / n
    )
    count = n + unlabelled_count
    if len(set(clusters)) < count:  # sum the influence of each item's replies
        centred = (
            (rectified - rectified.mean()) / n,
            weight * (unlabelled - unlabelled.mean()) / unlabelled_count,
        )
        squared_error = stats.cluster_variance(*stats.encode_labels(np.concatenate(centred), clusters))
    return _clipped_interval(
        weight * float(unlabelled.mean()) + float(rectified.mean()),
        sqrt(max(squared_error, _variance(float(y.mean()), count))),
        f"PPI++, lambda {weight:.2f}",
    )


def _clipped_interval(value: float, standard_error: float, method: str) -> CorrectedShare:
    z = stats.z_quantile(0.975)
    low, high = (
        min(1.0, max(0.0, bound)) for bound in (value - z * standard_error, value + z * standard_error)
    )
    return CorrectedShare(value=min(1.0, max(0.0, value)), low=low, high=high, method=method)
