"""ProteinLMBench: the two published ways to ask and to read, and bad data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.suites import proteinlmbench
from tests.support.command import evals


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("The correct option is Option 3.", "C"),
        ("In 2 of 6 cases; the correct option is Option 4.", "B"),
        ("7", None),
        ("I do not know", None),
        ("2024 papers say 3", None),
        ("0", None),
    ],
)
def test_official_reads_the_first_number_anywhere(reply: str, letter: str | None) -> None:
    assert proteinlmbench.first_number(reply, 6) == letter


def test_options_are_numbered_for_the_authors_and_lettered_for_us() -> None:
    def asked(protocol: str) -> str:
        suite = proteinlmbench.BENCHMARK.suite("", protocol)
        data = Data(suite="proteinlmbench", sample=True)
        sample = next(iter(suite.samples(data)))
        return "".join(part.text for part in suite.prompter(data)(sample, 0).messages[0].parts)

    assert "option 2: Cysteine" in asked("official")
    assert "option 7" in asked("official")
    assert "B. Cysteine" in asked("strict")


@pytest.mark.parametrize("answer", ["option 7", "B", "option 0"])
def test_a_gold_answer_beyond_the_options_is_one_line(answer: str, tmp_path: Path) -> None:
    rows = tmp_path / "evaluation.jsonl"
    rows.write_text(
        json.dumps({"question": "?", "options": ["option 1: a", "option 2: b"], "answer": answer})
    )
    done = evals("run", "proteinlmbench", "--data", rows, "-m", "scripted:A", "--results", tmp_path / "r")
    assert done.status == 2
    assert f"question 1: the gold answer '{answer}' is not one of its 2 options" in done.error_line
