"""Optional capabilities of models, scorers and statistics, as protocols that are checked by `isinstance`.

`isinstance` with a protocol takes microseconds, so it is called once when a run or a call is set up. It checks only names
of attributes, so an adapter in another package need not import this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from evals.errors import ModelError, Rejected
from evals.types import Failure, Point, Prompt, Reply, Sample, Sampling, Score, Scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

# --- models


@runtime_checkable
class HasSlots(Protocol):
    """A model with a limited number of concurrent calls."""

    slots: int | None
    """None: no limit; the runner finds the best concurrency."""


def slots_of(model: object) -> int | None:
    """Return the maximum number of concurrent calls of a model; None: no limit."""
    return model.slots if isinstance(model, HasSlots) else None


@runtime_checkable
class HasStartup(Protocol):
    """A model that must start before it can be called."""

    def ready(self) -> Awaitable[None] | None:
        """Return None if the model is ready, else an awaitable that raises UsageError, or Gone during a run, on failure."""
        ...


@runtime_checkable
class HasNotes(Protocol):
    """A model with notes for the card after the run."""

    @property
    def notes(self) -> Sequence[str]:
        """Return the notes, e.g. on a server that was started or on rejected request fields."""
        ...


def notes_of(model: object) -> tuple[str, ...]:
    """Return a model's notes for the card after the run."""
    return tuple(model.notes) if isinstance(model, HasNotes) else ()


@runtime_checkable
class HasRemarks(Protocol):
    """A model with notes for the card before the run."""

    def remarks(self, sampling: Sampling) -> Sequence[str]:
        """Return the notes; raises UsageError for a setting that the model does not support."""
        ...


@runtime_checkable
class HasRateLimit(Protocol):
    """A model with a rate limit in calls per minute."""

    per_minute: float


@runtime_checkable
class HasAccount(Protocol):
    """A model whose rate limit applies to an account; all of the account's models share it, the judge included."""

    account: str
    """Identifies the account, without secrets."""


class Concurrency(Protocol):
    """The number of calls in flight, adjusted during a run; see `Pace`."""

    @property
    def limit(self) -> int:
        """Return the number of calls allowed in flight."""
        ...

    @property
    def ceiling(self) -> int:
        """Return the maximum of `limit`."""
        ...

    def reply(self) -> None:
        """Record a reply."""
        ...

    def slow_down(self) -> None:
        """Record that the server asked for fewer calls or missed a deadline."""
        ...


@runtime_checkable
class HasPace(Protocol):
    """A model that adjusts the concurrency itself, e.g. that of several servers."""

    def pace(self, fixed: int | None) -> Concurrency:
        """Return the concurrency of a run; `fixed`: the user's maximum number of calls."""
        ...


@runtime_checkable
class ImageClassifier(Protocol):
    """An image classifier: it reads no text, and replies with class indices (`scorers/classes.py`)."""

    classes: int
    """Number of outputs of its head."""


@runtime_checkable
class HasVersions(Protocol):
    """A model whose replies depend on the versions of libraries in this process: with another version, a new run starts."""

    versions: str
    """E.g. `tokenizers 0.23.3, no rdkit`."""


@runtime_checkable
class MayBeLocal(Protocol):
    """A model that may compute in this process; only one local or launched model is run at a time."""

    local: bool


@runtime_checkable
class HasLaunchedServer(Protocol):
    """A model whose server is started by this process."""

    options: str
    """The user's command-line options for the server."""

    def log_to(self, run: Path) -> None:
        """Write the server's log into a run's folder."""
        ...


def engine_of(model: object) -> str:
    """Return what identifies the engine of a model: its server's options, or the libraries' versions."""
    if isinstance(model, HasLaunchedServer):
        return model.options
    return model.versions if isinstance(model, HasVersions) else ""


def is_local(model: object) -> bool:
    """Return whether a model computes on this machine, with its GPUs or cores; False for None."""
    return isinstance(model, HasLaunchedServer) or (isinstance(model, MayBeLocal) and model.local)


@runtime_checkable
class SupportsHeaders(Protocol):
    """A model called by HTTP requests, to which the user may add headers and body fields (`Sampling.extra`)."""

    @property
    def notes(self) -> list[str]:
        """Return the notes on its calls for the card, e.g. on rejected request fields."""
        ...

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call; their values are secrets."""
        ...


class BatchState(Struct, frozen=True):
    """The progress of a batch."""

    ended: bool
    done: int = 0
    fault: str = ""
    """Why the batch was rejected as a whole; empty if it was not."""


class BatchEndpoint(Protocol):
    """A vendor's batch endpoint, the attribute `batches` of an adapter; raises the errors of `Model.reply`."""

    max_requests: int
    """Maximum number of requests in a batch."""
    max_bytes: int
    """Maximum size of a batch."""

    @property
    def left_out(self) -> dict[str, str]:
        """Request fields that are omitted, or sent under another name, because the vendor rejected them; mutable."""
        ...

    async def omit_rejected_field(self, error: Rejected, prompt: Prompt, sampling: Sampling) -> bool:
        """Omit the field named in an error from now on; return whether it was still being sent."""
        ...

    async def encode_request(self, name: str, prompt: Prompt, sampling: Sampling) -> bytes:
        """Return one encoded request; its result has the same `name`."""
        ...

    async def start(self, label: str, lines: Sequence[bytes]) -> str:
        """Submit a batch and return its id; the names of its requests begin with `label`."""
        ...

    async def find(self, label: str, *, since: float, requests: int, excluded: Sequence[str]) -> str | None:
        """Return the id of a submitted batch whose id was not logged; None if there is none.

        `since`: time of submission; `requests`: number of requests in it; `excluded`: ids that belong to other batches.
        If the vendor stores no labels, the id may belong to another batch, which shows only in the results.
        """
        ...

    async def state(self, batch_id: str) -> BatchState:
        """Return the progress of a batch."""
        ...

    async def results(self, batch_id: str, sampling: Sampling) -> dict[str, Reply | Exception]:
        """Return the result of every request by name: a reply, or the error that a direct call would have raised."""
        ...


@runtime_checkable
class HasBatchEndpoint(Protocol):
    """A model with a batch endpoint."""

    @property
    def batches(self) -> BatchEndpoint:
        """Return the endpoint."""
        ...


class Decoding(Struct, frozen=True):
    """How the tokens of recorded replies were sampled, with every parameter explicit."""

    temperature: float
    """0: greedy."""
    top_k: int = 0
    """0: off."""
    top_p: float = 1.0
    min_p: float = 0.0
    temperature_last: bool = False
    """Whether tokens were excluded by their probabilities at temperature 1, as in llama.cpp."""

    @property
    def truncates(self) -> bool:
        """Return whether some tokens cannot be sampled."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class TokenLikelihoods(NamedTuple):
    """Likelihoods that a model assigns to the tokens of a given reply; arrays of equal length, one value per token.

    `above` and `mass` refer to the recorded decoding: a token sampled from the model has the probability integral transform
    `above + V * mass`, with V uniform on (0, 1). At temperature 0 they are 0 and 1 for the first choice, else 1 and 0.
    """

    logprob: Floats
    """Natural logarithm of the token's probability at temperature 1, given everything before it."""
    rank: Floats
    """1: the model's first choice; equally likely tokens share the best of their ranks."""
    gap: Floats
    """Log-probability of the first choice minus the token's own; 0 for the first choice, never negative."""
    above: Floats
    """Probability of all tokens ranked before it under the recorded decoding; the lower bound if it is not exact."""
    mass: Floats
    """Its probability under the recorded decoding, 0 if that excludes it; the lower bound if it is not exact."""
    above_upper: Floats | None = None
    """Upper bound of `above`, from a backend that returns only the likeliest tokens; None: `above` is exact."""
    mass_upper: Floats | None = None
    """Upper bound of `mass`; None: `mass` is exact."""
    recorded_tokens: int | None = None
    """Recorded number of tokens; if it differs from the arrays' length, the reply was tokenised differently when sampled."""


@runtime_checkable
class SupportsReplyLikelihoods(Protocol):
    """A model that computes the likelihoods of given replies, token by token (teacher forcing: nothing is generated)."""

    def backend(self) -> str:
        """Return what computes the likelihoods, with its version."""
        ...

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """Return the likelihoods of each reply, or why they cannot be computed.

        Raises the errors of `Model.reply` if no reply can be processed. Prompt and reply are tokenised as the chat template
        renders them, reasoning included. Control tokens in the text of a reply are plain text; a reply that ended by itself
        includes the end-of-turn token. `sampling`: as recorded.
        """
        ...


# --- scorers


@runtime_checkable
class SupportsWarmUp(Protocol):
    """A scorer with slow imports."""

    def warm(self) -> None:
        """Import everything that the scorer needs."""
        ...


@runtime_checkable
class MayBeHeavy(Protocol):
    """A scorer that states whether it needs a worker process."""

    @property
    def heavy(self) -> bool:
        """Return whether it is slow or unsafe, so that it runs in a worker process with a deadline."""
        ...


def is_heavy(scorer: object) -> bool:
    """Return whether a scorer runs in a worker process."""
    return isinstance(scorer, MayBeHeavy) and scorer.heavy


@runtime_checkable
class TwoStage(Protocol):
    """A scorer with a rule and a judge model."""

    @property
    def rule(self) -> Scorer:
        """Return the rule."""
        ...

    @property
    def judge(self) -> Any:
        """Return the judge, which can be shared and closed; None if none is set."""
        ...

    async def judge_after(
        self,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        first: Score | Failure,
        earlier: Score | Failure | None,
    ) -> Score:
        """Judge a reply that the rule scored as `first`; `earlier`: this scorer's earlier score of the reply."""
        ...


# --- statistics: `Metric.of` for metrics of whole runs


@runtime_checkable
class SupportsResampling(Protocol):
    """A statistic with a faster form for resampling."""

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[Any], float]:
        """Return the statistic as a function of an array of cluster indices."""
        ...


@runtime_checkable
class HasResamples(Protocol):
    """A statistic that may be too slow for the default number of resamples."""

    @property
    def resamples(self) -> int | None:
        """Return the number of resamples; None: the default."""
        ...


@runtime_checkable
class HasInterval(Protocol):
    """A statistic with an interval of its own instead of the bootstrap's."""

    def interval(self, clusters: Sequence[Sequence[Point]]) -> Any:
        """Return the `Interval` over clusters of points; None: use the bootstrap."""
        ...
