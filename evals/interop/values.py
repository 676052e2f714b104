"""Values out of files that somebody else wrote: what is of another type, or cannot be kept, is unknown.

>>> number("1"), number(float("nan")), number(10**400), number(True)
(None, None, None, 1.0)
>>> count(-1), count(1.5), count(2**70), count(12)
(None, None, None, 12)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Literal

from evals.data.loose_json import decoded
from evals.types import Sampling

__all__ = [
    "BROKEN", "count", "decoded", "first_text", "lettered", "listing", "mapping", "number", "scores", "seconds",
    "settings", "stamp", "stop_of", "turns",
]  # fmt: skip

BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    EOFError,
    zlib.error,
)
"""What reading a truncated, broken or foreign file raises; msgspec's errors are ValueErrors."""
GREATEST = 1 << 53
"""From here on whole numbers have no exact double."""
STOPS: dict[str, Literal["stop", "length", "filter"]] = {
    **dict.fromkeys(("stop", "endoftext"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    "content_filter": "filter",
}


def number(value: Any) -> float | None:
    """Return a finite number; a truth value is 0 or 1."""
    if isinstance(value, int):
        return float(value) if abs(value) <= GREATEST else None
    return value if isinstance(value, float) and isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a whole number that is not negative."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and 0 <= value < GREATEST else None


def mapping(value: Any) -> dict[str, Any]:
    """Return an object; of anything else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return a list; of anything else an empty one."""
    return value if isinstance(value, list) else []


def scores(found: Any) -> dict[str, float]:
    """Return the entries of an object that are numbers, truth values left out."""
    named = (
        (str(name), number(value)) for name, value in mapping(found).items() if not isinstance(value, bool)
    )
    return {name: value for name, value in named if value is not None}


def first_text(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the first of some fields that is a text; empty: none is."""
    return next((row[name] for name in names if isinstance(row.get(name), str)), "")


def lettered(place: int) -> str:
    """Return the reply that stands for a choice by likelihood.

    >>> lettered(1)
    'ANSWER: B'
    """
    return f"ANSWER: {chr(ord('A') + place)}"


def stop_of(reason: Any) -> Literal["stop", "length", "filter"] | None:
    """Return why a reply ended; None: the source does not say."""
    return STOPS.get(reason) if isinstance(reason, str) else None


def settings(given: Any, **names: str) -> Sampling:
    """Read sampling settings; `names`: what the source calls ours if it calls them otherwise. Unknown stays None.

    >>> settings({"temperature": 0, "max_out_len": 8, "stop": "Q:"}, max_tokens="max_out_len").max_tokens
    8
    """
    found = {name: mapping(given).get(names.get(name, name)) for name in Sampling.__struct_fields__}
    stop = found["stop"]
    return Sampling(
        temperature=number(found["temperature"]),
        top_p=number(found["top_p"]),
        top_k=count(found["top_k"]),
        max_tokens=count(found["max_tokens"]),
        min_p=number(found["min_p"]),
        seed=count(found["seed"]),
        stop=(stop,) if isinstance(stop, str) else tuple(map(str, listing(stop))),
    )


def turns(messages: Any) -> str:
    """Join the texts of a conversation's turns, {"content": a text, or parts with a `text` each}.

    >>> turns([{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}])
    'Be brief.\\n\\nWhy?'
    """
    texts = []
    for turn in listing(messages):
        content = turn.get("content") if isinstance(turn, dict) else turn
        parts = content if isinstance(content, list) else [content]
        pieces = [part.get("text") if isinstance(part, dict) else part for part in parts]
        texts.append("\n".join(piece for piece in pieces if isinstance(piece, str)))
    return "\n\n".join(filter(None, texts))


def stamp(name: str) -> float:
    """Return the time that a folder is named after, `20260131_235959`, in seconds; 0.0: none.

    >>> stamp("outputs")
    0.0
    """
    try:
        return datetime.strptime(name, "%Y%m%d_%H%M%S").astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def seconds(text: str) -> float:
    """Return an ISO 8601 time in seconds since the epoch; 0.0: none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
