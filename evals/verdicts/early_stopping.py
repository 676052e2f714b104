"""Early stopping of `evals run ... --against BASELINE --policy FILE --until-decided`: a sequential gate."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from evals.errors import UsageError
from evals.records.store import Run
from evals.verdicts import alpha_spending, noise, policy, suite_runs
from evals.verdicts.gate import GateReport, check_margins, run_names
from evals.verdicts.gate import gate as fixed_gate
from evals.verdicts.sequential import SequentialGate

if TYPE_CHECKING:
    from evals.run.job import Job
    from evals.run.request import RunRequest


class EarlyStoppingGate:
    """A sequential gate with its baseline and policy; raises UsageError if these do not match."""

    def __init__(self, *, against: str, policy_file: Path, results: Path) -> None:
        series_policy = policy.read(policy_file)
        self.account = alpha_spending.read_account(series_policy, results)
        self.gate_policy = alpha_spending.single_gate_policy(series_policy)
        suites = [entry.name for entry in self.gate_policy.suite]
        self.baseline = suite_runs.load_named_runs(results, against, suites=suites)
        check_margins(self.gate_policy, noise.repeatability_limits(results, self.baseline), self.baseline)
        self.gate: SequentialGate | None = None
        self._digest = ""
        """Hash of the jobs' runs: a run that is continued is still the same test."""

    def begin(self, jobs: Sequence[Job], *, seed: int) -> SequentialGate:
        """Create and return the sequential gate for these jobs."""
        if self.account:
            cards = [job.writer.card for job in jobs]
            self._digest = sha256(
                repr([(card.run, card.model, card.started) for card in cards]).encode()
            ).hexdigest()
            names = ", ".join(dict.fromkeys(card.run for card in cards))
            alpha_spending.require_unspent_alpha(
                self.account, candidate=names, baseline=run_names(self.baseline), digest=self._digest
            )
        self.gate = SequentialGate(jobs, self.baseline, self.gate_policy, seed=seed)
        return self.gate

    def report(self) -> GateReport:
        """Return the gate's report, after a final test at the reserved alpha if all items were used without a decision."""
        gate = self.gate
        if gate is None:
            raise UsageError("the gate has nothing to judge: no suite was run")
        candidate = [suite_runs.of_run(Run(job.writer.path)) for job in gate.jobs]
        verdicts = (gate.verdict_of(test) for test in gate.tests.values() if test.is_exhausted)
        final_report = None
        if self.gate_policy.final > 0 and "cannot tell" in verdicts:
            runs, baseline_runs = suite_runs.with_common_ids(candidate, self.baseline)
            final_policy = structs.replace(
                self.gate_policy, alpha=self.gate_policy.alpha * self.gate_policy.final
            )
            final_report = fixed_gate(runs, baseline_runs, final_policy)
        report = gate.report(
            candidate=run_names(candidate), baseline=run_names(self.baseline), final=final_report
        )
        return alpha_spending.record(self.account, report, digest=self._digest) if self.account else report


def early_stopping_gate(request: RunRequest) -> EarlyStoppingGate:
    """Return the sequential gate that a request asks for; raises UsageError if its options do not fit together."""
    if request.against is None or request.policy is None or not request.until_decided:
        raise UsageError(
            "--against, --policy and --until-decided must be given together (`evals gate` judges finished runs)"
        )
    if len(request.models) > 1:
        raise UsageError("--until-decided judges one model at a time")
    return EarlyStoppingGate(against=request.against, policy_file=request.policy, results=request.results)
