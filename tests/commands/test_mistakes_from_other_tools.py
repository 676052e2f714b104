"""Mistakes of users of other tools: one line that names the mistake and says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.records import store
from tests.support.command import evals

RUN = ("run", "mmlu-pro", "--sample", "-m")
RIGHT = "scripted:call=tests.support.answers:correct_answer"


@pytest.mark.parametrize(
    "arguments",
    [
        (*RUN, "gemini:x"),
        (*RUN, "Claude:opus"),
        (*RUN, "ollama:llama3"),
        (*RUN, "mock:"),
        (*RUN, "server:"),
        (*RUN, "localhost:8000"),
        (*RUN, "http://gpu7:8000/#m"),
        (*RUN, "http://gpu7:8000/api/v1#m"),
        (*RUN, "vllm:http://gpu7:8000/v1#m"),
        ("claims", "list", "--suite", "nix"),
        ("list", "runs", "--results", "nix"),
    ],
    ids=lambda arguments: " ".join(arguments[-2:]),
)  # fmt: skip
def test_a_mistake_ends_with_a_one_line_message_that_corrects_it(
    here: Path, arguments: tuple[str, ...]
) -> None:
    refused = evals(*arguments)
    refused.assert_usage_error()
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ['suite = "mmlu-pro"\n', "[suite.mmlu-pro]\nmargin = 0.1\n"], ids=["a string", "a table"]
)
def test_the_error_for_a_policy_without_a_list_of_suites_shows_the_correct_syntax(
    here: Path, text: str
) -> None:
    Path("policy.toml").write_text(text)
    evals("gate", "a", "--baseline", "b", "--policy", "policy.toml").assert_usage_error()


def test_a_copy_of_a_run_without_its_card_is_not_overwritten(here: Path) -> None:
    evals(*RUN, RIGHT, "--run", "week1", "--quiet")
    (run,) = store.find(Path("results"), "week1")
    (run.path / "card.json").unlink()
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    evals(*RUN, RIGHT, "--run", "week1", "--quiet").assert_usage_error()
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
