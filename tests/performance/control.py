"""Measure by how much control variates, the results of other models on all items, reduce the variance of a subset's score.

`python -m tests.performance.control` prints the table on `--control` in docs/statistics.md.

Draws subsets of the three recorded MMLU-Pro runs and adjusts each by the two other runs; the true value is the score on
all items.
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
    """Figures of one model: a row of the table."""

    model: str
    n: int
    variance_ratio: float
    """Observed variance of the adjusted estimates relative to the unadjusted ones."""
    reported_ratio: float
    """Mean of the variance ratios that the estimates report."""
    coverage: float
    bias: float


class Recordings(NamedTuple):
    """Item results of several models, 0 or 1, and the items' categories."""

    results: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str]


def read_recordings(shared: Path) -> Recordings:
    """Read the recorded outputs and score them with the official answer extraction."""
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
    common = sorted(set.intersection(*(set(scores) for scores in results.values())))
    return Recordings(
        {model: {name: scores[name] for name in common} for model, scores in results.items()},
        {name: items[name]["category"] for name in common},
    )


def measure(recordings: Recordings, *, n: int, simulations: int) -> Iterator[Row]:
    """Draw subsets of each model's run and adjust them by the other models' runs."""
    groups = list(recordings.groups.values())
    scores = {model: np.array(list(by_item.values())) for model, by_item in recordings.results.items()}
    for model, own_scores in scores.items():
        predictors = build_predictors([other for name, other in scores.items() if name != model], groups)
        rng, truth = np.random.default_rng(1), float(own_scores.mean())
        results = []
        for _ in range(simulations):
            subset = rng.choice(len(own_scores), n, replace=False)
            results.append(
                intervals(
                    own_scores[subset],
                    subset,
                    np.arange(n),
                    predictors,
                    metric=accuracy()[0],
                    estimand="this-run",
                )
            )
        estimates = np.array([adjusted.value for _, adjusted, _ in results])
        yield Row(
            model=model,
            n=n,
            variance_ratio=float(
                estimates.var() / np.var([unadjusted.value for unadjusted, _, _ in results])
            ),
            reported_ratio=float(np.mean([ratio for _, _, ratio in results])),
            coverage=float(np.mean([low <= truth <= high for _, (_, low, high, _), _ in results])),  # type: ignore[operator]
            bias=float(estimates.mean()) - truth,
        )


def main() -> None:
    """Print the table."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("| model | n | variance / plain | as stated | coverage | bias |\n|---|--:|--:|--:|--:|--:|")
    for row in measure(read_recordings(shared_folder()), n=500, simulations=simulations):
        print(
            f"| {row.model} | {row.n} | {row.variance_ratio:.2f} | {row.reported_ratio:.2f} | {row.coverage:.3f} | {100 * row.bias:+.2f} |"
        )


if __name__ == "__main__":
    main()
