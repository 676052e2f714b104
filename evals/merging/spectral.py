"""TSV, Iso-C, SWUDI and ASWUDI: methods that decompose each matrix instead of optimising it.

The task vector of expert i is tau_i = theta_i - theta_0 (m x n), with the base's weights theta_0; T is the number of
experts. Sources are files of MLLMerging (see `table.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evals.merging.elementwise import average, total
from evals.merging.table import Aswudi, MergeContext

if TYPE_CHECKING:
    import torch

MIN_EIGENVALUE = 1e-8
"""Smaller eigenvalues are raised to this value; `fixed` ignores their directions as rounding errors."""
MIN_SQUARED_NORM = 1e-12
"""Squared norm below which a task vector is treated as zero."""


def tsv(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return P(U) S P(V^T) for the experts' concatenated leading singular vectors (TSV-Merge, arXiv 2412.00081).

    Each expert contributes its r = int(min(m, n) / T) leading vectors. P replaces all singular values of its argument by 1,
    which gives the nearest orthonormal matrix; S contains the experts' singular values. Because of an inverted test,
    `original` does this only for `lm_head.weight`, which the released scripts do not merge, and averages every other matrix.
    Source: `svd_merging`, LLaMA-Factory/model_merging.py and, corrected, LLaMA-Factory/baseline_merging.py.
    """
    import torch

    if context.edition == "original" and context.tensor != "lm_head.weight":
        return average(taus, context)
    rank = min(taus[0].shape) // len(taus)
    decompositions = [_truncated_svd(tau, rank) for tau in taus]
    left = torch.cat([u for u, _, _ in decompositions], dim=1)
    values = torch.cat([s for _, s, _ in decompositions])
    right = torch.cat([vt for _, _, vt in decompositions])
    del decompositions
    return (nearest_orthonormal(left) * values) @ nearest_orthonormal(right)


def _truncated_svd(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return copies of the leading singular vectors and values, so that the memory of the full decomposition is released."""
    import torch

    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank].clone(), s[:rank].clone(), vt[:rank].clone()


def nearest_orthonormal(matrix: torch.Tensor) -> torch.Tensor:
    """Return U V^T, the nearest orthonormal matrix to one with the singular value decomposition U S V^T."""
    import torch

    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u @ vt


def iso_c(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return the sum of the task vectors with all min(m, n) singular values at their mean (Iso-C, arXiv 2502.04959).

    Source: `iso_merging`, LLaMA-Factory/baseline_merging.py.
    """
    import torch

    u, s, vt = torch.linalg.svd(total(taus, context), full_matrices=False)
    return (u @ vt).mul_(s.mean())


def swudi(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return the M that gradient flow on WUDI's loss reaches at time t, restricted to the leading directions.

    C = sum tau_i^T tau_i / |tau_i|^2 = V diag(l) V^T and D = sum tau_i tau_i^T tau_i / |tau_i|^2. With f = 1 - exp(-l t)
    for the ceil(ratio n) largest l and 0 for the others: M = M_0 - M_0 V diag(f) V^T + D V diag(f / l) V^T. The parameter
    `start` chooses M_0: 0, the sum of the tau_i, or their mean. As t goes to infinity, M solves M C = D, the normal equations
    of WUDI's loss. `lm_head` and task vectors that are all (nearly) 0 are averaged. Source: `swudi_merge`,
    LLaMA-Factory/swudi_aswudi.py.
    """
    if "lm_head" in context.tensor or _are_nearly_zero(taus):
        return average(taus, context)
    parameters = context.parameters
    values, vectors, right_hand_side = _spectrum(taus)
    count = max(1, int(parameters.ratio * len(values) + 0.999))
    filter_factors = 1 - (-values * parameters.time).exp()
    return _solve(taus, context, values, vectors, right_hand_side, filter_factors=filter_factors, count=count)


def aswudi(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return WUDI's least-squares solution, restricted to leading directions; the rule `rank` chooses how many per matrix.

    This is `swudi` with t = infinity. Source: `aswudi_merge` and
    `_aswudi_pick_rank`, LLaMA-Factory/swudi_aswudi.py.
    """
    import torch

    if "lm_head" in context.tensor or _are_nearly_zero(taus):
        return average(taus, context)
    values, vectors, right_hand_side = _spectrum(taus)
    count = direction_count(values.flip(0), context.parameters, shape=tuple(taus[0].shape))
    return _solve(
        taus, context, values, vectors, right_hand_side, filter_factors=torch.ones_like(values), count=count
    )


def _are_nearly_zero(taus: list[torch.Tensor]) -> bool:
    return max(float(tau.square().sum()) for tau in taus) < MIN_SQUARED_NORM


def _spectrum(taus: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the eigenvalues of C, ascending and at least `MIN_EIGENVALUE`, its eigenvectors, and D."""
    import torch

    columns = taus[0].shape[1]
    gram_sum, right_hand_side = taus[0].new_zeros(columns, columns), torch.zeros_like(taus[0])
    for tau in taus:
        gram = tau.T @ tau
        gram.div_(tau.square().sum().clamp(min=MIN_SQUARED_NORM))
        gram_sum.add_(gram)
        right_hand_side.addmm_(tau, gram)
    values, vectors = torch.linalg.eigh(gram_sum)
    return values.clamp(min=MIN_EIGENVALUE), vectors, right_hand_side


def _solve(
    taus: list[torch.Tensor],
    context: MergeContext,
    values: torch.Tensor,
    vectors: torch.Tensor,
    right_hand_side: torch.Tensor,
    *,
    filter_factors: torch.Tensor,
    count: int,
) -> torch.Tensor:
    """Return M of `swudi` with the filter factors f, all but the last `count` set to 0; `fixed` also drops rounding errors."""
    import torch

    filter_factors[: len(filter_factors) - count] = 0
    if context.edition == "fixed":
        noise = len(values) * torch.finfo(values.dtype).eps * float(values[-1])
        filter_factors[values <= max(MIN_EIGENVALUE, noise)] = 0
    solution = (right_hand_side @ vectors).mul_(filter_factors / values) @ vectors.T
    if context.parameters.start == "zero":
        return solution
    merged = total(taus, context) if context.parameters.start == "sum" else average(taus, context)
    return merged - (merged @ vectors).mul_(filter_factors) @ vectors.T + solution


def direction_count(values: torch.Tensor, parameters: Aswudi, *, shape: tuple[int, ...]) -> int:
    """Return how many eigenvalues ASWUDI keeps, at least 1; `values`: the eigenvalues in descending order."""
    roots = values.sqrt()
    rule = parameters.rank
    if rule == "all":
        count = float(len(values))
    elif rule == "stable-rank":
        count = float(values.square().sum() / values[0].square())
    elif rule == "entropy":
        weights = (values / values.sum()).clamp(min=1e-30)
        count = float((-(weights * weights.log()).sum()).exp())
    elif rule == "participation":
        count = float(values.sum().square() / values.square().sum())
    elif rule == "participation-sqrt":
        count = float(roots.sum().square() / roots.square().sum())
    elif rule == "gavish-donoho":
        count = float((roots > _gavish_donoho(shape) * roots.median()).sum())
    else:
        cumulative_shares = values.cumsum(0) / values.sum()
        count = float((cumulative_shares < parameters.cumulative).sum() + 1)
    return max(1, min(math.ceil(count), len(values)))


def _gavish_donoho(shape: tuple[int, ...]) -> float:
    """Return the threshold for singular values in multiples of their median, approximated as in the released code."""
    beta = min(shape) / max(shape)
    optimal = math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta * beta + 14 * beta + 1)))
    median = math.sqrt(2 + math.sqrt(3)) if beta >= 0.9999 else math.sqrt(max((1 - beta) ** 2 + beta, 1e-3))
    return optimal / max(median, 1e-3)
