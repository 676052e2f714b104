"""Comparisons of runs made by hand: what is paired, what is refused, what flips, what is missing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from msgspec import structs

from evals.report.metrics import accuracy, at_repeats, mean_value, repeat_metrics
from evals.types import Metric
from evals.verdicts.compare import compare
from evals.verdicts.flips import changed_outcomes, count_verdict_changes
from evals.verdicts.pairs import Pairing, Side
from evals.verdicts.suite_run import incomparability_reasons
from tests.support.lazy import lazy
from tests.support.synthetic_runs import binary, point, side, side_of, suite_run

contingency_tables = lazy("statsmodels.stats.contingency_tables")

MICRO = accuracy()[0]
MACRO = accuracy(macro=True)[1]
MAE = Metric(name="mae", of=mean_value, better="lower", bounds=None, unit="eV", headline=True)


# Pairing


def test_wins_losses_and_mcnemar_of_a_table():
    a = side({"1": 1.0, "2": 1.0, "3": 0.0, "4": 0.0, "5": 1.0})
    b = side({"5": 0.0, "4": 1.0, "3": 1.0, "2": 1.0, "1": 1.0})
    (row, *_) = compare([[suite_run("a", a)], [suite_run("b", b)]]).pairs
    assert (row.wins, row.losses, row.ties, row.n) == (2, 1, 2, 5)
    assert row.difference == pytest.approx(0.2)
    assert (row.value_a, row.value_b) == (0.6, 0.8)
    assert row.test == "Tango"
    assert row.p == pytest.approx(
        contingency_tables.mcnemar([[0, 2], [1, 0]], exact=False, correction=False).pvalue
    )
    assert row.headline


def test_repeats_are_averaged_before_pairing():
    a = side({"1": [1.0, 0.0], "2": [0.0, 0.0]}, repeats=2)
    b = side({"1": [1.0, 1.0, 1.0, 0.0], "2": [1.0, 0.0, 0.0, 0.0]}, repeats=4)
    pairs = Pairing(a, b, MICRO)
    assert pairs.differences(pairs.rows).tolist() == [0.25, 0.25]
    assert pairs.evidence().test == "Gaffke"


def test_metrics_are_compared_only_where_both_runs_have_them():
    a = suite_run("a", side({"1": [1.0, 0.0], "2": [0.0, 0.0]}, repeats=2), metrics=repeat_metrics())
    b = suite_run("b", side({"1": [1.0] * 4, "2": [0.0] * 4}, repeats=4), metrics=repeat_metrics())
    found = compare([[a], [b]])
    assert [row.metric for row in found.pairs] == ["avg@2", "pass@2"]
    assert any("avg@2 of A is compared with avg@4 of B" in note for note in found.notes)


def test_a_mean_over_groups_needs_a_pair_of_each():
    whole = side_of([1.0, 0.0, 1.0, 0.0], groups=["x", "x", "y", "z"])
    part = side({"s00000": 1.0, "s00002": 0.0}, groups=["x", "y"])
    for other in (
        part,
        part._replace(absent_groups=("z",)),
        side({"s00000": 1.0, "s00002": 0.0, "s00003": None}, groups=["x", "y", "z"]),
    ):
        pairs = Pairing(whole, other, MACRO)
        assert pairs.evidence() is None
        assert pairs.values() == (None, None)
        assert Pairing(whole, other, accuracy()[0]).evidence() is not None
    assert Pairing(part, part, MACRO).evidence() is not None
    assert Pairing(part._replace(absent_groups=("z",)), part, MACRO).evidence() is None


def test_macro_is_the_mean_of_group_means():
    a = side({"1": 1.0, "2": 0.0, "3": 0.0, "4": 0.0}, groups=list("xxxy"))
    b = side({"1": 1.0, "2": 1.0, "3": 0.0, "4": 1.0}, groups=list("xxxy"))
    pairs = Pairing(a, b, MACRO)
    assert pairs.evidence().value == pytest.approx((1 / 3 + 1) / 2)
    assert pairs.values() == pytest.approx((1 / 6, 5 / 6))
    assert pairs.evidence(group="y").value == 1


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    values = {f"{i}": float(v) for i, v in enumerate(np.repeat(rng.integers(0, 2, 20), 5))}
    zeros = dict.fromkeys(values, 0.0)
    clusters = [f"c{i // 5}" for i in range(100)]
    alone = Pairing(side(zeros), side(values), MICRO).evidence().interval(0.95)
    shared = Pairing(side(zeros, clusters=clusters), side(values, clusters=clusters), MICRO).evidence()
    assert shared.test == "Gaffke, clustered"
    low, high = shared.interval(0.95)
    assert high - low > 1.8 * (alone[1] - alone[0])


def test_lower_is_better_turns_wins_round_but_not_the_difference():
    a, b = side({"1": 2.0, "2": 3.0, "3": 1.0}), side({"1": 1.0, "2": 1.5, "3": 4.0})
    (row, *_) = compare([[suite_run("a", a, metrics=(MAE,))], [suite_run("b", b, metrics=(MAE,))]]).pairs
    assert row.difference == pytest.approx(1 / 6)
    assert (row.wins, row.losses) == (2, 1)
    assert row.better == "lower"
    assert row.test == "paired t"


def test_whole_metrics_are_resampled_jointly():
    def rmse(points):
        if not points:
            raise ValueError("nothing")
        return float(np.sqrt(np.mean([p.value**2 for p in points])))

    rng = np.random.default_rng(2)
    a = rng.normal(0, 1, 80)
    b = a + rng.normal(0, 0.05, 80)
    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, headline=True)
    sides = [side({str(i): float(v) for i, v in enumerate(values)}) for values in (a, b)]
    (row, *_) = compare(
        [[suite_run(n, s, metrics=(metric,))] for n, s in zip("ab", sides, strict=True)]
    ).pairs
    assert row.test == "paired bootstrap"
    assert row.high - row.low < 0.05  # unpaired it would be near 0.3
    assert row.wins + row.losses + row.ties == 80


# Missing outcomes


def test_missing_outcomes_bound_the_difference_from_both_sides():
    a = side({"1": 1.0, "2": 1.0, "3": None, "4": 0.0})
    b = side({"1": 1.0, "2": None, "3": 1.0, "4": None})
    (row, *_) = compare([[suite_run("a", a)], [suite_run("b", b)]]).pairs
    # statistics.md 4.4: both scored: 1; B missing: 2, 4; A missing: 3
    assert (row.n, row.difference) == (1, 0.0)
    assert row.worst == pytest.approx((0 - 1 - 0 + 0) / 4)
    assert row.best == pytest.approx((0 + 0 + 1 + 1) / 4)
    assert (row.coverage_a, row.coverage_b) == (0.75, 0.5)


def test_missing_repeats_bound_their_sample():
    a = side({"1": [1.0, 1.0], "2": [0.0, 0.0]}, repeats=2)
    b = side({"1": [1.0, None], "2": [0.0, 0.0]}, repeats=2)
    pairs = Pairing(a, b, MICRO)
    assert pairs.evidence().value == 0
    assert pairs.bounds() == (-0.25, 0.0)


def test_missing_repeats_bound_joint_metrics():
    metric = next(m for m in at_repeats(repeat_metrics(), 2) if m.name == "pass@2")
    a = side({"1": [0.0, 0.0], "2": [1.0, 0.0]}, repeats=2)
    b = side({"1": [0.0, None], "2": [1.0, None]}, repeats=2)
    assert Pairing(a, b, metric).bounds() == (0.0, 0.5)


def test_without_bounds_there_is_no_worst_case():
    a, b = side({"1": 2.0, "2": 3.0, "3": 1.0}), side({"1": 1.0, "2": None, "3": 4.0})
    assert Pairing(a, b, MAE).bounds() == (None, None)
    assert Pairing(a, a, MAE).bounds() == (0.0, 0.0)


def test_nothing_paired_is_said_and_not_zero():
    a, b = side({"1": 1.0, "2": None}), side({"1": None, "2": 1.0})
    (row, *_) = compare([[suite_run("a", a)], [suite_run("b", b)]]).pairs
    assert (row.n, row.difference, row.p, row.low) == (0, None, None, None)


def test_samples_of_one_run_only_are_left_out_and_said():
    found = compare([[suite_run("a", binary(3, 6))], [suite_run("b", binary(3, 4))]])
    assert found.pairs[0].n == 4
    assert any("left out 2 samples that only one of the runs expects" in note for note in found.notes)


# Refusals


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"protocol": "official"}, "protocol"),
        ({"data_sha256": "1" * 64}, "data_sha256"),
        ({"scorers": {"choice": "Choice@2"}}, "scorer choice"),
        ({"scorers": {}}, "scorer choice"),
    ],
)
def test_runs_of_another_kind_are_refused_and_the_difference_is_named(change, word):
    a, b = suite_run("a", binary(3, 6)), suite_run("b", binary(3, 6), **change)
    assert word in incomparability_reasons(a, b)[0]
    found = compare([[a], [b]])
    assert (found.comparable, found.pairs) == (False, ())
    forced = compare([[a], [b]], force=True)
    assert (forced.comparable, len(forced.pairs)) == (False, 2)


def test_no_common_suite_is_refused():
    a, b = suite_run("a", binary(3, 6)), suite_run("b", binary(3, 6), suite="other")
    assert compare([[a], [b]]).why_not == ("the runs have no suite in common",)


# Flips


def test_flips_name_what_changed_the_worse_ones_first():
    a, b = side({"1": 1.0, "2": 0.0, "3": 1.0, "4": 1.0}), side({"1": 1.0, "2": 1.0, "3": 0.0, "4": None})
    b.points[2] = point("3", 0.0, verdict="unanswered")
    found = changed_outcomes(a, b)
    assert [(f.id, f.a, f.b, f.worse) for f in found] == [
        ("3", "right", "unanswered", True),
        ("4", "right", "missing", True),
        ("2", "wrong", "right", False),
    ]
    assert count_verdict_changes(found) == {
        "right -> unanswered": 1,
        "right -> missing": 1,
        "wrong -> right": 1,
    }


def test_flips_of_a_gated_suite_hold_no_answers():
    a, b = suite_run("a", binary(3, 6), gated=True), suite_run("b", binary(2, 6), gated=True)
    (flip,) = compare([[a], [b]]).flips
    assert (flip.answer_a, flip.answer_b) == (None, None)


# Families


def test_headlines_are_adjusted_by_holm_and_groups_by_bh():
    groups = ["x", "y"] * 50
    runs = [
        [suite_run(run, binary(right, 100, groups=groups), suite=name) for name in ("one", "two", "three")]
        for run, right in (("a", 40), ("b", 52))
    ]
    found = compare(runs)
    heads = [row for row in found.pairs if row.headline]
    assert [row.p_adjusted for row in heads] == pytest.approx([3 * heads[0].p] * 3)
    assert all(row.adjustment == "benjamini-hochberg" for row in found.pairs if row.group)
    assert [row.low_adjusted < row.low for row in heads] == [True, True, False]
    assert len([row for row in found.pairs if row.group]) == 6


def test_many_groups_of_noise_give_few_discoveries():
    rng = np.random.default_rng(4)
    names = [f"s{i}" for i in range(1400)]
    groups = [f"g{i % 14}" for i in range(1400)]
    a, b = (
        side({n: float(v) for n, v in zip(names, rng.integers(0, 2, 1400), strict=True)}, groups=groups)
        for _ in "ab"
    )
    found = compare([[suite_run("a", a)], [suite_run("b", b)]])
    assert not [row for row in found.pairs if row.group and row.p_adjusted < 0.05]


def test_ranks_have_intervals_and_letters():
    runs = [
        [suite_run(name, binary(right, 200))] for name, right in (("low", 80), ("mid", 120), ("top", 122))
    ]
    found = compare(runs)
    got = {rank.run: (rank.rank_low, rank.rank_high, rank.groups) for rank in found.ranks}
    assert got == {"top": (1, 2, "a"), "mid": (1, 2, "a"), "low": (3, 3, "b")}
    assert len([row for row in found.pairs if row.headline]) == 3


# Size


@pytest.mark.alone
@pytest.mark.slow
def test_twelve_thousand_samples_in_under_two_seconds():
    rng = np.random.default_rng(1)
    groups = [f"g{i % 14}" for i in range(12_032)]
    truth = rng.random(12_032) < 0.5
    sides = [
        side({str(i): float(v) for i, v in enumerate(truth ^ (rng.random(12_032) < 0.06))}, groups=groups)
        for _ in "ab"
    ]
    started = time.process_time()
    found = compare([[suite_run(n, s)] for n, s in zip("ab", sides, strict=True)])
    assert time.process_time() - started < 1.5
    row = found.pairs[0]
    assert row.p == pytest.approx(
        contingency_tables.mcnemar([[0, row.wins], [row.losses, 0]], exact=False, correction=False).pvalue
    )


def test_more_than_two_runs_are_compared_on_headlines_unless_asked():
    runs = [[suite_run(name, side({"1": 1.0, "2": 0.0}, groups=["x", "y"]))] for name in "abc"]
    assert {(row.metric, row.group) for row in compare(runs).pairs} == {("accuracy", "")}
    assert {row.group for row in compare(runs, detail=True).pairs} == {"", "x", "y"}


def test_few_clusters_repeats_and_marks_are_named():
    scores = {str(n): [1.0, float(n % 3 == 0)] for n in range(12)}
    a = suite_run("a", side(scores, repeats=2, clusters=[str(n % 4) for n in range(12)]))
    b = structs.replace(a, run="b", restrictions=("a subset of 12 items",))
    found = compare([[a], [b]])
    row = found.pairs[0]
    assert (row.n, row.repeats_a, row.repeats_b, row.clusters) == (12, 2, 2, 4)
    assert any("12 samples in only 4 clusters" in note for note in found.notes)
    assert [note for note in found.notes if "subset" in note] == [f"a subset of 12 items: toy ({b.model}, b)"]
    both = compare([[structs.replace(a, restrictions=b.restrictions)], [b]])
    assert [note for note in both.notes if "subset" in note] == ["a subset of 12 items: toy"]


def test_the_interval_beside_an_adjusted_p_is_adjusted():
    a = [suite_run("a", side({str(n): 0.0 for n in range(40)}), suite=name) for name in ("s", "t")]
    b = [suite_run("b", side({str(n): float(n < 5) for n in range(40)}), suite=name) for name in ("s", "t")]
    row = compare([a, b]).pairs[0]
    assert row.adjusted_interval == (row.low_adjusted, row.high_adjusted) != (row.low, row.high)


def test_molecules_among_changed_samples_have_their_formulas():
    pytest.importorskip("rdkit")
    from evals.terminal.molecules import flip_lines

    right = structs.replace(point("m", 1.0), answer="CCO", parts={"rung": 4.0})
    wrong = structs.replace(point("m", 0.0), answer="CC", parts={"rung": 1.0})
    golds = side({"m": 1.0}).golds
    found = changed_outcomes(Side([right], golds, 1), Side([wrong], golds, 1))
    assert flip_lines(found, 5, "samples") == [" m: right → wrong (CCO = C2H6O → CC = C2H6)"]
