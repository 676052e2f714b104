"""Replies recorded by an earlier run: `replay:RUN` answers a prompt as that run's model did.

Prompts are identified by their hash, so suite, version and protocol must produce the same prompts. A repeat of a recorded
sample gets that repeat's reply, also when a run is resumed; for other samples with the same prompt, and for calls outside
runs, replies are returned in order. A sample whose prompt has no recorded reply fails with `rejected`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import msgspec

from evals.errors import Rejected, UsageError
from evals.records.store import find_suites
from evals.seams import CURRENT_CALL
from evals.types import Prompt, Reply, Sampling

OPTIONS = ("results",)
_encode = msgspec.json.Encoder().encode


def prompt_hash(prompt: Prompt) -> bytes:
    """Return the hash of a prompt as sent."""
    content = (prompt.messages, prompt.continuations) if prompt.continuations else prompt.messages
    return sha256(_encode(content)).digest()


Recorded: TypeAlias = dict[tuple[str, str, int], Reply]
"""Suite, sample and repeat -> reply, in the order of the repeats."""


class Replay:
    """Returns recorded replies, with their recorded durations."""

    accepts = frozenset({"image", "time_series", "structure", "logprobs"})

    def __init__(self, name: str, replies: dict[bytes, Recorded]) -> None:
        """`replies`: hash of a prompt -> replies to it."""
        self.name = name
        self._replies = replies
        self._samples = {prompt: {call[:2] for call in recorded} for prompt, recorded in replies.items()}
        self._queues = {prompt: deque(recorded.values()) for prompt, recorded in replies.items()}

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the recorded reply to this exact prompt; raises Rejected if there is none."""
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        key, call = prompt_hash(prompt), CURRENT_CALL.get()
        reply = None
        if call is not None and call[:2] in self._samples.get(key, ()):
            reply = self._replies[key].get(call)
        elif queue := self._queues.get(key):
            reply = queue.popleft()
        if reply is None:
            raise Rejected("the recording has no (further) reply to this prompt")
        return reply

    async def close(self) -> None:
        """Nothing to release."""


def model(rest: str, *, results: Path = Path("results")) -> Replay:
    """Return the model `replay:RUN`; raises UsageError if the run has no prompts, e.g. if it was imported."""
    replies: dict[bytes, Recorded] = defaultdict(dict)
    runs = find_suites(results, rest)
    recorded = [
        ((run.card.config.suite, record.sample, record.repeat), prompt_hash(record.prompt), record.outcome)
        for run in runs
        for record in run.records()
        if record.prompt.messages and isinstance(record.outcome, Reply)
    ]
    for call, key, reply in sorted(recorded, key=lambda entry: entry[0][2]):
        replies[key][call] = reply
    if not replies:
        raise UsageError(f"replay:{rest}: the run contains no prompts with replies")
    return Replay(f"replay-{runs[0].card.model}", dict(replies))
