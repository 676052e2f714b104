"""compare, gate, gate plan, baseline, noise and --until-decided through the real command, on made-up questions."""

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

POLICY = '[[suite]]\nname = "mmlu-pro"\nprotocol = "strict"\nmargin = {}\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a baseline, an unchanged model, a worse one, and one that often failed."""
    place = tmp_path_factory.mktemp("verdicts")
    scripted_accuracy.write_questions(place / "mirror" / "mmlu_pro" / "test.jsonl", 900)
    for name in ("steady", "unchanged", "worse", "often_rejecting"):
        run(place, name, "--run", name)
    for margin in (0.002, 0.03, 0.06, 0.12):
        (place / f"{margin}.toml").write_text(POLICY.format(margin))
    return place


def run(place: Path, name: str, *words: object) -> Outcome:
    data = ("--data", place / "mirror", "--results", place / "results")
    return evals(
        "run",
        "mmlu-pro",
        "-m",
        f"scripted:call=tests.support.scripted_accuracy:{name}",
        *data,
        "--quiet",
        *words,
    )


def compare(place: Path, *words: object) -> Outcome:
    return evals("compare", *words, "--results", place / "results")


def gate(
    place: Path, candidate: str, *words: object, margin: float = 0.12, baseline: object = "steady"
) -> Outcome:
    policy = place / f"{margin}.toml"
    where = ("--results", place / "results")
    return evals("gate", candidate, "--baseline", baseline, "--policy", policy, *where, *words)


# compare


def test_compare_prints_one_json_document_with_the_documented_fields(place):
    found = compare(place, "steady", "unchanged", "--json")
    assert found.status == 0
    row = found.json["pairs"][0]
    wanted = "a b suite protocol metric group value_a value_b difference low high p p_adjusted test n wins losses ties better"
    assert set(wanted.split()) <= set(row)
    assert (found.json["comparable"], found.json["why_not"]) == (True, [])
    assert row["difference"] == pytest.approx(row["value_b"] - row["value_a"])
    assert row["n"] == row["wins"] + row["losses"] + row["ties"] == 900
    assert (row["a"], row["b"], row["better"]) == ("steady", "unchanged", "higher")


def test_compare_agrees_with_show(place):
    shown = {
        name: evals("show", name, "--results", place / "results", "--json").json["runs"][0]["estimates"]
        for name in ("steady", "worse")
    }
    row = compare(place, "steady", "worse", "--json").json["pairs"][0]
    assert [row["value_a"], row["value_b"]] == [
        next(e["value"] for e in shown[name] if e["headline"]) for name in ("steady", "worse")
    ]


def test_compare_for_people_names_flips_and_cost(place):
    found = compare(place, "steady", "worse", "--by", "group")
    assert found.status == 0
    for words in ("subject 1", "pp", "right -> wrong", "right → wrong", "tokens"):
        assert words in found.out


def test_compare_in_markdown_has_a_table(place):
    found = compare(place, "steady", "worse", "--markdown")
    assert "| suite | metric |" in found.out


def test_compare_of_many_ranks_them(place):
    found = compare(place, "steady", "unchanged", "worse", "--json").json
    assert len([row for row in found["pairs"] if row["headline"]]) == 3
    ranks = {rank["run"]: (rank["rank_low"], rank["rank_high"]) for rank in found["ranks"]}
    assert ranks["worse"] == (3, 3)
    assert "not significantly different" in compare(place, "steady", "unchanged", "worse").out


def test_compare_says_what_missing_outcomes_could_change(place):
    found = compare(place, "steady", "often_rejecting", "--json").json["pairs"][0]
    assert found["coverage_b"] < 0.9
    assert found["worst"] < found["difference"] < found["best"]
    assert (
        "depending on the missing outcomes, the difference lies in"
        in compare(place, "steady", "often_rejecting").out
    )


def test_compare_refuses_other_data_and_says_so(place, tmp_path):
    scripted_accuracy.write_questions(tmp_path / "mmlu_pro" / "test.jsonl", 50)
    words = ("--data", tmp_path, "--results", place / "results", "--quiet", "--run", "other-data")
    evals("run", "mmlu-pro", "-m", "scripted:call=tests.support.scripted_accuracy:steady", *words)
    found = compare(place, "steady", "other-data")
    assert found.status == 2
    assert "data_sha256 differs" in found.err
    as_json = compare(place, "steady", "other-data", "--json")
    assert (as_json.status, as_json.json["comparable"], as_json.json["pairs"]) == (2, False, [])
    forced = compare(place, "steady", "other-data", "--force")
    assert forced.status == 0
    assert "not comparable" in forced.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("steady",), "name two runs"),
        (("steady", "nope"), "no run 'nope'"),
        (("steady", "worse", "--suite", "gpqa"), "has no run of gpqa"),
        (("steady", "none.jsonl"), "no baseline file"),
    ],
)
def test_compare_of_what_is_not_there_is_one_line(place, words, complaint):
    assert complaint in compare(place, *words).error_line


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
def test_gate_verdicts_and_exit_statuses(place, candidate, margin, verdict, status):
    found = gate(place, candidate, "--json", margin=margin)
    assert (found.status, found.json["verdict"]) == (status, verdict)
    suite = found.json["suites"][0]
    assert {"suite", "tier", "verdict", "difference", "low", "high", "margin", "n", "coverage"} <= set(suite)
    assert {"cannot tell": "inconclusive"}.get(verdict, verdict) in gate(place, candidate, margin=margin).out


def test_gate_json_follows_its_schema(place):
    report = msgspec.json.decode(gate(place, "worse", "--json").out, type=GateReport, strict=True)
    assert report.format == 1
    schema = evals("gate", "schema").json
    assert set(gate(place, "worse", "--json").json) == set(schema["$defs"]["GateReport"]["properties"])


def test_gate_writes_junit_that_counts_failures(place, tmp_path):
    gate(place, "worse", "--junit", tmp_path / "gate.xml", margin=0.06)
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "1", "1")
    failure = root.find("testsuite/testcase/failure")
    assert "the loss significantly exceeds" in failure.get("message")
    gate(place, "unchanged", "--junit", tmp_path / "gate.xml", margin=0.002)
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("errors") == "1"


def test_gate_writes_short_markdown_with_the_verdict_first(place, tmp_path):
    gate(place, "worse", "--markdown", tmp_path / "gate.md", margin=0.06)
    lines = (tmp_path / "gate.md").read_text().splitlines()
    assert lines[0] == COMMENT_MARKER
    assert len(lines) <= MAX_LINES
    first_flip = next(i for i, line in enumerate(lines) if "→" in line)
    assert first_flip > next(i for i, line in enumerate(lines) if line.startswith("|"))


def test_gate_against_a_saved_baseline_gives_the_same_verdict(place, tmp_path):
    file = tmp_path / "baseline.jsonl"
    saved = evals("gate", "baseline", "steady", file, "--results", place / "results")
    assert saved.status == 0
    for candidate in ("unchanged", "worse", "often_rejecting"):
        direct, filed = (gate(place, candidate, "--json", baseline=b).json for b in ("steady", file))
        assert {**direct, "flips": []} == {**filed, "flips": []}
        assert sorted(f["id"] for f in direct["flips"]) == sorted(f["id"] for f in filed["flips"])


def test_a_baseline_is_small_and_holds_no_ids_questions_or_replies(place, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", place / "results")
    text = file.read_text()
    assert "which letter" not in text
    assert "ANSWER" not in text
    assert len(text) < 900 * 100
    assert json.loads(text.splitlines()[2])[2][0][0] in ("right", "wrong")


def test_saving_a_baseline_twice_gives_the_same_bytes(place, tmp_path):
    for name in ("one", "two"):
        evals("gate", "baseline", "steady", tmp_path / name, "--results", place / "results")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is not a baseline"),
        ("nonsense\n", "is not a baseline"),
        ('{"baseline": 9, "run": "r", "model": "m"}\n', "format 9"),
        ('{"baseline": 1, "run": "r", "model": "m"}\n{"suite": "x"}\n', "not a baseline"),
    ],
)
def test_a_broken_baseline_is_one_line(place, tmp_path, content, complaint):
    (tmp_path / "b.jsonl").write_text(content)
    assert complaint in gate(place, "worse", baseline=tmp_path / "b.jsonl").error_line


def test_a_torn_baseline_is_one_line(place, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", place / "results")
    file.write_text("\n".join(file.read_text().splitlines()[:400]) + "\n")
    assert "not a baseline of this format" in gate(place, "worse", baseline=file).error_line


def test_gate_help_says_both_ways():
    assert "gate plan POLICY.toml" in evals("gate", "--help").out
    assert "POLICY.toml" in evals("gate", "plan", "--help").out


def test_gate_needs_baseline_and_policy(place):
    assert "baseline" in evals("gate", "worse").error_line


# gate plan


def plan(place: Path, margin: float, *words: object) -> Outcome:
    policy = place / f"{margin}.toml"
    return evals("gate", "plan", policy, "--baseline", "steady", "--results", place / "results", *words)


def test_plan_of_a_policy_that_can_decide(place):
    found = plan(place, 0.06, "--json")
    assert found.status == 0
    assert found.json["decides"]
    suite = found.json["suites"][0]
    assert suite["source"] == "assumed"
    assert suite["passes_unchanged"] > 0.99
    assert suite["tokens"]["output"] == 1800
    assert any("assumed, not measured" in note for note in found.json["notes"])


def test_plan_refuses_what_cannot_decide_and_names_what_could(place, tmp_path):
    found = plan(place, 0.03, "--json")
    assert found.status == 2
    assert "an unchanged model passes in" in found.json["why"]
    margin = float(found.json["nearest"][0].split("margin = ")[1].split(",")[0])
    (tmp_path / "wider.toml").write_text(POLICY.format(margin))
    wider = evals(
        "gate",
        "plan",
        tmp_path / "wider.toml",
        "--baseline",
        "steady",
        "--results",
        place / "results",
        "--json",
    )
    assert (wider.status, wider.json["decides"]) == (0, True)
    assert "refused" in plan(place, 0.03).out


def test_plan_takes_noise_from_a_second_run(place):
    found = plan(place, 0.06, "--again", "unchanged", "--json").json["suites"][0]
    row = compare(place, "steady", "unchanged", "--json").json["pairs"][0]
    assert found["source"] == "second run"
    assert found["discordance"] == pytest.approx((row["wins"] + row["losses"]) / 900)


# noise


def test_noise_of_finished_runs_is_kept_and_used(place, tmp_path):
    results = tmp_path / "results"
    for name, seed in (("one", 1), ("two", 2)):
        words = ("--data", place / "mirror", "--results", results, "--quiet", "--run", name, "--seed", seed)
        evals(
            "run",
            "mmlu-pro",
            "-m",
            f"scripted:call=tests.support.scripted_accuracy:{('steady', 'unchanged')[seed - 1]}",
            *words,
        )
    where = ("--results", results)
    found = evals("gate", "noise", "--from", "one", "--from", "two", "--precision", "bf16", *where, "--json")
    assert found.status == 0
    certificate = found.json["certificates"][0]
    assert certificate["limit"] == pytest.approx(2.8 * certificate["deviation"])
    assert certificate["conditions"]["precision"] == "bf16"
    assert len(list((results / "noise").glob("*.json"))) == 1
    assert compare(tmp_path, "one", "two", "--json").json["noise"] == {"mmlu-pro": certificate["limit"]}
    tight = tmp_path / "tight.toml"
    tight.write_text(POLICY.format(certificate["limit"] / 2))
    for words in (
        ("gate", "two", "--baseline", "one", "--policy", tight),
        ("gate", "plan", tight, "--baseline", "one"),
    ):
        assert "below the repeatability limit" in evals(*words, *where).error_line


def test_noise_runs_the_model_itself(place, tmp_path):
    words = ("--data", place / "mirror", "--results", tmp_path / "results", "--times", 3, "--json")
    found = evals("gate", "noise", "scripted:call=tests.support.scripted_accuracy:steady", "mmlu-pro", *words)
    assert found.status == 0
    assert found.json["certificates"][0]["deviation"] == 0
    assert len(found.json["certificates"][0]["runs"]) == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "expected a model"),
        (("scripted:A", "mmlu-pro", "--times", 1), "--times must be 2"),
        (("--from", "steady"), "at least two runs"),
    ],
)
def test_noise_of_nothing_is_one_line(place, words, complaint):
    assert complaint in evals("gate", "noise", *words, "--results", place / "results").error_line


# --until-decided


def until(
    place: Path, name: str, *words: object, margin: float = 0.12, against: object = "steady"
) -> Outcome:
    policy = place / f"{margin}.toml"
    return run(
        place, name, "--against", against, "--policy", policy, "--until-decided", "--concurrency", 4, *words
    )


@pytest.mark.parametrize(
    ("name", "verdict", "status"), [("unchanged", "pass", 0), ("worse", "regression", 1)]
)
def test_a_run_stops_when_it_is_decided(place, name, verdict, status):
    found = until(place, name, "--run", f"until-{name}", "--json", margin=0.12 if status == 0 else 0.06)
    assert (found.status, found.json["verdict"], found.json["sequential"]) == (status, verdict, True)
    suite = found.json["suites"][0]
    assert suite["n"] < 500
    asked = evals("show", f"until-{name}", "--results", place / "results", "--json").json["runs"][0]
    assert sum(count for kind, count in asked["counts"].items() if kind != "absent") <= suite["n"] + 8
    assert any("must not be quoted" in note for note in asked["notes"])


def test_a_decided_run_asks_nothing_more_when_called_again(place):
    first = until(place, "unchanged", "--run", "again", "--json").json
    second = until(place, "unchanged", "--run", "again", "--json").json
    assert (second["verdict"], second["suites"][0]["n"]) == (first["verdict"], first["suites"][0]["n"])


def test_items_run_out_undecided(place):
    found = until(place, "unchanged", "--run", "undecided", "--json", margin=0.002)
    assert (found.status, found.json["verdict"]) == (3, "cannot tell")
    assert found.json["suites"][0]["n"] == 900


def test_a_second_test_only_at_the_alpha_that_was_kept(place, tmp_path):
    policy = tmp_path / "split.toml"
    policy.write_text("final = 0.5\n" + POLICY.format(0.06))
    words = ("--against", "steady", "--policy", policy, "--until-decided", "--run", "split", "--json")
    found = run(place, "unchanged", *words).json
    assert found["verdict"] == "pass"
    (tmp_path / "alone.toml").write_text("alpha = 0.025\n" + POLICY.format(0.06))
    where = ("--results", place / "results", "--json")
    fixed = evals(
        "gate", "unchanged", "--baseline", "steady", "--policy", tmp_path / "alone.toml", *where
    ).json
    assert fixed["verdict"] == "pass"


def test_missing_outcomes_keep_a_race_undecided(place):
    found = until(place, "often_rejecting", "--run", "down", "--json")
    assert (found.status, found.json["verdict"]) == (3, "cannot tell")
    assert found.json["suites"][0]["coverage"] < 0.9


def test_a_race_against_a_baseline_file(place, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", place / "results")
    found = until(place, "unchanged", "--run", "filed", "--json", against=file)
    assert found.json["verdict"] == "pass"


def test_the_three_options_go_together(place):
    assert "must be given together" in run(place, "unchanged", "--until-decided").error_line
    assert "must be given together" in run(place, "unchanged", "--against", "steady").error_line
    two = ("-m", "scripted:A")
    assert "one model at a time" in until(place, "unchanged", *two).error_line


def test_what_a_model_said_stays_text_in_markdown():
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
    assert line.count("`") == 6  # id and both answers are code: no tag, link or mention in them is alive


def test_compare_takes_a_baseline_file(place, tmp_path):
    file = tmp_path / "baseline.jsonl"
    evals("gate", "baseline", "steady", file, "--results", place / "results")
    direct, filed = (compare(place, a, "worse", "--json").json for a in ("steady", file))
    assert direct["pairs"] == filed["pairs"]


def test_a_margin_as_wide_as_the_scale_is_refused_in_a_race(place, tmp_path):
    (tmp_path / "wide.toml").write_text(POLICY.format(1.0))
    words = ("--against", "steady", "--policy", tmp_path / "wide.toml", "--until-decided", "--run", "wide")
    assert "must be below 1, the range of accuracy" in run(place, "unchanged", *words).error_line


def test_a_race_in_a_file_of_orders(place, tmp_path):
    file = tmp_path / "weekly.toml"
    file.write_text(
        f'suites = ["mmlu-pro"]\nmodels = ["scripted:call=tests.support.scripted_accuracy:worse"]\ndata = "{place / "mirror"}"\n'
        f'results = "{place / "results"}"\nrun = "weekly"\nagainst = "steady"\npolicy = "{place / "0.06.toml"}"\n'
        "until_decided = true\n"
    )
    found = evals("run", file, "--json")
    assert (found.status, found.json["verdict"]) == (1, "regression")
