r"""A tree of files in a folder or, without extracting it, in a zip archive.

>>> import tempfile, pathlib
>>> root = pathlib.Path(tempfile.mkdtemp())
>>> (root / "raw").mkdir()
>>> _ = (root / "raw" / "a.jsonl").write_text('{"x": 1}\n')
>>> list(Tree(root).lines("raw/a.jsonl"))
[{'x': 1}]
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import msgspec

from evals import disk
from evals.errors import DataError, needs

ARCHIVE_ERRORS = (
    BadZipFile,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
    LZMAError,
)
"""Exceptions that zipfile and gzip raise for truncated, corrupt or malicious files: RuntimeError for encryption and for
unsupported versions and compression methods, ValueError for invalid names and offsets.
"""


class Tree:
    """Files by path; the single top-level folder of a zip archive, if there is one, is not part of the paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: ZipFile | None = None
        self._names: frozenset[str] = frozenset()
        self._prefix = ""
        if root.is_file():
            try:
                self._zip = ZipFile(root)
            except ARCHIVE_ERRORS as error:
                raise DataError(f"cannot read {root}: {error}") from error
            self._names = frozenset(self._zip.namelist())
            top_folders = {name.partition("/")[0] for name in self._names if not name.startswith("__MACOSX")}
            self._prefix = f"{next(iter(top_folders))}/" if len(top_folders) == 1 else ""

    def has(self, name: str) -> bool:
        """Return whether there is a file at a path."""
        return self._prefix + name in self._names if self._zip else (self.root / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading; raises DataError if it is missing or cannot be opened."""
        try:
            return self._zip.open(self._prefix + name) if self._zip else disk.open_regular(self.root / name)
        except (KeyError, FileNotFoundError) as error:
            raise DataError(f"{self.root} does not contain {name}") from error
        except ARCHIVE_ERRORS as error:
            raise DataError(f"cannot read {name} in {self.root}: {error}") from error

    def json(self, name: str) -> Any:
        """Return the content of a JSON file; raises DataError."""
        with self.open(name) as stream:
            try:
                return msgspec.json.decode(stream.read())
            except ARCHIVE_ERRORS as error:
                raise DataError(f"{self.root}: {name}: {error}") from error

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of a JSON Lines file; raises DataError."""
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        number = 0
        with self.open(name) as stream:
            try:
                for line in stream:
                    number += 1
                    yield decode(line)
            except ARCHIVE_ERRORS as error:
                raise DataError(f"{self.root}: {name}, line {number}: {error}") from error

    def close(self) -> None:
        """Close the archive."""
        if self._zip:
            self._zip.close()


def download_archive(suite: str, hub: str, file: str, revision: str) -> Path:
    """Return the path of an archive in the hub's cache, downloaded if necessary; raises DataError if that fails."""
    name = Path(file).name
    otherwise = f"; or pass its {name} with --data, or try --sample"
    with needs(f"{suite}: reading {hub} from the hub", "hub", error=DataError, otherwise=otherwise):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    try:
        return Path(hf_hub_download(hub, file, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{suite}: cannot load {hub} from the hub; go online once (`evals data {suite}`), "
            f"or pass its {name} with --data ({reason})"
        ) from error
