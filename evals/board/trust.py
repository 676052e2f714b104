"""What supports a score besides its replies, as marks and in words: a preregistration, a challenge, a rerun.

A preregistered run was announced, with its settings, before it was started. A challenge tests whether the claimed model could have written the
replies. A rerun is a run of the model by the board's operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from evals.challenge.outcome import Verdict
from evals.records.promise import BROKEN, KEPT

if TYPE_CHECKING:
    from evals.board.results import Level


class Mark(NamedTuple):
    """A symbol that is shown beside a score."""

    symbol: str
    words: str
    """What the symbol means, in one to three words."""
    meaning: str
    """Explanation for a legend."""
    warning: bool = False
    """Whether it casts doubt on the score."""


PROMISES: Mapping[str, Mark] = {
    KEPT: Mark("✓", "promise kept", "preregistered, and run as promised"),
    BROKEN: Mark("✗", "promise broken", "preregistered, but not run as promised", warning=True),
}
CHALLENGES: Mapping[Verdict, Mark] = {
    "consistent": Mark(
        "●", "challenged", "the replies were tested with the claimed model, and no difference was detected"
    ),
    "close": Mark(
        "≈",
        "challenged, close",
        "the replies differ from the claimed model's by no more than different numerics or 8-bit quantisation can explain",
    ),
    "different": Mark(
        "≠",
        "challenge: different",
        "the replies differ from the claimed model's by more than different numerics or 8-bit quantisation can explain",
        warning=True,
    ),
    "untestable": Mark(
        "○", "challenge: untestable", "the claimed model cannot report how likely the replies are"
    ),
}
RERUN = Mark("◆", "rerun", "equivalent to the board's own run of the model")
MARKS = (*PROMISES.values(), *CHALLENGES.values(), RERUN)


def level_words(level: Level, verdict: Verdict | None) -> str:
    """Return a verification level in words. `verdict`: of the challenge; None if no challenge counts."""
    if verdict is None:
        return level
    words = CHALLENGES[verdict].words
    return words if level == "challenged" else f"{level}; {words}"


def promise_state(status: str) -> str:
    """Return `none`, `kept` or `broken` from the result of `promise_status`, which also states reasons."""
    return status.partition(":")[0]
