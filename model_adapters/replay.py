"""Replies recorded by an earlier run: `replay:RUN` answers a prompt as that run's model did.

Prompts are identified by their hash, so suite, version and protocol must produce the same prompts. Replies to the repeats of
a prompt are returned in order. A sample whose prompt has no recorded reply fails with `rejected`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from hashlib import sha256
from pathlib import Path

import msgspec

from evals.errors import Rejected, UsageError
from evals.records.store import find_suites
from evals.types import Prompt, Reply, Sampling

OPTIONS = ("results",)
_encode = msgspec.json.Encoder().encode


def prompt_hash(prompt: Prompt) -> bytes:
    """Return the hash of a prompt as sent."""
    content = (prompt.messages, prompt.continuations) if prompt.continuations else prompt.messages
    return sha256(_encode(content)).digest()


class Replay:
    """Returns recorded replies, with their recorded durations."""

    accepts = frozenset({"image", "time_series", "structure", "logprobs"})

    def __init__(self, name: str, replies: dict[bytes, deque[Reply]]) -> None:
        self.name = name
        self._replies = replies

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the next recorded reply to this exact prompt; raises Rejected if there is none."""
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        replies = self._replies.get(prompt_hash(prompt))
        if not replies:
            raise Rejected("the recording has no (further) reply to this prompt")
        return replies.popleft()

    async def close(self) -> None:
        """Nothing to release."""


def model(rest: str, *, results: Path = Path("results")) -> Replay:
    """Return the model `replay:RUN`; raises UsageError if the run has no prompts, e.g. if it was imported."""
    replies: dict[bytes, deque[tuple[int, Reply]]] = defaultdict(deque)
    runs = find_suites(results, rest)
    for run in runs:
        for record in run.records():
            if record.prompt.messages and isinstance(record.outcome, Reply):
                replies[prompt_hash(record.prompt)].append((record.repeat, record.outcome))
    if not replies:
        raise UsageError(f"replay:{rest}: the run contains no prompts with replies")
    ordered = {
        key: deque(reply for _, reply in sorted(numbered, key=lambda entry: entry[0]))
        for key, numbered in replies.items()
    }
    return Replay(f"replay-{runs[0].card.model}", ordered)
