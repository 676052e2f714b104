"""Early stopping of `evals run ... --against BASELINE --policy FILE --until-decided`: a sequential gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import UsageError
from evals.records.store import Run
from evals.verdicts import alpha_spending, noise, policy, suite_runs
from evals.verdicts.gate import GateReport, check_noise, run_names
from evals.verdicts.gate import gate as judge
from evals.verdicts.sequential import SequentialGate, fixed_policy

if TYPE_CHECKING:
    from evals.run.job import Job
    from evals.run.request import RunRequest


class EarlyStoppingGate:
    """The sequential gate of a run; raises UsageError if baseline and policy do not fit together."""

    def __init__(self, *, against: str, policy_file: Path, results: Path) -> None:
        rules = policy.read(policy_file)
        self.account = alpha_spending.read_account(rules, results)
        self.rules = alpha_spending.single_gate_policy(rules)
        self.old = suite_runs.load_named_runs(
            results, against, suites=[entry.name for entry in self.rules.suite]
        )
        check_noise(self.rules, noise.repeatability_limits(results, self.old), self.old)
        self.gate: SequentialGate | None = None

    def begin(self, jobs: Sequence[Job], *, seed: int) -> SequentialGate:
        """Return the sequential gate for these jobs."""
        if self.account:
            names = ", ".join(dict.fromkeys(job.writer.path.name for job in jobs))
            alpha_spending.refuse_spent(self.account, candidate=names, baseline=run_names(self.old))
        self.gate = SequentialGate(jobs, self.old, self.rules, seed=seed)
        return self.gate

    def report(self) -> GateReport:
        """Return the gate's report; if the items ran out, with a second test at the reserved alpha."""
        gate = self.gate
        if gate is None:
            raise UsageError("nothing was run")
        new = [suite_runs.of_run(Run(job.writer.path)) for job in gate.jobs]
        left = any(test.exhausted and gate.verdict_of(test) == "cannot tell" for test in gate.tests.values())
        fixed = None
        if self.rules.final > 0 and left:
            b, a = suite_runs.with_common_ids(new, self.old)
            fixed = judge(b, a, fixed_policy(self.rules))
        report = gate.report(candidate=run_names(new), baseline=run_names(self.old), fixed=fixed)
        return alpha_spending.record(self.account, report) if self.account else report


def early_stopping_gate(request: RunRequest) -> EarlyStoppingGate | None:
    """Return the sequential gate that a request asks for, or None; raises UsageError if an option is missing."""
    options = [request.against is not None, request.policy is not None, request.until_decided]
    if not any(options):
        return None
    if request.against is None or request.policy is None or not request.until_decided:
        raise UsageError(
            "--against, --policy and --until-decided go together (`evals gate` judges finished runs)"
        )
    if len(request.models) > 1:
        raise UsageError("--until-decided judges one model at a time")
    return EarlyStoppingGate(against=request.against, policy_file=request.policy, results=request.results)
