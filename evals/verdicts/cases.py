"""The cases before a gate: a rule of the policy, and both runs' samples paired under the metric that it names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypeAlias

from msgspec import structs

from evals.errors import UsageError
from evals.types import Metric
from evals.verdicts import difference
from evals.verdicts.contestant import Contestant, pair, why_not
from evals.verdicts.difference import Evidence, Shift
from evals.verdicts.estimands import MANY, Estimand, Seen, evidence_of, noise_error
from evals.verdicts.pairs import Missing, Pairs
from evals.verdicts.policy import Entry, Pool


class Case(NamedTuple):
    """A suite (or pool) with the paired data for its verdict."""

    rule: Entry | Pool
    metric: Metric
    parts: tuple[Pairs, ...]
    """One for a suite, several for a pool."""
    protocol: str
    estimand: Estimand = "items-like-these"
    limits: tuple[float | None, ...] = ()
    """Repeatability limit of each part, if it is known."""

    def evidence(self, missing: Missing) -> Evidence | None:
        """Return the evidence on the difference; None if this estimand cannot be judged."""
        limits = self.limits or (None,) * len(self.parts)
        if len(self.parts) == 1:
            return evidence_of(self.parts[0], self.estimand, missing=missing, limit=limits[0])
        pooled = _pooled(self.parts, missing)
        if pooled is None or self.estimand == "items-like-these":
            return pooled
        if self.estimand == "this-run":
            return Seen(pooled.value)
        errors = [noise_error(part, limit=limit) for part, limit in zip(self.parts, limits, strict=True)]
        known = [error for error in errors if error is not None]
        if len(known) < len(errors):
            return None
        return Shift(pooled.value, sqrt(sum(e * e for e in known)) / len(known), MANY, "within-item noise")

    @property
    def noise_is_known(self) -> bool:
        """Whether the estimand can be judged at all."""
        return self.estimand != "these-items" or self.evidence("leave") is not None

    @property
    def coverage(self) -> tuple[float, float]:
        """Least coverage of the candidate, and of the baseline."""
        return min(p.coverage_b for p in self.parts), min(p.coverage_a for p in self.parts)

    @property
    def tolerant(self) -> bool:
        """Whether the policy allows missing outcomes to be left out."""
        return isinstance(self.rule, Entry) and self.rule.missing == "tolerate"


def plain(name: str) -> str:
    """Return a suite's name as it is compared: hyphens, lower case."""
    return name.replace("_", "-").lower()


Couple: TypeAlias = tuple[Contestant, Contestant, Metric]
"""Baseline, candidate, and the metric that the policy asks for."""


def couple(entry: Entry, candidate: Sequence[Contestant], baseline: Sequence[Contestant]) -> Couple | None:
    """Return both runs of a suite; None if either side lacks it. Raises UsageError if they cannot be paired."""
    a, b = run_of(entry, baseline), run_of(entry, candidate)
    if a is None:
        have = ", ".join(c.suite for c in baseline)
        raise UsageError(f"policy: {entry.name}: not in the baseline, which has {have or 'nothing'}")
    if b is None:
        return None
    if reasons := why_not(a, b):
        raise UsageError(f"baseline and candidate cannot be compared: {'; '.join(reasons)}")
    if entry.protocol and entry.protocol != a.protocol:
        raise UsageError(
            f"policy: {entry.name}: wants protocol {entry.protocol}, the runs are under {a.protocol}"
        )
    return a, b, metric_of(entry, b)


def run_of(entry: Entry, contestants: Sequence[Contestant]) -> Contestant | None:
    """Return the run that an entry names, also by a bare name; raises UsageError if it fits several."""
    wanted = plain(entry.name)
    exact = [c for c in contestants if plain(c.suite) == wanted]
    bare = exact or [c for c in contestants if plain(c.suite).partition(":")[0] == wanted]
    if len(bare) > 1 and entry.protocol:
        bare = [c for c in bare if c.protocol == entry.protocol] or bare
    if len(bare) > 1:
        raise UsageError(f"policy: {entry.name} fits several runs: {', '.join(c.suite for c in bare)}")
    return bare[0] if bare else None


def metric_of(entry: Entry, contestant: Contestant) -> Metric:
    """Return the metric that an entry names; raises UsageError with near names."""
    if not entry.metric:
        return contestant.headline
    wanted = entry.metric.replace("@k", f"@{contestant.side.repeats}")
    for metric in contestant.metrics:
        if metric.name == wanted:
            return metric
    names = [metric.name for metric in contestant.metrics]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
    raise UsageError(f"policy: {entry.name}: no metric {entry.metric!r}; {hint}")


def case_of(
    rule: Entry | Pool,
    couples: Sequence[Couple],
    *,
    estimand: Estimand = "items-like-these",
    limits: tuple[float | None, ...] = (),
) -> Case:
    """Pair the samples of a suite, or of all suites of a pool."""
    parts = tuple(pair(heard(a, metric), heard(b, metric), metric) for a, b, metric in couples)
    metric = parts[0].metric
    for part in parts[1:]:
        if (part.metric.better, part.metric.unit) != (metric.better, metric.unit):
            raise UsageError(f"policy: pool {rule.name}: its suites' metrics differ in unit or direction")
    if len(parts) > 1 and any(part.metric.pool == "whole" for part in parts):
        raise UsageError(
            f"policy: pool {rule.name}: {metric.name} is no mean over samples and cannot be pooled"
        )
    return Case(rule, metric, parts, couples[0][0].protocol, estimand, limits)


def heard(contestant: Contestant, metric: Metric) -> Contestant:
    """Return a run in which a reply without an answer has its largest error, if the metric would leave it out.

    An RMSE of the answers there are rewards silence on the hard half. Scorers say how large an error could have been
    (`error_worst`, the range of the training targets); a metric that imputes it itself sees no difference.
    """
    if metric.better == "higher" or metric.bounds is not None:
        return contestant
    side = contestant.side_of(metric)
    if not any(point.value is None and "error_worst" in point.parts for point in side.points):
        return contestant
    points = [
        structs.replace(point, value=point.parts["error_worst"])
        if point.value is None and "error_worst" in point.parts
        else point
        for point in side.points
    ]
    scorer = metric.scorer or next(iter(contestant.sides))
    return structs.replace(contestant, sides={**contestant.sides, scorer: side._replace(points=points)})


def _pooled(parts: Sequence[Pairs], missing: Missing) -> Evidence | None:
    """Mean over suites of their mean differences, each sample weighted as its own suite does."""
    import numpy as np

    values, clusters, groups = [], [], []
    weights: dict[tuple[int, str], float] = {}
    for number, part in enumerate(parts):
        rows = part.rows_of(None, missing)
        if not rows:
            return None
        macro = part.metric.pool == "macro"
        names = {row.group if macro else "" for row in rows}
        weights.update({(number, name): 1 / len(names) for name in names})
        values.append(part.differences(rows, missing))
        clusters += [(number, row.cluster) for row in rows]
        groups += [(number, row.group if macro else "") for row in rows]
    together = np.concatenate(values)
    if np.isnan(together).any():
        return None
    limits = parts[0].metric.bounds
    width = limits[1] - limits[0] if limits else None
    return difference.of_mean(together, clusters, groups=groups, weights=weights, width=width)
