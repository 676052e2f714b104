"""Names of runs, as accepted by all commands.

A run is named by its id, by a prefix or suffix of its id, by its folder, by `last` (`last:2` is the run before the last), by
its model or suite, or by its id (or part of it) or model with a suite: `week1/gpqa:diamond`, `intern-s1/aime:2025`. Several
runs have the same id if one command with `--run` ran several suites.
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

MatchRule: TypeAlias = Callable[["NamedRun"], bool]

MIN_SUFFIX_CHARS = 3
"""Minimum length of a suffix of an id that may name a run."""
MAX_LISTED = 6
"""Maximum number of candidate runs listed in a message."""
NOISE_PREFIX = "noise-"
"""Prefix of the ids of runs made by `evals gate noise`; `evals run` never reuses them."""
_LAST_NAME = re.compile(r"last(?::(\d{1,6}))?")
_GENERATED_ID = re.compile(r"\d{8}T(\d{6}-([0-9a-f]{6}.*))", re.DOTALL)
"""An id made by `store.new_id`: date, time and fingerprint."""


class NamedRun(NamedTuple):
    """A run and the names by which it can be found."""

    path: Path
    id: str
    suite: str
    model: str
    started: float
    """Start time in seconds since the epoch; if unknown, the time at which the card was written."""

    @property
    def label(self) -> str:
        """Return a name that distinguishes the run from others with the same id."""
        return f"{self.id}/{self.suite}" if self.suite else self.id


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return the shortest unambiguous suffix of each id: the fingerprint, preceded by the time if several ids share it.

    >>> short_ids(["20261129T101500-ab12cd", "week1"])
    {'20261129T101500-ab12cd': 'ab12cd', 'week1': 'week1'}
    """
    suffixes = {id_: _suffixes(id_) for id_ in ids}
    shortest = {}
    for index in range(3):
        counts = Counter(endings[index] for endings in suffixes.values())
        for id_, endings in suffixes.items():
            if id_ not in shortest and counts[endings[index]] == 1:
                shortest[id_] = endings[index]
    return {id_: shortest.get(id_, id_) for id_ in suffixes}


def _suffixes(id_: str) -> tuple[str, str, str]:
    match = _GENERATED_ID.fullmatch(id_)
    return (match[2], match[1], id_) if match else (id_, id_, id_)


def start_time(card: Card, path: Path) -> float:
    """Return the start time of a run; if unknown, the time at which the card was written."""
    return card.started or (path / "card.json").stat().st_mtime


def last_run(runs: Sequence[NamedRun], name: str) -> NamedRun | None:
    """Return the run named by `last` or `last:N`; None for other names. Raises StoreError if there are fewer than N runs."""
    if (match := _LAST_NAME.fullmatch(name)) is None:
        return None
    index = int(match[1] or 1)
    ordered = sorted(runs, key=lambda run: run.started)  # stable sort: the store lists the newest last
    if not 1 <= index <= len(ordered):
        raise StoreError(f"there is no run {name}; the number of runs is {len(ordered)}")
    return ordered[-index]


def select_runs(runs: Sequence[NamedRun], name: str, *, partial: bool = True) -> list[NamedRun]:
    """Return the runs that a name matches; empty if there are none.

    Each kind of name is tried, the most specific first; raises StoreError if the name is ambiguous under the first kind that
    matches. `partial`: whether a prefix or suffix of an id may serve as a name.
    """
    if not name:
        return []
    if matches := _match_by_rules(runs, name, partial=partial):
        return matches
    for slash in (i for i, char in enumerate(name) if char == "/"):
        prefix, suite = name[:slash], name[slash + 1 :]
        suite_runs = [run for run in runs if suite and _has_suite(run, suite)]
        if suite_runs and prefix and (matches := _match_by_rules(suite_runs, prefix, partial=partial)):
            return matches
    return []


def _match_by_rules(runs: Sequence[NamedRun], name: str, *, partial: bool) -> list[NamedRun]:
    """Return the runs that match under the first rule that matches any; raises StoreError if these have several ids."""
    if matches := [run for run in runs if run.id == name]:
        return matches
    rules: list[tuple[str, MatchRule]] = [
        ("model", lambda run: run.model.lower() == name.lower()),
        ("suite", lambda run: _has_suite(run, name)),
    ]
    if partial:
        rules.append(("beginning", lambda run: run.id.startswith(name)))
    if partial and len(name) >= MIN_SUFFIX_CHARS:
        rules.append(("end", lambda run: run.id.endswith(name)))
    for kind, rule in rules:
        matches = [run for run in runs if rule(run)]
        ids = sorted({run.id for run in matches})
        if len(ids) > 1:
            newest_first = sorted(matches, key=lambda run: -run.started)
            labels = list(dict.fromkeys(run.label for run in newest_first))
            noun, alternatives = ("ids", ids) if kind in ("beginning", "end") else ("runs", labels)
            raise StoreError(
                f"run {name!r} is the {kind} of {len(ids)} {noun}: {format_candidates(alternatives)}"
            )
        if matches:
            return matches
    return []


def _has_suite(run: NamedRun, name: str) -> bool:
    normalised = name.replace("_", "-").lower()
    suite = run.suite.lower()
    return bool(suite) and normalised in (suite, suite.partition(":")[0])


def similar_names(runs: Sequence[NamedRun], name: str) -> list[str]:
    """Return up to three names of runs (`last`, an id or its suffix, a model, a suite, MODEL/SUITE), the most similar to `name` first."""
    candidates = {"last": "last"} if runs else {}
    for run in runs:
        model_and_suite = f"{run.model}/{run.suite}" if "/" in name and run.suite else ""
        names_of_run = (run.id, _suffixes(run.id)[0], run.model, run.suite, model_and_suite)
        candidates |= {candidate.lower(): candidate for candidate in names_of_run if candidate}
    return [candidates[match] for match in get_close_matches(name.lower(), candidates, n=3, cutoff=0.6)]


def advice(runs: Sequence[NamedRun]) -> str:
    """Return how one of several matching runs can be named, for a message; runs of several models may have equal labels."""
    labels = [run.label for run in runs]
    if len(set(labels)) == len(labels):
        return f"name one by its folder, or as {format_candidates(labels)}"
    return f"name one by its folder: {format_candidates([str(run.path) for run in runs])}"


def format_candidates(labels: Sequence[str]) -> str:
    """Return the first candidates as a comma-separated list, and the number of others, for a message."""
    more = f" and {len(labels) - MAX_LISTED} more" if len(labels) > MAX_LISTED else ""
    return f"{', '.join(labels[:MAX_LISTED])}{more}"
