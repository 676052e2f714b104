"""A corpus of broken and hostile files over all readers: each gets one line that names the file, within seconds."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import evals
from tests.test_mangled_files import deadline, made, one_run

__all__ = ["made"]


def write(content: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        path.write_bytes(content)

    return put


KINDS: dict[str, Callable[[Path], None]] = {
    "empty": write(b""),
    "zeros": write(b"\x00" * 5000),
    "no UTF-8": write(b"\xff\xfe\xfa" * 100),
    "UTF-16": write('{"id": "x", "text": "y"}\n'.encode("utf-16")),
    "deep lists": write(b"[" * 100_000),
    "deep objects": write(b'{"a":' * 100_000),
    "HTML": write(b"<!doctype html><html><body>Sign in</body></html>\n"),
    "another JSON": write(b'{"hello": "world"}\n'),
    "a number": write(b"1e999\n"),
    "a list": write(b"[1, 2, 3]\n"),
    "null": write(b"null\n"),
    "gzip": write(gzip.compress(b"x" * 1000)),
    "a torn zip": write(b"PK\x03\x04" + b"\x00" * 60),
    "a torn Parquet": write(b"PAR1" + b"\x00" * 60 + b"PAR1"),
    "pickle": write(b"cos\nsystem\n(S'echo'\ntR."),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path),
    "link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
}
READERS: dict[str, tuple[str, ...]] = {
    "run/card.json": ("show", "one", "--samples"),
    "run/records.parquet": ("show", "one", "--samples"),
    "run/samples.parquet": ("score", "one"),
    "b.zip": ("bundle", "verify", "b.zip"),
    "base.jsonl": ("compare", "base.jsonl", "two"),
    "policy.toml": ("gate", "two", "--baseline", "one", "--policy", "policy.toml"),
    "order.toml": ("run", "order.toml"),
    "replies.jsonl": ("import", "replies", "replies.jsonl", "--suite", "aime:2025", "--model", "m", "--sample"),
    "samples_x.jsonl": ("import", "lm-eval", "samples_x.jsonl", "--suite", "aime:2025", "--model", "m", "--sample"),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_line_names_the_file(
    made: Path, tmp_path: Path, reader: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = one_run(folder) / reader.removeprefix("run/") if reader.startswith("run/") else folder / reader
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    words = READERS[reader]
    with deadline():
        done = evals(
            *words, *(() if words[:2] == ("bundle", "verify") else ("--results", folder / "results"))
        )
    assert "Traceback" not in done.err
    assert done.status in (1, 2)
    said = done.complaint if done.status == 2 else done.out  # verify says that a bundle is none with status 1
    assert path.name in said or "one" in said, said
    assert "\x00" not in said
