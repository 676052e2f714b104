"""What must hold before a merge begins: each check raises UsageError in one line that says what to do."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from evals.errors import UsageError
from evals.merging.lora import Adapter
from evals.merging.recipe import Recipe
from evals.merging.tensors import FLOATS, Checkpoint, read_json
from evals.merging.writing import size

Expert: TypeAlias = "Checkpoint | Adapter"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
TEMPLATES_FOLDERS = ("additional_chat_templates",)
MAX_DISTANCE = 0.5
"""Largest plausible ratio of a task vector's norm to the base's; unrelated weights have 1.4, fine-tuned ones below 0.2."""
RESERVED_BYTES = 64 << 20
"""Bytes that stay free."""
TRUST = "--trust-remote-code"


def is_merged(name: str, checkpoint: Checkpoint, exclude: tuple[str, ...]) -> bool:
    """Return whether a tensor is merged; the others stay the base's."""
    floating = checkpoint.entries[name].dtype in FLOATS
    return floating and not any(fnmatchcase(name, pattern) for pattern in exclude)


def check_shapes(recipe: Recipe, base: Checkpoint, experts: dict[str, Expert]) -> None:
    """Require the same names and shapes in all checkpoints, quantized ones excepted altogether."""
    full = {name: expert for name, expert in experts.items() if isinstance(expert, Checkpoint)}
    for checkpoint in (base, *full.values()):
        if checkpoint.config.get("quantization_config"):
            raise UsageError(f"{checkpoint.label} is quantized: merge the weights from which it was made")
    for expert in experts.values():
        if isinstance(expert, Adapter):
            expert.bind(base.entries)
        else:
            _same_names(recipe, base, expert)
    if not any(is_merged(name, base, recipe.exclude) for name in base.entries):
        raise UsageError(f"{recipe.path}: `exclude` leaves nothing of {base.label} to merge")


def _same_names(recipe: Recipe, base: Checkpoint, expert: Checkpoint) -> None:
    for first, second in ((base, expert), (expert, base)):
        missing = [
            name
            for name in first.entries
            if name not in second.entries and is_merged(name, first, recipe.exclude)
        ]
        if missing:
            number = f"{len(missing)} tensors" if len(missing) > 1 else "a tensor"
            raise UsageError(
                f"{second.label} lacks {number} of {first.label} (e.g. {missing[0]}): "
                "they are not of the same architecture, or were saved under other names"
            )
    for name, entry in base.entries.items():
        other = expert.entries.get(name, entry)
        if other.shape != entry.shape:
            raise UsageError(
                f"{name} is {list(other.shape)} in {expert.label} and {list(entry.shape)} in the base: "
                "they are not of the same architecture or vocabulary"
            )


def check_distinct(base: Path, experts: dict[str, Path]) -> None:
    """Require that no checkpoint is named twice."""
    for (first, path), (second, other_path) in combinations({"base": base, **experts}.items(), 2):
        if path.resolve() == other_path.resolve():
            raise UsageError(f"{first} and {second} are the same checkpoint, {path}")


def check_lora_bases(recipe: Recipe, experts: dict[str, Expert], *, accept: bool) -> None:
    """Require that a LoRA says it was trained on the recipe's base, by the last part of the name."""
    for name, expert in experts.items():
        if accept or not isinstance(expert, Adapter) or not expert.base:
            continue
        if _last_part(expert.base) != _last_part(recipe.base):
            raise UsageError(
                f"expert {name} is a LoRA of {expert.base}, and the base is {recipe.base}: "
                "if they are the same weights, add --yes to evals merge"
            )


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()


def check_remote_code(base: Checkpoint, tokenizer: Checkpoint, *, trusted: bool) -> None:
    """Require trust in a model or tokenizer that runs code from its repository."""
    for checkpoint, file in ((base, "config.json"), (tokenizer, "tokenizer_config.json")):
        if read_json(checkpoint.folder / file).get("auto_map") and not trusted:
            what = "tokenizer" if file.startswith("tokenizer") else "model"
            raise UsageError(
                f"{checkpoint.label}: its {what} runs code of its own (auto_map in {file}); to trust it: {TRUST}"
            )


def check_tokenizers(recipe: Recipe, base: Checkpoint, experts: dict[str, Expert]) -> None:
    """Require a chat template, and one vocabulary unless the recipe says whose is taken."""
    source = base
    if recipe.tokenizer:
        expert = experts[recipe.tokenizer]
        if not isinstance(expert, Checkpoint):
            raise UsageError(
                f"{recipe.path}: tokenizer = {recipe.tokenizer!r}: a LoRA has none that is taken"
            )
        source = expert
    full = {name: expert for name, expert in experts.items() if isinstance(expert, Checkpoint)}
    if not has_template(source.folder):
        with_template = [name for name, expert in full.items() if has_template(expert.folder)]
        hint = (
            f'write tokenizer = "{with_template[0]}" in the recipe to take that expert\'s'
            if with_template
            else f"put a chat_template.jinja into {source.folder}"
        )
        raise UsageError(f"{source.label} has no chat template, so that prompts would be empty: {hint}")
    for name, expert in full.items():
        if not recipe.tokenizer and _vocabulary(expert.folder) not in (None, _vocabulary(base.folder)):
            raise UsageError(
                f"expert {name} has another vocabulary than the base: write tokenizer = {name!r} in the recipe if the "
                "embeddings are the expert's, else retrain it on the base's"
            )


def has_template(folder: Path) -> bool:
    """Return whether a folder has a chat template that is not empty."""
    if any((folder / name).is_file() and (folder / name).stat().st_size for name in TEMPLATES):
        return True
    return any((folder / "additional_chat_templates").glob("*.jinja")) or bool(
        read_json(folder / "tokenizer_config.json").get("chat_template")
    )


def _vocabulary(folder: Path) -> object:
    """Return what is compared between tokenizers; None: unknown."""
    for name in ("tokenizer.json", "vocab.json"):
        if content := read_json(folder / name):
            model = content.get("model")
            words = model.get("vocab") if isinstance(model, dict) else content
            return words, content.get("added_tokens")
    return None


def check_distances(recipe: Recipe, base: Checkpoint, distances: dict[str, float], *, accept: bool) -> None:
    """Require that no expert is too far from the base to have been trained from it, unless that is accepted."""
    for name, value in distances.items():
        if value > MAX_DISTANCE and not accept:
            raise UsageError(
                f"expert {name} is far from the base (its task vector has {value:.2f} of the base's norm; fine-tuning "
                f"changes less than {MAX_DISTANCE}): {base.folder} seems not to be its base; if it is: evals merge --yes"
            )


def check_space(folder: Path, needed: int, *, what: Path) -> None:
    """Require free space in a folder for the bytes of `what` that are still to be written."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVED_BYTES:
        raise UsageError(
            f"{what} needs {size(needed)}, and {size(free)} are free: XDG_CACHE_HOME names another place for the cache, "
            "`evals merge --out` one for a checkpoint"
        )
