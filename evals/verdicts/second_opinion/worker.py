"""Run another harness's rule on recorded replies: `PYTHON -I worker.py RULES.py < lines`, in that harness's Python.

The first input line is {"rule": {...}, "seconds": N, "memory_mib": N}, every further line a reply,
{"reply": "...", "doc": {...}}. The first output line is {"version": "..."} or {"fault": "..."}, followed by one verdict
per reply, in order: {"score": number or null, "answer": "...", "why": "..."}.

Replies are untrusted, and so is the rule's code. The rule is imported once, and child processes score a few hundred
replies each. A kernel timer kills a child that hangs, and RLIMIT_AS limits its memory; a failure is recorded as the
verdict on that reply, and another child continues with the next reply. Only the standard library is used.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import IO, Any

CHUNK = 256
"""Number of replies per child process; forking takes tens of milliseconds."""
MAX_ANSWER_CHARS = 200
"""Maximum length of an answer."""
MAX_WHY_CHARS = 300
MAX_FILE_BYTES = 1 << 28
"""Maximum size of a file that a child may write."""

Json = dict[str, Any]


def main() -> None:
    """Score the replies on standard input; the harness's output goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _terminate)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr] # it is a TextIOWrapper
    header = json.loads(sys.stdin.readline())
    try:
        rule = runpy.run_path(sys.argv[1])["open_rule"](header["rule"])
    except BaseException as error:  # noqa: BLE001 - boundary to the other harness: any error is reported
        print(json.dumps({"fault": f"{type(error).__name__}: {error}"[:MAX_WHY_CHARS]}), file=out, flush=True)
        return
    print(json.dumps({"version": rule.version}), file=out, flush=True)
    while chunk := [json.loads(line) for line in islice(sys.stdin, CHUNK)]:
        for verdict in score_chunk(rule, chunk, header["seconds"], header["memory_mib"]):
            print(json.dumps(verdict), file=out)
        out.flush()


def score_chunk(rule: Any, chunk: list[Json], seconds: float, memory_mib: int) -> Iterator[Json]:
    """Yield a verdict on every reply: in one batch if the rule supports it, else (and after a failure) one by one."""
    batched, scored = hasattr(rule, "score_batch"), 0
    while scored < len(chunk):
        verdicts = list(_score_in_child(rule, chunk[scored:], seconds, memory_mib, batched=batched))
        yield from verdicts
        scored += len(verdicts)
        if scored == len(chunk):
            return
        if not batched:
            yield _failed_verdict(f"it crashed, or gave no verdict within {seconds:g} s and {memory_mib} MiB")
            scored += 1
        batched = False


def _score_in_child(
    rule: Any, chunk: list[Json], seconds: float, memory_mib: int, *, batched: bool
) -> Iterator[Json]:
    """Yield the verdicts that a child process wrote before it ended, and kill the processes that it started."""
    global _child
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stream:
        _child = os.fork()
        if not _child:
            status = 1
            try:
                os.setpgid(0, 0)
                _limit_resources(memory_mib)
                _score_and_write(rule, chunk, seconds, stream, batched=batched)
                status = 0
            finally:
                os._exit(status)
        os.waitpid(_child, 0)
        _kill_child()
        stream.seek(0)
        complete_lines = (line for line in stream if line.endswith("\n"))  # the last one may be truncated
        yield from map(json.loads, complete_lines)


_child = 0
"""Process group of the running child."""


def _kill_child(*_: object) -> None:
    with suppress(ProcessLookupError):
        os.killpg(_child, signal.SIGKILL)


def _terminate(*_: object) -> None:
    """On a termination signal, kill the child and exit."""
    if _child:
        _kill_child()
    os._exit(1)


def _limit_resources(memory_mib: int) -> None:
    """Limit the address space (to what the harness uses plus `memory_mib`) and the size of files; forbid core dumps."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = used + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


def _score_and_write(rule: Any, chunk: list[Json], seconds: float, stream: IO[str], *, batched: bool) -> None:
    """Score replies and write the verdicts; the timer kills the process by default, even inside C code."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if batched:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _write_verdicts(stream, rule.score_batch(chunk))
        return
    for reply in chunk:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            verdict = rule.score(reply)
        except Exception as error:  # noqa: BLE001 - boundary to the other harness: recorded as this reply's verdict
            verdict = _failed_verdict(f"{type(error).__name__}: {error}")
        _write_verdicts(stream, [verdict])


def _write_verdicts(stream: IO[str], verdicts: Iterable[Json]) -> None:
    for verdict in verdicts:
        score = verdict["score"]
        if score is not None and not isfinite(score):
            score, verdict = None, _failed_verdict(f"its score is {score}")
        line = {
            "score": None if score is None else float(score),
            "answer": str(verdict.get("answer") or "")[:MAX_ANSWER_CHARS],
            "why": verdict.get("why", "")[:MAX_WHY_CHARS],
        }
        stream.write(json.dumps(line) + "\n")
    stream.flush()


def _failed_verdict(why: str) -> Json:
    return {"score": None, "answer": "", "why": f"their rule failed: {why}"[:MAX_WHY_CHARS]}


if __name__ == "__main__":
    main()
