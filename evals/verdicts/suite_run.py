"""A run of one suite, ready for comparisons and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TypeAlias

from msgspec import Struct

from evals.types import Metric
from evals.verdicts.formatting import format_rule
from evals.verdicts.pairs import Outcomes, Pairing, reduce_run


def normalise_suite_name(suite: str) -> str:
    """Return a suite's name in lower case and with hyphens, for comparison with other names."""
    return suite.replace("_", "-").lower()


SuiteKey: TypeAlias = tuple[str, str]
"""Suite and protocol."""


class SuiteRun(Struct, frozen=True, kw_only=True):
    """One run of one suite, ready to be compared."""

    run: str
    model: str
    suite: str
    protocol: str
    data_sha256: str
    scorers: Mapping[str, str]
    """Scorer -> rule, options and version."""
    metrics: tuple[Metric, ...]
    """With the number of repeats for `@k` in their names; exactly one is the headline."""
    outcomes_by_scorer: Mapping[str, Outcomes]
    """Outcomes and gold answers under each scorer, in the suite's order."""
    tokens: Mapping[str, int] = {}
    cost_usd: float | None = None
    seconds: float | None = None
    """From start to finish."""
    gated: bool = False
    version: str = ""
    """The suite's version; empty: unknown (an old baseline file)."""
    judge: str | None = ""
    """Judge model, or `none`; empty: the suite is not judged by a model; None: unknown (an old baseline file)."""
    original_ids: Mapping[str, str] | None = None
    """Hashed id -> original id, if known; None: the ids are not hashed."""
    prompted: str = ""
    """The protocol whose prompts were sent, if the run is a copy that is scored under another one; else empty."""
    promise: str = "none"
    """Status of the run's preregistration: `none`, `kept`, or `broken: ` and what changed."""
    promised_policy: str = ""
    """SHA-256 of the policy that the preregistration names."""
    restrictions: tuple[str, ...] = ()
    """Restrictions of the run: a subset, an early stop, sample items."""

    @property
    def key(self) -> SuiteKey:
        """Return suite and protocol."""
        return self.suite, self.protocol

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Return what identifies a run: the runs of one command share their id."""
        return self.run, self.model, self.suite, self.protocol

    @property
    def outcomes(self) -> Outcomes:
        """Return the outcomes and gold answers under the suite's first scorer."""
        return next(iter(self.outcomes_by_scorer.values()))

    def outcomes_under(self, metric: Metric) -> Outcomes:
        """Return the outcomes and gold answers under a metric's scorer.

        If a run of another protocol does not have that scorer, its own metric of this name determines the scorer.
        """
        own_metrics = (own for own in self.metrics if own.name == metric.name)
        for scorer in (metric.scorer, *(own.scorer for own in own_metrics)):
            if scorer in self.outcomes_by_scorer:
                return self.outcomes_by_scorer[scorer]
        return self.outcomes

    @property
    def headline(self) -> Metric:
        """Return the headline metric."""
        return next(metric for metric in self.metrics if metric.headline)


def incomparability_reasons(a: SuiteRun, b: SuiteRun) -> list[str]:
    """Return the reasons why two runs of a suite are not comparable."""
    judges = [{None: "not known", "": "none"}.get(run.judge, run.judge) for run in (a, b)]
    conditions = [
        ("protocol", a.protocol, b.protocol),
        ("data_sha256", _shorten_hash(a.data_sha256), _shorten_hash(b.data_sha256)),
        ("judge", *judges),
    ]
    reasons = [f"{a.suite}: {name} differs: {x} (A) and {y} (B)" for name, x, y in conditions if x != y]
    if a.version and b.version and a.version != b.version:
        reasons.append(
            f"{a.suite}: version of the suite differs: {a.version} (A) and {b.version} (B); prompts, items or rules changed, so a new run is needed"
        )
        return reasons
    for name in {**a.scorers, **b.scorers}:
        rule_a, rule_b = a.scorers.get(name, "none"), b.scorers.get(name, "none")
        if rule_a != rule_b:
            reasons.append(
                f"{a.suite}: scorer {name} differs: {format_rule(rule_a)} (A) and {format_rule(rule_b)} (B); `evals score RUN` rescores a run"
            )
    return reasons


def _shorten_hash(digest: str) -> str:
    return digest[:12] if len(digest) == 64 else digest


def pair(a: SuiteRun, b: SuiteRun, metric: Metric) -> Pairing:
    """Pair two runs under a metric."""
    return Pairing(a.outcomes_under(metric), b.outcomes_under(metric), metric)


def values_on_shared_samples(suite_runs: Sequence[SuiteRun]) -> list[float | None]:
    """Return the headline of each run over the samples that are scored in all of them, so that the values can be ordered."""
    metric = suite_runs[0].headline
    reduced_runs = [reduce_run(run.outcomes_under(metric), metric) for run in suite_runs]
    shared = set.intersection(
        *({name for name, sample in run.values.items() if not isnan(sample.value)} for run in reduced_runs)
    )
    restricted_runs = [
        run._replace(values={name: sample for name, sample in run.values.items() if name in shared})
        for run in reduced_runs
    ]
    return [Pairing(run, run, metric).values()[0] for run in restricted_runs]
