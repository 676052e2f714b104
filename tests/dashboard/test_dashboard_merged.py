"""Merged models and their experts on one leaderboard, with the mean of the models that have all columns."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")
pytest.importorskip("PIL")

import evals as project
from evals.dashboard.tables import frames, leaderboard
from evals.model_adapters.scripted import Scripted
from evals.records import store
from tests.support.command import evals

pytestmark = pytest.mark.slow  # running the suites takes seconds


def test_merged_models_and_experts_share_a_table(tmp_path: Path) -> None:
    vision_suites = [f"mergebench:{column}" for column in ("chartqa", "gqa", "textvqa", "vizwiz", "ocrvqa")]
    for name, reply, suites in (
        ("merged", "Answer: 7", ["mergebench"]),
        ("expert-vqa", "The answer is yes.", ["mergebench"]),
        ("expert-chart", "Answer: 8", vision_suites),
    ):
        project.evaluate(suites, Scripted(reply, name=name), sample=True, results=tmp_path, quiet=True)
    entries = [frames.Entry(path=run.path, card=run.card) for run in store.runs(tmp_path)]
    board = leaderboard.build(entries)
    assert [row.model for row in board.rows if not row.is_baseline] == [
        "expert-chart",
        "expert-vqa",
        "merged",
    ]
    (label,) = (label for label, column in board.columns.items() if column.suite == "mergebench")
    assert all(column.is_general for column in board.columns.values())  # none is a science suite
    means = {row.model: cell.estimate for row, cell in board.model_cells(label).items()}
    assert set(means) == {"merged", "expert-vqa"}  # the third model lacks suites
    (aggregate,) = (
        entry
        for entry in evals("show", "--results", tmp_path, "--json").json["aggregates"]
        if (entry["suite"], entry["model"]) == ("mergebench", "merged")
    )
    assert means["merged"].value == pytest.approx(aggregate["value"])
    assert (means["merged"].low, means["merged"].high) == (aggregate["low"], aggregate["high"])
    charts = board.model_cells(
        next(label for label, column in board.columns.items() if column.suite == "chartqa:human")
    )
    assert [row.model for row in charts] != []
    assert {row.model for row in charts} == {"merged", "expert-vqa", "expert-chart"}
