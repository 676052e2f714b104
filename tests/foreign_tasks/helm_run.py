"""Run HELM's command with our sample items instead of the hub's MMLU-Pro and GPQA; see `make_foreign.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import datasets
from helm.benchmark.run import main
from helm.benchmark.scenarios import gpqa_scenario, mmlu_pro_scenario

SAMPLES = Path(os.environ["SAMPLES"])


def rows(name: str) -> datasets.Dataset:
    items = [json.loads(line) for line in (SAMPLES / name).read_text(encoding="utf-8").splitlines()]
    return datasets.Dataset.from_list(items)


def load_dataset(name: str, *_: Any, **__: Any) -> Any:
    if name == "Idavidrein/gpqa":
        return rows("gpqa/diamond.jsonl")
    return {split: rows(f"mmlu_pro/{split}.jsonl") for split in ("test", "validation")}


mmlu_pro_scenario.load_dataset = load_dataset
gpqa_scenario.datasets.load_dataset = load_dataset
main()
