"""A board with published replies of three models, 12,032 each: submitted, ingested within the time limit, and rendered."""

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
        outcome = evals(
            "import", "replies", replies, "--suite", "mmlu-pro", "--protocol", "official", "--model", name,
            "--data", mirror, "--results", folder / "results", "--run", name,
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        (folder / "card.toml").write_text(
            f'model = "{model}"\nrevision = "v1"\nweights = "open"\nlicence = "as published"\n'
            'training_data = "not stated"\ncontact = "https://github.com/TIGER-AI-Lab/MMLU-Pro"\n'
        )
        outcome = evals(
            "board", "submit", name, "--to", folder / "board", "--model-card", folder / "card.toml",
            "--results", folder / "results",
        )  # fmt: skip
        assert outcome.status == 0, outcome.out + outcome.err
    return folder / "board"


def test_entries_are_ingested_within_the_time_limit(board: Path) -> None:
    start = time.monotonic()
    results = list(ingest(board))
    seconds = time.monotonic() - start
    print(f"{seconds / len(results):.1f} s per entry of 12,032 replies")
    assert [(result.status, result.reasons) for result in results] == [("accepted", ())] * len(MODELS)
    assert seconds < len(MODELS) * Limits().seconds


def test_the_page_of_the_suite_ranks_the_models(board: Path, tmp_path: Path) -> None:
    if not (board / "results").exists():
        list(ingest(board))
    write(board, tmp_path / "site")
    page = (tmp_path / "site" / "suites" / "mmlu-pro@official.html").read_text()
    positions = [page.index(MODELS[name]) for name in ("gemini", "Llama", "Mistral")]
    assert positions == sorted(positions)
    assert "Reported results" in page
