"""Samples on disk, by position: a suite of any size costs a few bytes of memory per item."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import msgspec

from evals.types import Sample

_decode = msgspec.msgpack.Decoder(Sample).decode
_encode = msgspec.msgpack.Encoder().encode


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what is still in its buffer may not fit on a full disk
        file.close()


class Spool:
    """A growing list of samples in an anonymous temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="evals-")  # noqa: SIM115 - lives as long as the spool
        weakref.finalize(self, _close, self._file)
        self._ends = array("Q", [0])
        self.ids: list[str] = []
        self.groups: list[str] = []
        self.clusters: list[str] = []
        self.lacking = ""
        """Id of the first sample without a question; empty: all can be asked."""

    def add(self, sample: Sample) -> None:
        """Append one sample."""
        written = self._file.write(_encode(sample))
        self._ends.append(self._ends[-1] + written)
        self.ids.append(sample.id)
        self.groups.append(sys.intern(sample.group))
        self.clusters.append(sys.intern(sample.cluster))
        if not sample.question and not self.lacking:
            self.lacking = sample.id

    def freeze(self) -> None:
        """Make what was added readable."""
        self._file.flush()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> Sample:
        start, end = self._ends[position], self._ends[position + 1]
        return _decode(os.pread(self._file.fileno(), end - start, start))

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
