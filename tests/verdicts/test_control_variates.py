"""A subset's score adjusted by other models' results (control variates): unbiased, with valid intervals, and more precise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import evals as science_evals
from evals.errors import UsageError
from evals.report.metrics import mean_value
from evals.types import Metric, Point
from evals.verdicts.control_variates import adjust
from evals.verdicts.suite_run import SuiteRun
from tests.performance.control import measure, read_recordings
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.synthetic_runs import outcomes, suite_run

ITEMS = 400


def random_runs(seed: int, *, cluster: int = 1) -> tuple[SuiteRun, SuiteRun, float]:
    """Return a model's run on a subset of 100 items, another model's run on all 400, and the first model's score on all."""
    rng = np.random.default_rng(seed)
    easiness = np.repeat(rng.uniform(size=ITEMS // cluster), cluster)
    model_scores, control_scores = (
        (rng.uniform(size=ITEMS) < 0.1 + 0.8 * easiness).astype(float) for _ in range(2)
    )
    ids = [f"s{i:03}" for i in range(ITEMS)]
    clusters = [f"c{i // cluster}" for i in range(ITEMS)]
    chosen = rng.choice(ITEMS // cluster, 100 // cluster, replace=False)
    selected = [i for i in range(ITEMS) if i // cluster in set(chosen.tolist())]
    subset = outcomes({ids[i]: model_scores[i] for i in selected}, clusters=[clusters[i] for i in selected])
    whole = outcomes(dict(zip(ids, control_scores, strict=True)), clusters=clusters)
    return suite_run("subset", subset), suite_run("whole", whole), float(model_scores.mean())


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1, 4])
def test_the_adjusted_score_is_unbiased_more_precise_and_covered_by_its_interval(cluster: int) -> None:
    errors, unadjusted, covered = [], [], 0
    for seed in range(300):
        subset, whole, truth = random_runs(seed, cluster=cluster)
        adjustment = adjust(subset, [whole], estimand="this-run")
        errors.append(adjustment.adjusted.value - truth)
        unadjusted.append(adjustment.unadjusted.value - truth)
        covered += adjustment.adjusted.low <= truth <= adjustment.adjusted.high
    assert abs(np.mean(errors)) < 3 * np.std(errors) / 300**0.5
    assert np.var(errors) < 0.95 * np.var(unadjusted)
    assert 0.92 <= covered / 300 <= 0.985


def test_the_interval_for_items_like_these_is_wider_than_for_this_run() -> None:
    subset, whole, _ = random_runs(1)
    this_run, items_like_these = (
        adjust(subset, [whole], estimand=e).adjusted for e in ("this-run", "items-like-these")
    )
    assert items_like_these.value == this_run.value
    assert items_like_these.high - items_like_these.low > this_run.high - this_run.low


def test_unsuitable_subsets_and_controls_are_refused() -> None:
    subset, whole, _ = random_runs(1)
    for run, control in (
        (whole, whole),
        (subset, subset),
        (subset, suite_run("other", whole.outcomes, suite="aime")),
        (subset, suite_run("other", whole.outcomes, data_sha256="1" * 64)),
        (subset, suite_run("other", outcomes({"z": 1.0}))),
        (suite_run("few", outcomes({f"s{i:03}": 1.0 for i in range(20)})), whole),
        random_runs(1, cluster=100)[:2],  # all items of the subset are in one cluster
    ):
        with raises(UsageError):
            adjust(run, [control])
    with raises(UsageError):
        adjust(subset, [whole], estimand="these-items")


def test_failed_calls_and_items_that_the_metric_leaves_out_are_in_neither_score() -> None:
    def of(points: Sequence[Point]) -> float:
        if points[0].group == "left out":
            raise ValueError("not an item of this metric")
        return mean_value(points)

    metric = Metric(name="accuracy_rest", of=of, headline=True)
    rng = np.random.default_rng(5)
    values = {f"s{i:03}": float(rng.random() < 0.6) for i in range(ITEMS)}
    groups = ["left out" if i % 4 == 0 else "kept" for i in range(ITEMS)]
    whole = suite_run("whole", outcomes(values, groups=groups), metrics=[metric])
    subset_values = dict(list(values.items())[:120]) | {"s003": None}
    subset = suite_run("subset", outcomes(subset_values, groups=groups), metrics=[metric])
    adjustment = adjust(subset, [whole])
    assert (adjustment.n, adjustment.population) == (89, 300)
    truth = np.mean([value for value, group in zip(values.values(), groups, strict=True) if group == "kept"])
    assert adjustment.adjusted.value == pytest.approx(truth)  # the control run predicts its own values


@pytest.mark.slow
def test_on_recordings_of_mmlu_pro_the_variance_falls_and_coverage_holds(shared: Path) -> None:
    for row in measure(read_recordings(shared), n=500, simulations=1000):
        assert row.variance_ratio < 0.9  # .81 to .84 in 4,000 simulations, and within .03 of that here
        assert row.reported_ratio < 0.85
        assert 0.93 <= row.coverage <= 0.97
        assert abs(row.bias) < 0.003


def test_show_control_prints_the_adjusted_and_the_unadjusted_score(here: Path) -> None:
    rows = [{"id": f"r{i}", "question": f"What is {i} + 1?", "target": str(i + 1)} for i in range(120)]
    suite = science_evals.Suite.of(rows, scorer="integer", name="sums")

    def model_up_to(largest: int) -> Callable[[str], str]:
        """Return a model that answers the first sums, up to this number, and repeats the prompt for the others."""
        return lambda prompt: prompt if (n := int(prompt.split()[2])) > largest else f"ANSWER: {n + 1}"

    science_evals.evaluate(suite, model_up_to(60), quiet=True, run="earlier")
    science_evals.evaluate(suite, model_up_to(70), quiet=True, run="new", limit=60)
    out = evals("show", "new", "--control", "earlier").out
    assert "on 60 of 120 items" in out
    assert "subset, unadjusted" in out
    (adjustment,) = evals("show", "new", "--control", "earlier", "--json").json
    assert adjustment["variance_ratio"] < 0.5
    assert adjustment["worth"] > 120
    evals("show", "new", "--control", "earlier", "--pivot").assert_usage_error()
    evals("show", "earlier", "--control", "new").assert_usage_error()
