"""Ranks of several runs with their uncertainty: rank intervals and a compact letter display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from msgspec import Struct


class Rank(Struct, frozen=True, kw_only=True):
    """The rank of a run among several."""

    suite: str
    run: str
    model: str
    value: float | None
    rank_low: int
    """1 + the number of significantly better runs."""
    rank_high: int
    """Number of runs - the number of significantly worse runs."""
    groups: str
    """Group letters: runs that share a letter are not significantly different."""


def ranks(
    suite: str,
    values: Mapping[str, float | None],
    models: Mapping[str, str],
    worse_than: Mapping[str, AbstractSet[str]],
    *,
    better: Literal["higher", "lower"],
) -> list[Rank]:
    """Rank runs by value; `worse_than` maps a run to the significantly worse ones."""
    sign = -1 if better == "higher" else 1
    order = sorted(values, key=lambda run: (values[run] is None, sign * (values[run] or 0.0)))
    shared = letters(order, worse_than)
    return [
        Rank(
            suite=suite,
            run=run,
            model=models[run],
            value=values[run],
            rank_low=1 + sum(run in losers for losers in worse_than.values()),
            rank_high=len(order) - len(worse_than.get(run, ())),
            groups=shared[run],
        )
        for run in order
    ]


LETTERS = "".join(
    chr(code)
    for first, last in (("a", "z"), ("A", "Z"), ("α", "ω"), ("а", "я"), ("ა", "ჰ"))
    for code in range(ord(first), ord(last) + 1)
)
MAX_CLIQUES = len(LETTERS)


def letters(order: Sequence[str], worse_than: Mapping[str, AbstractSet[str]]) -> dict[str, str]:
    """Return a compact letter display: two runs share a letter exactly if they are not significantly different.

    A letter denotes a maximal set of runs without significant differences (Piepho 2004, doi 10.1198/1061860043515).
    Letters are ordered by the best run of their set. If there are more sets than letters, a subset that still covers
    every pair is used.
    """
    tied = {
        run: {
            other
            for other in order
            if other != run and other not in worse_than.get(run, ()) and run not in worse_than.get(other, ())
        }
        for run in order
    }
    rank = {run: i for i, run in enumerate(order)}
    cliques = _cliques(tied, rank)
    if len(cliques) > MAX_CLIQUES:
        cliques = _covering_cliques(tied, rank)
    cliques.sort(key=lambda clique: sorted(rank[run] for run in clique))
    shared = dict.fromkeys(order, "")
    for letter, clique in zip(LETTERS, cliques, strict=False):
        for run in clique:
            shared[run] += letter
    return shared


def _cliques(tied: Mapping[str, set[str]], rank: Mapping[str, int]) -> list[set[str]]:
    """Return the maximal cliques (Bron and Kerbosch 1973, with pivoting); stops after `MAX_CLIQUES`."""
    cliques: list[set[str]] = []

    def grow(chosen: set[str], candidates: set[str], excluded: set[str]) -> None:
        if not candidates and not excluded:
            cliques.append(chosen)
            return
        pivot = max(candidates | excluded, key=lambda run: (len(tied[run] & candidates), -rank[run]))
        for run in sorted(candidates - tied[pivot], key=rank.__getitem__):
            if len(cliques) > MAX_CLIQUES:
                return
            grow(chosen | {run}, candidates & tied[run], excluded & tied[run])
            candidates = candidates - {run}
            excluded = excluded | {run}

    grow(set(), set(tied), set())
    return cliques


def _covering_cliques(tied: Mapping[str, set[str]], rank: Mapping[str, int]) -> list[set[str]]:
    """Return maximal cliques that together cover every pair, chosen greedily."""
    uncovered = {frozenset((a, b)) for a in tied for b in tied[a]}
    cliques: list[set[str]] = [{run} for run in tied if not tied[run]]

    def priority(run: str) -> tuple[int, int]:
        return -sum(frozenset((run, other)) in uncovered for other in clique), rank[run]

    while uncovered:
        clique = set(min(uncovered, key=lambda pair: sorted(rank[run] for run in pair)))
        for run in sorted(tied, key=priority):
            if run not in clique and clique <= tied[run]:
                clique.add(run)
        uncovered -= {frozenset((a, b)) for a in clique for b in clique}
        cliques.append(clique)
    return cliques
