"""Tests, forecasts and budgets against second implementations, by statsmodels, scipy and the papers' formulas."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest

from evals.report.strata import stratified_mean_and_error
from evals.verdicts.betting import Bets, stakes
from evals.verdicts.budget import RunUsage, budget
from evals.verdicts.components import components
from evals.verdicts.control_variates import FOLDS, build_predictors, cross_fit
from evals.verdicts.difference import DiscordantCounts
from evals.verdicts.simulated_designs import repeats_distribution
from tests.support.lazy import lazy
from tests.support.synthetic_runs import outcomes, outcomes_of, suite_run
from tests.support.tables import table

integrate = lazy("scipy.integrate")
optimize = lazy("scipy.optimize")
scipy_stats = lazy("scipy.stats")


@table(("gains", "losses", "n"), [(28, 25, 618), (3, 9, 40), (0, 4, 30), (60, 20, 198)])
@table("delta", [-0.3, -0.05, 0.0, 0.1])
def test_tangos_score_agrees_with_maximum_likelihood(gains: int, losses: int, n: int, delta: float) -> None:
    """The score is the excess divided by its standard error at the most likely probabilities under the hypothesis."""

    def negative_log_likelihood(loss: float) -> float:
        probabilities = (loss + delta, loss, 1 - delta - 2 * loss)
        observed = (gains, losses, n - gains - losses)
        return -sum(k * log(max(p, 1e-300)) for k, p in zip(observed, probabilities, strict=True) if k)

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    loss = optimize.minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    ).x
    variance = n * (2 * loss + delta - delta**2)
    assert DiscordantCounts(gains, losses, n).score(delta) == pytest.approx(
        (gains - losses - n * delta) / sqrt(variance), rel=2e-4
    )


def test_bets_without_replacement_agree_with_the_papers_formula() -> None:
    """Waudby-Smith and Ramdas, section 5: after each draw the hypothesis fixes the mean of the remaining values."""
    gains = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 150, p=[0.1, 0.8, 0.1])
    bets = Bets(margin=0.08, population=198.0)
    bets.add(gains)
    wealth, max_wealth, total = np.ones(len(stakes(0.08))), 0.0, 0.0
    for i, gain in enumerate(gains.tolist()):
        mean = (198 * -0.08 - total) / (198 - i)
        wealth *= 1 + stakes(0.08) * (gain - mean) / (1 + mean)
        max_wealth, total = max(max_wealth, float(wealth.mean())), total + gain
    assert np.exp(bets.max_log_pass_wealth) == pytest.approx(max_wealth, rel=1e-9)


@pytest.mark.parametrize(("repeats", "loss"), [(1, 0.1), (4, 0.0), (4, 0.2), (16, 0.05)])
def test_the_distribution_of_differences_of_repeats_agrees_with_numerical_integration(
    repeats: int, loss: float
) -> None:
    distribution = repeats_distribution(2.0, 1.5, repeats=repeats, loss=loss)
    kept_share = 1 - loss * 3.5 / 2.0

    def density(difference: int, p: float) -> float:
        before = scipy_stats.binom.pmf(np.arange(repeats + 1), repeats, p)
        after = scipy_stats.binom.pmf(np.arange(repeats + 1) + difference, repeats, kept_share * p)
        return float(before @ after) * scipy_stats.beta.pdf(p, 2.0, 1.5)

    for index, difference in enumerate(range(-repeats, repeats + 1)):
        expected = integrate.quad(lambda p, d=difference: density(d, p), 0, 1)[0]
        assert distribution.probabilities[index] == pytest.approx(expected, abs=1e-7)


def test_the_stratified_standard_error_agrees_with_the_survey_formula() -> None:
    rng = np.random.default_rng(8)
    sizes = {"a": 25, "b": 60, "c": 140}
    groups = [group for group, size in sizes.items() for _ in range(size)]
    values = rng.normal(0, 1, len(groups)) + np.array([{"a": 0, "b": 1, "c": 3}[group] for group in groups])
    estimate = stratified_mean_and_error(values, groups)
    by_group = [values[np.array(groups) == group] for group in sizes]
    terms = [part.var(ddof=1) / len(part) / 9 for part in by_group]
    assert estimate.value == pytest.approx(np.mean([part.mean() for part in by_group]))
    assert estimate.error == pytest.approx(sqrt(sum(terms)))
    expected_df = sum(terms) ** 2 / sum(t**2 / (len(p) - 1) for t, p in zip(terms, by_group, strict=True))
    assert estimate.df == pytest.approx(expected_df)


def test_variance_components_agree_with_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(9)
    replies = (rng.random((80, 4)) < rng.beta(1, 1, 80)[:, None]).astype(float)
    rows = {f"s{i}": row for i, row in enumerate(replies.tolist())}
    estimated = components(suite_run("a", outcomes(rows, repeats=4)))
    items = np.repeat(np.arange(80), 4)
    import statsmodels.api as sm

    fit = sm.OLS(replies.ravel(), sm.add_constant(np.eye(80)[items][:, 1:])).fit()
    within = fit.mse_resid
    assert estimated is not None
    assert estimated.within.variance == pytest.approx(within)
    assert estimated.between.variance == pytest.approx((fit.mse_model - within) / 4)


def test_a_budget_agrees_with_statsmodels_power_analysis() -> None:
    from statsmodels.stats.power import NormalIndPower

    estimated = components(suite_run("a", outcomes_of([float(i % 2) for i in range(4000)])), discordance=0.2)
    assert estimated is not None
    usage = RunUsage(replies=4000, cost_usd=None, seconds=None)
    row = budget(estimated, 0.03, "same model", alpha=0.05, estimand="items-like-these", usage=usage)
    effect = 0.03 / sqrt(0.2)
    expected = NormalIndPower(ddof=0).solve_power(
        effect, ratio=0, alpha=0.05, power=0.8, alternative="larger"
    )
    assert row.items == pytest.approx(expected, abs=1)


def test_cross_fitted_residuals_agree_with_regression_on_pseudo_items() -> None:
    """A ridge penalty is equivalent to further items, each with the square root of a penalty as predictor and the score 0."""
    import statsmodels.api as sm

    rng = np.random.default_rng(10)
    groups = [f"g{i % 5}" for i in range(400)]
    columns = [rng.integers(0, 2, 400).astype(float) for _ in range(2)]
    predictors = build_predictors(columns, groups)
    selected = rng.choice(400, 100, replace=False)
    scores = columns[0][selected] * 0.5 + rng.random(100)
    clusters = np.arange(100)
    mean_by_cross_fit, residuals = cross_fit(scores, selected, clusters, predictors)
    folds = np.random.default_rng(0).permutation(100) % FOLDS
    expected = np.empty(100)
    mean_prediction = 0.0
    for fold in range(FOLDS):
        training = folds != fold
        table = np.vstack([predictors.table[selected][training], np.diag(np.sqrt(predictors.penalty))])
        fit = sm.OLS(np.concatenate([scores[training], np.zeros(len(predictors.penalty))]), table).fit()
        expected[~training] = scores[~training] - predictors.table[selected][~training] @ fit.params
        mean_prediction += float((predictors.table @ fit.params).mean()) / FOLDS
    assert residuals == pytest.approx(expected, abs=1e-8)
    assert mean_by_cross_fit == pytest.approx(mean_prediction, abs=1e-8)
