"""The bundled sample items are correct, well formed and small enough for the demo."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tools.check_samples import FILES, PROSE, find_faults, gold, rows

LETTERS = "ABCDEFGHIJ"
CATEGORIES = {
    "biology", "business", "chemistry", "computer science", "economics", "engineering", "health", "history",
    "law", "math", "other", "philosophy", "physics", "psychology",
}  # fmt: skip
MMLU_PRO = {
    "question_id": int, "question": str, "options": list, "answer": str, "answer_index": int,
    "cot_content": str, "category": str, "src": str,
}  # fmt: skip
INCORRECT_ANSWERS = [f"Incorrect Answer {i}" for i in (1, 2, 3)]


def options(row: dict[str, Any]) -> list[str]:
    if "options" in row:
        return list(row["options"])
    return (
        [row["Correct Answer"], *(row[column] for column in INCORRECT_ANSWERS)] if "Record ID" in row else []
    )


def value(text: str) -> float | str:
    """Return the numeric value of an option, so that 1/2 equals 0.5, or its normalised text."""
    match = re.fullmatch(r"([+-]?[\d,]*\.?\d+)(?:/(\d+))?", text)
    return (
        float(match[1].replace(",", "")) / float(match[2] or 1)
        if match
        else " ".join(text.casefold().split())
    )


def test_every_answer_is_recomputed_or_justified() -> None:
    assert find_faults() == []


def test_every_justification_has_at_least_ten_characters() -> None:
    assert all(len(why) >= 10 for why in PROSE.values())


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_at_least_twelve_items_with_unique_ids(file: str) -> None:
    names = [gold(row)[0] for row in rows(file)]
    assert len(names) >= 12
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("file", FILES)
def test_the_options_of_an_item_are_distinct(file: str) -> None:
    for row in rows(file):
        values = [value(option) for option in options(row)]
        assert len(set(values)) == len(values), gold(row)[0]


@pytest.mark.parametrize("file", FILES)
def test_texts_have_no_line_breaks_or_surrounding_white_space(file: str) -> None:
    for row in rows(file):
        for text in (
            t for v in row.values() for t in (v if isinstance(v, list) else [v]) if isinstance(t, str)
        ):
            assert text == text.strip()
            assert "\n" not in text


@pytest.mark.parametrize("split", ["test", "validation"])
def test_mmlu_pro_has_the_hubs_columns(split: str) -> None:
    for row in rows(f"mmlu_pro/{split}.jsonl"):
        assert {name: type(cell) for name, cell in row.items()} == MMLU_PRO
        assert row["category"] in CATEGORIES
        assert 4 <= len(row["options"]) <= 10
        assert row["answer"] == LETTERS[row["answer_index"]]
        assert row["answer_index"] < len(row["options"])
        assert len(row["question"]) + sum(map(len, row["options"])) <= 500


def test_mmlu_pro_items_cover_eight_categories_and_all_letters() -> None:
    test = rows("mmlu_pro/test.jsonl")
    assert len({row["category"] for row in test}) >= 8
    assert {row["answer"] for row in test} == set(LETTERS)
    assert all(row["cot_content"] == "" for row in test)


def test_mmlu_pro_has_worked_examples_for_each_category() -> None:
    test, examples = rows("mmlu_pro/test.jsonl"), rows("mmlu_pro/validation.jsonl")
    for category in {row["category"] for row in test}:
        assert sum(row["category"] == category for row in examples) >= 2
    for row in examples:
        assert row["cot_content"].startswith("A: Let's think step by step. ")
        assert row["cot_content"].endswith(f" The answer is ({row['answer']}).")
        assert row["cot_content"].count("he answer is") == 1
    assert not {row["question_id"] for row in test} & {row["question_id"] for row in examples}


def test_gpqa_has_the_hubs_columns_and_nested_subsets() -> None:
    diamond, main, extended = (rows(f"gpqa/{name}.jsonl") for name in ("diamond", "main", "extended"))
    assert main[: len(diamond)] == diamond
    assert extended[: len(main)] == main
    assert len(diamond) < len(main) < len(extended)
    columns = [
        "Record ID",
        "Question",
        "Correct Answer",
        *INCORRECT_ANSWERS,
        "High-level domain",
        "Subdomain",
    ]
    for row in extended:
        assert list(row) == columns
        assert all(isinstance(cell, str) and cell for cell in row.values())
        assert row["High-level domain"] in {"Physics", "Chemistry", "Biology"}
        assert row["Record ID"].startswith("ours-")


@pytest.mark.parametrize("year", [2024, 2025])
def test_aime_has_the_hubs_columns(year: int) -> None:
    for row in rows(f"aime/{year}.jsonl"):
        assert list(row) == ["id", "problem", "answer"]
        assert re.fullmatch(rf"sample-{year}-(I|II)-\d", row["id"])
        assert row["answer"] == str(int(row["answer"]))
        assert 0 <= int(row["answer"]) <= 999
        assert len(row["problem"]) <= 400
        assert row["problem"].count("$") % 2 == 0
