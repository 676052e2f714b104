"""Outcomes of challenges on a board: `challenges/ENTRY/SUITE@PROTOCOL.json`, written by its operator.

An entry cannot hold one. An outcome counts if it is of the very bundle of the number and meets the policy's `[challenge]`
table; whatever else it states is shown as text of bounded length.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from evals.board.examine import shortened
from evals.board.policy import ChallengeRule
from evals.board.results import SuiteResult
from evals.challenge import outcome
from evals.challenge.outcome import ChallengeOutcome, Verdict
from evals.errors import UsageError
from evals.records.card import MAX_TIME_S


class Challenge(Struct, frozen=True, kw_only=True):
    """The outcome of a challenge of one number, as `results/levels.json` holds it."""

    entry: str
    suite: str
    protocol: str
    fault: str = ""
    """Why it does not count; empty: it counts."""
    verdict: Verdict = "untestable"
    reason: str = ""
    """Explanation of the verdict."""
    bundle_sha256: str = ""
    reader: str = ""
    """The model that read the replies."""
    backend: str = ""
    method: str = ""
    replies: int = 0
    tokens: int = 0
    alpha: float = 0.0
    p_value: float | None = None
    e_value: float | None = None
    first_choices: float | None = None
    """Share of tokens that were the reader's first choice."""
    challenged: float = 0.0
    """Seconds since the epoch, UTC."""

    @property
    def counted(self) -> Verdict | None:
        """Return the verdict; None if it does not count."""
        return None if self.fault else self.verdict

    @property
    def passed(self) -> bool:
        """Return whether the number has the level `challenged`."""
        return self.counted in ("consistent", "close")


def read(path: Path, entry: str, result: SuiteResult, rule: ChallengeRule) -> Challenge:
    """Read and check the outcome of a challenge of one number; a faulty one says why it does not count."""
    try:
        stated = outcome.read(path)
    except UsageError as error:
        fault = shortened(str(error).replace(f"{path.parent}/", ""))
        return Challenge(entry=entry, suite=result.suite, protocol=result.protocol, fault=fault)
    return published(stated, entry, result, next(_faults(stated, result, rule), ""))


def published(stated: ChallengeOutcome, entry: str, result: SuiteResult, fault: str = "") -> Challenge:
    """Return what is shown of an outcome."""
    return Challenge(
        entry=entry,
        suite=result.suite,
        protocol=result.protocol,
        fault=fault,
        verdict=stated.verdict,
        reason=shortened(stated.reason),
        bundle_sha256=shortened(stated.bundle_sha256),
        reader=shortened(stated.reader),
        backend=shortened(stated.backend),
        method=stated.method,
        replies=stated.replies,
        tokens=stated.tokens,
        alpha=stated.alpha,
        p_value=stated.p_value,
        e_value=stated.e_value,
        first_choices=stated.first_choices,
        challenged=min(stated.challenged, MAX_TIME_S),
    )


def _faults(stated: ChallengeOutcome, result: SuiteResult, rule: ChallengeRule) -> Iterator[str]:
    """Yield why an outcome does not count.

    A test that rejects may end early, so that only one that does not reject needs a minimum of replies; and one at a
    smaller alpha than the policy's would not reject much.
    """
    if stated.format != outcome.FORMAT:
        yield f"format {stated.format}; this version reads {outcome.FORMAT}"
    if (stated.suite, stated.protocol) != (result.suite, result.protocol):
        yield shortened(f"it is of {stated.suite} ({stated.protocol})")
    if stated.run != result.run or stated.bundle_sha256 != result.bundle_sha256:
        of = f"the bundle {stated.bundle_sha256[:16]}" if stated.bundle_sha256 else "a run's folder"
        yield shortened(f"it is of {of}, not of the entry's bundle {result.bundle_sha256[:16]}")
    if stated.verdict == "untestable":
        return
    if stated.alpha > rule.maximum_alpha:
        yield f"alpha is {stated.alpha:g}; the board allows {rule.maximum_alpha:g}"
    if stated.verdict == "different":
        return
    if stated.alpha < rule.minimum_alpha:
        yield f"alpha is {stated.alpha:g}; the board asks for at least {rule.minimum_alpha:g}"
    if stated.replies < rule.minimum_replies:
        yield f"{stated.replies} replies were read; the board asks for {rule.minimum_replies}"
