"""Metrics for answers about molecules, shared by the suites of several benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from evals.report.metrics import mean_value
from evals.report.part_mean import PartMean
from evals.scorers import number, text
from evals.scorers.molecule import AtLeast
from evals.scorers.text import Caption, CorpusBleu, TokenKind
from evals.types import Metric, Point


def mean_metric(
    name: str, of: Callable[[Sequence[Point]], float] = mean_value, *, headline: bool = False
) -> Metric:
    """Return a metric that is a mean over replies."""
    return Metric(name=name, of=of, headline=headline)


def whole_run_metric(name: str, of: Callable[[Sequence[Point]], float], *, headline: bool = False) -> Metric:
    """Return a metric that is computed over all replies at once."""
    return Metric(name=name, of=of, pool="whole", headline=headline)


def error_metric(
    name: str, of: Callable[[Sequence[Point]], float], *, unit: str, headline: bool = False
) -> Metric:
    """Return an error metric in a unit: unbounded, the lower the better, and computed over all replies at once."""
    return Metric(name=name, of=of, pool="whole", unit=unit, better="lower", headline=headline, bounds=None)


ACCURACY = (mean_metric("accuracy", headline=True),)
VALIDITY = mean_metric("validity", PartMean("valid", 0.0))
SIMILARITIES = tuple(mean_metric(f"{name}_of_valid", PartMean(name)) for name in ("morgan", "rdk", "maccs"))


def structure_metrics(*, several: bool) -> tuple[Metric, ...]:
    """Return the metrics of `Molecule`: accuracy, the share of replies at or above each rung, skeleton, validity, similarities.

    With `several`, for answers that are sets of molecules, the F1 of the components is added.
    """
    rungs = ("canonical", "no_stereo", "parent", "tautomer")
    return (
        *ACCURACY,
        *([mean_metric("components_f1", PartMean("components", 0.0))] if several else []),
        *(mean_metric(f"same_{rung}", AtLeast(rung)) for rung in rungs),
        mean_metric("same_skeleton", PartMean("skeleton", 0.0)),
        VALIDITY,
        mean_metric("morgan", PartMean("morgan", 0.0)),
        *SIMILARITIES,
    )


def regression_metrics(unit: str, *, headline: str) -> tuple[Metric, ...]:
    """Return the MAE and the RMSE of the answered samples, and the share of answered samples."""
    return (
        error_metric("mae", number.mae_answered, unit=unit, headline=headline == "mae"),
        error_metric("rmse", number.rmse, unit=unit, headline=headline == "rmse"),
        mean_metric("answered", number.answered),
    )


def meteor_name() -> str:
    """Return METEOR's name, which states whether WordNet's synonyms are available."""
    return "meteor" if text.synonyms_available() else "meteor_without_synonyms"


def meteor_metrics() -> tuple[Metric, ...]:
    """Return METEOR as the only metric; a missing caption counts 0."""
    return (mean_metric(meteor_name(), PartMean(meteor_name(), 0.0), headline=True),)


def caption_rule(
    headline: Literal["rouge_l", "meteor"], absent: float | None, suffix: str = ""
) -> tuple[Caption, tuple[Metric, ...]]:
    """Return the scorer of captions and its metrics, with `headline` as the headline.

    A missing caption has the value `absent`, or is excluded if `absent` is None.
    `suffix` is appended to the names of metrics that upstream computes on SciBERT's word pieces and we compute on words.
    """
    name, count_empty = meteor_name(), absent is not None
    return Caption(headline=headline, synonyms=text.synonyms_available()), (
        mean_metric(f"{name}{suffix}", PartMean(name, absent), headline=headline == "meteor"),
        *(
            mean_metric(rouge, PartMean(rouge, absent), headline=headline == rouge)
            for rouge in ("rouge_1", "rouge_2", "rouge_l")
        ),
        whole_run_metric(f"bleu_2{suffix}", CorpusBleu(2, count_empty=count_empty)),
        whole_run_metric(f"bleu_4{suffix}", CorpusBleu(4, count_empty=count_empty)),
    )


def bleu_of_valid(tokens: TokenKind) -> Metric:
    """Return BLEU over the valid answers."""
    return whole_run_metric("bleu_of_valid", CorpusBleu(4, count_empty=False, tokens=tokens))
