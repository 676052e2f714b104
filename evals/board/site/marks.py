"""What the pages show about preregistrations, challenges and reruns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from evals.board import trust
from evals.board.site.contents import Entrant, Key
from evals.board.trust import Mark
from evals.challenge.summary import Challenge
from evals.records.promise import NONE
from evals.verdicts import formatting


def percent(share: float) -> str:
    """Format a share in percent; only a share of 1 is 100 %."""
    return "100 %" if share == 1 else f"{min(100 * share, 99.9):.1f} %"


def day(seconds: float) -> str:
    """Format a time, in seconds since the epoch, as a date in UTC; empty for 0, which stands for an unknown time."""
    return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat() if seconds else ""


def challenge_facts(challenge: Challenge) -> list[tuple[str, Any]]:
    """Return a challenge as rows of a table; if it does not count, only the reason."""
    if challenge.fault:
        return [("does not count", challenge.fault)]
    share = challenge.first_choices
    return [
        ("verdict", challenge.verdict), ("reason", challenge.reason), ("tested with", challenge.reader),
        ("likelihoods", challenge.backend), ("date", day(challenge.challenged)),
        ("replies tested", f"{challenge.replies:,}"), ("tokens tested", f"{challenge.tokens:,}"),
        ("test", f"{challenge.method}, alpha {challenge.alpha:g}"),
        ("p-value", formatting.format_p(challenge.p_value) if challenge.p_value is not None else None),
        ("e-value", f"{challenge.e_value:.3g}" if challenge.e_value is not None else None),
        ("tokens that this model ranks first", percent(share) if share is not None else None),
    ]  # fmt: skip


def legend(scores: Iterable[tuple[Entrant, Key]]) -> list[Mark]:
    """Return the marks of these scores in the order of a legend, each once."""
    used = {mark for entrant, key in scores for mark in entrant.marks(key)}
    return [mark for mark in trust.MARKS if mark in used]


def table_marks(rows: Sequence[tuple[str, Entrant, Key]]) -> dict[str, Any]:
    """Return the template variables for preregistrations and challenges in a table of scores.

    `rows`: the name of each row, and the entrant and key of its score.
    """
    challenges = [
        (name, verdict, challenge.reason)
        for name, entrant, key in rows
        if (challenge := entrant.challenges.get(key))
        and (verdict := challenge.valid_verdict) in ("different", "untestable")
    ]
    return {
        "legend": legend((entrant, key) for _, entrant, key in rows),
        "has_promises": any(entrant.results[key].promise != NONE for _, entrant, key in rows),
        "challenges": challenges,
    }
