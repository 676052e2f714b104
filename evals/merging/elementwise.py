"""Averaging, task arithmetic, TIES and DARE: in place or in blocks, with little memory beyond the task vectors.

The task vector of expert i is tau_i = theta_i - theta_0, with the base's weights theta_0; T is the number of experts. The
merging functions overwrite the task vectors. Sources are files of MLLMerging (see `table.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from evals.merging.selection import Selection
from evals.merging.table import MergeContext

if TYPE_CHECKING:
    import torch

BLOCK = 1 << 18
"""Number of entries merged at once: a few MB, which fit in the processor's cache."""


def average(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return (tau_1 + ... + tau_T) / T; with lambda = 1, the merged model is then the mean of the experts.

    Source: `weight_average_merging`, LLaMA-Factory/baseline_merging.py.
    """
    return total(taus, context).div_(len(taus))


def total(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return tau_1 + ... + tau_T (task arithmetic, arXiv 2212.04089).

    Source: `task_arithmetic`, LLaMA-Factory/baseline_merging.py: a sum, not a mean.
    """
    merged = taus[0]
    for tau in taus[1:]:
        merged.add_(tau)
    return merged


def ties(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return the TIES merge (arXiv 2306.01708): trim, elect a sign, average the entries that agree with it.

    Each tau keeps its `density` share of largest magnitudes; entries tied with the smallest of these are kept too. The
    elected sign of an entry is the sign of the sum of the trimmed vectors or, if the sum is 0, the majority sign. The
    mean is over the entries with that sign. Share and majority refer to the tensor or, as in the paper, to one vector of all
    merged tensors (`scope = "model"`, `context.global_ties`). `original` keeps one entry too many: all magnitudes from the k-th
    smallest on, k = int((1 - density) n). Sources: `ties_merging` in LLaMA-Factory/baseline_merging.py (per tensor), in
    InternVL/internvl_chat/model_merging.py and, on the factors of LoRAs, in
    ModelCompose/scripts/model_composition/ties_merging.py (one vector).
    """
    flat = [tau.reshape(-1) for tau in taus]
    if context.global_ties is not None:
        thresholds: Sequence[float] = context.global_ties.thresholds
    else:
        thresholds = [threshold(tau, context.parameters.density, edition=context.edition) for tau in flat]
    trim(flat, thresholds)
    majority = sum_of_signs(flat) if context.global_ties is None else context.global_ties.majority
    sign = (majority > 0) - (majority < 0)
    for block in _blocks(flat):
        _disjoint_merge(block, sign)
    return taus[0]


def threshold(tau: torch.Tensor, density: float, *, edition: str) -> float:
    """Return the smallest magnitude that TIES keeps in a flattened task vector."""
    if (rank := rank_of(tau.numel(), density, edition=edition)) is None:
        return 0.0
    selection = Selection(rank, width=8 * tau.element_size())
    while not selection.is_done:
        selection.count(tau.numpy())
        selection.narrow()
    return selection.value


def rank_of(count: int, density: float, *, edition: str) -> int | None:
    """Return the rank, from 0, of the smallest magnitude that TIES keeps among `count`; None if it keeps all."""
    trimmed = int(count * (1 - density))
    rank = trimmed - 1 if edition == "original" else min(trimmed, count - 1)
    return rank if rank >= 0 else None


def trim(flat: Sequence[torch.Tensor], thresholds: Sequence[float]) -> None:
    """Set the entries of each vector whose magnitude is below the vector's threshold to 0, in place."""
    for tau, smallest_kept in zip(flat, thresholds, strict=True):
        for (part,) in _blocks([tau]):
            part.masked_fill_(part.abs() < smallest_kept, 0)


def sum_of_signs(flat: Sequence[torch.Tensor]) -> int:
    """Return the sum of the signs of the entries of the vectors' sum; its own sign is the majority sign."""
    return sum(int(sum_of(block).sign_().sum()) for block in _blocks(flat))


def _blocks(flat: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Yield block after block as views: one part of each vector."""
    for start in range(0, flat[0].numel(), BLOCK):
        yield [tau[start : start + BLOCK] for tau in flat]


def sum_of(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return the sum as a new tensor."""
    summed = tensors[0].clone()
    for tensor in tensors[1:]:
        summed.add_(tensor)
    return summed


def _disjoint_merge(block: list[torch.Tensor], majority: int) -> None:
    """Replace the first vector's block by the mean of the entries that have the elected sign; 0 if none has."""
    import torch

    signs = sum_of(block).sign_()
    if majority:
        signs[signs == 0] = majority
    merged, count = torch.zeros_like(signs), torch.zeros_like(signs)
    for part in block:
        agreeing = (part * signs).clamp_(min=0)  # magnitudes of the entries with the elected sign
        merged.add_(agreeing)
        count.add_(agreeing.sign_())
    block[0].copy_(merged.div_(count.clamp_(min=1)).mul_(signs))


def dare(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return the sum of the task vectors, each with entries dropped at random and the others rescaled by 1 / (1 - drop).

    Sources: arXiv 2311.03099; `mask_input_with_mask_rate`, LLaMA-Factory/baseline_merging.py. The released script sets no
    seed; here every expert and tensor has its own, so that the order of experts does not matter.
    """
    drop_at_random(taus, context)
    return total(taus, context)


def dare_ties(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return the TIES merge of the task vectors after DARE; `original` passes only the last expert to TIES in scope `tensor`.

    Sources: LLaMA-Factory/model_merging.py:711 (which fails as released, since it passes a model instead of a list of
    models); InternVL/internvl_chat/model_merging.py passes all experts, and trims one vector of all tensors.
    """
    drop_at_random(taus, context)
    return ties(taus[-1:] if context.edition == "original" and context.global_ties is None else taus, context)


def drop_at_random(taus: list[torch.Tensor], context: MergeContext) -> None:
    """Set each entry to 0 with probability `drop`, and divide the others by 1 - drop, in place."""
    import torch

    drop = context.parameters.drop
    for expert, tau in zip(context.experts, taus, strict=True):
        seed = sha256(f"{context.seed}/{expert}/{context.tensor}".encode()).digest()[:7]
        generator = torch.Generator().manual_seed(int.from_bytes(seed))
        for (part,) in _blocks([tau.reshape(-1)]):
            kept = torch.rand(part.numel(), generator=generator) >= drop
            part.mul_(kept).div_(1 - drop)
