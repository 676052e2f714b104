"""lighteval tasks on our sample items, with prompts like those of its own tasks; see `make_foreign.py`."""

from __future__ import annotations

import os
import random
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc

DATA = Path(os.environ["DATA"])
GOLD_POSITIONS = random.Random(3)


def multiple_choice_doc(question: str, options: list[str], gold: int, name: str) -> Doc:
    options_text = "\n".join(
        f"{letter}) {text}" for letter, text in zip(ascii_uppercase, options, strict=False)
    )
    query = f"Think step by step and end with 'Answer: $LETTER'.\n\n{question}\n\n{options_text}"
    letters = list(ascii_uppercase[: len(options)])
    return Doc(
        task_name=name, query=query, choices=letters, gold_index=gold, instruction="Think step by step."
    )


def mmlu_pro(line: dict[str, Any], task_name: str) -> Doc:
    return multiple_choice_doc(line["question"], line["options"], line["answer_index"], task_name)


def gpqa(line: dict[str, Any], task_name: str) -> Doc:
    options = [line[f"Incorrect Answer {n}"] for n in (1, 2, 3)]
    gold = GOLD_POSITIONS.randint(0, 3)
    options.insert(gold, line["Correct Answer"])
    return multiple_choice_doc(line["Question"], options, gold, task_name)


def aime(line: dict[str, Any], task_name: str) -> Doc:
    return Doc(task_name=task_name, query=line["problem"], choices=[line["answer"]], gold_index=0)


def task(name: str, prompt: Any, metric: Any) -> LightevalTaskConfig:
    return LightevalTaskConfig(
        name=name, prompt_function=prompt, hf_repo=str(DATA / name), hf_subset="default", hf_avail_splits=["test"],
        evaluation_splits=["test"], few_shots_split=None, few_shots_select=None, generation_size=512,
        stop_sequence=[], metrics=[metric], version=0,
    )  # fmt: skip


TASKS_TABLE = [
    task("mmlu_pro_ours", mmlu_pro, Metrics.gpqa_instruct_metric),
    task("gpqa_diamond_ours", gpqa, Metrics.gpqa_instruct_pass_at_k(sample_params={"k": 1, "n": 2})),
    task("aime25_ours", aime, Metrics.pass_at_k_math(sample_params={"k": 1, "n": 2})),
]
