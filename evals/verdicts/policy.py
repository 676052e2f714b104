'''The policy of a gate: a TOML file with the largest acceptable loss of every suite.

>>> parse(b"""
... alpha = 0.05                   # largest probability of passing a candidate worse by the margin
... coverage = 0.98                # minimum share of scored sample-repeats
... [[suite]]
... name = "chembench:lamalab"
... protocol = "official"
... margin = 0.02                  # in the metric's own unit; positive even if lower is better
... tier = "critical"              # or "supporting", "advisory"
... """).suite[0].margin
0.02
'''

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.errors import UsageError
from evals.report.estimand_names import Estimand
from evals.validation import cause, explain

Tier: TypeAlias = Literal["critical", "supporting", "advisory"]


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A suite of the policy."""

    name: str
    """Suite as on the command line, with its variant: `gpqa:diamond`."""
    margin: float
    """Largest loss that is still acceptable: positive, in the metric's own unit."""
    protocol: str = ""
    """Empty: the protocol of the baseline's run."""
    tier: Tier = "critical"
    """critical: must be non-inferior within the margin; supporting: must not be a regression; advisory: reported only."""
    metric: str = ""
    """Empty: the headline. `@k` stands for the run's repeats."""
    missing: Literal["worst", "tolerate"] = "worst"
    """Whether missing outcomes count at their worst value or are excluded (above the minimum coverage)."""
    plausible: float | None = None
    """Largest plausible gain; one significantly above it raises an alarm and prevents a pass. Unset: a gain above three margins only raises an alarm."""
    pool: str = ""
    """Name of the pool in which this suite is judged; empty: it is judged alone."""
    estimand: Estimand | Literal[""] = ""
    """Estimand of the loss, see `estimands.py`; empty: the policy's."""
    discordance: float | None = None
    """For planning: assumed mean square of a sample's difference; for binary scores, the share of changed samples."""

    @property
    def label(self) -> str:
        """Return the name shown in reports."""
        return self.name


class Pool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Suites too small to be judged alone: the unweighted mean of their differences is judged instead."""

    name: str
    margin: float
    tier: Tier = "critical"
    plausible: float | None = None

    @property
    def label(self) -> str:
        """Return the name shown in reports."""
        return f"pool {self.name}"


class Series(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gates that share one alpha, e.g. nightly ones; see `alpha_spending.py`."""

    name: str
    """Name of the file in `results/series` that records the gates."""
    gates: int
    """Number of gates that share the alpha."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gate requires of a candidate."""

    alpha: float = 0.05
    """One-sided level: for all claims of regression together (Holm), and for each claim of a pass."""
    coverage: float = 0.98
    """Minimum share of scored sample-repeats, in candidate and baseline alike."""
    power: float = 0.8
    """For planning: minimum probability that an unchanged model passes."""
    final: float = 0.0
    """In sequential mode: share of alpha reserved for a final test if all items are used without a decision."""
    estimand: Estimand = "items-like-these"
    """Estimand of losses: `items-like-these`, `these-items` or `this-run`."""
    series: Series | None = None
    """Gates that share `alpha`; without it each gate has its own."""
    suite: tuple[Entry, ...]
    pool: tuple[Pool, ...] = ()

    @property
    def sha256(self) -> str:
        """Return the hash of the policy's content, independent of layout and comments."""
        return sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def rules_with_verdict(self) -> tuple[Entry | Pool, ...]:
        """Return the rules that get a verdict: suites outside pools, then pools."""
        return (*(entry for entry in self.suite if not entry.pool), *self.pool)

    def estimand_of(self, rule: Entry | Pool) -> Estimand:
        """Return the estimand of a suite's (or pool's) loss."""
        return (rule.estimand if isinstance(rule, Entry) else "") or self.estimand

    def members(self, pool: Pool) -> tuple[Entry, ...]:
        """Return the suites of a pool."""
        return tuple(entry for entry in self.suite if entry.pool == pool.name)


def read(path: Path) -> Policy:
    """Read and check a policy; raises a UsageError that names the file."""
    try:
        return parse(disk.read_small(path).removeprefix(disk.BOM))
    except OSError as error:
        raise UsageError(f"cannot read the policy {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = cause(error)
        if match := re.search(r"Expected `array`, got `(?:object|str)` - at `\$\.(\w+)`", reason):
            reason = (
                f"write [[{match[1]}]], because there may be several, and set its name inside: name = ..."
            )
        raise UsageError(f"policy {path}: {reason}") from None


def parse(text: bytes) -> Policy:
    """Decode TOML into a checked policy; raises ValueError."""
    try:
        policy = msgspec.toml.decode(text, type=Policy)
    except msgspec.ValidationError as error:
        raise ValueError(explain(error, Policy)) from None
    if fault := next(_find_faults(policy), ""):
        raise ValueError(fault)
    return policy


def _find_faults(policy: Policy) -> Iterator[str]:
    """Yield the faults of a policy, the most general ones first."""
    if not 0 < policy.alpha < 0.5:
        yield f"alpha must lie between 0 and 0.5, got {policy.alpha}"
    if not 0 <= policy.coverage <= 1:
        yield f"coverage must lie between 0 and 1, got {policy.coverage}"
    if not 0 < policy.power < 1:
        yield f"power must lie between 0 and 1, got {policy.power}"
    if not 0 <= policy.final < 1:
        yield f"final must be at least 0 and below 1, got {policy.final}"
    if (series := policy.series) is not None:
        if not SERIES_NAME.fullmatch(series.name):
            yield f"series: name may contain up to 64 letters, digits, dots, hyphens and underscores and must begin with a letter or digit, got {series.name!r}"
        if not 1 <= series.gates <= MAX_GATES:
            yield f"series: gates must lie between 1 and {MAX_GATES}, got {series.gates}"
    if not policy.suite:
        yield "it has no [[suite]], so there is nothing to judge"
    keys = Counter((e.name.replace("_", "-"), e.protocol, e.metric) for e in policy.suite)
    pools = Counter(pool.name for pool in policy.pool)
    yield from (f"suite {key[0]!r} is defined twice" for key, count in keys.items() if count > 1)
    yield from (f"pool {name!r} is defined twice" for name, count in pools.items() if count > 1)
    rules: tuple[Entry | Pool, ...] = (*policy.suite, *policy.pool)
    for rule in rules:
        yield from _faults_of_rule(rule)
    for entry in policy.suite:
        if entry.pool and entry.pool not in pools:
            yield f"suite {entry.name!r} names pool {entry.pool!r}, which is not defined"
        elif ignored := _settings_ignored_in_pool(entry):
            yield f"suite {entry.name!r} is judged in pool {entry.pool!r}, so it cannot set {', '.join(ignored)}"
    yield from (f"pool {pool.name!r} has no suites" for pool in policy.pool if not policy.members(pool))
    if policy.suite and all(rule.tier == "advisory" for rule in policy.rules_with_verdict):
        yield "every suite is advisory, so the gate cannot fail"


def _settings_ignored_in_pool(entry: Entry) -> list[str]:
    """Return the settings of an entry that would have no effect, since the pool's verdict is given without them."""
    if not entry.pool:
        return []
    settings, defaults = structs.asdict(entry), structs.asdict(Entry(name="", margin=0.0))
    return [name for name in ("tier", "missing", "plausible", "estimand") if settings[name] != defaults[name]]


MAX_GATES = 10_000
SERIES_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_NUMBER = 1e100
"""Largest number in a policy; larger ones overflow."""


def _faults_of_rule(rule: Entry | Pool) -> Iterator[str]:
    numbers = {"margin": rule.margin, "plausible": rule.plausible}
    numbers |= {"discordance": rule.discordance} if isinstance(rule, Entry) else {}
    for name, value in numbers.items():
        if value is not None and not 0 < value <= MAX_NUMBER:
            yield f"{rule.name!r}: {name} must be positive and at most {MAX_NUMBER:g}, got {value}"
