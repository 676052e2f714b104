"""What `gate plan` promises, against simulated pairs of runs that go through the gate itself."""

from __future__ import annotations

import time
from math import sqrt

import numpy as np
import pytest

from evals.errors import UsageError
from evals.report.metrics import accuracy, repeat_metrics
from evals.types import Metric
from evals.verdicts import difference
from evals.verdicts.difference import DiscordantCounts
from evals.verdicts.gate import gate, overall_verdict, verdicts
from evals.verdicts.normal_designs import NormalDesign
from evals.verdicts.pairs import Pairing
from evals.verdicts.plan import plan
from evals.verdicts.policy import Entry, Policy, Pool, parse
from evals.verdicts.simulated_designs import (
    Design,
    Noise,
    fit_beta,
    repeats_distribution,
    tango_p_values,
)
from tests.support.sizes import size
from tests.support.synthetic_runs import side, side_of, suite_run

ACCURACY, MACRO = accuracy()[0], accuracy(macro=True)[1]


def policy(*entries: Entry, **top) -> Policy:
    return Policy(suite=entries, **top)


def baseline(n: int, *, name: str = "toy", seed: int = 0, metrics=(), **options):
    values = (np.random.default_rng(seed).random(n) < 0.6).astype(float).tolist()
    return suite_run("base", side_of(values, **options), suite=name, metrics=metrics)


# Tests of many tables at once are the gate's own tests


def test_vectorised_tango_is_the_gates_tango():
    gains, losses = np.array([0.0, 3.0, 20.0, 40.0]), np.array([0.0, 9.0, 5.0, 40.0])
    found = tango_p_values(gains, losses, 200.0, 0.05)
    for i in range(4):
        one = DiscordantCounts(gains[i], losses[i], 200.0)
        assert found.p_pass[i] == pytest.approx(one.p_above(-0.05), abs=1e-9)
        assert found.p_regression[i] == pytest.approx(one.p_below(-0.05), abs=1e-9)


@pytest.mark.parametrize("metric", [ACCURACY, MACRO], ids=["micro", "macro"])
def test_vectorised_t_is_the_gates_t(metric):
    rng = np.random.default_rng(5)
    groups = [f"g{i % 3}" for i in range(60)]
    clusters = [f"{i % 3}/{i // 6}" for i in range(60)]
    one = side_of(rng.random(60).tolist(), groups=groups, clusters=clusters)
    design = Design(Pairing(one, one, metric), Noise(0.1, "policy"))
    drawn = rng.normal(-0.02, 0.2, (5, 60))
    found = design._test_sums(np.add.reduceat(drawn, design.cluster_starts, axis=1), 0.05)
    for i in range(5):
        rows = design.rows
        evidence = difference.mean_evidence(
            drawn[i],
            [row.cluster for row in rows],
            groups=[row.group for row in rows] if metric is MACRO else None,
            width=1.0,
        )
        assert found.p_pass[i] == pytest.approx(evidence.p_above(-0.05), abs=1e-9)
        assert found.p_regression[i] == pytest.approx(evidence.p_below(-0.05), abs=1e-9)


def test_stratified_counts_are_the_gates_t():
    groups = [f"g{i % 4}" for i in range(2400)]
    one = side_of([1.0] * 2400, groups=groups)
    design = Design(Pairing(one, one, MACRO), Noise(0.2, "policy"))
    rng = np.random.default_rng(6)
    drawn = rng.choice([-1.0, 0.0, 1.0], (4, 2400), p=[0.1, 0.8, 0.1])
    by_group = drawn.reshape(4, 600, 4)
    gains, losses = (by_group > 0).sum(axis=1), (by_group < 0).sum(axis=1)
    means = (gains - losses) / 600
    found = design._test_means(means, gains + losses - 600 * means**2, np.full(4, 600.0), 0.05)
    for i in range(4):
        evidence = difference.mean_evidence(drawn[i], range(2400), groups=groups, width=1.0)
        assert found.p_pass[i] == pytest.approx(evidence.p_above(-0.05), abs=1e-9)


@pytest.mark.parametrize(("repeats", "loss"), [(4, 0.0), (4, 0.2), (16, 0.05)])
def test_the_law_of_repeats_is_that_of_simulated_ones(repeats, loss):
    rng = np.random.default_rng(11)
    chance = rng.beta(0.6, 0.4, 400_000)
    drawn = rng.binomial(repeats, chance * (1 - loss / 0.6)) - rng.binomial(repeats, chance)
    law = repeats_distribution(0.6, 0.4, repeats=repeats, loss=loss)
    assert law.values @ law.probabilities == pytest.approx(-loss, abs=1e-12)
    shares = np.bincount(drawn + repeats, minlength=2 * repeats + 1) / len(drawn)
    assert law.probabilities == pytest.approx(shares, abs=0.004)


def test_the_fitted_distribution_of_chances_is_found_again():
    rng = np.random.default_rng(12)
    fits = [fit_beta(rng.binomial(4, rng.beta(0.6, 0.4, 198)) / 4, 4) for _ in range(200)]
    assert np.mean(fits, axis=0) == pytest.approx((0.6, 0.4), abs=0.03)
    assert fit_beta(np.full(30, 0.5), 4)[0] > 100  # no spread beyond that of the repeats: one chance for all


def test_a_forecast_from_few_samples_is_called_rough():
    rng = np.random.default_rng(13)
    rules = policy(Entry(name="toy", margin=0.14))
    for n, rough in ((30, True), (900, False)):
        replies = (rng.random((n, 4)) < rng.beta(0.6, 0.4, n)[:, None]).astype(float).tolist()
        base = suite_run(
            "base", side({f"{i}": row for i, row in enumerate(replies)}, repeats=4), metrics=repeat_metrics()
        )
        assert any("approximate" in note for note in plan([base], rules).notes) == rough


# Where noise is known from


def test_noise_comes_from_repeats_policy_or_a_guess():
    rules = policy(Entry(name="toy", margin=0.2))
    assert plan([baseline(200)], rules).suites[0].source == "assumed"
    stated = policy(Entry(name="toy", margin=0.2, discordance=0.07))
    found = plan([baseline(200)], stated).suites[0]
    assert (found.source, found.discordance) == ("policy", 0.07)
    values = {f"{i}": [1.0, 0.0, 1.0, 0.0] for i in range(50)}
    repeats = suite_run("base", side(values, repeats=4), metrics=repeat_metrics())
    found = plan([repeats], rules).suites[0]
    assert found.source == "own repeats"
    assert found.discordance == pytest.approx(2 * 0.25 * (4 / 3) / 4)


def test_a_policy_for_another_suite_is_refused():
    with pytest.raises(UsageError, match="not in the baseline"):
        plan([baseline(20)], policy(Entry(name="other", margin=0.1)))


def test_nothing_scored_cannot_be_planned_with():
    empty = suite_run("base", side_of([None, None]))
    with pytest.raises(UsageError, match="nothing was scored"):
        plan([empty], policy(Entry(name="toy", margin=0.1)))


def test_a_hopeless_policy_is_refused_with_three_ways_out():
    # statistics.md 4.7: a margin of one point on GPQA and AIME can practically never pass
    runs = [baseline(198, name="gpqa"), baseline(30, name="aime")]
    rules = policy(Entry(name="gpqa", margin=0.01), Entry(name="aime", margin=0.01))
    found = plan(runs, rules)
    assert not found.decides
    assert found.scenarios[0].verdicts["pass"] < 0.05
    text = " ".join(found.nearest)
    assert "margin = " in text
    assert "repeats in both runs" in text
    assert "[[pool]]" in text


def test_pooling_makes_small_suites_decidable():
    runs = [baseline(100, name=f"s{i}", seed=i) for i in range(10)]
    alone = policy(*(Entry(name=f"s{i}", margin=0.05) for i in range(10)))
    pooled = Policy(
        suite=tuple(Entry(name=f"s{i}", margin=0.05, pool="all") for i in range(10)),
        pool=(Pool(name="all", margin=0.05),),
    )
    assert not plan(runs, alone).decides
    assert plan(runs, pooled).decides


def test_a_metric_of_whole_runs_is_planned_with_its_standard_error():
    def rmse(points):
        if not points:
            raise ValueError("nothing")
        return float(np.sqrt(np.mean([p.value**2 for p in points])))

    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, unit="eV", headline=True)
    one = suite_run("base", side_of(np.random.default_rng(0).normal(0, 1, 300).tolist()), metrics=(metric,))
    found = plan([one], policy(Entry(name="toy", margin=0.2))).suites[0]
    assert found.error == pytest.approx(1 / sqrt(600), rel=0.3)
    assert found.passes_at_margin < 0.08
    assert isinstance(NormalDesign(0.1, 10).noise, Noise)


def test_advisory_suites_neither_pass_nor_alarm():
    runs = [baseline(3000, name="big"), baseline(20, name="small")]
    rules = policy(Entry(name="big", margin=0.05), Entry(name="small", margin=0.01, tier="advisory"))
    found = plan(runs, rules)
    assert found.decides
    assert [s.name for s in found.scenarios if "small worse" in s.name] == []


def test_eight_suites_in_two_seconds():
    sizes = (30, 198, 830, 900, 2786, 3300, 7000, 12_032)
    runs = []
    for i, n in enumerate(sizes):
        if n == 30:
            rng = np.random.default_rng(1)
            values = {f"{j}": (rng.random(16) < 0.4).astype(float).tolist() for j in range(30)}
            runs.append(suite_run("base", side(values, repeats=16), suite="s0", metrics=repeat_metrics()))
            continue
        groups = [f"g{j % 14}" for j in range(n)]
        clusters = [f"c{j // 3}" for j in range(n)] if n in (830, 3300) else None
        metrics = accuracy(macro=True) if n in (900, 7000) else ()
        runs.append(baseline(n, name=f"s{i}", groups=groups, clusters=clusters, metrics=metrics))
    started = time.process_time()
    plan(runs, policy(*(Entry(name=f"s{i}", margin=0.05) for i in range(8))))
    assert time.process_time() - started < 4  # 1.5 alone; tests share the machine


# Promises kept


def test_the_plans_example_is_decided_as_foreseen():
    found = plan([baseline(2000)], parse(b'[[suite]]\nname = "toy"\nmargin = 0.05\n'))
    report = gate([baseline(2000)], [baseline(2000)], parse(b'[[suite]]\nname = "toy"\nmargin = 0.05\n'))
    assert found.decides
    assert report.verdict == "pass"


def promised(found, name: str) -> dict[str, float]:
    return next(one.verdicts for one in found.scenarios if one.name == name)


def slack(rate: float, one: int, other: int) -> float:
    """Three standard errors of the difference of two simulated shares."""
    return 3 * sqrt(max(rate * (1 - rate), 1e-4) * (1 / one + 1 / other))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "scenario"),
    [(0.0, "unchanged"), (0.03, "gpqa worse by its margin"), (0.06, "gpqa worse by twice its margin")],
)
def test_power_is_as_promised(loss, scenario):
    # pairs are made sample by sample: one flips with its chance, and falls with the rest of it
    rules = policy(
        Entry(name="gpqa", margin=0.03, discordance=0.12), Entry(name="mmlu", margin=0.02, discordance=0.12)
    )
    runs = [baseline(1200, name="gpqa"), baseline(3000, name="mmlu")]
    simulations, pairs = size(2000, 4000), size(500, 2000)
    wanted = promised(plan(runs, rules, simulations=simulations), scenario)
    rng = np.random.default_rng(20261129)
    counts = dict.fromkeys(wanted, 0)
    for _ in range(pairs):
        cases = []
        for entry, n, fall in zip(rules.suite, (1200, 3000), (loss, 0.0), strict=True):
            luck = rng.random(n)
            up, down = (0.12 - fall) / 2, (0.12 + fall) / 2
            gains = (luck < up).astype(float) - (luck > 1 - down)
            cases.append(Drawn(entry, difference.mean_evidence(gains, range(n), width=1.0)))
        counts[overall_verdict((suite.tier, suite.verdict) for suite in verdicts(cases, rules, {}))] += 1
    rates = {name: count / pairs for name, count in counts.items()}
    print(scenario, "promised", wanted, "found", rates)
    for name, rate in rates.items():
        assert abs(rate - wanted[name]) <= slack(wanted[name], simulations, pairs), name


class Drawn:
    """A case whose evidence was simulated."""

    metric, pairings, protocol, coverage, excludes_missing = ACCURACY, (), "strict", (1.0, 1.0), False
    estimand, is_noise_known = "items-like-these", True

    def __init__(self, rule: Entry, found) -> None:
        self.rule, self.found = rule, found

    def evidence(self, missing):
        return self.found


@pytest.mark.slow
def test_power_of_repeats_is_as_promised():
    # 30 samples x 16 repeats, the candidate drawn from the same samples' chances
    rng = np.random.default_rng(3)
    chance = rng.beta(0.8, 0.8, 30)
    values = {f"{i}": (rng.random(16) < chance[i]).astype(float).tolist() for i in range(30)}
    base = suite_run("base", side(values, repeats=16), metrics=repeat_metrics())
    entry = Entry(name="toy", margin=0.15)
    simulations, pairs = size(2000, 4000), size(500, 2000)
    found = plan([base], policy(entry), simulations=simulations)
    counts = 0
    for _ in range(pairs):
        picked = rng.beta(0.8, 0.8, 30)
        gains = (rng.binomial(16, picked) - rng.binomial(16, picked)) / 16
        evidence = difference.mean_evidence(gains, range(30), width=1.0)
        counts += evidence.p_above(-0.15) <= 0.05
    wanted = found.suites[0].passes_unchanged
    print("aime 30x16 passes unchanged: promised", wanted, "found", counts / pairs)
    assert abs(counts / pairs - wanted) <= slack(wanted, simulations, pairs)


def test_a_plan_for_a_subset_counts_only_so_many_and_finds_less(tmp_path):
    from evals.verdicts.suite_runs import subset

    one = suite_run("a", side_of([float(i < 700) for i in range(1000)]))
    part = subset(one, 200, seed=0)
    assert len(part.side.golds) == 200 == len(part.side.points)
    assert subset(one, 200, seed=0).side.golds.keys() == part.side.golds.keys()
    assert subset(one, 200, seed=1).side.golds.keys() != part.side.golds.keys()
    assert subset(one, 5000, seed=0).side.golds.keys() == one.side.golds.keys()
