"""The names of estimands and their descriptions."""

from __future__ import annotations

from typing import Literal, TypeAlias

Estimand: TypeAlias = Literal["items-like-these", "these-items", "this-run"]
DESCRIPTIONS: dict[str, str] = {
    "items-like-these": "other items like these",
    "these-items": "these items, with new replies",
    "this-run": "these items and these replies",
}


def describe_estimand(estimand: str) -> str:
    """Return the description of an estimand.

    >>> describe_estimand("items-like-these")
    'about other items like these (items-like-these)'
    """
    return f"about {DESCRIPTIONS[estimand]} ({estimand})"
