"""Imported runs: the question is kept when the data set was at hand, and of a gated suite never."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.records.store import Run
from tests.support import command

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import sample as samples
from tests.support.dashboard_runs import entry, run


def imported(folder: Path, suite: str) -> Path:
    """Import replies without prompts to the bundled items of a suite; returns the run's folder."""
    results = folder / "results"
    run(results, suite, "ANSWER: A", "asked")
    names = [sample.id for sample in Run(entry(results, "asked").path).samples()]
    replies = folder / "replies.jsonl"
    replies.write_text("".join(json.dumps({"id": name, "text": "ANSWER: B"}) + "\n" for name in names))
    done = command.evals(
        "import", "replies", replies, "--suite", suite, "--model", "theirs", "--sample", "--results", results,
        "--run", "theirs",
    )  # fmt: skip
    assert done.status in (0, 1), done.err
    return results


def test_the_question_of_an_imported_run_is_shown(tmp_path: Path) -> None:
    one = entry(imported(tmp_path, "mmlu-pro"), "theirs")
    name = next(iter(Run(one.path).samples())).id
    found = samples.item(one, name)
    assert found is not None
    assert found.prompt is not None
    assert not found.prompt.messages
    assert found.sample is not None
    assert found.sample.question
    assert found.asked
    assert samples.where_read(found) == (8, 9)
    asked = samples.item(entry(one.path.parents[2], "asked"), name)
    assert asked is not None
    assert asked.sample is not None
    assert not asked.sample.question  # its prompt is in the record
    assert found.asked in asked.asked


def test_the_question_of_a_gated_suite_is_not_kept(tmp_path: Path) -> None:
    one = entry(imported(tmp_path, "gpqa:diamond"), "theirs")
    assert not any(sample.question for sample in Run(one.path).samples())
