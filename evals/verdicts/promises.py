"""Making a promise: what a policy's suites would be run with, read from their data; nothing is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from evals import load
from evals.errors import UsageError
from evals.records.card import Promise, PromisedSuite
from evals.records.promise import BROKEN, KEPT, NONE
from evals.run.job import Options
from evals.run.plan import resolve
from evals.verdicts import policy as policies
from evals.verdicts.contestant import Contestant
from evals.verdicts.contestants import plain
from evals.verdicts.policy import Entry, Policy


def make(policy_file: Path, options: Options, *, suites: Sequence[str] = ()) -> Promise:
    """Promise the suites of a policy, or only those named; raises UsageError for one that the policy does not judge."""
    policy = policies.read(policy_file)
    known = {plain(entry.name): entry for entry in policy.suite}
    if unknown := [name for name in suites if plain(name) not in known]:
        raise UsageError(f"policy {policy_file} has no suite {unknown[0]}; it has {', '.join(known)}")
    chosen = [known[plain(name)] for name in suites] or list(policy.suite)
    return Promise(
        made=time.time(),
        policy_sha256=policy.sha256,
        suites=tuple(one for entry in chosen for one in _promised(entry, policy, options)),
    )


def remarks(candidate: Sequence[Contestant], policy: Policy) -> list[str]:
    """Report for each run with a promise whether the judging policy keeps it."""
    return [_remark(contestant, policy) for contestant in candidate if contestant.promise != NONE]


def _remark(contestant: Contestant, policy: Policy) -> str:
    standing = contestant.promise
    if contestant.promised_policy != policy.sha256:
        standing = f"{BROKEN}: the policy changed" if standing == KEPT else f"{standing}; the policy changed"
    return f"{contestant.suite}: promise {standing}"


def _promised(entry: Entry, policy: Policy, options: Options) -> list[PromisedSuite]:
    configs = [
        resolve(suite, options, model="", spec="").config
        for suite in load.suite(entry.name, entry.protocol or None)
    ]
    return [
        PromisedSuite(
            suite=config.suite,
            protocol=config.protocol,
            version=config.version,
            data_sha256=config.data_sha256,
            seed=config.seed,
            repeats=config.repeats,
            limit=config.limit,
            judge=config.judge,
            estimand=policy.estimand_of(entry),
        )
        for config in configs
    ]
