"""Has a model read a run's recorded replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from evals.challenge.replies import PromptAndReply
from evals.errors import ModelError
from evals.seams import Decoding, ReadsReplies, TokenReading
from evals.types import Reply, Sampling

MAX_REASON = 200
"""Maximum length of a reason why a reply could not be read."""


class Readings(Struct, kw_only=True):
    """The replies that were read, and why others were not."""

    readings: list[TokenReading] = []
    replies: list[Reply] = []
    """The replies of `readings`, in their order."""
    left_out: Counter[str]
    """Why replies could not be read -> their number."""

    @property
    def tokens(self) -> int:
        """Return the number of tokens read."""
        return sum(len(reading.logprob) for reading in self.readings)

    @property
    def retokenised(self) -> int:
        """Return the number of replies whose token count differs from the recorded one."""
        counts = ((r.recorded_tokens, len(r.logprob)) for r in self.readings)
        return sum(recorded is not None and recorded != read for recorded, read in counts)

    @property
    def first_choices(self) -> float | None:
        """Return the share of tokens that were the model's first choice; None without tokens."""
        count = sum(int((reading.rank == 1).sum()) for reading in self.readings)
        return count / self.tokens if self.tokens else None


async def read(
    model: ReadsReplies, exchanges: Sequence[PromptAndReply], sampling: Sampling, decoding: Decoding
) -> Readings:
    """Have a model read replies; raises the errors of `ReadsReplies.read_replies`."""
    readings = Readings(left_out=Counter())
    outcomes = await model.read_replies(exchanges, sampling, decoding)
    for (_, reply), outcome in zip(exchanges, outcomes, strict=True):
        if isinstance(outcome, ModelError):
            readings.left_out[str(outcome)[:MAX_REASON]] += 1
        else:
            readings.readings.append(outcome)
            readings.replies.append(reply)
    return readings
