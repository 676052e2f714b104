"""Examination of one entry: verify its bundles, rescore its replies, and apply the board's rules to each run.

The examination runs in a worker process with a deadline and a memory limit (`within_limits`). The entry is only data: suites defined by
code are refused, and messages never quote unchecked text from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from evals import disk, load
from evals.board import checks, items, submission
from evals.board.items import Items
from evals.board.policy import BoardPolicy, SuiteRule
from evals.board.results import SuiteResult
from evals.board.submission import Submission, SubmittedRun
from evals.bundles.bundle import GATED_FILES, Bundle, Withheld, open_bundle
from evals.bundles.verify import Verification, verify
from evals.errors import DataError, EvalsError, ScorerError
from evals.plain import one_line
from evals.records import promise
from evals.records.card import Card
from evals.records.files import Gold, compact
from evals.sandbox import Pool
from evals.types import Record, Sample

NEEDS_DATA = "gated, so only the board's own data can verify it"
"""Why a run is not verified without the board's data."""
MEMORY_MIB = 6144
"""Limit of the address space of the process that examines an entry."""


class Examination(Struct, kw_only=True):
    """The outcome of an examination."""

    submission: Submission | None = None
    """None if it could not be read."""
    suites: list[SuiteResult] = []
    """Results of the verified runs."""
    refusals: list[str] = []
    """Reasons to refuse the entry."""
    items: dict[tuple[str, str], Items] = {}
    """Suite and protocol -> items of the verified run."""
    unverified: list[str] = []
    """Reasons why runs could not be verified: they need the board's own data, which is missing here."""


def within_limits(function: Callable[..., Examination], *args: Any, seconds: int) -> Examination:
    """Run an examination in a worker process with a deadline and a memory limit; if it fails there, the entry is refused."""
    try:
        with Pool(1, memory_mib=MEMORY_MIB, timeout_s=seconds) as pool:
            examination: Examination = pool.call(function, *args, timeout_s=seconds)
    except ScorerError as error:
        return Examination(refusals=[f"it could not be examined: {one_line(str(error))}"])
    return examination


def examine(path: Path, policy: BoardPolicy, gold: Path | None) -> Examination:
    """Examine an entry. `gold`: folder with the board's own data, which has a folder or file per suite."""
    examination = Examination()
    try:
        with submission.unpacked(path, policy) as (submitted, files):
            examination.submission = submitted
            examination.refusals += _submission_refusals(submitted, path, policy)
            for run in submitted.runs if not examination.refusals else ():
                _examine_run(examination, run, files[run.file], policy, gold)
    except EvalsError as error:
        examination.refusals.append(one_line(str(error)))
    return examination


def examine_rerun(path: Path, rule: SuiteRule, policy: BoardPolicy, gold: Path | None) -> Examination:
    """Examine the bundle of a rerun: a run that the board's operator made."""
    examination = Examination()
    try:
        with open_bundle(path) as bundle:
            run = SubmittedRun(
                file=path.name, suite=rule.name, protocol=rule.protocol, run=bundle.manifest.run
            )
        _examine_run(examination, run, path, policy, gold)
    except EvalsError as error:
        examination.refusals.append(one_line(str(error)))
    return examination


def _submission_refusals(submitted: Submission, path: Path, policy: BoardPolicy) -> Iterator[str]:
    if submitted.board != policy.id:
        yield f"it was made for another board, not for {policy.id}"
    if path.stem != (name := submission.entry_name(submitted)):
        yield f"the file must be named {name}{submission.SUFFIX}"
    for run in submitted.runs:
        if policy.rule_of(run.suite, run.protocol) is None:
            known = ", ".join(rule.label for rule in policy.suite)
            yield one_line(f"{run.suite} ({run.protocol}) is not part of the board: {known}")


def _examine_run(
    examination: Examination, run: SubmittedRun, path: Path, policy: BoardPolicy, gold: Path | None
) -> None:
    """Verify one bundle and apply the rules to it; add its result or refusals to the examination."""
    rule = policy.rule_of(run.suite, run.protocol)
    assert rule is not None  # noqa: S101 - checked by _submission_refusals
    try:
        data = board_data(gold, run.suite)
        (suite,) = load.recorded_suite(run.suite, run.protocol)
        if suite.gated and data is None:
            examination.unverified.append(f"{rule.label}: {NEEDS_DATA}")
            return
        verification = verify(path, data)
        refusals = list(map(one_line, verification.differences[:3]))
        if not refusals:
            result, refusals, run_items = _result(path, run, rule, verification)
            examination.suites.append(result)
            examination.items[run.suite, run.protocol] = run_items
    except EvalsError as error:
        refusals = [one_line(str(error).replace(f"{path}: ", ""))]
    examination.refusals += [f"{rule.label}: {line}" for line in refusals]


def board_data(gold: Path | None, suite: str) -> Path | None:
    """Return the board's own data for a suite: the file or folder in `gold` with the suite's name; None if there is none."""
    if gold is None:
        return None
    name = suite.partition(":")[0]
    return next((path for path in sorted(gold.glob(f"{name}*")) if path.name.partition(".")[0] == name), None)


def _result(
    path: Path, run: SubmittedRun, rule: SuiteRule, verification: Verification
) -> tuple[SuiteResult, list[str], Items]:
    """Return the result of a verified bundle, the reasons to refuse it, and its items."""
    with open_bundle(path) as bundle:
        card = bundle.card()
        if (run.suite, run.protocol, run.run) != (card.config.suite, card.config.protocol, card.run):
            raise DataError("submission.toml and the bundle do not name the same run")
        (suite,) = load.recorded_suite(run.suite, run.protocol)
        samples = {sample.id: sample for sample in bundle.lines("samples.jsonl", Sample)}
        counts = checks.count(_records(bundle), samples, suite.errata, card.config.sampling.max_tokens)
        golds = {sample.id: Gold.of(sample) for sample in samples.values()}
        run_items = items.measure(suite, map(compact, _records(bundle)), golds, card.config.repeats)
        result = structs.replace(
            result_of(card, run_items),
            fingerprint=checks.fingerprint(_records(bundle)),
            bundle_sha256=disk.sha256(path),
            notes=verification.notes,
        )
    refusals = [
        *checks.rule_refusals(card, rule, suite),
        *checks.sampling_refusals(card, counts),
        *checks.leak_refusals(counts),
    ]
    return result, list(map(one_line, refusals)), run_items


def _records(bundle: Bundle) -> Iterator[Record]:
    """Yield the records of a bundle, without texts if its suite is gated."""
    if bundle.manifest.gated:
        yield from (withheld.record for withheld in bundle.lines(GATED_FILES[-1], Withheld))
    else:
        yield from bundle.lines("records.jsonl", Record)


def result_of(card: Card, run_items: Items) -> SuiteResult:
    """Return the result of a run with the fields that the run's card and items provide."""
    config = card.config
    of_config = ("suite", "protocol", "version", "data_sha256", "repeats")
    of_card = (
        "run", "estimates", "expected", "coverage", "truncated", "counts", "tokens", "cost_usd", "served", "started", "errata",
    )  # fmt: skip
    return SuiteResult(
        **{name: getattr(config, name) for name in of_config},
        **{name: getattr(card, name) for name in of_card},
        sampling=structs.replace(config.sampling, extra={}),
        judge=checks.judge_of(card),
        promise=promise.promise_status(card),
        items=len(run_items.values),
        items_sha256=run_items.sha256,
        macro=run_items.macro,
        width=run_items.width,
    )
