"""Rules of `official` and `intern-s1` that must read replies as they did when the first runs were recorded.

`cases/frozen.json` contains what these rules read from the hand-judged replies (`cases/replies.jsonl`) before `strict` became
version 2; nothing was read from a reply that is not listed. The counts below are those of the shared recordings of MMLU-Pro.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.extract.upstream.last_letter import letter
from evals.extract.upstream.yes_no import last_probability, last_yes_no
from evals.scorers.integer import IntegerInWorker
from evals.scorers.upstream.matbench import stated_number
from tests.support.paths import CASES

FROZEN: dict[str, dict[str, Any]] = json.loads((CASES / "frozen.json").read_text("utf-8"))
REPLIES = {
    case["id"]: case["reply"]
    for case in map(json.loads, (CASES / "replies.jsonl").read_text("utf-8").splitlines())
}


def readings(reader: Any) -> dict[str, Any]:
    """Return what a reader reads from each reply, without the replies from which it reads nothing."""
    return {name: value for name, text in REPLIES.items() if (value := reader(text)) is not None}


def number_and_text(text: str) -> list[Any] | None:
    quantity = stated_number(text, "eV/atom")
    return None if quantity is None else [quantity.value, quantity.text]


def test_letters_with_which_judges_are_compared_are_read_as_before() -> None:
    assert readings(lambda text: letter(text, 10)) == FROZEN["letter"]


def test_official_labels_of_matbench_are_read_as_before() -> None:
    assert readings(last_yes_no) == FROZEN["yes or no"]
    assert (last_probability("Probability: 0.83"), last_probability("probability 150%")) == (0.83, None)


def test_official_numbers_of_matbench_are_read_as_before() -> None:
    pytest.importorskip("pint")
    assert readings(number_and_text) == FROZEN["number"]


@pytest.mark.parametrize(
    ("recording", "right_count"),
    [
        ("gemini-1.5-flash-002", 7693),
        pytest.param("Mistral-7B-Instruct-v0.2", 3409, marks=pytest.mark.slow),
        pytest.param("Meta-Llama-3_1-8B-Instruct", 5210, marks=pytest.mark.slow),
    ],
)
def test_as_many_recorded_replies_have_the_right_letter_as_before(
    recording: str, right_count: int, shared: Path
) -> None:
    [path] = (shared / "data" / "mmlu_pro" / "outputs").glob(f"*{recording}*.zip")
    with zipfile.ZipFile(path) as archive:
        rows = json.loads(archive.read(archive.namelist()[0]))
    assert (
        sum(
            letter(row.get("generated_text") or row.get("model_outputs") or "", len(row["options"]))
            == row["answer"]
            for row in rows
        )
        == right_count
    )


def test_aime_official_evaluates_expressions_in_a_worker() -> None:
    [suite] = load.suite("aime:2025", "official")
    assert all(isinstance(scorer, IntegerInWorker) for scorer in suite.scorers.values())
