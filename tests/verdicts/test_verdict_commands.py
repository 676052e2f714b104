"""compare, gate, gate plan, gate baseline, gate noise and run --until-decided through the real command, on generated questions."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from evals.verdicts.gate import GateReport
from evals.verdicts.gate_report_files import COMMENT_MARKER, MAX_LINES
from tests.support import scripted_accuracy
from tests.support.command import Outcome, evals
from tests.support.error_messages import assert_recorded

POLICY = '[[suite]]\nname = "mmlu-pro"\nprotocol = "strict"\nmargin = {}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of a baseline, an unchanged model, a worse one, and one whose calls are often rejected."""
    folder = tmp_path_factory.mktemp("verdicts")
    scripted_accuracy.write_questions(folder / "mirror" / "mmlu_pro" / "test.jsonl", 900)
    for name in ("steady", "unchanged", "worse", "often_rejecting"):
        run(folder, name, "--run", name)
    for margin in (0.002, 0.03, 0.06, 0.12):
        (folder / f"{margin}.toml").write_text(POLICY.format(margin))
    return folder


def run(folder: Path, name: str, *arguments: object) -> Outcome:
    """Run mmlu-pro with a scripted model of tests/support/scripted_accuracy.py."""
    model = f"scripted:call=tests.support.scripted_accuracy:{name}"
    options = ("--data", folder / "mirror", "--results", folder / "results", "--quiet")
    return evals("run", "mmlu-pro", "-m", model, *options, *arguments)


def compare(folder: Path, *arguments: object) -> Outcome:
    return evals("compare", *arguments, "--results", folder / "results")


def gate(
    folder: Path, candidate: str, *arguments: object, margin: float = 0.12, baseline: object = "steady"
) -> Outcome:
    policy = folder / f"{margin}.toml"
    results_option = ("--results", folder / "results")
    return evals("gate", candidate, "--baseline", baseline, "--policy", policy, *results_option, *arguments)


# compare


def test_compare_prints_one_json_document_with_the_documented_fields(folder):
    outcome = compare(folder, "steady", "unchanged", "--json")
    assert outcome.status == 0
    row = outcome.json["pairs"][0]
    documented = "a b suite protocol metric group value_a value_b difference low high p p_adjusted test n wins losses ties better"
    assert set(documented.split()) <= set(row)
    assert (outcome.json["comparable"], outcome.json["why_not"]) == (True, [])
    assert row["difference"] == pytest.approx(row["value_b"] - row["value_a"])
    assert row["n"] == row["wins"] + row["losses"] + row["ties"] == 900
    assert (row["a"], row["b"], row["better"]) == ("steady", "unchanged", "higher")


def test_compare_agrees_with_show(folder):
    shown = {
        name: evals("show", name, "--results", folder / "results", "--json").json["runs"][0]["estimates"]
        for name in ("steady", "worse")
    }
    row = compare(folder, "steady", "worse", "--json").json["pairs"][0]
    assert [row["value_a"], row["value_b"]] == [
        next(e["value"] for e in shown[name] if e["headline"]) for name in ("steady", "worse")
    ]


def test_compare_as_text_shows_groups_changed_verdicts_and_tokens(folder):
    outcome = compare(folder, "steady", "worse", "--by", "group")
    assert outcome.status == 0
    for text in ("subject 1", "pp", "right -> wrong", "right → wrong", "tokens"):
        assert text in outcome.out


def test_compare_in_markdown_has_a_table(folder):
    outcome = compare(folder, "steady", "worse", "--markdown")
    assert "| suite | metric |" in outcome.out


def test_compare_of_three_runs_ranks_them(folder):
    comparison = compare(folder, "steady", "unchanged", "worse", "--json").json
    assert len([row for row in comparison["pairs"] if row["headline"]]) == 3
    ranks = {rank["run"]: (rank["rank_low"], rank["rank_high"]) for rank in comparison["ranks"]}
    assert ranks["worse"] == (3, 3)
    assert "not significantly different" in compare(folder, "steady", "unchanged", "worse").out


def test_compare_bounds_the_difference_for_missing_outcomes(folder):
    row = compare(folder, "steady", "often_rejecting", "--json").json["pairs"][0]
    assert row["coverage_b"] < 0.9
    assert row["worst"] < row["difference"] < row["best"]
    assert (
        "depending on the missing outcomes, the difference lies in"
        in compare(folder, "steady", "often_rejecting").out
    )


def test_compare_refuses_runs_on_different_data_unless_forced(folder, tmp_path):
    scripted_accuracy.write_questions(tmp_path / "mmlu_pro" / "test.jsonl", 50)
    arguments = ("--data", tmp_path, "--results", folder / "results", "--quiet", "--run", "other-data")
    evals("run", "mmlu-pro", "-m", "scripted:call=tests.support.scripted_accuracy:steady", *arguments)
    refused = compare(folder, "steady", "other-data")
    assert refused.status == 2
    assert_recorded(refused.err.rstrip("\n"))
    as_json = compare(folder, "steady", "other-data", "--json")
    assert (as_json.status, as_json.json["comparable"], as_json.json["pairs"]) == (2, False, [])
    forced = compare(folder, "steady", "other-data", "--force")
    assert forced.status == 0
    assert "not comparable" in forced.out


@pytest.mark.parametrize("line", ["steady", "steady nope", "steady worse --suite gpqa", "steady none.jsonl"])
def test_compare_reports_usage_errors_in_one_line(folder, line):
    compare(folder, *line.split()).assert_usage_error()


# gate


@pytest.mark.parametrize(
    ("candidate", "margin", "verdict", "status"),
    [
        ("unchanged", 0.12, "pass", 0),
        ("worse", 0.06, "regression", 1),
        ("often_rejecting", 0.12, "cannot tell", 3),
        ("steady", 0.03, "pass", 0),
        ("unchanged", 0.002, "cannot tell", 3),
    ],
)
def test_gate_verdicts_and_exit_statuses(folder, candidate, margin, verdict, status):
    outcome = gate(folder, candidate, "--json", margin=margin)
    assert (outcome.status, outcome.json["verdict"]) == (status, verdict)
    suite = outcome.json["suites"][0]
    assert {"suite", "tier", "verdict", "difference", "low", "high", "margin", "n", "coverage"} <= set(suite)
    assert {"cannot tell": "inconclusive"}.get(verdict, verdict) in gate(folder, candidate, margin=margin).out


def test_gate_json_follows_its_schema(folder):
    report = msgspec.json.decode(gate(folder, "worse", "--json").out, type=GateReport, strict=True)
    assert report.format == 1
    schema = evals("gate", "schema").json
    assert set(gate(folder, "worse", "--json").json) == set(schema["$defs"]["GateReport"]["properties"])


def test_gate_writes_junit_that_counts_failures(folder, tmp_path):
    gate(folder, "worse", "--junit", tmp_path / "gate.xml", margin=0.06)
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "1", "1")
    failure = root.find("testsuite/testcase/failure")
    assert "the loss significantly exceeds" in failure.get("message")
    gate(folder, "unchanged", "--junit", tmp_path / "gate.xml", margin=0.002)
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("errors") == "1"


def test_gate_writes_short_markdown_with_the_verdicts_before_the_changed_samples(folder, tmp_path):
    gate(folder, "worse", "--markdown", tmp_path / "gate.md", margin=0.06)
    lines = (tmp_path / "gate.md").read_text().splitlines()
    assert lines[0] == COMMENT_MARKER
    assert len(lines) <= MAX_LINES
    first_change = next(i for i, line in enumerate(lines) if "→" in line)
    assert first_change > next(i for i, line in enumerate(lines) if line.startswith("|"))


def test_gate_against_a_saved_baseline_gives_the_same_verdict(folder, tmp_path):
    file = tmp_path / "baseline.jsonl"
    saved = evals("gate", "baseline", "steady", file, "--results", folder / "results")
    assert saved.status == 0
    for candidate in ("unchanged", "worse", "often_rejecting"):
        direct, from_file = (
            gate(folder, candidate, "--json", baseline=source).json for source in ("steady", file)
        )
        assert {**direct, "flips": []} == {**from_file, "flips": []}
        assert sorted(f["id"] for f in direct["flips"]) == sorted(f["id"] for f in from_file["flips"])


def test_a_baseline_file_is_small_and_contains_no_questions_or_replies(folder, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", folder / "results")
    text = file.read_text()
    assert "which letter" not in text
    assert "ANSWER" not in text
    assert len(text) < 900 * 100
    assert json.loads(text.splitlines()[2])[2][0][0] in ("right", "wrong")


def test_saving_a_baseline_twice_gives_the_same_bytes(folder, tmp_path):
    for name in ("one", "two"):
        evals("gate", "baseline", "steady", tmp_path / name, "--results", folder / "results")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense\n",
        '{"baseline": 9, "run": "r", "model": "m"}\n',
        '{"baseline": 1, "run": "r", "model": "m"}\n{"suite": "x"}\n',
    ],
    ids=["empty", "not JSON", "other format", "incomplete suite"],
)
def test_a_malformed_baseline_file_is_reported_in_one_line(folder, tmp_path, content):
    (tmp_path / "b.jsonl").write_text(content)
    gate(folder, "worse", baseline=tmp_path / "b.jsonl").assert_usage_error()


@pytest.mark.parametrize(
    "row",
    [
        [5, "", [["wrong", 0.0, "B"]], "", 4, "A"],
        ["0", {}, [["wrong", 0.0, "B"]], "", 4, "A"],
        ["0", "", [["wrong", 0.0, {"a": 1}]], "", 4, "A"],
        ["0", "", [["wrong", 0.0, "B", {"part": "x"}]], "", 4, "A"],
        ["0", "", [["wrong", 0.0, "B"]], "", "4", "A"],
    ],
    ids=["id", "group", "answer", "parts", "options"],
)
def test_a_baseline_file_with_a_value_of_another_type_is_reported_in_one_line(folder, tmp_path, row):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", folder / "results")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:]]) + "\n")
    gate(folder, "worse", baseline=file).assert_usage_error()


def test_a_truncated_baseline_file_is_reported_in_one_line(folder, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", folder / "results")
    file.write_text("\n".join(file.read_text().splitlines()[:400]) + "\n")
    gate(folder, "worse", baseline=file).assert_usage_error()


def test_gate_help_shows_gate_plan():
    assert "gate plan POLICY.toml" in evals("gate", "--help").out
    assert "POLICY.toml" in evals("gate", "plan", "--help").out


def test_gate_requires_a_baseline(folder):
    evals("gate", "worse").assert_usage_error()


# gate plan


def gate_plan(folder: Path, margin: float, *arguments: object) -> Outcome:
    policy = folder / f"{margin}.toml"
    return evals("gate", "plan", policy, "--baseline", "steady", "--results", folder / "results", *arguments)


def test_plan_accepts_a_policy_with_enough_power(folder):
    outcome = gate_plan(folder, 0.06, "--json")
    assert outcome.status == 0
    assert outcome.json["decides"]
    suite = outcome.json["suites"][0]
    assert suite["source"] == "assumed"
    assert suite["passes_unchanged"] > 0.99
    assert suite["tokens"]["output"] == 1800
    assert any("assumed, not measured" in note for note in outcome.json["notes"])


def test_plan_refuses_a_policy_without_enough_power_and_proposes_a_margin_with_it(folder, tmp_path):
    outcome = gate_plan(folder, 0.03, "--json")
    assert outcome.status == 2
    assert "an unchanged model passes in" in outcome.json["why"]
    margin = float(outcome.json["nearest"][0].split("margin = ")[1].split(",")[0])
    (tmp_path / "wider.toml").write_text(POLICY.format(margin))
    options = ("--baseline", "steady", "--results", folder / "results", "--json")
    wider = evals("gate", "plan", tmp_path / "wider.toml", *options)
    assert (wider.status, wider.json["decides"]) == (0, True)
    assert "refused" in gate_plan(folder, 0.03).out


def test_plan_takes_noise_from_a_second_run(folder):
    suite = gate_plan(folder, 0.06, "--again", "unchanged", "--json").json["suites"][0]
    row = compare(folder, "steady", "unchanged", "--json").json["pairs"][0]
    assert suite["source"] == "second run"
    assert suite["discordance"] == pytest.approx((row["wins"] + row["losses"]) / 900)


# noise


def test_noise_of_finished_runs_is_stored_and_used_by_compare_and_gate(folder, tmp_path):
    results = tmp_path / "results"
    for name, seed in (("one", 1), ("two", 2)):
        model = f"scripted:call=tests.support.scripted_accuracy:{('steady', 'unchanged')[seed - 1]}"
        options = ("--data", folder / "mirror", "--results", results, "--run", name, "--seed", seed)
        evals("run", "mmlu-pro", "-m", model, "--quiet", *options)
    results_option = ("--results", results)
    outcome = evals(
        "gate", "noise", "--from", "one", "--from", "two", "--precision", "bf16", *results_option, "--json"
    )
    assert outcome.status == 0
    report = outcome.json["certificates"][0]
    assert report["limit"] == pytest.approx(2.8 * report["deviation"])
    assert report["conditions"]["precision"] == "bf16"
    assert len(list((results / "noise").glob("*.json"))) == 1
    assert compare(tmp_path, "one", "two", "--json").json["noise"] == {"mmlu-pro": report["limit"]}
    policy = tmp_path / "narrow.toml"
    policy.write_text(POLICY.format(report["limit"] / 2))
    for arguments in (
        ("gate", "two", "--baseline", "one", "--policy", policy),
        ("gate", "plan", policy, "--baseline", "one"),
    ):
        evals(*arguments, *results_option).assert_usage_error()


def test_noise_of_a_model_runs_it_several_times(folder, tmp_path):
    arguments = ("--data", folder / "mirror", "--results", tmp_path / "results", "--times", 3, "--json")
    outcome = evals(
        "gate", "noise", "scripted:call=tests.support.scripted_accuracy:steady", "mmlu-pro", *arguments
    )
    assert outcome.status == 0
    assert outcome.json["certificates"][0]["deviation"] == 0
    assert len(outcome.json["certificates"][0]["runs"]) == 3


@pytest.mark.parametrize(
    "line", [pytest.param("", id="nothing"), "scripted:A mmlu-pro --times 1", "--from steady"]
)
def test_gate_noise_reports_usage_errors_in_one_line(folder, line):
    evals("gate", "noise", *line.split(), "--results", folder / "results").assert_usage_error()


# --until-decided


def run_until_decided(
    folder: Path, name: str, *arguments: object, margin: float = 0.12, against: object = "steady"
) -> Outcome:
    """Run a scripted model and stop as soon as the sequential gate decides."""
    policy = folder / f"{margin}.toml"
    options = ("--against", against, "--policy", policy, "--concurrency", 4)
    return run(folder, name, "--until-decided", *options, *arguments)


@pytest.mark.parametrize(
    ("name", "verdict", "status"), [("unchanged", "pass", 0), ("worse", "regression", 1)]
)
def test_a_sequential_run_stops_once_decided(folder, name, verdict, status):
    outcome = run_until_decided(
        folder, name, "--run", f"until-{name}", "--json", margin=0.12 if status == 0 else 0.06
    )
    assert (outcome.status, outcome.json["verdict"], outcome.json["sequential"]) == (status, verdict, True)
    suite = outcome.json["suites"][0]
    assert suite["n"] < 500
    shown = evals("show", f"until-{name}", "--results", folder / "results", "--json").json["runs"][0]
    assert sum(count for kind, count in shown["counts"].items() if kind != "absent") <= suite["n"] + 8
    assert any("must not be quoted" in note for note in shown["notes"])


def test_a_decided_run_makes_no_further_calls_when_repeated(folder):
    first = run_until_decided(folder, "unchanged", "--run", "again", "--json").json
    second = run_until_decided(folder, "unchanged", "--run", "again", "--json").json
    assert (second["verdict"], second["suites"][0]["n"]) == (first["verdict"], first["suites"][0]["n"])


def test_a_run_that_uses_all_items_without_a_decision_is_inconclusive(folder):
    outcome = run_until_decided(folder, "unchanged", "--run", "undecided", "--json", margin=0.002)
    assert (outcome.status, outcome.json["verdict"]) == (3, "cannot tell")
    assert outcome.json["suites"][0]["n"] == 900


def test_the_final_test_uses_the_alpha_reserved_for_it(folder, tmp_path):
    policy = tmp_path / "split.toml"
    policy.write_text("final = 0.5\n" + POLICY.format(0.06))
    arguments = ("--against", "steady", "--policy", policy, "--until-decided", "--run", "split", "--json")
    report = run(folder, "unchanged", *arguments).json
    assert report["verdict"] == "pass"
    (tmp_path / "alone.toml").write_text("alpha = 0.025\n" + POLICY.format(0.06))
    results_option = ("--results", folder / "results", "--json")
    fixed_report = evals(
        "gate", "unchanged", "--baseline", "steady", "--policy", tmp_path / "alone.toml", *results_option
    ).json
    assert fixed_report["verdict"] == "pass"


def test_missing_outcomes_leave_a_sequential_gate_inconclusive(folder):
    outcome = run_until_decided(folder, "often_rejecting", "--run", "down", "--json")
    assert (outcome.status, outcome.json["verdict"]) == (3, "cannot tell")
    assert outcome.json["suites"][0]["coverage"] < 0.9


def test_a_sequential_gate_accepts_a_baseline_file(folder, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", folder / "results")
    outcome = run_until_decided(folder, "unchanged", "--run", "filed", "--json", against=file)
    assert outcome.json["verdict"] == "pass"


def test_until_decided_requires_against_and_policy_and_a_single_model(folder):
    run(folder, "unchanged", "--until-decided").assert_usage_error()
    run(folder, "unchanged", "--against", "steady").assert_usage_error()
    second_model = ("-m", "scripted:A")
    run_until_decided(folder, "unchanged", *second_model).assert_usage_error()


def test_markup_in_answers_is_escaped_in_markdown():
    from evals.verdicts.flips import Flip
    from evals.verdicts.formatting import flip_line

    hostile = "<img src=x> @everyone `code` | \x1b[31m [a](b)\nnext"
    flip = Flip(
        suite="s",
        id="1",
        repeat=0,
        group="",
        a="right",
        b="wrong",
        answer_a=hostile,
        answer_b="B",
        worse=True,
    )
    line = flip_line(flip, quote="`")
    assert "\x1b" not in line
    assert "\n" not in line
    # id and both answers are code spans, in which tags, links and mentions have no effect
    assert line.count("`") == 6


def test_compare_accepts_a_baseline_file(folder, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", folder / "results")
    direct, from_file = (compare(folder, source, "worse", "--json").json for source in ("steady", file))
    assert direct["pairs"] == from_file["pairs"]


def test_a_sequential_gate_refuses_a_margin_as_wide_as_the_scale(folder, tmp_path):
    (tmp_path / "wide.toml").write_text(POLICY.format(1.0))
    options = ("--against", "steady", "--policy", tmp_path / "wide.toml", "--run", "wide")
    outcome = run(folder, "unchanged", "--until-decided", *options)
    outcome.assert_usage_error()


def test_a_request_file_can_run_a_sequential_gate(folder, tmp_path):
    file = tmp_path / "weekly.toml"
    file.write_text(
        f'suites = ["mmlu-pro"]\nmodels = ["scripted:call=tests.support.scripted_accuracy:worse"]\ndata = "{folder / "mirror"}"\n'
        f'results = "{folder / "results"}"\nrun = "weekly"\nagainst = "steady"\npolicy = "{folder / "0.06.toml"}"\n'
        "until_decided = true\n"
    )
    outcome = evals("run", file, "--json")
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
