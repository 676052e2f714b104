"""Recipes for merged models: TOML files, read and validated.

method = "ties"                     # `evals merge --methods` lists them
base = "OpenGVLab/InternVL2_5-1B"   # a folder, or a hub id in this machine's cache
serve = "vllm"                      # or "hf"
lambda = 0.3
[experts]
ocr = "./experts/ocr"
vqa = "./experts/vqa"
[parameters]
density = 0.2
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from evals import disk
from evals.errors import UnknownName, UsageError
from evals.merging.table import Edition, Method, method_of
from evals.validation import cause, check_short_name, short_name_from

EXCLUDED = (
    "*visual.*", "*vision_model.*", "*vision_tower.*", "*embed_tokens*", "*lm_head*", "*norm*", "*bias*",
)  # fmt: skip
"""Default patterns of tensors that are not merged, as in MLLMerging (see `table.py`) for Qwen2-VL and InternVL."""
MAX_EXPERTS = 64
_DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,2})?")


class _RecipeFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: str
    base: Annotated[str, Meta(min_length=1)]
    """Folder or hub id."""
    experts: Annotated[dict[str, str], Meta(min_length=1, max_length=MAX_EXPERTS)]
    """Name -> folder or hub id."""
    name: str = "merged"
    """Short name for tables and folders."""
    serve: Literal["vllm", "hf"] = "vllm"
    """Model adapter that serves the checkpoint."""
    edition: Edition = "fixed"
    """`original` follows the released code with its defect, `fixed` the paper; see `table.py`."""
    factor: float | None = field(default=None, name="lambda")
    """lambda, by which the merged task vector is multiplied."""
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    dtype: Literal["base", "bfloat16", "float16", "float32"] = "base"
    """dtype of the merged tensors; `base`: each tensor's dtype in the base."""
    compute: Literal["float32", "float64"] = "float32"
    """dtype of the arithmetic."""
    device: str = "cpu"
    """Device on which matrices are decomposed or optimised."""
    exclude: tuple[str, ...] = EXCLUDED
    """Patterns of tensors that are not merged."""
    tokenizer: str = ""
    """Expert whose tokenizer and chat template are used; empty: the base's."""
    parameters: dict[str, Any] = {}


class Recipe(_RecipeFile, frozen=True, kw_only=True):
    """One merged model."""

    path: Path
    factor: float
    parameters: Any
    """A struct of the method's parameters, or a mapping for mergekit."""

    @property
    def rule(self) -> Method:
        """Return the method's row of the table."""
        return method_of(self.method)


def read(path: Path) -> Recipe:
    """Read a recipe; raises UsageError if it is invalid."""
    try:
        file = msgspec.toml.decode(disk.read_small(path, 1 << 20).removeprefix(disk.BOM), type=_RecipeFile)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error, _RecipeFile)}") from None
    rule = method_of(file.method, source=path)
    try:
        parameters = msgspec.convert(file.parameters, rule.parameters)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: [parameters] of {file.method}: {cause(error, rule.parameters)}") from None
    _check_values(path, file, parameters)
    if file.tokenizer and file.tokenizer not in file.experts:
        raise UnknownName("expert in `tokenizer`", file.tokenizer, file.experts, source=path)
    factor = rule.factor if file.factor is None else float(file.factor)
    name = file.name if file.name != "merged" else short_name_from(path, "merged")
    resolved = {"path": path, "name": name, "factor": factor, "parameters": parameters}
    return Recipe(**msgspec.structs.asdict(file) | resolved)


def _check_values(path: Path, file: _RecipeFile, parameters: Any) -> None:
    """Raise UsageError if a number is not finite, or if a name or the device is invalid."""
    check_short_name(file.name, path)
    if not _DEVICE.fullmatch(file.device):
        raise UsageError(f"{path}: invalid device {file.device!r}: use cpu, cuda, or cuda:N for GPU N")
    values = {"lambda": file.factor, **msgspec.to_builtins(parameters)}
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{path}: {key} = {value} is not a finite number")
    for name in file.experts:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or len(name) > 64:
            raise UsageError(
                f"{path}: invalid expert name {name!r}: use up to 64 letters, digits, '.', '-' and '_'"
            )
