"""Typed values from foreign files (a value of the wrong type or out of range is treated as unknown), and lists of names for messages.

>>> number("1"), number(float("nan")), number(10**400), number(True)
(None, None, None, 1.0)
>>> count(-1), count(1.5), count(2**70), count(12)
(None, None, None, 12)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime
from math import isfinite
from typing import Any, Literal

from evals.types import Sampling

PARSE_ERRORS = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, EOFError, zlib.error,
)  # fmt: skip
"""Exceptions that a truncated, broken or unexpected file may cause; msgspec's errors are ValueErrors."""
MAX_EXACT_INTEGER = 1 << 53
"""Integers up to this one are exact as doubles."""
MAX_LISTED = 5
"""Maximum number of names in a message."""
STOP_BY_REASON: dict[str, Literal["stop", "length", "filter"]] = {
    **dict.fromkeys(("stop", "endoftext"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    "content_filter": "filter",
}
"""Other tools' reason why a reply ended -> `Reply.stop`."""


def number(value: Any) -> float | None:
    """Return the value as a float if it is a boolean or a finite number that a float represents exactly, else None."""
    if isinstance(value, int):
        return float(value) if abs(value) <= MAX_EXACT_INTEGER else None
    return value if isinstance(value, float) and isfinite(value) else None


def count(value: Any) -> int | None:
    """Return the value if it is a non-negative integer below 2**53, else None."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return value if is_integer and 0 <= value < MAX_EXACT_INTEGER else None


def as_dict(value: Any) -> dict[str, Any]:
    """Return the value if it is a dict, else an empty dict."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def numeric_fields(values: Any) -> dict[str, float]:
    """Return the numeric fields of a JSON object, without booleans."""
    return {
        str(name): float_value
        for name, value in as_dict(values).items()
        if not isinstance(value, bool) and (float_value := number(value)) is not None
    }


def join_names(names: Iterable[str], *, limit: int = MAX_LISTED) -> str:
    """Join the first `limit` names, and state how many more there are.

    >>> join_names("abc", limit=2)
    'a, b and 1 more'
    """
    all_names = list(names)
    more = f" and {len(all_names) - limit} more" if len(all_names) > limit else ""
    return ", ".join(all_names[:limit]) + more


def choice_reply(index: int) -> str:
    """Return the reply that states a choice made by likelihood.

    >>> choice_reply(1)
    'ANSWER: B'
    """
    return f"ANSWER: {chr(ord('A') + index)}"


def stop_of(reason: Any) -> Literal["stop", "length", "filter"] | None:
    """Return why a reply ended; None if it is unknown."""
    return STOP_BY_REASON.get(reason) if isinstance(reason, str) else None


def read_sampling(source: Any, **names: str) -> Sampling:
    """Read sampling settings; those that are not stated stay None.

    `names` maps our names to the source's if they differ; an empty name means that the source has no such setting.

    >>> read_sampling({"temperature": 0, "max_out_len": 8, "stop": "Q:"}, max_tokens="max_out_len").max_tokens
    8
    """

    def get(name: str) -> Any:
        return as_dict(source).get(names.get(name, name))

    stops = [get("stop")] if isinstance(get("stop"), str) else as_list(get("stop"))
    return Sampling(
        temperature=number(get("temperature")),
        top_p=number(get("top_p")),
        top_k=count(get("top_k")),
        max_tokens=count(get("max_tokens")),
        min_p=number(get("min_p")),
        seed=count(get("seed")),
        # lists nested in a YAML file by aliases would be exponentially long as text
        stop=tuple(str(text) for text in stops if not isinstance(text, dict | list)),
    )


def join_turns(messages: Any) -> str:
    """Join the texts of a conversation's turns; `content` is a string or a list of parts with a `text` each.

    >>> join_turns([{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}])
    'Be brief.\\n\\nWhy?'
    """
    texts = []
    for turn in as_list(messages):
        content = turn.get("content") if isinstance(turn, dict) else turn
        parts = content if isinstance(content, list) else [content]
        pieces = [part.get("text") if isinstance(part, dict) else part for part in parts]
        texts.append("\n".join(piece for piece in pieces if isinstance(piece, str)))
    return "\n\n".join(filter(None, texts))


def folder_time(name: str) -> float:
    """Return the time in a folder's name such as `20260131_235959` as seconds since the epoch; 0.0 for other names.

    >>> folder_time("outputs")
    0.0
    """
    try:
        return datetime.strptime(name, "%Y%m%d_%H%M%S").astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def iso_time(text: str) -> float:
    """Return an ISO 8601 time as seconds since the epoch; 0.0 if it is not one."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
