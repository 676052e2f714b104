"""Replies that an earlier run recorded: `replay:RUN` answers a prompt as that run's model did.

Prompts are recognised by their hash, so the suite, its version and its protocol must ask alike; repeats of
one prompt are given out in their order. What was never recorded fails with `rejected`, for that sample alone.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from hashlib import sha256
from pathlib import Path

import msgspec

from evals.errors import Rejected, UsageError
from evals.records.store import find
from evals.types import Prompt, Reply, Sampling

OPTIONS = ("results",)
_encode = msgspec.json.Encoder().encode


def prompt_hash(prompt: Prompt) -> bytes:
    """Hash what was asked, as sent."""
    asked = (prompt.messages, prompt.continuations) if prompt.continuations else prompt.messages
    return sha256(_encode(asked)).digest()


class Replay:
    """Replies from memory, immediately; replies keep their recorded times."""

    accepts = frozenset({"image", "time_series", "structure", "logprobs"})

    def __init__(self, name: str, replies: dict[bytes, deque[Reply]]) -> None:
        self.name = name
        self._replies = replies

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the next recorded reply to this exact prompt; raises Rejected if there is none."""
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        waiting = self._replies.get(prompt_hash(prompt))
        if not waiting:
            raise Rejected("this prompt is not in the recording (any more)")
        return waiting.popleft()

    async def close(self) -> None:
        """Nothing to release."""


def model(rest: str, *, results: Path = Path("results")) -> Replay:
    """Return the model `replay:RUN`; raises UsageError if the run has no prompts (an import)."""
    replies: dict[bytes, deque[tuple[int, Reply]]] = defaultdict(deque)
    runs = find(results, rest)
    for run in runs:
        for record in run.records():
            if record.prompt.messages and isinstance(record.outcome, Reply):
                replies[prompt_hash(record.prompt)].append((record.repeat, record.outcome))
    if not replies:
        raise UsageError(f"replay:{rest}: the run holds no prompts with replies")
    ordered = {
        key: deque(reply for _, reply in sorted(numbered, key=lambda f: f[0]))
        for key, numbered in replies.items()
    }
    return Replay(f"replay-{runs[0].card.model}", ordered)
