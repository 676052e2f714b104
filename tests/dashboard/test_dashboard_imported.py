"""Imported runs: questions are stored if the data are available, but never those of a gated suite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evals.records.store import Run
from tests.support import command

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import sample as samples
from evals.dashboard.untrusted import media
from evals.types import Media
from tests.support.dashboard_runs import entry, run
from tests.support.paths import ROOT


def import_replies(folder: Path, suite: str, *data: str | Path) -> Path:
    """Run a suite's bundled items, import replies to them without prompts, and return the results folder.

    The import reads the items from `data`; by default, the bundled ones.
    """
    results = folder / "results"
    run(results, suite, "ANSWER: A", "evaluated")
    ids = [sample.id for sample in Run(entry(results, "evaluated").path).samples()]
    replies = folder / "replies.jsonl"
    replies.write_text(
        "".join(json.dumps({"id": sample_id, "text": "ANSWER: B"}) + "\n" for sample_id in ids)
    )
    outcome = command.evals(
        "import", "replies", replies, "--suite", suite, "--model", "imported", *(data or ("--sample",)),
        "--results", results, "--run", "imported",
    )  # fmt: skip
    assert outcome.status in (0, 1), outcome.err
    return results


def test_the_question_of_an_imported_run_is_shown(tmp_path: Path) -> None:
    imported = entry(import_replies(tmp_path, "mmlu-pro"), "imported")
    sample_id = next(iter(Run(imported.path).samples())).id
    item = samples.item(imported, sample_id)
    assert item is not None
    assert item.prompt is not None
    assert not item.prompt.messages
    assert item.sample is not None
    assert item.sample.question
    assert item.prompt_text
    assert samples.answer_span(item) == (8, 9)
    evaluated = samples.item(entry(imported.path.parents[2], "evaluated"), sample_id)
    assert evaluated is not None
    assert evaluated.sample is not None
    assert not evaluated.sample.question  # its prompt is in the record
    assert item.prompt_text in evaluated.prompt_text


def test_questions_of_a_gated_suite_are_not_stored(tmp_path: Path) -> None:
    imported = entry(import_replies(tmp_path, "gpqa:diamond"), "imported")
    assert not any(sample.question for sample in Run(imported.path).samples())


def test_images_of_imported_questions_are_stored_if_the_data_contain_them(tmp_path: Path) -> None:
    imported = entry(import_replies(tmp_path, "chartqa:human"), "imported")
    images = [
        part for sample in Run(imported.path).samples() for part in sample.question if isinstance(part, Media)
    ]
    assert len(images) == len(list(Run(imported.path).samples()))
    assert all(media.read(imported.path, part).startswith(b"\x89PNG") for part in images)
    clusters = {
        sample.id: sample.cluster for sample in Run(entry(tmp_path / "results", "evaluated").path).samples()
    }
    assert clusters.keys() == {sample.id for sample in Run(imported.path).samples()}


def test_questions_are_stored_without_images_that_the_data_lack(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(ROOT / "suites" / "samples" / "chartqa" / "items.jsonl", data)
    imported = entry(import_replies(tmp_path, "chartqa:human", "--data", data), "imported")
    parts = [part for sample in Run(imported.path).samples() for part in sample.question]
    assert parts
    assert not any(isinstance(part, Media) for part in parts)
