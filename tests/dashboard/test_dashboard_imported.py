"""Imported runs: the question is kept when the data set was at hand, and of a gated suite never."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evals.records.store import Run
from tests.support import command

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.foreign import media
from evals.dashboard.tables import sample as samples
from evals.types import Media
from tests.support.dashboard_runs import entry, run
from tests.support.paths import ROOT


def imported(folder: Path, suite: str, *data: str | Path) -> Path:
    """Import replies without prompts to a suite's bundled items, read from `data`; returns the results folder."""
    results = folder / "results"
    run(results, suite, "ANSWER: A", "asked")
    names = [sample.id for sample in Run(entry(results, "asked").path).samples()]
    replies = folder / "replies.jsonl"
    replies.write_text("".join(json.dumps({"id": name, "text": "ANSWER: B"}) + "\n" for name in names))
    done = command.evals(
        "import", "replies", replies, "--suite", suite, "--model", "theirs", *(data or ("--sample",)),
        "--results", results, "--run", "theirs",
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
    assert found.prompt_text
    assert samples.answer_span(found) == (8, 9)
    asked = samples.item(entry(one.path.parents[2], "asked"), name)
    assert asked is not None
    assert asked.sample is not None
    assert not asked.sample.question  # its prompt is in the record
    assert found.prompt_text in asked.prompt_text


def test_the_question_of_a_gated_suite_is_not_kept(tmp_path: Path) -> None:
    one = entry(imported(tmp_path, "gpqa:diamond"), "theirs")
    assert not any(sample.question for sample in Run(one.path).samples())


def test_the_pictures_of_an_imported_question_are_kept_if_they_are_at_hand(tmp_path: Path) -> None:
    theirs = entry(imported(tmp_path, "chartqa:human"), "theirs")
    kept = [
        part for sample in Run(theirs.path).samples() for part in sample.question if isinstance(part, Media)
    ]
    assert len(kept) == len(list(Run(theirs.path).samples()))
    assert all(media.read(theirs.path, part).startswith(b"\x89PNG") for part in kept)
    own = {sample.id: sample.cluster for sample in Run(entry(tmp_path / "results", "asked").path).samples()}
    assert own.keys() == {sample.id for sample in Run(theirs.path).samples()}


def test_questions_are_kept_without_pictures_that_are_missing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(ROOT / "suites" / "samples" / "chartqa" / "items.jsonl", data)
    theirs = entry(imported(tmp_path, "chartqa:human", "--data", data), "theirs")
    parts = [part for sample in Run(theirs.path).samples() for part in sample.question]
    assert parts
    assert not any(isinstance(part, Media) for part in parts)
