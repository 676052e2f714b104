"""Samples in a temporary file, read by position, so that each takes only a few bytes of memory."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import IO

import msgspec
from msgspec import structs

from evals import disk
from evals.types import Media, Sample, Text

_decode_sample = msgspec.msgpack.Decoder(Sample).decode
_encode_sample = msgspec.msgpack.Encoder().encode


def _close_quietly(file: IO[bytes]) -> None:
    with suppress(OSError):  # flushing its buffer fails on a full disk
        file.close()


def _cluster_keys(sample: Sample) -> Iterator[str]:
    """Yield the keys that dependent samples share: the suite's cluster; hashes of files; a hash of question and options."""
    if sample.cluster:
        yield f"cluster {sample.cluster}"
    for part in sample.question:
        if isinstance(part, Media):
            yield part.sha256
    if sample.question and all(isinstance(part, Text) for part in sample.question):
        texts = [part.text for part in sample.question if isinstance(part, Text)]
        content = "\x1f".join([*texts, "\x1e", *sorted(sample.choices)])
        yield f"text {sha256(content.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _find_root(parent: list[int], position: int) -> int:
    """Return the root of a position's set in a union-find forest, with path halving."""
    while parent[position] != position:
        parent[position] = parent[parent[position]]
        position = parent[position]
    return position


class SampleStore:
    """An append-only list of samples in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="evals-")  # noqa: SIM115 - lives as long as the store
        weakref.finalize(self, _close_quietly, self._file)
        self._offsets = array("Q", [0])
        self.ids: list[str] = []
        self.groups: list[str] = []
        self.clusters: list[str] = []
        self.first_without_question = ""
        """Id of the first sample without a question; empty: all have one."""

        self._first_positions: dict[str, int] = {}
        """Key -> position of the first sample with it."""
        self._links: list[tuple[int, int]] = []
        """Positions of two samples that share a key, the first of them being the key's first sample."""

    def add(self, sample: Sample) -> None:
        """Append one sample."""
        for key in _cluster_keys(sample):
            first = self._first_positions.setdefault(key, len(self.ids))
            if first != len(self.ids):
                self._links.append((first, len(self.ids)))
        with disk.naming(Path(tempfile.gettempdir())):
            size = self._file.write(_encode_sample(sample))
        self._offsets.append(self._offsets[-1] + size)
        self.ids.append(sample.id)
        self.groups.append(sys.intern(sample.group))
        self.clusters.append(sys.intern(sample.cluster))
        if not sample.question and not self.first_without_question:
            self.first_without_question = sample.id

    def freeze(self) -> None:
        """Make samples readable, and put samples that share a cluster, a file, or question and options into one cluster.

        A merged cluster keeps its samples' cluster name if they all have the same one.
        """
        with disk.naming(Path(tempfile.gettempdir())):
            self._file.flush()
        parent = list(range(len(self.ids))) if self._links else []
        for first, second in self._links:
            roots = sorted((_find_root(parent, first), _find_root(parent, second)))
            parent[roots[1]] = roots[0]
        members = defaultdict[int, list[int]](list)
        for position in sorted({position for link in self._links for position in link}):
            members[_find_root(parent, position)].append(position)
        for root, positions in members.items():
            names = {self.clusters[position] for position in positions}
            common_name = names.pop() if len(names) == 1 else ""
            for position in positions:
                self.clusters[position] = sys.intern(common_name or f"shared with {self.ids[root]}")
        self._first_positions.clear()
        self._links.clear()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> Sample:
        start, end = self._offsets[position], self._offsets[position + 1]
        sample = _decode_sample(os.pread(self._file.fileno(), end - start, start))
        cluster = self.clusters[position]
        return sample if sample.cluster == cluster else structs.replace(sample, cluster=cluster)

    @property
    def sizes(self) -> Iterator[int]:
        """Yield the encoded size of each sample in bytes, without its files: an estimate of the length of its question."""
        return (end - start for start, end in pairwise(self._offsets))

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()
