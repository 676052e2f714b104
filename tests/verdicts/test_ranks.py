"""Compact letter displays against brute force: a letter is a maximal set of runs of which no two differ."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from evals.verdicts.ranks import MAX_CLIQUES, compact_letter_display


def relation(seed: int, most: int = 9) -> tuple[list[str], dict[str, set[str]]]:
    rng = random.Random(seed)
    order = [f"m{i}" for i in range(rng.randint(1, most))]
    density = rng.random()
    beaten: dict[str, set[str]] = {run: set() for run in order}
    for a, b in combinations(order, 2):
        if rng.random() < density:
            beaten[a].add(b)
    return order, beaten


def maximal(order: list[str], beaten: dict[str, set[str]]) -> list[set[str]]:
    sets = [set(some) for size in range(1, len(order) + 1) for some in combinations(order, size)]
    alike = [s for s in sets if not any(b in beaten[a] or a in beaten[b] for a, b in combinations(s, 2))]
    return [one for one in alike if not any(one < other for other in alike)]


def test_letters_are_the_maximal_sets_of_a_thousand_relations():
    for seed in range(1000):
        order, beaten = relation(seed)
        shared = compact_letter_display(order, beaten)
        by_letter = [
            {run for run in order if letter in shared[run]} for letter in set("".join(shared.values()))
        ]
        assert sorted(map(sorted, by_letter)) == sorted(map(sorted, maximal(order, beaten)))


def test_the_smallest_relation_that_is_no_chain():
    # A is better than B; C, between them, is like both
    shared = compact_letter_display(["a", "c", "b"], {"a": {"b"}})
    assert not set(shared["a"]) & set(shared["b"])
    assert set(shared["a"]) & set(shared["c"])
    assert set(shared["b"]) & set(shared["c"])


def test_sixty_groups_have_sixty_letters():
    order = [f"m{i}" for i in range(60)]
    shared = compact_letter_display(order, {a: set(order[i + 1 :]) for i, a in enumerate(order)})
    assert len(set(shared.values())) == 60


@pytest.mark.parametrize("groups", [4, 6])
def test_more_sets_than_letters_still_show_every_pair(groups):
    # 3 ** groups maximal sets: runs differ within a group of three alone
    order = [f"{g}{i}" for g in range(groups) for i in range(3)]
    beaten = {run: {other for other in order if other[0] == run[0] and other > run} for run in order}
    shared = compact_letter_display(order, beaten)
    assert len(set("".join(shared.values()))) <= MAX_CLIQUES
    for a, b in combinations(order, 2):
        assert bool(set(shared[a]) & set(shared[b])) == (b not in beaten[a] and a not in beaten[b])
