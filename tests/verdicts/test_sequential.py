"""The sequential gate: order by the seed, processing in that order, missing outcomes, macro weights, several suites, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from evals.errors import UsageError
from evals.records.files import CompactRecord, Gold
from evals.report.metrics import accuracy, mean_value
from evals.types import Metric, Point, Score
from evals.verdicts.pairs import Outcomes
from evals.verdicts.policy import Entry, Policy, Pool
from evals.verdicts.sequential import SequentialGate
from tests.support import toy
from tests.support.error_messages import raises
from tests.support.sizes import size
from tests.support.synthetic_runs import suite_run


def candidate_job(folder: Path, count: int, **changes):
    """Return the job of a candidate on `count` toy samples, before its first call."""
    suite = toy.suite(toy.samples(count, groups=changes.pop("groups", ("",))), **changes)
    job = toy.job(folder, suite)
    job.writer.close()
    return job


def baseline_run(job, value=1.0, **changes):
    """Return a baseline whose samples all have this value, or the value of a function of their index (None: missing)."""
    golds, points = {}, []
    for i, sample in enumerate(job.samples):
        golds[sample.id] = Gold(sample.group, sample.cluster or sample.id, sample.target, len(sample.choices))
        score = value(i) if callable(value) else value
        if score is not None:
            verdict = "right" if score == 1 else "wrong"
            points.append(
                Point(sample.id, 0, sample.group, sample.id, verdict, score, "A", sample.target, 2, {})
            )
    run = suite_run(
        "base",
        Outcomes(points, golds, 1),
        suite=job.suite.id,
        metrics=job.suite.metrics,
        protocol=job.suite.protocol,
    )
    return structs.replace(
        run,
        data_sha256=job.writer.card.config.data_sha256,
        scorers=job.suite.scorer_versions(),
        outcomes_by_scorer=dict.fromkeys(job.suite.scorers, run.outcomes),
        **changes,
    )


def compact_record(sample: str, value: float | None = 1.0) -> CompactRecord:
    """Return a record of the candidate; `value` None: a failed call."""
    if value is None:
        return CompactRecord(sample=sample, repeat=0, scores={}, failure="rejected")
    score = Score(value=value, verdict="right" if value == 1 else "wrong", answer="A")
    return CompactRecord(sample=sample, repeat=0, scores={"exact": score})


def gate(
    folder: Path, count: int = 400, *, margin: float = 0.1, seed: int = 0, value=1.0, policy=None, **changes
):
    job = candidate_job(folder, count, **changes)
    policy = policy or Policy(suite=(Entry(name="toy", margin=margin),))
    return SequentialGate([job], [baseline_run(job, value)], policy, seed=seed)


def queued_ids(sequential_gate: SequentialGate) -> list[str]:
    return [sequential_gate.jobs[n].samples.ids[position] for n, position, _ in sequential_gate.queue()]


def test_the_queue_contains_all_samples_in_a_random_order_fixed_by_the_seed(tmp_path):
    first, same_seed, other_seed = (gate(tmp_path / n, 50, seed=s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert queued_ids(first) == queued_ids(same_seed) != queued_ids(other_seed)
    assert sorted(queued_ids(first)) == sorted(first.jobs[0].samples.ids)
    assert queued_ids(first) != sorted(queued_ids(first))


def test_records_are_processed_in_the_order_of_the_queue_whatever_order_they_arrive_in(tmp_path):
    sequential_gate = gate(tmp_path, 60)
    ids = queued_ids(sequential_gate)
    test = sequential_gate.tests[0]
    for sample_id in reversed(ids[1:]):
        test.add(compact_record(sample_id, 0.0))
    assert test.processed == 0  # the first record is missing, so the others must wait
    test.add(compact_record(ids[0], 0.0))
    assert test.processed == 60


def test_an_equal_model_passes_early_and_one_that_is_always_wrong_is_a_regression_earlier(tmp_path):
    good, bad = gate(tmp_path / "a"), gate(tmp_path / "b")
    for sequential_gate, value in ((good, 1.0), (bad, 0.0)):
        for sample_id in queued_ids(sequential_gate):
            if not sequential_gate.is_decided:
                sequential_gate.tests[0].add(compact_record(sample_id, value))
    assert (good.verdict, bad.verdict) == ("pass", "regression")
    assert bad.tests[0].processed < good.tests[0].processed < 100
    report = good.report(candidate="c", baseline="b")
    assert report.sequential
    assert report.suites[0].low > -0.1
    assert report.suites[0].p_pass <= 0.05


def test_failed_calls_count_at_their_worst_value(tmp_path):
    sequential_gate = gate(tmp_path, 300)
    for i, sample_id in enumerate(queued_ids(sequential_gate)):
        sequential_gate.tests[0].add(compact_record(sample_id, None if i % 4 == 0 else 1.0))
    assert sequential_gate.verdict == "cannot tell"
    assert sequential_gate.tests[0].coverage == 0.75
    assert sequential_gate.tests[0].bets.passes(0.05) is False


def test_nothing_passes_against_a_baseline_below_the_minimum_coverage(tmp_path):
    policy = Policy(suite=(Entry(name="toy", margin=0.1),), coverage=0.98)
    sequential_gate = gate(tmp_path, 300, value=lambda i: None if i % 20 == 0 else 1.0, policy=policy)
    test = sequential_gate.tests[0]
    for sample_id in queued_ids(sequential_gate):
        test.add(compact_record(sample_id, 1.0))
    assert test.bets.passes(0.05)  # the scored samples alone would suffice
    assert sequential_gate.verdict == "cannot tell"
    (suite,) = sequential_gate.report(candidate="c", baseline="b").suites
    assert suite.coverage_baseline == pytest.approx(0.95)
    assert "coverage of the baseline is 95.00 %" in suite.reasons[0]


def test_missing_outcomes_of_the_baseline_count_at_their_worst_value_too(tmp_path):
    policy = Policy(suite=(Entry(name="toy", margin=0.1),), coverage=0.7)
    sequential_gate = gate(tmp_path, 300, value=lambda i: None if i % 4 == 0 else 1.0, policy=policy)
    for sample_id in queued_ids(sequential_gate):
        sequential_gate.tests[0].add(compact_record(sample_id))
    _, high = sequential_gate.tests[0].bets.limits(0.05)
    assert sequential_gate.verdict == "pass"  # the candidate is right there, so the worst case is no loss
    assert high > 0.2


def test_a_macro_mean_gives_groups_equal_weight(tmp_path):
    job = candidate_job(tmp_path, 200, metrics=accuracy(macro=True), groups=("x", "x", "x", "y"))
    policy = Policy(suite=(Entry(name="toy", margin=0.2),))
    sequential_gate = SequentialGate([job], [baseline_run(job)], policy, seed=0)
    weights = sequential_gate.tests[0].weights
    groups = dict(zip(job.samples.ids, job.samples.groups, strict=True))
    for group in "xy":
        assert sum(
            weight for sample_id, weight in weights.items() if groups[sample_id] == group
        ) == pytest.approx(100)
    for sample_id in queued_ids(sequential_gate):
        sequential_gate.tests[0].add(compact_record(sample_id, float(groups[sample_id] == "x")))
    test = sequential_gate.tests[0]
    assert test.difference_total / test.weight_total == pytest.approx(-0.5)


def test_suites_share_alpha_for_regressions(tmp_path):
    jobs = [candidate_job(tmp_path / n, 100, name=n) for n in ("one", "two")]
    policy = Policy(suite=tuple(Entry(name=n, margin=0.1) for n in ("one", "two")))
    sequential_gate = SequentialGate(jobs, [baseline_run(job) for job in jobs], policy, seed=0)
    assert sequential_gate.family_size == 2
    for number, job in enumerate(jobs):
        for sample_id in [job.samples.ids[p] for n, p, _ in sequential_gate.queue() if n == number]:
            sequential_gate.tests[number].add(compact_record(sample_id, 1.0))
    assert sequential_gate.verdict == "pass"
    assert sequential_gate.should_skip(0)


@pytest.mark.parametrize("plausible", [None, 0.3, 0.95])
def test_an_implausible_gain_prevents_a_pass_only_if_the_policy_says_what_is_plausible(tmp_path, plausible):
    policy = Policy(suite=(Entry(name="toy", margin=0.1, plausible=plausible),))
    sequential_gate = gate(tmp_path, 300, value=lambda i: float(i % 10 == 0), policy=policy)
    for sample_id in queued_ids(sequential_gate):
        if not sequential_gate.is_decided:
            sequential_gate.tests[0].add(compact_record(sample_id, 1.0))
    report = sequential_gate.report(candidate="c", baseline="b")
    assert report.verdict == ("cannot tell" if plausible == 0.3 else "pass")
    if plausible == 0.3:
        assert sequential_gate.is_exhausted
        assert report.alarms[0].startswith("toy: better by more than 30.00 pp")


def test_advisory_suites_do_not_delay_the_decision(tmp_path):
    jobs = [candidate_job(tmp_path / n, 100, name=n) for n in ("one", "two")]
    policy = Policy(suite=(Entry(name="one", margin=0.1), Entry(name="two", margin=0.1, tier="advisory")))
    sequential_gate = SequentialGate(jobs, [baseline_run(job) for job in jobs], policy, seed=0)
    for sample_id in jobs[0].samples.ids:
        sequential_gate.tests[0].add(compact_record(sample_id, 1.0))
    assert sequential_gate.is_decided
    assert sequential_gate.verdict == "pass"


WHOLE = Metric(name="rmse", of=mean_value, pool="whole", bounds=None, headline=True)
UNBOUNDED = Metric(name="mae", of=mean_value, bounds=None, better="lower", headline=True)


@pytest.mark.parametrize("metric", [WHOLE, UNBOUNDED], ids=["whole", "unbounded"])
def test_metrics_without_a_bounded_value_per_sample_are_refused(tmp_path, metric):
    with raises(UsageError):
        gate(tmp_path, 20, metrics=(metric,))


def test_policies_and_baselines_that_do_not_match_the_job_are_refused(tmp_path):
    job = candidate_job(tmp_path, 20)
    matching = baseline_run(job)
    good = Policy(suite=(Entry(name="toy", margin=0.1),))
    one_sample = baseline_run(candidate_job(tmp_path / "one", 1))
    pooled = Policy(suite=(Entry(name="toy", margin=0.1, pool="p"),), pool=(Pool(name="p", margin=0.1),))
    for policy, baseline in (
        (Policy(suite=(Entry(name="other", margin=0.1),)), matching),
        (Policy(suite=(*good.suite, Entry(name="more", margin=0.1))), matching),
        (Policy(suite=(*good.suite, Entry(name="toy", metric="accuracy_macro", margin=0.1))), matching),
        (Policy(suite=(Entry(name="toy", protocol="official", margin=0.1),)), matching),
        (pooled, matching),
        (good, structs.replace(matching, data_sha256="1" * 64)),
        (good, structs.replace(matching, protocol="official")),
        (good, structs.replace(one_sample, data_sha256=matching.data_sha256)),
    ):
        with raises(UsageError):
            SequentialGate([job], [baseline], policy, seed=0)


@pytest.mark.slow
def test_wrong_verdicts_at_the_margin_are_at_most_as_frequent_as_twice_alpha(tmp_path):
    # complete gates: 800 samples, true loss equal to the margin, discordance .2
    rng = np.random.default_rng(20261130)
    job = candidate_job(tmp_path, 800)
    uniforms = rng.random((size(40, 100), 800, 2))
    wrong = 0
    for uniform in uniforms:
        baseline = baseline_run(job, lambda i, uniform=uniform: float(uniform[i, 0] < 0.5))
        sequential_gate = SequentialGate(
            [job],
            [baseline],
            Policy(suite=(Entry(name="toy", margin=0.1),)),
            seed=int(uniform[0, 0] * 1e6),
        )
        indices = {sample_id: i for i, sample_id in enumerate(job.samples.ids)}
        for sample_id in queued_ids(sequential_gate):
            i = indices[sample_id]
            is_changed = uniform[i, 1] < (0.3 if uniform[i, 0] < 0.5 else 0.1)
            sequential_gate.tests[0].add(
                compact_record(sample_id, float((uniform[i, 0] < 0.5) != is_changed))
            )
            if sequential_gate.verdict != "cannot tell":
                wrong += 1
                break
    print(
        f"at the margin: {wrong / len(uniforms):.3f} of {len(uniforms)} verdicts are wrong (pass or regression)"
    )
    assert wrong / len(uniforms) <= 0.10 + 3 * np.sqrt(0.1 * 0.9 / len(uniforms))
