"""Select the replies of a run or a bundle to test: a random sample, reproducible by its seed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from evals import disk
from evals.bundles import bundle
from evals.errors import DataError
from evals.records import store
from evals.records.card import Card
from evals.remote.address import is_address
from evals.types import TOOL_CALLS, Failure, Media, Prompt, Record, Reply

MAX_CHARACTERS = 1_000_000
"""Maximum length of a reply, reasoning included; longer ones are not tested."""

PromptAndReply: TypeAlias = tuple[Prompt, Reply]


class Source(Struct, frozen=True):
    """A run or a run's bundle, opened for reading."""

    card: Card
    records: Iterable[Record]
    bundle_sha256: str = ""
    folder: Path | None = None
    """The run's folder; None for a bundle, or if the run is not on this machine."""


class Choice(Struct, frozen=True):
    """The replies that were chosen for the test, and why others cannot be tested."""

    exchanges: list[PromptAndReply]
    left_out: Counter[str]
    """Reason why replies cannot be tested -> their number."""


@contextmanager
def open_run_or_bundle(name: str, results: Path) -> Iterator[Source]:
    """Open a bundle by its path, or a run by its name.

    Raises UsageError if it cannot be opened, and DataError if the bundle was modified.
    """
    path = Path(name)
    if not path.is_file():
        run = store.find_one(results, name)
        folder = None if is_address(name) else run.path
        yield Source(store.check(run.path), run.records(), folder=folder)
        return
    with bundle.open_bundle(path) as opened_bundle:
        if faults := opened_bundle.faults():
            raise DataError(f"{path}: {faults[0]}")
        digest = disk.sha256(path)
        gated = opened_bundle.manifest.gated
        yield Source(
            opened_bundle.card(), () if gated else opened_bundle.lines("records.jsonl", Record), digest
        )


def choose(records: Iterable[Record], maximum: int, seed: int) -> Choice:
    """Choose up to `maximum` testable replies: those with the smallest hashes of seed, sample id and repeat.

    Raises DataError if a chosen reply occurs twice: a copy of a reply is not additional evidence.
    """
    left_out: Counter[str] = Counter()
    chosen: list[tuple[int, int, PromptAndReply]] = []
    for position, record in enumerate(records):
        outcome = record.outcome
        if isinstance(outcome, Failure):
            continue
        if reason := untestable_reason(record.prompt, outcome):
            left_out[reason] += 1
            continue
        digest = sha256(f"{seed}\n{record.sample}\n{record.repeat}".encode()).digest()
        candidate = (-int.from_bytes(digest, "big"), position, (record.prompt, outcome))
        (heapq.heappush if len(chosen) < maximum else heapq.heappushpop)(chosen, candidate)
    if len({order_key for order_key, *_ in chosen}) < len(chosen):
        raise DataError("a reply occurs twice; `evals bundle verify` shows which")
    return Choice([exchange for *_, exchange in sorted(chosen, reverse=True)], left_out)


def untestable_reason(prompt: Prompt, reply: Reply) -> str:
    """Return why a reply cannot be tested with any model; empty if it can."""
    texts = (reply.text, reply.reasoning or "")
    reasons = {
        "the prompt is not recorded": not prompt.messages,
        "the prompt asked for likelihoods, not for a reply": bool(prompt.continuations),
        "the prompt contains media": any(
            isinstance(part, Media) for message in prompt.messages for part in message.parts
        ),
        "the content filter replaced the text": reply.stop == "filter",
        "the reply calls a tool, which is not recorded": reply.finish == TOOL_CALLS,
        "the reply's finish reason is unknown": bool(reply.finish) and reply.finish != TOOL_CALLS,
        "the reply is empty": not any(texts) and reply.stop != "stop",
        "the reply contains characters that could not be decoded": any("\ufffd" in text for text in texts),
        f"the reply has more than {MAX_CHARACTERS:,} characters": sum(map(len, texts)) > MAX_CHARACTERS,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
