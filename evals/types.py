"""The core types: samples, prompts, replies, scores, records, metrics and estimates.

>>> Reply(text="ANSWER: B", stop="stop").text
'ANSWER: B'

All types are frozen msgspec structs: their tags distinguish the members of unions (`Reply | Failure`, `Text | Media`) on disk,
and they are created five times as fast as frozen dataclasses, which matters to a runner that creates 12,000 per second.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf, isfinite
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

Verdict: TypeAlias = Literal["right", "wrong", "graded", "invalid", "unanswered", "refused", "truncated"]
"""Outcome of a reply. `graded`: a value other than right or wrong (an absolute error, a similarity)."""

VERDICTS: tuple[Verdict, ...] = ("right", "graded", "wrong", "invalid", "unanswered", "refused", "truncated")
"""All verdicts in the order of display."""


class Text(Struct, frozen=True, tag="text"):
    """A piece of text in a question or a message."""

    text: str


class Media(Struct, frozen=True, tag="media", omit_defaults=True):
    """An image, a time series or a structure; its bytes are stored under their hash."""

    kind: Literal["image", "time_series", "structure"]
    media_type: str
    """MIME type of the stored bytes, e.g. `image/png`."""
    sha256: str
    size: int = 0
    """Bytes."""
    width: int = 0
    """Pixels."""
    height: int = 0
    sent: str = ""
    """How it is sent, see `labels.parse_sent`: empty (as stored), `png 640x480`, `text 2814 characters`, `refused: WHY`."""
    rate_hz: float = 0.0
    """Samples per second of a time series."""
    length: int = 0
    """Values per channel."""
    channels: tuple[str, ...] = ()
    """Names of the channels."""


Part: TypeAlias = Text | Media


class Message(Struct, frozen=True):
    """One turn of a conversation, exactly as sent."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]

    @classmethod
    def user(cls, text: str) -> Message:
        """Return a user turn with text only."""
        return cls("user", (Text(text),))


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of a benchmark. Scoring needs everything but `question`."""

    id: str
    """The data set's own identifier, stable across versions."""
    question: tuple[Part, ...] = ()
    """Empty: replies can be scored, but no model can be called."""
    target: str | float | tuple[str, ...]
    """The gold answer; with `choices`, the letter or letters of the right options in the *data set's* order, from A on."""
    choices: tuple[str, ...] = ()
    """Options in the data set's own order."""
    unit: str = ""
    """Unit of a numeric target, in pint's notation."""
    group: str = ""
    """Stratum for breakdowns: subject, task, year."""
    cluster: str = ""
    """Key shared by dependent samples (same passage or image); empty: independent."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Further values for the suite's prompt or scorer; only types that JSON supports."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the gold answer, or all of several, as strings."""
        return self.target if isinstance(self.target, tuple) else (str(self.target),)


class Prompt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The messages as sent, and the mapping from displayed option letters to the data set's options."""

    messages: tuple[Message, ...] = ()
    """Empty for an imported reply whose prompt is unknown."""
    order: tuple[int, ...] | None = None
    """For each displayed option, from A on, its index in `Sample.choices`; None: the data set's order."""
    continuations: tuple[tuple[str, ...], ...] = ()
    """For each message, continuations whose likelihoods are requested instead of a reply (`calls/call.py`)."""

    def source_letter(self, shown: str) -> str | None:
        """Return the data set's letter of an option, given the letter displayed to the model.

        >>> Prompt(order=(2, 0, 1)).source_letter("A")
        'C'
        """
        if self.order is None:
            return shown
        position = ord(shown) - ord("A")
        return chr(ord("A") + self.order[position]) if 0 <= position < len(self.order) else None

    def shown_letter(self, source: str) -> str:
        """Return the letter displayed to the model, given the data set's letter of an option."""
        if self.order is None:
            return source
        return chr(ord("A") + self.order.index(ord(source) - ord("A")))

    def as_shown(self, sample: Sample) -> Sample:
        """Return a sample with options and gold letters in the order displayed to the model."""
        if self.order is None or not sample.choices:
            return sample
        letters = tuple(map(self.shown_letter, sample.targets))
        return replace(
            sample,
            choices=tuple(sample.choices[i] for i in self.order),
            target=letters if isinstance(sample.target, tuple) else letters[0],
        )


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sampling parameters; None: the server's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    """Reasoning included."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    thinking: bool | None = None
    """Whether to reason before answering, on servers with such a switch."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request body."""


MAX_TOKENS = 2**31 - 1
"""Larger token counts are implausible and count as not reported."""


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Token counts reported by the server; None: not reported."""

    input: int | None = None
    output: int | None = None
    """Reasoning included."""
    reasoning: int | None = None
    cached: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            count = getattr(self, name)
            if count is not None and not (type(count) is int and 0 <= count <= MAX_TOKENS):
                force_setattr(self, name, None)  # not a count


TOOL_CALLS, UNKNOWN_FINISH = "tool calls", "unknown: "  # values of `Reply.finish`


class Reply(Struct, frozen=True, kw_only=True, tag="reply"):
    """A model's reply."""

    text: str
    """The answer, without the reasoning."""
    reasoning: str | None = None
    """Never scored."""
    stop: Literal["stop", "length", "filter"] = "stop"
    """`length`: truncated at max tokens. `filter`: refused by the server's content filter."""
    finish: str = ""
    """A finish reason that `stop` cannot express: `tool calls`, or `unknown: ` and the server's word; otherwise empty."""
    usage: Usage = Usage()
    seconds: float = 0.0
    """Duration of the successful attempt; 0: unknown."""
    model: str = ""
    """Name reported by the server."""
    attempts: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < inf:
            force_setattr(self, "seconds", 0.0)  # not a duration


class Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    """An infrastructure failure: counted, and excluded from means; `Estimate.worst` and `best` bound its effect."""

    stage: Literal["prompt", "model", "scorer"]
    kind: str
    """Lower-case name of the error's class in `errors.py`, e.g. `ratelimit`."""
    message: str
    attempts: int = 1
    usage: Usage = Usage()
    """Tokens of a judge's replies without a readable verdict."""


class Judgement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call to a judge model about one reply."""

    judge: str
    """The judge model as named on the command line, without secrets."""
    asked: str
    """SHA-256 of the prompt as sent."""
    text: str
    """The judge's raw reply."""
    model: str = ""
    """Name of the judge model reported by the server."""
    usage: Usage = Usage()
    """Sum over all attempts."""
    attempts: int = 1


class Score(Struct, frozen=True, kw_only=True, tag="score", omit_defaults=True):
    """One scorer's result for one reply."""

    value: float | None
    """A finite number. None: there is nothing to measure, and the metric decides how that counts."""
    verdict: Verdict
    answer: str | None = None
    """The extracted answer, with letters in the data set's order; None: the reply contains none."""
    why: str = ""
    """Explanation in one line."""
    suspect: bool = False
    """Whether a person should check the score."""
    parts: dict[str, float] = field(default_factory=dict)
    """Further named values of the same reply, e.g. a Tanimoto similarity."""
    judged: tuple[Judgement, ...] = ()
    """Calls to a judge model, if any."""
    form: str = ""
    """How the answer was stated, a form of `extract.statements`; empty if unknown, or if an upstream rule found the answer."""
    span: tuple[int, int] | None = None
    """Position of the answer in `Reply.text`: start and end."""

    def __post_init__(self) -> None:
        if self.value is not None:
            if not isfinite(self.value):
                raise ValueError(f"score value must be finite, got {self.value}")
            force_setattr(self, "value", float(self.value))  # numpy scalars cannot be serialised
        for name, value in self.parts.items():
            if not isfinite(value):
                raise ValueError(f"score part {name!r} must be finite, got {value}")
            self.parts[name] = float(value)


class Record(Struct, frozen=True, kw_only=True):
    """Prompt, outcome and scores of one sample in one repeat. Gold answers are stored separately."""

    sample: str
    """`Sample.id`."""
    repeat: int
    """From 0."""
    prompt: Prompt
    outcome: Reply | Failure
    scores: dict[str, Score | Failure] = field(default_factory=dict)
    """By scorer name; empty if the outcome is a failure."""
    started: float = 0.0
    """Seconds since the epoch, UTC."""


class Point(Struct, frozen=True, gc=False):
    """One sample in one repeat, as the input of a metric."""

    id: str
    repeat: int
    group: str
    cluster: str
    verdict: str
    """A `Verdict`, or `missing` if the outcome is missing and `value` is a bound of the metric."""
    value: float | None
    answer: str | None
    target: str | float | tuple[str, ...]
    options: int
    """Number of choices; 0: free-form answer."""
    parts: dict[str, float]


class Metric(Struct, frozen=True, kw_only=True):
    """A reduction of points to one number.

    `pool`: `micro`: mean of `of` over single points (with `joint`, over all repeats of a sample); `macro`: unweighted mean of
    the groups' micro means; `whole`: `of` is applied to all points at once (RMSE, ROC-AUC), with a bootstrap over clusters.
    """

    name: str
    of: Callable[[Sequence[Point]], float]
    """Reduction; raises ValueError if there are no points."""
    pool: Literal["micro", "macro", "whole"] = "micro"
    joint: bool = False
    """Whether `of` needs all repeats of a sample at once (pass@k)."""
    together: bool = False
    """Whether `of` gets all points of one cluster, group and repeat at once (ChartBench: a true and a false assertion)."""
    unit: str = "fraction"
    better: Literal["higher", "lower"] = "higher"
    headline: bool = False
    bounds: tuple[float, float] | None = (0.0, 1.0)
    """Smallest and largest value of a sample; None: unbounded, so that there are no bounds for missing outcomes."""
    scorer: str = ""
    """Scorer whose points are reduced; empty: the suite's first."""
    minimum_repeats: int = 1
    """The metric is reported only for runs with at least this many repeats."""
    by_group: bool = True
    """Whether the metric is also reported for each group."""

    @property
    def width(self) -> float | None:
        """Largest minus smallest value of one sample; None: unbounded."""
        return self.bounds[1] - self.bounds[0] if self.bounds else None


class Estimate(Struct, frozen=True, kw_only=True):
    """A number with its interval and sample sizes; fractions from 0 to 1."""

    metric: str
    group: str
    """Empty for the whole suite."""
    value: float | None
    """None if nothing was scored."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval."""
    worst: float | None
    """Lower bound: missing outcomes counted as wrong; None for metrics without bounds."""
    best: float | None
    """Upper bound: missing outcomes counted as right."""
    n: int
    """Number of (sample, repeat) pairs."""
    clusters: int
    unit: str
    better: Literal["higher", "lower"]
    method: str
    """Method of the interval."""
    headline: bool = False


@runtime_checkable
class Model(Protocol):
    """A model. Adapters raise the errors of `errors.py` and leave retries to the runner."""

    name: str
    """Short name for tables."""
    accepts: frozenset[str]
    """Inputs besides text (image, time_series, structure), and `logprobs` if it computes them."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply to one prompt."""

    async def close(self) -> None:
        """Release sockets, processes and memory."""


class Likelihood(Struct, frozen=True, kw_only=True):
    """Likelihood of a text as the continuation of another."""

    logprob: float
    """Natural logarithm, summed over the continuation's tokens."""
    tokens: int
    """Tokens of the continuation; at least 1."""
    greedy: bool
    """Whether every token was the most likely one."""


@runtime_checkable
class LogProbs(Protocol):
    """A model that `accepts` logprobs."""

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """Return the likelihood of each continuation of a plain-text prompt, without a chat template.

        Trailing spaces of the prompt belong to the continuations, which begin after as many tokens as the prompt alone has
        (lm-evaluation-harness, `TemplateLM._encode_pair` at 4e7e0d47). Raises the errors of `reply`, and Rejected for an empty
        prompt or a continuation without a token.
        """


class Scorer(Protocol):
    """A scorer is pure and fast, or else `heavy`: then it runs in a worker process (`seams.MayBeHeavy`).

    Its `repr` contains the rule and its options, and is stored on the card of every run, to detect changes to the rule.
    """

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score | Awaitable[Score]:
        """Score one reply; `sample.question` may be empty."""


Prompter: TypeAlias = Callable[[Sample, int], Prompt]
"""(sample, repeat) -> prompt; its only source of randomness is `prompts.rng(suite, sample.id, repeat)`."""
