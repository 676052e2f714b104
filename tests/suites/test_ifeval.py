"""IFEval end to end: the bundled prompts under the three protocols, and bad data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.scorers.instructions import OFFICIAL, SENTENCE_COUNT
from evals.suites import ifeval
from tests.support.command import evals


def test_the_bundled_prompts_cover_every_type_but_the_one_that_needs_data() -> None:
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
def test_four_accuracies(protocol: str, tmp_path: Path) -> None:
    done = evals(
        "run", "ifeval", "--sample", "--protocol", protocol, "-m", 'scripted:"A lamp, and more."',
        "--results", tmp_path, "--json", "--quiet",
    )  # fmt: skip
    assert done.status == 0, done.err
    figures = {e["metric"]: e["value"] for e in done.json["runs"][0]["estimates"]}
    assert set(figures) >= {"prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"}
    assert 0 < figures["prompt_strict"] <= figures["prompt_loose"] < 1


@pytest.mark.parametrize(
    ("instructions", "kwargs", "line"),
    [
        (["keywords:rhyme"], [{}], "ifeval: 7: no rule for the instruction 'keywords:rhyme'"),
        (["keywords:existence"], [{"keywords": None}], "ifeval: 7: keywords:existence lacks the argument"),
    ],
)
def test_an_instruction_that_no_rule_knows_is_one_line(
    instructions: list[str], kwargs: list[object], line: str, tmp_path: Path
) -> None:
    rows = tmp_path / "input_data.jsonl"
    rows.write_text(
        json.dumps({"key": 7, "prompt": "Hm", "instruction_id_list": instructions, "kwargs": kwargs})
    )
    done = evals("run", "ifeval", "--data", rows, "-m", "scripted:A", "--results", tmp_path / "results")
    assert done.status == 2
    assert line in done.error_line
    assert not list((tmp_path / "results").rglob("card.json"))
