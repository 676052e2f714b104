"""Number of items and replies, cost and time needed to detect a drop of a given size.

Normal approximation at one-sided alpha. With n of N items and k replies to each, a difference has the variance

    design (items + 2 within / k) / n                  items-like-these
    design ((1 - n/N) items + 2 within / k) / n        these-items
    design (1 - n/N) (items + 2 within / k) / n        this-run

`design`: design effect; `items`: variance of the expected difference over items, 0 for the same model; `within`: variance
of a single reply within an item, at least as large as the drop implies. For the same number k n of replies, the variance
grows with k, so repeats are used only if using every item is not enough.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Literal, NamedTuple, get_args

from msgspec import Struct

from evals.report import statistics as stats
from evals.report.estimand_names import Estimand
from evals.verdicts.components import Components

Change = Literal["same model", "another model"]
CHANGES: tuple[Change, ...] = get_args(Change)
POWER = 0.8
"""Power at which effects count as detectable."""
MAX_REPEATS = 1024
"""Largest number of replies to each item that is considered."""


class Budget(Struct, frozen=True, kw_only=True):
    """The sample size, cost and time to detect a drop on one suite."""

    suite: str
    change: Change
    """Whether the candidate is the baseline's model (with another engine, precision or prompt) or another model."""
    drop: float
    unit: str
    discordance: float
    """Variance of an item's difference with one reply in each run."""
    source: str
    """Source of the discordance, as in `Component`."""
    items: int | None
    """Smallest sufficient number; None: not even all items are enough, with up to `MAX_REPEATS` replies to each."""
    repeats: int | None
    """Number of replies to each item."""
    calls: int | None
    """Number of calls to the candidate; the baseline needs the same number of repeats."""
    cost_usd: float | None
    """At the baseline's cost per reply; None: unknown."""
    seconds: float | None
    """At the baseline's speed."""
    least: float
    """Minimum detectable effect with all items and the baseline's repeats."""
    limit: float
    """Minimum detectable effect with all items and infinitely many replies."""


class RunUsage(NamedTuple):
    """Replies, cost and time of the baseline's run."""

    replies: int
    cost_usd: float | None
    seconds: float | None


def budget(
    components: Components, drop: float, change: Change, *, alpha: float, estimand: Estimand, usage: RunUsage
) -> Budget:
    """Return the smallest number of items, then of replies to each, that detects `drop` with 80 % power."""
    difference_variance = _DifferenceVariance(components, change, drop=drop, estimand=estimand)
    z = stats.z_quantile(1 - alpha) + stats.z_quantile(POWER)
    items, repeats = difference_variance.smallest_size(max_variance=(drop / z) ** 2) or (None, None)
    calls = None if items is None or repeats is None else items * repeats
    is_same_model = change == "same model"
    return Budget(
        suite=components.suite, change=change, drop=drop, unit=components.unit,
        discordance=components.discordance if is_same_model else components.discordance_of_models,
        source=components.within.source if is_same_model else components.models.source, items=items,
        repeats=repeats, calls=calls, cost_usd=_extrapolate(usage.cost_usd, usage, calls),
        seconds=_extrapolate(usage.seconds, usage, calls), least=z * sqrt(difference_variance.at(components.n, components.repeats)),
        limit=z * sqrt(difference_variance.at(components.n, None)),
    )  # fmt: skip


def _extrapolate(amount: float | None, usage: RunUsage, calls: int | None) -> float | None:
    return calls * (amount / usage.replies) if calls and amount is not None and usage.replies else None


class _DifferenceVariance:
    """Variance of a difference as a function of items and replies."""

    def __init__(self, components: Components, change: Change, *, drop: float, estimand: Estimand) -> None:
        self.components, self.estimand = components, estimand
        self.item_variance = components.models.variance if change == "another model" else 0.0
        # a drop implies discordant items: for binary scores, at least a share equal to the drop
        implied_variance = max(0.0, drop * components.range - drop**2) if components.range else 0.0
        self.reply_variance = max(2 * components.within.variance, implied_variance - self.item_variance)

    def at(self, items: int, repeats: int | None) -> float:
        """Return the variance of the difference; `repeats`: None for infinitely many."""
        noise = self.reply_variance / repeats if repeats else 0.0
        unsampled_share = 1 - items / self.components.n
        item_factor = 1.0 if self.estimand == "items-like-these" else unsampled_share
        reply_factor = unsampled_share if self.estimand == "this-run" else 1.0
        return self.components.design * (item_factor * self.item_variance + reply_factor * noise) / items

    def smallest_size(self, *, max_variance: float) -> tuple[int, int] | None:
        """Return the smallest number of items, then of replies to each, with at most this variance; None if there is none."""
        all_items = self.components.n
        if self.at(all_items, 1) <= max_variance:
            return _smallest_sufficient(lambda n: self.at(n, 1) <= max_variance, all_items), 1
        if self.at(all_items, MAX_REPEATS) > max_variance:
            return None
        return all_items, _smallest_sufficient(lambda k: self.at(all_items, k) <= max_variance, MAX_REPEATS)


def _smallest_sufficient(is_sufficient: Callable[[int], bool], largest: int) -> int:
    """Return the smallest sufficient number, by bisection; every number from there to `largest` must be sufficient too."""
    low, high = 1, largest
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_sufficient(middle) else (middle + 1, high)
    return low
