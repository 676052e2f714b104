"""A board of recorded models of 12,032 replies each: submitted, ingested within the deadline, and its pages written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the extra `board` is not installed")

from evals.board.ingest import ingest
from evals.board.policy import Limits
from evals.board.site.write import write
from tests.suites.test_parity import recorded_rows
from tests.support import boards
from tests.support.command import evals

pytestmark = pytest.mark.slow
MODELS = {
    "Llama": "meta/llama-3.1-8b-instruct",
    "Mistral": "mistral/7b-instruct-v0.2",
    "gemini": "google/gemini-1.5-flash-002",
}


@pytest.fixture(scope="module")
def board(shared: Path, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import json

    folder = tmp_path_factory.mktemp("recorded")
    boards.write_board(
        folder / "board",
        protocol="official",
        imports=True,
        minimum_coverage=0.9,
        maximum_truncated=1.0,
        plausible_gain=0.5,
    )
    for name, model in MODELS.items():
        replies = folder / f"{name}.jsonl"
        rows = ({"id": row["question_id"], "text": row["text"]} for row in recorded_rows(shared, name))
        replies.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = evals(
            "import", "replies", replies, "--suite", "mmlu-pro", "--protocol", "official", "--model", name,
            "--data", mirror, "--results", folder / "results", "--run", name,
        )  # fmt: skip
        assert done.status == 0, done.err
        (folder / "card.toml").write_text(
            f'model = "{model}"\nrevision = "v1"\nweights = "open"\nlicence = "as published"\n'
            'training_data = "not stated"\ncontact = "https://github.com/TIGER-AI-Lab/MMLU-Pro"\n'
        )
        done = evals(
            "board", "submit", name, "--to", folder / "board", "--model-card", folder / "card.toml",
            "--results", folder / "results",
        )  # fmt: skip
        assert done.status == 0, done.out + done.err
    return folder / "board"


def test_each_entry_is_ingested_within_the_deadline(board: Path) -> None:
    began = time.monotonic()
    outcome = list(ingest(board))
    seconds = time.monotonic() - began
    print(f"{seconds / len(outcome):.1f} s an entry of 12,032 replies")
    assert [(result.status, result.reasons) for result in outcome] == [("accepted", ())] * len(MODELS)
    assert seconds < len(MODELS) * Limits().seconds


def test_its_pages_rank_the_models(board: Path, tmp_path: Path) -> None:
    if not (board / "results").exists():
        list(ingest(board))
    write(board, tmp_path / "site")
    page = (tmp_path / "site" / "suites" / "mmlu-pro@official.html").read_text()
    positions = [page.index(MODELS[name]) for name in ("gemini", "Llama", "Mistral")]
    assert positions == sorted(positions)
    assert "Reported results" in page
