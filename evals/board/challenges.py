"""Outcomes of challenges on a board: `challenges/ENTRY/SUITE@PROTOCOL.json`, written by the board's operator.

A challenge tests whether the claimed model could have written an entry's replies. Its outcome counts if it was computed
from the same bundle as the score and satisfies the policy's `[challenge]` table; its other fields are only displayed, as
text of bounded length. Entries cannot contain outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from evals.board.policy import ChallengeRule
from evals.board.results import SuiteResult
from evals.challenge.outcome import FORMAT, ChallengeOutcome
from evals.challenge.outcome import read as read_outcome
from evals.challenge.summary import Challenge, summarize, unreadable_challenge
from evals.errors import UsageError
from evals.plain import one_line


def read(path: Path, entry: str, result: SuiteResult, rule: ChallengeRule) -> Challenge:
    """Read the challenge of one score from an outcome file; its `fault` states why the outcome does not count."""
    try:
        outcome = read_outcome(path)
    except UsageError as error:
        return unreadable_challenge(path, error, result.suite, result.protocol, entry)
    challenge = summarize(outcome, next(_faults(outcome, result, rule), ""), entry)
    return structs.replace(challenge, suite=result.suite, protocol=result.protocol)


def _faults(outcome: ChallengeOutcome, result: SuiteResult, rule: ChallengeRule) -> Iterator[str]:
    """Yield the reasons why an outcome does not count.

    A test that rejects may stop early, so the minimum number of replies applies only to tests that do not reject. The
    minimum alpha also applies only to these: at a smaller alpha, a test has little power to reject.
    """
    if outcome.format != FORMAT:
        yield f"format {outcome.format}; this version reads {FORMAT}"
    if (outcome.suite, outcome.protocol) != (result.suite, result.protocol):
        yield one_line(f"it belongs to {outcome.suite} ({outcome.protocol})")
    if outcome.run != result.run or outcome.bundle_sha256 != result.bundle_sha256:
        source = f"the bundle {outcome.bundle_sha256[:16]}" if outcome.bundle_sha256 else "a run's folder"
        yield one_line(f"it belongs to {source}, not to the entry's bundle {result.bundle_sha256[:16]}")
    if outcome.verdict == "untestable":
        return
    if outcome.alpha > rule.maximum_alpha:
        yield f"alpha is {outcome.alpha:g}; the board allows at most {rule.maximum_alpha:g}"
    if outcome.verdict == "different":
        return
    if outcome.alpha < rule.minimum_alpha:
        yield f"alpha is {outcome.alpha:g}; the board requires at least {rule.minimum_alpha:g}"
    if outcome.replies < rule.minimum_replies:
        yield f"replies tested: {outcome.replies}; the board requires {rule.minimum_replies}"
