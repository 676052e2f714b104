"""Structured strings on cards and in records, each parsed and written in one place.

>>> str(Failed("timeout")), Failed.parse("failed:timeout"), Failed.parse("wrong")
('failed:timeout', Failed(kind='timeout'), None)
>>> parse_sent("png 640x480")
AsPng(width=640, height=480)
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

REWORDED = "~"
"""Last character of a protocol's name if the prompts are reworded."""
_WITH_SHOTS = re.compile(r"(.+)\+(0|[1-9][0-9]{0,3})-shot")


class ProtocolName(NamedTuple):
    """The name of a protocol, with marks for prompts that differ from the protocol's own.

    >>> ProtocolName.parse("intern-s1~")
    ProtocolName(base='intern-s1', reworded=True, shots=None)
    >>> str(ProtocolName("official", shots=3)), ProtocolName.parse("official+3-shot").shots
    ('official+3-shot', 3)
    """

    base: str
    reworded: bool = False
    """Whether our own prompts replace upstream's, which are not available."""
    shots: int | None = None
    """Number of few-shot examples if it differs from the protocol's default."""

    @classmethod
    def parse(cls, text: str) -> ProtocolName:
        """Parse a name as on the command line and on cards."""
        name = text.removesuffix(REWORDED)
        match = _WITH_SHOTS.fullmatch(name)
        shots = int(match[2]) if match else None
        return cls(match[1] if match else name, text.endswith(REWORDED), shots)

    def __str__(self) -> str:
        shots = "" if self.shots is None else f"+{self.shots}-shot"
        return f"{self.base}{shots}{REWORDED if self.reworded else ''}"


class Failed(NamedTuple):
    """The label of a failed call or scorer, which takes the place of a verdict."""

    kind: str
    """`Failure.kind`."""

    @classmethod
    def parse(cls, label: str) -> Failed | None:
        """Parse a label; return None for a verdict."""
        prefix, colon, kind = label.partition(":")
        return cls(kind) if colon and prefix == "failed" else None

    def __str__(self) -> str:
        return f"failed:{self.kind}"


SCORER_NOTE, JUDGE_NOTE = "scorer", "judge"
"""Topics whose notes are replaced whenever a card is recomputed."""
STOPPED_EARLY_NOTE = (
    "stopped as soon as the gate could decide: the point estimate is biased and must not be quoted"
)
"""Note on a run that a sequential gate has stopped; untrue once a later session has completed the run."""


class Note(NamedTuple):
    """A note on a card about one topic."""

    topic: str
    text: str

    @classmethod
    def parse(cls, note: str, *topics: str) -> Note | None:
        """Parse a note; None if it is about none of these topics."""
        topic, _, text = note.partition(": ")
        return cls(topic, text) if topic in topics else None

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}"


class ScoredUnder(NamedTuple):
    """The note on a copy of a run that is scored under another protocol than the one whose prompts were sent."""

    prompts: str
    protocol: str

    @classmethod
    def parse(cls, note: str) -> ScoredUnder | None:
        """Parse a note; None if it is another one."""
        prompts, separator, protocol = note.removeprefix("run under ").partition(", scored under ")
        return cls(prompts, protocol) if separator and note.startswith("run under ") else None

    def __str__(self) -> str:
        return f"run under {self.prompts}, scored under {self.protocol}"


class AsPng(NamedTuple):
    """An image that is converted to a PNG of this size."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"png {self.width}x{self.height}"


class AsText(NamedTuple):
    """A time series or structure that is sent as text in the prompt."""

    characters: int

    def __str__(self) -> str:
        return f"text {self.characters} characters"


class Refused(NamedTuple):
    """A file that cannot be sent."""

    reason: str

    def __str__(self) -> str:
        return f"refused: {self.reason}"


SentForm: TypeAlias = AsPng | AsText | Refused | None
"""How a file in a prompt is sent; None: unchanged."""


def parse_sent(sent: str) -> SentForm:
    """Parse `Media.sent`; raises ValueError for an unknown form."""
    kind, _, rest = sent.partition(" ")
    if not sent:
        return None
    if kind == "png":
        width, _, height = rest.partition("x")
        return AsPng(int(width), int(height))
    if kind == "text":
        return AsText(int(rest.partition(" ")[0]))
    if kind == "refused:":
        return Refused(rest)
    raise ValueError(f"unknown value of `sent`: {sent[:80]!r}")
