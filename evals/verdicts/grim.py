"""Test whether a printed score is possible for the number of items of its benchmark (GRIM, Brown and Heathers 2017).

An accuracy over n items with r runs each is k / (n r) for an integer k, so most numbers with two decimals are impossible
for 30 items. A number off this grid was not computed as stated: items were excluded from the denominator, more runs were
averaged, or the metric is not a plain accuracy. A dense grid is not informative; `share` is the share of all printable
numbers that are on the grid.

>>> on_grid("81.15", items=541), on_grid("81.2", items=30)
(True, False)
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from evals.plain import either
from evals.verdicts.reported import Claim

MAX_RUNS = 64
"""Largest number of runs per item that is tried; published protocols have up to 32 (HMMT)."""
DENSE_SHARE = 0.5
"""Share of all printable numbers above which a grid is too dense to be informative."""
MAX_DROPPED_SHARE = 0.1
"""Largest share of items that may have been excluded from the denominator."""
MAX_LISTED = 5
"""Maximum number of alternatives (numbers of items, or of runs) that are listed."""
ALPHA = 0.01
"""Significance level: `common_runs` is only stated if its `p`, which is Bonferroni-corrected, is lower."""
_NOT_A_PROPORTION = re.compile(
    r"macro|mean of|average|score|soft|auc|mcc|mae|f1|iou|correlation|points over|multi-step|partial|relaxed.*mean",
    re.IGNORECASE,
)


class GrimResult(Struct, frozen=True, kw_only=True, rename={"is_possible": "fits"}):
    """Whether one printed number is possible; if not, the numbers of runs or items with which it would be."""

    claim: str
    printed: str
    """In percent, with the decimals of the source."""
    items: int = 0
    """Number of items of the benchmark; 0: unknown."""
    runs: int = 1
    """Number of runs per item, as stated by the source; else 1."""
    is_possible: bool | None = None
    """Whether the number is on the grid of items x runs; None: not applicable, for the reason in `why_not`."""
    share: float | None = None
    """Share of all printable numbers that are on the grid of items x runs."""
    runs_that_fit: tuple[int, ...] = ()
    """Up to MAX_LISTED numbers of runs whose grid contains the number and is no denser than DENSE_SHARE."""
    fewer_items: tuple[int, ...] = ()
    """Up to MAX_LISTED smaller numbers of items, in descending order, whose grid contains the number; see MAX_DROPPED_SHARE."""
    why_not: str = ""


class GrimTable(Struct, frozen=True, kw_only=True, rename={"results": "fits"}):
    """The results for all numbers of one benchmark and metric in one source."""

    benchmark: str
    suite: str
    source: str
    items: int = 0
    results: tuple[GrimResult, ...]
    common_runs: int | None = None
    """Smallest number of runs whose grid contains all numbers.

    None: no grid does, all numbers are on their own grids, or `p` would not be below ALPHA.
    """
    p: float | None = None
    """Probability that random numbers would all be on the grid of `common_runs`, times the number of grids tried."""


def on_grid(printed: str, *, items: int, runs: int = 1) -> bool:
    """Return whether some k / (items x runs), in percent, rounds to this number; a half may be rounded up or down."""
    value, half = Fraction(printed), Fraction(1, 2 * 10 ** _count_decimals(printed))
    denominator = items * runs
    smallest_count = max(0, math.ceil((value - half) * denominator / 100))
    return smallest_count <= denominator and smallest_count <= (value + half) * denominator / 100


def share_on_grid(decimals: int, denominator: int) -> float:
    """Return the share of the numbers from 0 to 100 with this number of decimals to which some k / denominator rounds."""
    printable: int = 100 * 10**decimals + 1
    return min(1.0, (denominator + 1) / printable)


def examine_claims(claims: Mapping[str, Claim], items: Mapping[str, int]) -> list[GrimTable]:
    """Return which numbers are possible, one table for each source, benchmark, metric and suite.

    `items`: suite -> number of items, used for claims that do not state it.
    """
    tables: dict[tuple[str, str, str, str], list[tuple[str, Claim]]] = defaultdict(list)
    for claim_id, claim in claims.items():
        tables[claim.source, claim.benchmark, claim.metric, claim.suite].append((claim_id, claim))
    return [_examine_table(rows, items) for rows in tables.values()]


def explanation(result: GrimResult) -> str:
    """Return the numbers of runs or items with which an impossible number would be possible."""
    clauses = []
    if result.runs_that_fit:
        noun = "run" if result.runs_that_fit == (1,) else "runs"
        clauses.append(f"{either(map(str, result.runs_that_fit))} {noun} would fit")
    if result.fewer_items:
        clauses.append(f"{either(map(str, result.fewer_items))} items would fit, if the others were left out")
    return (
        "; ".join(clauses) or f"not explained by another number of runs (up to {MAX_RUNS}) or by fewer items"
    )


def _examine_table(rows: list[tuple[str, Claim]], items: Mapping[str, int]) -> GrimTable:
    first = rows[0][1]
    item_count = first.items or items.get(first.suite, 0)
    results = tuple(_examine_claim(claim_id, claim, item_count) for claim_id, claim in rows)
    tested = [result for result in results if result.is_possible is not None]
    has_impossible = any(not result.is_possible for result in tested)
    runs, p = _common_runs(tested, item_count) if has_impossible else (None, None)
    return GrimTable(
        benchmark=first.benchmark, suite=first.suite, source=first.source, items=item_count, results=results,
        common_runs=runs, p=p,
    )  # fmt: skip


def _examine_claim(claim_id: str, claim: Claim, items: int) -> GrimResult:
    printed = f"{100 * claim.value:.{claim.digits or 0}f}"
    runs = claim.knobs.get("repeats")
    runs = runs if isinstance(runs, int) and runs > 0 else 1
    if why_not := _why_not_applicable(claim, items, runs):
        return GrimResult(claim=claim_id, printed=printed, items=items, runs=runs, why_not=why_not)
    is_possible = on_grid(printed, items=items, runs=runs)
    return GrimResult(
        claim=claim_id, printed=printed, items=items, runs=runs, is_possible=is_possible,
        share=share_on_grid(_count_decimals(printed), items * runs),
        runs_that_fit=() if is_possible else _runs_that_fit(printed, items, stated=runs),
        fewer_items=() if is_possible else _fewer_items_that_fit(printed, items, runs),
    )  # fmt: skip


def _why_not_applicable(claim: Claim, items: int, runs: int) -> str:
    if claim.unit != "fraction":
        return f"it is not a percentage ({claim.unit})"
    if claim.digits is None:
        return "the number of printed decimals is unknown"
    if match := _NOT_A_PROPORTION.search(f"{claim.metric} {claim.inferred.get('metric', '')}"):
        return f"its metric is not a proportion of items ({match[0]})"
    if not items:
        return "the number of items is unknown"
    if share_on_grid(claim.digits, items * runs) > DENSE_SHARE:
        decimals = "one decimal" if claim.digits == 1 else f"{claim.digits} decimals"
        return f"averages of {items * runs:,} answers round to most numbers with {decimals}"
    return ""


def _runs_that_fit(printed: str, items: int, *, stated: int) -> tuple[int, ...]:
    decimals = _count_decimals(printed)
    other_runs = (runs for runs in range(1, MAX_RUNS + 1) if runs != stated)
    sparse = (runs for runs in other_runs if share_on_grid(decimals, items * runs) <= DENSE_SHARE)
    return tuple(runs for runs in sparse if on_grid(printed, items=items, runs=runs))[:MAX_LISTED]


def _fewer_items_that_fit(printed: str, items: int, runs: int) -> tuple[int, ...]:
    min_items = math.ceil((1 - MAX_DROPPED_SHARE) * items)
    fewer = range(items - 1, min_items - 1, -1)
    return tuple(n for n in fewer if on_grid(printed, items=n, runs=runs))[:MAX_LISTED]


def _common_runs(tested: Sequence[GrimResult], items: int) -> tuple[int | None, float | None]:
    for runs in range(1, MAX_RUNS + 1):  # also the number of grids tried so far
        if all(on_grid(result.printed, items=items, runs=runs) for result in tested):
            p = runs * math.prod(
                share_on_grid(_count_decimals(result.printed), items * runs) for result in tested
            )
            return (runs, p) if p < ALPHA else (None, None)
    return None, None


def _count_decimals(printed: str) -> int:
    return len(printed.partition(".")[2])
