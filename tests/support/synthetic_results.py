"""A small synthetic results folder with everything that a page can show, including a running and a broken run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from msgspec import structs

from evals.records import files, store
from tests.performance import make_board

DAY = 86_400.0
FIRST_START = 1_790_000_000.0


def update_card(path: Path, **changes: object) -> None:
    """Rewrite fields of a run's card."""
    store.write_card(path, structs.replace(store.read_card(path), **changes))


def write_checkpoints(
    results: Path, model: str = "intern/step", *, count: int = 6, samples: int = 400
) -> None:
    """Write checkpoints that improve, regress once, and end with a new version of the suite."""
    items = make_board.draw_items(np.random.default_rng(3), samples)
    for i, skill in enumerate(np.linspace(-0.4, 1.0, count)):
        name = f"{model}-{1000 * (i + 1):05}"
        make_board.write_run(
            results, "mmlu-pro", "official", name, items, skill - (1.6 if i == count - 3 else 0), 5000 + i
        )
        path = next(results.glob(f"mmlu-pro@*/{store.slug(name)}/*"))
        changes: dict[str, object] = {
            "started": FIRST_START + 5 * DAY * i,
            "finished": FIRST_START + 5 * DAY * i + 900,
        }
        if i == count - 1:
            changes["scorers"] = {"choice": "Choice(letter)@2"}
            changes["config"] = structs.replace(store.read_card(path).config, version="2")
        update_card(path, **changes)


def write_models(results: Path, *, models: int = 5, samples: int = 200) -> None:
    """Write runs of a few models on all suites under three protocols."""
    make_board.build(results, models=models, samples=samples, large=samples)


def write_running(results: Path, *, share: float = 0.6) -> Path:
    """Write a run in progress, whose records are JSON lines; returns its folder."""
    items = make_board.draw_items(np.random.default_rng(5), 300)
    make_board.write_run(results, "mmlu-pro", "official", "intern/at-work", items, 0.8, 6000)
    path = next(results.glob("mmlu-pro@*/intern-at-work/*"))
    records = list(store.Run(path).records())
    with (path / "records.jsonl").open("wb") as stream:
        for index, record in enumerate(records[: int(share * len(records))]):
            stream.write(
                files.encode(structs.replace(record, started=time.time() - 60 + 0.1 * index)) + b"\n"
            )
    (path / "records.parquet").unlink()
    update_card(
        path, status="running", finished=None, counts={}, coverage=0.0, estimates=(), started=time.time() - 60
    )
    return path


def write_broken(results: Path) -> Path:
    """Write a run with a truncated card; returns its folder."""
    path = results / "gpqa-diamond@2" / "torn" / "made-broken"
    path.mkdir(parents=True)
    (path / "card.json").write_text('{"format": 1, "run": "made-')
    return path


def write_all(results: Path) -> Path:
    """Write all of the above, and return the folder."""
    write_models(results)
    write_checkpoints(results)
    write_running(results)
    write_broken(results)
    return results


if __name__ == "__main__":
    print(write_all(Path(sys.argv[1])))
