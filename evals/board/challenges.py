"""Outcomes of challenges on a board: `challenges/ENTRY/SUITE@PROTOCOL.json`, written by its operator.

An entry cannot hold one. An outcome counts if it is of the very bundle of the number and meets the policy's `[challenge]`
table; whatever else it states is shown as text of bounded length.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from evals.board.policy import ChallengeRule
from evals.board.results import SuiteResult
from evals.challenge import outcome
from evals.challenge.outcome import ChallengeOutcome
from evals.challenge.summary import Challenge, summarize, unreadable
from evals.errors import UsageError
from evals.plain import one_line


def read(path: Path, entry: str, result: SuiteResult, rule: ChallengeRule) -> Challenge:
    """Read and check the outcome of a challenge of one number; a faulty one says why it does not count."""
    try:
        stated = outcome.read(path)
    except UsageError as error:
        return unreadable(path, error, result.suite, result.protocol, entry)
    challenge = summarize(stated, next(_faults(stated, result, rule), ""), entry)
    return structs.replace(challenge, suite=result.suite, protocol=result.protocol)


def _faults(stated: ChallengeOutcome, result: SuiteResult, rule: ChallengeRule) -> Iterator[str]:
    """Yield why an outcome does not count.

    A test that rejects may end early, so that only one that does not reject needs a minimum of replies; and one at a
    smaller alpha than the policy's would not reject much.
    """
    if stated.format != outcome.FORMAT:
        yield f"format {stated.format}; this version reads {outcome.FORMAT}"
    if (stated.suite, stated.protocol) != (result.suite, result.protocol):
        yield one_line(f"it is of {stated.suite} ({stated.protocol})")
    if stated.run != result.run or stated.bundle_sha256 != result.bundle_sha256:
        of = f"the bundle {stated.bundle_sha256[:16]}" if stated.bundle_sha256 else "a run's folder"
        yield one_line(f"it is of {of}, not of the entry's bundle {result.bundle_sha256[:16]}")
    if stated.verdict == "untestable":
        return
    if stated.alpha > rule.maximum_alpha:
        yield f"alpha is {stated.alpha:g}; the board allows {rule.maximum_alpha:g}"
    if stated.verdict == "different":
        return
    if stated.alpha < rule.minimum_alpha:
        yield f"alpha is {stated.alpha:g}; the board requires at least {rule.minimum_alpha:g}"
    if stated.replies < rule.minimum_replies:
        yield f"{stated.replies} replies were read; the board requires {rule.minimum_replies}"
