"""The exit status of commands that run models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.commands.common import note

if TYPE_CHECKING:
    from evals.run.model_run import Outcome


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """Report failed models on standard error and return the exit status."""
    cards = [card for outcome in outcomes for card in outcome.cards]
    if len(outcomes) > 1:
        for outcome in outcomes:
            if outcome.fault:
                note(f"evals: {outcome.model} failed: {outcome.fault}")
    if any(outcome.interrupted for outcome in outcomes):
        return 130
    if any(outcome.fault for outcome in outcomes):
        return 2
    complete = all(
        card.coverage == 1.0 and not any(finding.fault for finding in card.health) for card in cards
    )
    return 0 if complete and not any(outcome.unhealthy or outcome.left_out for outcome in outcomes) else 1
