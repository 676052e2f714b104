"""The outcome of a challenge beside a run: `challenge.json` in the run's folder."""

from __future__ import annotations

from pathlib import Path

from evals.challenge import outcome
from evals.challenge.outcome import ChallengeOutcome
from evals.errors import UsageError
from evals.records.card import Card

NAME = "challenge.json"


def find(folder: Path, card: Card) -> ChallengeOutcome | None:
    """Return the outcome beside a run; None if there is none. Raises UsageError if it is unreadable or of another run."""
    path = folder / NAME
    if not path.exists():
        return None
    stated = outcome.read(path)
    if (stated.run, stated.suite, stated.protocol) != (card.run, card.config.suite, card.config.protocol):
        raise UsageError(f"{path}: it is of another run, suite or protocol")
    return stated
