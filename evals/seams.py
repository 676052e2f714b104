"""Optional capabilities of models, scorers and statistics, as protocols that are checked by `isinstance`.

`isinstance` with a protocol takes microseconds, so it is called once when a run or a call is set up. It checks only names
of attributes, so an adapter in another package need not import this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
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

CURRENT_CALL: ContextVar[tuple[str, str, int] | None] = ContextVar("current_call", default=None)
"""Suite, sample and repeat of the call that a run makes, for models with recorded replies; None: not a call of a run."""


@runtime_checkable
class HasSlots(Protocol):
    """A model that states how many calls it can process concurrently."""

    slots: int | None
    """Maximum number of concurrent calls; None: no limit, so that the runner finds the best concurrency."""


def slots_of(model: object) -> int | None:
    """Return the maximum number of concurrent calls of a model; None: no limit."""
    return model.slots if isinstance(model, HasSlots) else None


@runtime_checkable
class HasStartup(Protocol):
    """A model that must be started or loaded before it can be called."""

    def ready(self) -> Awaitable[None] | None:
        """Return None if the model can be called, else an awaitable that starts it.

        Awaiting it raises UsageError if the start fails, and Gone if a server lost during a run cannot be restarted.
        """


@runtime_checkable
class HasNotes(Protocol):
    """A model with notes for the run's card that are complete only when the run has ended."""

    @property
    def notes(self) -> Sequence[str]:
        """Return the notes, e.g. on a server that was started or on rejected request fields."""


def notes_of(model: object) -> tuple[str, ...]:
    """Return a model's `notes`; empty if it has none."""
    return tuple(model.notes) if isinstance(model, HasNotes) else ()


@runtime_checkable
class HasRemarks(Protocol):
    """A model with notes for the run's card that are known before the run."""

    def remarks(self, sampling: Sampling) -> Sequence[str]:
        """Return the notes, e.g. on settings that are not sent; raises UsageError for a setting that cannot be applied."""


@runtime_checkable
class HasRateLimit(Protocol):
    """A model with a rate limit."""

    per_minute: float
    """Maximum number of calls per minute."""


@runtime_checkable
class HasAccount(Protocol):
    """A model whose rate limit applies to an account: all models of the account share it, including the judge."""

    account: str
    """Identifies the account, without secrets."""


class Concurrency(Protocol):
    """The limit on calls in flight, adjusted during a run; see `calls.pace.Pace`."""

    @property
    def limit(self) -> int:
        """Return the number of calls allowed in flight now."""

    @property
    def ceiling(self) -> int:
        """Return the largest value that `limit` can reach."""

    def reply(self) -> None:
        """Record that a reply arrived."""

    def slow_down(self) -> None:
        """Record that the server asked for fewer calls, or that a call exceeded its deadline."""


@runtime_checkable
class HasPace(Protocol):
    """A model that adjusts its concurrency itself, e.g. separately for each of several servers."""

    def pace(self, fixed: int | None) -> Concurrency:
        """Return the limit on calls in flight. `fixed`: the user's fixed limit; None: adjusted during the run."""


@runtime_checkable
class ImageClassifier(Protocol):
    """An image classifier: it accepts no text, and replies with class indices (`scorers/classes.py`)."""

    classes: int
    """Number of classes that its head distinguishes."""


@runtime_checkable
class HasVersions(Protocol):
    """A model whose replies depend on libraries in this process; if a version changes, a new run starts."""

    versions: str
    """E.g. `tokenizers 0.23.3, no rdkit`."""


@runtime_checkable
class MayBeLocal(Protocol):
    """A model that states whether it computes in this process."""

    local: bool
    """If true, no other local or launched model runs at the same time."""


@runtime_checkable
class HasLaunchedServer(Protocol):
    """A model whose inference server this process starts."""

    options: str
    """The user's command-line options for the server."""

    def log_to(self, run: Path) -> None:
        """Write the server's log into a run's folder."""


def engine_of(model: object) -> str:
    """Return what identifies a model's engine: the options of its server, or the versions of its libraries."""
    if isinstance(model, HasLaunchedServer):
        return model.options
    return model.versions if isinstance(model, HasVersions) else ""


def is_local(model: object) -> bool:
    """Return whether a model computes on this machine's GPUs or cores; False for None."""
    return isinstance(model, HasLaunchedServer) or (isinstance(model, MayBeLocal) and model.local)


@runtime_checkable
class SupportsHeaders(Protocol):
    """A model called by HTTP requests, to which the user may add headers and body fields (`Sampling.extra`)."""

    @property
    def notes(self) -> list[str]:
        """Return the notes on its calls for the card, e.g. on rejected request fields."""

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call; their values are secrets."""


class BatchState(Struct, frozen=True):
    """The progress of a batch."""

    ended: bool
    done: int = 0
    fault: str = ""
    """Why the batch was rejected as a whole; empty if it was not."""


class BatchEndpoint(Protocol):
    """A vendor's batch endpoint; its methods raise the errors of `Model.reply`."""

    max_requests: int
    """Maximum number of requests in a batch."""
    max_bytes: int
    """Maximum size of a batch in bytes."""

    @property
    def left_out(self) -> dict[str, str]:
        """Return the request fields that the vendor rejected, each with the name under which it is sent instead; empty: omitted.

        The caller may add fields, e.g. those logged before an interruption.
        """

    async def omit_rejected_field(self, error: Rejected, prompt: Prompt, sampling: Sampling) -> bool:
        """Omit, from now on, the field that an error names; return whether it was still being sent."""

    async def encode_request(self, name: str, prompt: Prompt, sampling: Sampling) -> bytes:
        """Encode one request; its result is returned under the same `name`."""

    async def start(self, label: str, lines: Sequence[bytes]) -> str:
        """Submit encoded requests, whose names begin with `label`, as a batch; return its id."""

    async def find(self, label: str, *, since: float, requests: int, excluded: Sequence[str]) -> str | None:
        """Return the id of a batch that was submitted, but whose id was lost; None if there is none.

        `since`: time of submission; `requests`: number of requests in the batch; `excluded`: ids of other batches. If the
        vendor stores no labels, the id may belong to another batch, which only the names in the results reveal.
        """

    async def state(self, batch_id: str) -> BatchState:
        """Return the progress of a batch."""

    async def results(self, batch_id: str, sampling: Sampling) -> dict[str, Reply | Exception]:
        """Return the result of every request by name: a reply, or the error that a direct call would have raised."""


@runtime_checkable
class HasBatchEndpoint(Protocol):
    """A model with a batch endpoint."""

    @property
    def batches(self) -> BatchEndpoint:
        """Return the endpoint."""


class Decoding(Struct, frozen=True):
    """The sampling parameters of recorded replies, with server defaults resolved."""

    temperature: float
    """0: greedy."""
    top_k: int = 0
    """0: off."""
    top_p: float = 1.0
    min_p: float = 0.0
    temperature_last: bool = False
    """Whether top-k, top-p and min-p applied to the probabilities at temperature 1, as in llama.cpp."""

    @property
    def truncates(self) -> bool:
        """Return whether some tokens cannot be sampled."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class TokenLikelihoods(NamedTuple):
    """Likelihoods that a model assigns to the tokens of a given reply; arrays of equal length, one value per token.

    `above` and `mass` refer to the recorded decoding: a token sampled from the model has the probability integral transform
    `above + V * mass`, with V uniform on (0, 1). At temperature 0, `above` and `mass` are 0 and 1 for the first choice, and
    1 and 0 for any other token.
    """

    logprob: Floats
    """Natural logarithm of the token's probability at temperature 1, given all tokens before it."""
    rank: Floats
    """1: the model's first choice; equally likely tokens share the best of their ranks."""
    gap: Floats
    """Log-probability of the first choice minus the token's own; 0 for the first choice, never negative."""
    above: Floats
    """Total probability, under the recorded decoding, of the tokens ranked before it; a lower bound if it is not exact."""
    mass: Floats
    """The token's probability under the recorded decoding, 0 if that excludes the token; a lower bound if it is not exact."""
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
        """Return the software that computes the likelihoods, with its version."""

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """Return the likelihoods of each reply, or why they cannot be computed.

        Raises the errors of `Model.reply` if no reply can be processed. Prompt and reply are tokenised as the chat template
        renders them, reasoning included. Control tokens in the text of a reply are plain text; a reply that ended by itself
        includes the end-of-turn token. `sampling`: as recorded.
        """


# --- scorers


@runtime_checkable
class SupportsWarmUp(Protocol):
    """A scorer with slow imports."""

    def warm(self) -> None:
        """Import everything that the scorer needs."""


@runtime_checkable
class MayBeHeavy(Protocol):
    """A scorer that states whether it needs a worker process."""

    @property
    def heavy(self) -> bool:
        """Return whether it is slow or unsafe, so that it runs in a worker process with a deadline."""


def is_heavy(scorer: object) -> bool:
    """Return whether a scorer runs in a worker process."""
    return isinstance(scorer, MayBeHeavy) and scorer.heavy


@runtime_checkable
class TwoStage(Protocol):
    """A scorer with a rule and a judge model."""

    @property
    def rule(self) -> Scorer:
        """Return the rule."""

    @property
    def judge(self) -> Any:
        """Return the judge, an object that scorers can share and that can be closed; None if none is set."""

    async def judge_after(
        self,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        first: Score | Failure,
        earlier: Score | Failure | None,
    ) -> Score:
        """Judge a reply to which the rule gave the score `first`.

        `earlier`: the reply's previous score by this scorer, whose judge verdicts may be reused; None if there is none.
        """


# --- statistics of whole runs: the functions in `Metric.of`


@runtime_checkable
class SupportsResampling(Protocol):
    """A statistic that can be computed faster for many resamples of the same clusters."""

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[Any], float]:
        """Return a function that computes the statistic from an array of cluster indices."""


@runtime_checkable
class HasResamples(Protocol):
    """A statistic that may be too slow for the default number of resamples."""

    @property
    def resamples(self) -> int | None:
        """Return the number of resamples; None: the default."""


@runtime_checkable
class HasInterval(Protocol):
    """A statistic that computes its own interval, without the bootstrap."""

    def interval(self, clusters: Sequence[Sequence[Point]]) -> Any:
        """Return the `Interval` for clusters of points; None: use the bootstrap."""
