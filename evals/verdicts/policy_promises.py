"""Promises: preregistrations of the configurations with which a policy's suites will be run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from evals import load
from evals.errors import UsageError
from evals.records.card import Promise, PromisedSuite
from evals.records.promise import BROKEN, KEPT, NONE
from evals.run.job import Options
from evals.run.plan import make_plan
from evals.verdicts import policy as policies
from evals.verdicts.policy import Entry, Policy
from evals.verdicts.suite_run import SuiteRun, normalise_suite_name


def make_promise(policy_file: Path, options: Options, *, suites: Sequence[str] = ()) -> Promise:
    """Return the promise for all suites of a policy, or for `suites` only; raises UsageError if the policy lacks one of them."""
    policy = policies.read(policy_file)
    entries = {normalise_suite_name(entry.name): entry for entry in policy.suite}
    if unknown := [name for name in suites if normalise_suite_name(name) not in entries]:
        raise UsageError(f"policy {policy_file} has no suite {unknown[0]}; it has {', '.join(entries)}")
    selected = [entries[normalise_suite_name(name)] for name in suites] or list(policy.suite)
    return Promise(
        made=time.time(),
        policy_sha256=policy.sha256,
        suites=tuple(suite for entry in selected for suite in _promised_suites(entry, policy, options)),
    )


def promise_remarks(candidate: Sequence[SuiteRun], policy: Policy) -> list[str]:
    """Return a line for each run with a promise: whether it was kept under this policy."""
    lines = []
    for suite_run in candidate:
        if (status := suite_run.promise) == NONE:
            continue
        if suite_run.promised_policy != policy.sha256:
            status = f"{BROKEN}: the policy changed" if status == KEPT else f"{status}; the policy changed"
        lines.append(f"{suite_run.suite}: promise {status}")
    return lines


def _promised_suites(entry: Entry, policy: Policy, options: Options) -> list[PromisedSuite]:
    configs = [
        make_plan(suite, options, model="", spec="").config
        for suite in load.suite(entry.name, entry.protocol or None)
    ]
    return [
        PromisedSuite(
            suite=config.suite, protocol=config.protocol, version=config.version, data_sha256=config.data_sha256,
            seed=config.seed, repeats=config.repeats, limit=config.limit, judge=config.judge,
            estimand=policy.estimand_of(entry),
        )
        for config in configs
    ]  # fmt: skip
