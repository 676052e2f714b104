"""What supports a score besides its replies: preregistration, challenge and rerun, as marks and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from evals.challenge.outcome import Verdict
from evals.records.promise import BROKEN, KEPT

if TYPE_CHECKING:
    from evals.board.results import Level


class Mark(NamedTuple):
    """A symbol shown beside a score, and the same in words."""

    symbol: str
    words: str
    meaning: str
    """Explanation for a legend."""
    warning: bool = False


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
        "the replies differ from the claimed model by no more than different numerics or 8-bit quantisation explain",
    ),
    "different": Mark(
        "≠",
        "challenge: different",
        "the replies differ from the claimed model by more than different numerics or 8-bit quantisation explain",
        warning=True,
    ),
    "untestable": Mark(
        "○", "challenge: untestable", "the claimed model cannot report how likely the replies are"
    ),
}
RERUN = Mark("◆", "rerun", "equivalent to the board's own run of the model")
MARKS = (*PROMISES.values(), *CHALLENGES.values(), RERUN)


def level_words(level: Level, verdict: Verdict | None) -> str:
    """Return a level in words, with the verdict of the challenge that counts."""
    if verdict is None:
        return level
    words = CHALLENGES[verdict].words
    return words if level == "challenged" else f"{level}; {words}"


def promise_state(status: str) -> str:
    """Return `none`, `kept` or `broken` without the reason that `promise_status` appends."""
    return status.partition(":")[0]
