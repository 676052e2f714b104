"""Samples whose verdict differs between two runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from evals.types import Point

if TYPE_CHECKING:
    from evals.verdicts.pairs import Outcomes


class Flip(Struct, frozen=True, kw_only=True):
    """A sample whose verdict differs between A and B."""

    suite: str = ""
    id: str
    repeat: int
    group: str
    a: str
    """Verdict in A, or `missing`."""
    b: str
    answer_a: str | None
    answer_b: str | None
    worse: bool
    """Whether B scores worse: its value is worse, or missing although A has one, or B has no outcome."""
    improved: bool = False
    """Whether B scores better: the same with A and B exchanged."""
    molecule: bool = False
    """Whether the answers are molecules, graded by how strictly they match the gold answer (score part `rung`)."""


def changed_outcomes(a: Outcomes, b: Outcomes, *, better: str = "higher") -> list[Flip]:
    """Return the sample-repeats whose verdict changed: first those with a worse score in B, then better, then equal ones."""
    points_a = {(point.id, point.repeat): point for point in a.points}
    points_b = {(point.id, point.repeat): point for point in b.points}
    repeats = min(a.repeats, b.repeats)
    changed = []
    for key in sorted(points_a.keys() | points_b.keys()):
        if key[1] >= repeats or key[0] not in a.golds or key[0] not in b.golds:
            continue
        point_a, point_b = points_a.get(key), points_b.get(key)
        verdict_a, verdict_b = (point.verdict if point else "missing" for point in (point_a, point_b))
        if verdict_a != verdict_b:
            changed.append(_make_flip(key, point_a, point_b, group=a.golds[key[0]].group, better=better))
    return sorted(changed, key=_sort_key)


def _sort_key(flip: Flip) -> tuple[int, list[tuple[int, str]], int]:
    """Return the sort key: worse, better, then equal scores; then ids in natural order (`item-9` before `item-10`)."""
    parts = [
        (int(part), "") if part.isdecimal() else (0, part)
        for part in _DIGIT_RUN.split(flip.id[:MAX_SORTED_CHARS])
    ]
    return 0 if flip.worse else 1 if flip.improved else 2, parts, flip.repeat


MAX_SORTED_CHARS = 200
"""Number of characters of an id that determine the order; `int` rejects more than 4,300 digits."""
_DIGIT_RUN = re.compile(r"(\d+)", re.ASCII)


def _make_flip(
    key: tuple[str, int], point_a: Point | None, point_b: Point | None, *, group: str, better: str
) -> Flip:
    sign = 1 if better == "higher" else -1
    value_a, value_b = (point.value if point else None for point in (point_a, point_b))
    if value_a is None or value_b is None:  # a missing value is worse than any value
        worse, improved = value_a is not None or point_b is None, value_b is not None or point_a is None
    else:
        worse, improved = sign * value_b < sign * value_a, sign * value_b > sign * value_a
    return Flip(
        id=key[0], repeat=key[1], group=group, a=point_a.verdict if point_a else "missing",
        b=point_b.verdict if point_b else "missing", answer_a=point_a.answer if point_a else None,
        answer_b=point_b.answer if point_b else None, worse=worse, improved=improved and not worse,
        molecule=any(point is not None and "rung" in point.parts for point in (point_a, point_b)),
    )  # fmt: skip


def count_verdict_changes(changed: Iterable[Flip]) -> dict[str, int]:
    """Count the changes of verdict, such as `right -> unanswered`, the most frequent first."""
    return dict(Counter(f"{flip.a} -> {flip.b}" for flip in changed).most_common())
