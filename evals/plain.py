"""Text for messages, made safe for a terminal; imports little, so that commands start quickly."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

_ESCAPES = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and similar
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_SURROGATE = r"[\ud800-\udfff]"


def plain(text: str) -> str:
    """Remove terminal escapes, control characters and bidirectional overrides; newlines and tabs are kept."""
    return re.sub(_SURROGATE, "\ufffd", re.sub(_ESCAPES, "", text))


MAX_LINE = 300
"""Maximum number of characters that `one_line` returns."""


def one_line(text: str) -> str:
    """Return untrusted text as one printable line of bounded length."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."


def count_of(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: `1 sample`, `2 samples`; `plural`: if it is not the singular with an s."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def either(alternatives: Iterable[object]) -> str:
    """Return alternatives as one phrase; an empty text if there are none.

    >>> either(["a"]), either(["a", "b"]), either([1, 2, 3]), either([])
    ('a', 'a or b', '1, 2 or 3', '')
    """
    *others, last = [*map(str, alternatives)] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """Return at most three names that may be meant by `name`, the most similar one first.

    Names that are clearly less similar than the first are left out. The dashes of options and the colons of adapters, which
    all of them have in common, are ignored.

    >>> similar_names("--limt", ["--limit", "--slurm", "--timeout"]), similar_names("mmul", ["mmlu", "mmmu", "gpqa"])
    (['--limit'], ['mmmu', 'mmlu'])
    """
    from difflib import SequenceMatcher, get_close_matches

    def similarity(other: str) -> float:
        return SequenceMatcher(None, other, spelling).ratio()

    spelling = name.lstrip("-").rstrip(":")
    names = {other.lstrip("-").rstrip(":"): other for other in known}
    matches = get_close_matches(spelling, names, n=3)
    return [names[match] for match in matches if similarity(match) > similarity(matches[0]) - 0.15]


def did_you_mean(names: Iterable[str]) -> str:
    """Return the question with which a message suggests similar names."""
    return f"did you mean {either(names)}?"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what a message about an unknown name suggests: similar names or, if there are none, all known ones."""
    names = list(known)
    matches = similar_names(name, names)
    return did_you_mean(matches) if matches else f"known: {', '.join(names)}"


def escape_formula(value: Any) -> Any:
    """Return a table cell; text that a spreadsheet would evaluate as a formula is prefixed with an apostrophe."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def notice(line: str) -> None:
    """Show a line to the user on standard error, without control characters.

    If it cannot be written (full disk, closed pipe), this and all further messages are dropped: a run must not end because of
    its messages.
    """
    try:
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()
    except OSError:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def percent(value: float | None) -> str:
    """Return a fraction in percent: 0.7025 -> `70.2`. Only exactly 1 becomes 100, and only exactly 0 becomes 0."""
    if value is None:
        return "-"
    if 0.9995 <= value < 1.0:
        return "99.9" if value < 0.99995 else ">99.9"
    return f"{100 * value:.1f}" if not 0 < value < 0.0005 else "<0.1"


ZERO_WIDTH = 1e-9
"""Widths up to this one, in percent, are rounding errors."""


def format_with_interval(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """Format a score with its interval, without unit: `43.6 ±0.9`, or `12.5 +23.5 −9.0` if it is asymmetric.

    >>> format_with_interval(0.4358, 0.4270, 0.4447, "fraction")
    '43.6 ±0.9'
    >>> format_with_interval(0.125, 0.035, 0.36, "fraction")
    '12.5 +23.5 −9.0'
    >>> format_with_interval(0.90123, 0.90093, 0.90153, "fraction")
    '90.12 ±0.03'
    """
    if value is None:
        return ""
    scale = 100.0 if unit == "fraction" else 1.0
    if low is None or high is None:
        return f"{scale * value:.1f}" if unit == "fraction" else f"{value:.4g}"
    down, up = scale * (value - low), scale * (high - value)
    digits = percent_digits(down, up) if unit == "fraction" else decimal_places(max(down, up))
    text = f"{scale * value:.{digits}f}"
    if abs(up - down) <= max(0.1 * (up + down), 1.01 * 10**-digits):
        return f"{text} ±{_width_text((down + up) / 2, digits)}"
    return f"{text} +{_width_text(up, digits)} −{_width_text(down, digits)}"


def _width_text(width: float, digits: int) -> str:
    is_hidden = width > ZERO_WIDTH and not round(width, digits)
    return f"<{10**-digits:g}" if is_hidden else f"{width:.{digits}f}"


def percent_digits(*widths: float) -> int:
    """Return the number of decimals, 1 to 3, with which no width (in percent) is displayed as zero unless it is zero."""
    positive = [width for width in widths if width > ZERO_WIDTH]
    return next((digits for digits in (1, 2) if all(round(width, digits) for width in positive)), 3)


def decimal_places(half_width: float) -> int:
    """Return how many decimal places are needed to show two significant digits of an interval's half-width."""
    digits = 0
    while half_width and half_width < 10 and digits < 6:
        half_width, digits = half_width * 10, digits + 1
    return digits
