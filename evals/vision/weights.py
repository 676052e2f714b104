"""Read weights from untrusted files: safetensors, or pickles that contain only tensors (`weights_only`)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from evals.boundary import foreign_code
from evals.errors import UsageError
from evals.merging.tensors import open_file, require_finite

if TYPE_CHECKING:
    import torch

Tensors: TypeAlias = "dict[str, torch.Tensor]"

SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".tar")
WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts store the weights."""


def read(path: Path, *, label: str) -> Tensors:
    """Return the tensors of a file; raises UsageError, also for values that are not finite, and for pickles of other objects."""
    if not path.is_file():
        raise UsageError(f"{label}: there is no file {path}")
    if path.suffix == SAFETENSORS_SUFFIX:
        with open_file(path, label=label) as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    elif path.suffix in PICKLE_SUFFIXES:
        tensors = _unpickle(path, label)
    else:
        raise UsageError(
            f"{label}: {path} is not one of {', '.join((SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES))}: save the weights as safetensors"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            require_finite(tensor, f"{label}: {name}")
    return tensors


def _unpickle(path: Path, label: str) -> Tensors:
    """Return the tensors of a pickle, from which torch creates only tensors and plain containers."""
    import torch

    refusal = f"{label}: {path} is a pickle that contains more than tensors and could run code: save its weights as safetensors"
    with foreign_code(lambda why: UsageError(refusal)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{label}: {path} contains no named tensors")
    if unexpected := next(
        (name for name, value in content.items() if not isinstance(value, torch.Tensor)), None
    ):
        raise UsageError(f"{label}: {path}: {str(unexpected)[:80]!r} is not a tensor: save the weights alone")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def require_matching(tensors: Tensors, expected: Mapping[str, Any], *, label: str) -> None:
    """Raise UsageError unless tensors have the names and shapes of `expected`, the tensors of a network."""
    for present_in, absent_from, kind in ((expected, tensors, "missing"), (tensors, expected, "unexpected")):
        if names := [name for name in present_in if name not in absent_from]:
            raise UsageError(
                f"{label}: {kind} tensors ({len(names)}, e.g. {names[0][:100]}): the architecture or the tensor names differ"
            )
    for name, tensor in tensors.items():
        shape, expected_shape = list(tensor.shape), list(expected[name].shape)
        if shape != expected_shape:
            hint = ": it was made for images of another size" if "pos_embed" in name else ""
            raise UsageError(
                f"{label}: {name} has shape {shape}, but the network expects {expected_shape}{hint}"
            )


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the names, dtypes, shapes and values of tensors."""
    import torch

    hasher = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        hasher.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
