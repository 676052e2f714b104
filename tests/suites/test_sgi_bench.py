"""SGI-Bench's two parts: the official rules with their defects, and `strict`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.suites import sgi_bench
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals

RESEARCH_SAMPLE = Sample(id="1", target="2.00")
CHOICE_SAMPLE = Sample(id="1", target="C", choices=("w", "x", "y", "z"))


def verdict(variant: str, protocol: str, sample: Sample, text: str, stop: str = "stop") -> str:
    (scorer,) = sgi_bench.BENCHMARK.suite(variant, protocol).scorers.values()
    return str(scorer(sample, Prompt(), Reply(text=text, stop=stop)).verdict)


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        ("<answer>2.00</answer>", "right", "right"),
        ("<answer>1</answer> no: <answer> 2.00 </answer>", "right", "right"),
        ("2.00", "right", "right"),
        ("<answer>2.0</answer>", "wrong", "right"),
        ("<answer>2</answer>", "wrong", "right"),
        ("<answer>2.1</answer>", "wrong", "wrong"),
        ("The answer is 2.00.", "unanswered", "right"),
        ("<think><answer>2.00</answer>", "truncated", "truncated"),
    ],
)
def test_replies_to_deep_research_are_scored_under_official_and_strict(
    text: str, official: str, strict: str
) -> None:
    stop = "length" if text.startswith("<think>") else "stop"
    assert verdict("deep-research", "official", RESEARCH_SAMPLE, text, stop) == official
    assert verdict("deep-research", "strict", RESEARCH_SAMPLE, text, stop) == strict


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        (r"So \boxed{C}", "right", "right"),
        (r"First \boxed{A}. Wait, that is wrong: \boxed{C}", "wrong", "right"),
        (r"\boxed{c}", "unanswered", "right"),
        ("ANSWER: C", "unanswered", "right"),
        (r"\boxed{Z}", "unanswered", "unanswered"),
    ],
)
def test_replies_to_reasoning_are_scored_under_official_and_strict(
    text: str, official: str, strict: str
) -> None:
    assert verdict("reasoning", "official", CHOICE_SAMPLE, text) == official
    assert verdict("reasoning", "strict", CHOICE_SAMPLE, text) == strict


def test_a_gold_answer_that_is_not_an_option_is_reported(tmp_path: Path) -> None:
    rows = tmp_path / "reasoning.jsonl"
    rows.write_text(
        json.dumps({"idx": 4, "question": "?", "options": ["a"], "answer": 1, "discipline": "life"})
    )
    evals("check", "sgi-bench:reasoning", "--data", rows).assert_usage_error()
