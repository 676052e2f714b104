"""Comparisons of real recordings, and the same figures by a few lines that share nothing with ours."""

from __future__ import annotations

import gc
import gzip
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command import evals
from tests.support.lazy import lazy
from tools import chembench_reports

contingency_tables = lazy("statsmodels.stats.contingency_tables")

pytestmark = pytest.mark.slow


def imported(folder: Path, mirror: Path, lines: list[dict[str, Any]], suite: str, name: str) -> None:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ("--suite", suite, "--model", name, "--protocol", "official", "--data", mirror, "--run", name)
    assert evals("import", "replies", path, *words, "--results", folder / "results").status in (0, 1)


def compared(folder: Path, a: str, b: str) -> Any:
    found = evals("compare", a, b, "--results", folder / "results", "--json")
    assert found.status == 0, found.err
    return found.json


def by_hand(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    """Difference, discordant pairs and the score test of two tables id -> 0 or 1."""
    both = sorted(a.keys() & b.keys())
    wins = sum(b[i] > a[i] for i in both)
    losses = sum(b[i] < a[i] for i in both)
    p = float(contingency_tables.mcnemar([[0, wins], [losses, 0]], exact=False, correction=False).pvalue)
    return {"difference": (wins - losses) / len(both), "wins": wins, "losses": losses, "n": len(both), "p": p}


def check(row: dict[str, Any], want: dict[str, float]) -> None:
    exact = {key: value for key, value in want.items() if key != "p"}
    assert {key: row[key] for key in exact} == pytest.approx(exact, abs=1e-9)
    assert row["p"] == pytest.approx(
        want["p"], rel=0.01
    )  # a question that stands twice makes it a clustered t
    d, se = (
        row["difference"],
        np.sqrt((want["wins"] + want["losses"]) - want["n"] * row["difference"] ** 2) / want["n"],
    )
    assert (row["low"], row["high"]) == pytest.approx((d - 1.96 * se, d + 1.96 * se), abs=0.05 * se + 1e-4)


def letter(text: str) -> str | None:
    """MMLU-Pro's evaluate_from_api.py: three patterns, one after the other; the last reads any lone capital."""
    if found := re.search(r"answer is \(?([A-J])\)?", text):
        return found[1]
    for line in text.split(
        "\n"
    ):  # upstream's `.*[aA]nswer:\s*([A-J])`: the last one of the first line with any
        if stated := re.findall(r"[aA]nswer:\s*([A-J])", line):
            return stated[-1]
    return (re.findall(r"\b[A-J]\b", text) or [None])[-1]


def test_mmlu_pro_llama_against_gemini(tmp_path, mirror, shared):
    with gzip.open(mirror / "mmlu-pro" / "test.jsonl.gz", "rt") as stream:
        golds = {str(item["question_id"]): item["answer"] for item in map(json.loads, stream)}
    right: dict[str, dict[str, float]] = {}
    for name in ("Llama-3_1-8B", "gemini-1.5-flash-002"):
        [path] = (shared / "data" / "mmlu_pro" / "outputs").glob(f"*{name}*.zip")
        with zipfile.ZipFile(path) as archive:
            rows = json.loads(archive.read(archive.namelist()[0]))
        texts = {str(r["question_id"]): r.get("model_outputs", r.get("generated_text")) or "" for r in rows}
        imported(tmp_path, mirror, [{"id": i, "text": t} for i, t in texts.items()], "mmlu-pro", name)
        right[name] = {i: float(letter(text) == golds[i]) for i, text in texts.items()}
    found = compared(tmp_path, *right)
    row = found["pairs"][0]
    check(row, by_hand(*right.values()))
    assert (row["n"], row["coverage_b"]) == (12_012, pytest.approx(12_012 / 12_032))
    a, b = right.values()
    missing = [i for i in a if i not in b]
    assert len(missing) == 20
    together = sum(b[i] - a[i] for i in b)
    worst = (together - sum(a[i] for i in missing)) / 12_032
    assert (row["worst"], row["best"]) == pytest.approx((worst, worst + 20 / 12_032), abs=1e-9)
    assert len([r for r in found["pairs"] if r["group"]]) == 14


@pytest.mark.alone
def test_two_full_runs_of_mmlu_pro_are_compared_in_two_seconds(tmp_path, mirror):
    with gzip.open(mirror / "mmlu-pro" / "test.jsonl.gz", "rt") as stream:
        names = [str(item["question_id"]) for item in map(json.loads, stream)]
    for name, letters in (("one", "ABCD"), ("two", "ABCE")):
        lines = [{"id": i, "text": f"The answer is ({letters[n % 4]})."} for n, i in enumerate(names)]
        imported(tmp_path, mirror, lines, "mmlu-pro", name)
    spent = []
    gc.collect()
    gc.freeze()  # what a long session of tests holds is not the command's to walk
    try:
        for _ in range(2):
            started = time.process_time()
            compared(tmp_path, "one", "two")
            spent.append(time.process_time() - started)
    finally:
        gc.unfreeze()
    assert min(spent) < 2.0


def test_chembench_llama_against_gemma(tmp_path, mirror, shared):
    source = shared / "data" / "chembench"
    values = {}
    for name in ("llama3.1-8b-instruct", "gemma-2-9b-it"):
        lines = list(
            chembench_reports.replies(source / "reports" / f"{name}.jsonl.gz", source / "tasks.jsonl.gz")
        )
        imported(tmp_path, mirror, lines, "chembench:lamalab", name)
        words = ("--results", tmp_path / "results", "--samples", "--json")
        rows = evals("show", name, *words).json["samples"]
        values[name] = {one["id"]: one["value"] for one in rows if one["value"] is not None}
    row = compared(tmp_path, *values)["pairs"][0]
    check(row, by_hand(*values.values()))
    published = [
        chembench_reports.published(source / "reports" / f"{name}.summary.json", source / "tasks.jsonl.gz")
        for name in values
    ]
    by_authors = (sum(published[1].values()) - sum(published[0].values())) / 2788
    print(
        f"chembench:lamalab: ours {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}], authors {by_authors:+.4f}"
    )
    assert row["low"] < by_authors < row["high"]


def test_matbench_forest_against_language_model(tmp_path, mirror, shared):
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
        imported(tmp_path, mirror, lines, "matbench:steels", name)
        errors[name] = {
            fold: {mbid: abs(value - targets[mbid]) for mbid, value in parts["data"].items()}
            for fold, parts in folds.items()
        }
    row = compared(tmp_path, "rf", "gptchem")["pairs"][0]
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
