"""The merging methods: their parameters with bounds, default factors, and the defects of the released code.

The released code is github.com/WalkerWorldPeace/MLLMerging at 5f8a4583, by the authors of OptMerge (arXiv 2505.19892v3).
The edition `original` of a method reproduces that code with its defect; `fixed` follows the paper. Default factors (lambda)
are from `DEFAULT_HPARAMS` in LLaMA-Factory/baseline_merging.py and from the releases of OptMerge, SWUDI and ASWUDI; the
authors tuned them on data that the paper does not name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from evals.errors import UnknownName

if TYPE_CHECKING:
    import torch

Edition: TypeAlias = Literal["fixed", "original"]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Steps: TypeAlias = Annotated[int, Meta(ge=0, le=100_000)]
Rate: TypeAlias = Annotated[float, Meta(gt=0)]
Start: TypeAlias = Literal["sum", "mean", "zero"]
"""The task vector that a closed form starts from: the sum of the experts' task vectors, their mean, or 0."""
Scope: TypeAlias = Literal["tensor", "model"]
RankRule: TypeAlias = Literal[
    "participation-sqrt", "participation", "stable-rank", "entropy", "gavish-donoho", "cumulative", "all"
]


class NoParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """A method without parameters besides lambda."""


class Ties(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of TIES."""

    density: Share = 0.2
    """Share of entries that are kept, the largest in magnitude."""
    scope: Scope = "tensor"
    """Whether the share refers to each tensor, or to one vector of all merged tensors (which takes more passes over the weights)."""


class Dare(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of DARE before task arithmetic."""

    drop: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Probability that an entry is dropped; the authors of DARE use 0.9, OptMerge's tables 0.2."""


class DareTies(Dare, frozen=True, forbid_unknown_fields=True):
    """Parameters of DARE before TIES."""

    density: Share = 0.2
    scope: Scope = "tensor"


class Wudi(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of WUDI's descent: the number of steps and the rate matter, since WUDI stops before convergence."""

    steps: Steps = 300
    rate: Rate = 1e-5


class OptMerge(Wudi, frozen=True, forbid_unknown_fields=True):
    """Parameters of OptMerge for full fine-tuning."""

    rank: Share | None = None
    """Share of the singular values that are kept; default: one over the number of experts."""


class OptMergeLora(OptMerge, frozen=True, forbid_unknown_fields=True):
    """Parameters of OptMerge for LoRA."""

    rate: Rate = 1e-4


class OptMergeModality(OptMerge, frozen=True, forbid_unknown_fields=True):
    """Parameters of OptMerge for experts of several modalities."""

    rate: Rate = 5e-2


class Swudi(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of SWUDI."""

    time: Annotated[float, Meta(gt=0)] = 300.0
    """Duration of the gradient flow, which tends to WUDI's least-squares solution."""
    ratio: Share = 0.65
    """Share of the directions that the flow changes, those with the largest eigenvalues."""
    start: Start = "sum"


class Aswudi(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of ASWUDI."""

    rank: RankRule = "participation-sqrt"
    """How the number of directions is chosen for each matrix."""
    cumulative: Share = 0.9
    """For `rank = "cumulative"`: minimum share of the eigenvalues' sum that the kept ones add up to."""
    start: Start = "sum"


class GlobalTies(Struct, frozen=True):
    """Thresholds and majority of TIES over one vector of all merged tensors."""

    thresholds: tuple[float, ...]
    """Smallest magnitude kept, for each expert."""
    majority: int
    """Sum of the signs of the entries of the summed task vectors; its own sign is the majority sign."""


class MergeContext(Struct, frozen=True, kw_only=True):
    """The arguments of a merging method for one tensor, besides the task vectors."""

    tensor: str
    """Name of the tensor."""
    experts: tuple[str, ...]
    """Names of the experts, in the order of the task vectors."""
    parameters: Any
    edition: Edition
    seed: int
    factor: float
    """lambda, by which the caller multiplies the result."""
    stored_dtype: Any
    """torch dtype of the tensor in the base."""
    global_ties: GlobalTies | None = None
    """Set for TIES with `scope = "model"`, else None."""


Merge: TypeAlias = "Callable[[list[torch.Tensor], MergeContext], torch.Tensor]"
"""(task vectors, which it may overwrite, context) -> merged task vector, before multiplication by lambda."""


class Method(Struct, frozen=True, kw_only=True):
    """One merging method."""

    title: str
    function: str
    """`MODULE:FUNCTION` within this package."""
    parameters: type[Any] = NoParameters
    factor: float = 0.3
    """Default lambda."""
    defect: str = ""
    """How the edition `original` deviates from the paper; empty: the editions are the same."""
    uses_device: bool = False
    """Whether it decomposes or optimises matrices, on the recipe's device."""

    def load(self) -> Merge:
        """Import the module and return the function."""
        module, _, name = self.function.partition(":")
        merge: Merge = vars(import_module(f"evals.merging.{module}"))[name]
        return merge


MERGEKIT_PREFIX = "mergekit:"
"""Prefix for the names of mergekit's methods (`mergekit_methods.py`)."""
_ZERO_NORM = "divides by zero if an expert does not change a matrix"
_TINY_EIGENVALUES = (
    "sets eigenvalues below 1e-8 to 1e-8 and keeps their directions, which amplifies rounding errors"
)
METHODS = {
    "weight-average": Method(title="Weight averaging", function="elementwise:average", factor=1.0),
    "task-arithmetic": Method(title="Task arithmetic", function="elementwise:total"),
    "ties": Method(
        title="TIES", function="elementwise:ties", parameters=Ties,
        defect="keeps the largest entry that should be trimmed (>= the k-th smallest magnitude)",
    ),
    "dare": Method(title="DARE, then task arithmetic", function="elementwise:dare", parameters=Dare),
    "dare-ties": Method(
        title="DARE, then TIES", function="elementwise:dare_ties", parameters=DareTies,
        defect="passes only the last expert to TIES if the scope is a tensor (LLaMA-Factory/model_merging.py:711), and keeps "
        "the largest entry that should be trimmed",
    ),
    "tsv": Method(
        title="Task singular vectors", function="spectral:tsv", uses_device=True,
        defect="averages every matrix but lm_head.weight (the branch tests the name with == in place of !=)",
    ),
    "iso-c": Method(title="Iso-C", function="spectral:iso_c", uses_device=True),
    "wudi": Method(
        title="WUDI", function="optimised:wudi", parameters=Wudi, uses_device=True, defect=_ZERO_NORM,
    ),
    "optmerge-lora": Method(
        title="OptMerge for LoRA", function="optimised:optmerge_lora", parameters=OptMergeLora, factor=1.0,
        uses_device=True, defect=f"descends in the checkpoints' dtype, which loses small updates; {_ZERO_NORM}",
    ),
    "optmerge-full": Method(
        title="OptMerge for full fine-tuning", function="optimised:optmerge_full", parameters=OptMerge, factor=0.1,
        uses_device=True, defect=f"projects on the singular vectors of uncentred task vectors (equation 3: centred); {_ZERO_NORM}",
    ),
    "optmerge-modality": Method(
        title="OptMerge for modalities", function="optimised:optmerge_modality", parameters=OptMergeModality,
        factor=1.0, uses_device=True,
        defect=f"keeps a fifth of the singular values whatever the number of experts, and merges the two factors of "
        f"a LoRA separately, each times lambda; {_ZERO_NORM}",
    ),
    "swudi": Method(
        title="SWUDI", function="spectral:swudi", parameters=Swudi, factor=0.1, uses_device=True,
        defect=_TINY_EIGENVALUES,
    ),
    "aswudi": Method(
        title="ASWUDI", function="spectral:aswudi", parameters=Aswudi, factor=0.2, uses_device=True,
        defect=_TINY_EIGENVALUES,
    ),
}  # fmt: skip
"""Name -> method."""


def method_of(name: str, *, source: object = "") -> Method:
    """Return a method by name, read from `source`; raises UnknownName, which suggests similar names."""
    if name.startswith(MERGEKIT_PREFIX):
        return Method(title=name, function="", parameters=dict, factor=1.0)
    if (method := METHODS.get(name)) is None:
        raise UnknownName("merging method", name, [*METHODS, f"{MERGEKIT_PREFIX}NAME"], source=source)
    return method
