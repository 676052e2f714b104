"""How much earlier models' results save: `python -m tests.performance.control` prints the table of docs/statistics.md.

Subsets of the three recorded MMLU-Pro runs, each adjusted by the two others; the truth is the run on all items.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evals.extract.upstream.letters import letter_mmlu_pro
from evals.report.metrics import accuracy
from evals.verdicts.control_variates import build_predictors, intervals
from tools.mirror import shared_folder


class Row(NamedTuple):
    """What was measured for one model."""

    model: str
    n: int
    variance_ratio: float
    """Observed variance of the adjusted estimates / that of the plain ones."""
    stated: float
    """Mean of the ratio that each estimate states."""
    coverage: float
    bias: float


class Recordings(NamedTuple):
    """Item results of several models, 0 or 1, and the items' categories."""

    results: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str]


def recorded(shared: Path) -> Recordings:
    """Read the recorded outputs, by the official reader."""
    folder = shared / "data" / "mmlu_pro"
    with gzip.open(folder / "test_items.jsonl.gz", "rt") as stream:
        items = {str(row["question_id"]): row for row in map(json.loads, stream)}
    results: dict[str, dict[str, float]] = {}
    for path in sorted((folder / "outputs").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            rows = json.loads(archive.read(archive.namelist()[0]))
        replies = {str(r["question_id"]): r.get("model_outputs", r.get("generated_text")) or "" for r in rows}
        results[path.stem.removeprefix("model_outputs_")] = {
            name: float(letter_mmlu_pro(reply) == items[name]["answer"])
            for name, reply in replies.items()
            if name in items
        }
    common = sorted(set.intersection(*(set(table) for table in results.values())))
    return Recordings(
        {model: {name: table[name] for name in common} for model, table in results.items()},
        {name: items[name]["category"] for name in common},
    )


def measure(recordings: Recordings, *, n: int, simulations: int) -> Iterator[Row]:
    """Draw subsets of each model's run and adjust them by the other models' runs."""
    groups = list(recordings.groups.values())
    tables = {model: np.array(list(table.values())) for model, table in recordings.results.items()}
    for model, own in tables.items():
        known = build_predictors([table for name, table in tables.items() if name != model], groups)
        rng, truth = np.random.default_rng(1), float(own.mean())
        found = []
        for _ in range(simulations):
            seen = rng.choice(len(own), n, replace=False)
            found.append(
                intervals(own[seen], seen, np.arange(n), known, metric=accuracy()[0], estimand="this-run")
            )
        estimates = np.array([adjusted.value for _, adjusted, _ in found])
        yield Row(
            model=model,
            n=n,
            variance_ratio=float(estimates.var() / np.var([plain.value for plain, _, _ in found])),
            stated=float(np.mean([ratio for _, _, ratio in found])),
            coverage=float(np.mean([low <= truth <= high for _, (_, low, high, _), _ in found])),  # type: ignore[operator]
            bias=float(estimates.mean()) - truth,
        )


def main() -> None:
    """Print the table."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("| model | n | variance / plain | as stated | coverage | bias |\n|---|--:|--:|--:|--:|--:|")
    for row in measure(recorded(shared_folder()), n=500, simulations=simulations):
        print(
            f"| {row.model} | {row.n} | {row.variance_ratio:.2f} | {row.stated:.2f} | {row.coverage:.3f} | {100 * row.bias:+.2f} |"
        )


if __name__ == "__main__":
    main()
