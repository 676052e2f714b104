"""Comparisons of real recordings, checked against short independent computations."""

from __future__ import annotations

import gc
import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.lazy import lazy
from tools import chembench_reports

contingency_tables = lazy("statsmodels.stats.contingency_tables")

pytestmark = pytest.mark.slow


def import_replies(folder: Path, mirror: Path, lines: list[dict[str, Any]], suite: str, name: str) -> None:
    """Import recorded replies as a run of this name."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ("--suite", suite, "--model", name, "--protocol", "official", "--data", mirror, "--run", name)
    assert evals("import", "replies", path, *arguments, "--results", folder / "results").status in (0, 1)


def compare(folder: Path, a: str, b: str) -> Any:
    """Return the JSON of a comparison of two runs."""
    outcome = evals("compare", a, b, "--results", folder / "results", "--json")
    assert outcome.status == 0, outcome.err
    return outcome.json


def expected_row(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    """Return the difference, wins, losses and McNemar's p-value of two tables id -> 0 or 1."""
    both = sorted(a.keys() & b.keys())
    wins = sum(b[i] > a[i] for i in both)
    losses = sum(b[i] < a[i] for i in both)
    p = float(contingency_tables.mcnemar([[0, wins], [losses, 0]], exact=False, correction=False).pvalue)
    return {"difference": (wins - losses) / len(both), "wins": wins, "losses": losses, "n": len(both), "p": p}


def check(row: dict[str, Any], expected: dict[str, float]) -> None:
    """Check a row of a comparison, with its p-value and interval within the error of the approximation."""
    exact = {key: value for key, value in expected.items() if key != "p"}
    assert {key: row[key] for key in exact} == pytest.approx(exact, abs=1e-9)
    # not exact: if a question occurs twice, the test is a clustered t test
    assert row["p"] == pytest.approx(expected["p"], rel=0.01)
    difference, n = row["difference"], expected["n"]
    error = np.sqrt((expected["wins"] + expected["losses"]) - n * difference**2) / n
    limits = (difference - 1.96 * error, difference + 1.96 * error)
    assert (row["low"], row["high"]) == pytest.approx(limits, abs=0.05 * error + 1e-4)


def letter(text: str) -> str | None:
    """Return the answer by the three patterns of MMLU-Pro's evaluate_from_api.py; the last one matches any single capital."""
    if match := re.search(r"answer is \(?([A-J])\)?", text):
        return match[1]
    # upstream's `.*[aA]nswer:\s*([A-J])` matches the last such letter of the first line with any
    for line in text.split("\n"):
        if letters := re.findall(r"[aA]nswer:\s*([A-J])", line):
            return letters[-1]
    return (re.findall(r"\b[A-J]\b", text) or [None])[-1]


def test_comparison_of_llama_and_gemini_on_mmlu_pro(tmp_path, mirror, shared):
    with gzip.open(mirror / "mmlu-pro" / "test.jsonl.gz", "rt") as stream:
        golds = {str(item["question_id"]): item["answer"] for item in map(json.loads, stream)}
    scores: dict[str, dict[str, float]] = {}
    for name in ("Llama-3_1-8B", "gemini-1.5-flash-002"):
        [path] = (shared / "data" / "mmlu_pro" / "outputs").glob(f"*{name}*.zip")
        with zipfile.ZipFile(path) as archive:
            rows = json.loads(archive.read(archive.namelist()[0]))
        texts = {str(r["question_id"]): r.get("model_outputs", r.get("generated_text")) or "" for r in rows}
        import_replies(tmp_path, mirror, [{"id": i, "text": t} for i, t in texts.items()], "mmlu-pro", name)
        scores[name] = {i: float(letter(text) == golds[i]) for i, text in texts.items()}
    comparison = compare(tmp_path, *scores)
    row = comparison["pairs"][0]
    check(row, expected_row(*scores.values()))
    assert (row["n"], row["coverage_b"]) == (12_012, pytest.approx(12_012 / 12_032))
    a, b = scores.values()
    missing = [i for i in a if i not in b]
    assert len(missing) == 20
    gain = sum(b[i] - a[i] for i in b)
    worst = (gain - sum(a[i] for i in missing)) / 12_032
    assert (row["worst"], row["best"]) == pytest.approx((worst, worst + 20 / 12_032), abs=1e-9)
    assert len([r for r in comparison["pairs"] if r["group"]]) == 14


@pytest.mark.alone
def test_two_full_runs_of_mmlu_pro_are_compared_in_two_seconds(tmp_path, mirror):
    with gzip.open(mirror / "mmlu-pro" / "test.jsonl.gz", "rt") as stream:
        names = [str(item["question_id"]) for item in map(json.loads, stream)]
    for name, letters in (("one", "ABCD"), ("two", "ABCE")):
        lines = [{"id": i, "text": f"The answer is ({letters[n % 4]})."} for n, i in enumerate(names)]
        import_replies(tmp_path, mirror, lines, "mmlu-pro", name)
    gc.collect()
    gc.freeze()  # so that objects of earlier tests are not scanned during the measurement
    try:
        assert_cpu_time(2, lambda: compare(tmp_path, "one", "two"))
    finally:
        gc.unfreeze()


def test_comparison_of_llama_and_gemma_on_chembench(tmp_path, mirror, shared):
    source = shared / "data" / "chembench"
    values = {}
    for name in ("llama3.1-8b-instruct", "gemma-2-9b-it"):
        lines = list(
            chembench_reports.replies(source / "reports" / f"{name}.jsonl.gz", source / "tasks.jsonl.gz")
        )
        import_replies(tmp_path, mirror, lines, "chembench:lamalab", name)
        arguments = ("--results", tmp_path / "results", "--samples", "--json")
        rows = evals("show", name, *arguments).json["samples"]
        values[name] = {row["id"]: row["value"] for row in rows if row["value"] is not None}
    row = compare(tmp_path, *values)["pairs"][0]
    check(row, expected_row(*values.values()))
    published = [
        chembench_reports.published_scores(
            source / "reports" / f"{name}.summary.json", source / "tasks.jsonl.gz"
        )
        for name in values
    ]
    published_difference = (sum(published[1].values()) - sum(published[0].values())) / 2788
    print(
        f"chembench:lamalab: ours {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}], authors {published_difference:+.4f}"
    )
    assert row["low"] < published_difference < row["high"]


def test_comparison_of_a_random_forest_and_a_language_model_on_matbench(tmp_path, mirror, shared):
    errors: dict[str, dict[str, dict[str, float]]] = {}
    table = mirror / "matbench" / "matbench_steels.jsonl"
    targets = {row["mbid"]: row["yield strength"] for row in map(json.loads, table.read_text().splitlines())}
    for name in ("rf", "gptchem"):
        with gzip.open(shared / "data" / "matbench" / "results" / name / "results.json.gz") as stream:
            folds = json.load(stream)["tasks"]["matbench_steels"]["results"]
        lines = [
            {"id": mbid, "text": f"Answer: {value!r}"}
            for fold in folds.values()
            for mbid, value in fold["data"].items()
        ]
        import_replies(tmp_path, mirror, lines, "matbench:steels", name)
        errors[name] = {
            fold: {mbid: abs(value - targets[mbid]) for mbid, value in parts["data"].items()}
            for fold, parts in folds.items()
        }
    row = compare(tmp_path, "rf", "gptchem")["pairs"][0]
    by_fold = {
        fold: [errors["gptchem"][fold][i] - e for i, e in part.items()] for fold, part in errors["rf"].items()
    }
    difference = np.mean([np.mean(values) for values in by_fold.values()])
    error = np.sqrt(sum(np.var(values, ddof=1) / len(values) for values in by_fold.values())) / 5
    print(f"matbench:steels: {row['difference']:+.3f} MPa [{row['low']:+.2f}, {row['high']:+.2f}]")
    assert row["difference"] == pytest.approx(difference, abs=1e-9)
    assert (row["low"], row["high"]) == pytest.approx(
        (difference - 1.97 * error, difference + 1.97 * error), abs=error / 4
    )
    assert (row["better"], row["unit"], row["n"]) == ("lower", "MPa", 312)
    worse = sum(value > 0 for values in by_fold.values() for value in values)
    assert row["losses"] == worse
