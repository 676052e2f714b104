"""Comparisons of synthetic runs: pairing, missing outcomes, refusals, changed samples, corrections for several tests."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from msgspec import structs

from evals.report.metrics import accuracy, at_repeats, mean_value, repeat_metrics
from evals.types import Metric
from evals.verdicts.baseline import hash_ids, read, write
from evals.verdicts.compare import compare
from evals.verdicts.comparison_text import sentences
from evals.verdicts.flips import changed_outcomes, count_verdict_changes
from evals.verdicts.formatting import format_p
from evals.verdicts.pairs import Outcomes, Pairing
from evals.verdicts.suite_run import incomparability_reasons, values_on_shared_samples
from tests.support.cpu_time import assert_cpu_time
from tests.support.lazy import lazy
from tests.support.synthetic_runs import binary, outcomes, outcomes_of, point, suite_run

contingency_tables = lazy("statsmodels.stats.contingency_tables")

MICRO = accuracy()[0]
MACRO = accuracy(macro=True)[1]
MAE = Metric(name="mae", of=mean_value, better="lower", bounds=None, unit="eV", headline=True)


# Pairing


def test_wins_losses_and_mcnemars_p_value_of_paired_samples():
    a = outcomes({"1": 1.0, "2": 1.0, "3": 0.0, "4": 0.0, "5": 1.0})
    b = outcomes({"5": 0.0, "4": 1.0, "3": 1.0, "2": 1.0, "1": 1.0})
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
    a = outcomes({"1": [1.0, 0.0], "2": [0.0, 0.0]}, repeats=2)
    b = outcomes({"1": [1.0, 1.0, 1.0, 0.0], "2": [1.0, 0.0, 0.0, 0.0]}, repeats=4)
    pairing = Pairing(a, b, MICRO)
    assert pairing.differences(pairing.rows).tolist() == [0.25, 0.25]
    assert pairing.evidence().test == "Gaffke"


def test_runs_with_different_repeats_are_compared_only_on_the_metrics_of_both():
    a = suite_run("a", outcomes({"1": [1.0, 0.0], "2": [0.0, 0.0]}, repeats=2), metrics=repeat_metrics())
    b = suite_run("b", outcomes({"1": [1.0] * 4, "2": [0.0] * 4}, repeats=4), metrics=repeat_metrics())
    comparison = compare([[a], [b]])
    assert [row.metric for row in comparison.pairs] == ["avg@2", "pass@2"]
    assert any("avg@2 of A is compared with avg@4 of B" in note for note in comparison.notes)


def test_a_mean_over_groups_needs_a_pair_in_every_group():
    complete = outcomes_of([1.0, 0.0, 1.0, 0.0], groups=["x", "x", "y", "z"])
    partial = outcomes({"s00000": 1.0, "s00002": 0.0}, groups=["x", "y"])
    for incomplete in (
        partial,
        partial._replace(absent_groups=("z",)),
        outcomes({"s00000": 1.0, "s00002": 0.0, "s00003": None}, groups=["x", "y", "z"]),
    ):
        pairing = Pairing(complete, incomplete, MACRO)
        assert pairing.evidence() is None
        assert pairing.values() == (None, None)
        assert Pairing(complete, incomplete, accuracy()[0]).evidence() is not None
    assert Pairing(partial, partial, MACRO).evidence() is not None
    assert Pairing(partial._replace(absent_groups=("z",)), partial, MACRO).evidence() is None


def test_hashing_ids_for_a_baseline_file_keeps_the_groups_that_a_subset_lacks():
    runs = [
        hash_ids(suite_run(name, outcomes_of([1.0, 0.0], groups=["x", "y"])._replace(absent_groups=("z",))))
        for name in "ab"
    ]
    assert Pairing(runs[0].outcomes, runs[1].outcomes, MACRO).evidence() is None


def test_a_baseline_file_states_that_its_run_covers_a_subset_and_which_groups_it_lacks(tmp_path):
    subset = outcomes_of([1.0, 0.0], groups=["x", "y"])._replace(absent_groups=("z",))
    run = suite_run("a", subset, suite="mmlu-pro", restrictions=("a subset of 2 items",))
    write(tmp_path / "base.jsonl", [run])
    runs = read(tmp_path / "base.jsonl")
    comparison = compare([runs, runs])
    (macro,) = (row for row in comparison.pairs if row.metric == "accuracy_macro" and not row.group)
    assert macro.value_a is None
    assert "a subset of 2 items: mmlu-pro" in comparison.notes


def test_macro_is_the_mean_of_group_means():
    a = outcomes({"1": 1.0, "2": 0.0, "3": 0.0, "4": 0.0}, groups=list("xxxy"))
    b = outcomes({"1": 1.0, "2": 1.0, "3": 0.0, "4": 1.0}, groups=list("xxxy"))
    pairing = Pairing(a, b, MACRO)
    assert pairing.evidence().value == pytest.approx((1 / 3 + 1) / 2)
    assert pairing.values() == pytest.approx((1 / 6, 5 / 6))
    assert pairing.evidence(group="y").value == 1


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    values = {f"{i}": float(v) for i, v in enumerate(np.repeat(rng.integers(0, 2, 20), 5))}
    zeros = dict.fromkeys(values, 0.0)
    clusters = [f"c{i // 5}" for i in range(100)]
    unclustered = Pairing(outcomes(zeros), outcomes(values), MICRO).evidence().interval(0.95)
    clustered = Pairing(
        outcomes(zeros, clusters=clusters), outcomes(values, clusters=clusters), MICRO
    ).evidence()
    assert clustered.test == "Gaffke, clustered"
    low, high = clustered.interval(0.95)
    assert high - low > 1.8 * (unclustered[1] - unclustered[0])


def test_if_lower_is_better_a_decrease_is_a_win_but_differences_keep_their_sign():
    a, b = outcomes({"1": 2.0, "2": 3.0, "3": 1.0}), outcomes({"1": 1.0, "2": 1.5, "3": 4.0})
    (row, *_) = compare([[suite_run("a", a, metrics=(MAE,))], [suite_run("b", b, metrics=(MAE,))]]).pairs
    assert row.difference == pytest.approx(1 / 6)
    assert (row.wins, row.losses) == (2, 1)
    assert row.better == "lower"
    assert row.test == "paired t"


def test_metrics_of_whole_runs_are_bootstrapped_jointly():
    def rmse(points):
        if not points:
            raise ValueError("no points")
        return float(np.sqrt(np.mean([p.value**2 for p in points])))

    rng = np.random.default_rng(2)
    a = rng.normal(0, 1, 80)
    b = a + rng.normal(0, 0.05, 80)
    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, headline=True)
    both_outcomes = [outcomes({str(i): float(v) for i, v in enumerate(values)}) for values in (a, b)]
    (row, *_) = compare(
        [
            [suite_run(name, run_outcomes, metrics=(metric,))]
            for name, run_outcomes in zip("ab", both_outcomes, strict=True)
        ]
    ).pairs
    assert row.test == "paired bootstrap"
    assert row.high - row.low < 0.05  # unpaired, it would be about 0.3
    assert row.wins + row.losses + row.ties == 80


# Missing outcomes


def test_missing_outcomes_of_both_runs_count_in_the_bounds_of_the_difference():
    a = outcomes({"1": 1.0, "2": 1.0, "3": None, "4": 0.0})
    b = outcomes({"1": 1.0, "2": None, "3": 1.0, "4": None})
    (row, *_) = compare([[suite_run("a", a)], [suite_run("b", b)]]).pairs
    # both scored: 1; missing in B: 2 and 4; missing in A: 3
    assert (row.n, row.difference) == (1, 0.0)
    assert row.worst == pytest.approx((0 - 1 - 0 + 0) / 4)
    assert row.best == pytest.approx((0 + 0 + 1 + 1) / 4)
    assert (row.coverage_a, row.coverage_b) == (0.75, 0.5)


def test_a_missing_repeat_changes_only_the_bounds_of_its_sample():
    a = outcomes({"1": [1.0, 1.0], "2": [0.0, 0.0]}, repeats=2)
    b = outcomes({"1": [1.0, None], "2": [0.0, 0.0]}, repeats=2)
    pairing = Pairing(a, b, MICRO)
    assert pairing.evidence().value == 0
    assert pairing.bounds() == (-0.25, 0.0)


def test_missing_repeats_count_in_the_bounds_of_pass_at_k():
    metric = next(m for m in at_repeats(repeat_metrics(), 2) if m.name == "pass@2")
    a = outcomes({"1": [0.0, 0.0], "2": [1.0, 0.0]}, repeats=2)
    b = outcomes({"1": [0.0, None], "2": [1.0, None]}, repeats=2)
    assert Pairing(a, b, metric).bounds() == (0.0, 0.5)


def test_metrics_without_bounds_have_no_worst_case():
    a, b = outcomes({"1": 2.0, "2": 3.0, "3": 1.0}), outcomes({"1": 1.0, "2": None, "3": 4.0})
    assert Pairing(a, b, MAE).bounds() == (None, None)
    assert Pairing(a, a, MAE).bounds() == (0.0, 0.0)


def test_without_paired_samples_the_difference_is_none_and_not_zero():
    a, b = outcomes({"1": 1.0, "2": None}), outcomes({"1": None, "2": 1.0})
    (row, *_) = compare([[suite_run("a", a)], [suite_run("b", b)]]).pairs
    assert (row.n, row.difference, row.p, row.low) == (0, None, None, None)


def test_samples_of_only_one_run_are_left_out_with_a_note():
    comparison = compare([[suite_run("a", binary(3, 6))], [suite_run("b", binary(3, 4))]])
    assert comparison.pairs[0].n == 4
    assert any("left out 2 samples that only one of the runs expects" in note for note in comparison.notes)


# Refusals


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": "official"}, "protocol"),
        ({"data_sha256": "1" * 64}, "data_sha256"),
        ({"scorers": {"choice": "Choice@2"}}, "scorer choice"),
        ({"scorers": {}}, "scorer choice"),
        ({"version": "2"}, "version of the suite"),
    ],
)
def test_runs_that_are_not_comparable_are_refused_with_the_reason_unless_forced(change, reason):
    a, b = suite_run("a", binary(3, 6)), suite_run("b", binary(3, 6), **change)
    assert reason in incomparability_reasons(a, b)[0]
    refused = compare([[a], [b]])
    assert (refused.comparable, refused.pairs) == (False, ())
    forced = compare([[a], [b]], force=True)
    assert (forced.comparable, len(forced.pairs)) == (False, 2)


def test_forced_comparisons_use_the_scorer_that_a_run_has():
    metrics = tuple(structs.replace(metric, scorer="choice") for metric in accuracy())
    a = suite_run("a", binary(30, 60), metrics=metrics)
    own_metrics = tuple(structs.replace(metric, scorer="other") for metric in accuracy())
    for b_metrics in (accuracy(), own_metrics):
        b = suite_run(
            "b", binary(20, 60), metrics=b_metrics, protocol="official", scorers={"other": "Other@1"},
            outcomes_by_scorer={"other": binary(20, 60)},
        )  # fmt: skip
        (row, *_) = compare([[a], [b]], force=True).pairs
        assert row.difference == pytest.approx(-1 / 6)


def test_a_baseline_file_without_the_version_of_the_suite_is_still_comparable():
    a, b = suite_run("a", binary(3, 6), version=""), suite_run("b", binary(3, 6))
    assert incomparability_reasons(a, b) == []


def test_runs_without_a_common_suite_are_refused():
    a, b = suite_run("a", binary(3, 6)), suite_run("b", binary(3, 6), suite="other")
    assert compare([[a], [b]]).why_not == ("the runs have no suite in common",)


def test_a_suite_run_under_several_protocols_is_compared_under_the_first_that_both_runs_have():
    strict, official = ({"protocol": name} for name in ("strict", "official"))
    a = [suite_run("a1", binary(3, 6), **strict), suite_run("a2", binary(3, 6), **official)]
    b = [suite_run("b1", binary(4, 6), protocol="own"), suite_run("b2", binary(4, 6), **official)]
    comparison = compare([a, b])
    assert comparison.comparable
    assert {(row.a, row.b, row.protocol) for row in comparison.pairs} == {("a2", "b2", "official")}
    assert [cost.run for cost in comparison.runs] == ["a2", "b2"]
    assert [note for note in comparison.notes if "left out runs under strict, own" in note]
    assert not compare([a[1:], b[1:]]).notes


# Changed samples


def test_changed_samples_are_listed_with_both_verdicts_worse_ones_first():
    a, b = (
        outcomes({"1": 1.0, "2": 0.0, "3": 1.0, "4": 1.0}),
        outcomes({"1": 1.0, "2": 1.0, "3": 0.0, "4": None}),
    )
    b.points[2] = point("3", 0.0, verdict="unanswered")
    flips = changed_outcomes(a, b)
    assert [(f.id, f.a, f.b, f.worse) for f in flips] == [
        ("3", "right", "unanswered", True),
        ("4", "right", "missing", True),
        ("2", "wrong", "right", False),
    ]
    assert count_verdict_changes(flips) == {
        "right -> unanswered": 1,
        "right -> missing": 1,
        "wrong -> right": 1,
    }


def test_changed_samples_of_a_gated_suite_contain_no_answers():
    a, b = suite_run("a", binary(3, 6), gated=True), suite_run("b", binary(2, 6), gated=True)
    (flip,) = compare([[a], [b]]).flips
    assert (flip.answer_a, flip.answer_b) == (None, None)


# Corrections for several tests


def test_headlines_are_adjusted_by_holm_and_groups_by_benjamini_hochberg():
    groups = ["x", "y"] * 50
    runs = [
        [suite_run(run, binary(right, 100, groups=groups), suite=name) for name in ("one", "two", "three")]
        for run, right in (("a", 40), ("b", 52))
    ]
    comparison = compare(runs)
    headlines = [row for row in comparison.pairs if row.headline]
    assert [row.p_adjusted for row in headlines] == pytest.approx([3 * headlines[0].p] * 3)
    assert all(row.adjustment == "benjamini-hochberg" for row in comparison.pairs if row.group)
    assert [row.low_adjusted < row.low for row in headlines] == [True, True, False]
    assert len([row for row in comparison.pairs if row.group]) == 6


def test_fourteen_groups_without_a_true_difference_give_no_discovery():
    rng = np.random.default_rng(4)
    names = [f"s{i}" for i in range(1400)]
    groups = [f"g{i % 14}" for i in range(1400)]
    a, b = (
        outcomes({n: float(v) for n, v in zip(names, rng.integers(0, 2, 1400), strict=True)}, groups=groups)
        for _ in "ab"
    )
    comparison = compare([[suite_run("a", a)], [suite_run("b", b)]])
    assert not [row for row in comparison.pairs if row.group and row.p_adjusted < 0.05]


def test_ranks_have_intervals_and_letters():
    runs = [
        [suite_run(name, binary(right, 200))] for name, right in (("low", 80), ("mid", 120), ("top", 122))
    ]
    comparison = compare(runs)
    ranks = {rank.run: (rank.rank_low, rank.rank_high, rank.groups) for rank in comparison.ranks}
    assert ranks == {"top": (1, 2, "a"), "mid": (1, 2, "a"), "low": (3, 3, "b")}
    assert len([row for row in comparison.pairs if row.headline]) == 3


def test_runs_of_several_models_with_one_id_are_told_apart_also_in_their_ranks():
    runs = [
        [suite_run("v1", binary(right, 40), model=model)]
        for model, right in (("full", 40), ("none", 0), ("half", 20))
    ]
    assert compare(runs[:2]).pairs[0].difference == -1.0
    comparison = compare(runs)
    assert [row.difference for row in comparison.pairs] == pytest.approx([-1.0, -0.5, 0.5])
    ranks = [(rank.run, rank.model, rank.value, rank.groups) for rank in comparison.ranks]
    assert ranks == [("v1", "full", 1.0, "a"), ("v1", "half", 0.5, "b"), ("v1", "none", 0.0, "c")]
    assert sentences(comparison) == [
        "toy: full has the best score (100.00 %); significantly worse: half, none."
    ]


def test_ranked_values_are_those_on_the_samples_scored_in_all_runs_whatever_their_order():
    numbers = range(100)
    runs = {
        "a": outcomes_of([float(i < 60) for i in numbers]),
        "b": outcomes_of([float(i < 58) if i < 60 else None for i in numbers]),
        "c": outcomes_of([float(i < 50) for i in numbers]),
    }
    for order in permutations(runs):
        ranks = compare([[suite_run(name, runs[name])] for name in order]).ranks
        values = {rank.run: rank.value for rank in ranks}
        assert values == pytest.approx({"a": 1.0, "b": 58 / 60, "c": 50 / 60})
        assert [rank.run for rank in ranks] == ["a", "b", "c"]


def test_ranked_values_of_macro_means_and_of_metrics_of_whole_runs_are_defined_on_shared_samples():
    def rmse(points):
        if not points:
            raise ValueError
        return float(np.sqrt(np.mean([point.value**2 for point in points])))

    groups = list("xxyz")
    partial = outcomes_of([1.0, None, 0.0, 1.0], groups=groups)
    macro = [
        suite_run(name, outcomes_of([1.0, 0.0, 1.0, 0.0], groups=groups), metrics=[MACRO]) for name in "ab"
    ]
    assert values_on_shared_samples([*macro, suite_run("c", partial, metrics=[MACRO])]) == pytest.approx(
        [2 / 3, 2 / 3, 2 / 3]
    )
    without_z = outcomes_of([1.0, 0.0, 1.0, None], groups=groups)
    assert values_on_shared_samples([*macro, suite_run("c", without_z, metrics=[MACRO])]) == [None] * 3
    whole = structs.replace(MAE, of=rmse, pool="whole")
    errors = [suite_run("a", outcomes_of([3.0, 4.0, 9.0]), metrics=[whole])]
    errors.append(suite_run("b", outcomes_of([0.0, 1.0, None]), metrics=[whole]))
    assert values_on_shared_samples(errors) == pytest.approx([np.sqrt(12.5), np.sqrt(0.5)])


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0496, "0.0496"), (0.049999, "0.049999"), (0.05, "0.05"), (0.0504, "0.0504"), (0.0512, "0.051"),
        (0.012, "0.012"), (0.0, "< 0.0001"), (1.0, "1"), (None, "-"),
    ],
)  # fmt: skip
def test_no_p_value_is_rounded_to_the_significance_level(p, text):
    assert format_p(p) == text


# Time, notes and options


@pytest.mark.alone
@pytest.mark.slow
def test_twelve_thousand_samples_are_compared_in_one_and_a_half_seconds():
    rng = np.random.default_rng(1)
    groups = [f"g{i % 14}" for i in range(12_032)]
    truth = rng.random(12_032) < 0.5
    both_outcomes = [
        outcomes({str(i): float(v) for i, v in enumerate(truth ^ (rng.random(12_032) < 0.06))}, groups=groups)
        for _ in "ab"
    ]
    runs = [[suite_run(name, run_outcomes)] for name, run_outcomes in zip("ab", both_outcomes, strict=True)]
    comparison = assert_cpu_time(1.5, lambda: compare(runs))
    row = comparison.pairs[0]
    assert row.p == pytest.approx(
        contingency_tables.mcnemar([[0, row.wins], [row.losses, 0]], exact=False, correction=False).pvalue
    )


def test_more_than_two_runs_are_compared_on_headlines_only_unless_detail_is_requested():
    runs = [[suite_run(name, outcomes({"1": 1.0, "2": 0.0}, groups=["x", "y"]))] for name in "abc"]
    assert {(row.metric, row.group) for row in compare(runs).pairs} == {("accuracy", "")}
    assert {row.group for row in compare(runs, detail=True).pairs} == {"", "x", "y"}


def test_notes_name_few_clusters_and_restrictions():
    scores = {str(n): [1.0, float(n % 3 == 0)] for n in range(12)}
    a = suite_run("a", outcomes(scores, repeats=2, clusters=[str(n % 4) for n in range(12)]))
    b = structs.replace(a, run="b", restrictions=("a subset of 12 items",))
    comparison = compare([[a], [b]])
    row = comparison.pairs[0]
    assert (row.n, row.repeats_a, row.repeats_b, row.clusters) == (12, 2, 2, 4)
    assert any("12 samples in only 4 clusters" in note for note in comparison.notes)
    assert [note for note in comparison.notes if "subset" in note] == [
        f"a subset of 12 items: toy ({b.model}, b)"
    ]
    both_restricted = compare([[structs.replace(a, restrictions=b.restrictions)], [b]])
    assert [note for note in both_restricted.notes if "subset" in note] == ["a subset of 12 items: toy"]


def test_the_interval_beside_an_adjusted_p_value_is_adjusted_too():
    a = [suite_run("a", outcomes({str(n): 0.0 for n in range(40)}), suite=name) for name in ("s", "t")]
    b = [
        suite_run("b", outcomes({str(n): float(n < 5) for n in range(40)}), suite=name) for name in ("s", "t")
    ]
    row = compare([a, b]).pairs[0]
    assert row.adjusted_interval == (row.low_adjusted, row.high_adjusted) != (row.low, row.high)


def test_changed_molecules_are_listed_with_their_formulas():
    pytest.importorskip("rdkit")
    from evals.terminal.molecules import flip_lines

    right = structs.replace(point("m", 1.0), answer="CCO", parts={"rung": 4.0})
    wrong = structs.replace(point("m", 0.0), answer="CC", parts={"rung": 1.0})
    golds = outcomes({"m": 1.0}).golds
    flips = changed_outcomes(Outcomes([right], golds, 1), Outcomes([wrong], golds, 1))
    assert flip_lines(flips, 5, "samples") == [" m: right → wrong (CCO = C2H6O → CC = C2H6)"]


def test_a_run_that_is_compared_with_itself_is_named():
    run = suite_run("a", binary(30, 50))
    assert "toy: a is compared with itself" in compare([[run], [run]]).notes
    assert "itself" not in " ".join(compare([[run], [suite_run("b", binary(30, 50))]]).notes)
