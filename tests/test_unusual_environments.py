"""Unusual arguments, home folders, texts and names: they work, or end with a one-line message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.records.store import Run
from evals.run.runner import Runner
from evals.types import Failure, Reply, Score
from tests.support import toy
from tests.support.command import evals

LONE_SURROGATE = "half \ud83d an emoji"


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", os.fsdecode(b"\xff")),
        ("run", os.fsdecode(b"gpqa\xfe"), "-m", "scripted:A"),
        ("run", "gpqa", "--sample", "-m", os.fsdecode(b"scripted:\xff\xfe")),
        ("run", "gpqa", "--sample", "-m", "scripted:A", "--results", os.fsdecode(b"r\xff")),
        ("run", os.fsdecode(b"\xff.toml")),
    ],
    ids=["run", "suite", "model", "folder", "file"],
)
def test_an_argument_that_is_not_utf_8_is_refused_with_a_one_line_message(
    here: Path, arguments: tuple[str, ...]
) -> None:
    evals(*arguments).assert_usage_error()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("call", ["../x:y", ".x:y", ":y", "os:", "os", "no.such:thing", "os:sep", "x/y:z"])
def test_a_wrong_scripted_function_is_refused_with_a_one_line_message(here: Path, call: str) -> None:
    evals("run", "aime", "--sample", "-m", f"scripted:call={call}").assert_usage_error()


def test_a_scripted_function_of_an_unknown_module_is_refused_with_the_remedy(here: Path) -> None:
    outcome = evals("run", "aime", "--sample", "-m", "scripted:call=no_such_module:reply")
    assert "PYTHONPATH" in outcome.error_line


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_with_closed_or_full_streams_is_completed_and_stays_finished(
    here: Path, redirection: str
) -> None:
    command = f'exec "$0" -c "from evals.cli import main; main()" "$@" {redirection}'
    arguments = ("run", "aime:2025", "--sample", "-m", "scripted:A", "--run", "one")
    for _ in range(2):  # the second command reuses the finished run
        ended = subprocess.run(
            ["sh", "-c", command, sys.executable, *arguments], capture_output=True, check=False
        )
        assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False)
        [run] = evals("show", "one", "--json").json["runs"]
        assert (run["coverage"], run["status"]) == (1, "finished")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("board", "init", "board", "mmlu-pro"), "(board/board.toml)"),
        (("new", "suite", "rivers"), "(rivers/"),
        (("run", "aime:2025", "--sample", "-m", "scripted:A"), "No usable temporary directory found in ["),
    ],
)
def test_on_a_full_disk_the_message_says_what_could_not_be_written(
    here: Path, arguments: tuple[str, ...], named: str
) -> None:
    command = 'ulimit -f 0; exec "$0" -c "from evals.cli import main; main()" "$@"'  # no file may grow
    ended = subprocess.run(
        ["sh", "-c", command, sys.executable, *arguments], capture_output=True, check=False, text=True
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert named in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
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
def test_a_user_without_a_home_folder_gets_no_traceback(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    # as for a user id without a user, and without HOME
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError):
        Path.home()
    outcome = evals(*arguments)
    assert "Traceback" not in outcome.err
    assert outcome.status in (0, 2), outcome.err


async def test_a_lone_surrogate_in_a_reply_becomes_a_replacement_character(tmp_path: Path) -> None:
    def score(sample: Any, prompt: Any, reply: Reply) -> Score:
        return Score(value=1.0, verdict="right", answer=reply.text, why=LONE_SURROGATE)

    job = toy.job(tmp_path, toy.suite(2, scorers={"score": score}))
    await Runner(load.function_model(lambda prompt: LONE_SURROGATE), [job]).run()
    toy.close_job(job)
    for record in Run(job.writer.path).records():
        assert not isinstance(record.outcome, Failure), record
        assert record.outcome.text == "half \ufffd an emoji"
        assert record.scores["score"].why == "half \ufffd an emoji"


def test_model_names_cannot_inject_markup_into_markdown(here: Path) -> None:
    markup = "<img src=x onerror=y>|[a](javascript:b)`*_"
    for run, answer in (("a", "1"), ("b", "2")):
        assert evals("run", "aime:2025", "--sample", "-m", f"scripted:{answer}", "--run", run).status == 0
        for card in Path("results").glob(f"*/*/{run}/card.json"):
            text = card.read_text()
            card.write_text(text.replace('"model": "scripted"', f'"model": {json.dumps(markup)}'))
    outcome = evals("compare", "a", "b", "--markdown")
    assert outcome.status == 0, outcome.err
    assert "img src=x onerror=y" in outcome.out
    assert not any(part in outcome.out for part in ("<img", "[a](", "|[a]"))
