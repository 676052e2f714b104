"""Number of items and replies, cost and time that are needed to detect a drop of a given size.

Normal approximation at one-sided alpha. With n of N items and k replies to each, a difference has the variance

    design (items + 2 within / k) / n                  items-like-these
    design ((1 - n/N) items + 2 within / k) / n        these-items
    design (1 - n/N) (items + 2 within / k) / n        this-run

`items`: variance over items of the expected difference. Every reply costs the same, and at k n = constant the variance
grows with k, so repeats are used only if all items are not enough.
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
MAX_REPEATS = 1024


class Budget(Struct, frozen=True, kw_only=True):
    """The sample size, cost and time to detect a drop on one suite."""

    suite: str
    change: Change
    """Whether the candidate is the baseline's model again (another engine, precision, prompt) or another model."""
    drop: float
    unit: str
    discordance: float
    """Variance of an item's difference, one reply each."""
    source: str
    items: int | None
    """Smallest sufficient number; None: not even all items with any number of replies."""
    repeats: int | None
    calls: int | None
    """Number of calls of the candidate; the baseline needs as many repeats."""
    cost_usd: float | None
    """At the baseline's cost of a reply; None: unknown."""
    seconds: float | None
    """At the baseline's pace."""
    least: float
    """Minimum detectable drop with all items and the baseline's repeats."""
    limit: float
    """Minimum detectable drop with all items and any number of replies."""


class RunUsage(NamedTuple):
    """Replies, cost and time of the baseline's run."""

    replies: int
    cost_usd: float | None
    seconds: float | None


def budget(
    parts: Components, drop: float, change: Change, *, alpha: float, estimand: Estimand, used: RunUsage
) -> Budget:
    """Return the smallest number of items, then of replies to each, that detects `drop` with 80 % power."""
    noise = _Noise(parts, change, drop=drop, estimand=estimand)
    z = stats.z_quantile(1 - alpha) + stats.z_quantile(POWER)
    chosen = noise.needed((drop / z) ** 2)
    calls = chosen[0] * chosen[1] if chosen else None
    each = {name: value / used.replies if value is not None and used.replies else None
            for name, value in (("cost", used.cost_usd), ("seconds", used.seconds))}  # fmt: skip
    same = change == "same model"
    return Budget(
        suite=parts.suite, change=change, drop=drop, unit=parts.unit,
        discordance=parts.discordance if same else parts.discordance_of_models,
        source=parts.within.source if same else parts.models.source, items=chosen[0] if chosen else None,
        repeats=chosen[1] if chosen else None, calls=calls, cost_usd=_multiplied(calls, each["cost"]),
        seconds=_multiplied(calls, each["seconds"]), least=z * sqrt(noise.variance(parts.n, parts.repeats)),
        limit=z * sqrt(noise.variance(parts.n, None)),
    )  # fmt: skip


def _multiplied(calls: int | None, each: float | None) -> float | None:
    return None if calls is None or each is None else calls * each


class _Noise:
    """Variance of a difference as a function of items and replies."""

    def __init__(self, parts: Components, change: Change, *, drop: float, estimand: Estimand) -> None:
        self.parts, self.estimand = parts, estimand
        self.items = parts.models.variance if change == "another model" else 0.0
        # a drop implies discordant items: of binary scores, at least its own share
        least = max(0.0, drop * parts.range - drop**2) if parts.range else 0.0
        self.within = max(2 * parts.within.variance, least - self.items)

    def variance(self, items: int, repeats: int | None) -> float:
        """Return the variance of the difference; `repeats` None: infinitely many."""
        replies = self.within / repeats if repeats else 0.0
        left = 1 - items / self.parts.n
        of_items = {"items-like-these": 1.0, "these-items": left, "this-run": left}[self.estimand]
        of_replies = left if self.estimand == "this-run" else 1.0
        return self.parts.design * (of_items * self.items + of_replies * replies) / items

    def needed(self, wanted: float) -> tuple[int, int] | None:
        """Return the smallest numbers of items and replies with at most this variance; None if there are none."""
        every = self.parts.n
        if self.variance(every, 1) <= wanted:
            return _smallest(lambda n: self.variance(n, 1) <= wanted, every), 1
        if self.variance(every, MAX_REPEATS) > wanted:
            return None
        return every, _smallest(lambda k: self.variance(every, k) <= wanted, MAX_REPEATS)


def _smallest(holds: Callable[[int], bool], most: int) -> int:
    """Return the smallest number up to `most` for which a monotone condition holds."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
