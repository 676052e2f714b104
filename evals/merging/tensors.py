"""Checkpoints as named tensors, read one at a time, so that memory use does not grow with the size of a checkpoint.

A file is opened and closed for each tensor, since the pages of a mapped file count towards the memory of the process.
"""

from __future__ import annotations

import math
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from evals import checkpoints, disk
from evals.errors import UsageError, install_command
from evals.validation import cause

if TYPE_CHECKING:
    import torch

WEIGHTS = (
    "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.gguf", "*.h5", "*.msgpack",
    "*.ot", "*.onnx*", "*.npz", "*.ckpt",
)  # fmt: skip
"""Patterns of files with weights, which a merge does not copy, unlike a checkpoint's other files."""
BLOCK = 1 << 18
"""Number of elements checked at once."""
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""safetensors' names of the dtypes that can be merged -> bytes per element."""
SIZES = {**FLOATS, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}
"""safetensors' names of the dtypes that a merge can copy -> bytes per element."""
_decode_json = msgspec.json.Decoder(dict[str, Any]).decode


def require_libraries(label: str) -> None:
    """Raise UsageError, naming the extra, if torch or safetensors is not installed."""
    for package in ("torch", "safetensors"):
        if find_spec(package) is None:
            raise UsageError(f"{label} needs {package}: {install_command('merge')}")


class StoredTensor(Struct, frozen=True):
    """Where a tensor is stored, with its dtype and shape."""

    file: Path
    dtype: str
    """Name of the dtype in safetensors."""
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)


def folder_of(source: str, recipe_folder: Path, *, label: str) -> Path:
    """Return the folder of a checkpoint, given its path or its hub id; raises UsageError if it is not on this machine.

    A relative path is relative to the recipe's folder. A hub id stands for the copy in the hub's cache.
    """
    local = (recipe_folder / source).expanduser()
    folder = local if local.is_dir() else checkpoints.checkpoint_folder(source)
    if folder is None and source.count("/") == 1 and not source.startswith((".", "/", "~")):
        raise UsageError(f"{label} {source} is not on this machine: hf download {source}")
    if folder is None or not folder.is_dir():
        raise UsageError(f"{label} {source}: no such folder")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, empty if there is no such file; raises UsageError if it is not valid."""
    try:
        return _decode_json(disk.read_small(path))
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error)}") from None


class Checkpoint:
    """A checkpoint folder with weights in safetensors format."""

    def __init__(self, folder: Path, *, label: str) -> None:
        """`label`: its name in messages, e.g. `expert ocr`."""
        self.folder, self.label = folder, label
        if not (folder / "config.json").is_file():
            raise UsageError(f"{label} {folder}: no checkpoint there (config.json is missing)")

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return config.json."""
        return read_json(self.folder / "config.json")

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Return the safetensors files; raises UsageError if one is missing, e.g. because the weights are pickled."""
        if (self.folder / INDEX).is_file():
            mapping = read_json(self.folder / INDEX).get("weight_map")
            names = set(mapping.values()) if isinstance(mapping, dict) else set()
            if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
                raise UsageError(f"{self.label}: {INDEX} has no weight_map of file names in this folder")
        else:
            names = {SINGLE}
        files = tuple(sorted(self.folder / name for name in names))
        if missing := [path.name for path in files if not path.is_file()]:
            is_pickled = any(
                path.suffix in (".bin", ".pt", ".pth", ".ckpt") for path in self.folder.iterdir()
            )
            hint = "; convert pickled weights to safetensors first" if is_pickled else ""
            raise UsageError(f"{self.label} {self.folder}: {missing[0]} is missing{hint}")
        return files

    @cached_property
    def tensors(self) -> dict[str, StoredTensor]:
        """Return the tensors by name, in sorted order; raises UsageError for a file that is not in safetensors format."""
        tensors = {}
        for path in self.files:
            with open_file(path, label=self.label) as file:
                for name in sorted(file.keys()):
                    header = file.get_slice(name)
                    tensors[name] = StoredTensor(path, header.get_dtype(), tuple(header.get_shape()))
        return dict(sorted(tensors.items()))

    def task_vector(self, name: str, base: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
        """Write theta - theta_0 into `into` and return it; raises UsageError if the weights are not finite."""
        into.copy_(self.tensor(name)).sub_(base)
        require_finite(into, f"{self.label}: {name}")
        return into

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor in its stored dtype, mapped from its file until it is released."""
        with open_file(self.tensors[name].file, label=self.label) as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor


def dtype_of(stored: StoredTensor) -> torch.dtype | None:
    """Return the torch dtype of a tensor that can be merged; None for any other tensor."""
    import torch

    dtypes = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    return dtypes.get(stored.dtype)


def open_file(path: Path, *, label: str) -> Any:
    """Open a safetensors file for torch; raises UsageError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(f"{label}: {path} is not a safetensors file: {cause(error)}") from None


def require_finite(tensor: torch.Tensor, label: str) -> None:
    """Raise UsageError if a tensor contains NaN or infinite values."""
    if not is_finite(tensor):
        raise UsageError(
            f"{label} contains NaN or infinite values: the checkpoint is damaged, or its training diverged"
        )


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all elements are finite; in blocks, since torch.isfinite allocates a tensor of the same shape."""
    import torch

    if bool(torch.isfinite(tensor.sum())):
        return True
    flat = tensor.reshape(-1)
    return all(bool(torch.isfinite(block).all()) for block in flat.split(BLOCK))
