'''The policy of a board: `board.toml`, which names the board, its suites and the rules for entries.

>>> parse(b"""
... format = 1
... id = "chemistry-2026-1f0c9a7b"
... title = "Chemistry"
... [[suite]]
... name = "gpqa:diamond"
... protocol = "strict"
... """).suite[0].minimum_coverage
0.98
'''

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evals.errors import UsageError
from evals.validation import cause, read_struct

FORMAT = 1
NAME = "board.toml"
_BOARD_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,79}")
Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
Alpha = Annotated[float, Meta(gt=0, lt=1)]


class SuiteRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules for the runs of one suite under one protocol."""

    name: str
    """The suite with its variant: `gpqa:diamond`."""
    protocol: str
    data_sha256: str = ""
    """Hash of the suite's data; empty: any, unless the board has the data itself."""
    limit: Positive | None = None
    """Number of items of the seeded subset (`--limit`); unset: all items."""
    seed: int = 0
    """Seed of the subset."""
    imports: bool = False
    """Whether runs imported from other tools are accepted."""
    minimum_repeats: Positive = 1
    minimum_coverage: Fraction = 0.98
    """Minimum share of the expected sample-repeats that are scored."""
    maximum_truncated: Fraction = 0.1
    """Maximum share of replies truncated at max tokens."""
    temperature: float | None = None
    """Temperature that every run must use; unset: any."""
    judge: str = ""
    """Judge model that every run must use, as its server names it; empty: runs without a judge."""
    ceiling: float = 0.995
    """Largest plausible headline in the unit `fraction`; label errors in most data sets make a higher one unlikely."""
    equivalence_margin: Annotated[float, Meta(gt=0)] = 0.02
    """Largest difference, in the unit of the headline, at which the board's own run agrees with an entry."""
    plausible_gain: float = 0.2
    """Largest plausible gain over the best accepted entry of another model, in the unit of the headline."""

    @property
    def label(self) -> str:
        """Return the suite with its protocol."""
        return f"{self.name} ({self.protocol})"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on what one ingest reads."""

    entry_mb: Positive = 256
    """Maximum size of an entry's file."""
    unpacked_mb: Positive = 4096
    """Maximum size of an unpacked bundle."""
    new_entries: Positive = 20
    """Maximum number of new entries in one ingest."""
    seconds: Positive = 60
    """Deadline for examining one entry."""


class ChallengeRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions under which the outcome of a challenge counts (`challenges.py`)."""

    minimum_replies: Positive = 60
    """Minimum number of tested replies for the level `challenged`."""
    minimum_alpha: Alpha = 0.001
    """Minimum false-alarm rate of the test for the level `challenged`: a stricter test has less power."""
    maximum_alpha: Alpha = 0.01
    """Maximum false-alarm rate of the test for any verdict."""


class BoardPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `board.toml`."""

    format: int
    id: str
    """Id of the board, which every entry states, so that entries made for another board are refused."""
    title: str
    url: str = ""
    """URL of the published pages, for permalinks and feeds."""
    about: str = ""
    """Text on the About page."""
    contact: str = ""
    suite: tuple[SuiteRule, ...]
    limits: Limits = Limits()
    challenge: ChallengeRule = ChallengeRule()

    def rule_of(self, suite: str, protocol: str) -> SuiteRule | None:
        """Return the rule for a suite under a protocol; None if it is not part of the board."""
        return next((rule for rule in self.suite if (rule.name, rule.protocol) == (suite, protocol)), None)

    @property
    def sha256(self) -> str:
        """Return the hash of all but the rule for challenges, on which entries' results do not depend.

        It does not change with the layout and comments of the file.
        """
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "challenge"}
        return sha256(msgspec.json.encode(fields)).hexdigest()


def parse_toml(content: bytes, kind: Any, source: str) -> Any:
    """Parse TOML into a struct type; raises UsageError."""
    try:
        return msgspec.toml.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{source}: {cause(error, kind)}") from None


def parse(content: bytes) -> BoardPolicy:
    """Parse and check a policy; raises UsageError."""
    return _checked(parse_toml(content, BoardPolicy, NAME), NAME)


def _checked(policy: BoardPolicy, source: str) -> BoardPolicy:
    if policy.format != FORMAT:
        raise UsageError(f"{source}: format {policy.format}; this version reads {FORMAT}")
    if not _BOARD_ID.fullmatch(policy.id):
        raise UsageError(f"{source}: id {policy.id!r} must be 3 to 80 lower-case letters, digits and hyphens")
    if not policy.suite:
        raise UsageError(f"{source}: it lists no suites")
    if policy.url and not policy.url.startswith("https://"):
        raise UsageError(f"{source}: url must begin with https://")
    if policy.challenge.minimum_alpha > policy.challenge.maximum_alpha:
        raise UsageError(f"{source}: challenge: minimum_alpha is larger than maximum_alpha")
    label, count = Counter(rule.label for rule in policy.suite).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{source}: {label} is listed {count} times")
    return policy


def read(folder: Path) -> BoardPolicy:
    """Read the policy of a board's repository; raises UsageError."""
    path = folder / NAME
    if not path.exists():
        raise UsageError(f"{folder} is not a board: it has no {NAME}; `evals board init` creates one")
    return _checked(read_struct(path, BoardPolicy), str(path))
