"""Text made safe for a terminal."""

from __future__ import annotations

from evals.extract.later import later

_ESCAPES = later(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and kin
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_SURROGATE = later(r"[\ud800-\udfff]")


def plain(text: str) -> str:
    """Take terminal escapes, control characters and direction overrides out; newline and tab stay."""
    return _SURROGATE.sub("\ufffd", _ESCAPES.sub("", text))
