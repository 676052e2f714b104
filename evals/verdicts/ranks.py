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
    """Best possible rank: 1 + the number of significantly better runs."""
    rank_high: int
    """Worst possible rank: the number of runs that are not significantly worse, including this one."""
    groups: str
    """Group letters: runs that share a letter are not significantly different."""


def ranks(
    suite: str,
    values: Mapping[str, float | None],
    models: Mapping[str, str],
    significantly_worse: Mapping[str, AbstractSet[str]],
    *,
    better: Literal["higher", "lower"],
) -> list[Rank]:
    """Rank runs by value; `significantly_worse` maps a run to the runs that are significantly worse than it."""
    sign = -1 if better == "higher" else 1
    ranked = sorted(values, key=lambda run: (values[run] is None, sign * (values[run] or 0.0)))
    groups = compact_letter_display(ranked, significantly_worse)
    return [
        Rank(
            suite=suite, run=run, model=models[run], value=values[run], groups=groups[run],
            rank_low=1 + sum(run in losers for losers in significantly_worse.values()),
            rank_high=len(ranked) - len(significantly_worse.get(run, ())),
        )
        for run in ranked
    ]  # fmt: skip


LETTERS = "".join(
    chr(code)
    for first, last in (("a", "z"), ("A", "Z"), ("α", "ω"), ("а", "я"), ("ა", "ჰ"))
    for code in range(ord(first), ord(last) + 1)
)
MAX_CLIQUES = len(LETTERS)


def compact_letter_display(
    ranked: Sequence[str], significantly_worse: Mapping[str, AbstractSet[str]]
) -> dict[str, str]:
    """Return a compact letter display: two runs share a letter if and only if they are not significantly different.

    A letter denotes a maximal set of runs without significant differences (Piepho 2004, doi 10.1198/1061860043515).
    Letters are ordered by the best run of their set. If there are more sets than letters, a subset that still covers
    every pair is used.
    """
    worse = {run: set(significantly_worse.get(run, ())) for run in ranked}
    not_different = {
        run: {other for other in ranked if other not in {run, *worse[run]} and run not in worse[other]}
        for run in ranked
    }
    position = {run: i for i, run in enumerate(ranked)}
    cliques = _maximal_cliques(not_different, position)
    if len(cliques) > MAX_CLIQUES:
        cliques = _covering_cliques(not_different, position)
    cliques.sort(key=lambda clique: sorted(position[run] for run in clique))
    groups = dict.fromkeys(ranked, "")
    for letter, clique in zip(LETTERS, cliques, strict=False):
        for run in clique:
            groups[run] += letter
    return groups


def _maximal_cliques(not_different: Mapping[str, set[str]], position: Mapping[str, int]) -> list[set[str]]:
    """Return the maximal cliques (Bron and Kerbosch 1973, with pivoting); stop above `MAX_CLIQUES`."""
    cliques: list[set[str]] = []

    def grow(clique: set[str], candidates: set[str], excluded: set[str]) -> None:
        if not candidates and not excluded:
            cliques.append(clique)
            return
        pivot = max(
            candidates | excluded, key=lambda run: (len(not_different[run] & candidates), -position[run])
        )
        for run in sorted(candidates - not_different[pivot], key=position.__getitem__):
            if len(cliques) > MAX_CLIQUES:
                return
            grow(clique | {run}, candidates & not_different[run], excluded & not_different[run])
            candidates = candidates - {run}
            excluded = excluded | {run}

    grow(set(), set(not_different), set())
    return cliques


def _covering_cliques(not_different: Mapping[str, set[str]], position: Mapping[str, int]) -> list[set[str]]:
    """Return maximal cliques that together cover every pair, chosen greedily."""
    uncovered = {frozenset((a, b)) for a in not_different for b in not_different[a]}
    cliques: list[set[str]] = [{run} for run in not_different if not not_different[run]]

    def priority(run: str) -> tuple[int, int]:
        return -sum(frozenset((run, other)) in uncovered for other in clique), position[run]

    while uncovered:
        clique = set(min(uncovered, key=lambda pair: sorted(position[run] for run in pair)))
        for run in sorted(not_different, key=priority):
            if run not in clique and clique <= not_different[run]:
                clique.add(run)
        uncovered -= {frozenset((a, b)) for a in clique for b in clique}
        cliques.append(clique)
    return cliques
