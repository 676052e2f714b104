"""Benchmarks registered on the hub: data sets whose repository contains an `eval.yaml`, which lists the tasks.

Source: huggingface.co/docs/hub/eval-results; an entry's `task_id` is the id of a task in that file.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from evals import disk
from evals.records.card import Card

KNOWN_TASKS = {
    "gpqa:diamond": ("Idavidrein/gpqa", "diamond"),
    "hmmt:2026": ("MathArena/hmmt_feb_2026", "MathArena/hmmt_feb_2026"),
    "mmlu-pro": ("TIGER-Lab/MMLU-Pro", "mmlu_pro"),
}
"""Suite -> (data set, task id), so that these are known offline. HMMT's task is named by analogy with `MathArena/aime_2026`."""
MAX_BYTES = 1 << 20
"""Size limit in bytes for `eval.yaml`."""


def task_of(card: Card) -> tuple[str, str] | None:
    """Return the registered data set and task of a run; None if there is none or if the task is ambiguous."""
    if known := KNOWN_TASKS.get(card.config.suite):
        return known
    dataset, _, _ = card.source.partition("@")
    if card.data != "hub" or dataset.count("/") != 1:
        return None
    tasks = tasks_of(dataset)
    variant = _alphanumeric(card.config.suite.partition(":")[2])
    chosen = [task for task in tasks if _alphanumeric(task.rpartition("/")[2]) == variant] if variant else []
    (task, *others) = chosen or list(tasks) or [""]
    return (dataset, task) if task and not others else None


@cache
def tasks_of(dataset: str) -> tuple[str, ...]:
    """Return the ids of the tasks in a data set's `eval.yaml`; none if the file or the hub cannot be reached."""
    try:
        import yaml
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        return ()
    try:
        path = hf_hub_download(dataset, "eval.yaml", repo_type="dataset")
        content = yaml.safe_load(disk.read_small(Path(path), MAX_BYTES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError, yaml.YAMLError):
        return ()
    return tuple(filter(None, map(_task_id, content.get("tasks") or ()))) if isinstance(content, dict) else ()


def _task_id(task: Any) -> str:
    """Return the id of a task; empty if it is missing, too long or not printable."""
    id_ = task.get("id") if isinstance(task, dict) else None
    return id_ if isinstance(id_, str) and id_.isprintable() and len(id_) <= 200 else ""


def _alphanumeric(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
