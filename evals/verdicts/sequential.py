"""A sequential gate: samples in seeded random order, stopped as soon as the verdict is certain.

Each suite is tested by two bets (`betting.py`): that its loss is below its margin, and that the loss is above. Records
arrive in any order but are processed in the order of the queue, because the fastest replies are not a random sample.
A missing outcome enters each bet at its worst value. Every pass is tested at alpha, and every regression at alpha divided
by the number of critical and supporting suites (Bonferroni; the gate of fixed sample size in `gate.py` uses Holm).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from math import exp
from typing import Protocol

from evals.errors import UsageError
from evals.labels import STOPPED_EARLY_NOTE
from evals.records.files import CompactRecord, Gold, compact
from evals.records.store import Run
from evals.report.estimand_names import Estimand
from evals.report.estimates import point
from evals.report.metrics import at_repeats, measured_samples
from evals.run.job import Job
from evals.types import Point, Record
from evals.verdicts import baseline as baselines
from evals.verdicts.betting import Bets
from evals.verdicts.formatting import format_interval, format_size
from evals.verdicts.gate import GateReport, SuiteVerdict, Verdict, displayed_verdict, overall_verdict
from evals.verdicts.gate_cases import metric_of
from evals.verdicts.pairs import Outcomes, reduce_sample, reduce_samples
from evals.verdicts.policy import Entry, Policy
from evals.verdicts.suite_run import SuiteRun, incomparability_reasons, normalise_suite_name


class Stoppable(Protocol):
    """A runner that can be stopped."""

    def end(self, reason: str) -> None:
        """Start no new calls."""


class SuiteTest:
    """The sequential test of one suite."""

    def __init__(self, job: Job, entry: Entry, baseline: SuiteRun, *, seed: int, estimand: Estimand) -> None:
        self.entry, self.job, self.estimand = entry, job, estimand
        candidate = _without_outcomes(job)
        if reasons := incomparability_reasons(baseline, candidate):
            raise UsageError(f"baseline and candidate cannot be compared: {'; '.join(reasons)}")
        self.metric, self.baseline_metric = metric_of(entry, candidate), metric_of(entry, baseline)
        self.width = self._metric_width()
        self.golds = measured_samples(self.metric, candidate.outcomes.golds, repeats=job.repeats)
        self.scorer = self.metric.scorer or next(iter(job.suite.scorers))
        outcomes = baseline.outcomes_under(self.baseline_metric)
        self.baseline_values = reduce_samples(outcomes, self.baseline_metric, outcomes.golds)
        self.baseline_coverage = outcomes.coverage
        self.baseline_ids = {sample_id: sample_id for sample_id in self.golds}
        if baseline.original_ids is not None:
            self.baseline_ids = {
                sample_id: baselines.id_hash(baseline.suite, sample_id) for sample_id in self.golds
            }
        self.clusters = self._shuffled_clusters(seed)
        self.weights = self._sample_weights()
        cluster_weights = [sum(self.weights[sample_id] for sample_id in cluster) for cluster in self.clusters]
        max_weight, total_weight = max(cluster_weights), sum(cluster_weights)
        self.bets = Bets(
            margin=entry.margin, width=self.width, max_weight=max_weight,
            imbalance=max_weight * total_weight / sum(weight * weight for weight in cluster_weights),
            population=total_weight if estimand == "this-run" else None,
        )  # fmt: skip
        self.outcomes: dict[str, dict[int, Point | None]] = {}
        self.next_cluster = 0
        """Index of the first incomplete cluster."""
        self.processed = self.scored = 0  # samples, and their scored repeats
        self.difference_total = self.weight_total = 0.0

    def _metric_width(self) -> float:
        """Return the width of the metric's scale; raises UsageError if the suite cannot be tested sequentially."""
        if self.estimand == "these-items":
            raise UsageError(
                f"policy: {self.entry.name}: --until-decided cannot judge these-items, which needs all repeats; set estimand to "
                "items-like-these or this-run"
            )
        width = self.metric.width
        if width is None or self.metric.pool == "whole" or self.metric.together:
            raise UsageError(
                f"{self.job.suite.id}: --until-decided needs a mean of bounded values per sample, which "
                f"{self.metric.name} is not"
            )
        if self.entry.margin >= width:
            raise UsageError(
                f"policy: {self.entry.name}: margin {self.entry.margin:g} must be below {width:g}, the range of {self.metric.name}"
            )
        return width

    def _shuffled_clusters(self, seed: int) -> list[list[str]]:
        """Return the sample ids by cluster, in seeded random order and without samples that the baseline lacks."""
        clusters: dict[str, list[str]] = {}
        for sample_id, gold in self.golds.items():
            if self.baseline_ids[sample_id] in self.baseline_values:
                clusters.setdefault(gold.cluster, []).append(sample_id)
        if len(clusters) < 2:
            raise UsageError(
                f"{self.job.suite.id}: baseline and candidate share fewer than two clusters of samples"
            )

        def sort_key(cluster: str) -> bytes:
            return sha256(f"{self.job.suite.id}\x1f{seed}\x1f{cluster}".encode()).digest()

        return [clusters[cluster] for cluster in sorted(clusters, key=sort_key)]

    def _sample_weights(self) -> dict[str, float]:
        """Return the weight of each sample in the metric's mean, 1 on average; for a macro mean, groups have equal weights."""
        sample_ids = [sample_id for cluster in self.clusters for sample_id in cluster]
        if self.metric.pool != "macro":
            return dict.fromkeys(sample_ids, 1.0)
        group_sizes = Counter(self.golds[sample_id].group for sample_id in sample_ids)
        return {
            sample_id: len(sample_ids) / len(group_sizes) / group_sizes[self.golds[sample_id].group]
            for sample_id in sample_ids
        }

    def add(self, record: CompactRecord) -> None:
        """Add a record, and bet on the clusters, in their order, up to the first incomplete one."""
        if record.sample not in self.weights:
            return
        outcome = point(record, self.golds[record.sample], self.scorer)
        self.outcomes.setdefault(record.sample, {})[record.repeat] = outcome
        while self.next_cluster < len(self.clusters) and self._is_complete(self.clusters[self.next_cluster]):
            self._bet_on(self.clusters[self.next_cluster])
            self.next_cluster += 1

    def _is_complete(self, sample_ids: Sequence[str]) -> bool:
        return all(len(self.outcomes.get(sample_id, ())) >= self.job.repeats for sample_id in sample_ids)

    def _bet_on(self, sample_ids: Sequence[str]) -> None:
        worst = best = cluster_weight = 0.0
        higher_is_better = self.metric.better == "higher"
        for sample_id in sample_ids:
            weight, by_repeat = self.weights[sample_id], self.outcomes.pop(sample_id)
            scored = [outcome for outcome in by_repeat.values() if outcome is not None]
            value = reduce_sample(
                sample_id, scored, self.metric, gold=self.golds[sample_id], repeats=self.job.repeats
            )
            self.processed += 1
            self.scored += len(scored)
            if value is None:
                continue  # the metric excludes this sample
            baseline_value = self.baseline_values[self.baseline_ids[sample_id]]
            low, high = value.low - baseline_value.high, value.high - baseline_value.low
            worst += weight * (low if higher_is_better else -high)
            best += weight * (high if higher_is_better else -low)
            cluster_weight += weight
            self.difference_total += weight * ((low + high) / 2)
        self.weight_total += cluster_weight
        self.bets.add([worst], [best], [cluster_weight])

    @property
    def coverage(self) -> float:
        """Return the share of the processed sample-repeats that are scored."""
        return self.scored / (self.processed * self.job.repeats) if self.processed else 0.0

    @property
    def is_exhausted(self) -> bool:
        """Return whether every sample has been processed."""
        return self.next_cluster >= len(self.clusters)

    @property
    def difference(self) -> float | None:
        """Return the mean difference over the processed samples; None if there are none."""
        return self.difference_total / self.weight_total if self.weight_total else None

    def gain_prevents_pass(self, alpha: float) -> bool:
        """Return whether the gain is implausibly large.

        While samples remain, the observed gain is compared with the largest plausible one; afterwards, its lower confidence
        limit is.
        """
        if self.entry.plausible is None:
            return False
        gain = (self.difference or 0.0) * (1 if self.metric.better == "higher" else -1)
        if gain <= self.entry.plausible:
            return False
        return not self.is_exhausted or self.bets.limits(alpha)[0] > self.entry.plausible


class SequentialGate:
    """All suites of a command, tested against a baseline until the policy's verdict is certain."""

    def __init__(
        self, jobs: Sequence[Job], baseline: Sequence[SuiteRun], policy: Policy, *, seed: int
    ) -> None:
        """Raise UsageError if jobs, baseline and policy do not match."""
        if policy.pool:
            raise UsageError(
                "--until-decided cannot judge pools: remove them from the policy, or judge finished runs with `evals gate`"
            )
        self.policy, self.jobs, self.alpha = policy, jobs, policy.alpha * (1 - policy.final)
        self.family_size = max(1, sum(entry.tier != "advisory" for entry in policy.suite))
        job_index = {normalise_suite_name(job.suite.id): index for index, job in enumerate(jobs)}
        self.tests: dict[int, SuiteTest] = {}
        for entry in policy.suite:
            suite_name = normalise_suite_name(entry.name)
            variants = [i for name, i in job_index.items() if name.partition(":")[0] == suite_name]
            index = job_index.get(suite_name, variants[0] if len(variants) == 1 else None)
            if index is None:
                raise UsageError(f"the policy judges {entry.name}, which this command does not run")
            if index in self.tests:
                raise UsageError(
                    f"the policy has several entries for {jobs[index].suite.id}, but --until-decided tests one metric per suite: "
                    "keep one of them, or judge finished runs with `evals gate`"
                )
            job, estimand = jobs[index], policy.estimand_of(entry)
            if entry.protocol not in ("", job.suite.protocol):
                raise UsageError(
                    f"policy: {entry.name}: requires protocol {entry.protocol}, but this command uses {job.suite.protocol}"
                )
            self.tests[index] = SuiteTest(
                job, entry, _baseline_of(job, baseline), seed=seed, estimand=estimand
            )
        if unjudged := [job.suite.id for index, job in enumerate(jobs) if index not in self.tests]:
            raise UsageError(f"the policy has no entry for {', '.join(unjudged)}")
        self.runner: Stoppable | None = None
        self.notes = [STOPPED_EARLY_NOTE]
        """Notes for the runs' cards."""
        for test in self.tests.values():  # process the records of an earlier, interrupted run
            for record in Run(test.job.writer.path).compact_records() if test.job.done else ():
                if (record.sample, record.repeat) in test.job.done:
                    test.add(record)

    def queue(self) -> list[tuple[int, int, int]]:
        """Return the remaining calls as (job index, position, repeat): suites interleaved, each in random order."""
        calls = []
        for job_index, test in self.tests.items():
            positions = {sample_id: position for position, sample_id in enumerate(test.job.samples.ids)}
            for rank, sample_ids in enumerate(test.clusters):
                calls += [
                    (rank / len(test.clusters), job_index, positions[sample_id], repeat)
                    for sample_id in sample_ids
                    for repeat in range(test.job.repeats)
                    if (sample_id, repeat) not in test.job.done
                ]
        calls.sort(key=lambda call: call[:2])
        return [(job_index, position, repeat) for _, job_index, position, repeat in calls]

    def record(self, job_index: int, record: Record) -> None:
        """Add a record and stop the run once the verdict is certain."""
        self.tests[job_index].add(compact(record))
        if self.runner is not None and self.is_decided and not self.is_exhausted:
            self.runner.end(f"decided: {self.verdict}")

    def attach(self, runner: Stoppable) -> None:
        """Stop this runner once the verdict is certain, at once if it already is."""
        self.runner = runner
        if self.is_decided:
            runner.end(f"decided: {self.verdict}")

    def should_skip(self, job_index: int) -> bool:
        """Return whether a job needs no more calls, since the verdict on its suite is certain."""
        return self.verdict_of(self.tests[job_index]) != "cannot tell"

    def verdict_of(self, test: SuiteTest) -> Verdict:
        """Return the verdict on a suite so far."""
        family_size = self.family_size if test.entry.tier != "advisory" else 1
        if test.bets.is_regression(self.alpha / family_size):
            return "regression"
        is_covered = min(test.coverage, test.baseline_coverage) >= self.policy.coverage
        if not (is_covered and test.bets.passes(self.alpha)):
            return "cannot tell"
        return "cannot tell" if test.gain_prevents_pass(self.alpha) else "pass"

    @property
    def verdict(self) -> Verdict:
        """Return the verdict of the policy so far."""
        return overall_verdict((test.entry.tier, self.verdict_of(test)) for test in self.tests.values())

    @property
    def is_decided(self) -> bool:
        """Return whether further calls cannot change the verdict."""
        if self.verdict == "regression":
            return True
        return all(
            test.entry.tier == "advisory" or test.is_exhausted or self.verdict_of(test) != "cannot tell"
            for test in self.tests.values()
        )

    @property
    def is_exhausted(self) -> bool:
        """Return whether every sample of every suite has been processed."""
        return all(test.is_exhausted for test in self.tests.values())

    def details(self, job_index: int) -> str:
        """Return the verdict so far and the confidence sequence's limits, for the progress bar."""
        test = self.tests[job_index]
        low, high = self._difference_limits(test)
        verdict = displayed_verdict(self.verdict_of(test))
        return f"{verdict} so far, difference in {format_interval(low, high, test.metric.unit)}"

    def _difference_limits(self, test: SuiteTest) -> tuple[float, float]:
        low, high = test.bets.limits(self.alpha)
        return (low, high) if test.metric.better == "higher" else (-high, -low)

    def report(self, *, candidate: str, baseline: str, final: GateReport | None = None) -> GateReport:
        """Return the report; `final`: the report of the final test at the reserved alpha, if all items were used without a decision."""
        suites = [self._suite_verdict(test) for test in self.tests.values()]
        if final is not None:
            final_verdicts = {suite.suite: suite for suite in final.suites}
            suites = [
                final_verdicts.get(suite.suite, suite)
                if suite.verdict == "cannot tell" and test.is_exhausted
                else suite
                for suite, test in zip(suites, self.tests.values(), strict=True)
            ]
        return GateReport(
            verdict=overall_verdict((suite.tier, suite.verdict) for suite in suites), suites=tuple(suites), candidate=candidate, baseline=baseline,
            alpha=self.policy.alpha, level=1 - 2 * self.alpha, notes=tuple(self._sample_count_notes()), sequential=True,
            alarms=tuple(f"{suite.suite}: {suite.alarm}" for suite in suites if suite.alarm),
        )  # fmt: skip

    def _sample_count_notes(self) -> list[str]:
        """Return a note for each suite on the number of samples that were processed."""
        return [
            f"{test.entry.name}: {'undecided' if self.verdict_of(test) == 'cannot tell' else 'decided'} "
            f"after {test.processed} of {len(test.weights)} samples"
            for test in self.tests.values()
        ]

    def _gain_alarm(self, test: SuiteTest) -> str:
        """Return a warning if the gain is implausibly large, as in `gate.py`; empty if it is not."""
        limit = 3 * test.entry.margin if test.entry.plausible is None else test.entry.plausible
        if not test.gain_prevents_pass(self.alpha) and test.bets.limits(self.alpha)[0] <= limit:
            return ""
        return (
            f"better by more than {format_size(limit, test.metric.unit)}: check the answer extraction first"
        )

    def _suite_verdict(self, test: SuiteTest) -> SuiteVerdict:
        verdict = self.verdict_of(test)
        low, high = self._difference_limits(test)
        unit, margin = test.metric.unit, format_size(test.entry.margin, test.metric.unit)
        details = [
            f"; coverage of the {role} is {100 * coverage:.2f} %"
            for role, coverage in (("candidate", test.coverage), ("baseline", test.baseline_coverage))
            if coverage < self.policy.coverage
        ]
        if verdict == "cannot tell" and (alarm := self._gain_alarm(test)):
            details.append(f"; {alarm}")
        reasons = {
            "pass": f"non-inferior within {margin}, after {test.processed} samples",
            "regression": f"the loss significantly exceeds {margin}, after {test.processed} samples",
            "cannot tell": f"undecided after {test.processed} samples{''.join(details)}",
        }
        family_size = self.family_size if test.entry.tier != "advisory" else 1
        return SuiteVerdict(
            suite=test.entry.name, protocol=test.job.suite.protocol, tier=test.entry.tier,
            metric=test.metric.name, verdict=verdict, reasons=(reasons[verdict],), value_baseline=None,
            value_candidate=None, difference=test.difference, low=low,
            high=high, margin=test.entry.margin, better=test.metric.better, unit=unit, n=test.processed,
            coverage=test.coverage, coverage_baseline=test.baseline_coverage, estimand=test.estimand,
            alarm=self._gain_alarm(test), method="betting without replacement" if test.estimand == "this-run" else "betting",
            p_pass=min(1.0, exp(-test.bets.max_log_pass_wealth)),
            p_regression=min(1.0, family_size * exp(-test.bets.max_log_regression_wealth)),
        )  # fmt: skip


def _without_outcomes(job: Job) -> SuiteRun:
    """Return the candidate with all its samples and no outcomes yet."""
    golds = {sample.id: Gold.of(sample) for sample in job.samples}
    return SuiteRun(
        run=job.writer.card.run, model=job.writer.card.model, suite=job.suite.id, protocol=job.suite.protocol,
        version=job.suite.version, data_sha256=job.writer.card.config.data_sha256,
        scorers=job.suite.scorer_versions(),
        metrics=at_repeats(job.suite.metrics, job.repeats),
        outcomes_by_scorer={name: Outcomes([], golds, job.repeats) for name in job.suite.scorers}, gated=job.suite.gated,
        judge=(job.writer.card.config.judge or "none") if job.suite.judged else "",
    )  # fmt: skip


def _baseline_of(job: Job, baseline: Sequence[SuiteRun]) -> SuiteRun:
    matching = [
        run
        for run in baseline
        if normalise_suite_name(run.suite) == normalise_suite_name(job.suite.id)
        and run.protocol == job.suite.protocol
    ]
    if not matching:
        available = ", ".join(f"{run.suite} ({run.protocol})" for run in baseline)
        raise UsageError(
            f"the baseline has no run of {job.suite.id} under {job.suite.protocol}; it has {available}"
        )
    return matching[0]
