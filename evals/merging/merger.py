"""The arithmetic of a merge, one tensor at a time, in buffers that are allocated once.

Buffers of varying size would fragment the heap, so that a merge would take a third more memory (with tensors of 16 MB).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from evals.errors import UsageError
from evals.merging import checks, mergekit_methods
from evals.merging.checks import Expert
from evals.merging.elementwise import average, drop_at_random, rank_of, sum_of_signs, total, trim
from evals.merging.lora import Adapter
from evals.merging.optimised import modality_factors
from evals.merging.recipe import Recipe
from evals.merging.selection import Selection
from evals.merging.table import MERGEKIT_PREFIX, DareTies, GlobalTies, MergeContext, Ties
from evals.merging.tensors import Checkpoint, dtype_of, is_finite, require_finite

if TYPE_CHECKING:
    import torch

PROBES = 8
"""Maximum number of matrices from which the distance of an expert to the base is estimated."""


class Merger:
    """Merges a base and its experts by a recipe, after the checks in `checks.py`."""

    def __init__(
        self, recipe: Recipe, base: Checkpoint, experts: dict[str, Expert], *, log: Callable[[str], None]
    ) -> None:
        self._recipe, self._base, self._experts, self._log = recipe, base, experts, log
        self._buffers: list[torch.Tensor] = []
        """One for the base, and one for each expert."""

    def distances(self) -> dict[str, float]:
        """Return for each expert the norm of its task vector relative to the base's, estimated from up to `PROBES` matrices."""
        names = [name for name in self._merged_names if len(self._base.tensors[name].shape) == 2]
        names = names[:: max(1, len(names) // PROBES)][:PROBES]
        return {expert: self._distance(expert, names) for expert in self._experts}

    def _distance(self, expert: str, names: list[str]) -> float:
        squared_change, squared_norm = 0.0, 0.0
        for name in names:
            weights = self._base_weights(name)
            tau = self._experts[expert].task_vector(name, weights, self._buffer(1, name))
            squared_change += float(tau.square_().sum())
            squared_norm += float(weights.square_().sum())
        return (squared_change / squared_norm) ** 0.5 if squared_norm else 0.0

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor of the result, which the next call overwrites; raises UsageError if it is not finite."""
        recipe = self._recipe
        is_changed = any(not isinstance(e, Adapter) or e.changes(name) for e in self._experts.values())
        if not is_changed or not checks.is_merged(name, self._base, recipe.exclude):
            return self._base_tensor(name)
        context = self._context_for(name, self._global_ties)  # before this tensor is read into the buffers
        weights = self._base_weights(name)
        weights.add_(self._merged_task_vector(weights, context), alpha=recipe.factor)
        if not is_finite(weights):
            hint = '; try edition = "fixed"' if recipe.edition == "original" else ""
            raise UsageError(
                f"{recipe.path}: {recipe.method} produces NaN or infinite values for {name}{hint}"
            )
        return weights

    def _base_tensor(self, name: str) -> torch.Tensor:
        """Return a tensor of the base as it is stored."""
        stored = self._base.tensor(name)
        if dtype_of(self._base.tensors[name]) is not None:
            require_finite(stored, f"{self._base.label}: {name}")
        return stored

    def _context_for(self, name: str, global_ties: GlobalTies | None) -> MergeContext:
        recipe = self._recipe
        return MergeContext(
            tensor=name, experts=tuple(recipe.experts), parameters=recipe.parameters, edition=recipe.edition,
            seed=recipe.seed, factor=recipe.factor, stored_dtype=dtype_of(self._base.tensors[name]), global_ties=global_ties,
        )  # fmt: skip

    def _base_weights(self, name: str) -> torch.Tensor:
        """Return a tensor of the base in the precision of the arithmetic."""
        weights = self._buffer(0, name).copy_(self._base.tensor(name))
        require_finite(weights, f"{self._base.label}: {name}")
        return weights

    def _task_vectors(self, weights: torch.Tensor, name: str) -> list[torch.Tensor]:
        return [
            expert.task_vector(name, weights, self._buffer(index, name))
            for index, expert in enumerate(self._experts.values(), 1)
        ]

    def _buffer(self, index: int, name: str) -> torch.Tensor:
        """Return a view of a buffer in the shape of a tensor."""
        import torch

        if not self._buffers:
            dtype = {"float32": torch.float32, "float64": torch.float64}[self._recipe.compute]
            largest = max(self._base.tensors[name].count for name in self._merged_names)
            self._buffers = [torch.empty(largest, dtype=dtype) for _ in range(len(self._experts) + 1)]
        stored = self._base.tensors[name]
        return self._buffers[index][: stored.count].view(stored.shape)

    @cached_property
    def _merged_names(self) -> list[str]:
        return [
            name for name in self._base.tensors if checks.is_merged(name, self._base, self._recipe.exclude)
        ]

    def _merged_task_vector(self, weights: torch.Tensor, context: MergeContext) -> torch.Tensor:
        recipe, rule = self._recipe, self._recipe.rule
        adapters = [e for e in self._experts.values() if isinstance(e, Adapter) and context.tensor in e.pairs]
        merges_factors = recipe.method == "optmerge-modality" and recipe.edition == "original"
        if merges_factors and len(adapters) == len(self._experts):
            return modality_factors([e.factors(context.tensor, weights.dtype) for e in adapters], context)
        taus = self._task_vectors(weights, context.tensor)
        if recipe.method.startswith(MERGEKIT_PREFIX):
            return mergekit_methods.merge(taus, weights, context, method=recipe.method)
        if not rule.uses_device:
            return rule.load()(taus, context)
        if weights.dim() != 2:
            return (total if recipe.method == "iso-c" else average)(taus, context)
        return rule.load()([tau.to(recipe.device) for tau in taus], context).to("cpu")

    @cached_property
    def _global_ties(self) -> GlobalTies | None:
        """Return the thresholds and the majority of TIES over one vector of all merged tensors; None for scope `tensor`.

        This takes three passes over the weights (five in float64), with one tensor of each checkpoint in memory.
        """
        parameters = self._recipe.parameters
        if not isinstance(parameters, Ties | DareTies) or parameters.scope != "model":
            return None
        thresholds = self._thresholds(parameters.density)
        self._log("counting the signs of the whole model's weights")
        majority = 0
        for name in self._merged_names:
            flat = [tau.reshape(-1) for tau in self._vectors_after_dare(name)]
            trim(flat, thresholds)
            majority += sum_of_signs(flat)
        return GlobalTies(thresholds, majority)

    def _thresholds(self, density: float) -> tuple[float, ...]:
        """Return, for each expert, the smallest magnitude that TIES keeps in the whole model."""
        count = sum(self._base.tensors[name].count for name in self._merged_names)
        rank = rank_of(count, density, edition=self._recipe.edition)
        if rank is None:
            return (0.0,) * len(self._experts)
        width = {"float32": 32, "float64": 64}[self._recipe.compute]
        selections = [Selection(rank, width=width) for _ in self._experts]
        while not selections[0].is_done:
            self._log(f"reading the magnitudes of {count:,} weights of each expert")
            for name in self._merged_names:
                for tau, selection in zip(self._vectors_after_dare(name), selections, strict=True):
                    selection.count(tau.reshape(-1).numpy())
            for selection in selections:
                selection.narrow()
        return tuple(selection.value for selection in selections)

    def _vectors_after_dare(self, name: str) -> list[torch.Tensor]:
        """Return the task vectors of a tensor, after DARE if the method includes it."""
        taus = self._task_vectors(self._base_weights(name), name)
        if isinstance(self._recipe.parameters, DareTies):
            drop_at_random(taus, self._context_for(name, None))
        return taus
