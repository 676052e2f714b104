"""A second opinion: another harness's own code judges the replies that a run recorded.

Its pins clash with ours, so it runs in a Python of its own, as `PYTHON -I worker.py` (beside this module), in an empty
working folder, with none of this process's environment but what finds programs and word lists, and offline. Each reply
has a deadline and a bound on memory; what goes wrong with one is its verdict, not the end.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from evals import harness_environments as environments
from evals.errors import UsageError
from evals.verdicts.second_opinion.rules import PEERS, Rule

START_S = 300.0
"""For a harness to import itself from a cold disk."""
SECONDS = {"lm-eval": 10.0, "opencompass": 30.0}
"""For one reply; OpenCompass bounds its own symbolic comparison at 10 s."""
MEMORY_MIB = 4096
"""In addition to the memory of the harness itself."""
HERE = Path(__file__).parent
"""Where the worker and the rules lie that it runs."""
KEPT = ("PATH", "LANG", "LC_ALL", "NLTK_DATA", "LD_LIBRARY_PATH")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
LONGEST = 1 << 20
"""Bytes of a line that is read; the worker's own are below a tenth of that."""


class Asked(Struct, frozen=True):
    """One reply and its sample in the rule's columns."""

    reply: str
    doc: dict[str, Any]


class Judged(Struct, frozen=True):
    """The rule's score of a reply."""

    score: float | None
    """In our unit; None: it gave none, `why` says so."""
    answer: str = ""
    why: str = ""


class Opinion(Struct, frozen=True):
    """What a peer says of some replies."""

    source: str
    """Its rule and version."""
    verdicts: list[Judged]


class _First(Struct):
    version: str = ""
    fault: str = ""


_DECODE = msgspec.json.Decoder(Judged).decode


def interpreter(peer: str, given: Path | None) -> Path:
    """Find the Python that has a peer; raises UsageError that says how to make one."""
    if given is not None:
        if not os.access(given, os.X_OK) or given.is_dir():
            raise UsageError(f"--python {given}: no program there that could be run")
        return given.absolute()  # not resolved: a link within an environment is what makes it one
    if python := environments.python(peer):
        return python
    if find_spec(PEERS[peer]):
        return Path(sys.executable)
    raise UsageError(
        f"no {peer} on this machine; make it an environment of its own: {environments.recipe(peer)}"
    )


def ask(rule: Rule, asked: Iterable[Asked], python: Path) -> Opinion:
    """Score replies with a peer's rule; raises a one-line UsageError if it cannot run."""
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as errors:
        count = _write(lines, rule, asked)
        with tempfile.TemporaryDirectory() as folder, _worker(rule, python, folder, lines, errors) as process:
            answers = _lines(process, python, SECONDS[rule.peer])
            first = _first(rule, next(answers, b""), python, errors)
            verdicts = [_read(line, rule.scale, python) for line in answers]
        if len(verdicts) != count:
            raise UsageError(
                f"{python}: {rule.peer} ended after {len(verdicts)} of {count} replies{_last(errors)}"
            )
    return Opinion(f"{first.version}: {rule.name}", verdicts)


def _write(lines: IO[bytes], rule: Rule, asked: Iterable[Asked]) -> int:
    """Write the worker's input; returns the number of replies."""
    count, encode = 0, msgspec.json.Encoder().encode
    for item in asked:
        if not count:
            spec = {**rule.spec, "doc": item.doc}
            lines.write(
                encode({"rule": spec, "seconds": SECONDS[rule.peer], "memory_mib": MEMORY_MIB}) + b"\n"
            )
        lines.write(encode(item) + b"\n")
        count += 1
    lines.seek(0)
    return count


@contextmanager
def _worker(
    rule: Rule, python: Path, folder: str, lines: IO[bytes], errors: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the worker; it is gone at the end, with whatever it started."""
    command = [str(python), "-I", str(HERE / "worker.py"), str(HERE / f"of_{PEERS[rule.peer]}.py")]
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HOME": folder, "TMPDIR": folder, **OFFLINE}
    try:
        process = subprocess.Popen(
            command,
            stdin=lines,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"{python}: {error.strerror or error}") from None
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let the worker take its child along, then make sure."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(2.0)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _lines(process: subprocess.Popen[bytes], python: Path, seconds: float) -> Iterator[bytes]:
    """Yield the worker's lines; raises UsageError if it is silent for longer than it may be."""
    stream = process.stdout
    if stream is None:
        raise UsageError(f"{python}: started without a pipe")
    rest, patience = b"", START_S
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        while ready.select(patience):
            chunk = os.read(stream.fileno(), 1 << 16)
            *whole, rest = (rest + chunk).split(b"\n")
            if not chunk or len(rest) > LONGEST:
                return
            for line in whole:
                yield line
                patience = START_S + 256 * seconds  # a chunk of replies, each at its deadline
    raise UsageError(f"{python}: nothing came back for {patience:.0f} s")


def _first(rule: Rule, line: bytes, python: Path, errors: IO[bytes]) -> _First:
    try:
        first = msgspec.json.decode(line, type=_First)
    except msgspec.DecodeError:
        raise UsageError(f"{python}: it ended before it judged anything{_last(errors)}") from None
    if first.fault:
        missing = first.fault.startswith("ModuleNotFoundError")
        hint = f"; an environment that has all it needs: {environments.recipe(rule.peer)}" if missing else ""
        raise UsageError(f"{python}: {rule.peer} cannot judge by {rule.name}: {first.fault}{hint}")
    return first


def _last(errors: IO[bytes]) -> str:
    """Return the last line of standard error."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""


def _read(line: bytes, scale: float, python: Path) -> Judged:
    """Read a verdict; what a hostile reply got the peer's code to write instead is refused."""
    try:
        verdict = _DECODE(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(f"{python}: a line that came back is no verdict: {line[:80]!r}") from None
    if verdict.score is None:
        return verdict
    return Judged(verdict.score * scale, verdict.answer, verdict.why)
