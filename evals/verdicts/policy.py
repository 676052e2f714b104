'''The policy of a gate: a TOML file that says how much worse a candidate may be, suite by suite.

>>> parse(b"""
... alpha = 0.05                   # chance of passing a candidate that is worse by the margin
... coverage = 0.98                # below this share of scored sample-repeats nothing passes
... [[suite]]
... name = "chembench:lamalab"
... protocol = "official"
... margin = 0.02                  # in the metric's own unit, positive for every direction
... tier = "critical"              # or "supporting", "advisory"
... """).suite[0].margin
0.02
'''

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import UsageError
from evals.validation import explained
from evals.verdicts.estimands import Estimand

Tier: TypeAlias = Literal["critical", "supporting", "advisory"]


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A suite of the policy."""

    name: str
    """As on the command line, with its variant: `gpqa:diamond`."""
    margin: float
    """Largest loss that is still acceptable: positive, in the metric's own unit."""
    protocol: str = ""
    """Empty: that of the baseline's run."""
    tier: Tier = "critical"
    """critical: must be shown non-inferior; supporting: must not be shown worse; advisory: reported only."""
    metric: str = ""
    """Empty: the headline. `@k` stands for the run's repeats."""
    missing: Literal["worst", "tolerate"] = "worst"
    """How missing outcomes enter: at their worst, or not at all (within the coverage floor)."""
    plausible: float | None = None
    """Largest gain that can be believed; more than that is an alarm that stops a pass. Unset: an alarm only."""
    pool: str = ""
    """Judge this suite only as a part of the named pool."""
    estimand: Estimand | Literal[""] = ""
    """What the loss is about, see `estimands.py`; empty: the policy's."""
    discordance: float | None = None
    """For planning: assumed variance of a sample's difference; for shares, the share of samples that flip."""


class Pool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Suites too small to be judged alone: the unweighted mean of their differences is judged instead."""

    name: str
    margin: float
    tier: Tier = "critical"
    plausible: float | None = None


class Series(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gates that share one alpha, such as every night's: see `spending.py`."""

    name: str
    """Of the file in `results/series` that keeps what was spent."""
    gates: int
    """How many gates the alpha is for."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole policy."""

    alpha: float = 0.05
    """One-sided level of every claim; over the suites for "regression" (Holm), each for "pass"."""
    coverage: float = 0.98
    """Least share of scored sample-repeats, of the candidate and of the baseline."""
    power: float = 0.8
    """For planning: least chance that an unchanged model passes."""
    final: float = 0.0
    """In sequential mode: share of alpha kept for a fixed test when the items run out undecided."""
    estimand: Estimand = "items-like-these"
    """What losses are about: `items-like-these`, `these-items` or `this-run`."""
    series: Series | None = None
    """Gates that share `alpha`; without it each gate has its own."""
    suite: tuple[Entry, ...]
    pool: tuple[Pool, ...] = ()

    @property
    def sha256(self) -> str:
        """Return the hash of what the policy says, whatever its layout and comments."""
        return sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def judged(self) -> tuple[Entry | Pool, ...]:
        """Return what gets a verdict: suites outside pools, then pools."""
        return (*(entry for entry in self.suite if not entry.pool), *self.pool)

    def estimand_of(self, rule: Entry | Pool) -> Estimand:
        """Return what a suite's (or pool's) loss is about."""
        return (rule.estimand if isinstance(rule, Entry) else "") or self.estimand

    def members(self, pool: Pool) -> tuple[Entry, ...]:
        """Return the suites of a pool."""
        return tuple(entry for entry in self.suite if entry.pool == pool.name)


def read(path: Path) -> Policy:
    """Read and check a policy; raises UsageError in one line that names the file."""
    try:
        return parse(disk.read_small(path).removeprefix(disk.BOM))
    except OSError as error:
        raise UsageError(f"cannot read the policy {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"policy {path}: {error}") from None


def parse(text: bytes) -> Policy:
    """Decode TOML into a checked policy; raises ValueError."""
    try:
        policy = msgspec.toml.decode(text, type=Policy)
    except msgspec.ValidationError as error:
        raise ValueError(explained(error, Policy)) from None
    for fault in _faults(policy):
        raise ValueError(fault)
    return policy


def _faults(policy: Policy) -> list[str]:
    faults = []
    if not 0 < policy.alpha < 0.5:
        faults.append(f"alpha must lie between 0 and 0.5, got {policy.alpha}")
    if not 0 <= policy.coverage <= 1:
        faults.append(f"coverage must lie between 0 and 1, got {policy.coverage}")
    if not 0 < policy.power < 1:
        faults.append(f"power must lie between 0 and 1, got {policy.power}")
    if not 0 <= policy.final < 1:
        faults.append(f"final must be at least 0 and below 1, got {policy.final}")
    if (series := policy.series) is not None:
        if not SERIES_NAME.fullmatch(series.name):
            faults.append(
                f"series: a name has letters, digits, dots, hyphens, underscores, got {series.name!r}"
            )
        if not 1 <= series.gates <= MOST_GATES:
            faults.append(f"series: gates must lie between 1 and {MOST_GATES}, got {series.gates}")
    if not policy.suite:
        faults.append("there is no [[suite]] in it")
    pools = [pool.name for pool in policy.pool]
    keys = [(e.name.replace("_", "-"), e.protocol, e.metric) for e in policy.suite]
    faults += [f"suite {key[0]!r} stands in it twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    faults += [f"pool {name!r} stands in it twice" for name in dict.fromkeys(pools) if pools.count(name) > 1]
    faults += [fault for entry in policy.suite for fault in _entry_faults(entry)]
    faults += [fault for pool in policy.pool for fault in _entry_faults(pool)]
    for entry in policy.suite:
        if entry.pool and entry.pool not in pools:
            faults.append(f"suite {entry.name!r} names pool {entry.pool!r}, which is not defined")
    faults += [f"pool {pool.name!r} has no suites" for pool in policy.pool if not policy.members(pool)]
    if policy.suite and all(rule.tier == "advisory" for rule in policy.judged):
        faults.append("every suite in it is advisory: such a gate cannot fail")
    return faults


MOST_GATES = 10_000
SERIES_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST = 1e100
"""Greatest number in a policy; more overflows."""


def _entry_faults(entry: Entry | Pool) -> list[str]:
    faults = []
    if not 0 < entry.margin <= MOST:
        faults.append(f"{entry.name!r}: margin must be positive, got {entry.margin}")
    if entry.plausible is not None and not 0 < entry.plausible <= MOST:
        faults.append(f"{entry.name!r}: plausible must be positive, got {entry.plausible}")
    if isinstance(entry, Entry) and entry.discordance is not None and not 0 < entry.discordance <= MOST:
        faults.append(f"{entry.name!r}: discordance must be positive, got {entry.discordance}")
    return faults
