"""Texts with parts, as they stand on cards and in records: each is parsed and written in one place.

>>> str(Failed("timeout")), Failed.parse("failed:timeout"), Failed.parse("wrong")
('failed:timeout', Failed(kind='timeout'), None)
>>> sending("png 640x480")
Redrawn(width=640, height=480)
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

REWORDED = "~"


class ProtocolName(NamedTuple):
    """The name of a protocol, and whether prompts are reworded since upstream's own cannot be had.

    >>> ProtocolName.parse("intern-s1~")
    ProtocolName(base='intern-s1', reworded=True)
    >>> str(ProtocolName("intern-s1", reworded=True))
    'intern-s1~'
    """

    base: str
    reworded: bool = False

    @classmethod
    def parse(cls, text: str) -> ProtocolName:
        """Read a name as it is written on the command line and on cards."""
        return cls(text.removesuffix(REWORDED), text.endswith(REWORDED))

    def __str__(self) -> str:
        return f"{self.base}{REWORDED}" if self.reworded else self.base


class Failed(NamedTuple):
    """What stands in the place of a verdict for a call or a scorer that failed."""

    kind: str
    """`Failure.kind`."""

    @classmethod
    def parse(cls, label: str) -> Failed | None:
        """Read a label; None: it is a verdict."""
        prefix, colon, kind = label.partition(":")
        return cls(kind) if colon and prefix == "failed" else None

    def __str__(self) -> str:
        return f"failed:{self.kind}"


SCORER_NOTE, JUDGE_NOTE = "scorer", "judge"
"""Topics of notes that are written anew whenever a run is reduced."""


class Note(NamedTuple):
    """A note on a card about one topic; a recomputed card replaces the notes of its topic."""

    topic: str
    text: str

    @classmethod
    def parse(cls, note: str, *topics: str) -> Note | None:
        """Read a note; None: it is about none of these topics."""
        topic, _, text = note.partition(": ")
        return cls(topic, text) if topic in topics else None

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}"


class Redrawn(NamedTuple):
    """An image is sent as a PNG of this size."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"png {self.width}x{self.height}"


class AsText(NamedTuple):
    """A series or a structure is written into the prompt."""

    characters: int

    def __str__(self) -> str:
        return f"text {self.characters} characters"


class Refused(NamedTuple):
    """It cannot be sent."""

    reason: str

    def __str__(self) -> str:
        return f"refused: {self.reason}"


Sending: TypeAlias = Redrawn | AsText | Refused | None
"""How a file in a prompt is sent; None: as it is stored."""


def sending(sent: str) -> Sending:
    """Read `Media.sent`; raises ValueError for what is none of the forms."""
    kind, _, rest = sent.partition(" ")
    if not sent:
        return None
    if kind == "png":
        width, _, height = rest.partition("x")
        return Redrawn(int(width), int(height))
    if kind == "text":
        return AsText(int(rest.partition(" ")[0]))
    if kind == "refused:":
        return Refused(rest)
    raise ValueError(f"no way of sending: {sent[:80]!r}")
