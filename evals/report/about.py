"""What an interval or a verdict is about, by name and in words."""

from __future__ import annotations

from typing import Literal, TypeAlias

Estimand: TypeAlias = Literal["items-like-these", "these-items", "this-run"]
WORDS: dict[str, str] = {
    "items-like-these": "other items like these",
    "these-items": "these items, replies drawn again",
    "this-run": "these items and these replies",
}


def about(estimand: str) -> str:
    """Return the words for an estimand.

    >>> about("items-like-these")
    'about other items like these (items-like-these)'
    """
    return f"about {WORDS[estimand]} ({estimand})"
