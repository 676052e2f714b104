"""A challenge's outcome as displayed, with texts of bounded length; and the outcome stored in a run's folder."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from evals.challenge.outcome import ChallengeOutcome, Verdict
from evals.challenge.outcome import read as read_outcome
from evals.errors import UsageError
from evals.plain import count_of, one_line
from evals.records.card import MAX_TIME_S, Card

FILE_NAME = "challenge.json"
"""File with the outcome of a challenge in a run's folder."""


class Challenge(Struct, frozen=True, kw_only=True):
    """The challenge of one score; a board stores it in `results/levels.json`."""

    entry: str = ""
    """Empty for a run in a results folder."""
    suite: str
    protocol: str
    fault: str = ""
    """Why the challenge does not count; empty if it counts."""
    verdict: Verdict = "untestable"
    reason: str = ""
    """Explanation of the verdict."""
    bundle_sha256: str = ""
    reader: str = ""
    """The model that the replies were tested with."""
    backend: str = ""
    method: str = ""
    replies: int = 0
    tokens: int = 0
    alpha: float = 0.0
    p_value: float | None = None
    e_value: float | None = None
    first_choices: float | None = None
    """Share of tokens that are the model's first choice."""
    challenged: float = 0.0
    """Seconds since the epoch, UTC."""

    @property
    def valid_verdict(self) -> Verdict | None:
        """Return the verdict; None if the challenge does not count."""
        return None if self.fault else self.verdict

    @property
    def passed(self) -> bool:
        """Return whether the score reaches the level `challenged`."""
        return self.valid_verdict in ("consistent", "close")

    @property
    def sentence(self) -> str:
        """Return the challenge in one line."""
        if self.fault:
            return f"challenge does not count: {self.fault}"
        details = f"{count_of(self.replies, 'reply', 'replies')} tested with {self.reader}, {self.method}, alpha {self.alpha:g}"
        return f"challenge {self.verdict} ({details}){f': {self.reason}' if self.reason else ''}"


def summarize(outcome: ChallengeOutcome, fault: str = "", entry: str = "") -> Challenge:
    """Return an outcome as displayed. `fault`: why it does not count; empty if it counts."""
    shared = {
        name: getattr(outcome, name)
        for name in Challenge.__struct_fields__
        if name in ChallengeOutcome.__struct_fields__
    }
    texts = {name: one_line(value) for name, value in shared.items() if isinstance(value, str)}
    changes = {"entry": entry, "fault": fault, "challenged": min(outcome.challenged, MAX_TIME_S)}
    return Challenge(**(shared | texts | changes))


def unreadable_challenge(
    path: Path, error: UsageError, suite: str, protocol: str, entry: str = ""
) -> Challenge:
    """Return a challenge that does not count, because the file of its outcome cannot be read."""
    fault = one_line(str(error).replace(f"{path.parent}/", ""))
    return Challenge(entry=entry, suite=suite, protocol=protocol, fault=fault)


def challenge_of_run(folder: Path, card: Card) -> Challenge | None:
    """Return a run's challenge, from the outcome in its folder; None if there is none."""
    path, config = folder / FILE_NAME, card.config
    if not path.exists():
        return None
    try:
        outcome = read_outcome(path)
    except UsageError as error:
        return unreadable_challenge(path, error, config.suite, config.protocol)
    is_same_run = (outcome.run, outcome.suite, outcome.protocol) == (card.run, config.suite, config.protocol)
    return summarize(outcome, "" if is_same_run else f"{FILE_NAME} belongs to another run")
