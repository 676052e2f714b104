"""Shared by the exporters to other tools' stores: a run's identity and state, and the result of its export."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from evals.records.card import Card

State: TypeAlias = Literal["new", "unchanged", "updated", "new version"]


class ExportedRun(Struct, frozen=True, kw_only=True):
    """A run that was exported."""

    run: str
    suite: str
    state: State
    place: str
    """The id or key of the run in the store."""


class ExportResult(Struct, kw_only=True):
    """Result of an export to a store."""

    runs: list[ExportedRun]
    lost: list[str]
    """Information that is not exported, one line each."""


def run_key(card: Card) -> str:
    """Return a hash of suite, protocol, model, run id and start time, which identifies a run in a store."""
    parts = (card.config.suite, card.config.protocol, card.model, card.run, repr(card.started))
    return sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def state_hash(card: Card) -> str:
    """Return a hash that changes whenever the run does: the card contains the hashes of the record files."""
    return sha256(msgspec.json.encode(card)).hexdigest()


def lost_information(cards: list[Card]) -> list[str]:
    """Return what neither stores nor tables receive, one line each."""
    gated = sorted({card.config.suite for card in cards if card.gated})
    answers = f" (for {', '.join(gated)} also long answers, which are hashed)" if gated else ""
    return [f"prompts, replies and reasoning stay in the results folder{answers}"]


def sanitize(text: str) -> str:
    """Replace NUL and unpaired surrogates, which databases reject."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
