"""The architecture and settings of a timm network, given by name or by folder.

A folder has the files written by timm's `save_for_hf`: config.json (architecture, num_classes, pretrained_cfg, model_args) and
model.safetensors. Outdated names are refused, with a message that states the new name: `vit_base_patch16_224_in21k` now
stands for other weights (augreg) than in the papers (the original ImageNet-21k weights).
"""

from __future__ import annotations

import warnings
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evals import disk
from evals.boundary import foreign_code
from evals.data.sources import offline_if_unreachable
from evals.errors import UnknownName, UsageError, install_command
from evals.validation import cause
from evals.vision import preprocessing, weights
from evals.vision.preprocessing import Preprocessing
from evals.vision.weights import Tensors

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
Dimension = Annotated[int, Meta(ge=0, le=65_536)]
Argument = bool | Dimension | float | str | None | list[Dimension | float | str]
"""A value in `model_args`."""
MAX_DEPTH = 512
"""Maximum number of blocks of a network."""


class _Config(Struct, frozen=True):
    """The content of timm's config.json."""

    architecture: str
    num_classes: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    pretrained_cfg: dict[str, Any] = {}
    model_args: dict[str, Argument] = {}


def require_libraries(label: str) -> None:
    """Raise UsageError, naming the extra, if torch, torchvision or timm is missing, or if their versions do not match."""
    for package in ("torch", "torchvision", "timm"):
        if find_spec(package) is None:
            raise UsageError(f"{label} needs {package}: {install_command('timm')}")
    with foreign_code(
        lambda why: UsageError(
            f"{label}: timm cannot be imported; are torch and torchvision from the same build? ({why[:200]})"
        )
    ):
        import_module("timm")


class Backbone:
    """An architecture with its settings."""

    def __init__(self, source: str, *, recipe_folder: Path, label: str) -> None:
        """`source`: a timm name or a folder, possibly relative to `recipe_folder`; `label`: for messages. Raises UsageError."""
        self.source, self.label = source, label
        require_libraries(label)
        folder = _find_folder(source, recipe_folder)
        self.folder = folder
        if folder is not None:
            config = _read_config(folder, label)
            self.name, self.arguments = config.architecture, config.model_args
            self._stored_config = config.pretrained_cfg
        else:
            self.name, self.arguments, self._stored_config = source, {}, {}
        _require_known(self.name, label)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return timm's configuration for the name, overridden by the folder's own values."""
        from timm.models import get_pretrained_cfg

        with foreign_code(lambda why: UsageError(f"{self.label}: {why}")):
            known = get_pretrained_cfg(self.name)
        stored = {name: value for name, value in self._stored_config.items() if value is not None}
        return {**(known.to_dict() if known else {}), **stored}

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the model's own preprocessing; raises UsageError."""
        config = self.config
        size = self.arguments.get("img_size")
        if isinstance(size, int) and "input_size" not in self._stored_config:
            config = {**config, "input_size": (3, size, size)}
        return preprocessing.from_config(config, label=self.label)

    @property
    def classifier(self) -> str:
        """Return the name of the classifier head's module."""
        name = self.config.get("classifier") or "head"
        return str(name[0] if isinstance(name, list | tuple) else name)

    @property
    def tag(self) -> str:
        """Return timm's tag of the weights that the name stands for, e.g. `augreg_in21k`."""
        return str(self.config.get("tag") or "")

    def create(self, classes: int, *, pretrained: bool = False) -> Any:
        """Return the network with random or timm's own weights; raises UsageError."""
        import timm

        hint = "its weights cannot be loaded; go online once, or name a checkpoint: " if pretrained else ""
        with (
            foreign_code(lambda why: UsageError(f"{self.label}: {hint}{why[:200]}")),
            warnings.catch_warnings(),
            offline_if_unreachable(),
        ):
            warnings.simplefilter("ignore")
            return timm.create_model(
                self.name, pretrained=pretrained, num_classes=classes, **self.arguments
            ).eval()

    def weights(self) -> Tensors:
        """Return the weights in the folder; raises UsageError."""
        if self.folder is None:
            raise UsageError(f"{self.label}: {self.source} is not a folder")
        return weights.read(self.folder / WEIGHTS_FILE, label=self.label)


def _find_folder(source: str, recipe_folder: Path) -> Path | None:
    for path in (recipe_folder / source, Path(source)):
        try:
            if path.expanduser().is_dir():
                return path.expanduser()
        except (OSError, RuntimeError, ValueError):
            continue
    return None


def _read_config(folder: Path, label: str) -> _Config:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UsageError(f"{label}: {folder} has no {CONFIG_FILE}: it is not a timm checkpoint folder")
    try:
        raw = disk.read_small(path)
        fields = msgspec.json.decode(raw, type=dict[str, Any])
        if fields.get("auto_map") or fields.get("custom_code"):
            raise UsageError(
                f"{label}: {folder} has its own model code, which is never run; only timm's architectures are supported"
            )
        if "architecture" not in fields:
            model_type = str(fields.get("model_type", "unknown"))[:40]
            raise UsageError(f"{label}: {path} names no timm architecture (its model_type is {model_type})")
        config = msgspec.json.decode(raw, type=_Config)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error, _Config)}") from None
    depth = config.model_args.get("depth")
    if isinstance(depth, int) and depth > MAX_DEPTH:
        raise UsageError(f"{path}: depth {depth} is more than {MAX_DEPTH}")
    return config


def _require_known(name: str, label: str) -> None:
    """Raise UsageError for a name that is unknown to timm or outdated."""
    import timm
    from timm.models import _registry as registry

    architecture, _, tag = name.partition(".")
    current = getattr(registry, "_deprecated_models", {}).get(name)
    if current:
        base = str(current).partition(".")[0]
        others = [known for known in timm.list_pretrained(f"{base}.*") if known != current]
        alternatives = f"; there are also {', '.join(others)}" if others else ""
        raise UsageError(
            f"{label}: an outdated name, which timm resolves to {current}: use that{alternatives}"
        )
    if not timm.is_model(architecture):
        raise UnknownName("timm architecture", architecture, timm.list_models())
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tags:
        raise UnknownName(f"tag of {architecture}", name, tags)
