"""From a recipe to a checkpoint folder: `Plan` checks and identifies the inputs, `make` merges them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from evals import disk
from evals.boundary import foreign_code
from evals.errors import EvalsError, UsageError
from evals.merging import checks, identity, mergekit_methods, writing
from evals.merging.checks import Expert
from evals.merging.lora import CONFIG, Adapter
from evals.merging.merger import Merger
from evals.merging.recipe import read as read_recipe
from evals.merging.table import MERGEKIT_PREFIX
from evals.merging.tensors import FLOATS, Checkpoint, StoredTensor, folder_of, require_libraries
from evals.records.card import packages

DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


class Plan:
    """A recipe whose inputs have been read and checked."""

    def __init__(self, path: Path, *, trusted: bool = False) -> None:
        """Read the recipe and the checkpoints' headers; raises UsageError if they cannot be merged."""
        self.recipe = recipe = read_recipe(path)
        require_libraries(f"merge:{path}")
        if recipe.method.startswith(MERGEKIT_PREFIX):
            mergekit_methods.require_method(recipe.method)
        recipe_folder = path.resolve().parent
        folders = {
            name: folder_of(source, recipe_folder, label=f"expert {name}")
            for name, source in recipe.experts.items()
        }
        base = folder_of(recipe.base, recipe_folder, label="base")
        if _is_adapter(base):
            raise UsageError(f"base {base} is a LoRA adapter: name the model that it was trained on instead")
        checks.check_distinct(base, folders)
        self.base = Checkpoint(base, label="the base")
        self.experts: dict[str, Expert] = {
            name: (Adapter if _is_adapter(folder) else Checkpoint)(folder, label=f"expert {name}")
            for name, folder in folders.items()
        }
        checks.check_shapes(recipe, self.base, self.experts)
        checks.check_remote_code(self.base, self.tokenizer, trusted=trusted)
        checks.check_tokenizers(recipe, self.base, self.experts)

    @property
    def tokenizer(self) -> Checkpoint:
        """Return the checkpoint whose tokenizer and chat template are used."""
        expert = self.experts.get(self.recipe.tokenizer)
        return expert if isinstance(expert, Checkpoint) else self.base

    @cached_property
    def sources(self) -> dict[str, str]:
        """Return hashes by name: the weights of each expert and of the base, and `settings`, the files that a merge copies."""
        hashes = identity.Hashes()
        sources = {name: identity.hash_files(expert.files, hashes) for name, expert in self.experts.items()}
        copied_hashes = [
            identity.hash_files(_copied_files(checkpoint.folder), hashes)
            for checkpoint in (self.base, self.tokenizer)
        ]
        weights = identity.hash_files(self.base.files, hashes)
        with suppress(OSError):  # without a writable cache, files are hashed again next time
            hashes.save()
        return {**sources, "base": weights, "settings": identity.hash_json(copied_hashes)}

    @cached_property
    def key(self) -> str:
        """Return a hash of everything that the result depends on."""
        exclude = sorted(self.recipe.exclude)
        content = {"settings": self.settings, "exclude": exclude, "sources": self.sources}
        return identity.hash_json({"version": identity.VERSION, **content})

    @property
    def settings(self) -> dict[str, Any]:
        """Return the method and its settings, for the card."""
        recipe = self.recipe
        return {
            "method": recipe.method,
            "edition": recipe.edition,
            "lambda": recipe.factor,
            "parameters": msgspec.to_builtins(recipe.parameters),
            "seed": recipe.seed,
            "dtype": recipe.dtype,
            "compute": recipe.compute,
            "device": recipe.device.partition(":")[0] if recipe.rule.uses_device else "cpu",
            "tokenizer": recipe.tokenizer or "base",
        }

    @property
    def name(self) -> str:
        """Return the name under which the model is served."""
        return f"{self.recipe.name}-{self.key[:12]}"

    @property
    def target(self) -> Path:
        """Return the folder in the cache; it exists only once the merge is complete."""
        return identity.merges_folder() / self.name

    @property
    def summary(self) -> str:
        """Return the merge in one line, for the card of a run."""
        recipe = self.recipe
        defect = recipe.rule.defect if recipe.edition == "original" else ""
        numbers = {**msgspec.to_builtins(recipe.parameters), "lambda": recipe.factor, "seed": recipe.seed}
        numbers_text = ", ".join(f"{name} {value}" for name, value in numbers.items() if value is not None)
        return (
            f"merge {self.key[:12]}: {recipe.method} ({recipe.edition}{f': {defect}' if defect else ''}) of "
            f"{', '.join(recipe.experts)} on {recipe.base}; {numbers_text}, computed in {recipe.compute}, stored as {recipe.dtype}"
        )

    def output(self) -> dict[str, StoredTensor]:
        """Return the tensors of the result with their dtypes."""
        dtype = DTYPES.get(self.recipe.dtype)
        return {
            name: msgspec.structs.replace(stored, dtype=dtype) if dtype and stored.dtype in FLOATS else stored
            for name, stored in self.base.tensors.items()
        }


def _is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def is_complete(target: Path, key: str) -> bool:
    """Return whether a folder contains the complete merge with this key."""
    try:
        card = msgspec.json.decode(disk.read_small(target / writing.CARD), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return False
    return card.get("key") == key


def make(plan: Plan, *, out: Path | None = None, accept: bool = False, log: Callable[[str], None]) -> Path:
    """Merge into `out`, by default a folder in the cache, unless it already contains this merge; return the folder.

    `accept`: accept a base from which the experts do not seem to have been fine-tuned. A merge that fails raises UsageError
    and leaves no files; one that was interrupted or killed resumes on the next call.
    """
    target = out or plan.target
    if is_complete(target, plan.key):
        return target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not this merge: name another folder, or remove it")
    with writing.locked(identity.merges_folder() / f".{plan.key[:12]}.lock"):
        if is_complete(target, plan.key):
            return target
        partial_folder = target.with_name(f".{target.name}.{plan.key[:12]}.partial")
        try:
            return _write_checkpoint(plan, partial_folder, target, accept=accept, log=log)
        except (EvalsError, OSError) as error:
            shutil.rmtree(partial_folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise UsageError(
                    f"cannot write {target}: {_io_error_reason(error, partial_folder)}"
                ) from None
            raise


def _io_error_reason(error: OSError, partial_folder: Path) -> str:
    """Return why a file could not be read or written, with its path if it is outside the merge's folder."""
    reason, path = error.strerror or str(error), Path(str(error.filename or partial_folder))
    return reason if partial_folder in (path, *path.parents) else f"{path}: {reason}"


def _write_checkpoint(
    plan: Plan, partial_folder: Path, target: Path, *, accept: bool, log: Callable[[str], None]
) -> Path:
    recipe = plan.recipe
    checks.check_lora_bases(recipe, plan.experts, accept=accept)
    shards = writing.shards(plan.output())
    partial_folder.mkdir(parents=True, exist_ok=True)
    pending = [shard for shard in shards if not (partial_folder / shard.name).is_file()]
    checks.check_space(partial_folder, sum(shard.size for shard in pending), target=target)
    with foreign_code(
        lambda why: UsageError(f"{recipe.path}: {recipe.method}: {why}"), passing=(EvalsError, OSError)
    ):
        merger = Merger(recipe, plan.base, plan.experts, log=log)
        distances = merger.distances()
        checks.check_distances(recipe, plan.base, distances, accept=accept)
        size = writing.format_bytes(sum(shard.size for shard in shards))
        log(f"merging {', '.join(recipe.experts)} by {recipe.method} into {target} ({size})")
        _write_other_files(plan, partial_folder)
        if len(pending) < len(shards):
            log(f"resuming after shard {len(shards) - len(pending)} of {len(shards)}")
        for shard in pending:
            writing.write_shard(partial_folder, shard, merger.tensor)
            if len(shards) > 1:
                log(f"wrote {shard.name}")
    writing.write_index(partial_folder, shards)
    writing.finish(partial_folder, target, _merge_card(plan, distances))
    return target


def _copied_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint that a merge copies and that can affect replies."""
    suffixes = (".json", ".jinja", ".model", ".txt", ".py")
    return sorted(path for path in folder.iterdir() if path.suffix in suffixes and path.is_file())


def _write_other_files(plan: Plan, partial_folder: Path) -> None:
    """Copy the base's configuration and code, and the tokenizer and chat template of the checkpoint that the recipe chooses."""
    writing.copy_files(
        plan.base.folder, partial_folder, is_copied=lambda name: not _belongs_to_tokenizer(name)
    )
    writing.copy_files(plan.tokenizer.folder, partial_folder, is_copied=_belongs_to_tokenizer)
    if (templates := plan.tokenizer.folder / checks.TEMPLATES_FOLDER).is_dir():
        (partial_folder / checks.TEMPLATES_FOLDER).mkdir(exist_ok=True)
        writing.copy_files(templates, partial_folder / checks.TEMPLATES_FOLDER, is_copied=lambda _: True)
    if (dtype := plan.recipe.dtype) != "base":
        config = {**plan.base.config, "dtype": dtype}
        config.pop("torch_dtype", None)
        disk.replace(partial_folder / "config.json", msgspec.json.format(msgspec.json.encode(config)))


def _belongs_to_tokenizer(name: str) -> bool:
    words = ("token", "vocab", "merges", "chat_template", "spiece", "special")
    return any(word in name for word in words) and not name.startswith("generation")


def _merge_card(plan: Plan, distances: dict[str, float]) -> dict[str, Any]:
    recipe = plan.recipe
    return {
        "key": plan.key,
        "name": plan.name,
        "summary": plan.summary,
        **plan.settings,
        "defect": recipe.rule.defect if recipe.edition == "original" else "",
        "base": {"source": recipe.base, "sha256": plan.sources["base"]},
        "experts": {
            name: {"source": source, "sha256": plan.sources[name], "distance": round(distances[name], 6)}
            for name, source in recipe.experts.items()
        },
        "exclude": list(recipe.exclude),
        "merged": sum(checks.is_merged(name, plan.base, recipe.exclude) for name in plan.base.tensors),
        "tensors": len(plan.base.tensors),
        "versions": {**packages(), "torch": version("torch")},
    }
