"""Load a classifier from a name or a recipe, with the facts about it that a card records."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from evals.boundary import foreign_code
from evals.errors import UsageError
from evals.merging import identity
from evals.vision import recipe as recipes
from evals.vision import tuned as tuning
from evals.vision import weights
from evals.vision.backbone import CONFIG_FILE, WEIGHTS_FILE, Backbone, require_libraries
from evals.vision.preprocessing import Preprocessing
from evals.vision.recipe import WITHOUT_PARTS, Recipe
from evals.vision.tuned import TunedWeights
from evals.vision.weights import Tensors

if TYPE_CHECKING:
    import torch

VERSION = 1
"""Incremented when a formula changes, so that older runs are not continued."""
TOLERANCE = 1e-5
"""Maximum difference of the logits before and after folding, relative to the largest logit (at least 1)."""
PROBE_IMAGES = 2
"""Number of random images on which the logits are compared."""
TIMED_RUNS, WARM_UP_RUNS = 20, 3
"""Number of timed runs of a latency measurement, and of untimed runs before them."""
MAX_TIMING_S = 10.0
"""Duration in seconds after which a latency measurement stops."""


class Network(Struct, frozen=True, kw_only=True):
    """A classifier on the CPU."""

    name: str
    """Short name for tables."""
    module: Any
    preprocessing: Preprocessing
    classes: int
    parameters: int
    """Number of parameters of the network as it runs."""
    trained: int | None
    """Number of parameters trained for the task, without the classifier head; None: unknown."""
    key: str
    """Hash of the weights and settings on which the predictions depend."""
    notes: tuple[str, ...]


def from_recipe(path: Path) -> Network:
    """Return the network of a recipe, with its tuned parts folded in if the recipe says `merge`; raises UsageError."""
    recipe = recipes.read(path)
    require_libraries(f"petl:{path}")
    backbone = Backbone(recipe.backbone, recipe_folder=recipe.folder, label=f"backbone {recipe.backbone}")
    preprocessing = recipe.resolve_preprocessing(backbone.preprocessing)
    tuned = tuning.read(recipe, backbone.create(1).state_dict())
    head = f"{backbone.classifier}.weight"
    if head not in tuned.replacements or tuned.replacements[head].dim() != 2:
        raise UsageError(f"tuned {recipe.tuned} has no {head}: without a classifier head it cannot classify")
    module = backbone.create(len(tuned.replacements[head]))
    _load_state(module, _tuned_state(recipe, backbone, tuned), label=str(recipe.path))
    difference = _attach_parts(module, tuned, preprocessing, merge=recipe.merge, label=str(recipe.path))
    key = identity.hash_json(
        {
            "version": VERSION,
            "weights": weights.digest(module.state_dict()),
            "beside": {} if recipe.merge else _part_digests(tuned),
            "preprocessing": str(preprocessing),
        }
    )
    network_size = sum(parameter.numel() for parameter in module.parameters())
    return Network(
        name=f"{recipe.name}-{key[:8]}", module=module, preprocessing=preprocessing,
        classes=len(tuned.replacements[head]), parameters=network_size + (0 if recipe.merge else tuned.parameter_count),
        trained=_trained_count(tuned, module, backbone.classifier), key=key,
        notes=(_tuning_note(recipe, backbone, difference), f"images: {preprocessing}"),
    )  # fmt: skip


def _tuned_state(recipe: Recipe, backbone: Backbone, tuned: TunedWeights) -> Tensors:
    """Return the backbone's tensors, with the trained tensors replacing their counterparts; raises UsageError."""
    if recipe.method == "full":
        return tuned.replacements
    head = f"{backbone.classifier}."
    if recipe.method == "linear" and (extra := [n for n in tuned.replacements if not n.startswith(head)]):
        raise UsageError(
            f"tuned {recipe.tuned} has {extra[0][:100]} besides the head, so it is not a linear probe"
        )
    if recipe.weights:
        frozen = weights.read(
            (recipe.folder / recipe.weights).expanduser(), label=f"weights {recipe.weights}"
        )
    elif backbone.folder is not None:
        frozen = backbone.weights()
    else:
        frozen = _create_pretrained(backbone, classes=1).state_dict()
    return {name: tensor for name, tensor in frozen.items() if not name.startswith(head)} | tuned.replacements


def _create_pretrained(backbone: Backbone, *, classes: int | None) -> Any:
    """Return the network with timm's weights; `classes`: number of outputs, None: as many as timm's own head has."""
    if not any(backbone.config.get(key) for key in ("url", "hf_hub_id", "file")):
        raise UsageError(f"{backbone.label}: timm has no weights for {backbone.name}: name a checkpoint")
    pretrained_classes = int(backbone.config.get("num_classes") or 0)
    return backbone.create(pretrained_classes if classes is None else classes, pretrained=True)


def _load_state(module: Any, state: Tensors, *, label: str) -> None:
    weights.require_matching(state, module.state_dict(), label=label)
    with foreign_code(lambda why: UsageError(f"{label}: {why[:300]}")):
        module.load_state_dict(state)


def _attach_parts(
    module: Any, tuned: TunedWeights, preprocessing: Preprocessing, *, merge: bool, label: str
) -> float | None:
    """Attach the tuned parts to their layers or, with `merge`, fold them into these layers.

    Returns by how much folding changes the logits, relative to the largest (computed in float64 on random images); None
    without folding. Raises UsageError for a change of more than `TOLERANCE`.
    """
    import torch

    with foreign_code(lambda why: UsageError(f"{label}: {why[:300]}")):
        layers = {name: module.get_submodule(name) for name in tuned.parts}
        hooks = [part.attach(layers[name]) for name, part in tuned.parts.items()]
        if not merge or not hooks:
            return None
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(
            (PROBE_IMAGES, *preprocessing.input_size), generator=generator, dtype=torch.float64
        )
        module.double()
        with torch.inference_mode():
            before = module(images)
        for hook in hooks:
            hook.remove()
        for name, part in tuned.parts.items():
            part.fold(layers[name])
        with torch.inference_mode():
            after = module(images)
        module.float()
    difference = float((before - after).abs().max() / before.abs().max().clamp(min=1.0))
    if not difference <= TOLERANCE:
        raise UsageError(
            f"{label}: folding changes the logits by {difference:.1e} of the largest, more than {TOLERANCE:g}"
        )
    return difference


def _part_digests(tuned: TunedWeights) -> dict[str, Any]:
    """Return the hash and the scale of the part of each layer."""
    import torch

    digests = {}
    for layer, part in tuned.parts.items():
        fields = structs.asdict(part)
        tensors = {name: value for name, value in fields.items() if isinstance(value, torch.Tensor)}
        digests[layer] = [weights.digest(tensors), part.scale]
    return digests


def _trained_count(tuned: TunedWeights, module: Any, classifier: str) -> int:
    names = {name for name in tuned.replacements if not name.startswith(f"{classifier}.")}
    counts = (parameter.numel() for name, parameter in module.named_parameters() if name in names)
    return tuned.parameter_count + int(sum(counts))


def _tuning_note(recipe: Recipe, backbone: Backbone, difference: float | None) -> str:
    has_own_weights = recipe.weights or backbone.folder is not None
    tag = f" (weights {backbone.tag})" if backbone.tag and not has_own_weights else ""
    line = f"{recipe.method} on {backbone.name}{tag}"
    if recipe.method in WITHOUT_PARTS:
        return line
    scale = "" if recipe.method == "lora" else f", scale {recipe.scale:g}"
    if difference is None:
        return f"{line}{scale}; not folded in: the tuned parts run beside the backbone"
    change = f"{difference:.0e} of the largest (in float64)"
    return f"{line}{scale}; folded in, which changes the logits by {change}"


# --- names ---------------------------------------------------------------------------------------------------


def from_name(rest: str) -> Network:
    """Return the network `timm:REST`, where REST is a timm name, NAME@CHECKPOINT or a folder; raises UsageError."""
    label = f"timm:{rest}"
    require_libraries(label)
    name, _, checkpoint = rest.partition("@")
    if Path(rest).expanduser().is_dir():
        name, checkpoint = rest, ""
    path = Path(checkpoint).expanduser() if checkpoint else None
    is_folder = path is not None and (path / CONFIG_FILE).is_file()
    backbone = Backbone(str(path) if is_folder else name, recipe_folder=Path(), label=label)
    if is_folder and backbone.name != name:
        raise UsageError(f"{label}: {path} contains a {backbone.name}, not a {name}")
    if backbone.folder is not None:
        module = _create_with_weights(backbone, backbone.weights(), label)
        short_name = backbone.folder.resolve().name
    elif path is not None:
        file = path / WEIGHTS_FILE if path.is_dir() else path
        module = _create_with_weights(backbone, weights.read(file, label=label), label)
        short_name = path.resolve().stem
    else:
        module, short_name = _create_pretrained(backbone, classes=None), backbone.name
    return _make_network(backbone, module, short_name, is_pretrained=backbone.folder is None and path is None)


def _create_with_weights(backbone: Backbone, state: Tensors, label: str) -> Any:
    """Return the network with the given weights and as many outputs as their head has."""
    head = state.get(f"{backbone.classifier}.weight")
    if head is None or head.dim() < 2:
        raise UsageError(
            f"{label}: no {backbone.classifier}.weight: without a classifier head it cannot classify"
        )
    module = backbone.create(len(head))
    _load_state(module, state, label=label)
    return module


def _make_network(backbone: Backbone, module: Any, short_name: str, *, is_pretrained: bool) -> Network:
    """Return the network of a module; `is_pretrained`: the weights are timm's, so that `short_name` identifies them."""
    preprocessing = backbone.preprocessing
    classes = int(getattr(module, "num_classes", 0))
    if classes < 1:
        raise UsageError(f"{backbone.label}: the weights have no classifier head, so it cannot classify")
    digest = weights.digest(module.state_dict())
    key = identity.hash_json({"version": VERSION, "weights": digest, "preprocessing": str(preprocessing)})
    tag = f", weights {backbone.tag}" if is_pretrained and backbone.tag else ""
    return Network(
        name=short_name if is_pretrained else f"{short_name}-{key[:8]}", module=module, preprocessing=preprocessing,
        classes=classes, parameters=sum(parameter.numel() for parameter in module.parameters()),
        trained=None, key=key, notes=(f"{backbone.name}{tag}", f"images: {preprocessing}"),
    )  # fmt: skip


# --- latency -------------------------------------------------------------------------------------------------


def latency_ms(module: Any, image: torch.Tensor) -> float:
    """Return the median time in ms to classify a preprocessed image, given as a batch of one, on the image's device."""
    import torch

    times: list[float] = []
    first_start = time.perf_counter()
    with torch.inference_mode():
        for run in range(WARM_UP_RUNS + TIMED_RUNS):
            start = time.perf_counter()
            module(image)
            if image.is_cuda:
                torch.cuda.synchronize()
            if run >= WARM_UP_RUNS:
                times.append(time.perf_counter() - start)
            if times and time.perf_counter() - first_start > MAX_TIMING_S:
                break
    return 1000 * median(times)
