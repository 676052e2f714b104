"""What a distribution over the vocabulary says of a given token: the columns of `TokenReading`. All calls block."""

from __future__ import annotations

from math import log
from typing import Any

from evals.seams import Decoding, TokenReading

ROWS = 128
"""Positions whose probabilities are computed at once, in float32."""
LIKELIEST = 256
"""Tokens that are sorted first to find the end of the nucleus (top-p); more only where these do not reach it."""


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
    else:
        earlier = torch.arange(logs.shape[1], device=logs.device) < tokens[:, None]
        before = better | ((logs == own) & earlier)  # equally likely tokens in the order of their ids
        weights = _weights(logs, decoding)
        total = weights.sum(dim=-1, dtype=torch.float64)
        above = (weights * before).sum(dim=-1, dtype=torch.float64) / total
        mass = weights.gather(1, tokens[:, None])[:, 0].double() / total
    return torch.stack([own[:, 0].double(), rank.double(), gap.double(), above, mass]).cpu()


def _weights(logs: Any, decoding: Decoding) -> Any:
    """Return what the probabilities under a decoding are proportional to: 0 for a token that it excludes."""
    import torch

    warm = torch.log_softmax(logs / decoding.temperature, dim=-1)
    judged = logs if decoding.temperature_last else warm
    floor = torch.full_like(judged[:, :1], -torch.inf)
    if 0 < decoding.top_k < judged.shape[1]:
        floor = judged.topk(decoding.top_k, dim=-1).values[:, -1:]
    if decoding.top_p < 1:
        floor = torch.maximum(floor, _nucleus_floor(judged, floor, decoding.top_p))
    if decoding.min_p:
        floor = torch.maximum(floor, judged.max(dim=-1, keepdim=True).values + log(decoding.min_p))
    return torch.where(judged >= floor, warm, -torch.inf).exp()


def _nucleus_floor(judged: Any, floor: Any, top_p: float) -> Any:
    """Return the log-probability of the last token of each nucleus, of the tokens down to `floor`."""
    import torch

    kept = torch.where(judged >= floor, judged, -torch.inf)
    kept = torch.log_softmax(kept, dim=-1)
    found, exceeds = _nucleus(kept, min(LIKELIEST, kept.shape[1]), top_p)
    result = judged.gather(1, found)
    if exceeds.any():
        found, _ = _nucleus(kept[exceeds], kept.shape[1], top_p)
        result[exceeds] = judged[exceeds].gather(1, found)
    return result


def _nucleus(kept: Any, many: int, top_p: float) -> tuple[Any, Any]:
    """Return the index of each nucleus's last token, and whether it ends after the likeliest `many`."""
    values, order = kept.topk(many, dim=-1)
    before = values.exp().cumsum(dim=-1) - values.exp()
    inside = (before < top_p).sum(dim=-1)
    return order.gather(1, (inside - 1).clamp(min=0)[:, None]), inside == many


def reading(found: Any, recorded: int | None) -> TokenReading:
    """Return a reading from its columns."""
    logprob, rank, gap, above, mass = (row.numpy() for row in found)
    return TokenReading(logprob, rank, gap, above, mass, recorded_tokens=recorded)
