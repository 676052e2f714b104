"""From a name or a recipe to a network that is ready to classify, with what must be known of it."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from evals.boundary import foreign_code
from evals.errors import UsageError
from evals.merging import identity
from evals.vision import recipe as recipes
from evals.vision import tuned as tuning
from evals.vision import weights
from evals.vision.backbone import CONFIG, WEIGHTS, Backbone, require_libraries
from evals.vision.preprocessing import Preprocessing
from evals.vision.recipe import PLAIN, Recipe
from evals.vision.tuned import Tuned
from evals.vision.weights import Tensors

if TYPE_CHECKING:
    import torch

VERSION = 1
"""Raised when a formula changes, so that no older run is continued."""
TOLERANCE = 1e-5
"""Largest difference of the logits before and after folding, relative to the largest logit (at least 1)."""
PROBES = 2
RUNS, WARM_UP, MAX_SECONDS = 20, 3, 10.0


class Network(Struct, frozen=True, kw_only=True):
    """A classifier on the CPU."""

    name: str
    """Short name for tables."""
    module: Any
    preprocessing: Preprocessing
    classes: int
    parameters: int
    """Numbers in the network as it runs."""
    trained: int | None
    """Numbers trained for the task, without the classifier head; None: unknown."""
    key: str
    """Hash of everything that its answers depend on."""
    notes: tuple[str, ...]


def of_recipe(path: Path) -> Network:
    """Return the network of a recipe, its tuned part folded into it unless the recipe says otherwise; raises UsageError."""
    recipe = recipes.read(path)
    require_libraries(f"petl:{path}")
    backbone = Backbone(recipe.backbone, recipe_folder=recipe.folder, label=f"backbone {recipe.backbone}")
    preprocessing = recipe.preprocess(backbone.preprocessing)
    tuned = tuning.read(recipe, backbone.create(1).state_dict())
    head = f"{backbone.classifier}.weight"
    if head not in tuned.replaced or tuned.replaced[head].dim() != 2:
        raise UsageError(f"tuned {recipe.tuned} has no {head}: without a classifier head it names no class")
    module = backbone.create(len(tuned.replaced[head]))
    _load(module, _state(recipe, backbone, tuned), label=str(recipe.path))
    difference = _fit(module, tuned, preprocessing, merge=recipe.merge, label=str(recipe.path))
    key = identity.key(
        {
            "version": VERSION,
            "weights": weights.digest(module.state_dict()),
            "beside": {} if recipe.merge else _describe(tuned),
            "preprocessing": str(preprocessing),
        }
    )
    size = sum(parameter.numel() for parameter in module.parameters())
    return Network(
        name=f"{recipe.name}-{key[:8]}", module=module, preprocessing=preprocessing,
        classes=len(tuned.replaced[head]), parameters=size + (0 if recipe.merge else tuned.numbers),
        trained=_trained(recipe, tuned, module, backbone.classifier), key=key,
        notes=(_summary(recipe, backbone, difference), f"images: {preprocessing}"),
    )  # fmt: skip


def _state(recipe: Recipe, backbone: Backbone, tuned: Tuned) -> Tensors:
    """Return the frozen tensors with the trained ones in their place; raises UsageError."""
    if recipe.method == "full":
        return tuned.replaced
    head = f"{backbone.classifier}."
    if recipe.method == "linear" and (unexpected := [n for n in tuned.replaced if not n.startswith(head)]):
        raise UsageError(
            f"tuned {recipe.tuned} has {unexpected[0][:100]} beside the head: that is no linear probe"
        )
    if recipe.weights:
        frozen = weights.read(
            (recipe.folder / recipe.weights).expanduser(), label=f"weights {recipe.weights}"
        )
    elif backbone.folder is not None:
        frozen = backbone.weights()
    else:
        frozen = _pretrained(backbone, classes=1).state_dict()
    return {name: tensor for name, tensor in frozen.items() if not name.startswith(head)} | tuned.replaced


def _pretrained(backbone: Backbone, *, classes: int | None) -> Any:
    """Return timm's network with its own weights; `classes`: None for its own head."""
    if not any(backbone.config.get(key) for key in ("url", "hf_hub_id", "file")):
        raise UsageError(f"{backbone.label}: timm has no weights of {backbone.name}: name a checkpoint")
    own = int(backbone.config.get("num_classes") or 0)
    return backbone.create(own if classes is None else classes, pretrained=True)


def _load(module: Any, state: Tensors, *, label: str) -> None:
    weights.require_same(state, module.state_dict(), label=label)
    with foreign_code(lambda why: UsageError(f"{label}: {why[:300]}")):
        module.load_state_dict(state)


def _fit(module: Any, tuned: Tuned, preprocessing: Preprocessing, *, merge: bool, label: str) -> float | None:
    """Put the parts beside their layers, or fold them in; return the relative difference of the logits by that.

    Both are computed in float64 on random images; raises UsageError if they differ by more than `TOLERANCE`.
    """
    import torch

    with foreign_code(lambda why: UsageError(f"{label}: {why[:300]}")):
        layers = {name: module.get_submodule(name) for name in tuned.parts}
        hooks = [part.attach(layers[name]) for name, part in tuned.parts.items()]
        if not merge or not hooks:
            return None
        generator = torch.Generator().manual_seed(0)
        images = torch.randn((PROBES, *preprocessing.input_size), generator=generator, dtype=torch.float64)
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
        raise UsageError(f"{label}: folding changes the logits by {difference:.1e}, more than {TOLERANCE:g}")
    return difference


def _describe(tuned: Tuned) -> dict[str, Any]:
    """Return the hashes of parts that are not folded in."""
    import torch

    described = {}
    for layer, part in tuned.parts.items():
        fields = {name: getattr(part, name) for name in part.__struct_fields__}  # type: ignore[attr-defined]
        tensors = {name: value for name, value in fields.items() if isinstance(value, torch.Tensor)}
        described[layer] = [weights.digest(tensors), fields["scale"]]
    return described


def _trained(recipe: Recipe, tuned: Tuned, module: Any, classifier: str) -> int:
    names = [name for name in tuned.replaced if not name.startswith(f"{classifier}.")]
    parameters = dict(module.named_parameters())
    counts: list[int] = [parameters[name].numel() for name in names if name in parameters]
    return tuned.numbers + sum(counts)


def _summary(recipe: Recipe, backbone: Backbone, difference: float | None) -> str:
    tag = (
        f" (weights {backbone.tag})"
        if backbone.tag and not recipe.weights and backbone.folder is None
        else ""
    )
    line = f"{recipe.method} on {backbone.name}{tag}"
    if recipe.method in PLAIN:
        return line
    scale = "" if recipe.method == "lora" else f", scale {recipe.scale:g}"
    if difference is None:
        return f"{line}{scale}; not folded in: it runs beside the backbone"
    return (
        f"{line}{scale}; folded in, which changes the logits by {difference:.0e} of the largest (in float64)"
    )


# --- names ---------------------------------------------------------------------------------------------------


def of_name(rest: str) -> Network:
    """Return the network `timm:REST`: a name of timm, NAME@CHECKPOINT, or a folder; raises UsageError."""
    label = f"timm:{rest}"
    require_libraries(label)
    name, _, checkpoint = rest.partition("@")
    if Path(rest).expanduser().is_dir():
        name, checkpoint = rest, ""
    path = Path(checkpoint).expanduser() if checkpoint else None
    is_folder = path is not None and (path / CONFIG).is_file()
    backbone = Backbone(str(path) if is_folder else name, recipe_folder=Path(), label=label)
    if is_folder and backbone.name != name:
        raise UsageError(f"{label}: {path} is a {backbone.name}, not a {name}")
    if backbone.folder is not None:
        module = _with(backbone, backbone.weights(), label)
        short = backbone.folder.resolve().name
    elif path is not None:
        file = path / WEIGHTS if path.is_dir() else path
        module = _with(backbone, weights.read(file, label=label), label)
        short = path.resolve().stem
    else:
        module, short = _pretrained(backbone, classes=None), backbone.name
    return _named(backbone, module, short, own=backbone.folder is None and path is None)


def _with(backbone: Backbone, state: Tensors, label: str) -> Any:
    """Return the network with the given weights, and as many outputs as their head has."""
    head = state.get(f"{backbone.classifier}.weight")
    if head is None or head.dim() < 2:
        raise UsageError(
            f"{label}: no {backbone.classifier}.weight: without a classifier head it names no class"
        )
    module = backbone.create(len(head))
    _load(module, state, label=label)
    return module


def _named(backbone: Backbone, module: Any, short: str, *, own: bool) -> Network:
    preprocessing = backbone.preprocessing
    classes = int(getattr(module, "num_classes", 0))
    if classes < 1:
        raise UsageError(f"{backbone.label}: the weights have no classifier head: it names no class")
    digest = weights.digest(module.state_dict())
    key = identity.key({"version": VERSION, "weights": digest, "preprocessing": str(preprocessing)})
    tag = f", weights {backbone.tag}" if own and backbone.tag else ""
    return Network(
        name=short if own else f"{short}-{key[:8]}", module=module, preprocessing=preprocessing,
        classes=classes, parameters=sum(parameter.numel() for parameter in module.parameters()),
        trained=None, key=key, notes=(f"{backbone.name}{tag}", f"images: {preprocessing}"),
    )  # fmt: skip


# --- time ----------------------------------------------------------------------------------------------------


def latency_ms(module: Any, image: torch.Tensor) -> float:
    """Return the median time of one image (a batch of one, on its device), without reading it."""
    import torch

    times: list[float] = []
    begin = time.perf_counter()
    with torch.inference_mode():
        for run in range(WARM_UP + RUNS):
            start = time.perf_counter()
            module(image)
            if image.is_cuda:
                torch.cuda.synchronize()
            if run >= WARM_UP:
                times.append(time.perf_counter() - start)
            if times and time.perf_counter() - begin > MAX_SECONDS:
                break
    return 1000 * median(times)
