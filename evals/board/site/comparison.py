"""Paired comparison of all entrants in a column: differences with intervals, rank intervals and group letters.

Holm's correction limits the probability of any false positive in a column to 5 %. The commands and the dashboard use the
same statistics: `evals/verdicts/difference.py` and `ranks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from evals.board.items import Items, evidence_of
from evals.board.results import SuiteResult
from evals.verdicts import difference
from evals.verdicts.evidence import Evidence
from evals.verdicts.ranks import Rank, ranks

CONFIDENCE_LEVEL = 0.95


class Difference(NamedTuple):
    """The second entrant's score minus the first's, over the items scored in both."""

    value: float
    low: float | None
    """95 % interval, not adjusted for the number of pairs."""
    high: float | None
    p: float
    """Two-sided p-value, adjusted by Holm over all pairs in the column."""
    n: int

    @property
    def is_significant(self) -> bool:
        """Return whether the adjusted p-value is at most 5 %."""
        return self.p <= 1 - CONFIDENCE_LEVEL

    def reversed(self) -> Difference:
        """Return the difference in the other direction."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Difference(-self.value, low, high, self.p, self.n)


class ColumnComparison(NamedTuple):
    """Comparisons of all pairs of entrants in a column."""

    ranks: Mapping[str, Rank] = {}
    differences: Mapping[tuple[str, str], Difference] = {}
    reason: str = ""
    """Why the entrants could not be compared; empty if they were."""

    def between(self, a: str, b: str) -> Difference | None:
        """Return the difference b minus a; None if they were not compared."""
        if (a, b) in self.differences:
            return self.differences[a, b]
        reverse = self.differences.get((b, a))
        return reverse.reversed() if reverse else None


def compare(
    results: Mapping[str, SuiteResult], items_by_entrant: Mapping[str, Items | None]
) -> ColumnComparison:
    """Compare all pairs of entrants if they were run on the same items; `results`: entrant -> result in the column."""
    if len(results) < 2:
        return ColumnComparison(reason="there is only one entrant")
    if len({(result.version, result.data_sha256, result.judge) for result in results.values()}) > 1:
        return ColumnComparison(reason="the entrants have different versions of the suite, data or judges")
    hashes = {result.items_sha256 for result in results.values()}
    scored_items = {name: items for name, items in items_by_entrant.items() if items and len(items.values)}
    if "" in hashes or len(scored_items) < len(results):
        return ColumnComparison(
            reason="the metric is not a mean over items; `evals compare` compares two runs"
        )
    if len(hashes) > 1:
        return ColumnComparison(reason="the entrants were not run on the same items")
    evidence = _evidence_by_pair(results, scored_items)
    if not evidence:
        return ColumnComparison(reason="two of the entrants have no scored item in common")
    differences = dict(zip(evidence, _differences(list(evidence.values())), strict=True))
    return ColumnComparison(_rank_entrants(results, differences), differences)


def _evidence_by_pair(
    results: Mapping[str, SuiteResult], items_by_entrant: Mapping[str, Items]
) -> dict[tuple[str, str], tuple[Evidence, int]]:
    """Return the evidence and number of items for every pair; empty if two entrants have no scored item in common."""
    result = next(iter(results.values()))
    evidence = {
        (a, b): evidence_of(result, items_by_entrant[a], items_by_entrant[b])
        for a, b in combinations(results, 2)
    }
    return evidence if all(n for _, n in evidence.values()) else {}


def _differences(evidence: list[tuple[Evidence, int]]) -> list[Difference]:
    adjusted = difference.holm([pair_evidence.p_equal() for pair_evidence, _ in evidence])
    pairs = []
    for (pair_evidence, n), p in zip(evidence, adjusted, strict=True):
        low, high = pair_evidence.interval(CONFIDENCE_LEVEL) or (None, None)
        pairs.append(Difference(pair_evidence.value, low, high, p, n))
    return pairs


def _rank_entrants(
    results: Mapping[str, SuiteResult], pairs: Mapping[tuple[str, str], Difference]
) -> dict[str, Rank]:
    """Return the ranks that follow from the significant differences."""
    headlines = {name: result.headline for name, result in results.items()}
    headline = next(headline for headline in headlines.values() if headline is not None)
    worse_than: dict[str, set[str]] = {}
    for (a, b), pair in pairs.items():
        if pair.is_significant and pair.value:
            winner, loser = (b, a) if (pair.value > 0) == (headline.better == "higher") else (a, b)
            worse_than.setdefault(winner, set()).add(loser)
    values = {name: estimate.value if estimate is not None else None for name, estimate in headlines.items()}
    names = {name: name for name in results}
    entrant_ranks = ranks(headline.metric, values, names, worse_than, better=headline.better)
    return {rank.run: rank for rank in entrant_ranks}
