"""Gate verdicts on synthetic runs: margins, directions, tiers, missing outcomes, alarms, refusals."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from evals.errors import UsageError
from evals.report.metrics import accuracy, mean_value, repeat_metrics
from evals.types import Metric
from evals.verdicts import noise
from evals.verdicts.gate import EXIT_STATUS, gate
from evals.verdicts.policy import parse, read
from tests.support.error_messages import raises
from tests.support.paths import ROOT
from tests.support.synthetic_runs import binary, outcomes, outcomes_of, suite_run

MAE = Metric(name="mae", of=mean_value, better="lower", bounds=None, unit="eV", headline=True)


def policy(*entries: str, **settings: float):
    """Return a policy from the TOML of its suites and the settings before them."""
    head = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return parse((head + "".join(f"[[suite]]\n{entry}\n" for entry in entries)).encode())


TOY = 'name = "toy"\nmargin = 0.05'


def gate_report(baseline_outcomes, candidate_outcomes, *, entry=TOY, metrics=(), limits=None, **settings):
    """Return the gate's report on a baseline and a candidate with these outcomes, under a policy with one suite."""
    baseline, candidate = (
        suite_run("base", baseline_outcomes, metrics=metrics),
        suite_run("cand", candidate_outcomes, metrics=metrics),
    )
    return gate([candidate], [baseline], policy(entry, **settings), limits=limits)


# Verdicts


def test_the_same_outcomes_pass():
    report = gate_report(binary(300, 500), binary(300, 500))
    assert report.verdict == "pass"
    assert EXIT_STATUS[report.verdict] == 0
    assert report.suites[0].low > -0.05


def test_a_run_that_is_judged_against_itself_is_named():
    run = suite_run("base", binary(300, 500))
    (note,) = gate([run], [run], policy(TOY)).notes
    assert "same run" in note
    assert gate_report(binary(300, 500), binary(300, 500)).notes == ()


def test_a_large_loss_is_a_regression():
    report = gate_report(binary(300, 500), binary(200, 500))
    assert report.verdict == "regression"
    assert EXIT_STATUS[report.verdict] == 1
    assert report.suites[0].difference == pytest.approx(-0.2)
    assert report.suites[0].high < -0.05


def test_a_small_suite_is_inconclusive():
    report = gate_report(binary(18, 30), outcomes_of([1.0] * 16 + [0.0] * 12 + [1.0] * 2))
    assert report.verdict == "cannot tell"
    assert EXIT_STATUS[report.verdict] == 3
    assert "cannot be excluded" in report.suites[0].reasons[0]


def test_a_gain_passes_without_a_stated_limit_and_raises_an_alarm():
    report = gate_report(binary(200, 500), binary(400, 500))
    assert report.verdict == "pass"
    assert "check the answer extraction" in report.alarms[0]


def test_a_gain_above_the_stated_limit_prevents_a_pass():
    report = gate_report(binary(200, 500), binary(400, 500), entry=TOY + "\nplausible = 0.1")
    assert report.verdict == "cannot tell"
    assert report.alarms
    assert gate_report(binary(200, 500), binary(210, 500), entry=TOY + "\nplausible = 0.1").verdict == "pass"


def test_a_larger_error_is_a_regression_and_a_smaller_one_is_not():
    good, bad = outcomes_of([0.1, 0.2, 0.3] * 30), outcomes_of([0.5, 0.7, 0.6] * 30)
    toml = 'name = "toy"\nmargin = 0.1'
    worsened, improved = (
        gate_report(a, b, entry=toml, metrics=(MAE,)) for a, b in ((good, bad), (bad, good))
    )
    assert worsened.verdict == "regression"
    assert worsened.suites[0].difference == pytest.approx(0.4)
    assert worsened.suites[0].low > 0.1
    assert improved.verdict == "pass"
    assert improved.suites[0].high < 0.1


def test_interval_and_verdict_agree_at_the_margin():
    a = binary(300, 500)
    for wrong in range(60):
        suite = gate_report(a, outcomes_of([0.0] * wrong + [1.0] * (300 - wrong) + [0.0] * 200)).suites[0]
        assert (suite.verdict == "pass") == (suite.low > -0.05)
        assert (suite.verdict == "regression") == (suite.high < -0.05)


# Tiers, several suites and pools


def runs_of_suites(*right: int):
    """Return the candidate's and the baseline's runs of suites s0, s1, ...; `right`: the candidate's right answers of 500."""
    base = [suite_run("base", binary(300, 500), suite=f"s{i}") for i in range(len(right))]
    cand = [suite_run("cand", binary(k, 500), suite=f"s{i}") for i, k in enumerate(right)]
    return cand, base


def entry_of(i: int, tier: str, margin: float = 0.05) -> str:
    return f'name = "s{i}"\nmargin = {margin}\ntier = "{tier}"'


def test_supporting_suites_can_fail_the_gate_but_need_not_pass():
    cand, base = runs_of_suites(300, 282)
    assert gate(cand, base, policy(entry_of(0, "critical"), entry_of(1, "supporting"))).verdict == "pass"
    assert gate(cand, base, policy(entry_of(0, "critical"), entry_of(1, "critical"))).verdict == "cannot tell"
    cand, base = runs_of_suites(300, 200)
    assert (
        gate(cand, base, policy(entry_of(0, "critical"), entry_of(1, "supporting"))).verdict == "regression"
    )


def test_advisory_suites_are_only_reported():
    cand, base = runs_of_suites(300, 100)
    report = gate(cand, base, policy(entry_of(0, "critical"), entry_of(1, "advisory")))
    assert (report.verdict, report.suites[1].verdict) == ("pass", "regression")


def test_a_borderline_regression_is_inconclusive_after_holm_correction_for_ten_suites():
    cand, base = runs_of_suites(250, *[300] * 9)
    one_suite = gate(cand[:1], base[:1], policy(entry_of(0, "critical", 0.08)))
    ten_suites = gate(cand, base, policy(*(entry_of(i, "critical", 0.08) for i in range(10))))
    assert one_suite.verdict == "regression"
    assert ten_suites.verdict == "cannot tell"
    assert ten_suites.suites[0].p_regression == pytest.approx(10 * one_suite.suites[0].p_regression)


def test_a_critical_suite_that_the_candidate_lacks_prevents_a_pass():
    cand, base = runs_of_suites(300, 300)
    report = gate(cand[:1], base, policy(entry_of(0, "critical"), entry_of(1, "critical")))
    assert report.verdict == "cannot tell"
    assert report.suites[1].reasons == ("the candidate has no run of s1",)
    assert gate(cand[:1], base, policy(entry_of(0, "critical"), entry_of(1, "advisory"))).verdict == "pass"


def test_a_pool_has_no_difference_if_a_group_of_a_macro_mean_has_no_pair():
    macro = accuracy(macro=True)
    groups = ["x"] * 40 + ["y"]
    complete = outcomes_of([1.0] * 41, groups=groups)
    partial = outcomes_of([1.0] * 40 + [None], groups=groups)
    policy_text = "".join(f'[[suite]]\nname = "{name}"\nmargin = 0.2\npool = "both"\n' for name in ("m", "n"))
    pool = parse((policy_text + '[[pool]]\nname = "both"\nmargin = 0.2\n').encode())
    baseline = [suite_run("a", complete, suite=name, metrics=macro) for name in ("m", "n")]
    candidate = [
        suite_run("b", run_outcomes, suite=name, metrics=macro)
        for name, run_outcomes in (("m", partial), ("n", complete))
    ]
    assert gate(baseline, baseline, pool).suites[0].difference == 0.0
    assert gate(candidate, baseline, pool).suites[0].difference is None


def test_suites_in_a_pool_are_judged_together():
    base = [suite_run("base", binary(20, 40), suite=f"s{i}") for i in range(10)]
    cand = [suite_run("cand", binary(20, 40), suite=f"s{i}") for i in range(10)]
    text = "".join(f'[[suite]]\nname = "s{i}"\nmargin = 0.05\npool = "small"\n' for i in range(10))
    report = gate(cand, base, parse((text + '[[pool]]\nname = "small"\nmargin = 0.05\n').encode()))
    assert [suite.suite for suite in report.suites] == ["pool small"]
    assert report.verdict == "pass"
    assert report.suites[0].n == 400
    unpooled = gate(cand, base, policy(*(f'name = "s{i}"\nmargin = 0.05' for i in range(10))))
    assert unpooled.verdict == "cannot tell"


# Missing outcomes


def with_missing(count: int, right: int = 300, n: int = 500):
    """Return `n` outcomes of which the first `right` are right, without the first `count`."""
    return outcomes_of([None] * count + [1.0] * (right - count) + [0.0] * (n - right))


def test_a_pass_must_hold_if_missing_outcomes_count_as_wrong():
    report = gate_report(binary(300, 500), with_missing(10), entry='name = "toy"\nmargin = 0.02')
    assert report.verdict == "cannot tell"
    assert "at their worst" in report.suites[0].reasons[0]
    assert report.suites[0].difference == 0
    tolerated = 'name = "toy"\nmargin = 0.02\nmissing = "tolerate"'
    assert gate_report(binary(300, 500), with_missing(10), entry=tolerated).verdict == "pass"


def test_coverage_below_the_minimum_prevents_a_pass_even_if_missing_outcomes_are_tolerated():
    report = gate_report(binary(300, 500), with_missing(11), entry=TOY + '\nmissing = "tolerate"')
    assert report.verdict == "cannot tell"
    assert "coverage of the candidate is 97.80 %" in report.suites[0].reasons[0]
    assert gate_report(with_missing(11), binary(300, 500), entry=TOY, coverage=0.97).verdict == "pass"


def test_missing_outcomes_alone_are_not_a_regression():
    # 40 % are missing: if they count as right, there is no loss
    report = gate_report(binary(300, 500), with_missing(200))
    assert report.verdict == "cannot tell"


def test_with_a_metric_without_bounds_missing_outcomes_must_be_tolerated():
    a, b = outcomes_of([0.1, 0.2, 0.3] * 30), outcomes_of([0.1, 0.2, 0.3] * 29 + [0.1, 0.2, None])
    toml = 'name = "toy"\nmargin = 0.1'
    report = gate_report(a, b, entry=toml, metrics=(MAE,))
    assert report.verdict == "cannot tell"
    assert "has no worst value" in report.suites[0].reasons[0]
    assert gate_report(a, b, entry=toml + '\nmissing = "tolerate"', metrics=(MAE,)).verdict == "pass"


def test_without_scored_samples_the_gate_is_inconclusive():
    report = gate_report(binary(2, 3), outcomes_of([None] * 3), entry=TOY + '\nmissing = "tolerate"')
    assert report.verdict == "cannot tell"
    assert "no sample was scored in both runs" in report.suites[0].reasons


# Refusals


@pytest.mark.parametrize(
    "toml",
    ['name = "nope"\nmargin = 0.1', TOY + '\nprotocol = "official"', TOY + '\nmetric = "acuracy"'],
    ids=["suite", "protocol", "metric"],
)
def test_a_policy_that_does_not_match_the_runs_is_refused(toml):
    with raises(UsageError):
        gate_report(binary(2, 4), binary(2, 4), entry=toml)


def test_runs_under_different_protocols_are_refused():
    a, b = suite_run("a", binary(2, 4)), suite_run("b", binary(2, 4), protocol="official")
    with raises(UsageError):
        gate([b], [a], policy(TOY))


def test_a_policy_may_name_a_metric_at_k():
    a = outcomes({f"{i}": [1.0, 0.0] for i in range(40)}, repeats=2)
    report = gate_report(
        a, a, entry='name = "toy"\nmargin = 0.2\nmetric = "pass@k"', metrics=repeat_metrics()
    )
    assert (report.suites[0].metric, report.verdict) == ("pass@2", "pass")


def test_a_suite_name_without_variant_matches_the_only_variant():
    a = suite_run("a", binary(300, 500), suite="gpqa:diamond")
    assert gate([a], [a], policy('name = "gpqa"\nmargin = 0.05')).verdict == "pass"


def test_a_margin_below_the_repeatability_limit_is_refused():
    with raises(UsageError):
        gate_report(binary(3, 5), binary(3, 5), limits={("toy", "strict"): 0.06})
    assert (
        gate_report(binary(300, 500), binary(300, 500), limits={("toy", "strict"): 0.04}).suites[0].noise
        == 0.04
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("alpha = 0.05\nsuite = []", id="no suites"),
        pytest.param('[[suite]]\nname = "a"\nmargin = 0', id="margin 0"),
        pytest.param('[[suite]]\nname = "a"\nmargin = nan', id="margin nan"),
        pytest.param('[[suite]]\nname = "a"\nmargin = -0.1', id="negative margin"),
        pytest.param('[[suite]]\nname = "a"', id="no margin"),
        pytest.param('[[suite]]\nname = "a"\nmargin = 0.1\ntier = "crucial"', id="unknown tier"),
        pytest.param('[[suite]]\nname = "a"\nmargin = 0.1\nmargni = 0.1', id="misspelt key"),
        pytest.param('alpha = 0.7\n[[suite]]\nname = "a"\nmargin = 0.1', id="alpha"),
        pytest.param('coverage = 98\n[[suite]]\nname = "a"\nmargin = 0.1', id="coverage"),
        pytest.param('[[suite]]\nname = "a"\nmargin = 0.1\n' * 2, id="suite twice"),
        pytest.param('[[suite]]\nname = "a"\nmargin = 0.1\ntier = "advisory"', id="only advisory"),
        pytest.param('[[suite]]\nname = "a"\nmargin = 0.1\npool = "p"', id="undefined pool"),
        pytest.param(
            '[[pool]]\nname = "p"\nmargin = 0.1\n[[suite]]\nname = "a"\nmargin = 0.1\npool = "p"\ntier = "advisory"\n'
            'missing = "tolerate"',
            id="settings without effect in a pool",
        ),
        pytest.param("alpha = ", id="not TOML"),
    ],
)
def test_an_invalid_policy_is_reported_in_one_line(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with raises(UsageError) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_policy_file_that_does_not_exist_is_reported(tmp_path):
    with raises(UsageError):
        read(tmp_path / "none.toml")


def test_accuracy_is_the_default_metric():
    assert gate_report(binary(300, 500), binary(300, 500), metrics=accuracy()).suites[0].metric == "accuracy"


def test_policies_in_the_documentation_are_valid():
    pages = [page for page in (ROOT / "README.md", ROOT / "docs" / "verdicts.md") if page.exists()]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
        if "[[suite]]" in block
    ]
    assert blocks
    for block in blocks:
        documented_policy = parse(block.encode())
        assert documented_policy.suite[0].margin > 0


# Samples that a metric leaves out


def without_b(points):
    """Return a mean that leaves one group out, as ChemBench's `accuracy_8` does."""
    return mean_value([point for point in points if point.group != "b"])


WITHOUT_B = Metric(name="eight", of=without_b, headline=True)


def test_samples_that_a_metric_leaves_out_are_not_paired():
    groups = ["a"] * 200 + ["b"] * 25
    run_outcomes = binary(150, 225, groups=groups)
    report = gate_report(run_outcomes, run_outcomes, metrics=(WITHOUT_B,))
    assert report.verdict == "pass"
    assert report.suites[0].n == 200
    assert (report.suites[0].coverage, report.suites[0].difference) == (1.0, 0.0)
    assert report.suites[0].low > -0.05


def test_outcomes_that_a_metric_leaves_out_are_not_paired_but_missing_ones_are():
    def valid(points):
        return mean_value([point for point in points if point.verdict != "invalid"])

    metric = Metric(name="of_valid", of=valid, headline=True)
    a, b = binary(150, 225), binary(150, 225)
    b = b._replace(
        points=[structs.replace(p, verdict="invalid") if p.id >= "s00200" else p for p in b.points]
    )
    assert gate_report(a, b, metrics=(metric,)).suites[0].n == 200
    assert gate_report(a, b, metrics=(metric,)).verdict == "pass"
    incomplete = b._replace(points=[p for p in b.points if p.id >= "s00040"])
    assert gate_report(a, incomplete, metrics=(metric,), coverage=0.5).verdict == "cannot tell"


# Judges and noise


def test_runs_with_different_judges_are_refused():
    baseline, candidate = (
        suite_run(name, binary(3, 5), judge=judge) for name, judge in (("base", "gpt-a"), ("cand", "gpt-b"))
    )
    with raises(UsageError):
        gate([candidate], [baseline], policy(TOY))
    unknown = structs.replace(baseline, judge=None)
    with raises(UsageError):
        gate([candidate], [unknown], policy(TOY))


def test_the_repeatability_limit_of_the_only_variant_applies_to_its_headline_only():
    baseline = suite_run("base", binary(300, 500), suite="toy:small")
    candidate = suite_run("cand", binary(300, 500), suite="toy:small")
    with raises(UsageError):
        gate([candidate], [baseline], policy(TOY), limits={("toy:small", "strict"): 0.06})
    other_metric = policy(TOY + '\nmetric = "accuracy_macro"')
    assert (
        gate([candidate], [baseline], other_metric, limits={("toy:small", "strict"): 0.06}).verdict == "pass"
    )


def test_a_repeatability_report_applies_only_to_runs_under_its_protocol(tmp_path):
    runs = [
        suite_run(name, binary(right, 500), protocol=protocol, model="m")
        for protocol, right in (("strict", 300), ("official", 250))
        for name in ("one", "two")
    ]
    noise.write(tmp_path, structs.replace(noise.measure(runs[:2]), limit=0.01))
    assert noise.repeatability_limits(tmp_path, runs) == {("toy", "strict"): 0.01}
    noise.write(tmp_path, structs.replace(noise.measure(runs[2:]), limit=0.09))
    limits = noise.repeatability_limits(tmp_path, runs)
    assert limits == {("toy", "strict"): 0.01, ("toy", "official"): 0.09}
    report = gate(runs[1::2], runs[::2], policy(TOY + '\nprotocol = "strict"'), limits=limits)
    assert report.suites[0].noise == 0.01
    with raises(UsageError):
        gate(runs[1::2], runs[::2], policy(TOY + '\nprotocol = "official"'), limits=limits)


def test_of_several_repeatability_reports_the_one_with_the_largest_limit_applies(tmp_path):
    runs = [suite_run(name, binary(300, 500), model="m") for name in ("one", "two")]
    for precision, limit in (("a8", 0.03), ("bf16", 0.01), ("fp8", 0.02)):
        report = noise.measure(runs, conditions=noise.Conditions(precision=precision))
        noise.write(tmp_path, structs.replace(report, limit=limit))
    assert noise.repeatability_limits(tmp_path, runs) == {("toy", "strict"): 0.03}


def test_noise_is_measured_between_different_runs_with_the_same_repeats():
    run = suite_run("one", binary(300, 500))
    for other in (run, suite_run("two", outcomes({"a": [1.0, 0.0]}, repeats=2))):
        with raises(UsageError):
            noise.measure([run, other])


def test_noise_of_an_error_metric_is_measured_on_the_samples_scored_in_all_runs():
    from evals.scorers.number import rmse

    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, unit="eV", headline=True)
    errors = [0.1] * 99 + [10.0]
    runs = [
        suite_run(name, outcomes_of(values), metrics=[metric])
        for name, values in (("one", errors), ("two", [*errors[:99], None]))
    ]
    report = noise.measure(runs)
    assert report.values == pytest.approx((0.1, 0.1))
    assert report.limit == pytest.approx(0.0)


def test_a_candidate_without_any_score_is_inconclusive_about_these_items():
    entry = TOY + '\nestimand = "these-items"'
    report = gate_report(
        binary(30, 50), outcomes_of([None] * 50), entry=entry, limits={("toy", "strict"): 0.01}
    )
    assert report.verdict == "cannot tell"
    assert "no sample was scored in both runs" in report.suites[0].reasons


def test_leaving_the_hard_half_unanswered_does_not_pass_a_gate_on_an_error_metric():
    from evals.scorers.number import rmse

    metric = Metric(name="rmse", of=rmse, pool="whole", better="lower", bounds=None, unit="eV", headline=True)
    errors = [0.1] * 100 + [1.0] * 100
    a, b = outcomes_of(errors), outcomes_of([1.3 * error for error in errors])
    points = [
        structs.replace(p, value=None, answer=None, verdict="unanswered", parts={"error_worst": 5.0})
        if p.id >= "s00100"
        else p
        for p in b.points
    ]
    toml = 'name = "toy"\nmargin = 0.1'
    assert gate_report(a, b._replace(points=points), entry=toml, metrics=(metric,)).verdict == "regression"
