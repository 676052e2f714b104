"""Verdicts on runs made by hand: margins, directions, tiers, missing outcomes, alarms, refusals."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from evals.errors import UsageError
from evals.report.metrics import accuracy, mean_value, repeat_metrics
from evals.types import Metric
from evals.verdicts.gate import EXIT_STATUS, gate
from evals.verdicts.policy import parse, read
from tests.support.paths import ROOT
from tests.support.synthetic_runs import binary, side, side_of, suite_run

MAE = Metric(name="mae", of=mean_value, better="lower", bounds=None, unit="eV", headline=True)


def policy(*entries: str, **top: float):
    head = "".join(f"{key} = {value}\n" for key, value in top.items())
    return parse((head + "".join(f"[[suite]]\n{entry}\n" for entry in entries)).encode())


TOY = 'name = "toy"\nmargin = 0.05'


def judge(a, b, *, rules=TOY, metrics=(), noise=None, **top):
    one, other = suite_run("base", a, metrics=metrics), suite_run("cand", b, metrics=metrics)
    return gate([other], [one], policy(rules, **top), noise=noise)


# Verdicts


def test_the_same_outcomes_pass():
    found = judge(binary(300, 500), binary(300, 500))
    assert found.verdict == "pass"
    assert EXIT_STATUS[found.verdict] == 0
    assert found.suites[0].low > -0.05


def test_a_large_loss_is_a_regression():
    found = judge(binary(300, 500), binary(200, 500))
    assert found.verdict == "regression"
    assert EXIT_STATUS[found.verdict] == 1
    assert found.suites[0].difference == pytest.approx(-0.2)
    assert found.suites[0].high < -0.05


def test_a_small_suite_cannot_tell():
    found = judge(binary(18, 30), side_of([1.0] * 16 + [0.0] * 12 + [1.0] * 2))
    assert found.verdict == "cannot tell"
    assert EXIT_STATUS[found.verdict] == 3
    assert "cannot be excluded" in found.suites[0].reasons[0]


def test_a_gain_passes_without_a_stated_limit_and_raises_an_alarm():
    found = judge(binary(200, 500), binary(400, 500))
    assert found.verdict == "pass"
    assert "check the answer extraction" in found.alarms[0]


def test_a_gain_above_the_plausible_one_stops_the_pass():
    found = judge(binary(200, 500), binary(400, 500), rules=TOY + "\nplausible = 0.1")
    assert found.verdict == "cannot tell"
    assert found.alarms
    assert judge(binary(200, 500), binary(210, 500), rules=TOY + "\nplausible = 0.1").verdict == "pass"


def test_an_error_that_grows_is_a_regression_and_one_that_shrinks_is_not():
    good, bad = side_of([0.1, 0.2, 0.3] * 30), side_of([0.5, 0.7, 0.6] * 30)
    rules = 'name = "toy"\nmargin = 0.1'
    up, down = (judge(a, b, rules=rules, metrics=(MAE,)) for a, b in ((good, bad), (bad, good)))
    assert up.verdict == "regression"
    assert up.suites[0].difference == pytest.approx(0.4)
    assert up.suites[0].low > 0.1
    assert down.verdict == "pass"
    assert down.suites[0].high < 0.1


def test_interval_and_verdict_agree_at_the_margin():
    a = binary(300, 500)
    for wrong in range(60):
        one = judge(a, side_of([0.0] * wrong + [1.0] * (300 - wrong) + [0.0] * 200)).suites[0]
        assert (one.verdict == "pass") == (one.low > -0.05)
        assert (one.verdict == "regression") == (one.high < -0.05)


# Tiers and families


def several(*right: int):
    base = [suite_run("base", binary(300, 500), suite=f"s{i}") for i in range(len(right))]
    cand = [suite_run("cand", binary(k, 500), suite=f"s{i}") for i, k in enumerate(right)]
    return cand, base


def rule(i: int, tier: str, margin: float = 0.05) -> str:
    return f'name = "s{i}"\nmargin = {margin}\ntier = "{tier}"'


def test_supporting_suites_can_fail_but_need_not_pass():
    cand, base = several(300, 282)
    assert gate(cand, base, policy(rule(0, "critical"), rule(1, "supporting"))).verdict == "pass"
    assert gate(cand, base, policy(rule(0, "critical"), rule(1, "critical"))).verdict == "cannot tell"
    cand, base = several(300, 200)
    assert gate(cand, base, policy(rule(0, "critical"), rule(1, "supporting"))).verdict == "regression"


def test_advisory_suites_are_reported_only():
    cand, base = several(300, 100)
    found = gate(cand, base, policy(rule(0, "critical"), rule(1, "advisory")))
    assert (found.verdict, found.suites[1].verdict) == ("pass", "regression")


def test_holm_makes_a_borderline_regression_of_many_suites_undecided():
    cand, base = several(250, *[300] * 9)
    alone = gate(cand[:1], base[:1], policy(rule(0, "critical", 0.08)))
    many = gate(cand, base, policy(*(rule(i, "critical", 0.08) for i in range(10))))
    assert alone.verdict == "regression"
    assert many.verdict == "cannot tell"
    assert many.suites[0].p_regression == pytest.approx(10 * alone.suites[0].p_regression)


def test_a_suite_that_the_candidate_lacks_cannot_pass():
    cand, base = several(300, 300)
    found = gate(cand[:1], base, policy(rule(0, "critical"), rule(1, "critical")))
    assert found.verdict == "cannot tell"
    assert found.suites[1].reasons == ("the candidate has no run of s1",)
    assert gate(cand[:1], base, policy(rule(0, "critical"), rule(1, "advisory"))).verdict == "pass"


def test_pooled_suites_are_judged_together():
    base = [suite_run("base", binary(20, 40), suite=f"s{i}") for i in range(10)]
    cand = [suite_run("cand", binary(20, 40), suite=f"s{i}") for i in range(10)]
    text = "".join(f'[[suite]]\nname = "s{i}"\nmargin = 0.05\npool = "small"\n' for i in range(10))
    found = gate(cand, base, parse((text + '[[pool]]\nname = "small"\nmargin = 0.05\n').encode()))
    assert [one.suite for one in found.suites] == ["pool small"]
    assert found.verdict == "pass"
    assert found.suites[0].n == 400
    alone = gate(cand, base, policy(*(f'name = "s{i}"\nmargin = 0.05' for i in range(10))))
    assert alone.verdict == "cannot tell"


# Missing outcomes


def with_missing(count: int, right: int = 300, n: int = 500):
    return side_of([None] * count + [1.0] * (right - count) + [0.0] * (n - right))


def test_pass_must_hold_with_the_missing_at_their_worst():
    found = judge(binary(300, 500), with_missing(10), rules='name = "toy"\nmargin = 0.02')
    assert found.verdict == "cannot tell"
    assert "at their worst" in found.suites[0].reasons[0]
    assert found.suites[0].difference == 0
    tolerated = 'name = "toy"\nmargin = 0.02\nmissing = "tolerate"'
    assert judge(binary(300, 500), with_missing(10), rules=tolerated).verdict == "pass"


def test_coverage_floor_stops_a_pass_even_where_tolerated():
    found = judge(binary(300, 500), with_missing(11), rules=TOY + '\nmissing = "tolerate"')
    assert found.verdict == "cannot tell"
    assert "coverage of the candidate is 97.80 %" in found.suites[0].reasons[0]
    assert judge(with_missing(11), binary(300, 500), rules=TOY, coverage=0.97).verdict == "pass"


def test_missing_outcomes_are_no_regression():
    # 40 % missing: at their best nothing is lost
    found = judge(binary(300, 500), with_missing(200))
    assert found.verdict == "cannot tell"


def test_a_metric_without_bounds_needs_every_outcome_or_tolerance():
    a, b = side_of([0.1, 0.2, 0.3] * 30), side_of([0.1, 0.2, 0.3] * 29 + [0.1, 0.2, None])
    rules = 'name = "toy"\nmargin = 0.1'
    found = judge(a, b, rules=rules, metrics=(MAE,))
    assert found.verdict == "cannot tell"
    assert "has no worst case" in found.suites[0].reasons[0]
    assert judge(a, b, rules=rules + '\nmissing = "tolerate"', metrics=(MAE,)).verdict == "pass"


def test_nothing_scored_cannot_tell():
    found = judge(binary(2, 3), side_of([None] * 3), rules=TOY + '\nmissing = "tolerate"')
    assert found.verdict == "cannot tell"
    assert "no sample was scored in both runs" in found.suites[0].reasons


# What does not fit is refused


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ('name = "nope"\nmargin = 0.1', "not in the baseline"),
        (TOY + '\nprotocol = "official"', "requires protocol official"),
        (TOY + '\nmetric = "acuracy"', "did you mean accuracy"),
    ],
)
def test_a_policy_that_does_not_fit_the_runs_is_refused(rules, words):
    with pytest.raises(UsageError, match=words):
        judge(binary(2, 4), binary(2, 4), rules=rules)


def test_runs_of_another_protocol_are_refused():
    a, b = suite_run("a", binary(2, 4)), suite_run("b", binary(2, 4), protocol="official")
    with pytest.raises(UsageError, match="cannot be compared: toy: protocol differs"):
        gate([b], [a], policy(TOY))


def test_metric_of_the_policy_may_say_k():
    a = side({f"{i}": [1.0, 0.0] for i in range(40)}, repeats=2)
    found = judge(a, a, rules='name = "toy"\nmargin = 0.2\nmetric = "pass@k"', metrics=repeat_metrics())
    assert (found.suites[0].metric, found.verdict) == ("pass@2", "pass")


def test_a_bare_name_finds_the_only_variant():
    a = suite_run("a", binary(300, 500), suite="gpqa:diamond")
    assert gate([a], [a], policy('name = "gpqa"\nmargin = 0.05')).verdict == "pass"


def test_margin_below_the_noise_is_refused():
    with pytest.raises(UsageError, match="below the repeatability limit"):
        judge(binary(3, 5), binary(3, 5), noise={"toy": 0.06})
    assert judge(binary(300, 500), binary(300, 500), noise={"toy": 0.04}).suites[0].noise == 0.04


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "suite"),
        ("alpha = 0.05\nsuite = []", "no \\[\\[suite\\]\\]"),
        ('[[suite]]\nname = "a"\nmargin = 0', "margin must be positive"),
        ('[[suite]]\nname = "a"\nmargin = nan', "margin must be positive"),
        ('[[suite]]\nname = "a"\nmargin = -0.1', "margin must be positive"),
        ('[[suite]]\nname = "a"', "margin"),
        ('[[suite]]\nname = "a"\nmargin = 0.1\ntier = "crucial"', "tier"),
        ('[[suite]]\nname = "a"\nmargin = 0.1\nmargni = 0.1', "margni"),
        ('alpha = 0.7\n[[suite]]\nname = "a"\nmargin = 0.1', "alpha must lie"),
        ('coverage = 98\n[[suite]]\nname = "a"\nmargin = 0.1', "coverage must lie"),
        ('[[suite]]\nname = "a"\nmargin = 0.1\n[[suite]]\nname = "a"\nmargin = 0.1', "is defined twice"),
        ('[[suite]]\nname = "a"\nmargin = 0.1\ntier = "advisory"', "cannot fail"),
        ('[[suite]]\nname = "a"\nmargin = 0.1\npool = "p"', "not defined"),
        ("alpha = ", "."),
    ],
)
def test_a_wrong_policy_gets_one_line(tmp_path, text, words):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert "policy.toml" in str(caught.value)


def test_an_absent_policy_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot read the policy"):
        read(tmp_path / "none.toml")


def test_accuracy_is_the_default_metric():
    assert judge(binary(300, 500), binary(300, 500), metrics=accuracy()).suites[0].metric == "accuracy"


def test_the_policy_in_the_documentation_is_one():
    root = ROOT
    pages = [page for page in (root / "README.md", root / "docs" / "verdicts.md") if page.exists()]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
        if "[[suite]]" in block
    ]
    assert blocks
    for block in blocks:
        found = parse(block.encode())
        assert found.suite[0].margin > 0


# What a metric is about


def without_b(points):
    """A mean that leaves one group out, as ChemBench's `accuracy_8` does."""
    return mean_value([one for one in points if one.group != "b"])


EIGHT = Metric(name="eight", of=without_b, headline=True)


def test_what_a_metric_leaves_out_is_in_no_pair():
    groups = ["a"] * 200 + ["b"] * 25
    one = binary(150, 225, groups=groups)
    found = judge(one, one, metrics=(EIGHT,))
    assert found.verdict == "pass"
    assert found.suites[0].n == 200
    assert (found.suites[0].coverage, found.suites[0].difference) == (1.0, 0.0)
    assert found.suites[0].low > -0.05


def test_what_a_metric_leaves_out_of_outcomes_is_in_no_pair_and_what_is_missing_is():
    def valid(points):
        return mean_value([one for one in points if one.verdict != "invalid"])

    metric = Metric(name="of_valid", of=valid, headline=True)
    a, b = binary(150, 225), binary(150, 225)
    b = b._replace(
        points=[structs.replace(p, verdict="invalid") if p.id >= "s00200" else p for p in b.points]
    )
    assert judge(a, b, metrics=(metric,)).suites[0].n == 200
    assert judge(a, b, metrics=(metric,)).verdict == "pass"
    lost = b._replace(points=[p for p in b.points if p.id >= "s00040"])
    assert judge(a, lost, metrics=(metric,), coverage=0.5).verdict == "cannot tell"


# Judges and noise


def test_two_judges_are_not_compared():
    one, other = (suite_run(n, binary(3, 5), judge=j) for n, j in (("base", "gpt-a"), ("cand", "gpt-b")))
    with pytest.raises(UsageError, match="judge differs: gpt-a"):
        gate([other], [one], policy(TOY))
    unknown = structs.replace(one, judge=None)
    with pytest.raises(UsageError, match="not known"):
        gate([other], [unknown], policy(TOY))


def test_a_bare_name_is_held_against_the_noise_of_its_variant_and_another_metric_is_not():
    one = suite_run("base", binary(300, 500), suite="toy:small")
    other = suite_run("cand", binary(300, 500), suite="toy:small")
    with pytest.raises(UsageError, match="repeatability limit"):
        gate([other], [one], policy(TOY), noise={"toy:small": 0.06})
    rules = policy(TOY + '\nmetric = "accuracy_macro"')
    assert gate([other], [one], rules, noise={"toy:small": 0.06}).verdict == "pass"


def test_silence_on_the_hard_half_does_not_pass_an_error_gate():
    from evals.scorers.number import rmse

    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, unit="eV", headline=True)
    errors = [0.1] * 100 + [1.0] * 100
    a, b = side_of(errors), side_of([1.3 * error for error in errors])
    silent = [
        structs.replace(p, value=None, answer=None, verdict="unanswered", parts={"error_worst": 5.0})
        if p.id >= "s00100"
        else p
        for p in b.points
    ]
    rules = 'name = "toy"\nmargin = 0.1'
    assert judge(a, b._replace(points=silent), rules=rules, metrics=(metric,)).verdict == "regression"
