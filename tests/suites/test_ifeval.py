"""IFEval end to end: the bundled prompts under the three protocols, and invalid data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.scorers.instructions import OFFICIAL, SENTENCE_COUNT
from evals.suites import ifeval
from tests.support.command import evals


def test_the_bundled_prompts_cover_every_instruction_except_the_one_that_needs_data() -> None:
    samples = list(ifeval.BENCHMARK.suite("", "official").samples(Data(suite="ifeval", sample=True)))
    assert {name for sample in samples for name in sample.meta["instructions"]} == set(OFFICIAL) - {
        SENTENCE_COUNT
    }
    assert all(sample.meta["ideal"] for sample in samples)


@pytest.mark.parametrize(
    "protocol",
    [
        name if name == "strict" else pytest.param(name, marks=pytest.mark.slow)
        for name in ifeval.BENCHMARK.protocol_names
    ],
)
def test_a_run_reports_four_accuracies(protocol: str, tmp_path: Path) -> None:
    outcome = evals(
        "run", "ifeval", "--sample", "--protocol", protocol, "-m", 'scripted:"A lamp, and more."',
        "--results", tmp_path, "--json", "--quiet",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    values = {e["metric"]: e["value"] for e in outcome.json["runs"][0]["estimates"]}
    assert set(values) >= {"prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"}
    assert 0 < values["prompt_strict"] <= values["prompt_loose"] < 1


@pytest.mark.parametrize(
    ("instructions", "kwargs"),
    [(["keywords:rhyme"], [{}]), (["keywords:existence"], [{"keywords": None}])],
    ids=["unknown", "incomplete"],
)
def test_unknown_and_incomplete_instructions_are_reported_in_one_line(
    instructions: list[str], kwargs: list[object], tmp_path: Path
) -> None:
    rows = tmp_path / "input_data.jsonl"
    rows.write_text(
        json.dumps({"key": 7, "prompt": "Hm", "instruction_id_list": instructions, "kwargs": kwargs})
    )
    outcome = evals("run", "ifeval", "--data", rows, "-m", "scripted:A", "--results", tmp_path / "results")
    outcome.assert_usage_error()
    assert not list((tmp_path / "results").rglob("card.json"))
