"""What the user asked for, and one suite of it ready to be asked."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from evals.data.sample_store import Spool
from evals.records.writer import Writer
from evals.suite import Suite
from evals.types import Prompter, Sampling


class Options(Struct, frozen=True, kw_only=True):
    """What the user asked for, the same for all suites of a command."""

    results: Path = Path("results")
    data: Path | None = None
    sample: bool = False
    limit: int | None = None
    repeats: int | None = None
    seed: int = 0
    sampling: Sampling = Sampling()
    """Overrides of the suite's own."""
    recommended: Sampling = Sampling()
    """By the model's makers: for protocols that leave the draw open."""
    recommend_all: bool = False
    """Take what is recommended in the place of what a protocol fixes, too."""
    recommender: str = ""
    """Profile that recommends it, for the card."""
    run: str | None = None
    max_pixels: int | None = None
    max_pixels_of: str = ""
    """Profile that names the limit; empty: the user."""
    judge: str = ""
    """As named on the command line, without secrets."""
    engine: str = ""
    """See `Config`."""
    system: str = ""
    """The user's system prompt; empty: none."""
    fresh: bool = False
    """Make a new run even where the same one is there already."""
    sample_ids: tuple[str, ...] = ()
    """The only samples to ask; empty: all, or `limit` of them."""
    data_hash: str | None = None
    """Beginning of a data hash that the user accepts in the place of the pinned one."""


class Job(Struct, kw_only=True):
    """One suite of a command, ready to be asked."""

    suite: Suite
    repeats: int
    sampling: Sampling
    spool: Spool
    prompter: Prompter
    writer: Writer
    done: set[tuple[str, int]]
    """Sample-repeats that have a reply already; scored again where that failed, never asked again."""
    lengths: dict[str, tuple[float, float]]
    """Sample id -> (output tokens, seconds) in an earlier run."""
    notes: list[str]
    stale: bool = False
    """Whether stored replies are to be scored again: the rule has changed, or some have no score."""
    reused: str = ""
    """Says that the run was finished before and nothing is asked; empty: something is."""
