"""Spending limits of a command, and what it has spent."""

from __future__ import annotations

from collections.abc import Mapping

from evals.profiles import Price
from evals.types import Failure, Reply, Score, Usage


class Budget:
    """Limits on cost and tokens; None: no limit."""

    def __init__(
        self,
        *,
        cost_usd: float | None = None,
        tokens: int | None = None,
        price: Price | None = None,
        share: float = 1.0,
        judge_price: Price | None = None,
    ) -> None:
        """`share`: fraction of the price that is charged (batches); `judge_price`: price of the judge model's tokens."""
        self.share, self.judge_price = share, judge_price
        self.cost_usd, self.tokens, self.price = cost_usd, tokens, price
        self.spent_usd, self.spent_tokens = 0.0, 0

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
        self.spent_tokens += tokens["input"] + tokens["output"]
        if price:
            self.spent_usd += share * price.cost(tokens)

    @property
    def exhausted(self) -> str:
        """Return which limit is reached; empty if none."""
        if self.tokens is not None and self.spent_tokens >= self.tokens:
            return f"--max-total-tokens {self.tokens} reached"
        if self.cost_usd is not None and self.spent_usd >= self.cost_usd:
            return f"--max-cost {self.cost_usd:g} USD reached"
        return ""
