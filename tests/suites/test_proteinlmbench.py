"""ProteinLMBench: the official rule, the prompts of both protocols, and invalid data."""

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
def test_official_reads_the_first_number_of_a_reply(reply: str, letter: str | None) -> None:
    assert proteinlmbench.first_number(reply, 6) == letter


def test_options_are_numbered_under_official_and_lettered_under_strict() -> None:
    def prompt_text(protocol: str) -> str:
        suite = proteinlmbench.BENCHMARK.suite("", protocol)
        data = Data(suite="proteinlmbench", sample=True)
        sample = next(iter(suite.samples(data)))
        return "".join(part.text for part in suite.prompter(data)(sample, 0).messages[0].parts)

    assert "option 2: Cysteine" in prompt_text("official")
    assert "option 7" in prompt_text("official")
    assert "B. Cysteine" in prompt_text("strict")


@pytest.mark.parametrize("answer", ["option 7", "B", "option 0"])
def test_a_gold_answer_that_is_not_an_option_is_reported(answer: str, tmp_path: Path) -> None:
    rows = tmp_path / "evaluation.jsonl"
    rows.write_text(
        json.dumps({"question": "?", "options": ["option 1: a", "option 2: b"], "answer": answer})
    )
    outcome = evals("run", "proteinlmbench", "--data", rows, "-m", "scripted:A", "--results", tmp_path / "r")
    assert outcome.status == 2
    outcome.assert_usage_error()
