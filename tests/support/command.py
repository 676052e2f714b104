"""The real command line, in this process or as a separate one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from evals import cli
from tests.support.error_messages import assert_recorded


class Outcome(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    def assert_usage_error(self) -> None:
        """Assert that the command ended with a usage error whose message is the recorded one."""
        assert_recorded(self.error_line)

    @property
    def error_line(self) -> str:
        """The one-line message of a usage error, without its `evals: ` prefix."""
        lines = [line for line in self.err.splitlines() if line.startswith("evals: ")]
        assert self.status == 2, (self.status, self.out, self.err)
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        assert lines[0] == self.err.splitlines()[-1], self.err
        return lines[0].removeprefix("evals: ")


def evals(*arguments: object, env: dict[str, str] | None = None) -> Outcome:
    """Run the command in this process, through the entry point of the installed script."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    status: Any = 0
    with (
        mock.patch.object(sys, "argv", ["evals", *map(str, arguments)]),
        mock.patch.dict(os.environ, env or {}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    return Outcome(int(status or 0), _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start the command as a separate process."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", "from evals.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait(started: subprocess.Popen[str], *, timeout_s: float = 60) -> Outcome:
    """Wait for a process to end and return its outcome."""
    with started:
        try:
            out, err = started.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            started.kill()
            raise
    return Outcome(started.returncode, out, err)


def files_with(folder: Path, needles: Sequence[bytes]) -> list[str]:
    """Return the files below a folder that contain one of the byte strings, including inside Parquet files."""
    return [str(path) for path, content in _contents(folder) if any(needle in content for needle in needles)]


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    import pyarrow.parquet as pq

    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                yield path, repr((file.read().to_pylist(), file.schema_arrow.metadata)).encode()
        elif path.is_file():
            yield path, str(path).encode() + path.read_bytes()
