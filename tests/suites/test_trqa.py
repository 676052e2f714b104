"""TRQA: the official rule (SciEvalKit's) with its defects, `strict`, and invalid data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.extract.upstream.scieval import letters_scieval
from evals.suites import trqa
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.tables import table

TWO_RIGHT = Sample(id="1", target=("A", "C"), choices=("w", "x", "y", "z"))
ROW = {"Question": "?", "Options": json.dumps({"A": "w", "B": "x"}), "Answer": "A"}


def verdict(protocol: str, text: str, sample: Sample = TWO_RIGHT, prompt: Prompt | None = None) -> str:
    scorer = trqa.BENCHMARK.suite("", protocol).scorers["choice"]
    return str(scorer(sample, prompt or Prompt(), Reply(text=text)).verdict)


@table(
    ("text", "official", "strict"),
    [
        ("<choice>A, C</choice>", "right", "right"),
        ("<choice>ca</choice>", "right", "unanswered"),
        (r"\boxed{CA}", "right", "right"),
        # the letters of "and" are read, too
        ("<choice>A</choice> No, wait: <choice>C and A</choice>", "wrong", "right"),
        ("<choice>(A) and (C)</choice>", "wrong", "right"),
        ("<choice>none</choice>", "invalid", "unanswered"),
        ("<choice>A, C, Z</choice>", "wrong", "unanswered"),
        ("ANSWER: A, C, Z", "wrong", "wrong"),
        (r"Both hold, so \boxed{AC}.", "right", "right"),
        ("Answer: a, c", "right", "right"),
        ("(a) and (c)", "unanswered", "right"),
        ("The correct answers are **A** and **C**.", "unanswered", "right"),
        ("The right ones are w and y", "unanswered", "right"),
        ('{"answer": ["A", "C"]}', "unanswered", "right"),
        ("A\nC", "wrong", "right"),
        ("ANSWER: A", "wrong", "wrong"),
        ("ANSWER: A, B, C, D", "wrong", "wrong"),
        ("A and C are tempting, but only C holds.", "unanswered", "wrong"),
        ("Either A, C or B, D", "unanswered", "unanswered"),
        ("<think>A, C", "unanswered", "truncated"),
        ("", "unanswered", "unanswered"),
    ],
)
def test_replies_are_scored_under_official_and_strict(text: str, official: str, strict: str) -> None:
    assert verdict("official", text) == official
    assert verdict("strict", text) == strict


def test_letters_refer_to_the_options_in_the_order_shown() -> None:
    reversed_prompt = Prompt(order=(3, 2, 1, 0))
    for protocol in ("official", "strict"):
        assert verdict(protocol, "ANSWER: D, B", prompt=reversed_prompt) == "right"
        assert verdict(protocol, "ANSWER: A, C", prompt=reversed_prompt) == "wrong"


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("<choice>A</choice><choice></choice>", ("A",)),
        ("<choice>B <b>", ("B",)),
        (r"\boxed{A} \boxed {B,D}", ("B", "D")),
        ("<|begin_of_box|>B<|end_of_box|>", ("B",)),
        ("Answer: B, D. Since then ...", ("B", "D")),
        ("Answer: B, D (both)", None),
        ("So it is\n`a, b`.", ("A", "B")),
        ("<choice>ABCDEFGHIJK</choice>", None),
        ("<x<choice>>B</choice>", ("B",)),
    ],
)
def test_letters_are_read_as_scievalkit_reads_them(text: str, letters: tuple[str, ...] | None) -> None:
    assert letters_scieval(text, "wxyz") == letters


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["<", "<choice>", r"\boxed{", "answer: ", "Answer:   ", "<|begin_of_box|>", ">", "</choice>"]
)
def test_hostile_replies_are_read_in_linear_time(piece: str) -> None:
    assert_cpu_time(5, lambda: [verdict(protocol, piece * 30_000) for protocol in ("official", "strict")])


@pytest.mark.parametrize(
    "change",
    [{"Answer": "C"}, {"Answer": ""}, {"Options": "{A: w}"}, {"Options": '{"A": "w", "C": "x"}'}],
    ids=["gold answer", "no gold answer", "options", "option letters"],
)
def test_invalid_data_are_reported_in_one_line(change: dict[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "TRQA.jsonl"
    rows.write_text(json.dumps(ROW | change))
    evals("check", "trqa", "--data", rows).assert_usage_error()


def test_column_names_may_be_lower_case(tmp_path: Path) -> None:
    rows = tmp_path / "TRQA.tsv"
    rows.write_text('index\tquestion\toptions\tanswer\n7\t?\t"{""A"": ""w"", ""B"": ""x""}"\tAB\n')
    assert evals("check", "trqa", "--data", rows).status == 0
