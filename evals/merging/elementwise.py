"""Averaging, task arithmetic, TIES and DARE, in blocks: beside the task vectors they need one more of their size.

A task vector is tau_i = theta_i - theta_0, T their number. All functions overwrite their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

from evals.merging.table import Call

if TYPE_CHECKING:
    import torch

BLOCK = 1 << 18
"""Entries that are merged at once: some MB, which stay in the processor's cache."""


def average(taus: list[torch.Tensor], call: Call) -> torch.Tensor:
    """Return (tau_1 + ... + tau_T) / T, so that theta_0 plus it is the mean of the experts (lambda = 1).

    Source: `weight_average_merging`, ML LLaMA-Factory/baseline_merging.py.
    """
    return total(taus, call).div_(len(taus))


def total(taus: list[torch.Tensor], call: Call) -> torch.Tensor:
    """Return tau_1 + ... + tau_T (task arithmetic, arXiv 2212.04089).

    Source: `task_arithmetic`, ML LLaMA-Factory/baseline_merging.py: a sum, not a mean.
    """
    merged = taus[0]
    for tau in taus[1:]:
        merged.add_(tau)
    return merged


def ties(taus: list[torch.Tensor], call: Call) -> torch.Tensor:
    """Return the TIES merge (arXiv 2306.01708): trim, elect a sign, average the entries that agree with it.

    Each tau keeps its `density` share of largest magnitudes, per tensor; entries equal to the smallest that is kept are
    kept too. The sign is that of the sum of the trimmed; where that is 0, the majority of the tensor's signs. The mean is
    over the entries of that sign. `original` keeps all of at least the k-th smallest magnitude, k = int((1 - density) n),
    which is one entry too many. Source: `ties_merging`, ML LLaMA-Factory/baseline_merging.py.
    """
    flat = [tau.reshape(-1) for tau in taus]
    for tau in flat:
        _trim(tau, threshold(tau, call.parameters.density, edition=call.edition))
    majority = 0
    for block in _blocks(flat):
        majority += int(_sum(block).sign_().sum())
    sign = (majority > 0) - (majority < 0)
    for block in _blocks(flat):
        _disjoint_mean(block, sign)
    return taus[0]


def threshold(tau: torch.Tensor, density: float, *, edition: str) -> float:
    """Return the smallest magnitude that TIES keeps; `tau` is flat."""
    import numpy as np

    trimmed = int(tau.numel() * (1 - density))
    place = trimmed - 1 if edition == "original" else min(trimmed, tau.numel() - 1)
    if place < 0 or not tau.numel():
        return 0.0
    magnitudes = np.abs(tau.numpy())
    magnitudes.partition(place)  # in place: torch.kthvalue needs four times the memory
    return float(magnitudes[place])


def _trim(tau: torch.Tensor, least: float) -> None:
    for start in range(0, tau.numel(), BLOCK):
        part = tau[start : start + BLOCK]
        part.masked_fill_(part.abs() < least, 0)


def _blocks(flat: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    for start in range(0, flat[0].numel(), BLOCK):
        yield [tau[start : start + BLOCK] for tau in flat]


def _sum(block: list[torch.Tensor]) -> torch.Tensor:
    summed = block[0].clone()
    for part in block[1:]:
        summed.add_(part)
    return summed


def _disjoint_mean(block: list[torch.Tensor], majority: int) -> None:
    """Replace the first part by the mean of the entries that have the elected sign; 0 if there is none."""
    import torch

    signs = _sum(block).sign_()
    if majority:
        signs[signs == 0] = majority
    merged, count = torch.zeros_like(signs), torch.zeros_like(signs)
    for part in block:
        agreeing = (part * signs).clamp_(min=0)  # magnitudes of the entries that have the sign
        merged.add_(agreeing)
        count.add_(agreeing.sign_())
    block[0].copy_(merged.div_(count.clamp_(min=1)).mul_(signs))


def dare(taus: list[torch.Tensor], call: Call) -> torch.Tensor:
    """Return the sum of the task vectors, each with entries dropped at random and the others rescaled by 1 / (1 - drop).

    Source: arXiv 2311.03099; `mask_input_with_mask_rate`, ML LLaMA-Factory/baseline_merging.py. The released script sets
    no seed; here every expert and tensor has its own, so that the order of experts changes nothing.
    """
    drop_at_random(taus, call)
    return total(taus, call)


def dare_ties(taus: list[torch.Tensor], call: Call) -> torch.Tensor:
    """Return the TIES merge of task vectors after DARE; `original` passes only the last expert to TIES.

    Source: ML LLaMA-Factory/model_merging.py:711 (as released it then fails, as a model is not a list of models).
    """
    drop_at_random(taus, call)
    return ties(taus[-1:] if call.edition == "original" else taus, call)


def drop_at_random(taus: list[torch.Tensor], call: Call) -> None:
    """Set each entry to 0 with probability `drop` and divide the others by 1 - drop."""
    import torch

    drop = call.parameters.drop
    for expert, tau in zip(call.experts, taus, strict=True):
        seed = sha256(f"{call.seed}/{expert}/{call.tensor}".encode()).digest()[:7]
        generator = torch.Generator().manual_seed(int.from_bytes(seed))
        for (part,) in _blocks([tau.reshape(-1)]):
            kept = torch.rand(part.numel(), generator=generator) >= drop
            part.mul_(kept).div_(1 - drop)
