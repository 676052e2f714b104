"""PHYSICS: nested boxes, comparison of two answers by rule, one-to-one matching of parts, and the judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.data import Data
from evals.errors import DataError, Waiting
from evals.extract.parts import (
    equation_sides,
    innermost_boxes,
    outermost_boxes,
    split_answers,
    split_part_name,
)
from evals.model_adapters.scripted import Scripted
from evals.sandbox import Pool
from evals.scorers.judge.judge import Judge
from evals.scorers.parts import JudgedBoxes, Parts, Precision
from evals.scorers.physics import Comparison, half_unit_of_last_digit, published, spelled, stated
from evals.suites import physics
from evals.types import Failure, Prompt, Reply, Sample, Score
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [
    json.loads(line) for line in (TESTS / "cases" / "physics_answers.jsonl").read_text("utf-8").splitlines()
]
GOLDS = ("T = 2\\pi", "5", "\\frac{1}{2}")


@table("case", CASES, ids=lambda case: f"{case['gold']} | {case['stated']}")
def test_two_answers_are_compared_as_in_the_table(case: dict[str, str]) -> None:
    pytest.importorskip("math_verify")
    assert published(case["gold"], case["stated"]) == case["published"], case["why"]
    assert stated(case["gold"], case["stated"]) == case["ours"], case["why"]


@pytest.mark.parametrize(
    ("text", "innermost", "outermost"),
    [
        (r"\boxed{1} then \boxed{\frac{1}{2}}", ["1", r"\frac{1}{2}"], ["1", r"\frac{1}{2}"]),
        (r"\[\boxed{a{b{c{d{e}f}g}h}}\]", ["a{b{c{d{e}f}g}h}"], ["a{b{c{d{e}f}g}h}"]),
        (r"\boxed{\boxed{5}}", ["5"], ["5"]),
        (r"\boxed{\boxed{5} \text{ and } \boxed{6}}", ["5", "6"], ["5"]),
        (r"\boxed{7", [], []),
        (r"\boxed{} and \boxed{ }", [], []),
        (r"\boxed{7 and \boxed{8}", ["8"], ["8"]),
        (r"\fbox{9}", ["9"], []),
        ("no box", [], []),
        ("\\boxed{" * 2000 + "1" + "}" * 2000, ["1"], ["1"]),
    ],
    ids=["two", "five levels", "box in a box", "two in one", "unclosed", "empty", "unclosed outer box", "fbox", "none", "2000 levels"],
)  # fmt: skip
def test_boxes_are_read_at_any_depth(text: str, innermost: list[str], outermost: list[str]) -> None:
    assert innermost_boxes(text) == innermost
    assert [box for box in outermost_boxes(text) if len(box) < 100] == (outermost if len(text) < 100 else [])


@pytest.mark.parametrize(
    ("text", "count", "pieces"),
    [
        ("x = 1, y = 2", 2, ["x = 1", "y = 2"]),
        (r"1,000 \text{ and } 5", 2, ["1,000", "5"]),
        (r"\begin{aligned} a&=1\\ b&=2\end{aligned}", 2, ["a =1", "b =2"]),
        ("(1, 2), f(x, y)", 2, ["(1, 2)", "f(x, y)"]),
        ("x = 1, y = 2", 3, ["x = 1, y = 2"]),
        (r"5 \, \text{min}", 2, [r"5 \, \text{min}"]),
        (".5, .3.", 2, [".5", ".3"]),
    ],
)
def test_several_answers_in_one_box_are_split(text: str, count: int, pieces: list[str]) -> None:
    assert split_answers(text, count) == pieces


@pytest.mark.parametrize(
    ("text", "name_and_answer"),
    [("(a) 5", ("a", "5")), (r"\text{(b) } 5", ("b", "5")), (r"\text{(b) the sky}", ("b", r"\text{the sky}")), ("a) x", ("a", "x")),
     ("(b)", ("", "(b)")), ("b", ("", "b")), ("abc", ("", "abc"))],
)  # fmt: skip
def test_names_of_parts_are_split_off(text: str, name_and_answer: tuple[str, str]) -> None:
    assert split_part_name(text) == name_and_answer


def test_equations_are_split_and_precision_is_half_a_unit_of_the_last_digit() -> None:
    assert equation_sides(r"f(x=2) = 3 \approx 4") == ["f(x=2)", "3", "4"]
    assert half_unit_of_last_digit("2.225") == pytest.approx(5e-4)
    assert half_unit_of_last_digit("2.2 × 10^3") == pytest.approx(50)
    assert half_unit_of_last_digit("12") == half_unit_of_last_digit("1/3") == 0.0


def boxed(*answers: str) -> str:
    return " ".join(f"\\boxed{{{answer}}}" for answer in answers)


def score_reply(rule: Precision, text: str, golds: tuple[str, ...] = GOLDS, stop: str = "stop") -> Score:
    return rule(Sample(id="q", target=golds), Prompt(), Reply(text=text, stop=stop))


@pytest.mark.parametrize(
    ("text", "official", "distinct", "strict", "share"),
    [
        (boxed(*GOLDS), 1.0, 1.0, 1.0, 1.0),
        (boxed("5"), 1.0, 1.0, 0.0, 1 / 3),  # one right part of three: full marks upstream
        (boxed("5", "5", "5", "7"), 0.75, 0.5, 0.0, 1 / 3),  # a right box repeated
        (boxed("\\frac{1}{2}", "T = 2\\pi", "5"), 1.0, 1.0, 1.0, 1.0),  # any order
        (boxed("1", "2", "3", *GOLDS), 0.5, 0.5, 1.0, 1.0),  # the last boxes count
        (boxed(*GOLDS, "1", "2", "3"), 0.5, 0.5, 0.0, 0.0),  # right boxes before the last ones do not count
        (boxed("T = 2\\pi", *GOLDS), 1.0, 1.0, 1.0, 1.0),  # a repeated right box
        ("\\boxed{T = 2\\pi, \\; 5, \\; \\frac{1}{2}}", 0.0, 0.0, 1.0, 1.0),  # all in one box
        (boxed("(a) T = 2\\pi", "(b) 5", "(c) \\frac{1}{2}"), 0.0, 0.0, 1.0, 1.0),
        (boxed("(b) T = 2\\pi", "(a) 5", "(c) \\frac{1}{2}"), 0.0, 0.0, 0.0, 1 / 3),  # names assign answers to parts
        ("I do not know.", 0.0, 0.0, 0.0, 0.0),
    ],
    ids=["all", "one of three", "repeated", "other order", "right ones last", "wrong ones last", "one repeated", "one box",
         "named", "wrongly named", "no box"],
)  # fmt: skip
def test_parts_are_scored_as_in_the_table(
    text: str, official: float, distinct: float, strict: float, share: float
) -> None:
    assert score_reply(Precision(spelled), text).value == official
    assert score_reply(Precision(spelled, distinct=True), text).value == distinct
    score = score_reply(Parts(spelled), text)
    assert (score.value, score.parts["share"]) == (strict, pytest.approx(share))


def test_equal_gold_parts_need_as_many_boxes() -> None:
    golds = ("x", "x", "y")
    assert score_reply(Parts(spelled), boxed("x", "x", "y"), golds).value == 1.0
    assert score_reply(Parts(spelled), boxed("x", "y"), golds).parts["share"] == pytest.approx(2 / 3)


def test_the_left_side_of_an_equation_selects_its_part() -> None:
    pytest.importorskip("math_verify")
    golds = ("v_1 = 3", "v_2 = 4")
    assert score_reply(Parts(stated), boxed("v_2 = 4", "v_1 = 3"), golds).value == 1.0
    assert score_reply(Parts(stated), boxed("v_2 = 3", "v_1 = 4"), golds).value == 0.0
    assert score_reply(Parts(stated), boxed("4", "3"), golds).value == 1.0


@pytest.mark.parametrize(
    ("stop", "text", "verdict"),
    [("filter", boxed("5"), "refused"), ("length", "so", "truncated"), ("stop", "", "unanswered")],
)
def test_filtered_truncated_and_empty_replies_have_their_own_verdicts(
    stop: str, text: str, verdict: str
) -> None:
    for rule in (Precision(spelled), Parts(spelled)):
        score = score_reply(rule, text, stop=stop)
        assert (score.value, score.verdict, score.parts["share"]) == (0.0, verdict, 0.0)


def test_thousands_of_boxes_are_scored() -> None:
    text = boxed(*(str(n) for n in range(5000)))
    assert score_reply(Precision(spelled), text).suspect
    assert score_reply(Parts(spelled), text, ("4998", "4999")).value == 1.0


def test_a_formula_that_exceeds_the_time_limit_is_compared_by_spelling() -> None:
    pytest.importorskip("math_verify")
    slow = "\\prod_{k=1}^{90}(x+k) \\cdot \\sum_{j=1}^{400} \\frac{\\sin(j x)^{j}}{j}"
    sample = Sample(id="q", target=("5", "(x+1)^{300} \\sin(x)^{90}"))
    reply = Reply(text=boxed("5", slow))
    with Pool(1, timeout_s=2.0) as pool:

        async def score_slow_formula() -> Score:
            try:
                rule_score: Score | Failure = await pool.score(Parts(stated), sample, Prompt(), reply)
            except Exception as error:  # noqa: BLE001 - as in a run
                rule_score = Failure(stage="scorer", kind="scorererror", message=str(error))
            return await JudgedBoxes(
                rule=Parts(stated), judge=scripted_judge(lambda gold, box: False)
            ).judge_after(sample, Prompt(), reply, rule_score, None)

        assert asyncio.run(score_slow_formula()).parts["share"] == 0.5


def scripted_judge(
    accepts: Callable[[str, str], bool], compared: list[tuple[str, str]] | None = None
) -> Judge:
    """Return a judge that decides by `accepts(gold, box)` and appends each (gold, box) to `compared`."""
    from tests.support import judges

    def reply(prompt: Prompt) -> str:
        case, gold, candidate = judges.texts_of(prompt)
        if compared is not None:
            compared.append((gold, candidate))
        return json.dumps({"case": case, "verdict": "A" if accepts(gold, candidate) else "B"})

    return Judge(Scripted(reply), spec="scripted:judge")


def score_with_judge(
    scorer: JudgedBoxes, text: str, golds: tuple[str, ...], earlier: Score | None = None
) -> Score:
    sample, reply = Sample(id="q", target=golds), Reply(text=text)
    rule_score = scorer.rule(sample, Prompt(), reply)
    return asyncio.run(scorer.judge_after(sample, Prompt(), reply, rule_score, earlier))


TARGETS = ("\\text{the sky is blue}", "5")


def test_only_answers_that_the_rule_leaves_undecided_go_to_the_judge() -> None:
    compared: list[tuple[str, str]] = []
    judge = scripted_judge(lambda gold, box: "blue" in gold and "azure" in box, compared)
    text = boxed("\\text{azure}", "5")
    score = score_with_judge(JudgedBoxes(rule=Parts(spelled), judge=judge), text, TARGETS)
    assert (score.value, score.verdict, score.parts["share"]) == (1.0, "right", 1.0)
    assert compared == [(TARGETS[0], "\\text{azure}")]
    rejecting_judge = scripted_judge(lambda gold, box: False, compared)
    rescored = score_with_judge(JudgedBoxes(rule=Parts(spelled), judge=rejecting_judge), text, TARGETS, score)
    assert (rescored.value, len(compared)) == (1.0, 1)  # the earlier judgement of the same judge is reused


def test_precision_lets_the_judge_compare_each_box_with_the_gold_parts_in_turn() -> None:
    compared: list[tuple[str, str]] = []
    judge = scripted_judge(lambda gold, box: gold == "5", compared)
    scorer = JudgedBoxes(rule=Precision(spelled), judge=judge)
    assert score_with_judge(scorer, boxed("five", "six"), TARGETS).value == 1.0
    assert compared == [(gold, box) for box in ("five", "six") for gold in TARGETS]


def test_answers_that_the_rule_calls_different_do_not_go_to_the_judge() -> None:
    compared: list[tuple[str, str]] = []

    def compare(gold: str, stated: str) -> Comparison:
        return "same" if gold == stated else "different"

    judge = scripted_judge(lambda gold, box: True, compared)
    score = score_with_judge(JudgedBoxes(rule=Parts(compare), judge=judge), boxed("1", "5"), TARGETS)
    assert (score.value, score.parts["share"], compared) == (0.0, 0.5, [])


def test_without_a_judge_undecided_replies_wait_and_others_are_scored() -> None:
    scorer = JudgedBoxes(rule=Parts(spelled))
    assert not scorer.needs_judge
    assert score_with_judge(scorer, boxed(*TARGETS), TARGETS).value == 1.0
    assert score_with_judge(scorer, "nothing", TARGETS).verdict == "unanswered"
    with pytest.raises(Waiting):
        score_with_judge(scorer, boxed("1", "2"), TARGETS)


def test_the_audit_by_the_judge_does_not_change_verdicts_of_the_rule() -> None:
    scorer = JudgedBoxes(rule=Parts(spelled), judge=scripted_judge(lambda gold, box: False), audit=1.0)
    score = score_with_judge(scorer, boxed(*TARGETS), TARGETS)
    assert (score.value, score.suspect, score.parts["rule"], score.parts["judge"]) == (1.0, True, 1.0, 0.0)
    assert len(score.judged) == 2


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "protocol", ["strict", pytest.param("official", marks=SLOW), pytest.param("intern-s1", marks=SLOW)]
)
def test_the_samples_run_with_and_without_a_judge(tmp_path: Path, protocol: str) -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("math_verify")
    command = (
        "run",
        "physics",
        "--sample",
        "-m",
        "scripted:call=tests.support.scripted_experts:boxes",
        "--protocol",
        protocol,
        "--results",
        tmp_path,
    )
    outcome = evals(*command, "--run", "r", "--json")
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    assert run["counts"] == {"right": 12}
    outcome = evals("run", "physics", "--sample", "-m", "scripted:\\boxed{\\text{no idea}}", "--protocol", protocol,
                    "--results", tmp_path, "--run", "w", "--json")  # fmt: skip
    (run,) = outcome.json["runs"]
    assert run["counts"] == {"failed:waiting": 12}
    assert "12 replies wait for a judge" in " ".join(run["notes"])
    outcome = evals(
        "score", "w", "--results", tmp_path, "--judge", "scripted:call=tests.support.judges:never", "--json"
    )
    assert outcome.status == 0, outcome.err
    assert outcome.json["run"]["counts"] == {"wrong": 12}


def test_figures_are_placed_as_each_protocol_requires(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    data = Data(suite="physics", sample=True, media=tmp_path)
    (sample,) = (s for s in physics._samples(data, "all") if s.id == "mechanics/sample-1")
    kinds = {
        protocol: [
            [type(part).__name__ for part in message.parts] for message in prompter(sample, 0).messages
        ]
        for protocol in ("strict", "official", "intern-s1")
        for prompter in [physics.BENCHMARK.suite("all", protocol).prompter(data)]
    }
    assert kinds == {
        "strict": [["Media", "Text"]],
        "official": [["Text"], ["Text", "Media"]],
        "intern-s1": [["Media", "Text"]],
    }
    assert sample.targets[1] == "a = \\frac{3}{5} g"


def test_the_folder_layout_of_the_authors_is_read(tmp_path: Path) -> None:
    for variant, folder, ending in (
        ("all", "PHYSICS", ""),
        ("test", "PHYSICS/PHYSICS-test", "_test"),
        ("val", "PHYSICS/PHYSICS-eval", "_eval"),
    ):
        for field in physics.FIELDS:
            path = tmp_path / "physics" / folder / f"{field}_dataset{ending}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            row = {
                "id": f"{field}/1",
                "questions": "?",
                "final_answers": ["1"],
                "graphs": None,
                "solutions": "",
            }
            path.write_text(json.dumps(row) + "\n")
        samples = list(physics._samples(Data(suite="physics", local=tmp_path), variant))
        assert [sample.group for sample in samples] == list(physics.FIELDS)
    with raises(DataError):
        list(physics._samples(Data(suite="physics"), "all"))
    with raises(DataError):
        list(physics._samples(Data(suite="physics", local=tmp_path), "textonly"))
