"""Typed values from foreign files; a value of another type, or out of range, is unknown.

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

from evals.data.loose_json import decode_json
from evals.types import Sampling

__all__ = [
    "BROKEN", "choice_reply", "count", "decode_json", "first_text", "listing", "mapping", "number", "scores", "seconds",
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
"""Exceptions raised when a truncated, broken or unexpected file is read; msgspec's errors are ValueErrors."""
GREATEST = 1 << 53
"""Integers up to here are exact as doubles."""
STOPS: dict[str, Literal["stop", "length", "filter"]] = {
    **dict.fromkeys(("stop", "endoftext"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    "content_filter": "filter",
}


def number(value: Any) -> float | None:
    """Return a finite number, booleans as 0 or 1; else None."""
    if isinstance(value, int):
        return float(value) if abs(value) <= GREATEST else None
    return value if isinstance(value, float) and isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a non-negative integer; else None."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and 0 <= value < GREATEST else None


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object; else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return a list; else an empty one."""
    return value if isinstance(value, list) else []


def scores(values: Any) -> dict[str, float]:
    """Return the numeric entries of a JSON object, without booleans."""
    return {
        str(name): value
        for name, entry in mapping(values).items()
        if not isinstance(entry, bool) and (value := number(entry)) is not None
    }


def first_text(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the first of some fields that is a string; else an empty string."""
    return next((row[name] for name in names if isinstance(row.get(name), str)), "")


def choice_reply(index: int) -> str:
    """Return the reply that states a choice made by likelihood.

    >>> choice_reply(1)
    'ANSWER: B'
    """
    return f"ANSWER: {chr(ord('A') + index)}"


def stop_of(reason: Any) -> Literal["stop", "length", "filter"] | None:
    """Return why a reply ended; None: unknown."""
    return STOPS.get(reason) if isinstance(reason, str) else None


def settings(source: Any, **names: str) -> Sampling:
    """Read sampling settings; `names` maps our names to the source's. Settings that it does not state stay None.

    >>> settings({"temperature": 0, "max_out_len": 8, "stop": "Q:"}, max_tokens="max_out_len").max_tokens
    8
    """

    def value(name: str) -> Any:
        return mapping(source).get(names.get(name, name))

    stop = value("stop")
    return Sampling(
        temperature=number(value("temperature")),
        top_p=number(value("top_p")),
        top_k=count(value("top_k")),
        max_tokens=count(value("max_tokens")),
        min_p=number(value("min_p")),
        seed=count(value("seed")),
        stop=(stop,) if isinstance(stop, str) else tuple(map(str, listing(stop))),
    )


def turns(messages: Any) -> str:
    """Join the texts of a conversation's turns; `content` is a string or a list of parts with a `text` each.

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
    """Return the time in a folder's name such as `20260131_235959`, in seconds since the epoch; else 0.0.

    >>> stamp("outputs")
    0.0
    """
    try:
        return datetime.strptime(name, "%Y%m%d_%H%M%S").astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def seconds(text: str) -> float:
    """Return an ISO 8601 time in seconds since the epoch; else 0.0."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
