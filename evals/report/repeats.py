"""pass@k and maj@k of one item, exact over all subsets of its repeats.

>>> pass_at_k(16, 4, 1)
0.25
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import comb


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Return the unbiased estimate of the probability that at least one of k attempts is right (Chen et al. 2021)."""
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= correct <= n and 1 <= k <= n, got {n=}, {correct=}, {k=}")
    return 1 - comb(n - correct, k) / comb(n, k)


def maj_at_k(answers: Sequence[Hashable | None], right: Sequence[bool], k: int | None = None) -> float:
    """Return the probability that the most frequent of k answers is right, exact over all k-subsets of the repeats.

    `right`: whether each repeat is right; `k`: all repeats by default. Answers of None do not vote, and a subset without
    votes counts as wrong. Ties are broken at random. An answer that is right in only some of its repeats counts with that
    share.
    """
    n = len(answers)
    k = n if k is None else k
    if n == 0 or len(right) != n or not 1 <= k <= n:
        raise ValueError(f"maj@k needs 1 <= k <= n and a flag per answer, got {n=}, {k=}, {len(right)=}")
    votes = Counter(answer for answer in answers if answer is not None)
    right_votes = Counter(a for a, is_right in zip(answers, right, strict=True) if a is not None and is_right)
    if k == n:
        most_votes = max(votes.values(), default=0)
        winners = [answer for answer, count in votes.items() if count == most_votes]
        return sum(right_votes[a] / most_votes for a in winners) / len(winners) if winners else 0.0
    abstentions = n - sum(votes.values())
    expected = 0.0
    for answer, right_count in right_votes.items():
        others = [count for other, count in votes.items() if other != answer]
        expected += right_count / votes[answer] * _winning_probability(votes[answer], others, abstentions, k)
    return expected


def _winning_probability(votes: int, others: Sequence[int], abstentions: int, k: int) -> float:
    """Return the probability that an answer wins if k repeats are drawn; `others`: the votes of the other answers."""
    total = 0.0
    for own_drawn in range(1, min(votes, k) + 1):
        ways = {(0, 0): 1}  # (votes drawn, tied answers) -> number of ways
        for count in others:
            ways = _add_answer(ways, count, own_drawn, k - own_drawn)
        for (drawn, ties), way_count in ways.items():
            abstaining = k - own_drawn - drawn
            if abstaining <= abstentions:
                total += comb(votes, own_drawn) * way_count * comb(abstentions, abstaining) / (ties + 1)
    return total / comb(votes + sum(others) + abstentions, k)


def _add_answer(
    ways: Mapping[tuple[int, int], int], count: int, own_drawn: int, remaining: int
) -> dict[tuple[int, int], int]:
    """Extend the ways of drawing votes by another answer, which has `count` votes; it ties if `own_drawn` of them are drawn."""
    extended: dict[tuple[int, int], int] = {}
    for (drawn, ties), way_count in ways.items():
        for votes in range(min(count, own_drawn, remaining - drawn) + 1):
            key = (drawn + votes, ties + (votes == own_drawn))
            extended[key] = extended.get(key, 0) + way_count * comb(count, votes)
    return extended
