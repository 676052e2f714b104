"""Compute the fields of `TokenLikelihoods` from logits. All calls block."""

from __future__ import annotations

from typing import Any

from evals.seams import Decoding, TokenLikelihoods

BLOCK_POSITIONS = 128
"""Number of positions whose probabilities are computed at once, in float32."""
SORTED_TOKENS = 256
"""Number of likeliest tokens that are sorted to find those that truncation keeps; if it keeps more, all are sorted."""


def token_statistics(logits: Any, tokens: Any, decoding: Decoding) -> Any:
    """Return logprob, rank, gap, above and mass of n tokens: a float64 tensor of shape (5, n) on the CPU.

    `logits`: shape (n, vocabulary); `tokens`: the id of the token at each position, shape (n,).
    """
    import torch

    blocks = [
        _block_statistics(
            logits[begin : begin + BLOCK_POSITIONS].float(), tokens[begin : begin + BLOCK_POSITIONS], decoding
        )
        for begin in range(0, len(tokens), BLOCK_POSITIONS)
    ]
    return torch.cat(blocks, dim=1) if blocks else torch.zeros(5, 0, dtype=torch.float64)


def _block_statistics(logits: Any, tokens: Any, decoding: Decoding) -> Any:
    import torch

    logprobs = torch.log_softmax(logits, dim=-1)
    token_logprobs = logprobs.gather(1, tokens[:, None])
    is_ahead = logprobs > token_logprobs
    rank = is_ahead.sum(dim=-1) + 1
    gap = (logprobs.max(dim=-1, keepdim=True).values - token_logprobs)[:, 0]
    if decoding.temperature == 0:
        above, mass = (rank > 1).double(), (rank == 1).double()
    elif decoding.truncates:
        above, mass = _truncated_above_and_mass(logprobs, tokens, decoding, SORTED_TOKENS)
    else:
        probabilities = torch.softmax(logprobs / decoding.temperature, dim=-1)
        has_lower_id = torch.arange(logprobs.shape[1], device=logprobs.device) < tokens[:, None]
        is_ahead |= (logprobs == token_logprobs) & has_lower_id  # equally likely tokens are ordered by id
        above = (probabilities * is_ahead).sum(dim=-1)
        mass = probabilities.gather(1, tokens[:, None])[:, 0]
    statistics = (token_logprobs[:, 0], rank, gap, above, mass)
    return torch.stack([statistic.double() for statistic in statistics]).cpu()


def _truncated_above_and_mass(logprobs: Any, tokens: Any, decoding: Decoding, count: int) -> tuple[Any, Any]:
    """Return above and mass under truncated sampling, from the `count` likeliest tokens, or from all if more are kept."""
    top, order = logprobs.topk(min(count, logprobs.shape[1]), dim=-1)
    kept = _kept_mask(logprobs, top, decoding)
    weights = ((top - top[:, :1]) / decoding.temperature).double().exp() * kept
    is_own = order == tokens[:, None]
    before = weights.cumsum(dim=-1) - weights
    total = weights.sum(dim=-1)
    mass = (weights * is_own).sum(dim=-1) / total
    above = (before * is_own).sum(dim=-1) / total
    above[mass == 0] = 1.0
    keeps_more = kept[:, -1]
    if keeps_more.any() and count < logprobs.shape[1]:
        above[keeps_more], mass[keeps_more] = _truncated_above_and_mass(
            logprobs[keeps_more], tokens[keeps_more], decoding, logprobs.shape[1]
        )
    return above, mass


def _kept_mask(logprobs: Any, top: Any, decoding: Decoding) -> Any:
    """Return which tokens top-k, top-p and min-p keep, as a mask of `top`, the log-probabilities of the likeliest tokens."""
    import torch

    scale = 1.0 if decoding.temperature_last else decoding.temperature
    weights = ((top - top[:, :1]) / scale).double().exp()
    kept = torch.ones_like(weights, dtype=torch.bool)
    if decoding.top_k:
        kept[:, decoding.top_k :] = False
    if decoding.top_p < 1:
        # if top-k is at most the length of `top`, all tokens that it keeps are in `top`
        candidates = (
            (weights * kept)
            if 0 < decoding.top_k <= top.shape[1]
            else ((logprobs - top[:, :1]) / scale).exp()
        )
        total = candidates.sum(dim=-1, keepdim=True, dtype=torch.float64)
        kept &= weights.cumsum(dim=-1) - weights < decoding.top_p * total
    if decoding.min_p:
        kept &= weights >= decoding.min_p
    return kept


def make_likelihoods(statistics: Any, recorded: int | None) -> TokenLikelihoods:
    """Return the likelihoods with the given `token_statistics`; `recorded`: the recorded number of tokens."""
    logprob, rank, gap, above, mass = (statistic.numpy() for statistic in statistics)
    return TokenLikelihoods(logprob, rank, gap, above, mass, recorded_tokens=recorded)
