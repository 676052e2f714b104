"""Cards of runs for display; the figures of a run that has not ended are recomputed from its records."""

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
from evals.run.collection_means import collection_means
from evals.run.rescore import summed
from evals.scorers.upstream.lm_eval_task import Part
from evals.suite import Suite
from evals.types import Estimate, Metric, Point


def suite_of(card: Card) -> Suite:
    """Return the suite of a run for reading its numbers.

    If the suite is defined by code that the user has not trusted, or existed only in the process that ran it
    (`Suite.of`), a suite made from the card's estimates replaces it: it has metrics, and no scorer that could be
    called. Raises UnknownName if this version has no such suite and the card no estimates.
    """
    try:
        return load.recorded_suite(card.config.suite, card.config.protocol)[0]
    except Untrusted:
        return stated_suite(card)
    except UnknownName:
        if not card.estimates:
            raise
        return stated_suite(card)


def stated_suite(card: Card) -> Suite:
    """Return a suite made only of what a card states; it can neither prompt nor score."""
    name, _, variant = card.config.suite.partition(":")
    names = tuple(card.scorers) or ("score",)
    metrics = tuple(_stated_metric(estimate, names) for estimate in card.estimates if not estimate.group)
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


def is_stated(suite: Suite) -> bool:
    """Return whether a suite was made by `stated_suite`."""
    return suite.prompter is _not_loaded


def _stated_metric(estimate: Estimate, scorers: Sequence[str]) -> Metric:
    """Return a metric over recorded scores; the caller checks that it reproduces the card's number (`reproduced`)."""
    name, _, scorer = estimate.metric.rpartition(",")
    names_scorer = bool(name) and scorer in scorers
    part = name if names_scorer else estimate.metric
    fraction = estimate.unit == "fraction"
    return Metric(
        name=estimate.metric,
        of=Part(part) if names_scorer or len(scorers) > 1 or part != "accuracy" else mean_value,
        unit=estimate.unit,
        better=estimate.better,
        headline=estimate.headline,
        bounds=(0.0, 1.0) if fraction else None,
        scorer=scorer if names_scorer else "",
    )


def reproduced(card: Card, suite: Suite, points: Mapping[str, Sequence[Point]]) -> tuple[Metric, ...]:
    """Return the metrics of a stated suite that reproduce the card's numbers from the records.

    `points`: by scorer. Raises Untrusted if the headline is not among them.
    """
    stated = {estimate.metric: estimate for estimate in card.estimates if not estimate.group}
    kept = []
    for metric in suite.metrics:
        metric_points = points[metric.scorer or next(iter(suite.scorers))]
        candidates = (structs.replace(metric, of=of) for of in (metric.of, mean_value))
        fitting = next(
            (
                candidate
                for candidate in candidates
                if _reproduces(candidate, metric_points, stated[metric.name])
            ),
            None,
        )
        kept += [fitting] if fitting else []
    if not any(metric.headline for metric in kept):
        raise Untrusted(
            f"{card.run}: the headline of {card.config.suite} cannot be computed from its records without the "
            "suite's definition, which was not loaded: run this where the suite is defined, or, if it is a plugin or a task "
            "that you trust, add --trust-tasks"
        )
    return tuple(kept)


def _reproduces(metric: Metric, points: Sequence[Point], stated: Estimate) -> bool:
    try:
        values = [metric.of([point]) for point in points if point.value is not None]
        value = sum(values) / len(values)
    except (ValueError, ZeroDivisionError):
        return False
    return stated.value is not None and isclose(value, stated.value, rel_tol=1e-9, abs_tol=1e-12)


def _not_loaded(*_: Any, **__: Any) -> Any:
    raise Untrusted("the definition of this suite was not loaded; see --trust-tasks")


def current(run: Run) -> Card:
    """Return a run's card; of one that has not ended, with the numbers of its records so far."""
    card = run.card
    if card.status in ("finished", "partial") and card.estimates:
        return card
    summed(card, run, suite_of(card))
    return card


class Overview(Struct, kw_only=True):
    """Cards of runs, errors of runs that could not be read, and aggregates that suites define over their variants."""

    cards: list[Card]
    broken: list[str]
    aggregates: list[dict[str, Any]]
    damaged: list[str] = []
    """A line for each run whose card is shown although a file of the run is missing or another one."""


def overview(runs: Sequence[Run], *, hashes: bool = False) -> Overview:
    """Read runs; errors of broken runs are collected in `broken`. `hashes`: also compare the files' hashes."""
    cards, broken, damaged = [], [], []
    for run in runs:
        try:
            card = current(run)
        except EvalsError as error:
            broken.append(str(error))
            continue
        cards.append(card)
        if line := _damage(run, card, hashes=hashes):
            damaged.append(f"{line}; the figures shown are the card's")
    return Overview(cards=cards, broken=broken, aggregates=aggregates(cards), damaged=damaged)


def _damage(run: Run, card: Card, *, hashes: bool) -> str:
    if (line := store.damage(run.path, card)) or not hashes:
        return line
    try:
        store.check(run.path)
    except StoreError as error:
        return str(error)
    return ""


def aggregates(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return the numbers that suites define over their variants, and means over the columns of collections.

    The value is null if a variant or a column is missing.

    They are of runs that are alike: a `--limit` run, an early stop or another judge never enters one mean with the rest. Of
    several sets of alike runs that with the most variants represents the model, then whole benchmarks, then the newest;
    `left_out` says what other runs there are and how they differ.
    """
    results = []
    sets: dict[tuple[str, str, str], list[Card]] = {}
    for card in cards:
        key = card.config.suite.partition(":")[0], card.config.protocol, card.model
        sets.setdefault(key, []).append(card)
    rules = {name: _combine(name) for name in {name for name, _, _ in sets}}
    for (name, protocol, model), several in sorted(sets.items()):
        if (combine := rules[name]) is None:
            continue
        alike, left_out = _alike(several)
        combined = combine(protocol, {card.config.suite.partition(":")[2]: card for card in alike})
        common = {"suite": name, "protocol": protocol, "model": model}
        results += [
            {**common, **result, **_of_parts(alike, left_out)}
            for result in (combined if isinstance(combined, list) else [combined])
            if result is not None
        ]
    return [*results, *collection_means(cards)]


Aggregate: TypeAlias = Callable[[str, Mapping[str, Any]], Aggregates]
"""See `Benchmark.aggregate`."""


def _combine(name: str) -> Aggregate | None:
    """Return a suite's rule for one number over its variants; None if it has none, or may not be loaded."""
    try:
        return load.recorded_benchmark(name).aggregate
    except (Untrusted, UnknownName):
        return None


def _of_parts(parts: Sequence[Card], left_out: Sequence[str]) -> dict[str, Any]:
    first = parts[0]
    marks = ["sample items"] if first.data == "sample" else []
    if first.config.limit is not None:
        marks.append(f"subsets of {first.config.limit} items")
    if (coverage := min(card.coverage for card in parts)) < 1:
        marks.append(f"{100 * coverage:.1f} % scored at least")
    return {"marks": marks, "left_out": list(left_out)}


def _alike(several: Sequence[Card]) -> tuple[list[Card], list[str]]:
    """Return the runs, one of each variant, that may enter one mean, and in words the variants that only others have."""
    sets: dict[tuple[object, ...], dict[str, Card]] = {}
    for card in sorted(several, key=lambda card: card.started):  # the newest of a variant stays
        sets.setdefault(_conditions(card), {})[card.config.suite] = card

    def rank(runs: Mapping[str, Card]) -> tuple[object, ...]:
        first = next(iter(runs.values()))
        newest = max(card.started for card in runs.values())
        return len(runs), first.data != "sample", first.complete, newest

    best = max(sets.values(), key=rank)
    here = next(iter(best.values()))
    left_out = {
        card.config.suite: f"{card.run} of {card.config.suite} is not in the mean: {'; '.join(_unlike(here, card))}"
        for card in several
        if card.config.suite not in best
    }
    return list(best.values()), list(left_out.values())


CONDITIONS: Mapping[str, Callable[[Card], object]] = {
    "sample items": lambda card: card.data == "sample",
    "limit": lambda card: card.config.limit,
    "stopped early": lambda card: card.stopped_early,
    "version of the suite": lambda card: card.config.version,
    "repeats": lambda card: card.config.repeats,
    "judge": lambda card: card.config.judge,
    "thinking": lambda card: card.config.sampling.thinking,
    "temperature": lambda card: card.config.sampling.temperature,
    "max pixels": lambda card: card.config.max_pixels,
    "system prompt": lambda card: card.config.system,
}
"""What the runs of one mean have in common."""


def _conditions(card: Card) -> tuple[object, ...]:
    return tuple(condition(card) for condition in CONDITIONS.values())


def _unlike(here: Card, other: Card) -> list[str]:
    def shown(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "none" if value in (None, "") else str(value)

    return [
        f"{name}: {shown(of(other))}, of the others {shown(of(here))}"
        for name, of in CONDITIONS.items()
        if of(other) != of(here)
    ]
