"""A corpus of broken and hostile files over all readers: each gets one line that names the file, within seconds."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from evals import profiles
from evals.data import errata
from evals.errors import EvalsError
from tests.support.command import Outcome, evals
from tests.support.paths import TESTS
from tests.support.tables import table
from tests.test_mangled_files import deadline, made, make_whole, one_run

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
KINDS |= {name: write(content) for name, content in TOML.items()}
Reader = tuple[str, ...] | Callable[[Path], object]
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


LINES = TESTS / "cases" / "hostile_files.tsv"
"""Reader, kind, exit status, what the command says; `python -m tests.test_hostile_corpus` writes it for review."""
NO_RESULTS = ("bundle", "list")


def expected() -> dict[tuple[str, str], tuple[str, str]]:
    rows = [line.split("\t") for line in LINES.read_text("utf-8").splitlines()]
    return {(reader, kind): (status, line) for reader, kind, status, line in rows}


def kinds_of(reader: str) -> list[str]:
    return [kind for kind in KINDS if kind not in TOML or reader.endswith(".toml")]


CASES = [(reader, kind) for reader in READERS for kind in kinds_of(reader)]


def read_file(read: Callable[[Path], object], path: Path) -> Outcome:
    """Read a file of the package's own, which no command takes from a user, as a command would."""
    try:
        read(path)
    except EvalsError as error:
        return Outcome(2, "", f"evals: {error}\n")
    return Outcome(0, "read\n", "")


def answer(folder: Path, reader: str, kind: str) -> tuple[str, str]:
    """Put a file of a kind in the place of a reader's, and return exit status and what is said of it."""
    path = one_run(folder) / reader.removeprefix("run/") if reader.startswith("run/") else folder / reader
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    words = READERS[reader]
    with deadline():
        if callable(words):
            done = read_file(words, path)
        else:
            done = evals(*words, *(() if words[0] in NO_RESULTS else ("--results", folder / "results")))
    assert "Traceback" not in done.err
    said = done.error_line if done.status == 2 else (done.out + done.err).strip().splitlines()[-1]
    named = said.replace(str(path), path.name).replace(str(folder), "FOLDER")
    assert done.status == 0 or path.name in named or "one" in named, named
    assert "\x00" not in named
    return str(done.status), " ".join(named.split())


@table(("reader", "kind"), CASES)
def test_one_line_names_the_file(
    made: Path, tmp_path: Path, reader: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        assert answer(folder, reader, kind) == expected()[reader, kind]
    finally:
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(folder)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert set(expected()) == set(CASES)
    assert len(expected()) >= 150


def write_lines() -> None:
    """Write what is said now, for a person to look at."""
    with TemporaryDirectory() as scratch:
        source = Path(scratch) / "whole"
        source.mkdir()
        make_whole(source)
        os.environ["HF_HUB_OFFLINE"] = "1"
        rows = []
        for reader, kind in CASES:
            folder = Path(scratch) / "folder"
            shutil.copytree(source, folder)
            os.chdir(folder)
            rows.append("\t".join((reader, kind, *answer(folder, reader, kind))))
            os.chdir(scratch)
            shutil.rmtree(folder)
    LINES.write_text("".join(f"{row}\n" for row in rows), "utf-8")


if __name__ == "__main__":
    write_lines()
