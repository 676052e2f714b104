"""Names of runs, as every command takes them.

A run is named by its id, by a beginning or an end of one, by its folder, by `last` (`last:2` is the one before), by its
model or its suite, or by two of these with a slash between: `week1/gpqa:diamond`, `intern-s1/aime:2025`. One id may stand
for several runs: the suites of one command that was given `--run`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, TypeAlias

from evals.errors import StoreError
from evals.records.card import Card

Rule: TypeAlias = Callable[["Named"], bool]

SHOWN = 6
"""Candidates that a message lists."""
_LAST = re.compile(r"last(?::(\d{1,6}))?")
_MADE = re.compile(r"\d{8}T(\d{6}-([0-9a-f]{6}.*))", re.DOTALL)
"""An id that was made, not given: day, time, fingerprint."""


class Named(NamedTuple):
    """A run with what it may be called by."""

    path: Path
    id: str
    suite: str
    model: str
    when: float
    """Seconds since the epoch at which it was started; of one that does not say, at which its card was written."""

    @property
    def label(self) -> str:
        """Return a name that is enough to find it again."""
        return f"{self.id}/{self.suite}" if self.suite else self.id


def short(ids: Iterable[str]) -> dict[str, str]:
    """Map ids to the shortest ends that name them: the fingerprint, with the time where two share it.

    >>> short(["20261129T101500-ab12cd", "week1"])
    {'20261129T101500-ab12cd': 'ab12cd', 'week1': 'week1'}
    """
    ends = {id_: _ends(id_) for id_ in ids}
    found = {}
    for place in range(3):
        counts = Counter(several[place] for several in ends.values())
        for id_, several in ends.items():
            if id_ not in found and counts[several[place]] == 1:
                found[id_] = several[place]
    return {id_: found.get(id_, id_) for id_ in ends}


def _ends(id_: str) -> tuple[str, str, str]:
    match = _MADE.fullmatch(id_)
    return (match[2], match[1], id_) if match else (id_, id_, id_)


def when(card: Card, path: Path) -> float:
    """Return the second at which a run was started; if its card does not say, that at which it was written."""
    return card.started or (path / "card.json").stat().st_mtime


def last(known: Sequence[Named], name: str) -> Named | None:
    """Return the run that `last` or `last:N` names; None if the name is another. Raises StoreError past the first run."""
    if (match := _LAST.fullmatch(name)) is None:
        return None
    place = int(match[1] or 1)
    ordered = sorted(known, key=lambda one: one.when)  # stable: the store lists the newest last
    if not 1 <= place <= len(ordered):
        raise StoreError(f"there is no run {name}; there are {len(ordered)}")
    return ordered[-place]


def choose(known: Sequence[Named], name: str) -> list[Named]:
    """Return the runs that a name stands for; none where it names none.

    Tries each way to name a run, the narrowest first; raises StoreError if the first that matches is ambiguous.
    """
    if not name:
        return []
    if found := _by_rules(known, name):
        return found
    for at in (i for i, letter in enumerate(name) if letter == "/"):
        left, right = name[:at], name[at + 1 :]
        inner = [one for one in known if right and _is_suite(one, right)]
        if inner and left and (found := _by_rules(inner, left)):
            return found
    return []


def _by_rules(known: Sequence[Named], name: str) -> list[Named]:
    rules: tuple[tuple[str, Rule], ...] = (
        ("name of {} ids", lambda one: one.id == name),
        ("beginning of {} ids", lambda one: one.id.startswith(name)),
        ("end of {} ids", lambda one: one.id.endswith(name)),
        ("model of {} runs", lambda one: one.model.lower() == name.lower()),
        ("suite of {} runs", lambda one: _is_suite(one, name)),
    )
    for words, rule in rules:
        found = [one for one in known if rule(one)]
        ids = sorted({one.id for one in found})
        if len(ids) > 1:
            newest = sorted(found, key=lambda one: -one.when)
            labels = ids if "id" in words else list(dict.fromkeys(one.label for one in newest))
            raise StoreError(f"run {name!r} is the {words.format(len(ids))}: {listed(labels)}")
        if found:
            return found
    return []


def _is_suite(one: Named, name: str) -> bool:
    wanted = name.replace("_", "-").lower()
    suite = one.suite.lower()
    return bool(suite) and wanted in (suite, suite.partition(":")[0])


def near(known: Sequence[Named], name: str) -> list[str]:
    """Return ids, models and suites that resemble a name, the nearest first."""
    labels = {label.lower(): label for one in known for label in (one.id, one.model, one.suite) if label}
    return [labels[close] for close in get_close_matches(name.lower(), labels, n=3, cutoff=0.6)]


def listed(labels: Sequence[str]) -> str:
    """Join candidates for a message; of many the first few."""
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return f"{', '.join(labels[:SHOWN])}{more}"
