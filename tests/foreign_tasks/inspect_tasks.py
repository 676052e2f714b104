"""Inspect tasks on our sample items, run by Inspect's command; see `make_foreign.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import choice, match
from inspect_ai.solver import generate, multiple_choice

SAMPLES = Path(os.environ["SAMPLES"])


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / name).read_text(encoding="utf-8").splitlines()]


def mmlu_pro_data() -> MemoryDataset:
    return MemoryDataset(
        [
            Sample(input=row["question"], choices=row["options"], target=row["answer"], id=row["question_id"])
            for row in rows("mmlu_pro/test.jsonl")
        ],
        name="MMLU-Pro",
    )


@task
def mmlu_pro() -> Task:
    return Task(dataset=mmlu_pro_data(), solver=multiple_choice(cot=True), scorer=choice())


@task
def mmlu_pro_shuffled() -> Task:
    """MMLU-Pro with options shuffled by the solver, whose log states the original order."""
    return Task(dataset=mmlu_pro_data(), solver=multiple_choice(shuffle=Random(7)), scorer=choice())


@task
def gpqa_diamond() -> Task:
    """GPQA Diamond with options shuffled when the data set is read, and with ids other than those of our items."""
    data = MemoryDataset(
        [
            Sample(
                input=row["Question"],
                choices=[row["Correct Answer"], *(row[f"Incorrect Answer {n}"] for n in (1, 2, 3))],
                target="A",
                id=number,
            )
            for number, row in enumerate(rows("gpqa/diamond.jsonl"), 1)
        ]
    )
    data.shuffle_choices(seed=11)
    return Task(dataset=data, solver=multiple_choice(), scorer=choice())


@task
def aime2025() -> Task:
    data = [
        Sample(input=row["problem"], target=str(row["answer"]), id=row["id"])
        for row in rows("aime/2025.jsonl")
    ]
    return Task(dataset=MemoryDataset(data), solver=generate(), scorer=match(numeric=True))
