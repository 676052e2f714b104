"""Broken and hostile files for each kind of file that is read: a one-line message names the file within seconds."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from evals import profiles
from evals.data import errata
from evals.errors import EvalsError
from tests.support.command import Outcome, evals
from tests.support.paths import TESTS
from tests.support.tables import table
from tests.test_mangled_files import deadline, run_folder, source_folder, write_valid_files

__all__ = ["source_folder"]


def writer_of(content: bytes) -> Callable[[Path], None]:
    """Return a function that writes this content to a path."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


CONTENTS: dict[str, Callable[[Path], None]] = {
    "empty": writer_of(b""),
    "zeros": writer_of(b"\x00" * 5000),
    "no UTF-8": writer_of(b"\xff\xfe\xfa" * 100),
    "UTF-16": writer_of('{"id": "x", "text": "y"}\n'.encode("utf-16")),
    "deep lists": writer_of(b"[" * 100_000),
    "deep objects": writer_of(b'{"a":' * 100_000),
    "HTML": writer_of(b"<!doctype html><html><body>Sign in</body></html>\n"),
    "another JSON": writer_of(b'{"hello": "world"}\n'),
    "a number": writer_of(b"1e999\n"),
    "a list": writer_of(b"[1, 2, 3]\n"),
    "null": writer_of(b"null\n"),
    "gzip": writer_of(gzip.compress(b"x" * 1000)),
    "a torn zip": writer_of(b"PK\x03\x04" + b"\x00" * 60),
    "a torn Parquet": writer_of(b"PAR1" + b"\x00" * 60 + b"PAR1"),
    "pickle": writer_of(b"cos\nsystem\n(S'echo'\ntR."),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path),
    "link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
}
TOML: dict[str, bytes] = {
    "TOML: deep arrays": b"x = " + b"[" * 50_000 + b"]" * 50_000,
    "TOML: deep tables": b"x = " + b"{a = " * 5_000 + b"1" + b"}" * 5_000,
    "TOML: a long key": b".".join([b"a"] * 5_000) + b" = 1",
    "TOML: 5,000 digits": b"alpha = " + b"9" * 5_000,
    "TOML: a long exponent": b"alpha = 1e999999999",
    "TOML: no such date": b"x = 2026-13-41",
    "TOML: not a number": b"alpha = nan",
    "TOML: twice": b"alpha = 0.05\nalpha = 0.05\n",
    "TOML: half an emoji": b'x = "\\ud83d"',
    "TOML: a zero byte": b'x = "a\x00b"',
    "TOML: an unknown key": b"unheard_of = 1\n",
    "TOML: a wrong type": b"suite = 7\nclaim = 7\nmodel = 7\nentry = 7\nsuites = 7\n",
    "TOML: torn": b"[[suite]]\nname = 'aime",
}
CONTENTS |= {name: writer_of(content) for name, content in TOML.items()}
Reader: TypeAlias = tuple[str, ...] | Callable[[Path], object]
"""The arguments of a command, or a function that reads a path."""
READERS: dict[str, Reader] = {
    "run/card.json": ("show", "one", "--samples"),
    "run/records.parquet": ("show", "one", "--samples"),
    "run/samples.parquet": ("score", "one"),
    "b.zip": ("bundle", "verify", "b.zip"),
    "base.jsonl": ("compare", "base.jsonl", "two"),
    "policy.toml": ("gate", "two", "--baseline", "one", "--policy", "policy.toml"),
    "order.toml": ("run", "order.toml"),
    "replies.jsonl": ("import", "replies", "replies.jsonl", "--suite", "aime:2025", "--model", "m", "--sample"),
    "results/noise/x.json": ("compare", "one", "two"),
    "results/claims/x.toml": ("claims", "list", "--json"),
    "profiles.toml": profiles.read,
    "errata.toml": errata.load,
    "list.json": ("run", "aime:2025", "--sample", "-m", "scripted:list=list.json"),
    "rows.jsonl": ("run", "aime:2025", "--data", "rows.jsonl", "-m", "scripted:1"),
    "rows.csv": ("run", "aime:2025", "--data", "rows.csv", "-m", "scripted:1"),
    "rows.jsonl.gz": ("run", "aime:2025", "--data", "rows.jsonl.gz", "-m", "scripted:1"),
    "rows.parquet": ("run", "aime:2025", "--data", "rows.parquet", "-m", "scripted:1"),
    "samples_x.jsonl": ("import", "lm-eval", "samples_x.jsonl", "--suite", "aime:2025", "--model", "m", "--sample"),
}  # fmt: skip


EXPECTED = TESTS / "cases" / "hostile_files.tsv"
"""Reader, kind, exit status and message of each case; `python -m tests.test_hostile_corpus` rewrites the file."""
WITHOUT_RESULTS_OPTION = ("bundle", "list")


def expected() -> dict[tuple[str, str], tuple[str, str]]:
    """Return the expected exit status and message of each case."""
    rows = [line.split("\t") for line in EXPECTED.read_text("utf-8").splitlines()]
    return {(reader, kind): (status, line) for reader, kind, status, line in rows}


def kinds_of(reader: str) -> list[str]:
    """Return the kinds of content that a reader is tested with."""
    return [kind for kind in CONTENTS if kind not in TOML or reader.endswith(".toml")]


CASES = [(reader, kind) for reader in READERS for kind in kinds_of(reader)]


def read_file(read: Callable[[Path], object], path: Path) -> Outcome:
    """Read a file that no command takes from a user, such as the profiles, and return the outcome of a command."""
    try:
        read(path)
    except EvalsError as error:
        return Outcome(2, "", f"evals: {error}\n")
    return Outcome(0, "read\n", "")


def outcome_of(folder: Path, reader: str, kind: str) -> tuple[str, str]:
    """Replace the file of a reader by content of a kind, and return the exit status and the message."""
    path = run_folder(folder) / reader.removeprefix("run/") if reader.startswith("run/") else folder / reader
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    CONTENTS[kind](path)
    read = READERS[reader]
    with deadline():
        if callable(read):
            outcome = read_file(read, path)
        else:
            outcome = evals(
                *read, *(() if read[0] in WITHOUT_RESULTS_OPTION else ("--results", folder / "results"))
            )
    assert "Traceback" not in outcome.err
    message = (
        outcome.error_line if outcome.status == 2 else (outcome.out + outcome.err).strip().splitlines()[-1]
    )
    line = message.replace(str(path), path.name).replace(str(folder), "FOLDER")
    assert outcome.status == 0 or path.name in line or "one" in line, line
    assert "\x00" not in line
    return str(outcome.status), " ".join(line.split())


@pytest.mark.slow
@table(("reader", "kind"), CASES)
def test_a_one_line_message_names_the_broken_file(
    source_folder: Path, tmp_path: Path, reader: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(source_folder, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        assert outcome_of(folder, reader, kind) == expected()[reader, kind]
    finally:
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(folder)


def test_the_corpus_is_complete_and_has_at_least_150_cases() -> None:
    assert set(expected()) == set(CASES)
    assert len(expected()) >= 150


def write_expected() -> None:
    """Write the current outcomes to the file, for review."""
    with TemporaryDirectory() as scratch:
        source = Path(scratch) / "whole"
        source.mkdir()
        write_valid_files(source)
        os.environ["HF_HUB_OFFLINE"] = "1"
        rows = []
        for reader, kind in CASES:
            folder = Path(scratch) / "folder"
            shutil.copytree(source, folder)
            os.chdir(folder)
            rows.append("\t".join((reader, kind, *outcome_of(folder, reader, kind))))
            os.chdir(scratch)
            shutil.rmtree(folder)
    EXPECTED.write_text("".join(f"{row}\n" for row in rows), "utf-8")


if __name__ == "__main__":
    write_expected()
