"""Places among several runs that say how sure they are: rank intervals, and letters for what is not significantly different."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from msgspec import Struct


class Rank(Struct, frozen=True, kw_only=True):
    """A run's place among several."""

    suite: str
    run: str
    model: str
    value: float | None
    rank_low: int
    """1 + the number of runs that are shown to be better."""
    rank_high: int
    """Runs - the number of those that are shown to be worse."""
    groups: str
    """Letters: two runs that share one are not significantly different."""


def ranks(
    suite: str,
    values: Mapping[str, float | None],
    models: Mapping[str, str],
    beaten: Mapping[str, AbstractSet[str]],
    *,
    better: Literal["higher", "lower"],
) -> list[Rank]:
    """Order runs by value; `beaten` maps a run to those that are shown to be worse than it."""
    sign = -1 if better == "higher" else 1
    order = sorted(values, key=lambda run: (values[run] is None, sign * (values[run] or 0.0)))
    shared = letters(order, beaten)
    return [
        Rank(
            suite=suite,
            run=run,
            model=models[run],
            value=values[run],
            rank_low=1 + sum(run in losers for losers in beaten.values()),
            rank_high=len(order) - len(beaten.get(run, ())),
            groups=shared[run],
        )
        for run in order
    ]


LETTERS = "".join(
    chr(code)
    for first, last in (("a", "z"), ("A", "Z"), ("α", "ω"), ("а", "я"), ("ა", "ჰ"))
    for code in range(ord(first), ord(last) + 1)
)
MOST = len(LETTERS)


def letters(order: Sequence[str], beaten: Mapping[str, AbstractSet[str]]) -> dict[str, str]:
    """Return a compact letter display: two runs share a letter exactly if they are not significantly different.

    A letter stands for a maximal set of runs of which no two differ (Piepho 2004, doi 10.1198/1061860043515), also
    where the relation is no chain (A above B, A like C, B like C). Letters go by the best run of a set. With more
    sets than letters, as few are kept as still show every pair.
    """
    alike = {
        run: {
            other
            for other in order
            if other != run and other not in beaten.get(run, ()) and run not in beaten.get(other, ())
        }
        for run in order
    }
    place = {run: i for i, run in enumerate(order)}
    found = _cover(alike, place) if len(cliques := _cliques(alike, place)) > MOST else cliques
    found.sort(key=lambda clique: sorted(place[run] for run in clique))
    shared = dict.fromkeys(order, "")
    for letter, clique in zip(LETTERS, found, strict=False):
        for run in clique:
            shared[run] += letter
    return shared


def _cliques(alike: Mapping[str, set[str]], place: Mapping[str, int]) -> list[set[str]]:
    """Maximal cliques by Bron and Kerbosch (1973) with a pivot; stops soon after `MOST`."""
    found: list[set[str]] = []

    def grow(chosen: set[str], open_: set[str], done: set[str]) -> None:
        if not open_ and not done:
            found.append(chosen)
            return
        pivot = max(open_ | done, key=lambda run: (len(alike[run] & open_), -place[run]))
        for run in sorted(open_ - alike[pivot], key=place.__getitem__):
            if len(found) > MOST:
                return
            grow(chosen | {run}, open_ & alike[run], done & alike[run])
            open_ = open_ - {run}
            done = done | {run}

    grow(set(), set(alike), set())
    return found


def _cover(alike: Mapping[str, set[str]], place: Mapping[str, int]) -> list[set[str]]:
    """Maximal cliques that together hold every pair, chosen greedily."""
    left = {frozenset((a, b)) for a in alike for b in alike[a]}
    found: list[set[str]] = [{run} for run in alike if not alike[run]]

    def shows(run: str) -> tuple[int, int]:
        return -sum(frozenset((run, other)) in left for other in clique), place[run]

    while left:
        clique = set(min(left, key=lambda pair: sorted(place[run] for run in pair)))
        for run in sorted(alike, key=shows):
            if run not in clique and clique <= alike[run]:
                clique.add(run)
        left -= {frozenset((a, b)) for a in clique for b in clique}
        found.append(clique)
    return found
