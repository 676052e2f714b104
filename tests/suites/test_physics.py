"""PHYSICS: boxes to any depth, what a rule can say of two answers, several parts matched one to one, and the judge."""

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
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [
    json.loads(line) for line in (TESTS / "cases" / "physics_answers.jsonl").read_text("utf-8").splitlines()
]
GOLDS = ("T = 2\\pi", "5", "\\frac{1}{2}")


@table("case", CASES, ids=lambda case: f"{case['gold']} | {case['stated']}")
def test_two_answers(case: dict[str, str]) -> None:
    pytest.importorskip("math_verify")
    assert published(case["gold"], case["stated"]) == case["published"], case["why"]
    assert stated(case["gold"], case["stated"]) == case["ours"], case["why"]


@pytest.mark.parametrize(
    ("text", "all_leaves", "upstreams"),
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
    ids=["two", "five levels", "box in a box", "two in one", "torn", "empty", "torn outside", "fbox", "none", "2000 levels"],
)  # fmt: skip
def test_boxes_are_read_to_any_depth(text: str, all_leaves: list[str], upstreams: list[str]) -> None:
    assert innermost_boxes(text) == all_leaves
    assert [box for box in outermost_boxes(text) if len(box) < 100] == (upstreams if len(text) < 100 else [])


@pytest.mark.parametrize(
    ("text", "count", "pieces"),
    [
        ("x = 1, y = 2", 2, ["x = 1", "y = 2"]),
        (r"1,000 \text{ and } 5", 2, ["1,000", "5"]),
        (r"\begin{aligned} a&=1\\ b&=2\end{aligned}", 2, ["a =1", "b =2"]),
        ("(1, 2), f(x, y)", 2, ["(1, 2)", "f(x, y)"]),
        ("x = 1, y = 2", 3, ["x = 1, y = 2"]),
        (r"5 \, \text{min}", 2, [r"5 \, \text{min}"]),
    ],
)
def test_several_answers_in_one_box(text: str, count: int, pieces: list[str]) -> None:
    assert split_answers(text, count) == pieces


@pytest.mark.parametrize(
    ("text", "found"),
    [("(a) 5", ("a", "5")), (r"\text{(b) } 5", ("b", "5")), (r"\text{(b) the sky}", ("b", r"\text{the sky}")), ("a) x", ("a", "x")),
     ("(b)", ("", "(b)")), ("b", ("", "b")), ("abc", ("", "abc"))],
)  # fmt: skip
def test_labels_of_parts(text: str, found: tuple[str, str]) -> None:
    assert split_part_name(text) == found


def test_sides_of_an_equation_and_digits() -> None:
    assert equation_sides(r"f(x=2) = 3 \approx 4") == ["f(x=2)", "3", "4"]
    assert half_unit_of_last_digit("2.225") == pytest.approx(5e-4)
    assert half_unit_of_last_digit("2.2 × 10^3") == pytest.approx(50)
    assert half_unit_of_last_digit("12") == half_unit_of_last_digit("1/3") == 0.0


def boxed(*answers: str) -> str:
    return " ".join(f"\\boxed{{{answer}}}" for answer in answers)


def scored(rule: Precision, text: str, golds: tuple[str, ...] = GOLDS, stop: str = "stop") -> Score:
    return rule(Sample(id="q", target=golds), Prompt(), Reply(text=text, stop=stop))


@pytest.mark.parametrize(
    ("text", "official", "distinct", "strict", "share"),
    [
        (boxed(*GOLDS), 1.0, 1.0, 1.0, 1.0),
        (boxed("5"), 1.0, 1.0, 0.0, 1 / 3),  # one right part of three: full marks upstream
        (boxed("5", "5", "5", "7"), 0.75, 0.5, 0.0, 1 / 3),  # a right box repeated
        (boxed("\\frac{1}{2}", "T = 2\\pi", "5"), 1.0, 1.0, 1.0, 1.0),  # any order
        (boxed("1", "2", "3", *GOLDS), 0.5, 0.5, 1.0, 1.0),  # the last ones count
        (boxed(*GOLDS, "1", "2", "3"), 0.5, 0.5, 0.0, 0.0),  # spraying gains nothing
        (boxed("T = 2\\pi", *GOLDS), 1.0, 1.0, 1.0, 1.0),  # one said before is no answer too many
        ("\\boxed{T = 2\\pi, \\; 5, \\; \\frac{1}{2}}", 0.0, 0.0, 1.0, 1.0),  # all in one box
        (boxed("(a) T = 2\\pi", "(b) 5", "(c) \\frac{1}{2}"), 0.0, 0.0, 1.0, 1.0),
        (boxed("(b) T = 2\\pi", "(a) 5", "(c) \\frac{1}{2}"), 0.0, 0.0, 0.0, 1 / 3),  # labels bind
        ("I do not know.", 0.0, 0.0, 0.0, 0.0),
    ],
    ids=["all", "one of three", "repeated", "other order", "last ones", "sprayed", "said twice", "one box", "labelled",
         "wrongly labelled", "no box"],
)  # fmt: skip
def test_parts(text: str, official: float, distinct: float, strict: float, share: float) -> None:
    assert scored(Precision(spelled), text).value == official
    assert scored(Precision(spelled, distinct=True), text).value == distinct
    found = scored(Parts(spelled), text)
    assert (found.value, found.parts["share"]) == (strict, pytest.approx(share))


def test_equal_parts_need_as_many_boxes() -> None:
    golds = ("x", "x", "y")
    assert scored(Parts(spelled), boxed("x", "x", "y"), golds).value == 1.0
    assert scored(Parts(spelled), boxed("x", "y"), golds).parts["share"] == pytest.approx(2 / 3)


def test_the_name_on_the_left_says_which_part_is_meant() -> None:
    pytest.importorskip("math_verify")
    golds = ("v_1 = 3", "v_2 = 4")
    assert scored(Parts(stated), boxed("v_2 = 4", "v_1 = 3"), golds).value == 1.0
    assert scored(Parts(stated), boxed("v_2 = 3", "v_1 = 4"), golds).value == 0.0
    assert scored(Parts(stated), boxed("4", "3"), golds).value == 1.0


@pytest.mark.parametrize(
    ("stop", "text", "verdict"),
    [("filter", boxed("5"), "refused"), ("length", "so", "truncated"), ("stop", "", "unanswered")],
)
def test_silence_is_named(stop: str, text: str, verdict: str) -> None:
    for rule in (Precision(spelled), Parts(spelled)):
        found = scored(rule, text, stop=stop)
        assert (found.value, found.verdict, found.parts["share"]) == (0.0, verdict, 0.0)


def test_thousands_of_boxes_are_bounded() -> None:
    text = boxed(*(str(n) for n in range(5000)))
    assert scored(Precision(spelled), text).suspect
    assert scored(Parts(spelled), text, ("4998", "4999")).value == 1.0


def test_a_formula_without_end_costs_its_deadline_and_spelling_decides_then() -> None:
    pytest.importorskip("math_verify")
    slow = "\\prod_{k=1}^{90}(x+k) \\cdot \\sum_{j=1}^{400} \\frac{\\sin(j x)^{j}}{j}"
    sample = Sample(id="q", target=("5", "(x+1)^{300} \\sin(x)^{90}"))
    reply = Reply(text=boxed("5", slow))
    with Pool(1) as pool:

        async def judged() -> Score:
            try:
                first: Score | Failure = await pool.score(
                    Parts(stated), sample, Prompt(), reply, timeout_s=2.0
                )
            except Exception as error:  # noqa: BLE001 - what scoring makes of it
                first = Failure(stage="scorer", kind="scorererror", message=str(error))
            return await JudgedBoxes(rule=Parts(stated), judge=bench(lambda gold, said: False)).judge_after(
                sample, Prompt(), reply, first, None
            )

        assert asyncio.run(judged()).parts["share"] == 0.5


def bench(says: Callable[[str, str], bool], asked: list[tuple[str, str]] | None = None) -> Judge:
    """Make a judge of a function (gold, box) -> same."""
    from tests.support import judges

    def reply(prompt: Prompt) -> str:
        case, gold, candidate = judges.texts_of(prompt)
        if asked is not None:
            asked.append((gold, candidate))
        return json.dumps({"case": case, "verdict": "A" if says(gold, candidate) else "B"})

    return Judge(Scripted(reply), spec="scripted:judge")


def second(scorer: JudgedBoxes, text: str, golds: tuple[str, ...], earlier: Score | None = None) -> Score:
    sample, reply = Sample(id="q", target=golds), Reply(text=text)
    first = scorer.rule(sample, Prompt(), reply)
    return asyncio.run(scorer.judge_after(sample, Prompt(), reply, first, earlier))


WORDS = ("\\text{the sky is blue}", "5")


def test_only_what_the_rule_leaves_open_goes_to_the_judge() -> None:
    asked: list[tuple[str, str]] = []
    judge = bench(lambda gold, said: "blue" in gold and "azure" in said, asked)
    text = boxed("\\text{azure}", "5")
    found = second(JudgedBoxes(rule=Parts(spelled), judge=judge), text, WORDS)
    assert (found.value, found.verdict, found.parts["share"]) == (1.0, "right", 1.0)
    assert asked == [(WORDS[0], "\\text{azure}")]
    again = second(
        JudgedBoxes(rule=Parts(spelled), judge=bench(lambda gold, said: False, asked)), text, WORDS, found
    )
    assert (again.value, len(asked)) == (1.0, 1)  # the same judge, the same words: nothing is asked twice


def test_precision_asks_about_each_gold_part_until_one_is_met() -> None:
    asked: list[tuple[str, str]] = []
    judge = bench(lambda gold, said: gold == "5", asked)
    found = second(JudgedBoxes(rule=Precision(spelled), judge=judge), boxed("five", "six"), WORDS)
    assert found.value == 1.0
    assert asked == [(g, b) for b in ("five", "six") for g in WORDS]


def test_a_certain_difference_is_not_for_the_judge_to_forgive() -> None:
    asked: list[tuple[str, str]] = []

    def differs(gold: str, said: str) -> Comparison:
        return "same" if gold == said else "different"

    found = second(
        JudgedBoxes(rule=Parts(differs), judge=bench(lambda g, s: True, asked)), boxed("1", "5"), WORDS
    )
    assert (found.value, found.parts["share"], asked) == (0.0, 0.5, [])


def test_without_a_judge_what_is_open_waits_and_the_rest_is_decided() -> None:
    alone = JudgedBoxes(rule=Parts(spelled))
    assert not alone.needs_judge
    assert second(alone, boxed(*WORDS), WORDS).value == 1.0
    assert second(alone, "nothing", WORDS).verdict == "unanswered"
    with pytest.raises(Waiting):
        second(alone, boxed("1", "2"), WORDS)


def test_some_of_what_the_rule_calls_right_is_shown_to_the_judge_and_changes_nothing() -> None:
    scorer = JudgedBoxes(rule=Parts(spelled), judge=bench(lambda gold, said: False), audit=1.0)
    found = second(scorer, boxed(*WORDS), WORDS)
    assert (found.value, found.suspect, found.parts["rule"], found.parts["judge"]) == (1.0, True, 1.0, 0.0)
    assert len(found.judged) == 2


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "protocol", ["strict", pytest.param("official", marks=SLOW), pytest.param("intern-s1", marks=SLOW)]
)
def test_the_samples_run_with_and_without_a_judge(tmp_path: Path, protocol: str) -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("math_verify")
    common = (
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
    found = evals(*common, "--run", "r", "--json")
    assert found.status == 0, found.err
    (run,) = found.json["runs"]
    assert run["counts"] == {"right": 12}
    found = evals("run", "physics", "--sample", "-m", "scripted:\\boxed{\\text{no idea}}", "--protocol", protocol,
                  "--results", tmp_path, "--run", "w", "--json")  # fmt: skip
    (run,) = found.json["runs"]
    assert run["counts"] == {"failed:waiting": 12}
    assert "12 replies wait for a judge" in " ".join(run["notes"])
    found = evals(
        "score", "w", "--results", tmp_path, "--judge", "scripted:call=tests.support.judges:never", "--json"
    )
    assert found.status == 0, found.err
    assert found.json["run"]["counts"] == {"wrong": 12}


def test_figures_go_where_the_protocol_puts_them(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    data = Data(suite="physics", sample=True, media=tmp_path)
    (sample,) = (s for s in physics._samples(data, "all") if s.id == "mechanics/sample-1")
    kinds = {
        protocol: [[type(part).__name__ for part in message.parts] for message in ask(sample, 0).messages]
        for protocol in ("strict", "official", "intern-s1")
        for ask in [physics.BENCHMARK.suite("all", protocol).prompter(data)]
    }
    assert kinds == {
        "strict": [["Media", "Text"]],
        "official": [["Text"], ["Text", "Media"]],
        "intern-s1": [["Media", "Text"]],
    }
    assert sample.targets[1] == "a = \\frac{3}{5} g"


def test_the_authors_folders_are_read_as_they_are(tmp_path: Path) -> None:
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
        found = list(physics._samples(Data(suite="physics", local=tmp_path), variant))
        assert [s.group for s in found] == list(physics.FIELDS)
    with pytest.raises(DataError, match="GitHub"):
        list(physics._samples(Data(suite="physics"), "all"))
    with pytest.raises(DataError, match="atomic_dataset_textonly"):
        list(physics._samples(Data(suite="physics", local=tmp_path), "textonly"))
