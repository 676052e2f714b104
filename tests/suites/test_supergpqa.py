"""SuperGPQA: the official rule with its defects, `strict`, and invalid data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.extract.upstream.supergpqa import option_supergpqa
from evals.suites import supergpqa
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.tables import table

QUESTION = Sample(id="1", target="C", choices=("25 W", "50 W", "$e$", "75 W", "foo"))


def verdict(protocol: str, text: str, prompt: Prompt | None = None) -> str:
    scorer = supergpqa.BENCHMARK.suite("", protocol).scorers["choice"]
    return str(scorer(QUESTION, prompt or Prompt(), Reply(text=text)).verdict)


@table(
    ("text", "official", "strict"),
    [
        ("Answer: C", "right", "right"),
        ("**Answer:** C", "right", "right"),
        ("Some steps.\n\nAnswer: **C**", "right", "right"),
        (r"The final answer is $\boxed{C}$.", "right", "right"),
        ("The answer is (C).", "right", "right"),
        ("the answer is (c).", "invalid", "right"),
        ("C", "right", "right"),
        ("C)", "right", "right"),
        ("The answer to this question is C.", "unanswered", "right"),
        ("The answer is A.\nWait, that is wrong.\nAnswer: C", "right", "right"),
        ("Answer: A\nNo, I have to correct this: it must be C, since e is the limit.", "wrong", "right"),
        ("The answer is a multiple of e.", "invalid", "unanswered"),
        ("The answer is foo.", "wrong", "wrong"),
        ("Answer: B", "wrong", "wrong"),
        ("Answer: A and C", "wrong", "unanswered"),
        ("Answer: I", "invalid", "unanswered"),
        ("I do not know.", "invalid", "unanswered"),  # begins with the letter I
        ("It is hard to say.", "unanswered", "unanswered"),
        ("", "unanswered", "unanswered"),
    ],
)
def test_replies_are_scored_under_official_and_strict(text: str, official: str, strict: str) -> None:
    assert verdict("official", text) == official
    assert verdict("strict", text) == strict


def test_official_reads_the_e_of_a_formula_as_a_letter() -> None:
    assert verdict("official", "The answer is $e$.") == "invalid"


@pytest.mark.parametrize("text", ["The answer is $e$.", "Answer: **$e$**", "ANSWER: C"])
def test_strict_reads_a_symbol_as_the_option_with_that_text(text: str) -> None:
    assert verdict("strict", text) == "right"


def test_a_symbol_that_is_not_an_option_text_is_read_as_a_letter() -> None:
    assert verdict("strict", "Answer: $c$") == "right"
    assert verdict("strict", "Answer: $b$") == "wrong"


def test_separate_reasoning_is_not_read() -> None:
    assert verdict("strict", "<think>The answer is A.</think>\n\nAnswer: C") == "right"
    assert verdict("strict", "<think>Answer: C") == "truncated"


def test_letters_refer_to_the_options_in_the_order_shown() -> None:
    reversed_prompt = Prompt(order=(4, 3, 2, 1, 0))
    assert verdict("official", "The answer is foo.", reversed_prompt) == "wrong"
    assert verdict("official", "Answer: A", reversed_prompt) == "wrong"
    assert verdict("official", "Answer: C", reversed_prompt) == "right"


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        *(
            pytest.param(piece, marks=pytest.mark.slow)
            for piece in (" ", "answer:", "Answer ", "The answer ", "\\boxed{", "the ", "word", "$ ", "\n")
        ),
    ],
)
def test_hostile_replies_are_read_in_linear_time(piece: str) -> None:
    for text in ("x" + piece * (200_000 // len(piece)) + "?", piece * (200_000 // len(piece)) + "?"):
        assert_cpu_time(5, lambda text=text: option_supergpqa(text, QUESTION.choices))


def test_every_option_is_shown_with_its_letter() -> None:
    suite = supergpqa.BENCHMARK.suite("", "official")
    (part,) = suite.prompter(Data(suite="supergpqa", sample=True))(QUESTION, 0).messages[0].parts
    assert "E) foo" in str(part)
    assert "from A to E" in str(part)


@pytest.mark.parametrize("letter", ["D", "", "AB", "a"], ids=["D", "empty", "AB", "a"])
def test_a_gold_answer_that_is_not_an_option_is_reported(letter: str, tmp_path: Path) -> None:
    rows = tmp_path / "SuperGPQA-all.jsonl"
    row = {
        "uuid": "7",
        "question": "?",
        "options": ["x", "y", "z"],
        "answer_letter": letter,
        "discipline": "Law",
    }
    rows.write_text(json.dumps(row))
    evals("check", "supergpqa", "--data", rows).assert_usage_error()
