"""The sequential gate: order fixed by the seed, records taken in that order, refusals, macro weights, several suites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from evals.errors import UsageError
from evals.records.files import Brief, Gold
from evals.report.metrics import accuracy, mean_value
from evals.types import Metric, Point, Score
from evals.verdicts.pairs import Side
from evals.verdicts.policy import Entry, Policy, Pool
from evals.verdicts.sequential import SequentialGate
from tests.support import toy
from tests.support.sizes import size
from tests.support.synthetic_runs import suite_run


def job(folder: Path, count: int, **changes):
    made = toy.suite(toy.samples(count, groups=changes.pop("groups", ("",))), **changes)
    found = toy.job(folder, made)
    found.writer.close()
    return found


def before(found, value=1.0, **changes):
    """A baseline in which every sample has one value (or what a function of its number says)."""
    golds, points = {}, []
    for i, sample in enumerate(found.samples):
        golds[sample.id] = Gold(sample.group, sample.cluster or sample.id, sample.target, len(sample.choices))
        one = value(i) if callable(value) else value
        if one is not None:
            verdict = "right" if one == 1 else "wrong"
            points.append(
                Point(sample.id, 0, sample.group, sample.id, verdict, one, "A", sample.target, 2, {})
            )
    made = suite_run(
        "base",
        Side(points, golds, 1),
        suite=found.suite.id,
        metrics=found.suite.metrics,
        protocol=found.suite.protocol,
    )
    return structs.replace(
        made,
        data_sha256=found.writer.card.config.data_sha256,
        scorers=found.suite.scorer_versions(),
        sides=dict.fromkeys(found.suite.scorers, made.side),
        **changes,
    )


def brief(sample: str, value: float | None = 1.0) -> Brief:
    """What comes back; None: a failure."""
    if value is None:
        return Brief(sample=sample, repeat=0, scores={}, failure="rejected")
    score = Score(value=value, verdict="right" if value == 1 else "wrong", answer="A")
    return Brief(sample=sample, repeat=0, scores={"exact": score})


def gate(
    folder: Path, count: int = 400, *, margin: float = 0.1, seed: int = 0, value=1.0, rules=None, **changes
):
    found = job(folder, count, **changes)
    policy = rules or Policy(suite=(Entry(name="toy", margin=margin),))
    return SequentialGate([found], [before(found, value)], policy, seed=seed)


def order(one: SequentialGate) -> list[str]:
    return [one.jobs[n].samples.ids[position] for n, position, _ in one.queue()]


def test_the_order_is_random_fixed_by_the_seed_and_complete(tmp_path):
    first, again, other = (gate(tmp_path / n, 50, seed=s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert order(first) == order(again) != order(other)
    assert sorted(order(first)) == sorted(first.jobs[0].samples.ids)
    assert order(first) != sorted(order(first))


def test_records_are_taken_in_the_order_of_asking_whatever_comes_first(tmp_path):
    one = gate(tmp_path, 60)
    names = order(one)
    test = one.tests[0]
    for name in reversed(names[1:]):
        test.add(brief(name, 0.0))
    assert test.processed == 0  # the first is not back yet: nothing may be concluded from the others
    test.add(brief(names[0], 0.0))
    assert test.processed == 60


def test_an_equal_model_passes_and_a_broken_one_fails(tmp_path):
    good, bad = gate(tmp_path / "a"), gate(tmp_path / "b")
    for one, value in ((good, 1.0), (bad, 0.0)):
        for name in order(one):
            if not one.is_decided:
                one.tests[0].add(brief(name, value))
    assert (good.verdict, bad.verdict) == ("pass", "regression")
    assert bad.tests[0].processed < good.tests[0].processed < 100
    report = good.report(candidate="c", baseline="b")
    assert report.sequential
    assert report.suites[0].low > -0.1
    assert report.suites[0].p_pass <= 0.05


def test_failures_enter_at_their_worst(tmp_path):
    one = gate(tmp_path, 300)
    for i, name in enumerate(order(one)):
        one.tests[0].add(brief(name, None if i % 4 == 0 else 1.0))
    assert one.verdict == "cannot tell"
    assert one.tests[0].coverage == 0.75
    assert one.tests[0].bets.passes(0.05) is False


def test_missing_outcomes_of_the_baseline_enter_at_their_worst_too(tmp_path):
    one = gate(tmp_path, 300, value=lambda i: None if i % 4 == 0 else 1.0)
    for name in order(one):
        one.tests[0].add(brief(name))
    _, high = one.tests[0].bets.limits(0.05)
    assert one.verdict == "pass"  # the candidate is right there, so the worst case is no loss
    assert high > 0.2


def test_macro_weighs_groups_alike(tmp_path):
    found = job(tmp_path, 200, metrics=accuracy(macro=True), groups=("x", "x", "x", "y"))
    policy = Policy(suite=(Entry(name="toy", margin=0.2),))
    one = SequentialGate([found], [before(found)], policy, seed=0)
    weights = one.tests[0].weights
    groups = dict(zip(found.samples.ids, found.samples.groups, strict=True))
    for group in "xy":
        assert sum(w for name, w in weights.items() if groups[name] == group) == pytest.approx(100)
    for name in order(one):
        one.tests[0].add(brief(name, float(groups[name] == "x")))
    assert one.tests[0].gain_total / one.tests[0].weight_total == pytest.approx(-0.5)


def test_several_suites_share_alpha_for_alarms(tmp_path):
    jobs = [job(tmp_path / n, 100, name=n) for n in ("one", "two")]
    rules = Policy(suite=tuple(Entry(name=n, margin=0.1) for n in ("one", "two")))
    both = SequentialGate(jobs, [before(found) for found in jobs], rules, seed=0)
    assert both.family_size == 2
    for number, found in enumerate(jobs):
        for name in [found.samples.ids[p] for n, p, _ in both.queue() if n == number]:
            both.tests[number].add(brief(name, 1.0))
    assert both.verdict == "pass"
    assert both.skips(0)


def test_advisory_suites_do_not_hold_the_gate_up(tmp_path):
    jobs = [job(tmp_path / n, 100, name=n) for n in ("one", "two")]
    rules = Policy(suite=(Entry(name="one", margin=0.1), Entry(name="two", margin=0.1, tier="advisory")))
    both = SequentialGate(jobs, [before(found) for found in jobs], rules, seed=0)
    for name in jobs[0].samples.ids:
        both.tests[0].add(brief(name, 1.0))
    assert both.is_decided
    assert both.verdict == "pass"


WHOLE = Metric(name="rmse", of=mean_value, pool="whole", bounds=None, headline=True)
UNBOUNDED = Metric(name="mae", of=mean_value, bounds=None, better="lower", headline=True)


@pytest.mark.parametrize("metric", [WHOLE, UNBOUNDED], ids=["whole", "unbounded"])
def test_metrics_that_cannot_be_bet_on_are_refused(tmp_path, metric):
    with pytest.raises(UsageError, match="needs a mean of bounded values"):
        gate(tmp_path, 20, metrics=(metric,))


def test_what_does_not_fit_is_refused(tmp_path):
    found = job(tmp_path, 20)
    old = before(found)
    good = Policy(suite=(Entry(name="toy", margin=0.1),))
    for rules, baseline, words in (
        (Policy(suite=(Entry(name="other", margin=0.1),)), old, "does not run"),
        (Policy(suite=(*good.suite, Entry(name="more", margin=0.1))), old, "does not run"),
        (
            Policy(suite=(Entry(name="toy", margin=0.1, pool="p"),), pool=(Pool(name="p", margin=0.1),)),
            old,
            "cannot judge pools",
        ),
        (good, structs.replace(old, data_sha256="1" * 64), "cannot be compared"),
        (good, structs.replace(old, protocol="official"), "the baseline has no run of toy under strict"),
        (good, before(job(tmp_path / "one", 1)), "cannot be compared|fewer than two"),
    ):
        with pytest.raises(UsageError, match=words):
            SequentialGate([found], [baseline], rules, seed=0)


@pytest.mark.slow
def test_wrong_verdicts_at_the_margin_are_rare_in_a_whole_run(tmp_path):
    # product code end to end: 800 samples, true loss = margin, discordance .2
    rng = np.random.default_rng(20261130)
    found = job(tmp_path, 800)
    luck = rng.random((size(40, 100), 800, 2))
    wrong = 0
    for one in luck:
        old = before(found, lambda i, one=one: float(one[i, 0] < 0.5))
        trial = SequentialGate(
            [found], [old], Policy(suite=(Entry(name="toy", margin=0.1),)), seed=int(one[0, 0] * 1e6)
        )
        numbers = {name: i for i, name in enumerate(found.samples.ids)}
        for name in order(trial):
            i = numbers[name]
            flips = one[i, 1] < (0.3 if one[i, 0] < 0.5 else 0.1)
            trial.tests[0].add(brief(name, float((one[i, 0] < 0.5) != flips)))
            if trial.verdict != "cannot tell":
                wrong += 1
                break
    print(
        f"at the margin: wrong verdicts {wrong / len(luck):.3f} of {len(luck)} (pass and regression together)"
    )
    assert wrong / len(luck) <= 0.10 + 3 * np.sqrt(0.1 * 0.9 / len(luck))
