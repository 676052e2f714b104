"""The forecasts of `gate plan`, against simulated pairs of runs that are judged by the gate itself."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from msgspec import structs

from evals.errors import UsageError
from evals.report.metrics import accuracy, repeat_metrics
from evals.types import Metric
from evals.verdicts import difference
from evals.verdicts.difference import DiscordantCounts
from evals.verdicts.gate import gate, overall_verdict, verdicts
from evals.verdicts.gate_cases import Case
from evals.verdicts.normal_designs import NormalDesign, UnknownNoise
from evals.verdicts.pairs import Pairing
from evals.verdicts.plan import plan
from evals.verdicts.planned_suites import PlannedSuite
from evals.verdicts.policy import Entry, Policy, Pool, parse
from evals.verdicts.simulated_designs import (
    Design,
    Noise,
    fit_beta,
    repeats_distribution,
    tango_p_values,
)
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.sizes import size
from tests.support.synthetic_runs import outcomes, outcomes_of, suite_run

ACCURACY, MACRO = accuracy()[0], accuracy(macro=True)[1]


def policy(*entries: Entry, **settings) -> Policy:
    return Policy(suite=entries, **settings)


def baseline(n: int, *, name: str = "toy", seed: int = 0, metrics=(), **options):
    """Return a run of `n` samples with about 60 % right outcomes."""
    values = (np.random.default_rng(seed).random(n) < 0.6).astype(float).tolist()
    return suite_run("base", outcomes_of(values, **options), suite=name, metrics=metrics)


# Vectorised tests agree with those of the gate


def test_the_plans_vectorised_tango_test_agrees_with_the_gates():
    gains, losses = np.array([0.0, 3.0, 20.0, 40.0]), np.array([0.0, 9.0, 5.0, 40.0])
    p_values = tango_p_values(gains, losses, 200.0, 0.05)
    for i in range(4):
        counts = DiscordantCounts(gains[i], losses[i], 200.0)
        assert p_values.p_pass[i] == pytest.approx(counts.p_above(-0.05), abs=1e-9)
        assert p_values.p_regression[i] == pytest.approx(counts.p_below(-0.05), abs=1e-9)


@pytest.mark.parametrize("metric", [ACCURACY, MACRO], ids=["micro", "macro"])
def test_the_plans_vectorised_t_test_agrees_with_the_gates(metric):
    rng = np.random.default_rng(5)
    groups = [f"g{i % 3}" for i in range(60)]
    clusters = [f"{i % 3}/{i // 6}" for i in range(60)]
    run_outcomes = outcomes_of(rng.random(60).tolist(), groups=groups, clusters=clusters)
    design = Design(Pairing(run_outcomes, run_outcomes, metric), Noise(0.1, "policy"))
    differences = rng.normal(-0.02, 0.2, (5, 60))
    p_values = design._test_sums(np.add.reduceat(differences, design.cluster_starts, axis=1), 0.05)
    for i in range(5):
        rows = design.rows
        evidence = difference.mean_evidence(
            differences[i],
            [row.cluster for row in rows],
            groups=[row.group for row in rows] if metric is MACRO else None,
            width=1.0,
        )
        assert p_values.p_pass[i] == pytest.approx(evidence.p_above(-0.05), abs=1e-9)
        assert p_values.p_regression[i] == pytest.approx(evidence.p_below(-0.05), abs=1e-9)


def test_the_plans_test_on_counts_by_group_agrees_with_the_gates_t_test():
    groups = [f"g{i % 4}" for i in range(2400)]
    run_outcomes = outcomes_of([1.0] * 2400, groups=groups)
    design = Design(Pairing(run_outcomes, run_outcomes, MACRO), Noise(0.2, "policy"))
    rng = np.random.default_rng(6)
    differences = rng.choice([-1.0, 0.0, 1.0], (4, 2400), p=[0.1, 0.8, 0.1])
    by_group = differences.reshape(4, 600, 4)
    gains, losses = (by_group > 0).sum(axis=1), (by_group < 0).sum(axis=1)
    means = (gains - losses) / 600
    p_values = design._test_means(means, gains + losses - 600 * means**2, np.full(4, 600.0), 0.05)
    for i in range(4):
        evidence = difference.mean_evidence(differences[i], range(2400), groups=groups, width=1.0)
        assert p_values.p_pass[i] == pytest.approx(evidence.p_above(-0.05), abs=1e-9)


@pytest.mark.parametrize(("repeats", "loss"), [(4, 0.0), (4, 0.2), (16, 0.05)])
def test_the_distribution_of_differences_of_repeats_agrees_with_simulation(repeats, loss):
    rng = np.random.default_rng(11)
    success_rates = rng.beta(0.6, 0.4, 400_000)
    differences = rng.binomial(repeats, success_rates * (1 - loss / 0.6)) - rng.binomial(
        repeats, success_rates
    )
    distribution = repeats_distribution(0.6, 0.4, repeats=repeats, loss=loss)
    assert distribution.values @ distribution.probabilities == pytest.approx(-loss, abs=1e-12)
    shares = np.bincount(differences + repeats, minlength=2 * repeats + 1) / len(differences)
    assert distribution.probabilities == pytest.approx(shares, abs=0.004)


def test_fitting_a_beta_distribution_recovers_its_parameters():
    rng = np.random.default_rng(12)
    fits = [fit_beta(rng.binomial(4, rng.beta(0.6, 0.4, 198)) / 4, 4) for _ in range(200)]
    assert np.mean(fits, axis=0) == pytest.approx((0.6, 0.4), abs=0.03)
    # without variance beyond that of the repeats, all samples have nearly the same success rate
    assert fit_beta(np.full(30, 0.5), 4)[0] > 100


def test_a_forecast_from_few_samples_is_called_approximate():
    rng = np.random.default_rng(13)
    gate_policy = policy(Entry(name="toy", margin=0.14))
    for n, is_approximate in ((30, True), (900, False)):
        replies = (rng.random((n, 4)) < rng.beta(0.6, 0.4, n)[:, None]).astype(float).tolist()
        base = suite_run(
            "base",
            outcomes({f"{i}": row for i, row in enumerate(replies)}, repeats=4),
            metrics=repeat_metrics(),
        )
        assert any("approximate" in note for note in plan([base], gate_policy).notes) == is_approximate


# Sources of the noise, and refusals


def test_noise_is_taken_from_repeats_or_the_policy_or_else_assumed():
    gate_policy = policy(Entry(name="toy", margin=0.2))
    assert plan([baseline(200)], gate_policy).suites[0].source == "assumed"
    stated = policy(Entry(name="toy", margin=0.2, discordance=0.07))
    suite = plan([baseline(200)], stated).suites[0]
    assert (suite.source, suite.discordance) == ("policy", 0.07)
    values = {f"{i}": [1.0, 0.0, 1.0, 0.0] for i in range(50)}
    repeats = suite_run("base", outcomes(values, repeats=4), metrics=repeat_metrics())
    suite = plan([repeats], gate_policy).suites[0]
    assert suite.source == "own repeats"
    assert suite.discordance == pytest.approx(2 * 0.25 * (4 / 3) / 4)


def test_a_policy_for_another_suite_is_refused():
    with raises(UsageError):
        plan([baseline(20)], policy(Entry(name="other", margin=0.1)))


def test_a_baseline_without_scores_is_refused():
    empty = suite_run("base", outcomes_of([None, None]))
    with raises(UsageError):
        plan([empty], policy(Entry(name="toy", margin=0.1)))


def test_a_policy_without_power_is_refused_with_a_margin_repeats_or_a_pool_as_alternatives():
    # a margin of one point on AIME, or two on GPQA, practically never passes
    runs = [baseline(198, name="gpqa"), baseline(30, name="aime")]
    gate_policy = policy(Entry(name="gpqa", margin=0.02), Entry(name="aime", margin=0.01))
    planned = plan(runs, gate_policy)
    assert not planned.decides
    assert planned.scenarios[0].verdicts["pass"] < 0.05
    text = " ".join(planned.nearest)
    assert "margin = " in text
    assert "repeats in both runs" in text
    assert "[[pool]]" in text


def test_the_baseline_itself_is_no_second_run_and_does_not_enter_the_variances():
    run, other = baseline(198, name="gpqa"), baseline(198, name="gpqa", seed=1)
    other = structs.replace(other, run="other")
    gate_policy = policy(Entry(name="gpqa", margin=0.1))
    with raises(UsageError):
        plan([run], gate_policy, second_runs=[run])
    assert plan([run], gate_policy, runs=[run]).components[0].within.source == "assumed"
    once, twice = (plan([run], gate_policy, runs=runs).components for runs in ([other], [other, run, other]))
    assert once == twice


def test_replies_are_not_suggested_if_the_items_are_too_few():
    run = suite_run("a", outcomes_of([1.0] * 18 + [0.0] * 12), suite="aime")
    second = suite_run("b", run.outcomes, suite="aime", model=run.model)
    planned = plan([run], policy(Entry(name="aime", margin=0.02)), second_runs=[second])
    assert not planned.decides
    assert "repeats" not in planned.nearest[0]


@pytest.mark.parametrize(("n", "margin"), [(30, 0.05), (30, 0.005), (198, 0.01)])
def test_an_unchanged_model_with_hardly_any_noise_passes_within_the_suggested_margin(n, margin):
    run = suite_run("a", outcomes_of([0.0] + [1.0] * (n - 1)))
    planned = plan([run], policy(Entry(name="toy", margin=margin, discordance=0.001)))
    suggested = float(planned.nearest[0].partition("margin = ")[2].partition(",")[0])
    assert plan([run], policy(Entry(name="toy", margin=suggested, discordance=0.001))).decides
    assert not plan([run], policy(Entry(name="toy", margin=suggested * 0.8, discordance=0.001))).decides


def test_an_unchanged_model_passes_the_suggested_pool_of_small_suites_with_hardly_any_noise():
    runs = [suite_run("base", outcomes_of([0.0] + [1.0] * 9), suite=f"s{i}") for i in range(3)]
    second = [structs.replace(run, run="second") for run in runs]
    entry = Entry(name="", margin=0.02, discordance=0.001)
    separate = policy(*(structs.replace(entry, name=f"s{i}") for i in range(3)))
    suggested = float(plan(runs, separate).nearest[-1].rpartition("margin = ")[2])
    for margin, verdict in ((suggested, "pass"), (suggested * 0.9, "cannot tell")):
        entries = tuple(structs.replace(entry, name=f"s{i}", pool="all") for i in range(3))
        pooled = Policy(suite=entries, pool=(Pool(name="all", margin=margin),))
        assert gate(second, runs, pooled).verdict == verdict


@pytest.mark.parametrize(("wrong", "largest"), [(0, 0.002), (10, 0.022), (100, 0.15), (500, 0.15)])
def test_the_assumed_noise_is_possible_given_the_score(wrong, largest):
    run = suite_run("a", outcomes_of([0.0] * wrong + [1.0] * (1000 - wrong)))
    planned = plan([run], policy(Entry(name="toy", margin=0.1)))
    assert 0 < planned.suites[0].discordance <= largest
    assert planned.components[0].discordance == pytest.approx(planned.suites[0].discordance)


def test_pooling_gives_small_suites_enough_power():
    runs = [baseline(100, name=f"s{i}", seed=i) for i in range(10)]
    unpooled = policy(*(Entry(name=f"s{i}", margin=0.05) for i in range(10)))
    pooled = Policy(
        suite=tuple(Entry(name=f"s{i}", margin=0.05, pool="all") for i in range(10)),
        pool=(Pool(name="all", margin=0.05),),
    )
    assert not plan(runs, unpooled).decides
    assert plan(runs, pooled).decides


def test_a_metric_of_whole_runs_is_planned_with_its_standard_error():
    def rmse(points):
        if not points:
            raise ValueError("no points")
        return float(np.sqrt(np.mean([p.value**2 for p in points])))

    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, unit="eV", headline=True)
    base = suite_run(
        "base", outcomes_of(np.random.default_rng(0).normal(0, 1, 300).tolist()), metrics=(metric,)
    )
    suite = plan([base], policy(Entry(name="toy", margin=0.2))).suites[0]
    assert suite.error == pytest.approx(1 / sqrt(600), rel=0.3)
    assert suite.passes_at_margin < 0.08
    assert isinstance(NormalDesign(0.1, 10).noise, Noise)


def test_advisory_suites_do_not_affect_the_plan():
    runs = [baseline(3000, name="big"), baseline(20, name="small")]
    gate_policy = policy(Entry(name="big", margin=0.05), Entry(name="small", margin=0.01, tier="advisory"))
    planned = plan(runs, gate_policy)
    assert planned.decides
    assert [s.name for s in planned.scenarios if "small worse" in s.name] == []


@pytest.mark.parametrize(
    ("designs", "lowest", "highest"),
    [
        ((NormalDesign(0.01, 300), NormalDesign(0.01, 300)), 0.98, 1.0),
        ((UnknownNoise(0.01, 0), NormalDesign(0.01, 300)), 0.0, 0.0),
        ((NormalDesign(0.01, 300, as_observed=True),) * 2, 0.99, 1.0),
    ],
    ids=["whole-run metrics", "unknown noise", "as observed"],
)
def test_a_pool_is_simulated_as_the_gate_tests_it(designs, lowest, highest):
    pool = Pool(name="all", margin=0.03)
    pooled = PlannedSuite(pool, Case(pool, ACCURACY, (), "official"), designs, ())
    p_values = pooled.simulate(0.0, count=2000, rng=np.random.default_rng(0))
    assert lowest <= float((p_values.p_pass <= 0.05).mean()) <= highest


@pytest.mark.slow
def test_eight_suites_are_planned_in_four_seconds():
    sizes = (30, 198, 830, 900, 2786, 3300, 7000, 12_032)
    runs = []
    for i, n in enumerate(sizes):
        if n == 30:
            rng = np.random.default_rng(1)
            values = {f"{j}": (rng.random(16) < 0.4).astype(float).tolist() for j in range(30)}
            runs.append(suite_run("base", outcomes(values, repeats=16), suite="s0", metrics=repeat_metrics()))
            continue
        groups = [f"g{j % 14}" for j in range(n)]
        clusters = [f"c{j // 3}" for j in range(n)] if n in (830, 3300) else None
        metrics = accuracy(macro=True) if n in (900, 7000) else ()
        runs.append(baseline(n, name=f"s{i}", groups=groups, clusters=clusters, metrics=metrics))
    gate_policy = policy(*(Entry(name=f"s{i}", margin=0.05) for i in range(8)))
    assert_cpu_time(4, lambda: plan(runs, gate_policy))  # 1.5 on an idle machine


# Forecasts against simulations


def test_a_gate_that_the_plan_calls_decidable_passes_an_unchanged_run():
    planned = plan([baseline(2000)], parse(b'[[suite]]\nname = "toy"\nmargin = 0.05\n'))
    report = gate([baseline(2000)], [baseline(2000)], parse(b'[[suite]]\nname = "toy"\nmargin = 0.05\n'))
    assert planned.decides
    assert report.verdict == "pass"


def forecast_of(planned, scenario: str) -> dict[str, float]:
    """Return the shares of verdicts that a plan states for a scenario."""
    return next(entry.verdicts for entry in planned.scenarios if entry.name == scenario)


def tolerance(rate: float, n_first: int, n_second: int) -> float:
    """Return three standard errors of the difference between two simulated shares."""
    return 3 * sqrt(max(rate * (1 - rate), 1e-4) * (1 / n_first + 1 / n_second))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "scenario"),
    [(0.0, "unchanged"), (0.03, "gpqa worse by its margin"), (0.06, "gpqa worse by twice its margin")],
)
def test_simulated_verdicts_are_as_frequent_as_forecast(loss, scenario):
    # each sample changes its outcome with probability .12; `loss` makes falls more frequent than rises
    gate_policy = policy(
        Entry(name="gpqa", margin=0.03, discordance=0.12), Entry(name="mmlu", margin=0.02, discordance=0.12)
    )
    runs = [baseline(1200, name="gpqa"), baseline(3000, name="mmlu")]
    simulations, pairs = size(2000, 4000), size(500, 2000)
    forecast = forecast_of(plan(runs, gate_policy, simulations=simulations), scenario)
    rng = np.random.default_rng(20261129)
    counts = dict.fromkeys(forecast, 0)
    for _ in range(pairs):
        cases = []
        for entry, n, suite_loss in zip(gate_policy.suite, (1200, 3000), (loss, 0.0), strict=True):
            uniform = rng.random(n)
            up, down = (0.12 - suite_loss) / 2, (0.12 + suite_loss) / 2
            gains = (uniform < up).astype(float) - (uniform > 1 - down)
            cases.append(SimulatedCase(entry, difference.mean_evidence(gains, range(n), width=1.0)))
        counts[
            overall_verdict((suite.tier, suite.verdict) for suite in verdicts(cases, gate_policy, {}))
        ] += 1
    rates = {name: count / pairs for name, count in counts.items()}
    print(scenario, "forecast", forecast, "simulated", rates)
    for name, rate in rates.items():
        assert abs(rate - forecast[name]) <= tolerance(forecast[name], simulations, pairs), name


class SimulatedCase:
    """A case whose evidence was simulated."""

    metric, pairings, protocol, coverage, excludes_missing = ACCURACY, (), "strict", (1.0, 1.0), False
    estimand, is_noise_known = "items-like-these", True

    def __init__(self, rule: Entry, evidence) -> None:
        self.rule, self.simulated = rule, evidence

    def evidence(self, missing):
        return self.simulated


@pytest.mark.slow
def test_simulated_passes_with_repeats_are_as_frequent_as_forecast():
    # in each pair, 30 new samples x 16 repeats; the candidate has the same success rates as the baseline
    rng = np.random.default_rng(3)
    success_rates = rng.beta(0.8, 0.8, 30)
    values = {f"{i}": (rng.random(16) < success_rates[i]).astype(float).tolist() for i in range(30)}
    base = suite_run("base", outcomes(values, repeats=16), metrics=repeat_metrics())
    entry = Entry(name="toy", margin=0.15)
    simulations, pairs = size(2000, 4000), size(500, 2000)
    planned = plan([base], policy(entry), simulations=simulations)
    passes = 0
    for _ in range(pairs):
        success_rates = rng.beta(0.8, 0.8, 30)
        gains = (rng.binomial(16, success_rates) - rng.binomial(16, success_rates)) / 16
        evidence = difference.mean_evidence(gains, range(30), width=1.0)
        passes += evidence.p_above(-0.15) <= 0.05
    forecast = planned.suites[0].passes_unchanged
    print("aime 30x16 passes unchanged: forecast", forecast, "simulated", passes / pairs)
    assert abs(passes / pairs - forecast) <= tolerance(forecast, simulations, pairs)


def test_subset_selects_that_many_samples_by_the_seed():
    from evals.verdicts.suite_runs import subset

    whole = suite_run("a", outcomes_of([float(i < 700) for i in range(1000)]))
    part = subset(whole, 200, seed=0)
    assert len(part.outcomes.golds) == 200 == len(part.outcomes.points)
    assert subset(whole, 200, seed=0).outcomes.golds.keys() == part.outcomes.golds.keys()
    assert subset(whole, 200, seed=1).outcomes.golds.keys() != part.outcomes.golds.keys()
    assert subset(whole, 5000, seed=0).outcomes.golds.keys() == whole.outcomes.golds.keys()
