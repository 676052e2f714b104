"""The outcome of a challenge, stored as JSON: on a board, in `challenges/ENTRY/SUITE@PROTOCOL.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from evals import disk
from evals.errors import UsageError
from evals.records.store import slug
from evals.validation import read_struct

FORMAT = 1
FOLDER = "challenges"
"""Folder of a board for the outcomes."""
SUFFIX = ".json"
MAX_BYTES = 1 << 20

Verdict: TypeAlias = Literal["consistent", "close", "different", "untestable"]
"""`consistent`: the replies show no difference from what the model writes. `close`: the differences are
small enough to be explained by different numerics or 8-bit quantisation of the same weights. `different`: they are larger.
`untestable`: nothing was tested, for the stated reason."""

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
MAX_SECONDS = 1e12
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]


class ChallengeOutcome(Struct, frozen=True, kw_only=True):
    """The result of testing whether a model could have written the recorded replies of a run."""

    format: int = FORMAT
    suite: str
    protocol: str
    run: str
    """Id of the run."""
    bundle_sha256: str = ""
    """SHA-256 of the bundle whose replies were tested; empty if they came from a run's folder."""
    claimed: str
    """The claimed model, as the card names it."""
    reader: str
    """The model that read the replies, to compute their likelihoods, as given on the command line, without secrets."""
    backend: str
    """Software that computed the likelihoods, with its version, e.g. `transformers 5.2.0`."""
    method: Literal["greedy", "sampled"]
    replies: Count
    """Number of replies tested."""
    tokens: Count
    """Number of tokens tested."""
    alpha: Annotated[float, Meta(gt=0, lt=1)]
    """Maximum false-alarm rate."""
    seed: int
    """Seed for the choice of replies."""
    verdict: Verdict
    p_value: Share | None = None
    e_value: Annotated[float, Meta(ge=0)] | None = None
    """Evidence of the sequential test, which rejects at 1 / alpha; None if nothing was tested."""
    first_choices: Share | None = None
    """Share of tokens that are the model's first choice; None if nothing was tested."""
    reason: str = ""
    """Explanation in one line."""
    left_out: dict[str, int] = {}
    """Reason why replies could not be tested -> their number."""
    retokenised: Count = 0
    """Number of replies whose token count, when tokenised again, differs from the recorded one."""
    reading_s: Seconds = 0.0
    """Seconds that the reader took to compute the likelihoods."""
    generation_s: Seconds | None = None
    """Recorded time of generating the tested replies, summed over calls; None: not recorded."""
    challenged: Seconds = 0.0
    """When the run was challenged, in seconds since the epoch, UTC."""


def file_name(suite: str, protocol: str) -> str:
    """Return the file name of an outcome in an entry's folder; slugs, since the names in a bundle may contain separators."""
    return f"{slug(suite.replace(':', '-'))}@{slug(protocol)}{SUFFIX}"


def read(path: Path) -> ChallengeOutcome:
    """Read an outcome; raises UsageError."""
    outcome: ChallengeOutcome = read_struct(path, ChallengeOutcome, max_bytes=MAX_BYTES)
    return outcome


def stored_outcome(path: Path) -> ChallengeOutcome | None:
    """Return the outcome stored at a path; None if there is no file. Raises UsageError for a file of another kind."""
    if not path.exists():
        return None
    try:
        return read(path)
    except UsageError:
        raise UsageError(
            f"{path} is not the outcome of a challenge, so it is not replaced; name another path with --to"
        ) from None


def supersedes(outcome: ChallengeOutcome, stored: ChallengeOutcome) -> bool:
    """Return whether an outcome may replace the stored one; `untestable` never replaces another verdict on the same replies."""
    is_same_run = (outcome.run, outcome.bundle_sha256) == (stored.run, stored.bundle_sha256)
    return not (is_same_run and outcome.verdict == "untestable" != stored.verdict)


def write(path: Path, outcome: ChallengeOutcome) -> None:
    """Write an outcome atomically; raises UsageError."""
    try:
        disk.make_parent(path)
        disk.replace(path, msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
