"""Commands read files with random damage: they succeed or print a one-line message, without a traceback or a hang.

EVALS_FUZZ_S is the duration in seconds; every check runs a few seconds, the nightly run sets 600. Files that a command
must not write stay unchanged.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import Outcome, evals

SECONDS = float(os.environ.get("EVALS_FUZZ_S", "3"))
MAX_CPU_S = 5
"""Longest time of a command, in CPU seconds of this process, so that a busy machine does not matter."""
MAX_WALL_S = 6 * MAX_CPU_S
"""Longest wall time of a command."""
POLICY = '[[suite]]\nname = "aime:2025"\nmargin = 0.1\ntier = "critical"\n'
REQUEST = 'suites = ["aime:2025"]\nmodels = ["scripted:ANSWER: 1"]\nsample = true\n'
REPLIES = '{"id": "2025-I-1", "text": "ANSWER: 1"}\n{"id": "2025-I-2", "repeat": 0, "text": "2"}\n'
JUNK = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"{",
    b"[" * 3000,
    b'"' * 7,
    b"1e999",
    b"-1",
    b"9" * 400,
    b"null",
    b"\n",
)
JUNK += (b"\xed\xa0\x80", b"\\ud83d", b"NaN", b"true", b"../../", b"*", b"\x1b[2J", b"=" * 3, b"\r\n\r\n")


class CommandHangs(BaseException):
    """A command took too long; not an Exception, so that no command can handle it."""


@contextmanager
def deadline() -> Iterator[None]:
    """Raise CommandHangs in the body after the longest time of a command."""

    def on_signal(*_: object) -> None:
        raise CommandHangs

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, MAX_CPU_S),
        signal.ITIMER_REAL: (signal.SIGALRM, MAX_WALL_S),
    }
    before = {signum: signal.signal(signum, on_signal) for signum, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for signum, handler in before.items():
            signal.signal(signum, handler)


def mangle(content: bytes, random_source: random.Random) -> bytes:
    """Damage one or more parts of a file: flip a bit, truncate, delete, duplicate, insert or replace."""
    raw = bytearray(content)
    for _ in range(random_source.choice((1, 1, 1, 2, 5))):
        position = random_source.randrange(len(raw) + 1)
        match random_source.randrange(7):
            case 0 if raw:
                raw[position % len(raw)] ^= 1 << random_source.randrange(8)
            case 1:
                del raw[position:]
            case 2:
                del raw[position : position + random_source.choice((1, 7, 100))]
            case 3:
                raw[position:position] = random_source.choice(JUNK)
            case 4:
                raw[position:position] = raw[: random_source.randrange(len(raw) + 1)]
            case 5:
                raw[position : position + 3] = random_source.choice(JUNK)
            case _:
                digits = [i for i, byte in enumerate(raw) if 48 <= byte <= 57]
                if digits:
                    i = random_source.choice(digits)
                    raw[i : i + 1] = random_source.choice(
                        (b"-1", b"1e308", b"99999999999999999999", b'"x"', b"null")
                    )
    return bytes(raw)


def write_valid_files(folder: Path) -> None:
    """Fill a folder with two runs and one valid file of each kind that commands read."""
    results = folder / "results"
    for name, answer in (("one", "ANSWER: 1"), ("two", "ANSWER: 2")):
        arguments = ("--sample", "-m", f"scripted:{answer}", "--run", name, "--results", results)
        assert evals("run", "aime:2025", *arguments).status == 0
    assert evals("bundle", "one", folder / "b.zip", "--results", results).status == 0
    assert evals("gate", "baseline", "one", folder / "base.jsonl", "--results", results).status == 0
    (folder / "policy.toml").write_text(POLICY)
    (folder / "order.toml").write_text(REQUEST)
    (folder / "replies.jsonl").write_text(REPLIES)


@pytest.fixture(scope="module")
def source_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with valid files, which tests copy."""
    folder = tmp_path_factory.mktemp("whole")
    write_valid_files(folder)
    return folder


def run_folder(folder: Path) -> Path:
    """Return the folder of the run with id one."""
    (path,) = (folder / "results").glob("*/*/one")
    return path


TARGETS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("run/card.json", (("show",), ("show", "one", "--samples"), ("list", "runs"), ("compare", "one", "two"), ("score", "one"))),
    ("run/records.parquet", (("show", "one", "--samples"), ("compare", "one", "two"), ("bundle", "one", "out.zip"), ("score", "one"))),
    ("run/samples.parquet", (("show", "one", "--samples", "--json"), ("export", "csv", "one", "--out", "csv"), ("score", "one"))),
    ("b.zip", (("bundle", "verify", "b.zip"),)),
    ("base.jsonl", (("compare", "base.jsonl", "two"), ("gate", "two", "--baseline", "base.jsonl", "--policy", "policy.toml"))),
    ("policy.toml", (("gate", "two", "--baseline", "one", "--policy", "policy.toml"), ("gate", "plan", "policy.toml", "--baseline", "one", "--simulations", "100"))),
    ("order.toml", (("run", "order.toml"),)),
    ("replies.jsonl", (("import", "replies", "replies.jsonl", "--suite", "aime:2025", "--model", "m", "--sample"),)),
)  # fmt: skip
WRITING_COMMANDS = ("score", "run", "import")
VERIFY = ("bundle", "verify")
"""The command that has no option --results."""


def file_contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_command(folder: Path, arguments: tuple[str, ...]) -> Outcome:
    """Run a command on the results in a folder, with the deadline."""
    with deadline():
        return evals(*arguments, *(() if arguments[:2] == VERIFY else ("--results", folder / "results")))


@pytest.mark.parametrize("index", range(len(TARGETS)))
def test_damaged_files_cause_no_traceback_and_no_hang(
    source_folder: Path, tmp_path: Path, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, commands = TARGETS[index]
    # a damaged request may lack `sample`: the run then calls the hub, for minutes if it is unreachable
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    random_source = random.Random(int(os.environ.get("EVALS_FUZZ_SEED", "0")) * 1000 + index)
    end = time.monotonic() + SECONDS / len(TARGETS)
    count = 0
    while time.monotonic() < end or not count:
        folder = tmp_path / str(count)
        shutil.copytree(source_folder, folder)
        monkeypatch.chdir(folder)
        path = run_folder(folder) / name.removeprefix("run/") if name.startswith("run/") else folder / name
        content = mangle(path.read_bytes(), random_source)
        path.write_bytes(content)
        arguments = random_source.choice(commands)
        before = file_contents(folder)
        try:
            outcome = run_command(folder, arguments)
        except CommandHangs:
            pytest.fail(f"{arguments} hangs on {name}: {content[:2000]!r}")
        details = f"{arguments} on {name}: {content[:3000]!r}\n{outcome.err[-3000:]}"
        assert "Traceback" not in outcome.err, details
        assert outcome.status in (0, 1, 2, 3), details
        if outcome.status == 2 or arguments[0] not in WRITING_COMMANDS:
            after = file_contents(folder)
            changed = [file for file, raw in before.items() if after.get(file) != raw]
            assert not changed, (changed, details)
        shutil.rmtree(folder)
        count += 1
