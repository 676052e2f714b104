"""The nouns of the house: what passes from a suite through a model and a scorer into a record.

>>> sample = Sample(id="1", question=(Text("2 + 2 = ?"),), target="B", choices=("3", "4"))
>>> Reply(text="ANSWER: B", stop="stop").text
'ANSWER: B'

All types are frozen. They are msgspec structs and not dataclasses, because unions of them
(`Reply | Failure`, `Text | Media`) must be told apart on disk, and because twelve thousand of them
are made per second in the runner: a struct costs a fifth of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import isfinite
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

Verdict: TypeAlias = Literal["right", "wrong", "graded", "invalid", "unanswered", "refused", "truncated"]
"""What the model did. `graded` is a value that is no yes or no (an absolute error, a similarity)."""

VERDICTS: tuple[Verdict, ...] = ("right", "graded", "wrong", "invalid", "unanswered", "refused", "truncated")


class Text(Struct, frozen=True, tag="text"):
    """A piece of text in a question or a message."""

    text: str


class Media(Struct, frozen=True, tag="media", omit_defaults=True):
    """A picture, a signal or a structure; its bytes lie in the store under their hash."""

    kind: Literal["image", "time_series", "structure"]
    media_type: str
    """MIME type of what is stored, e.g. `image/png`."""
    sha256: str
    size: int = 0
    """Bytes."""
    width: int = 0
    """Pixels."""
    height: int = 0
    sent: str = ""
    """How it is sent, see `labels.sending`: empty, as it is; `png 640x480`; `text 2814 characters`; `refused: WHY`."""
    rate_hz: float = 0.0
    """Samples per second of a time series."""
    length: int = 0
    """Values per channel."""
    channels: tuple[str, ...] = ()
    """Their names."""


Part: TypeAlias = Text | Media


class Message(Struct, frozen=True):
    """One turn of a conversation, exactly as sent."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]

    @classmethod
    def user(cls, text: str) -> Message:
        """Make a user's turn that holds only text."""
        return cls("user", (Text(text),))


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of a benchmark. Scoring needs all but `question`; asking needs the question too."""

    id: str
    """The data set's own identifier, stable across versions."""
    question: tuple[Part, ...] = ()
    """Empty where only scoring is possible."""
    target: str | float | tuple[str, ...]
    """The gold answer. With `choices`: the letter (or letters) in the *data set's* order, from A on."""
    choices: tuple[str, ...] = ()
    """Options in the data set's own order."""
    unit: str = ""
    """Unit of a numeric target, as pint reads it."""
    group: str = ""
    """Stratum for breakdowns: subject, task, year."""
    cluster: str = ""
    """What is shared with other samples (passage, image); empty: the sample stands alone."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Further facts that this suite's prompt or scorer needs; JSON values only."""


class Prompt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked: the messages as sent, and how shown labels map back to the data set's options."""

    messages: tuple[Message, ...] = ()
    """Empty where the reply was recorded by somebody else and the prompt is unknown."""
    order: tuple[int, ...] | None = None
    """For each option shown, from A on, its index in `Sample.choices`; None: the data set's order."""
    continuations: tuple[tuple[str, ...], ...] = ()
    """For each message, texts whose likelihood behind it is asked for, in the place of a reply (`asking.py`)."""

    def source_letter(self, shown: str) -> str | None:
        """Translate a letter as shown to the model into the data set's letter.

        >>> Prompt(order=(2, 0, 1)).source_letter("A")
        'C'
        """
        if self.order is None:
            return shown
        position = ord(shown) - ord("A")
        return chr(ord("A") + self.order[position]) if 0 <= position < len(self.order) else None

    def shown_letter(self, source: str) -> str:
        """Translate the data set's letter into the one shown to the model."""
        if self.order is None:
            return source
        return chr(ord("A") + self.order.index(ord(source) - ord("A")))

    def as_shown(self, sample: Sample) -> Sample:
        """Give a sample with its options, and the letters of its gold answer, as the model was shown them."""
        if self.order is None or not sample.choices:
            return sample
        gold = sample.target
        return replace(
            sample,
            choices=tuple(sample.choices[i] for i in self.order),
            target=tuple(map(self.shown_letter, gold))
            if isinstance(gold, tuple)
            else self.shown_letter(str(gold)),
        )


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a reply is drawn. None leaves a setting to the server."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    """Tokens of reasoning and answer together."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    thinking: bool | None = None
    """Reason before answering, on servers that can switch it; None: the server's default."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Sent as further fields of the request body."""


MOST_TOKENS = 2**31 - 1
"""Of one call; what claims more counts something else."""


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens as counted by the server; None where it does not say."""

    input: int | None = None
    output: int | None = None
    """Reasoning included."""
    reasoning: int | None = None
    cached: int | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "reasoning", "cached"):
            count = getattr(self, name)
            if count is not None and not (type(count) is int and 0 <= count <= MOST_TOKENS):
                force_setattr(self, name, None)  # no server counts so


TOOL_CALLS = "tool calls"
UNKNOWN_FINISH = "unknown: "


class Reply(Struct, frozen=True, kw_only=True, tag="reply"):
    """What the model said."""

    text: str
    """The answer, without the reasoning."""
    reasoning: str | None = None
    """Kept apart, never graded."""
    stop: Literal["stop", "length", "filter"] = "stop"
    """`length`: truncated at max tokens. `filter`: refused by the server's content filter."""
    finish: str = ""
    """Why it ended, where that is none of the three: `tool calls`, or `unknown: ` and the reason as the server words it."""
    usage: Usage = Usage()
    seconds: float = 0.0
    """Of the successful attempt alone."""
    model: str = ""
    """As the server names it."""
    attempts: int = 1


class Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    """No verdict, for a reason that is not the model's: in no mean, counted, bounded."""

    stage: Literal["prompt", "model", "scorer"]
    kind: str
    """Name of the error's class in `errors.py`, in lower case, e.g. `ratelimit`."""
    message: str
    attempts: int = 1


class Judgement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a judge model was asked about one reply, and what it said, word for word."""

    judge: str
    """As named on the command line, without secrets."""
    asked: str
    """SHA-256 of the prompt as sent."""
    text: str
    """Its raw reply; the verdict is read off it."""
    model: str = ""
    """As the server names it."""
    usage: Usage = Usage()
    """Over all attempts."""
    attempts: int = 1


class Score(Struct, frozen=True, kw_only=True, tag="score", omit_defaults=True):
    """One scorer's judgement of one reply."""

    value: float | None
    """Finite. None where the reply gives nothing to measure; the metric says how that counts."""
    verdict: Verdict
    answer: str | None = None
    """What was extracted; None: nothing. Letters are in the data set's order."""
    why: str = ""
    """One line for a person."""
    suspect: bool = False
    """A person should look."""
    parts: dict[str, float] = field(default_factory=dict)
    """Further named values of the same reply, e.g. a Tanimoto similarity."""
    judged: tuple[Judgement, ...] = ()
    """What a judge model said, where one was asked."""
    form: str = ""
    """How the answer was stated: a form of `extract.statements`; empty: not told, or read by a rule of somebody else's."""
    span: tuple[int, int] | None = None
    """Where in `Reply.text` it stands: first character, and one past the last."""

    def __post_init__(self) -> None:
        if self.value is not None:
            if not isfinite(self.value):
                raise ValueError(f"score value must be finite, got {self.value}")
            if type(self.value) is not float:  # numpy's numbers cannot be written
                force_setattr(self, "value", float(self.value))
        for name, value in self.parts.items():
            if not isfinite(value):
                raise ValueError(f"score part {name!r} must be finite, got {value}")
            if type(value) is not float:
                self.parts[name] = float(value)


class Record(Struct, frozen=True, kw_only=True):
    """All that happened to one sample in one repeat. The sample's gold side lies beside the records."""

    sample: str
    """`Sample.id`."""
    repeat: int
    """From 0."""
    prompt: Prompt
    outcome: Reply | Failure
    scores: dict[str, Score | Failure] = field(default_factory=dict)
    """By scorer name; empty where the outcome is a failure."""
    started: float = 0.0
    """Seconds since the epoch, UTC."""


class Point(Struct, frozen=True, gc=False):
    """What a metric sees of one sample in one repeat."""

    id: str
    repeat: int
    group: str
    cluster: str
    verdict: str
    """A `Verdict`, or `missing` for a stand-in that bounds an outcome that is not there."""
    value: float | None
    answer: str | None
    target: str | float | tuple[str, ...]
    options: int
    """Number of choices; 0: free answer."""
    parts: dict[str, float]


class Metric(Struct, frozen=True, kw_only=True):
    """How points become one number.

    `pool` says over what `of` runs and how the interval is taken: `micro`, `of` sees one point at a time (with
    `joint`, all repeats of a sample), then the mean; `macro`, the unweighted mean of the groups' micro means;
    `whole`, `of` sees all points at once (RMSE, ROC-AUC), interval by bootstrap over clusters.
    """

    name: str
    of: Callable[[Sequence[Point]], float]
    """Raises ValueError where there is nothing to reduce; never returns a number for nothing."""
    pool: Literal["micro", "macro", "whole"] = "micro"
    joint: bool = False
    """Whether `of` needs all repeats of a sample at once (pass@k)."""
    together: bool = False
    """Whether `of` sees at once, repeat by repeat, what shares cluster and group: both assertions of a pair."""
    unit: str = "fraction"
    better: Literal["higher", "lower"] = "higher"
    headline: bool = False
    bounds: tuple[float, float] | None = (0.0, 1.0)
    """Least and greatest value of one sample; None: unbounded, so no worst and best case."""
    scorer: str = ""
    """Which scorer's points it reads; empty: the suite's first."""
    minimum_repeats: int = 1
    """Shown only for runs with at least so many repeats."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A number with what it rests on. Fractions are fractions."""

    metric: str
    group: str
    """Empty for the whole suite."""
    value: float | None
    """None where nothing was scored."""
    low: float | None
    """95 % interval."""
    high: float | None
    worst: float | None
    """With missing outcomes counted against the model; None for metrics without bounds."""
    best: float | None
    n: int
    """Sample-repeats in it."""
    clusters: int
    """Distinct clusters in it."""
    unit: str
    better: Literal["higher", "lower"]
    method: str
    """How the interval was taken."""
    headline: bool = False


@runtime_checkable
class Model(Protocol):
    """Anything that answers. Adapters raise the errors of `errors.py`; the runner alone retries."""

    name: str
    """Short, as shown in tables."""
    accepts: frozenset[str]
    """What it can take besides text: image, time_series, structure, logprobs."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Answer one prompt."""
        ...

    async def close(self) -> None:
        """Give back sockets, processes and memory."""
        ...


class Likelihood(Struct, frozen=True, kw_only=True):
    """How likely a model finds one text as the continuation of another."""

    logprob: float
    """Natural logarithm, summed over the continuation's tokens."""
    tokens: int
    """Tokens of the continuation; at least 1."""
    greedy: bool
    """Whether no other token was likelier, at any of them."""


@runtime_checkable
class LogProbs(Protocol):
    """What a model that `accepts` logprobs can do besides: the optional second protocol."""

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """Give the likelihood of each continuation of a text, which is read as it stands: no chat template.

        Spaces at the prompt's end are counted to the continuations, and these begin after as many tokens as the
        prompt alone has: the rule of lm-evaluation-harness (`TemplateLM._encode_pair` in `lm_eval/api/model.py` at
        4e7e0d47). Raises the errors of `reply`; Rejected for an empty prompt or a continuation without a token.
        """
        ...


class Scorer(Protocol):
    """Anything that judges. Pure and quick, or marked `heavy` and then run in a worker process."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score | Awaitable[Score]:
        """Judge one reply; `sample.question` may be empty."""
        ...


Prompter: TypeAlias = Callable[[Sample, int], Prompt]
"""(sample, repeat) -> prompt; draws only from `prompts.rng(suite, sample.id, repeat)`."""
