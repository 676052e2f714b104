"""Cards of runs for display; the metrics of an unfinished run are computed from its records so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isclose
from typing import Any, TypeAlias

from msgspec import Struct, structs

from evals import load
from evals.benchmark import Aggregates
from evals.errors import EvalsError, StoreError, UnknownName, Untrusted
from evals.records import store
from evals.records.card import Card
from evals.records.store import Run
from evals.report.metrics import mean_value
from evals.report.part_mean import PartMean
from evals.run.collection_means import CONDITIONS as COLLECTION_CONDITIONS
from evals.run.collection_means import collection_means, marks_of
from evals.run.rescore import store_metrics
from evals.suite import Suite
from evals.types import Estimate, Metric, Point

CONDITIONS: Mapping[str, Callable[[Card], object]] = {
    **COLLECTION_CONDITIONS,
    "version of the suite": lambda card: card.config.version,
    "repeats": lambda card: card.config.repeats,
    "judge": lambda card: card.config.judge,
    "thinking": lambda card: card.config.sampling.thinking,
    "temperature": lambda card: card.config.sampling.temperature,
}
"""Settings that all variants of a suite must share to be combined."""


def suite_of(card: Card) -> Suite:
    """Return the suite of a run, to compute its metrics.

    Return `suite_from_card` if the user does not trust the suite's code, or if the suite existed only in the process that ran
    it (`Suite.of`). Raises UnknownName if there is no such suite and the card has no estimates.
    """
    try:
        return load.recorded_suite(card.config.suite, card.config.protocol)[0]
    except (Untrusted, UnknownName) as error:
        if isinstance(error, UnknownName) and not card.estimates:
            raise
        return suite_from_card(card)


def suite_from_card(card: Card) -> Suite:
    """Return a suite with the metrics for which a card has estimates; it can neither build prompts nor score."""
    name, _, variant = card.config.suite.partition(":")
    names = tuple(card.scorers) or ("score",)
    metrics = tuple(_metric_from_card(estimate, names) for estimate in card.estimates if not estimate.group)
    return Suite(
        name=name,
        variant=variant,
        protocol=card.config.protocol,
        version=card.config.version,
        samples=_not_loaded,
        prompter=_not_loaded,
        ideal=_not_loaded,
        scorers=dict.fromkeys(names, _not_loaded),
        metrics=metrics,
        chance=card.chance,
        gated=card.gated,
    )


def is_from_card(suite: Suite) -> bool:
    """Return whether a suite was made by `suite_from_card`."""
    return suite.prompter is _not_loaded


def _metric_from_card(estimate: Estimate, scorers: Sequence[str]) -> Metric:
    """Return a metric over recorded scores, which may not yield the card's value; `reproducible_metrics` checks that."""
    name, _, scorer = estimate.metric.rpartition(",")
    has_scorer = bool(name) and scorer in scorers
    part = name if has_scorer else estimate.metric
    is_fraction = estimate.unit == "fraction"
    return Metric(
        name=estimate.metric,
        of=PartMean(part) if has_scorer or len(scorers) > 1 or part != "accuracy" else mean_value,
        unit=estimate.unit,
        better=estimate.better,
        headline=estimate.headline,
        bounds=(0.0, 1.0) if is_fraction else None,
        scorer=scorer if has_scorer else "",
    )


def reproducible_metrics(
    card: Card, suite: Suite, points: Mapping[str, Sequence[Point]]
) -> tuple[Metric, ...]:
    """Return those metrics of a suite made by `suite_from_card` that reproduce the card's values from the records.

    `points`: scorer -> its points. Raises Untrusted if the headline metric is not reproduced.
    """
    estimates = {estimate.metric: estimate for estimate in card.estimates if not estimate.group}
    metrics = []
    for metric in suite.metrics:
        metric_points = points[metric.scorer or next(iter(suite.scorers))]
        for statistic in (metric.of, mean_value):
            candidate = structs.replace(metric, of=statistic)
            if _reproduces(candidate, metric_points, estimates[metric.name]):
                metrics.append(candidate)
                break
    if not any(metric.headline for metric in metrics):
        raise Untrusted(
            f"{card.run}: the headline of {card.config.suite} cannot be computed from its records without the "
            "suite's definition, which was not loaded: run the command where the suite is defined, or, if it is a plugin or "
            "a task that you trust, add --trust-tasks"
        )
    return tuple(metrics)


def _reproduces(metric: Metric, points: Sequence[Point], estimate: Estimate) -> bool:
    try:
        values = [metric.of([point]) for point in points if point.value is not None]
        value = sum(values) / len(values)
    except (ValueError, ZeroDivisionError):
        return False
    return estimate.value is not None and isclose(value, estimate.value, rel_tol=1e-9, abs_tol=1e-12)


def _not_loaded(*_: Any, **__: Any) -> Any:
    raise Untrusted("the definition of this suite was not loaded; see --trust-tasks")


def current_card(run: Run) -> Card:
    """Return a run's card; for an unfinished run, with the metrics of its records so far."""
    card = run.card
    if card.status in ("finished", "partial") and card.estimates:
        return card
    store_metrics(card, run, suite_of(card))
    return card


class Overview(Struct, kw_only=True):
    """Cards of runs, errors of unreadable runs, and means over several runs (see `aggregates`)."""

    cards: list[Card]
    broken: list[str]
    aggregates: list[dict[str, Any]]
    damaged: list[str] = []
    """A line for each run whose card is shown although a file of the run is missing or altered."""


def overview(runs: Sequence[Run], *, hashes: bool = False) -> Overview:
    """Return the overview of runs. `hashes`: whether to verify the hashes of their files, not only the sizes."""
    cards, broken, damaged = [], [], []
    for run in runs:
        try:
            card = current_card(run)
        except EvalsError as error:
            broken.append(str(error))
            continue
        cards.append(card)
        if line := _damage_line(run, card, hashes=hashes):
            damaged.append(f"{line}; the figures shown are the card's")
    return Overview(cards=cards, broken=broken, aggregates=aggregates(cards), damaged=damaged)


def _damage_line(run: Run, card: Card, *, hashes: bool) -> str:
    if (line := store.damage(run.path, card)) or not hashes:
        return line
    try:
        store.check(run.path)
    except StoreError as error:
        return str(error)
    return ""


def aggregates(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return the aggregates that suites define over their variants, and means over the columns of collections.

    The value is None if a variant or a column is missing. Runs are combined only if they agree in all `CONDITIONS`. If there
    are several such sets of runs, the one with the most variants represents the model; among equally large sets, real data come
    before sample items, then full benchmarks before subsets, then the newest. `left_out` has a line for each variant that only
    other sets contain, with the differences.
    """
    results = []
    groups: dict[tuple[str, str, str], list[Card]] = {}
    for card in cards:
        key = card.config.suite.partition(":")[0], card.config.protocol, card.model
        groups.setdefault(key, []).append(card)
    rules = {name: _aggregation_rule(name) for name in {name for name, _, _ in groups}}
    for (name, protocol, model), group in sorted(groups.items()):
        if (rule := rules[name]) is None:
            continue
        comparable, left_out = _comparable_runs(group)
        combined = rule(protocol, {card.config.suite.partition(":")[2]: card for card in comparable})
        common = {"suite": name, "protocol": protocol, "model": model}
        results += [
            {**common, **result, "marks": marks_of(comparable), "left_out": left_out}
            for result in (combined if isinstance(combined, list) else [combined])
            if result is not None
        ]
    return [*results, *collection_means(cards)]


AggregationRule: TypeAlias = Callable[[str, Mapping[str, Any]], Aggregates]
"""The type of `Benchmark.aggregate`."""


def _aggregation_rule(name: str) -> AggregationRule | None:
    """Return a suite's aggregation rule over its variants; None if there is none, or if the suite may not be loaded."""
    try:
        return load.recorded_benchmark(name).aggregate
    except (Untrusted, UnknownName):
        return None


def _comparable_runs(cards: Sequence[Card]) -> tuple[list[Card], list[str]]:
    """Return the runs to combine, one for each variant, and a line for each variant that only other runs have."""
    runs_by_conditions: dict[tuple[object, ...], dict[str, Card]] = {}
    for card in sorted(cards, key=lambda card: card.started):  # so that the newest run of a variant is kept
        conditions = tuple(condition(card) for condition in CONDITIONS.values())
        runs_by_conditions.setdefault(conditions, {})[card.config.suite] = card

    def rank(runs: Mapping[str, Card]) -> tuple[object, ...]:
        first = next(iter(runs.values()))
        newest = max(card.started for card in runs.values())
        return len(runs), first.data != "sample", first.complete, newest

    best = max(runs_by_conditions.values(), key=rank)
    first = next(iter(best.values()))
    left_out = {
        card.config.suite: f"{card.run} of {card.config.suite} is not in the mean: {'; '.join(_differences(first, card))}"
        for card in cards
        if card.config.suite not in best
    }
    return list(best.values()), list(left_out.values())


def _differences(first: Card, other: Card) -> list[str]:
    def as_text(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "none" if value in (None, "") else str(value)

    return [
        f"{name}: {as_text(condition(other))}, in the others: {as_text(condition(first))}"
        for name, condition in CONDITIONS.items()
        if condition(other) != condition(first)
    ]
