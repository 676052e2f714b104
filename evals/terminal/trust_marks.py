"""Marks beside a score that show whether the run kept its promise (a preregistration) and passed a challenge.

A challenge tests whether the claimed model could have generated the recorded replies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from evals.board import trust
from evals.challenge.summary import FILE_NAME, Challenge, challenge_of_run
from evals.errors import EvalsError
from evals.records.card import Card
from evals.records.promise import promise_status
from evals.records.store import Run

ChallengeKey: TypeAlias = tuple[str, str, str, str]
"""(run, suite, protocol, model as given on the command line): runs of different models may share an id."""
Challenges: TypeAlias = Mapping[ChallengeKey, Challenge]
MEANINGS = {mark.symbol: f"{mark.words} ({mark.meaning})" for mark in trust.MARKS}
"""Symbol -> explanation for the legend."""
_WEAKEST_FIRST = ("different", "untestable", "close", "consistent")


def challenge_key(card: Card) -> ChallengeKey:
    """Return the key of a run in `Challenges`."""
    return card.run, card.config.suite, card.config.protocol, card.config.model


def challenges_of(runs: Iterable[Run]) -> dict[ChallengeKey, Challenge]:
    """Return the challenges of runs, read from the outcome files in the runs' folders."""
    challenges = {}
    for run in runs:
        if os.path.exists(run.path / FILE_NAME):  # noqa: PTH110 - false, not an error, in a folder that may not be read
            with suppress(EvalsError):  # broken runs are reported elsewhere
                card = run.card
                if challenge := challenge_of_run(run.path, card):
                    challenges[challenge_key(card)] = challenge
    return challenges


def trust_marks(cards: Sequence[Card], challenges: Sequence[Challenge | None]) -> dict[str, str]:
    """Return symbol -> words of the marks of pooled runs: the least favourable of all runs; a favourable one only if all have it."""
    states = [trust.promise_state(promise_status(card)) for card in cards]
    promise = next((state for state in ("broken", "none", "kept") if state in states), "none")
    verdicts = [challenge.valid_verdict if challenge else None for challenge in challenges]
    marks = [trust.PROMISES.get(promise)]
    if "different" in verdicts or (verdicts and None not in verdicts):
        marks.append(trust.CHALLENGES[next(v for v in _WEAKEST_FIRST if v in verdicts)])
    return {mark.symbol: mark.words for mark in marks if mark is not None}
