"""Multiple choice by VLMEvalKit's rules: cases read by rule, a judge for the others, and the expected value of its random draw."""

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
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "vlmevalkit.jsonl").read_text("utf-8").splitlines()]
ITEM = Sample(id="q", target="B", choices=("a cat", "a dog", "a red bird"))
WITHOUT_JUDGE = closest_option()


@table("case", CASES, ids=lambda case: case["text"][:40])
def test_the_rule_reads_the_options_listed_in_the_case_file(case: dict[str, object]) -> None:
    assert option_vlmevalkit(case["text"], case["options"]) == case["expected"], case["why"]


def judge_that_returns(field: str, value: str) -> Judge:
    def judge(prompt: Prompt) -> str:
        text = plain_text(prompt.messages[-1].parts)
        case = text.partition("case's number, ")[2][:12]
        return json.dumps({"case": case, field: value})

    return Judge(Scripted(judge), spec="scripted:judge")


def score_of(scorer: Judged, text: str, sample: Sample = ITEM, prompt: Prompt | None = None) -> Score:
    return asyncio.run(scorer(sample, prompt or Prompt(), Reply(text=text)))


def test_a_reply_that_the_rule_can_read_is_never_sent_to_the_judge() -> None:
    judge = judge_that_returns("verdict", "B")
    scorer = structs.replace(WITHOUT_JUDGE, judge=judge, audit=0.0)
    assert (score_of(scorer, "B").verdict, score_of(scorer, "C").verdict) == ("right", "wrong")
    refused = score_of(scorer, "Cannot determine the answer")
    assert (refused.value, refused.verdict, refused.answer) == (0.0, "unanswered", "Z")
    assert judge.calls == 0


def test_the_judge_decides_replies_that_the_rule_cannot_read() -> None:
    scorer = structs.replace(WITHOUT_JUDGE, judge=judge_that_returns("verdict", "B"), audit=0.0)
    chosen = score_of(scorer, "The barking animal, I am sure of it.")
    assert (chosen.value, chosen.answer, chosen.parts, len(chosen.judged)) == (1.0, "B", {"judge": 1.0}, 1)
    no_option = score_of(
        structs.replace(scorer, judge=judge_that_returns("verdict", "Z")),
        "The barking animal, I am sure of it.",
    )
    assert (no_option.value, no_option.verdict, no_option.answer) == (0.0, "unanswered", "Z")


def test_a_judge_that_names_an_option_that_does_not_exist_is_unreadable() -> None:
    scorer = structs.replace(WITHOUT_JUDGE, judge=judge_that_returns("verdict", "D"))
    with pytest.raises(Unreadable):
        score_of(scorer, "The barking animal, I am sure of it.")


def test_the_judge_is_shown_the_options_without_the_reference_answer() -> None:
    prompts = []

    def record_prompt(prompt: Prompt) -> str:
        prompts.append(plain_text(prompt.messages[-1].parts))
        return "no verdict"

    scorer = structs.replace(WITHOUT_JUDGE, judge=Judge(Scripted(record_prompt), spec="s"))
    with raises(Unreadable):
        score_of(scorer, "The barking one.", prompt=Prompt(order=(2, 0, 1)))
    assert len(prompts) == 3
    assert "A. a red bird\nB. a cat\nC. a dog" in prompts[0]
    assert "reference" not in prompts[0]


def test_letters_refer_to_the_shown_order_and_answers_to_the_order_of_the_data_set() -> None:
    shuffled = Prompt(order=(2, 0, 1))
    assert score_of(structs.replace(WITHOUT_JUDGE, audit=0.0), "C", prompt=shuffled).answer == "B"
    by_text = Inferred()(ITEM, shuffled, Reply(text="a dog"))
    assert (by_text.value, by_text.answer) == (1.0, "B")


def test_an_open_question_is_scored_as_a_choice_between_the_target_and_another_answer() -> None:
    rule = Inferred()
    item = Sample(id="q", target="60 Hz")
    assert rule.options(item, Prompt()) == ("60 Hz", OTHER_OPTION)
    right = {"60 Hz", "It is 160 Hz", "I want A", "other: A"}  # the last three because of upstream's defects
    for text in (*right, "50 Hz", "B", "Other answers"):
        score = rule(item, Prompt(), Reply(text=text))
        assert (score.value == 1.0) == (text in right), text
    two_targets = Sample(id="q", target=("one", "two"))
    assert rule.options(two_targets, Prompt())[0] == "['one', 'two']"


def test_without_a_judge_an_unparsed_reply_waits_and_with_exact_matching_it_is_unanswered() -> None:
    with pytest.raises(Waiting):
        score_of(WITHOUT_JUDGE, "The barking one, beyond doubt.")
    exact = Inferred(exact=True)(ITEM, Prompt(), Reply(text="The barking one, beyond doubt."))
    assert (exact.value, exact.verdict) == (0.0, "unanswered")


def test_the_audit_compares_right_and_wrong_replies_and_changes_no_score() -> None:
    scorer = structs.replace(WITHOUT_JUDGE, judge=judge_that_returns("verdict", "B"), audit=1.0)
    right, wrong = score_of(scorer, "B"), score_of(scorer, "C")
    assert (right.value, right.suspect, right.parts) == (1.0, False, {"rule": 1.0, "judge": 1.0})
    assert (wrong.value, wrong.suspect, wrong.parts) == (0.0, True, {"rule": 0.0, "judge": 1.0})
    unreadable = structs.replace(scorer, judge=Judge(Scripted("hm"), spec="s"))
    # an unreadable judge does not change a score that the rule decided
    assert score_of(unreadable, "B").value == 1.0


def test_the_card_has_the_expected_score_with_upstreams_random_draw() -> None:
    unreadable = {"c": Failure(stage="scorer", kind="unreadable", message="")}
    readable = [{"c": Score(value=1.0, verdict="right")}, {"c": Score(value=0.0, verdict="wrong")}]
    card = judge_card([*readable, unreadable, unreadable], {"c": WITHOUT_JUDGE}, option_counts=[3, 3, 3, 0])
    assert card is not None
    assert card.drawn == {"n": 2, "value": pytest.approx((1 + 1 / 4 + 1 / 3) / 4)}
    assert any("expected score is 39.58 %" in line for line in summary_lines(card))


@pytest.mark.parametrize(
    "text", ["A " * 200_000, "answer is " * 50_000, "correct " + " " * 200_000, "İ" * 100_000, "Z" * 300_000]
)
def test_hostile_replies_are_read_without_delay(text: str) -> None:
    option_vlmevalkit(text, ("a cat", "a dog"))
