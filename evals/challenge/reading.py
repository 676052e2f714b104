"""Recorded replies of a run as the claimed model reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from msgspec import Struct

from evals.errors import ModelError
from evals.seams import ReadsReplies, TokenReading
from evals.types import Prompt, Record, Reply, Sampling


class Readings(Struct, kw_only=True):
    """The replies that were read, and why others were not."""

    readings: list[TokenReading] = []
    replies: list[Reply] = []
    """The replies of `readings`, in their order."""
    left_out: Counter[str]
    """Why replies could not be read -> their number."""

    @property
    def retokenised(self) -> int:
        """Return the number of replies whose number of tokens is not the recorded one."""
        counts = ((r.recorded_tokens, len(r.logprob)) for r in self.readings)
        return sum(recorded is not None and recorded != own for recorded, own in counts)


def choose(records: Iterable[Record], replies: int, seed: int) -> list[Record]:
    """Return a random choice of the records with a reply, reproducible by its seed and the order of the records."""
    written = sorted(
        (record for record in records if isinstance(record.outcome, Reply)),
        key=lambda record: (record.sample, record.repeat),
    )
    return Random(seed).sample(written, min(replies, len(written)))


async def read(model: ReadsReplies, written: Sequence[tuple[Prompt, Reply]], sampling: Sampling) -> Readings:
    """Have a model read replies; raises the errors of `ReadsReplies.read_replies`."""
    found = Readings(left_out=Counter())
    for (_, reply), outcome in zip(written, await model.read_replies(written, sampling), strict=True):
        if isinstance(outcome, ModelError):
            found.left_out[str(outcome)] += 1
        else:
            found.readings.append(outcome)
            found.replies.append(reply)
    return found
