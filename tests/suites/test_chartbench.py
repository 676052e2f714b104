"""ChartBench: its rules case by case, Acc+ and CoR on constructed pairs, incomplete pairs, both layouts of the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from evals.data import Data
from evals.errors import DataError
from evals.records.files import Gold
from evals.records.store import find_one
from evals.report.estimates import estimate, estimate_all
from evals.report.metrics import mean_value
from evals.report.statistics import clustered_mean
from evals.scorers.chartbench import Published, Strict, acc_plus, confusion, metrics, pair_error
from evals.suites import chartbench
from evals.types import Metric, Point, Prompt, Reply, Sample
from evals.verdicts.pairs import Outcomes, Pairing, merge_joint_samples
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "chartbench.jsonl").read_text("utf-8").splitlines()]


@table("case", CASES, ids=lambda case: f"{case['rule']}: {case['target']} | {case['text']}")
def test_replies_are_scored_as_in_the_table(case: dict[str, object]) -> None:
    target = case["target"]
    sample = Sample(id="1_0", target=tuple(target) if isinstance(target, list) else str(target))
    rule = Published() if case["rule"] == "published" else Strict()
    score = rule(sample, Prompt(), Reply(text=str(case["text"])))
    assert (score.value, score.verdict) == (case["value"], case["verdict"]), case["why"]


def test_a_filtered_reply_is_refused_and_has_no_answer() -> None:
    for rule in (Published(), Strict()):
        score = rule(Sample(id="1_1", target="no"), Prompt(), Reply(text="", stop="filter"))
        assert (score.value, score.verdict, score.answer) == (0.0, "refused", None)


# --- pairs --------------------------------------------------------------------------------------------------


def point(
    item: int, target: str, answer: str | None, *, task: str = "VE", chart: str = "", repeat: int = 0
) -> Point:
    value = float(answer == target)
    name = f"{item}_{int(target == 'no')}"
    verdict = "right" if value else "wrong" if answer else "unanswered"
    return Point(name, repeat, task, chart or f"chart-{item}", verdict, value, answer, target, 0, {})


def pair(item: int, first: str | None, second: str | None, **facts: object) -> list[Point]:
    """Return the points of an item's assertions; `first` is the answer to the true one, `second` to the false one."""
    return [point(item, "yes", first, **facts), point(item, "no", second, **facts)]


def metric(name: str, *, pool: bool = False) -> Metric:
    return next(m for m in metrics(pool=pool) if m.name == name)


@pytest.mark.parametrize(
    ("first", "second", "plus", "cor", "err"),
    [("yes", "no", 1, 0, 0), ("yes", "yes", 0, 1, 0), ("no", "no", 0, 1, 0), ("no", "yes", 0, 0, 1), (None, "no", 0, 0, 1), (None, None, 0, 0, 1)],
)  # fmt: skip
def test_a_pair_counts_for_either_acc_plus_cor_or_err(
    first: str | None, second: str | None, plus: int, cor: int, err: int
) -> None:
    points = pair(1, first, second)
    for ordered in (points, points[::-1]):
        assert (acc_plus(ordered), confusion(ordered), pair_error(ordered)) == (plus, cor, err)
    assert plus + cor + err == 1


@pytest.mark.parametrize(
    "points",
    [pair(1, "yes", "no")[:1], [*pair(1, "yes", "no"), *pair(2, "yes", "no")], [point(1, "7", "7")]],
    ids=["one assertion", "two pairs", "a number"],
)
def test_metrics_of_pairs_reject_points_that_are_not_one_pair(points: list[Point]) -> None:
    for pair_value in (acc_plus, confusion, pair_error):
        with raises(ValueError):
            pair_value(points)


def golds(points: Sequence[Point]) -> dict[str, Gold]:
    return {point.id: Gold(point.group, point.cluster, point.target, 0) for point in points}


def test_metrics_of_constructed_pairs_have_the_expected_values() -> None:
    """Of 8 pairs, 4 are right, 3 are confused and 1 is wrong twice; of 16 assertions, 4 x 2 + 3 = 11 are right."""
    answers = [("yes", "no")] * 4 + [("yes", "yes")] * 2 + [("no", "no"), ("no", "yes")]
    points = [point for item, (first, second) in enumerate(answers) for point in pair(item, first, second)]
    points += [point(100 + i, "7", answer, task="NQA") for i, answer in enumerate(("7", "8"))]
    Random(1).shuffle(points)
    estimates = {m.name: estimate(points, m, golds(points), repeats=1) for m in metrics(pool=True)}
    values = {name: result.value for name, result in estimates.items()}
    assert values == {
        "pooled": 5 / 10,
        "acc+": 4 / 8,
        "cor": 3 / 8,
        "err": 1 / 8,
        "assertions": 11 / 16,
        "nqa": 1 / 2,
    }
    assert (estimates["acc+"].n, estimates["acc+"].clusters) == (16, 8)
    assert estimates["acc+"].method.startswith(("Wilson", "Clopper-Pearson"))  # each chart has one pair here
    assert estimates["acc+"].worst == estimates["acc+"].best == 0.5


def test_pairs_of_one_chart_are_one_cluster() -> None:
    points = []
    for chart in range(6):
        for number, task in enumerate(("CR", "VE", "VC", "GC")):
            right = chart % 2 == 0  # all pairs of a chart are right, or none is
            points += pair(10 * chart + number, "yes", "no" if right else "yes", task=task, chart=f"c{chart}")
    estimates = estimate_all(points, metric("acc+"), golds(points), repeats=1)
    assert (estimates[0].value, estimates[0].n, estimates[0].clusters) == (0.5, 48, 6)
    expected = clustered_mean([1.0, 0.0] * 3, list("abcdef"), bounds=(0.0, 1.0))
    assert (estimates[0].low, estimates[0].high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert [result.group for result in estimates[1:]] == ["CR", "GC", "VC", "VE"]
    assert all(result.value == 0.5 and result.n == 12 for result in estimates[1:])


def test_groups_without_pairs_are_omitted_and_groups_without_results_are_listed() -> None:
    points = [*pair(1, "yes", "no"), point(2, "7", "7", task="NQA"), *pair(3, "yes", "no", task="GC")]
    expected = golds(points)
    estimates = estimate_all(
        [point for point in points if point.group != "GC"], metric("acc+"), expected, repeats=1
    )
    assert [(result.group, result.value, result.worst, result.best) for result in estimates] == [
        ("", 1.0, 0.5, 1.0), ("GC", None, 0.0, 1.0), ("VE", 1.0, 1.0, 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "bounds"), [("yes", (0.5, 1.0)), ("no", (0.5, 0.5))], ids=["right", "wrong"]
)
def test_an_incomplete_pair_is_excluded_and_widens_the_bounds(
    answer: str, bounds: tuple[float, float]
) -> None:
    complete = pair(1, "yes", "no")
    half = point(2, "yes", answer)
    expected = golds([*complete, *pair(2, "yes", "no")])
    acc = estimate([*complete, half], metric("acc+"), expected, repeats=1)
    assert (acc.value, acc.n) == (1.0, 2)
    assert (acc.worst, acc.best) == bounds  # a wrong half already decides its pair
    cor = estimate([*complete, half], metric("cor"), expected, repeats=1)
    assert (cor.value, cor.worst, cor.best) == (0.0, 0.5, 0.0)


def test_assertions_are_paired_within_each_repeat() -> None:
    points = [
        *pair(1, "yes", "no"),
        *pair(1, "yes", "yes", repeat=1),
        *pair(2, "yes", "no"),
        *pair(2, "yes", "no", repeat=1),
    ]
    result = estimate(points, metric("acc+"), golds(points), repeats=2)
    assert (result.value, result.n, result.clusters) == (0.75, 8, 2)


def test_two_runs_are_compared_pair_by_pair() -> None:
    first = [point for i in range(30) for point in pair(i, "yes", "no" if i < 20 else "yes")]
    second = [point for i in range(30) for point in pair(i, "yes", "no" if i < 25 else "yes")]
    number_points = [point(99, "7", "7", task="NQA")]
    sides = [
        Outcomes([*points, *number_points], golds([*points, *number_points]), 1) for points in (first, second)
    ]
    pairs = Pairing(*sides, metric("acc+"))
    assert len(pairs.rows) == 30
    assert pairs.is_complete
    assert pairs.values() == (pytest.approx(20 / 30), pytest.approx(25 / 30))
    assert pairs.tally() == (5, 0, 25)
    evidence = pairs.evidence()
    assert evidence is not None
    assert evidence.value == pytest.approx(5 / 30)
    merged = merge_joint_samples(sides[0], metric("acc+"))
    assert merge_joint_samples(merged, metric("acc+")) is merged
    assert Pairing(merged, merged, metric("acc+")).values() == (pytest.approx(20 / 30),) * 2
    incomplete = Pairing(Outcomes(first[1:], golds(first), 1), sides[1], metric("acc+"))
    assert not incomplete.is_complete
    assert len(incomplete.rows_of(None)) == 29
    assert incomplete.bounds() != (None, None)


def test_samples_are_not_merged_for_a_mean() -> None:
    points = pair(1, "yes", "yes")
    outcomes = Outcomes(points, golds(points), 1)
    assert merge_joint_samples(outcomes, Metric(name="accuracy", of=mean_value)) is outcomes


# --- the suite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "reply", "values"),
    [
        ("strict", "Answer: Yes", {"acc+": 0.0, "cor": 1.0, "assertions": 0.5, "nqa": 0.0}),
        ("official", "No", {"acc+": 0.0, "cor": 1.0, "assertions": 0.5, "nqa": 0.0}),
        ("official", "I cannot tell.", {"acc+": 0.0, "cor": 1.0, "err": 0.0, "assertions": 0.5}),
        ("strict", "I cannot tell.", {"acc+": 0.0, "cor": 0.0, "err": 1.0, "assertions": 0.0}),
        (
            "strict",
            "call=tests.support.scripted_experts:charts",
            {"acc+": 1.0, "cor": 0.0, "err": 0.0, "assertions": 1.0, "nqa": 1.0},
        ),
        ("intern-s1", "call=tests.support.scripted_experts:charts", {"pooled": 1.0, "acc+": 1.0}),
    ],
)
def test_the_samples_run_end_to_end_with_the_expected_values(
    tmp_path: Path, protocol: str, reply: str, values: dict[str, float]
) -> None:
    pytest.importorskip("PIL")
    judge = (
        ("--judge", "scripted:call=tests.support.scripted_experts:copyist") if protocol == "intern-s1" else ()
    )
    outcome = evals("run", "chartbench", "--sample", "-m", f"scripted:{reply}", "--protocol", protocol, *judge,
                    "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    estimates = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
    assert {name: estimates[name] for name in values} == values
    assert run["coverage"] == 1.0


def test_under_intern_s1_numbers_wait_for_a_judge_and_assertions_do_not(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "chartbench", "--sample", "-m", "scripted:I think yes, 7", "--protocol", "intern-s1",
                    "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    (run,) = outcome.json["runs"]
    assert run["counts"] == {"failed:waiting": 4, "right": 16, "wrong": 16}


def read_rows(tmp_path: Path, *rows: dict[str, object], file: str = "test") -> list[Sample]:
    (tmp_path / "chartbench").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "chartbench" / f"{file}.jsonl").write_text(text)
    return list(chartbench._samples(Data(suite="chartbench", local=tmp_path), "test"))


def test_both_layouts_give_the_same_targets_and_groups(tmp_path: Path) -> None:
    turns = [{"label": "Yes", "query": "a"}, {"label": "No", "query": "b"}]
    kind = {"chart": "bar", "image": "vertical_multi", "task": "CR", "QA": "Acc+"}
    authors_samples = read_rows(
        tmp_path,
        {"id": 7, "image": "./data/x.png", "type": kind, "conversation": turns},
        {"id": 8, "image": "./data/x.png", "type": {**kind, "task": "NQA", "QA": "GPT-acc"}, "conversation": [{"label": ["1", "1.5"], "query": "c"}]},
    )  # fmt: skip
    vlmevalkit_samples = read_rows(
        tmp_path,
        {"index": "7_0", "question": "a", "answer": "Yes", "QA_type": "Acc+", "task": "CR", "chart_type": "vertical_multi"},
        {"index": "7_1", "question": "b", "answer": "No", "QA_type": "Acc+", "task": "CR", "chart_type": "vertical_multi"},
        {"index": "8", "question": "c", "answer": "['1', '1.5']", "QA_type": "GPT-acc", "task": "", "chart_type": "vertical_multi"},
    )  # fmt: skip
    assert [(s.id, s.target, s.group) for s in authors_samples] == [
        ("7_0", "yes", "CR"),
        ("7_1", "no", "CR"),
        ("8_0", ("1", "1.5"), "NQA"),
    ]
    assert [(s.target, s.group) for s in vlmevalkit_samples] == [(s.target, s.group) for s in authors_samples]
    assert {s.cluster for s in authors_samples} == {"./data/x.png"}


@pytest.mark.parametrize(
    "row",
    [
        {"index": "1_0", "question": "?", "answer": "Perhaps", "task": "CR"},
        {"index": "1_0", "question": "?", "answer": "[open(", "task": "NQA"},
        {"index": "1_0", "question": "?", "task": "CR"},
    ],
    ids=["neither yes nor no", "not a list", "no answer"],
)
def test_invalid_rows_are_reported_in_one_line(tmp_path: Path, row: dict[str, object]) -> None:
    with raises(DataError):
        read_rows(tmp_path, row)


def test_two_items_of_one_task_on_one_chart_are_rejected(tmp_path: Path) -> None:
    kind = {"chart": "bar", "image": "b", "task": "CR", "QA": "Acc+"}
    turns = [{"label": "Yes", "query": "a"}, {"label": "No", "query": "b"}]
    with raises(DataError):
        read_rows(
            tmp_path, *({"id": i, "image": "x.png", "type": kind, "conversation": turns} for i in (1, 2))
        )


@pytest.mark.parametrize("limit", [1, 5, 12, 30])
def test_a_limited_run_contains_only_complete_pairs(tmp_path: Path, limit: int) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "chartbench", "--sample", "-m", "scripted:call=tests.support.scripted_experts:charts", "--limit", limit,
                    "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    names = [record.sample for record in find_one(tmp_path, "r").records()]
    # the fifth item of a chart asks for a number
    assertions = [n for n in names if int(n.partition("_")[0]) % 5 != 4]
    assert len(assertions) % 2 == 0
    assert {n.partition("_")[0] for n in assertions if n.endswith("_0")} == {
        n.partition("_")[0] for n in assertions if n.endswith("_1")
    }
    assert limit <= len(names) <= limit + 4
    assert find_one(tmp_path, "r").card.config.limit == limit
