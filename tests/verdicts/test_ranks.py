"""Compact letter displays against brute force: a letter stands for a maximal set of runs without a significant difference."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from evals.verdicts.ranks import MAX_CLIQUES, compact_letter_display


def random_relation(seed: int, max_runs: int = 9) -> tuple[list[str], dict[str, set[str]]]:
    """Return up to `max_runs` runs in order of rank, and for each the runs that are significantly worse."""
    rng = random.Random(seed)
    ranked = [f"m{i}" for i in range(rng.randint(1, max_runs))]
    density = rng.random()
    worse: dict[str, set[str]] = {run: set() for run in ranked}
    for a, b in combinations(ranked, 2):
        if rng.random() < density:
            worse[a].add(b)
    return ranked, worse


def maximal_groups(ranked: list[str], worse: dict[str, set[str]]) -> list[set[str]]:
    """Return the maximal sets of runs without a significant difference, by trying all sets."""
    subsets = [set(runs) for size in range(1, len(ranked) + 1) for runs in combinations(ranked, size)]
    groups = [s for s in subsets if not any(b in worse[a] or a in worse[b] for a, b in combinations(s, 2))]
    return [group for group in groups if not any(group < larger for larger in groups)]


def test_letters_are_the_maximal_groups_of_a_thousand_random_relations():
    for seed in range(1000):
        ranked, worse = random_relation(seed)
        letters = compact_letter_display(ranked, worse)
        by_letter = [
            {run for run in ranked if letter in letters[run]} for letter in set("".join(letters.values()))
        ]
        assert sorted(map(sorted, by_letter)) == sorted(map(sorted, maximal_groups(ranked, worse)))


def test_a_run_between_two_different_ones_shares_a_letter_with_each():
    # a is significantly better than b; c, ranked between them, differs from neither
    letters = compact_letter_display(["a", "c", "b"], {"a": {"b"}})
    assert not set(letters["a"]) & set(letters["b"])
    assert set(letters["a"]) & set(letters["c"])
    assert set(letters["b"]) & set(letters["c"])


def test_sixty_runs_that_all_differ_have_sixty_letters():
    ranked = [f"m{i}" for i in range(60)]
    letters = compact_letter_display(ranked, {a: set(ranked[i + 1 :]) for i, a in enumerate(ranked)})
    assert len(set(letters.values())) == 60


@pytest.mark.parametrize("groups", [4, 6])
def test_with_more_maximal_groups_than_letters_every_pair_is_still_shown_correctly(groups):
    # runs differ only within a group of three, which gives 3 ** groups maximal sets
    ranked = [f"{g}{i}" for g in range(groups) for i in range(3)]
    worse = {run: {other for other in ranked if other[0] == run[0] and other > run} for run in ranked}
    letters = compact_letter_display(ranked, worse)
    assert len(set("".join(letters.values()))) <= MAX_CLIQUES
    for a, b in combinations(ranked, 2):
        assert bool(set(letters[a]) & set(letters[b])) == (b not in worse[a] and a not in worse[b])
