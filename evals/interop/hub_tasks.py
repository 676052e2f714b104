"""Benchmarks that the hub has registered: a data set is one if its repository holds `eval.yaml`, which lists its tasks.

Source: huggingface.co/docs/hub/eval-results; an entry's `task_id` is the id of a task in that file.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from evals import disk
from evals.records.card import Card

KNOWN = {
    "gpqa:diamond": ("Idavidrein/gpqa", "diamond"),
    "hmmt:2026": ("MathArena/hmmt_feb_2026", "MathArena/hmmt_feb_2026"),
    "mmlu-pro": ("TIGER-Lab/MMLU-Pro", "mmlu_pro"),
}
"""Suite -> data set and task, for use without the hub. HMMT's task is named by analogy with `MathArena/aime_2026`."""
MAXIMUM = 1 << 20
"""Largest size of `eval.yaml` in bytes."""


def task_of(card: Card) -> tuple[str, str] | None:
    """Return the registered data set and task of a run; None if there is none, or if several tasks may be meant."""
    if known := KNOWN.get(card.config.suite):
        return known
    dataset, _, _ = card.source.partition("@")
    if card.data != "hub" or dataset.count("/") != 1:
        return None
    tasks = tasks_of(dataset)
    variant = _plain(card.config.suite.partition(":")[2])
    chosen = [task for task in tasks if _plain(task.rpartition("/")[2]) == variant] if variant else []
    (task, *others) = chosen or list(tasks) or [""]
    return (dataset, task) if task and not others else None


@cache
def tasks_of(dataset: str) -> tuple[str, ...]:
    """Return the ids of the tasks in a data set's `eval.yaml`; none if it has no such file or the hub cannot be reached."""
    try:
        import yaml
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        return ()
    try:
        path = hf_hub_download(dataset, "eval.yaml", repo_type="dataset")
        stated = yaml.safe_load(disk.read_small(Path(path), MAXIMUM))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError, yaml.YAMLError):
        return ()
    return tuple(filter(None, map(_id, stated.get("tasks") or ()))) if isinstance(stated, dict) else ()


def _id(task: Any) -> str:
    """Return the id of a task, one line of bounded length; empty if it has none."""
    name = task.get("id") if isinstance(task, dict) else None
    return name if isinstance(name, str) and name.isprintable() and len(name) <= 200 else ""


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
