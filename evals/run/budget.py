"""Spending limits of a command, and what it has spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evals.profiles import Price
from evals.types import Failure, Reply, Score, Usage


class Spending:
    """The limits of a command on cost and tokens, and what all its models have spent; None: no limit."""

    def __init__(
        self,
        *,
        cost_usd: float | None = None,
        tokens: int | None = None,
        on_exhausted: Callable[[str], None] | None = None,
    ) -> None:
        """`on_exhausted`: called with the limit that is reached, at every booking from then on."""
        self.cost_usd, self.tokens = cost_usd, tokens
        self.spent_usd, self.spent_tokens = 0.0, 0
        self._on_exhausted = on_exhausted

    def book(self, *, usd: float, tokens: int) -> None:
        """Add what one call has spent."""
        self.spent_usd += usd
        self.spent_tokens += tokens
        if self._on_exhausted is not None and (why := self.exhausted):
            self._on_exhausted(why)

    @property
    def exhausted(self) -> str:
        """Return which limit is reached; empty if none."""
        if self.tokens is not None and self.spent_tokens >= self.tokens:
            return f"--max-total-tokens {self.tokens} reached"
        if self.cost_usd is not None and self.spent_usd >= self.cost_usd:
            return f"--max-cost {self.cost_usd:g} USD reached"
        return ""


class Budget:
    """What one model and its judge may spend, and have spent, at their prices."""

    def __init__(
        self,
        *,
        spending: Spending | None = None,
        price: Price | None = None,
        share: float = 1.0,
        judge_price: Price | None = None,
    ) -> None:
        """`spending`: limits and total of the command; None: no limit.

        `share`: fraction of the price that is charged (batches); `judge_price`: price of the judge model's tokens.
        """
        self.spending = spending or Spending()
        self.share, self.judge_price, self.price = share, judge_price, price
        self.spent_usd = 0.0

    def book(self, reply: Reply) -> None:
        """Add the tokens of a reply."""
        self._book(reply.usage, self.price, self.share)

    def book_judge(
        self, scores: Mapping[str, Score | Failure], earlier: Mapping[str, Score | Failure] | None = None
    ) -> None:
        """Add the judge's tokens for these scores, except for verdicts already paid for in `earlier`."""
        paid = {j for score in (earlier or {}).values() if isinstance(score, Score) for j in score.judged}
        for score in scores.values():
            for judgement in score.judged if isinstance(score, Score) else ():
                if judgement not in paid:
                    self._book(judgement.usage, self.judge_price, 1.0)

    def _book(self, usage: Usage, price: Price | None, share: float) -> None:
        tokens = {"input": usage.input or 0, "output": usage.output or 0, "cached": usage.cached or 0}
        usd = share * price.cost(tokens) if price else 0.0
        self.spent_usd += usd
        self.spending.book(usd=usd, tokens=tokens["input"] + tokens["output"])

    @property
    def exhausted(self) -> str:
        """Return which limit of the command is reached; empty if none."""
        return self.spending.exhausted
