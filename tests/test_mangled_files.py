"""Files mangled at random, over every command that reads them: one line or a whole answer, never a traceback or a hang.

EVALS_FUZZ_S says for how long; the short instance runs in every check, the nightly one sets 600. What a command is not
to write stays as it was, byte by byte.
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

SECONDS = float(os.environ.get("EVALS_FUZZ_S", "8"))
LONGEST_S = 5
"""Of one command, in seconds of this process' CPU time, whatever else the machine does; and `STUCK` times that by the clock."""
STUCK = 6
TOML = '[[suite]]\nname = "aime:2025"\nmargin = 0.1\ntier = "critical"\n'
ORDER = 'suites = ["aime:2025"]\nmodels = ["scripted:ANSWER: 1"]\nsample = true\n'
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


class Hung(BaseException):
    """A command took too long."""


@contextmanager
def deadline() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hung

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, LONGEST_S),
        signal.ITIMER_REAL: (signal.SIGALRM, STUCK * LONGEST_S),
    }
    before = {signum: signal.signal(signum, ring) for signum, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for signum, handler in before.items():
            signal.signal(signum, handler)


def mangled(content: bytes, draw: random.Random) -> bytes:
    """Flip, cut, double, splice or replace a part of a file."""
    raw = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.randrange(len(raw) + 1)
        match draw.randrange(7):
            case 0 if raw:
                raw[place % len(raw)] ^= 1 << draw.randrange(8)
            case 1:
                del raw[place:]
            case 2:
                del raw[place : place + draw.choice((1, 7, 100))]
            case 3:
                raw[place:place] = draw.choice(JUNK)
            case 4:
                raw[place:place] = raw[: draw.randrange(len(raw) + 1)]
            case 5:
                raw[place : place + 3] = draw.choice(JUNK)
            case _:
                digits = [i for i, byte in enumerate(raw) if 48 <= byte <= 57]
                if digits:
                    i = draw.choice(digits)
                    raw[i : i + 1] = draw.choice((b"-1", b"1e308", b"99999999999999999999", b'"x"', b"null"))
    return bytes(raw)


def make_whole(folder: Path) -> None:
    """Fill a folder with two runs and a file of every kind that commands read."""
    results = folder / "results"
    for name, answer in (("one", "ANSWER: 1"), ("two", "ANSWER: 2")):
        words = ("--sample", "-m", f"scripted:{answer}", "--run", name, "--results", results)
        assert evals("run", "aime:2025", *words).status == 0
    assert evals("bundle", "one", folder / "b.zip", "--results", results).status == 0
    assert evals("gate", "baseline", "one", folder / "base.jsonl", "--results", results).status == 0
    (folder / "policy.toml").write_text(TOML)
    (folder / "order.toml").write_text(ORDER)
    (folder / "replies.jsonl").write_text(REPLIES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    make_whole(folder)
    return folder


def one_run(folder: Path) -> Path:
    (found,) = (folder / "results").glob("*/*/one")
    return found


RESULTS = "--results"
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
WRITES = ("score", "run", "import")
NO_RESULTS = ("bundle", "verify")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_one(folder: Path, words: tuple[str, ...]) -> Outcome:
    with deadline():
        return evals(*words, *(() if words[:2] == NO_RESULTS else (RESULTS, folder / "results")))


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_mangled_files_are_one_line(
    made: Path, tmp_path: Path, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, commands = TARGETS[target]
    monkeypatch.setenv(
        "HF_HUB_OFFLINE", "1"
    )  # an order without `sample` asks the hub, for minutes where there is none
    draw = random.Random(int(os.environ.get("EVALS_FUZZ_SEED", "0")) * 1000 + target)
    until = time.monotonic() + SECONDS / len(TARGETS)
    count = 0
    while time.monotonic() < until or not count:
        folder = tmp_path / str(count)
        shutil.copytree(made, folder)
        monkeypatch.chdir(folder)
        path = one_run(folder) / name.removeprefix("run/") if name.startswith("run/") else folder / name
        content = mangled(path.read_bytes(), draw)
        path.write_bytes(content)
        words = draw.choice(commands)
        before = snapshot(folder)
        try:
            done = run_one(folder, words)
        except Hung:
            pytest.fail(f"{words} hangs on {name}: {content[:2000]!r}")
        what = f"{words} on {name}: {content[:3000]!r}\n{done.err[-3000:]}"
        assert "Traceback" not in done.err, what
        assert done.status in (0, 1, 2, 3), what
        if done.status == 2 or words[0] not in WRITES:
            after = snapshot(folder)
            changed = [one for one, raw in before.items() if after.get(one) != raw]
            assert not changed, (changed, what)
        shutil.rmtree(folder)
        count += 1
