"""Variance components and budgets: known variances are recovered, and simulations confirm the stated power."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from msgspec import structs

from evals.report.metrics import repeat_metrics
from evals.verdicts.budget import RunUsage, budget
from evals.verdicts.components import components
from evals.verdicts.plan import plan
from evals.verdicts.policy import Entry, Policy
from tests.support.synthetic_runs import outcomes, outcomes_of, suite_run

ITEM_COUNT = 4000


def random_run(name: str, probabilities: np.ndarray, *, repeats: int = 1, seed: int = 0, **changes):
    """Return a run of items with these probabilities of a right answer."""
    rng = np.random.default_rng(seed)
    values = {
        f"s{i:05}": (rng.random(repeats) < p).astype(float).tolist() for i, p in enumerate(probabilities)
    }
    return suite_run(name, outcomes(values, repeats=repeats), metrics=repeat_metrics(), **changes)


def random_probabilities(seed: int = 0) -> np.ndarray:
    """Return the probability of a right answer of each item."""
    return np.random.default_rng(seed).beta(1, 1, ITEM_COUNT)


def test_repeats_separate_variance_between_and_within_items():
    estimated = components(random_run("a", random_probabilities(), repeats=8))
    assert estimated.between.variance == pytest.approx(1 / 12, abs=0.006)
    assert estimated.within.variance == pytest.approx(1 / 6, abs=0.006)
    assert estimated.within.source == "a"


def test_the_noise_within_items_is_estimated_from_a_second_run():
    first, second = (
        random_run("a", random_probabilities(), seed=1),
        random_run("b", random_probabilities(), seed=2, model="model-a"),
    )
    assert components(first).within.source == "assumed"
    estimated = components(first, [second])
    assert estimated.within.variance == pytest.approx(1 / 6, abs=0.01)
    assert estimated.within.source == "b"


def test_the_variance_of_true_differences_is_estimated_from_another_models_run():
    baseline_probabilities = random_probabilities()
    other_probabilities = np.clip(
        baseline_probabilities + np.random.default_rng(5).choice([-0.2, 0.2], ITEM_COUNT), 0, 1
    )
    estimated = components(
        random_run("a", baseline_probabilities, repeats=8, seed=1),
        [random_run("b", other_probabilities, repeats=8, seed=2)],
    )
    assert estimated.models.variance == pytest.approx(
        (other_probabilities - baseline_probabilities).var(), abs=0.004
    )
    assert estimated.models.source == "b"


def test_the_assumed_discordance_between_models_is_in_the_range_of_recordings():
    estimated = components(suite_run("a", outcomes_of([float(i % 2) for i in range(ITEM_COUNT)])))
    assert estimated.models.source == "assumed"
    assert 0.32 <= estimated.discordance_of_models <= 0.44


def test_variance_of_wording_and_judge_excludes_that_of_items_and_replies():
    probabilities = random_probabilities() * 0.8
    base = random_run("a", probabilities, repeats=4, seed=1)
    same_accuracy = random_run("b", probabilities, repeats=4, seed=2, model="model-a", protocol="other")
    other_accuracy = random_run(
        "c", probabilities + 0.1, repeats=4, seed=3, model="model-a", protocol="third"
    )
    assert sqrt(components(base, [same_accuracy]).wording.variance) < 0.006
    estimated = components(base, [other_accuracy])
    assert sqrt(estimated.wording.variance) == pytest.approx(0.1 / sqrt(2), abs=0.01)
    assert estimated.judge is None
    other_judge = random_run("d", probabilities + 0.1, repeats=4, seed=4, model="model-a", judge="strict")
    assert components(base, [other_judge]).judge.variance == pytest.approx(
        estimated.wording.variance, rel=0.2
    )


def test_a_copy_scored_under_another_protocol_is_no_evidence_on_wording():
    base = random_run("a", random_probabilities(), repeats=4, seed=1)
    copy = structs.replace(base, run="a-other", protocol="other", prompted=base.protocol)
    assert components(base, [copy]).wording is None
    assert components(copy, [base]).wording is None
    other = random_run("b", random_probabilities(), repeats=4, seed=2, model=base.model, protocol="other")
    assert components(base, [copy, other]).wording.source == "a, b"
    assert components(copy, [other]).within.source == "a-other"


def test_clusters_of_four_equal_items_have_a_design_effect_of_four():
    values = (np.random.default_rng(0).random(ITEM_COUNT) < 0.5).astype(float)
    independent = suite_run("a", outcomes_of(values.tolist()))
    clustered = suite_run(
        "a",
        outcomes_of(
            np.repeat(values[: ITEM_COUNT // 4], 4).tolist(),
            clusters=[f"c{i // 4}" for i in range(ITEM_COUNT)],
        ),
    )
    assert components(independent).design == pytest.approx(1)
    assert components(clustered).design == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("change", ["same model", "another model"])
def test_a_budget_has_a_power_of_80_percent(change):
    baseline_probabilities = random_probabilities()
    spread = 0.2 if change == "another model" else 0.0
    rng = np.random.default_rng(3)
    candidate_probabilities = np.clip(
        baseline_probabilities + rng.choice([-spread, spread], ITEM_COUNT), 0, 1
    )
    estimated = components(
        random_run("a", baseline_probabilities, repeats=16, seed=1),
        [random_run("b", candidate_probabilities, repeats=16, seed=2)],
    )
    drop = 0.05
    budgeted = budget(
        estimated,
        drop,
        change,
        alpha=0.05,
        estimand="items-like-these",
        usage=RunUsage(ITEM_COUNT * 16, 32.0, 640.0),
    )
    assert budgeted.repeats == 1
    assert budgeted.cost_usd == pytest.approx(budgeted.calls * 32 / (ITEM_COUNT * 16))
    detections = 0
    for _ in range(1000):
        drawn_items = rng.choice(ITEM_COUNT, budgeted.items, replace=True)
        shifted_probabilities = (
            candidate_probabilities[drawn_items]
            - candidate_probabilities.mean()
            + baseline_probabilities.mean()
            - drop
        )
        differences = (rng.random(budgeted.items) < shifted_probabilities).astype(float) - (
            rng.random(budgeted.items) < baseline_probabilities[drawn_items]
        )
        detections += differences.mean() / (differences.std(ddof=1) / sqrt(budgeted.items)) < -1.645
    assert detections / 1000 == pytest.approx(0.8, abs=0.06)


def test_a_budget_uses_all_items_before_repeats_and_is_none_if_both_together_lack_power():
    estimated = components(suite_run("a", outcomes_of([float(i % 3 > 0) for i in range(200)])))
    usage = RunUsage(200, None, None)
    rows = [
        budget(estimated, 0.05, change, alpha=0.05, estimand=estimand, usage=usage)
        for change, estimand in (
            ("same model", "items-like-these"),
            ("another model", "items-like-these"),
            ("another model", "these-items"),
            ("another model", "this-run"),
        )
    ]
    assert rows[0].items == 200
    assert rows[0].repeats > 1
    assert rows[1].items is None
    assert rows[1].limit > 0.05
    assert rows[2].items == 200
    assert rows[3].items < 200
    assert rows[3].repeats == 1


def test_a_plan_orders_budgets_by_cost():
    def run_with_cost(name: str, n: int, cost: float):
        values = (np.random.default_rng(1).random(n) < 0.6).astype(float).tolist()
        return structs.replace(suite_run("base", outcomes_of(values), suite=name), cost_usd=cost)

    policy = Policy(suite=(Entry(name="expensive", margin=0.1), Entry(name="cheap", margin=0.1)))
    planned = plan(
        [run_with_cost("expensive", 2000, 90.0), run_with_cost("cheap", 2000, 10.0)],
        policy,
        drop=0.04,
        simulations=200,
    )
    assert [(row.suite, row.change) for row in planned.budgets] == [
        ("cheap", "same model"),
        ("expensive", "same model"),
        ("cheap", "another model"),
        ("expensive", "another model"),
    ]
    assert {row.drop for row in planned.budgets} == {0.04}
    assert planned.budgets[0].cost_usd == pytest.approx(10 * planned.budgets[0].calls / 2000)
