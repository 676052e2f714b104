"""SUPERChem: the official rule, which reads only boxed letters, `strict`, images within the text, and invalid data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.extract.upstream.letters import letters_superchem
from evals.suites import superchem
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.tables import table

TWO_RIGHT = Sample(id="1", target=("A", "C"), choices=("methane", "ethane", "propane", "butane"))
ONE_RIGHT = Sample(id="2", target="C", choices=TWO_RIGHT.choices)
ROW = {
    "uuid": "u",
    "question_type": "multiple_choice",
    "question_en": "?",
    "options_en": {"A": "x", "B": "y", "C": None},
    "answer_en": ["B"],
}


def verdict(protocol: str, sample: Sample, text: str) -> str:
    scorer = superchem.BENCHMARK.suite("text", protocol).scorers["choice"]
    return str(scorer(sample, Prompt(), Reply(text=text)).verdict)


@table(
    ("text", "official", "strict"),
    [
        (r"Hence $\boxed{C}$.", "right", "right"),
        (r"\boxed{c}", "right", "right"),
        (r"\boxed{\text{C}}", "right", "right"),
        (r"\boxed{\mathrm{C}}", "right", "right"),
        (r"\boxed{\mathsf{C}}", "wrong", "right"),
        (r"\boxed{C. propane}", "wrong", "right"),
        (r"\boxed{propane}", "wrong", "right"),
        (r"First \boxed{A}. Wait, that is wrong: \boxed{C}", "right", "right"),
        (r"\boxed{A}", "wrong", "wrong"),
        (r"\boxed{\text}", "invalid", "unanswered"),
        ("The answer is (C).", "unanswered", "right"),
        ("**ANSWER: C**", "unanswered", "right"),
        (r"\boxed{C", "unanswered", "right"),
        (r"<think>\boxed{C}", "unanswered", "truncated"),
        ("", "unanswered", "unanswered"),
    ],
)
def test_replies_to_questions_with_one_right_option_are_scored(text: str, official: str, strict: str) -> None:
    assert verdict("official", ONE_RIGHT, text) == official
    assert verdict("strict", ONE_RIGHT, text) == strict


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        (r"\boxed{AC}", "right", "right"),
        (r"\boxed{CA}", "right", "right"),
        (r"\boxed{A, C}", "wrong", "right"),
        (r"\boxed{AA}", "wrong", "unanswered"),
        (r"\boxed{A}", "wrong", "wrong"),
        (r"\boxed{ABC}", "wrong", "wrong"),
        ("ANSWER: a, c", "unanswered", "right"),
        ("A and C", "unanswered", "right"),
    ],
)
def test_replies_to_questions_with_several_right_options_are_scored(
    text: str, official: str, strict: str
) -> None:
    assert verdict("official", TWO_RIGHT, text) == official
    assert verdict("strict", TWO_RIGHT, text) == strict


def test_images_are_placed_where_the_text_refers_to_them(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    data = Data(suite="superchem", sample=True, media=tmp_path)
    suite = superchem.BENCHMARK.suite("multimodal", "official")
    sample = next(sample for sample in suite.samples(data) if sample.id == "sample-3")
    parts = suite.prompter(data)(sample, 0).messages[0].parts
    kinds = ["image" if isinstance(part, Media) else str(part)[-5:-2] for part in parts]
    assert kinds[1:5] == ["A: ", "image", "B: ", "image"]
    text_suite = superchem.BENCHMARK.suite("text", "official")
    text_sample = next(sample for sample in text_suite.samples(data) if sample.id == "sample-3")
    assert "<MultiModal>a plain hexagon</MultiModal>" in str(text_sample.question)
    assert "image" not in text_suite.needs


@pytest.mark.parametrize("piece", [r"\boxed{", "}", "{", "<choice>"])
def test_hostile_replies_are_read_in_linear_time(piece: str) -> None:
    assert_cpu_time(5, lambda: letters_superchem(piece * 100_000, TWO_RIGHT.choices))


@pytest.mark.parametrize(
    "change",
    [
        {"answer_en": ["C"]},
        {"answer_en": []},
        {"options_en": {"A": "x", "C": "y"}},
        {"options_en": "{A"},
        {"question_type": "fill_blank"},
        {"question_en": "<MultiModal>![a](b.png)</MultiModal>"},
    ],
    ids=["gold answer", "no gold answer", "option letters", "options", "question type", "missing image"],
)
def test_invalid_data_are_reported_in_one_line(change: dict[str, object], tmp_path: Path) -> None:
    rows = tmp_path / "superchem.jsonl"
    rows.write_text(json.dumps(ROW | change))
    evals("check", "superchem:multimodal", "--data", rows).assert_usage_error()
