"""SUPERChem: pictures at their places, letters in the box and nothing else, the mended reading beside it."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time

import pytest

from evals.data import Data
from evals.extract.upstream.superchem import letters_superchem
from evals.suites import superchem
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.tables import table

BOTH = Sample(id="1", target=("A", "C"), choices=("methane", "ethane", "propane", "butane"))
ONE = Sample(id="2", target="C", choices=BOTH.choices)
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
def test_one_right_option(text: str, official: str, strict: str) -> None:
    assert verdict("official", ONE, text) == official
    assert verdict("strict", ONE, text) == strict


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
def test_several_right_options(text: str, official: str, strict: str) -> None:
    assert verdict("official", BOTH, text) == official
    assert verdict("strict", BOTH, text) == strict


def test_pictures_stand_where_the_text_refers_to_them(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    data = Data(suite="superchem", sample=True, media=tmp_path)
    suite = superchem.BENCHMARK.suite("multimodal", "official")
    sample = next(sample for sample in suite.samples(data) if sample.id == "sample-3")
    parts = suite.prompter(data)(sample, 0).messages[0].parts
    kinds = ["picture" if isinstance(part, Media) else str(part)[-5:-2] for part in parts]
    assert kinds[1:5] == ["A: ", "picture", "B: ", "picture"]
    text = superchem.BENCHMARK.suite("text", "official")
    described = next(each for each in text.samples(data) if each.id == "sample-3")
    assert "<MultiModal>a plain hexagon</MultiModal>" in str(described.question)
    assert "image" not in text.needs


@pytest.mark.parametrize("piece", [r"\boxed{", "}", "{", "<choice>"])
def test_hostile_replies_take_linear_time(piece: str) -> None:
    begin = process_time()
    letters_superchem(piece * 100_000, BOTH.choices)
    assert process_time() - begin < 5


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answer_en": ["C"]}, "sample 'u': the gold answer 'C' is not one of its 2 choices"),
        ({"answer_en": []}, "sample 'u': there is no gold answer"),
        ({"options_en": {"A": "x", "C": "y"}}, "u: its options are not lettered A, B, C ...: A, C"),
        ({"options_en": "{A"}, "u: its options are not a JSON object"),
        ({"question_type": "fill_blank"}, "u: questions of type 'fill_blank' are not supported"),
        ({"question_en": "<MultiModal>![a](b.png)</MultiModal>"}, "u: there is no image 'b.png'"),
    ],
)
def test_bad_data_are_one_line(change: dict[str, object], complaint: str, tmp_path: Path) -> None:
    rows = tmp_path / "superchem.jsonl"
    rows.write_text(json.dumps(ROW | change))
    done = evals("check", "superchem:multimodal", "--data", rows)
    assert done.status != 0
    assert f": {complaint}" in done.err + done.out
