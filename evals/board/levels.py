"""Verification levels above `recomputed`: `results/levels.json`.

`challenged`: a test of whether the claimed model could have written the replies has the verdict `consistent` or `close`
(`challenges/ENTRY/SUITE@PROTOCOL.json`, written by the board's operator; entries cannot contain outcomes).

`rerun`: the board's operator has run the model too (`reruns/ENTRY/SUITE@PROTOCOL.zip`, a bundle), and the two runs are
equivalent: the 90 % interval of their difference, paired by item, lies within the margin that the policy sets for the suite
(two one-sided tests at 5 %; Schuirmann 1987, doi 10.1007/BF01068419).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, structs

from evals import disk
from evals.board import items, policy, results
from evals.board.examine import Examination, examine_rerun, within_limits
from evals.board.policy import BoardPolicy, ChallengeRule, SuiteRule
from evals.board.results import EntryResult, Level, SuiteResult
from evals.board.submission import SUFFIX
from evals.bundles import bundle
from evals.challenge import outcome
from evals.challenge.outcome import FORMAT as CHALLENGE_FORMAT
from evals.challenge.outcome import ChallengeOutcome
from evals.challenge.summary import Challenge, summarize, unreadable_challenge
from evals.errors import UsageError
from evals.plain import one_line
from evals.records.card import packages
from evals.records.store import Run
from evals.validation import read_struct

RERUNS = "reruns"
CONFIDENCE_LEVEL = 0.90
"""Confidence level of the interval for two one-sided tests at 5 %."""


class Rerun(Struct, frozen=True, kw_only=True):
    """Comparison of an entry's run on one suite with the board's own run of the model."""

    entry: str
    suite: str
    protocol: str
    bundle_sha256: str
    """Hash of the bundle of the board's own run."""
    entry_bundle_sha256: str = ""
    """Hash of the entry's bundle that it was compared with."""
    policy_sha256: str = ""
    evals: str = ""
    """Version of science-evals that examined and compared them."""
    agrees: bool
    difference: float | None = None
    """Headline of the board's run minus headline of the entry's run; None if they could not be compared."""
    low: float | None = None
    """90 % interval of the difference."""
    high: float | None = None
    margin: float
    """The runs agree if the whole interval lies within this distance from 0."""
    n: int = 0
    """Number of items scored in both runs."""
    reason: str = ""
    """Why the runs could not be compared; empty if they were."""


class Levels(Struct, frozen=True, kw_only=True):
    """The content of `results/levels.json`."""

    format: int = 1
    reruns: tuple[Rerun, ...] = ()
    challenges: tuple[Challenge, ...] = ()

    def level_and_challenge(self, entry: str, suite: str, protocol: str) -> tuple[Level, Challenge | None]:
        """Return the verification level of a score, and its challenge if there was one."""
        key = entry, suite, protocol
        challenge = next((c for c in self.challenges if (c.entry, c.suite, c.protocol) == key), None)
        if any(r.agrees and (r.entry, r.suite, r.protocol) == key for r in self.reruns):
            return "rerun", challenge
        return "challenged" if challenge is not None and challenge.passed else "recomputed", challenge


def read(folder: Path) -> Levels:
    """Read a board's reruns and challenges; both are empty if there is no file."""
    path = folder / results.FOLDER / results.LEVELS
    levels: Levels = read_struct(path, Levels) if path.exists() else Levels()
    return levels


def add_rerun(folder: Path, entry: str, run: Run) -> Path:
    """Pack the board's own run of an entry's model into `reruns/`; raises UsageError."""
    board_policy, results_by_entry = policy.read(folder), results.read_all(folder)
    if entry not in results_by_entry:
        raise UsageError(
            f"no result of {entry!r} in {folder / results.FOLDER}; known: {', '.join(results_by_entry) or 'none'}"
        )
    config = run.card.config
    if not any(
        (config.suite, config.protocol) == (s.suite, s.protocol) for s in results_by_entry[entry].suites
    ):
        raise UsageError(f"{entry} has no score on {config.suite} ({config.protocol})")
    if board_policy.rule_of(config.suite, config.protocol) is None:
        raise UsageError(f"{config.suite} ({config.protocol}) is not part of the board")
    path = folder / RERUNS / entry / rerun_name(config.suite, config.protocol)
    bundle.pack(run, path)
    return path


def update(
    folder: Path, board_policy: BoardPolicy, results_by_entry: Mapping[str, EntryResult], gold: Path | None
) -> None:
    """Compare every rerun with its entry, check every challenge, and write `levels.json`.

    Earlier comparisons by this version under this policy are reused, but not failures, which may have been due to a deadline
    or to missing data.
    """
    basis = board_policy.sha256, packages()["science-evals"]
    earlier = {
        (r.entry, r.bundle_sha256, r.entry_bundle_sha256, r.margin): r
        for r in read(folder).reruns
        if not r.reason and (r.policy_sha256, r.evals) == basis
    }
    reruns = []
    for path, result, rule in _existing_files(folder / RERUNS, rerun_name, board_policy, results_by_entry):
        digest = disk.sha256(path)
        key = (path.parent.name, digest, result.bundle_sha256, rule.equivalence_margin)
        reruns.append(
            earlier.get(key) or _compare_rerun(folder, path, digest, result, rule, board_policy, gold)
        )
    board_challenges = tuple(
        _read_challenge(path, path.parent.name, result, board_policy.challenge)
        for path, result, _ in _existing_files(
            folder / outcome.FOLDER, outcome.file_name, board_policy, results_by_entry
        )
    )
    levels = Levels(reruns=tuple(reruns), challenges=board_challenges)
    if levels != Levels() or (folder / results.FOLDER / results.LEVELS).exists():
        results.write(folder, results.LEVELS, levels)


def rerun_name(suite: str, protocol: str) -> str:
    """Return the file name of the board's own run of a suite."""
    return f"{suite.replace(':', '-')}@{protocol}{SUFFIX}"


def _existing_files(
    folder: Path,
    name_of: Callable[[str, str], str],
    board_policy: BoardPolicy,
    results_by_entry: Mapping[str, EntryResult],
) -> Iterator[tuple[Path, SuiteResult, SuiteRule]]:
    """Yield each file `ENTRY/NAME` that exists for a suite's result, with the result and its rule."""
    for entry, entry_result in sorted(results_by_entry.items()):
        results_by_name = {name_of(result.suite, result.protocol): result for result in entry_result.suites}
        for name, result in sorted(results_by_name.items()):
            rule = board_policy.rule_of(result.suite, result.protocol)
            if rule is not None and (folder / entry / name).is_file():
                yield folder / entry / name, result, rule


def _compare_rerun(
    folder: Path,
    path: Path,
    digest: str,
    result: SuiteResult,
    rule: SuiteRule,
    board_policy: BoardPolicy,
    gold: Path | None,
) -> Rerun:
    """Examine the rerun at `path`, and compare its items with those of the entry's run."""
    entry = path.parent.name
    examination = within_limits(
        examine_rerun, path, rule, board_policy, gold, seconds=board_policy.limits.seconds
    )
    rerun = Rerun(
        entry=entry,
        suite=rule.name,
        protocol=rule.protocol,
        bundle_sha256=digest,
        entry_bundle_sha256=result.bundle_sha256,
        policy_sha256=board_policy.sha256,
        evals=packages()["science-evals"],
        margin=rule.equivalence_margin,
        agrees=False,
    )
    if reason := _why_incomparable(examination, result):
        return structs.replace(rerun, reason=reason)
    submitted_items = items.read(folder, entry)[rule.name, rule.protocol]
    (rerun_items,) = examination.items.values()
    evidence, n = items.evidence_of(result, submitted_items, rerun_items)
    interval = evidence.interval(CONFIDENCE_LEVEL)
    if interval is None:
        return structs.replace(rerun, reason="too few items for an interval")
    low, high = interval
    agrees = -rule.equivalence_margin < low and high < rule.equivalence_margin
    return structs.replace(rerun, agrees=agrees, difference=evidence.value, low=low, high=high, n=n)


def _why_incomparable(examination: Examination, result: SuiteResult) -> str:
    if examination.refusals or examination.unverified:
        return [*examination.refusals, *examination.unverified][0]
    if not result.items_sha256:
        return "the headline is not a mean over items"
    has_same_items = examination.suites[0].items_sha256 == result.items_sha256
    return "" if has_same_items else "it was run on different items"


def _read_challenge(path: Path, entry: str, result: SuiteResult, rule: ChallengeRule) -> Challenge:
    """Read the challenge of one score from an outcome file; its `fault` states why the outcome does not count.

    It counts if it was computed from the same bundle as the score and satisfies the policy's `[challenge]` table.
    """
    try:
        challenge_outcome = outcome.read(path)
    except UsageError as error:
        return unreadable_challenge(path, error, result.suite, result.protocol, entry)
    challenge = summarize(challenge_outcome, next(_faults(challenge_outcome, result, rule), ""), entry)
    return structs.replace(challenge, suite=result.suite, protocol=result.protocol)


def _faults(outcome: ChallengeOutcome, result: SuiteResult, rule: ChallengeRule) -> Iterator[str]:
    """Yield the reasons why an outcome does not count.

    A test that rejects may stop early, so the minimum number of replies applies only to tests that do not reject. The
    minimum alpha also applies only to these: at a smaller alpha, a test has little power to reject.
    """
    if outcome.format != CHALLENGE_FORMAT:
        yield f"format {outcome.format}; this version reads {CHALLENGE_FORMAT}"
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
