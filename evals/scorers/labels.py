"""Score class labels such as yes and no, and compute the metrics of a binary classifier.

Every metric except `roc_auc` depends only on the label. `roc_auc` needs a score (a stated probability) with each label;
otherwise it raises ValueError and is not reported. The area under the ROC curve of hard labels, often reported as ROC-AUC,
is called `rocauc_thresholded`; it equals the balanced accuracy. A reply without a label counts as the wrong label in every
metric except `mcc_with_silence`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from evals.extract.probability import probability
from evals.extract.reading import Reading
from evals.scorers.folds import INTERVAL_RULES, ByGroup, Pooled, Reduction
from evals.scorers.outcomes import binary_score, no_stated_answer, with_reading
from evals.scorers.run_intervals import (
    Columns,
    balanced_accuracy_interval,
    no_limits_if_class_is_small,
    roc_auc_interval,
    stated_or_implied_scores,
)
from evals.types import Metric, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    from evals.scorers.folds import Floats

LabelReader = Callable[[str], Reading | None]
"""Reply -> label with its position, or None."""


class Label(Struct, frozen=True):
    """Scores 1 for the right label, else 0; the part `score` is the probability of the positive label, if stated."""

    read: LabelReader

    def __repr__(self) -> str:
        return f"Label({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the target is the label's text."""
        reading = None if reply.stop == "filter" else self.read(reply.text)
        if reading is None:
            return no_stated_answer(reply, "no label stated")
        label = str(reading.value)
        stated = probability(reply.text, answer_is_no=label == "no")
        right = label == sample.target
        score = binary_score(
            right=right,
            answer=label,
            why="" if right else f"stated {label}",
            parts={} if stated is None else {"score": stated},
        )
        return with_reading(reading, score)


class Confusion(NamedTuple):
    """The confusion matrix of a binary classifier."""

    true_positive: float
    false_positive: float
    true_negative: float
    false_negative: float


def confusion(columns: Columns, weights: Floats) -> Confusion:
    """Return the weighted confusion matrix; raises ValueError if all weights are 0."""
    if not weights.sum():
        raise ValueError("at least one value is needed")
    right, positive = columns.value == 1.0, columns.positive
    return Confusion(
        true_positive=float(weights[positive & right].sum()),
        false_positive=float(weights[~positive & ~right].sum()),
        true_negative=float(weights[~positive & right].sum()),
        false_negative=float(weights[positive & ~right].sum()),
    )


def accuracy_of(columns: Columns, weights: Floats) -> float:
    """Return the share of right labels."""
    tp, fp, tn, fn = confusion(columns, weights)
    return (tp + tn) / (tp + fp + tn + fn)


def balanced_accuracy_of(columns: Columns, weights: Floats) -> float:
    """Return the mean of the two recalls; raises ValueError if a class is absent from the targets."""
    tp, fp, tn, fn = confusion(columns, weights)
    if not tp + fn or not tn + fp:
        raise ValueError("the targets contain only one class")
    return (tp / (tp + fn) + tn / (tn + fp)) / 2


def f1_of(columns: Columns, weights: Floats) -> float:
    """Return the F1 of the positive label; raises ValueError if it is neither a target nor a prediction."""
    tp, fp, _, fn = confusion(columns, weights)
    if not tp + fp + fn:
        raise ValueError("no positive target and no positive prediction")
    return 2 * tp / (2 * tp + fp + fn)


def mcc_of(columns: Columns, weights: Floats) -> float:
    """Return Matthews' correlation coefficient (1975); 0, its limit, if a marginal total is 0."""
    tp, fp, tn, fn = confusion(columns, weights)
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / sqrt(product) if product else 0.0


def mcc_with_silence_of(columns: Columns, weights: Floats) -> float:
    """Return the correlation for three classes (Gorodkin 2004), with "no answer" as a third class that is never right.

    Unlike in `mcc_of`, a missing answer does not count as the opposite label: a run without any answer scores 0, not -1.
    The value is 0 if all replies, or all targets, are in one class.
    """
    if not weights.sum():
        raise ValueError("at least one value is needed")
    answered, positive = columns.answered, columns.positive
    right = answered & (columns.value == 1.0)
    stated_yes = answered & (right == positive)
    total = float(weights.sum())
    stated = [float(weights[mask].sum()) for mask in (stated_yes, answered & ~stated_yes, ~answered)]
    gold = [float(weights[positive].sum()), float(weights[~positive].sum()), 0.0]
    numerator = float(weights[right].sum()) * total - sum(s * g for s, g in zip(stated, gold, strict=True))
    squared_denominator = (total**2 - sum(s * s for s in stated)) * (total**2 - sum(g * g for g in gold))
    return numerator / sqrt(squared_denominator) if squared_denominator > 0 else 0.0


def roc_auc_of(columns: Columns, weights: Floats) -> float:
    """Return the area under the ROC curve of the stated scores (Mann-Whitney; ties count half).

    A reply without a label gets the worst score for its target. Raises ValueError if an answered reply has no score, or the
    targets contain only one class.
    """
    import numpy as np

    if not weights.sum():
        raise ValueError("at least one value is needed")
    positive, score = columns.positive, stated_or_implied_scores(columns)
    if np.isnan(score).any():
        raise ValueError("ROC-AUC needs a score for each reply; some replies have only a label")
    levels, level_indices = np.unique(score, return_inverse=True)
    positive_weights = np.bincount(level_indices, weights=weights * positive, minlength=len(levels))
    negative_weights = np.bincount(level_indices, weights=weights * ~positive, minlength=len(levels))
    pairs = positive_weights.sum() * negative_weights.sum()
    if not pairs:
        raise ValueError("the targets contain only one class")
    return float((positive_weights * (np.cumsum(negative_weights) - negative_weights / 2)).sum() / pairs)


INTERVAL_RULES[balanced_accuracy_of] = balanced_accuracy_interval
INTERVAL_RULES[roc_auc_of] = roc_auc_interval
INTERVAL_RULES.update(dict.fromkeys((f1_of, mcc_of, mcc_with_silence_of), no_limits_if_class_is_small))
accuracy, balanced_accuracy = Pooled(accuracy_of), Pooled(balanced_accuracy_of)
f1, mcc, roc_auc = Pooled(f1_of), Pooled(mcc_of), Pooled(roc_auc_of)
mcc_with_silence = Pooled(mcc_with_silence_of)


def classification(*, headline: str = "balanced_accuracy") -> tuple[Metric, ...]:
    """Return the metrics of a binary classifier, averaged over groups (folds)."""
    reductions: dict[str, Reduction] = {
        "roc_auc": roc_auc_of,
        "rocauc_thresholded": balanced_accuracy_of,
        "accuracy": accuracy_of,
        "balanced_accuracy": balanced_accuracy_of,
        "f1": f1_of,
        "mcc": mcc_of,
    }
    if headline not in reductions:
        raise ValueError(f"{headline=} is not one of {', '.join(reductions)}")
    return tuple(
        Metric(
            name=name,
            of=ByGroup(reduction),
            pool="whole",
            headline=name == headline,
            unit="correlation" if name == "mcc" else "fraction",
        )
        for name, reduction in reductions.items()
    )
