"""Checks before a merge: each raises UsageError with a line that says what to do."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from evals.errors import UsageError
from evals.merging.lora import Adapter
from evals.merging.recipe import Recipe
from evals.merging.tensors import FLOATS, SIZES, Checkpoint, read_json
from evals.merging.writing import format_bytes

Expert: TypeAlias = "Checkpoint | Adapter"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
TEMPLATES_FOLDER = "additional_chat_templates"
MAX_DISTANCE = 0.5
"""Largest plausible ratio of a task vector's norm to the base's; it is 1.4 for unrelated weights, and below 0.2 after fine-tuning."""
RESERVED_BYTES = 64 << 20
"""Disk space to leave free."""


def is_merged(name: str, checkpoint: Checkpoint, exclude: tuple[str, ...]) -> bool:
    """Return whether a tensor is merged; the others are copied from the base."""
    is_float = checkpoint.tensors[name].dtype in FLOATS
    return is_float and not any(fnmatchcase(name, pattern) for pattern in exclude)


def check_shapes(recipe: Recipe, base: Checkpoint, experts: dict[str, Expert]) -> None:
    """Require that base and experts have the same tensors to merge, with the same shapes, are not quantized, and can be copied."""
    checkpoints = {name: expert for name, expert in experts.items() if isinstance(expert, Checkpoint)}
    for checkpoint in (base, *checkpoints.values()):
        if checkpoint.config.get("quantization_config"):
            raise UsageError(f"{checkpoint.label} is quantized: merge the original weights instead")
    for name, stored in base.tensors.items():
        if stored.dtype not in SIZES:
            raise UsageError(
                f"{base.label}: {name} is stored as {stored.dtype}, which cannot be copied: merge the original weights"
            )
    for expert in experts.values():
        if isinstance(expert, Adapter):
            expert.bind(base.tensors)
        else:
            _check_tensors(recipe, base, expert)
    if not any(is_merged(name, base, recipe.exclude) for name in base.tensors):
        raise UsageError(f"{recipe.path}: `exclude` leaves nothing of {base.label} to merge")


def _check_tensors(recipe: Recipe, base: Checkpoint, expert: Checkpoint) -> None:
    for first, second in ((base, expert), (expert, base)):
        missing = [
            name
            for name in first.tensors
            if name not in second.tensors and is_merged(name, first, recipe.exclude)
        ]
        if missing:
            missing_text = f"{len(missing)} tensors" if len(missing) > 1 else "a tensor"
            raise UsageError(
                f"{second.label} lacks {missing_text} of {first.label} (e.g. {missing[0]}): "
                "their architectures differ, or their tensors have other names"
            )
    for name, stored in base.tensors.items():
        other = expert.tensors.get(name, stored)
        if other.shape != stored.shape:
            raise UsageError(
                f"{name} is {list(other.shape)} in {expert.label} and {list(stored.shape)} in the base: "
                "their architectures or vocabularies differ"
            )


def check_distinct(base: Path, experts: dict[str, Path]) -> None:
    """Require that no checkpoint is listed twice."""
    for (first, path), (second, other_path) in combinations({"base": base, **experts}.items(), 2):
        if path.resolve() == other_path.resolve():
            raise UsageError(f"{first} and {second} are the same checkpoint, {path}")


def check_lora_bases(recipe: Recipe, experts: dict[str, Expert], *, accept: bool) -> None:
    """Require, unless `accept`, that the base named by a LoRA is the recipe's; organisations and folders are not compared."""
    for name, expert in experts.items():
        if accept or not isinstance(expert, Adapter) or not expert.base:
            continue
        if _model_name(expert.base) != _model_name(recipe.base):
            raise UsageError(
                f"expert {name} is a LoRA for {expert.base}, but the base is {recipe.base}: "
                "if they are the same weights, add --yes to evals merge"
            )


def _model_name(source: str) -> str:
    """Return the model's name in a hub id or path: its last part, in lower case."""
    return source.rstrip("/").rpartition("/")[2].lower()


def check_remote_code(base: Checkpoint, tokenizer: Checkpoint, *, trusted: bool) -> None:
    """Require `trusted` if the model or the tokenizer runs code from the checkpoint."""
    for checkpoint, file in ((base, "config.json"), (tokenizer, "tokenizer_config.json")):
        if read_json(checkpoint.folder / file).get("auto_map") and not trusted:
            component = "tokenizer" if file.startswith("tokenizer") else "model"
            raise UsageError(
                f"{checkpoint.label}: its {component} runs code from the checkpoint (auto_map in {file}); to trust it: "
                "--trust-remote-code"
            )


def check_tokenizers(recipe: Recipe, base: Checkpoint, experts: dict[str, Expert]) -> None:
    """Require a chat template and, unless the recipe chooses a tokenizer, the same vocabulary in all checkpoints."""
    source = base
    if recipe.tokenizer:
        expert = experts[recipe.tokenizer]
        if not isinstance(expert, Checkpoint):
            raise UsageError(
                f"{recipe.path}: tokenizer = {recipe.tokenizer!r}: a LoRA's tokenizer is not used"
            )
        source = expert
    checkpoints = {name: expert for name, expert in experts.items() if isinstance(expert, Checkpoint)}
    if not has_template(source.folder):
        with_template = [name for name, expert in checkpoints.items() if has_template(expert.folder)]
        hint = (
            f'set tokenizer = "{with_template[0]}" in the recipe to use that expert\'s'
            if with_template
            else f"put a chat_template.jinja into {source.folder}"
        )
        raise UsageError(f"{source.label} has no chat template, so prompts would be empty: {hint}")
    for name, expert in checkpoints.items():
        if not recipe.tokenizer and _vocabulary(expert.folder) not in (None, _vocabulary(base.folder)):
            raise UsageError(
                f"expert {name} has a different vocabulary from the base: set tokenizer = {name!r} in the recipe if the "
                "embeddings are the expert's; otherwise train it with the base's vocabulary"
            )


def has_template(folder: Path) -> bool:
    """Return whether a folder has a chat template that is not empty."""
    if any((folder / name).is_file() and (folder / name).stat().st_size for name in TEMPLATES):
        return True
    return any((folder / TEMPLATES_FOLDER).glob("*.jinja")) or bool(
        read_json(folder / "tokenizer_config.json").get("chat_template")
    )


def _vocabulary(folder: Path) -> object:
    """Return the vocabulary and the added tokens, which must be the same in all checkpoints; None if they are unknown."""
    for name in ("tokenizer.json", "vocab.json"):
        if tokenizer := read_json(folder / name):
            model = tokenizer.get("model")
            vocabulary = model.get("vocab") if isinstance(model, dict) else tokenizer
            return vocabulary, tokenizer.get("added_tokens")
    return None


def check_distances(recipe: Recipe, base: Checkpoint, distances: dict[str, float], *, accept: bool) -> None:
    """Require, unless `accept`, that every expert is close enough to the base to have been fine-tuned from it."""
    for name, distance in distances.items():
        if distance > MAX_DISTANCE and not accept:
            raise UsageError(
                f"expert {name} is far from the base (the norm of its task vector is {distance:.2f} of the base's; after "
                f"fine-tuning, it is below {MAX_DISTANCE}): {base.folder} does not seem to be its base; if it is, add --yes to evals merge"
            )


def check_space(folder: Path, needed: int, *, target: Path) -> None:
    """Require that `folder` has room for the `needed` bytes that are still to be written."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVED_BYTES:
        raise UsageError(
            f"{target} needs {format_bytes(needed)}, but only {format_bytes(free)} are free: set XDG_CACHE_HOME to another "
            "folder for the cache, or `evals merge --out` to one for the checkpoint"
        )
