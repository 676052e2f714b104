"""WUDI and OptMerge: gradient descent on a quadratic loss; its start and number of steps are part of the method.

    loss(M) = sum_i |(M - t_i) D_i^T|^2 / |tau_i|^2

tau_i (m x n) are the T task vectors; t_i and D_i differ between the methods. The gradient is 2 (M C - B) with
C = sum D_i^T D_i / |tau_i|^2 and B = sum t_i D_i^T D_i / |tau_i|^2: a step takes one matrix product, where the released
code takes 3 T larger ones. Sources are files of MLLMerging (see `table.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from evals.errors import UsageError
from evals.merging.elementwise import sum_of
from evals.merging.table import MergeContext

if TYPE_CHECKING:
    import torch

ASSUMED_EXPERTS = 5
"""Number of experts assumed by ModelCompose/scripts/model_composition/ties_merging.py."""


def wudi(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return WUDI's M (arXiv 2503.08099): t_i = D_i = tau_i, starting from the sum of the tau_i, with Adam.

    300 steps at a rate of 1e-5 move an entry by about 3e-3 at most (derived, not measured), so the result stays near the
    sum. The `lm_head` is averaged. Source: `wudi_merging`, LLaMA-Factory/model_merging.py.
    """
    if "lm_head" in context.tensor:
        return _mean(taus)
    return _descend(sum_of(taus), taus, taus, taus, context, optimizer="adam")


def optmerge_full(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return OptMerge's M for full fine-tuning (arXiv 2505.19892v3, equation 3), starting from the sum, with Adam.

    With c = mean of the tau_i and rank k = int(min(m, n) / T): t_i = c + the rank-k part of tau_i - c, and D_i = S_k V_k^T of
    tau_i - c; `original` takes D_i from tau_i itself. Source: `wudi_merging2`, InternVL/internvl_chat/model_merging.py.
    """
    if "lm_head" in context.tensor:
        return _mean(taus)
    centre = _mean(taus)
    rank = _truncation_rank(taus, context)
    targets, axes = [], []
    for tau in taus:
        left, right = _low_rank(tau - centre, rank)
        targets.append(left @ right + centre)
        axes.append(_low_rank(tau, rank)[1] if context.edition == "original" else right)
    return _descend(sum_of(taus), targets, axes, taus, context, optimizer="adam")


def optmerge_lora(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return OptMerge's M for LoRA: t_i = rank-k part of tau_i, D_i = its S_k V_k^T, starting from the mean, with SGD.

    `original` descends in the base's dtype, unless `compute` is float64: in float16 an update below 5e-4 of an entry is lost.
    Source: `wudi_merging2`, LLaMA-Factory/model_merging.py.
    """
    import torch

    if "lm_head" in context.tensor:
        return _mean(taus)
    parts = [_low_rank(tau, _truncation_rank(taus, context)) for tau in taus]
    targets, axes = [left @ right for left, right in parts], [right for _, right in parts]
    if context.edition == "fixed":
        return _descend(_mean(taus), targets, axes, taus, context, optimizer="sgd")
    dtype = context.stored_dtype if taus[0].dtype != torch.float64 else torch.float64
    norms = torch.stack([tau.square().sum() for tau in taus]).to(dtype)
    merged = torch.nn.Parameter(_mean(taus).to(dtype))
    all_targets, all_axes = torch.stack(targets).to(dtype), torch.stack(axes).to(dtype)
    optimizer = _make_optimizer("sgd", merged, context.parameters.rate)
    for _ in range(context.parameters.steps):
        optimizer.zero_grad()
        residuals = torch.matmul(merged.unsqueeze(0) - all_targets, all_axes.transpose(1, 2))
        torch.sum(residuals.square() / norms[:, None, None]).backward()
        optimizer.step()
    return merged.detach().to(taus[0].dtype)


def optmerge_modality(taus: list[torch.Tensor], context: MergeContext) -> torch.Tensor:
    """Return OptMerge's M for modalities: t_i = rank-k part of tau_i, D_i = tau_i, starting from the mean, with SGD.

    k = int(min(m, n) / T); `original` takes int(min(m, n) / 5) for any T, and merges the two factors of LoRAs separately
    (`modality_factors`). The released code descends in the LoRAs' dtype, here assumed to be float32. Source:
    `wudi_merging2`, ModelCompose/scripts/model_composition/ties_merging.py.
    """
    if "lm_head" in context.tensor:
        return _mean(taus)
    is_original = context.edition == "original"
    rank = min(taus[0].shape) // ASSUMED_EXPERTS if is_original else _truncation_rank(taus, context)
    targets = [left @ right for left, right in (_low_rank(tau, rank) for tau in taus)]
    return _descend(_mean(taus), targets, taus, taus, context, optimizer="sgd")


def modality_factors(
    factors: Sequence[tuple[torch.Tensor, torch.Tensor, float]], context: MergeContext
) -> torch.Tensor:
    """Merge LoRA pairs (A, B, scale) as `original` does: A and B separately, each times lambda.

    The product is multiplied by lambda only once here, since the caller multiplies it by lambda again.
    """
    scales = {scale for _, _, scale in factors}
    if len(scales) > 1:
        raise UsageError(f"{context.tensor}: LoRAs of different scales cannot be merged factor by factor")
    down = optmerge_modality([down for down, _, _ in factors], context)
    up = optmerge_modality([up for _, up, _ in factors], context)
    return (up @ down).mul_(context.factor * scales.pop())


def _truncation_rank(taus: list[torch.Tensor], context: MergeContext) -> int:
    """Return the number of singular values to keep: a share of all, by default one over the number of experts."""
    full_rank = min(taus[0].shape)
    share: float | None = context.parameters.rank
    return full_rank // len(taus) if share is None else int(full_rank * share)


def _low_rank(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return U_k (m x k) and S_k V_k^T (k x n) as copies, for the `rank` k largest singular values."""
    import torch

    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank].clone(), s[:rank, None] * vt[:rank]


def _mean(taus: list[torch.Tensor]) -> torch.Tensor:
    return sum_of(taus).div_(len(taus))


def _make_optimizer(kind: Literal["adam", "sgd"], parameter: torch.Tensor, rate: float) -> Any:
    import torch

    if kind == "adam":
        return torch.optim.Adam([parameter], lr=rate)
    return torch.optim.SGD([parameter], lr=rate, momentum=0.9)


def _descend(
    start: torch.Tensor,
    targets: list[torch.Tensor],
    axes: list[torch.Tensor],
    taus: list[torch.Tensor],
    context: MergeContext,
    *,
    optimizer: Literal["adam", "sgd"],
) -> torch.Tensor:
    """Return the M that the optimizer reaches; `axes` are the D_i. `fixed` leaves out experts that do not change the matrix."""
    import torch

    columns = start.shape[1]
    curvature, linear_term = start.new_zeros(columns, columns), torch.zeros_like(start)
    for target, axis, tau in zip(targets, axes, taus, strict=True):
        norm = tau.square().sum()
        if context.edition == "fixed" and not float(norm):
            continue
        gram = (axis.T @ axis).div_(norm)
        curvature.add_(gram)
        linear_term.addmm_(target, gram)
    merged = torch.nn.Parameter(start)
    stepper = _make_optimizer(optimizer, merged, context.parameters.rate)
    for _ in range(context.parameters.steps):
        merged.grad = torch.addmm(linear_term, merged.detach(), curvature, beta=-1).mul_(2)
        stepper.step()
    return merged.detach()
