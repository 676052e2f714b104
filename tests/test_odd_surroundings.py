"""Arguments, homes, texts and names as they are on odd machines: one line each, or read as meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.records.store import Run
from evals.run.runner import Runner
from evals.types import Failure, Reply, Score
from tests.support import toy
from tests.support.command import evals

HALF = "half \ud83d an emoji"


@pytest.mark.parametrize(
    "words",
    [
        ("show", os.fsdecode(b"\xff")),
        ("run", os.fsdecode(b"gpqa\xfe"), "-m", "scripted:A"),
        ("run", "gpqa", "--sample", "-m", os.fsdecode(b"scripted:\xff\xfe")),
        ("run", "gpqa", "--sample", "-m", "scripted:A", "--results", os.fsdecode(b"r\xff")),
        ("run", os.fsdecode(b"\xff.toml")),
    ],
)
def test_an_argument_that_is_not_utf_8_is_one_line(here: Path, words: tuple[str, ...]) -> None:
    assert evals(*words).error_line.startswith("an argument is not UTF-8")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("call", ["../x:y", ".x:y", ":y", "os:", "os", "no.such:thing", "os:sep", "x/y:z"])
def test_a_scripted_function_that_is_none_is_one_line(here: Path, call: str) -> None:
    assert (
        f"scripted:call={call}: "
        in evals("run", "aime", "--sample", "-m", f"scripted:call={call}").error_line
    )


@pytest.mark.parametrize(
    "words",
    [
        ("run", "aime:2025", "--sample", "-m", "scripted:A"),
        ("run", "aime:2025", "--sample", "-m", "hf:~somebody/weights"),
        ("run", "aime:2025", "--sample", "-m", "vllm:internlm/Intern-S1-mini"),
        ("show",),
        ("doctor",),
        ("list", "models"),
        ("serve", "vllm:~somebody/weights"),
    ],
)
def test_a_user_without_a_home_gets_no_traceback(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: path
    )  # as for a uid that no user has, without HOME
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError):
        Path.home()
    done = evals(*words)
    assert "Traceback" not in done.err
    assert done.status in (0, 2), done.err


async def test_half_an_emoji_in_a_reply_becomes_a_replacement_character(tmp_path: Path) -> None:
    def score(sample: Any, prompt: Any, reply: Reply) -> Score:
        return Score(value=1.0, verdict="right", answer=reply.text, why=HALF)

    job = toy.job(tmp_path, toy.suite(2, scorers={"score": score}))
    await Runner(load.function_model(lambda prompt: HALF), [job]).run()
    toy.close_job(job)
    for record in Run(job.writer.path).records():
        assert not isinstance(record.outcome, Failure), record
        assert record.outcome.text == "half \ufffd an emoji"
        assert record.scores["score"].why == "half \ufffd an emoji"


def test_names_of_models_are_plain_in_markdown(here: Path) -> None:
    evil = "<img src=x onerror=y>|[a](javascript:b)`*_"
    for run, answer in (("a", "1"), ("b", "2")):
        assert evals("run", "aime:2025", "--sample", "-m", f"scripted:{answer}", "--run", run).status == 0
        for card in Path("results").glob(f"*/*/{run}/card.json"):
            text = card.read_text()
            card.write_text(text.replace('"model": "scripted"', f'"model": {__import__("json").dumps(evil)}'))
    done = evals("compare", "a", "b", "--markdown")
    assert done.status == 0, done.err
    assert "img src=x onerror=y" in done.out
    assert not any(one in done.out for one in ("<img", "[a](", "|[a]"))
