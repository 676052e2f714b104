"""Samples whose verdict differs between two runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from evals.types import Point
from evals.verdicts.pairs import Side


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
    """Whether B scores less (or has no score at all)."""
    improved: bool = False
    """Whether B scores more (or A has no score at all)."""
    molecule: bool = False
    """Whether the answers are molecules with a ladder of verdicts."""


def changed_outcomes(a: Side, b: Side, *, better: str = "higher") -> list[Flip]:
    """Return the sample-repeats whose verdict changed: lower scores first, then higher ones."""
    left = {(point.id, point.repeat): point for point in a.points}
    right = {(point.id, point.repeat): point for point in b.points}
    repeats = min(a.repeats, b.repeats)
    changed = []
    for key in sorted(left.keys() | right.keys()):
        if key[1] >= repeats or key[0] not in a.golds or key[0] not in b.golds:
            continue
        old, new = left.get(key), right.get(key)
        before, after = (point.verdict if point else "missing" for point in (old, new))
        if before != after:
            changed.append(_flip(key, old, new, group=a.golds[key[0]].group, better=better))
    return sorted(changed, key=_sort_key)


def _sort_key(flip: Flip) -> tuple[int, list[tuple[int, str]], int]:
    """Return the sort key: worse before better, then natural order, `item-9` before `item-10`."""
    parts = [(int(part), "") if part.isdecimal() else (0, part) for part in _DIGITS.split(flip.id[:200])]
    return 0 if flip.worse else 1 if flip.improved else 2, parts, flip.repeat


_DIGITS = re.compile(r"(\d+)", re.ASCII)


def _flip(key: tuple[str, int], old: Point | None, new: Point | None, *, group: str, better: str) -> Flip:
    sign = 1 if better == "higher" else -1
    before, after = (x.value if x else None for x in (old, new))
    if before is None or after is None:  # a missing value is worse than any value
        worse, improved = before is not None or new is None, after is not None or old is None
    else:
        worse, improved = sign * after < sign * before, sign * after > sign * before
    return Flip(
        id=key[0], repeat=key[1], group=group, a=old.verdict if old else "missing",
        b=new.verdict if new else "missing", answer_a=old.answer if old else None,
        answer_b=new.answer if new else None, worse=worse, improved=improved and not worse,
        molecule=any(point is not None and "rung" in point.parts for point in (old, new)),
    )  # fmt: skip


def count_verdict_changes(changed: Iterable[Flip]) -> dict[str, int]:
    """Count changes of verdict, e.g. `right -> unanswered`."""
    return dict(Counter(f"{flip.a} -> {flip.b}" for flip in changed).most_common())
