"""What a distribution over the vocabulary says of a given token: the columns of `TokenReading`. All calls block."""

from __future__ import annotations

from typing import Any

from evals.seams import Decoding, TokenReading

ROWS = 128
"""Positions whose probabilities are computed at once, in float32."""
LIKELIEST = 256
"""Tokens that are sorted first to find those that can be drawn; all only where these do not reach."""


def columns(logits: Any, tokens: Any, decoding: Decoding) -> Any:
    """Return logprob, rank, gap, above and mass of one token a row of logits: a tensor of five rows on the CPU."""
    import torch

    parts = [
        _columns(logits[begin : begin + ROWS].float(), tokens[begin : begin + ROWS], decoding)
        for begin in range(0, len(tokens), ROWS)
    ]
    return torch.cat(parts, dim=1) if parts else torch.zeros(5, 0, dtype=torch.float64)


def _columns(logits: Any, tokens: Any, decoding: Decoding) -> Any:
    import torch

    logs = torch.log_softmax(logits, dim=-1)
    own = logs.gather(1, tokens[:, None])
    better = logs > own
    rank = better.sum(dim=-1) + 1
    gap = (logs.max(dim=-1, keepdim=True).values - own)[:, 0]
    if decoding.temperature == 0:
        above, mass = (rank > 1).double(), (rank == 1).double()
    elif decoding.truncates:
        above, mass = _truncated(logs, tokens, decoding, LIKELIEST)
    else:
        warm = torch.softmax(logs / decoding.temperature, dim=-1)
        earlier = torch.arange(logs.shape[1], device=logs.device) < tokens[:, None]
        better |= (logs == own) & earlier  # equally likely tokens in the order of their ids
        above, mass = (warm * better).sum(dim=-1), warm.gather(1, tokens[:, None])[:, 0]
    return torch.stack([own[:, 0].double(), rank.double(), gap.double(), above.double(), mass.double()]).cpu()


def _truncated(logs: Any, tokens: Any, decoding: Decoding, many: int) -> tuple[Any, Any]:
    """Return above and mass under a decoding that excludes tokens, from the likeliest `many`, or all where more are kept."""
    top, order = logs.topk(min(many, logs.shape[1]), dim=-1)
    kept = _kept(logs, top, decoding)
    weights = ((top - top[:, :1]) / decoding.temperature).double().exp() * kept
    is_own = order == tokens[:, None]
    before = weights.cumsum(dim=-1) - weights
    total = weights.sum(dim=-1)
    mass = (weights * is_own).sum(dim=-1) / total
    above = (before * is_own).sum(dim=-1) / total
    above[mass == 0] = 1.0
    rest = kept[:, -1]
    if rest.any() and many < logs.shape[1]:
        above[rest], mass[rest] = _truncated(logs[rest], tokens[rest], decoding, logs.shape[1])
    return above, mass


def _kept(logs: Any, top: Any, decoding: Decoding) -> Any:
    """Return which of the likeliest tokens, in their order, a decoding can draw."""
    import torch

    scale = 1.0 if decoding.temperature_last else decoding.temperature
    judged = ((top - top[:, :1]) / scale).double().exp()
    kept = torch.ones_like(judged, dtype=torch.bool)
    if decoding.top_k:
        kept[:, decoding.top_k :] = False
    if decoding.top_p < 1:
        # what is sorted is all that top-k leaves
        among = (judged * kept) if 0 < decoding.top_k <= top.shape[1] else ((logs - top[:, :1]) / scale).exp()
        total = among.sum(dim=-1, keepdim=True, dtype=torch.float64)
        kept &= judged.cumsum(dim=-1) - judged < decoding.top_p * total
    if decoding.min_p:
        kept &= judged >= decoding.min_p
    return kept


def reading(found: Any, recorded: int | None) -> TokenReading:
    """Return a reading from its columns."""
    logprob, rank, gap, above, mass = (row.numpy() for row in found)
    return TokenReading(logprob, rank, gap, above, mass, recorded_tokens=recorded)
