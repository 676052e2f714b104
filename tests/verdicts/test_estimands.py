"""The estimands this-run, these-items and items-like-these: edge cases, and error rates at the margin by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from evals.report.metrics import accuracy, repeat_metrics
from evals.types import Metric
from evals.verdicts.betting import Bets
from evals.verdicts.compare import compare
from evals.verdicts.estimands import evidence_of, noise_error
from evals.verdicts.gate import gate
from evals.verdicts.pairs import Pairing
from evals.verdicts.plan import plan
from evals.verdicts.policy import parse
from evals.verdicts.within_item_noise import within_item_sd
from tests.support.error_messages import raises
from tests.support.sizes import size
from tests.support.synthetic_runs import binary, outcomes_of, suite_run

AVG: Metric = repeat_metrics()[0]


def policy(estimand: str, margin: float = 0.05):
    return parse(f'estimand = "{estimand}"\n[[suite]]\nname = "toy"\nmargin = {margin}\n'.encode())


def random_side(rng: np.random.Generator, probabilities: np.ndarray, repeats: int):
    """Return the outcomes of random replies to items with these probabilities of a right answer."""
    return outcomes_of(
        [rng.binomial(1, p, repeats).astype(float).tolist() for p in probabilities], repeats=repeats
    )


def test_a_suites_estimand_overrides_that_of_the_policy():
    parsed = parse(
        b'estimand = "this-run"\n[[suite]]\nname = "a"\nmargin = 1\nestimand = "these-items"\n'
        b'[[suite]]\nname = "b"\nmargin = 1\n'
    )
    assert [parsed.estimand_of(entry) for entry in parsed.suite] == ["these-items", "this-run"]
    with raises(ValueError):
        policy("those-items")


def test_thirty_items_with_sixteen_repeats_pass_under_these_items_but_not_under_items_like_these():
    rng = np.random.default_rng(1)
    probabilities = rng.beta(1, 1, 30)
    a, b = (
        suite_run(n, random_side(rng, probabilities, 16), metrics=repeat_metrics()) for n in ("base", "cand")
    )
    assert gate([b], [a], policy("these-items", 0.1)).verdict == "pass"
    assert gate([b], [a], policy("items-like-these", 0.1)).verdict == "cannot tell"
    assert gate([b], [a], policy("these-items", 0.1)).suites[0].estimand == "these-items"


def test_without_repeats_these_items_are_inconclusive_unless_noise_was_measured():
    a, b = (suite_run(n, binary(300, 500)) for n in ("base", "cand"))
    report = gate([b], [a], policy("these-items"))
    assert report.verdict == "cannot tell"
    assert "within-item noise" in report.suites[0].reasons[0]
    assert gate([b], [a], policy("these-items"), limits={("toy", "strict"): 0.03}).verdict == "pass"


def test_the_estimand_this_run_is_the_observed_difference_without_uncertainty():
    a, b = suite_run("base", binary(300, 500)), suite_run("cand", binary(276, 500))
    assert gate([b], [a], policy("this-run")).verdict == "pass"  # a loss of 4.8 points
    worse = suite_run("cand", binary(270, 500))
    assert gate([worse], [a], policy("this-run")).verdict == "regression"
    row = compare([[a], [b]], estimand="this-run").pairs[0]
    assert (row.low, row.high) == (row.difference, row.difference)


def test_under_these_items_a_comparison_of_single_replies_has_no_interval():
    a, b = suite_run("base", binary(300, 500)), suite_run("cand", binary(276, 500))
    row = compare([[a], [b]], estimand="these-items").pairs[0]
    assert (row.p, row.low, round(row.difference, 3)) == (None, None, -0.048)
    assert "unknown" in row.test


def test_the_noise_of_repeats_that_all_agree_is_not_zero():
    run_outcomes = outcomes_of([[1.0, 1.0]] * 10 + [[0.0, 0.0]] * 10, repeats=2)
    assert noise_error(Pairing(run_outcomes, run_outcomes, AVG)) > 0
    unbounded = outcomes_of([[0.5, 0.5]] * 10 + [[2.0, 2.0]] * 10, repeats=2)
    metric = structs.replace(AVG, bounds=None)
    assert noise_error(Pairing(unbounded, unbounded, metric)) == pytest.approx(1.5 / 20 / 2)
    assert within_item_sd(unbounded, metric) == pytest.approx(1.5 / 20 / 2)
    whole = structs.replace(AVG, bounds=None, pool="whole")
    assert noise_error(Pairing(unbounded, unbounded, whole), limit=0.0) is None


@pytest.mark.parametrize(("items", "repeats"), [(30, 4), (30, 16), (198, 4)])
def test_under_these_items_a_loss_at_the_margin_passes_at_a_rate_of_at_most_alpha(items, repeats):
    rng = np.random.default_rng(items + repeats)
    probabilities = rng.beta(1, 0.7, items)
    candidate_probabilities = np.clip(probabilities - 0.06, 0, 1)
    margin = float((probabilities - candidate_probabilities).mean())
    passes, runs = 0, size(120, 400)
    for _ in range(runs):
        a, b = random_side(rng, probabilities, repeats), random_side(rng, candidate_probabilities, repeats)
        evidence = evidence_of(Pairing(a, b, AVG), "these-items")
        passes += evidence is not None and evidence.p_above(-margin) <= 0.05
    assert passes / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def passes_this_run(rng: np.random.Generator, differences: np.ndarray, margin: float) -> bool:
    """Return whether a sequential gate with the estimand this-run passes, checked after every 11 differences."""
    bets = Bets(margin=margin, population=float(len(differences)))
    shuffled = rng.permutation(differences)
    for start in range(0, len(shuffled), 11):
        bets.add(shuffled[start : start + 11])
        if bets.passes(0.05):
            return True
    return False


def test_under_this_run_an_unchanged_model_passes_on_as_many_items_as_gpqa_diamond_has():
    rng = np.random.default_rng(3)
    decisions = [
        passes_this_run(rng, rng.choice([1.0, 0.0, -1.0], 198, p=[0.075, 0.85, 0.075]), 0.08)
        for _ in range(200)
    ]
    assert np.mean(decisions) >= 0.9


def test_under_this_run_a_run_that_loses_exactly_the_margin_rarely_passes():
    rng = np.random.default_rng(4)
    passes = 0
    for _ in range(400):
        differences = rng.permutation(np.repeat([1.0, -1.0, 0.0], [15, 25, 158]))
        bets = Bets(margin=10 / 198, population=198.0)
        bets.add(differences)
        passes += bets.passes(0.05)
    assert passes / 400 <= 0.07


def test_the_plans_forecast_depends_on_the_estimand():
    rng = np.random.default_rng(5)
    base = suite_run("base", random_side(rng, rng.beta(1, 1, 30), 16), metrics=repeat_metrics())
    pass_rates = {
        name: plan([base], policy(name), simulations=400).suites[0].passes_unchanged
        for name in ("items-like-these", "these-items", "this-run")
    }
    assert pass_rates["items-like-these"] < 0.1 < 0.3 < pass_rates["these-items"] < pass_rates["this-run"]


def test_the_observed_difference_is_the_same_under_every_estimand():
    a, b = suite_run("base", binary(30, 50)), suite_run("cand", binary(28, 50))
    differences = {
        compare([[a], [b]], estimand=name).pairs[0].difference
        for name in ("items-like-these", "these-items", "this-run")
    }
    assert len(differences) == 1
    assert accuracy()[0].headline
