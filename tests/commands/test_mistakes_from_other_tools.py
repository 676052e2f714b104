"""Mistakes of users of other tools: one line that names the mistake and says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.records import store
from tests.support.command import evals

RUN = ("run", "mmlu-pro", "--sample", "-m")
RIGHT = "scripted:call=tests.support.answers:correct_answer"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RUN, "gemini:x"), "unknown model 'gemini:'; write google:NAME"),
        ((*RUN, "Claude:opus"), "unknown model 'Claude:'; write anthropic:NAME"),
        ((*RUN, "ollama:llama3"), "unknown model 'ollama:'; write server:http://HOST:PORT/v1#NAME"),
        ((*RUN, "server:"), "model 'server:' has no name: write server:http://HOST:PORT/v1#NAME"),
        ((*RUN, "localhost:8000"), "write server:http://localhost:8000/v1#NAME"),
        ((*RUN, "http://gpu7:8000/#m"), "write server:http://gpu7:8000/v1#m"),
        ((*RUN, "http://gpu7:8000/api/v1#m"), "write server:http://gpu7:8000/api/v1#m"),
        ((*RUN, "vllm:http://gpu7:8000/v1#m"), "for a running server, write server:http://gpu7:8000/v1#m"),
        (("claims", "list", "--suite", "nix"), "unknown suite with published numbers 'nix'"),
        (("list", "runs", "--results", "nix"), "there is no folder nix"),
    ],
)  # fmt: skip
def test_a_mistake_ends_with_a_one_line_message_that_corrects_it(
    here: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = evals(*arguments)
    assert refused.status == 2
    assert message in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("text", ['suite = "mmlu-pro"\n', "[suite.mmlu-pro]\nmargin = 0.1\n"])
def test_a_policy_without_a_list_of_suites_is_answered_with_the_correct_syntax(here: Path, text: str) -> None:
    Path("policy.toml").write_text(text)
    refused = evals("gate", "a", "--baseline", "b", "--policy", "policy.toml")
    assert refused.status == 2
    assert "policy policy.toml: write [[suite]]" in refused.err


def test_a_copy_of_a_run_without_its_card_is_not_overwritten(here: Path) -> None:
    evals(*RUN, RIGHT, "--run", "week1", "--quiet")
    (run,) = store.find(Path("results"), "week1")
    (run.path / "card.json").unlink()
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    refused = evals(*RUN, RIGHT, "--run", "week1", "--quiet")
    assert refused.status == 2
    assert "week1/card.json is missing: the run is incomplete, copy it again" in refused.err
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
