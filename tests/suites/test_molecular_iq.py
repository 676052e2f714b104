"""MolecularIQ: the official rule with its defects, OpenCompass' rule, `strict`, and invalid data."""

from __future__ import annotations

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evals.suites import molecular_iq
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.tables import table

RINGS: dict[str, Any] = {"ring_count": 5}
TWO_COUNTS: dict[str, Any] = {"ring_count": 5, "carbon_atom_count": 7}
FORMULA: dict[str, Any] = {"molecular_formula_count": "C6H5NO2"}
ATOMS: dict[str, Any] = {"ring_index": [0, 2, 3]}
NO_ATOMS: dict[str, Any] = {"ring_index": []}
SETS: dict[str, Any] = {"ring_index": [0, 1], "halogen_atom_index": []}


def verdict(protocol: str, target: dict[str, Any], text: str, stop: str = "stop") -> str:
    kind = "index" if "index" in next(iter(target)) else "count"
    scorer = molecular_iq.BENCHMARK.suite(kind, protocol).scorers["answer"]
    return str(
        scorer(Sample(id="1", target=json.dumps(target)), Prompt(), Reply(text=text, stop=stop)).verdict
    )


@table(
    ("target", "text", "official", "strict"),
    [
        (RINGS, '<answer>{"ring_count": 5}</answer>', "right", "right"),
        (RINGS, '<answer>"ring count": 5</answer>', "right", "right"),
        (RINGS, '<answer>{"rings": "5"}</answer>', "right", "right"),
        (RINGS, "<answer>5</answer>", "right", "right"),
        (RINGS, "<answer>5.0</answer>", "right", "right"),
        (RINGS, "<answer>five</answer>", "wrong", "right"),
        (RINGS, "<answer>5 rings</answer>", "wrong", "right"),
        (RINGS, '<answer>{"ring_count": 5, "ring_count": 6}</answer>', "wrong", "unanswered"),
        (
            RINGS,
            '<answer>{"ring_count": 6}</answer> No: <answer>{"ring_count": 5}</answer>',
            "right",
            "right",
        ),
        (RINGS, '<answer>{"ring_count": true}</answer>', "wrong", "wrong"),
        (RINGS, '<think>{"ring_count": 6}</think>```json\n{"ring_count": 5}\n```', "unanswered", "right"),
        (RINGS, "**5**", "unanswered", "right"),
        (RINGS, "There are five rings.", "unanswered", "right"),
        (RINGS, r"\boxed{5}", "unanswered", "right"),
        (RINGS, "- **ring count**: 5 rings", "unanswered", "right"),
        (RINGS, "ANSWER: 5 or 6", "unanswered", "unanswered"),
        (RINGS, "The count is 4.", "unanswered", "wrong"),
        (RINGS, "I do not know.", "unanswered", "unanswered"),
        (TWO_COUNTS, '<answer>{"ring_count": 5, "carbon_atom_count": 7}</answer>', "right", "right"),
        (TWO_COUNTS, '<answer>{"Ring-Count": 5, "carbon atom count": 7}</answer>', "wrong", "right"),
        (TWO_COUNTS, '<answer>{"ring_count": 5}</answer>', "wrong", "wrong"),
        (TWO_COUNTS, "<answer>ring_count: 5, carbon_atom_count: 7</answer>", "right", "right"),
        (TWO_COUNTS, "ring_count: 5\ncarbon_atom_count: 7", "unanswered", "right"),
        (TWO_COUNTS, "| ring count | 5 |\n| carbon atom count | 7 |", "unanswered", "right"),
        (TWO_COUNTS, "5 and 7", "unanswered", "unanswered"),
        (FORMULA, "<answer>C₆H₅NO₂</answer>", "right", "right"),
        (FORMULA, "<answer>C6H5O2N</answer>", "wrong", "right"),  # upstream reads the element No
        (FORMULA, "<answer>C6H6NO2</answer>", "wrong", "wrong"),
        (ATOMS, '<answer>{"ring_index": [3, 0, 2, 2]}</answer>', "right", "right"),
        (ATOMS, '<answer>{"ring_index": "0,2,3"}</answer>', "right", "right"),
        (ATOMS, '<answer>{"ring_index": [0.9, 2, 3, -1, "x"]}</answer>', "right", "wrong"),
        (ATOMS, '<answer>{"ring_index": ["0", "2", "3"]}</answer>', "wrong", "right"),
        (ATOMS, "<answer>[0, 2, 3]</answer>", "right", "right"),
        (ATOMS, "<answer>0, 2 and 3</answer>", "wrong", "right"),
        (ATOMS, '<answer>{"a": [0, 2, 3], "b": []}</answer>', "wrong", "unanswered"),
        (ATOMS, "The ring atoms are 0, 2 and 3.", "unanswered", "right"),
        (ATOMS, "[0-3]", "unanswered", "unanswered"),
        (ATOMS, "I think it is [0, 2, 3] or [0, 2]", "unanswered", "unanswered"),
        (ATOMS, "[]", "unanswered", "wrong"),
        (NO_ATOMS, "<answer>[]</answer>", "right", "right"),
        (NO_ATOMS, '<answer>{"ring_index": []}</answer>', "right", "right"),
        (NO_ATOMS, "<answer>none</answer>", "right", "right"),
        (NO_ATOMS, '<answer>{"ring_index": ["2"]}</answer>', "right", "wrong"),
        (NO_ATOMS, '<answer>{"ring_index": null}</answer>', "wrong", "wrong"),
        (NO_ATOMS, "There are none.", "unanswered", "right"),
        (NO_ATOMS, "", "unanswered", "unanswered"),
        (SETS, '<answer>{"ring_index": [1, 0], "halogen_atom_index": []}</answer>', "right", "right"),
        (SETS, '<answer>{"ring_index": [1, 0]}</answer>', "wrong", "wrong"),
    ],
)
def test_replies_are_scored_under_official_and_strict(
    target: dict[str, Any], text: str, official: str, strict: str
) -> None:
    assert verdict("official", target, text) == official
    assert verdict("strict", target, text) == strict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<answer>"ring count": 5</answer>', "right"),
        ('<answer>"ring count": 5}</answer>', "right"),
        ('<ANSWER>{"ring_count": 5}</ANSWER>', "right"),
        ('<answer>{"ring_count": 5, "ring_count": 6}</answer>', "wrong"),
        ('<answer>{"ring_count": 6, "ring_count": 5}</answer>', "right"),  # the last of two equal keys counts
        ('<answer>{"ring_count": 6}</answer> No: <answer>{"ring_count": 5}</answer>', "wrong"),
    ],
)
def test_opencompass_reads_the_first_tag(text: str, expected: str) -> None:
    assert verdict("intern-s1", RINGS, text) == expected


def test_truncated_replies_get_the_verdict_truncated() -> None:
    assert verdict("strict", RINGS, "The rings are 5", "length") == "truncated"
    assert verdict("strict", RINGS, '<think>{"ring_count": 5}') == "truncated"


@pytest.mark.slow
@table(
    "piece", ["<answer>", "{", '{"', "[", "0, ", "1 ", "a: ", "ring_count: ", '"ring_count": 5,', "9" * 50]
)
@table("target", [RINGS, TWO_COUNTS, FORMULA, ATOMS, SETS])
def test_hostile_replies_are_read_in_linear_time(target: dict[str, Any], piece: str) -> None:
    text = piece * (100_000 // len(piece))
    for protocol in ("strict", "official", "intern-s1"):
        for reply in (text, f"<answer>{text}</answer>"):
            assert_cpu_time(4, partial(verdict, protocol, target, reply))


@pytest.mark.parametrize(
    "row", [{"target": {}}, {"target": "{5"}, {"target": None}], ids=["empty", "not JSON", "none"]
)
def test_invalid_data_are_reported_in_one_line(row: dict[str, Any], tmp_path: Path) -> None:
    rows = tmp_path / "count.jsonl"
    rows.write_text(json.dumps({"uid": "u", "question": "?", **row}))
    evals("check", "molecular-iq:count", "--data", rows).assert_usage_error()


def test_one_file_with_all_tasks_is_split_by_task_type(tmp_path: Path) -> None:
    rows = [
        {"uid": "a", "question": "?", "task_type": "single_count", "target": '{"ring_count": 1}'},
        {"uid": "b", "question": "?", "task_type": "multi_index", "target": '{"ring_index": [1]}'},
        {"uid": "c", "question": "?", "task_type": "constraint_generation", "target": None},
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    outcome = evals("check", "molecular-iq", "--data", tmp_path, "--protocol", "strict")
    assert (outcome.status, outcome.out.count("1 sample,")) == (0, 2)


@pytest.mark.skipif(find_spec("moleculariq_core") is not None, reason="the authors' package is installed")
def test_generation_is_rejected_without_the_authors_package(tmp_path: Path) -> None:
    outcome = evals("run", "molecular-iq:generation", "--sample", "-m", "scripted:x", "--results", tmp_path)
    assert outcome.status == 2
    outcome.assert_usage_error()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<answer>{"smiles": "c1ccc2ccccc2c1"}</answer>', "right"),
        ('<answer>"smiles": "C1CCC2CCCCC2C1"</answer>', "right"),
        ('<answer>{"smiles": "CCO"}</answer>', "wrong"),
        ('<answer>{"smiles": "C1CC("}</answer>', "invalid"),
        ("naphthalene, of course", "unanswered"),
    ],
)
@pytest.mark.parametrize("protocol", ["strict", "intern-s1"])
def test_generated_molecules_are_scored_with_the_authors_package(
    text: str, expected: str, protocol: str
) -> None:
    pytest.importorskip("moleculariq_core")
    scorer = molecular_iq.BENCHMARK.suite("generation", protocol).scorers["answer"]
    target = json.dumps([{"type": "ring_count", "operator": "=", "value": 2}])
    assert scorer(Sample(id="1", target=target), Prompt(), Reply(text=text)).verdict == expected
