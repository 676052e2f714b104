"""Alpha spending over a series of gates, such as nightly ones, with a joint error rate of at most alpha.

A policy with `[series]` names a series and its number of gates. Each gate is tested at alpha / gates, which limits the
probability of a false pass (or of a false regression) in the whole series to alpha (Bonferroni). The gates are recorded
in `results/series/NAME.jsonl`, one line each; commit the file or keep it with the CI results. Testing the same runs
again spends nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.errors import StoreError, UsageError
from evals.records import mirror
from evals.validation import cause
from evals.verdicts import baseline as baselines
from evals.verdicts.gate import GateReport
from evals.verdicts.policy import Policy, Series
from evals.verdicts.suite_run import SuiteRun

FOLDER = "series"


class RecordedGate(Struct, frozen=True, kw_only=True):
    """A gate in the series' file."""

    candidate: str
    baseline: str
    alpha: float
    verdict: str
    when: float
    """Seconds since 1970."""
    digest: str = ""
    """Hash of the tested runs; empty in older files, in which the names alone identify a gate."""


class AlphaAccount(NamedTuple):
    """The alpha of a series, and the gates that have spent part of it."""

    series: Series
    alpha: float
    """Alpha of the whole series."""
    path: Path
    gates: tuple[RecordedGate, ...]

    @property
    def alpha_per_gate(self) -> float:
        """Return the level at which each gate is tested."""
        return self.alpha / self.series.gates

    @property
    def unspent_alpha(self) -> float:
        """Return the alpha that no gate has spent."""
        return max(0.0, self.alpha - sum(gate.alpha for gate in self.gates))


def single_gate_policy(policy: Policy) -> Policy:
    """Return the policy for one gate of the series, or the policy itself if it has no series."""
    return structs.replace(policy, alpha=policy.alpha / policy.series.gates) if policy.series else policy


def read_account(policy: Policy, results: Path) -> AlphaAccount | None:
    """Read the account of the policy's series; None if it has none. Raises StoreError if the file is broken."""
    if policy.series is None:
        return None
    path = mirror.writable_folder(results) / FOLDER / f"{policy.series.name}.jsonl"
    return AlphaAccount(policy.series, policy.alpha, path, _read_gates(path))


def _read_gates(path: Path) -> tuple[RecordedGate, ...]:
    try:
        lines = disk.read_small(path).splitlines() if path.exists() else []
        return tuple(msgspec.json.decode(line, type=RecordedGate) for line in lines)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not a record of a series of gates ({cause(error)})") from None


def outcomes_digest(suite_runs: Iterable[SuiteRun]) -> str:
    """Return a hash of the runs' outcomes, which distinguishes runs with the same name (another model, another night, more replies)."""
    digest = sha256()
    for run in map(baselines.hash_ids, suite_runs):
        points_by_scorer = {
            scorer: sorted((point.id, point.repeat, point.verdict, point.value) for point in outcomes.points)
            for scorer, outcomes in run.outcomes_by_scorer.items()
        }
        digest.update(msgspec.json.encode((run.identity, points_by_scorer)))
    return digest.hexdigest()


def require_unspent_alpha(account: AlphaAccount, *, candidate: str, baseline: str, digest: str) -> None:
    """Raise UsageError if all alpha has been spent, unless this pair of runs has been tested before."""
    if (
        _earlier_gate(account, candidate, baseline, digest) is None
        and len(account.gates) >= account.series.gates
    ):
        raise UsageError(
            f"series {account.series.name}: all {account.series.gates} gates that share an alpha of {account.alpha:g} have been used; "
            f"set another name in the policy's [series] to start a new one"
        )


def record(account: AlphaAccount, report: GateReport, *, digest: str) -> GateReport:
    """Append a gate to the series' file unless the same runs are in it; return its report with a note on the remaining alpha.

    The file is locked and read again, as another gate may have been recorded in the meantime. Raises UsageError if that
    gate has spent the last alpha, and StoreError if the file cannot be read or written.
    """
    try:
        disk.make_parent(account.path)
        with os.fdopen(disk.create(account.path, append=True), "ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            account = account._replace(gates=_read_gates(account.path))
            require_unspent_alpha(
                account, candidate=report.candidate, baseline=report.baseline, digest=digest
            )
            earlier = _earlier_gate(account, report.candidate, report.baseline, digest)
            if earlier is None:
                account = _append(account, report, stream, digest)
    except OSError as error:
        raise StoreError(f"cannot write {account.path}: {error.strerror or error}") from None
    repeated = " (these runs had been tested before)" if earlier else ""
    note = (
        f"series {account.series.name}: gate {len(account.gates)} of {account.series.gates} at alpha {account.alpha_per_gate:.3g}{repeated}; "
        f"{account.unspent_alpha:.3g} of {account.alpha:g} remains"
    )
    return structs.replace(report, notes=(*report.notes, note))


def _append(account: AlphaAccount, report: GateReport, stream: BinaryIO, digest: str) -> AlphaAccount:
    gate = RecordedGate(
        candidate=report.candidate, baseline=report.baseline, alpha=account.alpha_per_gate,
        verdict=report.verdict, when=time.time(), digest=digest,
    )  # fmt: skip
    stream.write(msgspec.json.encode(gate) + b"\n")
    stream.flush()
    os.fsync(stream.fileno())
    return account._replace(gates=(*account.gates, gate))


def _earlier_gate(account: AlphaAccount, candidate: str, baseline: str, digest: str) -> RecordedGate | None:
    matches = (
        gate
        for gate in account.gates
        if (gate.candidate, gate.baseline) == (candidate, baseline) and gate.digest in ("", digest)
    )
    return next(matches, None)
