"""A folder or name that matches several runs: refused with their list; with --latest, the newest by its card, which is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evals.records import store
from tests.support.command import evals

RIGHT = "scripted:call=tests.support.answers:correct_answer"
FAILING = "scripted:call=tests.support.answers:heap_question_rejected"


@pytest.fixture
def folder(here: Path) -> Path:
    """Return a folder with three runs of one suite, made in this order; the file of the oldest card is the newest."""
    for run, model in (("first", RIGHT), ("second", RIGHT), ("third", FAILING)):
        evals("run", "mmlu-pro", "--sample", "-m", model, "--run", run, "--quiet", "--fresh")
    (oldest,) = store.find(Path("results"), "first")
    os.utime(oldest.path / "card.json", (2e9, 2e9))
    (here / "policy.toml").write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.2\n')
    return here


@pytest.mark.parametrize(
    "arguments",
    [
        ("gate", "third", "--baseline", "results", "--policy", "policy.toml"),
        ("gate", "results", "--baseline", "third", "--policy", "policy.toml"),
        ("gate", "plan", "policy.toml", "--baseline", "results"),
        ("gate", "baseline", "results", "base.jsonl"),
        ("compare", "third", "results"),
    ],
    ids=["gate baseline", "gate candidate", "gate plan", "gate baseline file", "compare"],
)
def test_a_folder_with_several_runs_is_refused_with_their_list(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    evals(*arguments).assert_usage_error()


@pytest.mark.parametrize(
    "arguments",
    [
        ("bundle", "results", "out.zip"),
        ("audit", "results"),
        ("run", "mmlu-pro", "--sample", "-m", "replay:results"),
        ("run", "mmlu-pro", "--sample", "-m", RIGHT, "--until-decided", "--against", "results", "--policy", "policy.toml"),
    ],
    ids=["bundle", "audit", "replay", "until decided"],
)  # fmt: skip
def test_commands_without_latest_do_not_offer_it(folder: Path, arguments: tuple[str, ...]) -> None:
    refused = evals(*arguments)
    refused.assert_usage_error()
    assert "--latest" not in refused.err
    assert not list(folder.glob("*.zip"))


def test_latest_is_the_newest_run_by_its_card_other_than_the_candidate(folder: Path) -> None:
    arguments = ("--baseline", "results", "--latest", "--policy", "policy.toml")
    assert "candidate first, baseline third" in evals("gate", "first", *arguments).out
    assert "candidate third, baseline second" in evals("gate", "third", *arguments).out
    assert "(second)" in evals("compare", "third", "results", "--latest").out
    assert "samples of third" in evals("gate", "baseline", "results", "base.jsonl", "--latest").out


def test_latest_may_be_a_run_of_another_model_with_the_candidate_s_id(folder: Path) -> None:
    (candidate,) = store.find(Path("results"), "first")
    evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--run", "first", "--quiet")
    compared = evals("compare", str(candidate.path), "results", "--latest")
    assert compared.status == 0, compared.err
    assert "careful" in compared.out


def test_comparing_more_sides_than_there_are_runs_is_refused_in_one_line(folder: Path) -> None:
    refused = evals("compare", "results", "results", "results", "results", "--latest")
    refused.assert_usage_error()
    assert refused.out == ""
