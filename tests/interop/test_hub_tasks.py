"""Registered benchmarks are found in the `eval.yaml` of data sets, through the hub's client and a local stand-in hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")

from evals.interop import hub_tasks
from evals.records.card import Card, Config
from evals.types import Sampling
from tests.support import hub
from tests.support.paths import ROOT


def card(suite: str, source: str = "", data: str = "hub") -> Card:
    config = Config(
        suite=suite,
        version="1",
        protocol="strict",
        data_sha256="0",
        model="m",
        sampling=Sampling(),
        seed=0,
        repeats=1,
    )
    return Card(run="r", config=config, model="m", source=source, data=data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suite", "source", "data", "task"),
    [
        ("strange:hard", "org/coded@abc", "hub", ("org/coded", "coded/hard")),
        ("strange", "org/coded@abc", "hub", None),  # two tasks are possible
        ("strange:other", "org/coded", "hub", None),
        ("strange:hard", "org/missing", "hub", None),
        ("strange:hard", "org/gated", "hub", None),
        ("strange:hard", "items.jsonl", "local", None),
        ("mmlu-pro", "items.jsonl", "local", ("TIGER-Lab/MMLU-Pro", "mmlu_pro")),
    ],
)
def test_the_task_of_a_suite_is_found_in_its_data_set_on_the_hub(
    tmp_path: Path, suite: str, source: str, data: str, task: tuple[str, str] | None
) -> None:
    program = (
        "import sys; from tests.interop.test_hub_tasks import card; from evals.interop.hub_tasks import task_of;"
        "print(task_of(card(*sys.argv[1:])))"
    )
    with hub.serve() as address:
        env = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
        env |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        process = subprocess.run(
            [sys.executable, "-c", program, suite, source, data],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
    assert process.stdout.strip() == str(task)


def test_without_the_hub_the_built_in_tasks_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub_tasks.tasks_of.cache_clear()
    assert hub_tasks.task_of(card("gpqa:diamond")) == ("Idavidrein/gpqa", "diamond")
