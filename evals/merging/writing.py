"""Write a checkpoint's folder shard by shard, so that a killed merge can resume after its last complete shard.

Shards are streamed, so that none is held in memory. They stay in a hidden folder beside the target until all are written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import UsageError
from evals.merging.tensors import INDEX, SIZES, WEIGHTS, StoredTensor, dtype_of

if TYPE_CHECKING:
    import torch

SHARD_BYTES = 2 << 30
"""Maximum size of a shard; a larger tensor gets its own shard."""
CARD = "merge.json"
"""File with the facts about a merge, in the merged checkpoint."""
BLOCK = 1 << 20
"""Number of elements converted and written at once."""
MAX_FILE_BYTES = 1 << 28
"""Maximum size of a copied file."""


class Shard(Struct, frozen=True):
    """One safetensors file of the output."""

    name: str
    tensors: dict[str, StoredTensor]

    @property
    def size(self) -> int:
        """Return the size of its tensors in bytes."""
        return sum(stored.count * SIZES[stored.dtype] for stored in self.tensors.values())


def shards(tensors: Mapping[str, StoredTensor], *, limit: int = SHARD_BYTES) -> list[Shard]:
    """Divide tensors, in their order, into shards of at most `limit` bytes."""
    groups: list[dict[str, StoredTensor]] = [{}]
    size = 0
    for name, stored in tensors.items():
        length = stored.count * SIZES[stored.dtype]
        if groups[-1] and size + length > limit:
            groups.append({})
            size = 0
        groups[-1][name] = stored
        size += length
    return [
        Shard(f"model-{number:05}-of-{len(groups):05}.safetensors", group)
        for number, group in enumerate(groups, 1)
    ]


def format_bytes(count: int) -> str:
    """Format a number of bytes.

    >>> format_bytes(4_212_000_000), format_bytes(85_200_000), format_bytes(900)
    ('4.2 GB', '85.2 MB', '0.9 kB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1000:.1f} kB"


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; other processes wait until it is released."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(disk.create(lock), "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def write_shard(partial_folder: Path, shard: Shard, tensor_of: Callable[[str], torch.Tensor]) -> None:
    """Write a shard under a temporary name, and rename it once it is complete; `tensor_of` returns a tensor by name."""
    path = partial_folder / shard.name
    temporary = path.with_name(f".{path.name}.part")
    with os.fdopen(disk.create(temporary, new=True), "wb") as stream:
        stream.write(_header(shard))
        for name, stored in shard.tensors.items():
            _write_tensor(stream, tensor_of(name), stored)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    disk.sync_folder(partial_folder)


def _header(shard: Shard) -> bytes:
    """Return the header of a safetensors file: its length, then names, dtypes, shapes and offsets as JSON."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, stored in shard.tensors.items():
        end = offset + stored.count * SIZES[stored.dtype]
        header[name] = {"dtype": stored.dtype, "shape": stored.shape, "data_offsets": [offset, end]}
        offset = end
    encoded = msgspec.json.encode(header)
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded


def _write_tensor(stream: IO[bytes], tensor: torch.Tensor, stored: StoredTensor) -> None:
    """Write a tensor in its stored dtype; raises UsageError if its values exceed the range of that dtype."""
    import torch

    dtype = dtype_of(stored) or tensor.dtype
    flat = tensor.reshape(-1)
    for start in range(0, flat.numel(), BLOCK):
        block = flat[start : start + BLOCK].to(dtype)
        if stored.dtype == "F16" and not bool(torch.isfinite(block).all()):
            raise UsageError(
                'the merged weights exceed the range of float16: set dtype = "bfloat16" in the recipe'
            )
        stream.write(memoryview(block.contiguous().view(torch.uint8).numpy()))


def write_index(partial_folder: Path, all_shards: list[Shard]) -> None:
    """Write the index, which maps the name of each tensor to its shard."""
    mapping = {name: shard.name for shard in all_shards for name in shard.tensors}
    index = {"metadata": {"total_size": sum(shard.size for shard in all_shards)}, "weight_map": mapping}
    disk.replace(partial_folder / INDEX, msgspec.json.format(msgspec.json.encode(index)))


def copy_files(source: Path, partial_folder: Path, *, is_copied: Callable[[str], bool]) -> None:
    """Copy the files of a checkpoint whose names fulfil `is_copied`, except weights, README.md, `CARD` and ignored files."""
    for path in sorted(source.iterdir()):
        is_excluded = path.name in ("README.md", CARD) or disk.is_ignored(path.name)
        is_weights = any(fnmatch(path.name, pattern) for pattern in WEIGHTS)
        if is_copied(path.name) and not (is_excluded or is_weights or path.is_dir()):
            disk.replace(partial_folder / path.name, disk.read_small(path, MAX_FILE_BYTES))


def finish(partial_folder: Path, target: Path, card: object) -> None:
    """Write the card and give the folder its final name."""
    disk.replace(partial_folder / CARD, msgspec.json.format(msgspec.json.encode(card, order="sorted")))
    for leftover in partial_folder.glob(".*.part"):
        leftover.unlink()
    partial_folder.rename(target)
    disk.sync_folder(target.parent)
