"""Components of variance and budgets: known truths come out, and the promised power holds in simulation."""

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
from tests.support.synthetic_runs import side, side_of, suite_run

N = 4000


def run(name: str, chances: np.ndarray, *, repeats: int = 1, seed: int = 0, **changes):
    rng = np.random.default_rng(seed)
    values = {f"s{i:05}": (rng.random(repeats) < p).astype(float).tolist() for i, p in enumerate(chances)}
    return suite_run(name, side(values, repeats=repeats), metrics=repeat_metrics(), **changes)


def chances(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(1, 1, N)


def test_repeats_tell_between_and_within_apart():
    found = components(run("a", chances(), repeats=8))
    assert found.between.variance == pytest.approx(1 / 12, abs=0.006)
    assert found.within.variance == pytest.approx(1 / 6, abs=0.006)
    assert found.within.source == "a"


def test_a_second_run_tells_the_noise_within_items():
    first, second = run("a", chances(), seed=1), run("b", chances(), seed=2, model="model-a")
    assert components(first).within.source == "assumed"
    found = components(first, [second])
    assert found.within.variance == pytest.approx(1 / 6, abs=0.01)
    assert found.within.source == "b"


def test_another_model_tells_the_variance_of_true_differences():
    own = chances()
    other = np.clip(own + np.random.default_rng(5).choice([-0.2, 0.2], N), 0, 1)
    found = components(run("a", own, repeats=8, seed=1), [run("b", other, repeats=8, seed=2)])
    assert found.models.variance == pytest.approx((other - own).var(), abs=0.004)
    assert found.models.source == "b"


def test_assumed_discordance_between_models_is_that_of_recordings():
    found = components(suite_run("a", side_of([float(i % 2) for i in range(N)])))
    assert found.models.source == "assumed"
    assert 0.32 <= found.discordance_of_models <= 0.44


def test_wording_and_judge_move_the_score_beyond_what_items_explain():
    own = chances() * 0.8
    base = run("a", own, repeats=4, seed=1)
    same = run("b", own, repeats=4, seed=2, model="model-a", protocol="other")
    moved = run("c", own + 0.1, repeats=4, seed=3, model="model-a", protocol="third")
    assert sqrt(components(base, [same]).wording.variance) < 0.006
    found = components(base, [moved])
    assert sqrt(found.wording.variance) == pytest.approx(0.1 / sqrt(2), abs=0.01)
    assert found.judge is None
    judged = run("d", own + 0.1, repeats=4, seed=4, model="model-a", judge="strict")
    assert components(base, [judged]).judge.variance == pytest.approx(found.wording.variance, rel=0.2)


def test_macro_means_and_clusters_need_more_items():
    values = (np.random.default_rng(0).random(N) < 0.5).astype(float)
    plain = suite_run("a", side_of(values.tolist()))
    shared = suite_run(
        "a", side_of(np.repeat(values[: N // 4], 4).tolist(), clusters=[f"c{i // 4}" for i in range(N)])
    )
    assert components(plain).design == pytest.approx(1)
    assert components(shared).design == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("change", ["same model", "another model"])
def test_a_budget_has_the_promised_power(change):
    own = chances()
    spread = 0.2 if change == "another model" else 0.0
    rng = np.random.default_rng(3)
    other = np.clip(own + rng.choice([-spread, spread], N), 0, 1)
    parts = components(run("a", own, repeats=16, seed=1), [run("b", other, repeats=16, seed=2)])
    drop = 0.05
    found = budget(
        parts, drop, change, alpha=0.05, estimand="items-like-these", usage=RunUsage(N * 16, 32.0, 640.0)
    )
    assert found.repeats == 1
    assert found.cost_usd == pytest.approx(found.calls * 32 / (N * 16))
    seen = 0
    for _ in range(1000):
        chosen = rng.choice(N, found.items, replace=True)
        fall = other[chosen] - other.mean() + own.mean() - drop
        d = (rng.random(found.items) < fall).astype(float) - (rng.random(found.items) < own[chosen])
        seen += d.mean() / (d.std(ddof=1) / sqrt(found.items)) < -1.645
    assert seen / 1000 == pytest.approx(0.8, abs=0.06)


def test_items_come_before_replies_and_replies_end_where_items_are_the_limit():
    parts = components(suite_run("a", side_of([float(i % 3 > 0) for i in range(200)])))
    used = RunUsage(200, None, None)
    rows = [
        budget(parts, 0.05, change, alpha=0.05, estimand=estimand, usage=used)
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


def test_a_plan_ranks_suites_by_what_a_drop_costs():
    def priced(name: str, n: int, cost: float):
        values = (np.random.default_rng(1).random(n) < 0.6).astype(float).tolist()
        return structs.replace(suite_run("base", side_of(values), suite=name), cost_usd=cost)

    rules = Policy(suite=(Entry(name="dear", margin=0.1), Entry(name="cheap", margin=0.1)))
    found = plan([priced("dear", 2000, 90.0), priced("cheap", 2000, 10.0)], rules, drop=0.04, simulations=200)
    assert [(row.suite, row.change) for row in found.budgets] == [
        ("cheap", "same model"),
        ("dear", "same model"),
        ("cheap", "another model"),
        ("dear", "another model"),
    ]
    assert {row.drop for row in found.budgets} == {0.04}
    assert found.budgets[0].cost_usd == pytest.approx(10 * found.budgets[0].calls / 2000)
