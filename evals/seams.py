"""What a model, a scorer or a statistic may offer beyond `Model`, `Scorer` and a plain function, asked by `isinstance`.

Ask once, when a run or a call is set up: `isinstance` with a protocol takes microseconds. What is offered is found by its
name, so that an adapter of another package needs to import nothing from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from evals.errors import Rejected
from evals.types import Failure, Point, Prompt, Reply, Sample, Sampling, Score, Scorer

# --- models


@runtime_checkable
class Slots(Protocol):
    """A model that can take a limited number of calls at once."""

    slots: int | None
    """None: as many as the pace finds to pay."""


def slots_of(model: object) -> int | None:
    """Return how many calls a model can take at once; None: it sets no limit."""
    return model.slots if isinstance(model, Slots) else None


@runtime_checkable
class Starting(Protocol):
    """A model that takes a while before it can be called."""

    def ready(self) -> Awaitable[None] | None:
        """Return None if it can be called, else what to await first; raises UsageError, or Gone in mid-run."""
        ...


@runtime_checkable
class Noting(Protocol):
    """A model that has something to say on the card after the run."""

    @property
    def notes(self) -> Sequence[str]:
        """Return what the card must say: of a server that was started, of fields that were refused."""
        ...


def notes_of(model: object) -> tuple[str, ...]:
    """Return what the card must say of a model after the run."""
    return tuple(model.notes) if isinstance(model, Noting) else ()


@runtime_checkable
class Remarking(Protocol):
    """A model that has something to say on the card before the run."""

    def remarks(self, sampling: Sampling) -> Sequence[str]:
        """Return what the card must say; raises UsageError for a setting that the model cannot meet."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A model whose vendor counts calls per minute."""

    per_minute: float


@runtime_checkable
class Versioned(Protocol):
    """A model whose replies depend on the versions of libraries in this process: another version makes another run."""

    versions: str
    """E.g. `tokenizers 0.23.3, no rdkit`."""


@runtime_checkable
class Launched(Protocol):
    """A model whose server this process starts."""

    options: str
    """Of the server's command line."""

    def log_to(self, run: Path) -> None:
        """Write the server's log into a run's folder."""
        ...


def engine_of(model: object) -> str:
    """Return what identifies the engine behind a model: its server's options, or the libraries' versions."""
    if isinstance(model, Launched):
        return model.options
    return model.versions if isinstance(model, Versioned) else ""


@runtime_checkable
class Requests(Protocol):
    """A model whose calls are HTTP requests: the user may add headers, and fields to their bodies (`Sampling.extra`)."""

    @property
    def notes(self) -> list[str]:
        """Say what the card must say of its calls: fields that the server refused."""
        ...

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send further headers with every call; their values are secrets."""
        ...


class BatchState(Struct, frozen=True):
    """How far a batch is."""

    ended: bool
    done: int = 0
    fault: str = ""
    """Why the whole of it was refused; nothing of it was asked."""


class Batches(Protocol):
    """A vendor's batch endpoint, as the attribute `batches` of an adapter gives it: the optional third protocol.

    Raises the errors of `Model.reply`.
    """

    most: int
    """Requests in one batch."""
    most_bytes: int

    @property
    def left_out(self) -> dict[str, str]:
        """Fields that are not sent, or sent under another name, since the vendor refused them; may be added to."""
        ...

    async def learn(self, error: Rejected, prompt: Prompt, sampling: Sampling) -> bool:
        """Leave out the field that a refusal of a request names; whether there is a new one."""
        ...

    async def line(self, name: str, prompt: Prompt, sampling: Sampling) -> bytes:
        """Word one request; `name` comes back with its result."""
        ...

    async def start(self, label: str, lines: Sequence[bytes]) -> str:
        """Hand a batch in; gives its id. Every name in it begins with `label`."""
        ...

    async def find(self, label: str, *, since: float, many: int, never: Sequence[str]) -> str | None:
        """Find the id of a batch that was handed in, but whose id is not known; None: there is none.

        A vendor that shows no labels gives one that may be it: its results tell. `never`: those that are not.
        """
        ...

    async def state(self, id_: str) -> BatchState:
        """Ask how far it is."""
        ...

    async def results(self, id_: str, sampling: Sampling) -> dict[str, Reply | Exception]:
        """Fetch what came of every request, by its name: a reply, or the error that the call would have raised."""
        ...


@runtime_checkable
class Batching(Protocol):
    """A model with a batch endpoint."""

    @property
    def batches(self) -> Batches:
        """Return the endpoint."""
        ...


# --- scorers


@runtime_checkable
class Warm(Protocol):
    """A scorer that loads what it needs on demand."""

    def warm(self) -> None:
        """Load it now."""
        ...


@runtime_checkable
class Weighty(Protocol):
    """A scorer that may be slow."""

    @property
    def heavy(self) -> bool:
        """Whether it is, so that it runs in a worker process with a deadline."""
        ...


def is_heavy(scorer: object) -> bool:
    """Whether a scorer runs in a worker process."""
    return isinstance(scorer, Weighty) and scorer.heavy


@runtime_checkable
class TwoStage(Protocol):
    """A scorer with a rule, whose score a judge model sees before it decides."""

    @property
    def rule(self) -> Scorer:
        """Return the rule."""
        ...

    @property
    def judge(self) -> Any:
        """Return the judge, which can be closed; None before one is given."""
        ...

    async def judge_after(
        self,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        first: Score | Failure,
        earlier: Score | Failure | None,
    ) -> Score:
        """Judge after the rule's score `first`; `earlier` is this scorer's own score of the same reply."""
        ...


# --- statistics: the `of` of a metric of whole runs


@runtime_checkable
class Resampled(Protocol):
    """A statistic that need not see the points again for each resample."""

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[Any], float]:
        """Return it as a function of an array of cluster indices."""
        ...


@runtime_checkable
class Costly(Protocol):
    """A statistic for which the usual number of resamples takes too long."""

    @property
    def resamples(self) -> int | None:
        """Return how many it is given; None: the usual number."""
        ...


@runtime_checkable
class OwnInterval(Protocol):
    """What the `of` of a metric of whole runs may offer besides: an interval that is not left to the bootstrap."""

    def interval(self, clusters: Sequence[Sequence[Point]]) -> Any:
        """Return an `Interval` of the statistic over clusters of points; None: resample."""
        ...
