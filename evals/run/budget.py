"""Spending limits of a command, and its spending so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evals.profiles import Price
from evals.types import Failure, Reply, Score, Usage

MAX_UNMETERED = 8
"""Number of replies without token counts after which a limit cannot be applied, unless other replies have token counts."""


class Spending:
    """Limits on the cost and tokens of a command, and what all its models have spent so far."""

    def __init__(
        self,
        *,
        cost_usd: float | None = None,
        tokens: int | None = None,
        on_exhausted: Callable[[str], None] | None = None,
    ) -> None:
        """`cost_usd`, `tokens`: the limits; None: no limit.

        `on_exhausted`: called with `reached_limit` when a limit is reached, and again for each call after that.
        """
        self.cost_usd, self.tokens = cost_usd, tokens
        self.spent_usd, self.spent_tokens = 0.0, 0
        self._unmetered = 0
        """Number of replies without token counts."""
        self._on_exhausted = on_exhausted

    def add(self, *, usd: float, tokens: int | None) -> None:
        """Add the cost and tokens of one call; None: the server reported no tokens."""
        self.spent_usd += usd
        self.spent_tokens += tokens or 0
        self._unmetered += tokens is None
        if self._on_exhausted is not None and (limit := self.reached_limit):
            self._on_exhausted(limit)

    @property
    def reached_limit(self) -> str:
        """Return a message that names the limit that has been reached; empty if none has."""
        if self.tokens is not None and self.spent_tokens >= self.tokens:
            return f"--max-total-tokens {self.tokens} reached"
        if self.cost_usd is not None and self.spent_usd >= self.cost_usd:
            return f"--max-cost {self.cost_usd:g} USD reached"
        has_limit = self.tokens is not None or self.cost_usd is not None
        if has_limit and self._unmetered >= MAX_UNMETERED and not self.spent_tokens:
            return "the replies have no token counts, so the limit on cost or tokens cannot be applied"
        return ""


class Budget:
    """Spending of one model and its judge at their prices, counted against the limits of the command."""

    def __init__(
        self,
        *,
        spending: Spending | None = None,
        price: Price | None = None,
        price_factor: float = 1.0,
        judge_price: Price | None = None,
    ) -> None:
        """`spending`: limits and spending of the command; None: no limit.

        `price_factor`: fraction of the price that is charged for batches; `judge_price`: price of the judge model's tokens.
        """
        self.spending = spending or Spending()
        self.price_factor, self.judge_price, self.price = price_factor, judge_price, price
        self.spent_usd = 0.0

    def add(self, reply: Reply) -> None:
        """Add the cost and tokens of one of the model's replies; a filtered reply may have none."""
        if reply.stop != "filter" or reply.usage != Usage():
            self._add(reply.usage, self.price, self.price_factor)

    def add_judge(
        self, scores: Mapping[str, Score | Failure], earlier: Mapping[str, Score | Failure] | None = None
    ) -> None:
        """Add the cost and tokens of the judge's verdicts in these scores, except for verdicts that `earlier` contains too."""
        paid = {
            judgement
            for score in (earlier or {}).values()
            if isinstance(score, Score)
            for judgement in score.judged
        }
        for score in scores.values():
            if isinstance(score, Failure):  # perhaps for lack of a readable verdict
                usages = [score.usage] if score.usage != Usage() else []
            else:
                usages = [judgement.usage for judgement in score.judged if judgement not in paid]
            for usage in usages:
                self._add(usage, self.judge_price, 1.0)

    def _add(self, usage: Usage, price: Price | None, price_factor: float) -> None:
        tokens = {"input": usage.input or 0, "output": usage.output or 0, "cached": usage.cached or 0}
        usd = price_factor * price.cost(tokens) if price else 0.0
        self.spent_usd += usd
        is_reported = usage.input is not None or usage.output is not None
        self.spending.add(usd=usd, tokens=tokens["input"] + tokens["output"] if is_reported else None)
