"""What exports to other tools' stores share: the identity and the state of a run, and what was done with it."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from evals.records.card import Card

State: TypeAlias = Literal["new", "unchanged", "updated", "new version"]


class Exported(Struct, frozen=True, kw_only=True):
    """A run that was exported."""

    run: str
    suite: str
    state: State
    place: str
    """Where it is there: an id or a key."""


class Sink(Struct, kw_only=True):
    """Result of an export to a store."""

    runs: list[Exported]
    lost: list[str]
    """Information that the store does not get, a line each."""


def key(card: Card) -> str:
    """Return what identifies a run in a store: suite, protocol, model, run and start, as a hash."""
    parts = (card.config.suite, card.config.protocol, card.model, card.run, repr(card.started))
    return sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def state_hash(card: Card) -> str:
    """Return a hash that changes whenever the run does: the card holds the hashes of its records."""
    return sha256(msgspec.json.encode(card)).hexdigest()


def lost(cards: list[Card]) -> list[str]:
    """Return what no store gets."""
    gated = sorted({card.config.suite for card in cards if card.gated})
    texts = f" (of {', '.join(gated)} long answers too, as hashes)" if gated else ""
    return [f"prompts, replies and reasoning stay in the results folder{texts}"]


def clean(text: str) -> str:
    """Return a text that databases take: without NUL and unpaired surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
