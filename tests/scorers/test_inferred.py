"""Multiple choice as VLMEvalKit reads it: the table of cases, the judge for the rest, the draw that is not drawn."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec import structs

from evals.errors import Unreadable, Waiting
from evals.extract import option_vlmevalkit
from evals.model_adapters.scripted import Scripted
from evals.prompts import plain_text
from evals.scorers.judge.account import judge_card, summary_lines
from evals.scorers.judge.judge import Judge
from evals.scorers.judge.judged import Judged
from evals.scorers.upstream.inferred import OTHER_OPTION, Inferred, closest_option
from evals.types import Failure, Prompt, Reply, Sample, Score
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "vlmevalkit.jsonl").read_text("utf-8").splitlines()]
ITEM = Sample(id="q", target="B", choices=("a cat", "a dog", "a red bird"))
WAITS = closest_option()


@table("case", CASES, ids=lambda case: case["text"][:40])
def test_options_are_read_as_in_the_table(case: dict[str, object]) -> None:
    assert option_vlmevalkit(case["text"], case["options"]) == case["expected"], case["why"]


def says(field: str, said: str) -> Judge:
    def judge(prompt: Prompt) -> str:
        words = plain_text(prompt.messages[-1].parts)
        case = words.partition("case's number, ")[2][:12]
        return json.dumps({"case": case, field: said})

    return Judge(Scripted(judge), spec="scripted:judge")


def scored(scorer: Judged, text: str, sample: Sample = ITEM, prompt: Prompt | None = None) -> Score:
    return asyncio.run(scorer(sample, prompt or Prompt(), Reply(text=text)))


def test_the_rule_decides_for_good_what_it_reads() -> None:
    judge = says("verdict", "B")
    scorer = structs.replace(WAITS, judge=judge, audit=0.0)
    assert (scored(scorer, "B").verdict, scored(scorer, "C").verdict) == ("right", "wrong")
    refused = scored(scorer, "Cannot determine the answer")
    assert (refused.value, refused.verdict, refused.answer) == (0.0, "unanswered", "Z")
    assert judge.calls == 0


def test_the_judge_names_the_option_of_the_rest() -> None:
    scorer = structs.replace(WAITS, judge=says("verdict", "B"), audit=0.0)
    found = scored(scorer, "The barking animal, I am sure of it.")
    assert (found.value, found.answer, found.parts, len(found.judged)) == (1.0, "B", {"judge": 1.0}, 1)
    none = scored(structs.replace(scorer, judge=says("verdict", "Z")), "The barking animal, I am sure of it.")
    assert (none.value, none.verdict, none.answer) == (0.0, "unanswered", "Z")


def test_an_option_that_is_not_there_is_no_verdict() -> None:
    scorer = structs.replace(WAITS, judge=says("verdict", "D"))
    with pytest.raises(Unreadable):
        scored(scorer, "The barking animal, I am sure of it.")


def test_the_judge_sees_the_options_and_not_which_is_right() -> None:
    seen = []

    def watch(prompt: Prompt) -> str:
        seen.append(plain_text(prompt.messages[-1].parts))
        return "no verdict"

    scorer = structs.replace(WAITS, judge=Judge(Scripted(watch), spec="s"))
    with pytest.raises(Unreadable, match="in 3 attempts"):
        scored(scorer, "The barking one.", prompt=Prompt(order=(2, 0, 1)))
    assert len(seen) == 3
    assert "A. a red bird\nB. a cat\nC. a dog" in seen[0]
    assert "reference" not in seen[0]


def test_letters_are_those_shown_and_answers_those_of_the_data_set() -> None:
    shuffled = Prompt(order=(2, 0, 1))
    assert scored(structs.replace(WAITS, audit=0.0), "C", prompt=shuffled).answer == "B"
    named = Inferred()(ITEM, shuffled, Reply(text="a dog"))
    assert (named.value, named.answer) == (1.0, "B")


def test_an_open_question_has_two_options_while_it_is_scored() -> None:
    rule = Inferred()
    item = Sample(id="q", target="60 Hz")
    assert rule.options(item, Prompt()) == ("60 Hz", OTHER_OPTION)
    right = {"60 Hz", "It is 160 Hz", "I want A", "other: A"}  # the last three by defects
    for text in (*right, "50 Hz", "B", "Other answers"):
        score = rule(item, Prompt(), Reply(text=text))
        assert (score.value == 1.0) == (text in right), text
    several = Sample(id="q", target=("one", "two"))
    assert rule.options(several, Prompt())[0] == "['one', 'two']"


def test_without_a_judge_the_rest_waits_and_under_exact_matching_it_is_wrong() -> None:
    with pytest.raises(Waiting):
        scored(WAITS, "The barking one, beyond doubt.")
    exact = Inferred(exact=True)(ITEM, Prompt(), Reply(text="The barking one, beyond doubt."))
    assert (exact.value, exact.verdict) == (0.0, "unanswered")


def test_the_audit_compares_both_ways_and_changes_no_score() -> None:
    scorer = structs.replace(WAITS, judge=says("verdict", "B"), audit=1.0)
    right, wrong = scored(scorer, "B"), scored(scorer, "C")
    assert (right.value, right.suspect, right.parts) == (1.0, False, {"rule": 1.0, "judge": 1.0})
    assert (wrong.value, wrong.suspect, wrong.parts) == (0.0, True, {"rule": 0.0, "judge": 1.0})
    mute = structs.replace(scorer, judge=Judge(Scripted("hm"), spec="s"))
    assert scored(mute, "B").value == 1.0  # a judge that cannot be read takes nothing from a decided score


def test_the_draw_of_upstream_stands_beside_the_score() -> None:
    lost = {"c": Failure(stage="scorer", kind="unreadable", message="")}
    kept = [{"c": Score(value=1.0, verdict="right")}, {"c": Score(value=0.0, verdict="wrong")}]
    card = judge_card([*kept, lost, lost], {"c": WAITS}, option_counts=[3, 3, 3, 0])
    assert card is not None
    assert card.drawn == {"n": 2, "value": pytest.approx((1 + 1 / 4 + 1 / 3) / 4)}
    assert any("39.58 % in expectation" in line for line in summary_lines(card))


@pytest.mark.parametrize(
    "text", ["A " * 200_000, "answer is " * 50_000, "correct " + " " * 200_000, "İ" * 100_000, "Z" * 300_000]
)
def test_hostile_replies_are_read_at_once(text: str) -> None:
    option_vlmevalkit(text, ("a cat", "a dog"))
