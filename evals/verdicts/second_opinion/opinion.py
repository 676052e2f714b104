"""Score recorded replies with the code of another harness, a peer, in a separate Python environment.

A peer's dependencies clash with ours, so `worker.py` runs in the other environment's interpreter (`PYTHON -I worker.py`),
offline, in an empty working folder and with a minimal environment. Each reply has a deadline and a memory limit; a
failure is recorded for that reply only.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
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
from evals.verdicts.second_opinion.worker import CHUNK

START_DEADLINE_S = 300.0
"""Seconds that the harness may take to start, with imports from a cold disk."""
REPLY_DEADLINE_S = {"lm-eval": 10.0, "opencompass": 30.0, "scieval": 10.0}
"""Seconds for one reply, or for a batch if the rule scores in batches; OpenCompass itself limits a symbolic comparison to 10 s."""
MEMORY_MIB = 4096
"""Memory that scoring may use beyond that of the imported harness."""
WORKER_FOLDER = Path(__file__).parent
"""Folder of the worker and of the rules that it runs."""
INHERITED_VARIABLES = ("PATH", "LANG", "LC_ALL", "NLTK_DATA", "LD_LIBRARY_PATH")
OFFLINE_VARIABLES = {
    "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1",
}  # fmt: skip
MAX_LINE_BYTES = 1 << 20
"""Maximum length of a line from the worker; normal lines are less than a tenth as long."""


class RecordedReply(Struct, frozen=True):
    """A reply, and its sample as the columns that the rule reads."""

    reply: str
    doc: dict[str, Any]


class PeerVerdict(Struct, frozen=True):
    """The verdict on a reply by a peer's rule, or by the source of an imported run."""

    score: float | None
    """In the unit of our score; None: the rule gave no score, for the reason in `why`."""
    answer: str = ""
    why: str = ""


class Opinion(Struct, frozen=True):
    """A peer's verdicts on recorded replies."""

    source: str
    """Version of the peer, and name of the rule."""
    verdicts: list[PeerVerdict]


class _Greeting(Struct):
    version: str = ""
    fault: str = ""


_VERDICT_DECODER = msgspec.json.Decoder(PeerVerdict)


def interpreter(peer: str, python: Path | None) -> Path:
    """Return `python` if given, else an interpreter that has the peer installed; raises a UsageError that says what to do."""
    if python is not None:
        if not os.access(python, os.X_OK) or python.is_dir():
            raise UsageError(f"--python {python}: not an executable program")
        return python.absolute()  # not resolved: in a virtual environment it is a symbolic link
    if known := environments.interpreter(peer):
        return known
    if find_spec(PEERS[peer]):
        return Path(sys.executable)
    raise UsageError(
        f"{peer} is not installed; create an environment for it: {environments.install_commands(peer)}"
    )


def score_replies(rule: Rule, replies: Iterable[RecordedReply], python: Path) -> Opinion:
    """Score replies with a peer's rule; raises UsageError if it cannot run."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as errors:
        count = _write_replies(stdin, rule, replies)
        with tempfile.TemporaryDirectory() as folder, _worker(rule, python, folder, stdin, errors) as process:
            output = _worker_lines(process, python, REPLY_DEADLINE_S[rule.peer])
            greeting = _read_greeting(rule, next(output, b""), python, errors)
            verdicts = [_read_verdict(line, rule.scale, python) for line in output]
        if len(verdicts) != count:
            raise UsageError(
                f"{python}: {rule.peer} ended after {len(verdicts)} of {count} replies{_last_error_line(errors)}"
            )
    return Opinion(f"{greeting.version}: {rule.name}", verdicts)


def _write_replies(stdin: IO[bytes], rule: Rule, replies: Iterable[RecordedReply]) -> int:
    count, encode = 0, msgspec.json.Encoder().encode
    for reply in replies:
        if not count:
            spec = {**rule.spec, "doc": reply.doc}
            stdin.write(
                encode({"rule": spec, "seconds": REPLY_DEADLINE_S[rule.peer], "memory_mib": MEMORY_MIB})
                + b"\n"
            )
        stdin.write(encode(reply) + b"\n")
        count += 1
    stdin.seek(0)
    return count


@contextmanager
def _worker(
    rule: Rule, python: Path, folder: str, stdin: IO[bytes], errors: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the worker; at the end, stop it and all processes that it started."""
    process = None
    try:
        with _interrupts_deferred():
            process = _start_worker(rule, python, folder, stdin, errors)
        yield process
    finally:
        if process is not None:
            _stop_worker(process)


def _start_worker(
    rule: Rule, python: Path, folder: str, stdin: IO[bytes], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    scripts = (WORKER_FOLDER / "worker.py", WORKER_FOLDER / f"of_{PEERS[rule.peer]}.py")
    environment = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    environment |= {"HOME": folder, "TMPDIR": folder, **OFFLINE_VARIABLES}
    try:
        return subprocess.Popen(
            [str(python), "-I", *map(str, scripts)], stdin=stdin, stdout=subprocess.PIPE, stderr=errors,
            cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"{python}: {error.strerror or error}") from None


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Deliver Ctrl-C only after the block: during `Popen` it would leave behind a process that nothing stops."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
        yield
        return
    received: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda signum, _: received.append(signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
    if received:
        signal.raise_signal(signal.SIGINT)


def _stop_worker(process: subprocess.Popen[bytes]) -> None:
    """Terminate the worker, which ends its child, then kill the process group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(2.0)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _worker_lines(process: subprocess.Popen[bytes], python: Path, seconds: float) -> Iterator[bytes]:
    """Yield the lines that the worker prints; raises UsageError if none arrives before the deadline."""
    stream = process.stdout
    if stream is None:
        raise UsageError(f"{python}: started without a pipe")
    remainder, deadline = b"", START_DEADLINE_S
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while selector.select(deadline):
            chunk = os.read(stream.fileno(), 1 << 16)
            *complete_lines, remainder = (remainder + chunk).split(b"\n")
            if not chunk or len(remainder) > MAX_LINE_BYTES:
                return
            for line in complete_lines:
                yield line
                deadline = START_DEADLINE_S + CHUNK * seconds  # a chunk of replies, each at its deadline
    raise UsageError(f"{python}: no output for {deadline:.0f} s")


def _read_greeting(rule: Rule, line: bytes, python: Path, errors: IO[bytes]) -> _Greeting:
    try:
        greeting = msgspec.json.decode(line, type=_Greeting)
    except msgspec.DecodeError:
        raise UsageError(f"{python}: the worker did not start properly{_last_error_line(errors)}") from None
    if greeting.fault:
        missing = greeting.fault.startswith("ModuleNotFoundError")
        hint = (
            f"; create an environment for it: {environments.install_commands(rule.peer)}" if missing else ""
        )
        raise UsageError(f"{python}: {rule.peer} cannot apply rule {rule.name}: {greeting.fault}{hint}")
    return greeting


def _last_error_line(errors: IO[bytes]) -> str:
    """Return a colon and the last line of standard error; empty if there is none."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""


def _read_verdict(line: bytes, scale: float, python: Path) -> PeerVerdict:
    """Decode a verdict from the worker; raises UsageError if it is malformed, which a hostile reply may have caused."""
    try:
        verdict = _VERDICT_DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(f"{python}: malformed verdict in the worker's output: {line[:80]!r}") from None
    if verdict.score is None:
        return verdict
    return PeerVerdict(verdict.score * scale, verdict.answer, verdict.why)
