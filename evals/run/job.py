"""The options that all suites of a command share, and a suite that is ready to run."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from evals.data.sample_store import SampleStore
from evals.records.writer import Writer
from evals.suite import Suite
from evals.types import Prompter, Sampling


class Options(Struct, frozen=True, kw_only=True):
    """Options that apply to all suites of a command."""

    results: Path = Path("results")
    data: Path | None = None
    sample: bool = False
    """Use the bundled sample items instead of the data set."""
    limit: int | None = None
    repeats: int | None = None
    seed: int = 0
    sampling: Sampling = Sampling()
    """Overrides of the suite's sampling parameters."""
    recommended: Sampling = Sampling()
    """Sampling recommended by the model's developers; used with protocols that specify no temperature."""
    force_recommended: bool = False
    """Use the recommendation even if the protocol specifies a temperature."""
    recommended_by: str = ""
    """Name of the profile that states the recommendation, for the card."""
    run: str | None = None
    """Id of the run to create or resume; None: resume the run with this configuration, or create one."""
    max_pixels: int | None = None
    max_pixels_source: str = ""
    """Name of the profile that sets `max_pixels`; empty if the user sets it."""
    judge: str = ""
    """Spec of the judge on the command line, without secrets."""
    engine: str = ""
    """See `Config.engine`."""
    weights_changed: float = 0.0
    """Time of the last change of the model's local weights, in seconds since the epoch; 0: not local weights."""
    system: str = ""
    """The user's system prompt; empty: none."""
    fresh: bool = False
    """Start a new run even if one with this configuration exists."""
    sample_ids: tuple[str, ...] = ()
    """Ids of the samples to run; empty: all, or `limit` of them."""
    data_hash: str | None = None
    """Prefix of a data hash accepted instead of the pinned one."""

    def has_newer_weights(self, started: float) -> bool:
        """Return whether the weights have changed since a run was started; the clock of a network drive may be a minute ahead."""
        return self.weights_changed > started + 60.0


class Job(Struct, kw_only=True):
    """One suite of a command, ready to run."""

    suite: Suite
    repeats: int
    sampling: Sampling
    samples: SampleStore
    prompter: Prompter
    writer: Writer
    done: set[tuple[str, int]]
    """(sample, repeat) of the replies that exist; if their scores are stale, they are rescored without a call."""
    lengths: dict[str, tuple[float, float]]
    """Sample id -> (output tokens, seconds) of its reply in an earlier run."""
    notes: list[str]
    is_stale: bool = False
    """Whether stored replies must be rescored: the scorers or errata have changed, or some replies have no score."""
    reuse_message: str = ""
    """Message saying that a finished run is reused; empty if samples remain to be run."""
