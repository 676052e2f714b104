"""The likelihoods of recorded replies under the claimed model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from evals.challenge.replies import PromptAndReply
from evals.errors import ModelError
from evals.seams import Decoding, SupportsReplyLikelihoods, TokenLikelihoods
from evals.types import Reply, Sampling

MAX_REASON = 200
"""Maximum length of the reason why a reply was left out."""


class ReplyLikelihoods(Struct, frozen=True, kw_only=True):
    """The replies whose likelihoods were computed, and why others were left out."""

    likelihoods: list[TokenLikelihoods]
    replies: list[Reply]
    """The replies in the order of their `likelihoods`."""
    left_out: Counter[str]
    """Reason why replies were left out -> their number."""

    @property
    def token_count_mismatches(self) -> int:
        """Return the number of replies whose token count differs from the recorded one."""
        counts = ((tokens.recorded_tokens, len(tokens.logprob)) for tokens in self.likelihoods)
        return sum(recorded is not None and recorded != computed for recorded, computed in counts)


async def compute_likelihoods(
    model: SupportsReplyLikelihoods,
    exchanges: Sequence[PromptAndReply],
    sampling: Sampling,
    decoding: Decoding,
) -> ReplyLikelihoods:
    """Return the likelihoods of replies; raises the errors of `SupportsReplyLikelihoods.reply_likelihoods`."""
    result = ReplyLikelihoods(likelihoods=[], replies=[], left_out=Counter())
    outcomes = await model.reply_likelihoods(exchanges, sampling, decoding)
    for (_, reply), outcome in zip(exchanges, outcomes, strict=True):
        if isinstance(outcome, ModelError):
            result.left_out[str(outcome)[:MAX_REASON]] += 1
        else:
            result.likelihoods.append(outcome)
            result.replies.append(reply)
    return result
