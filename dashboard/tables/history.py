"""One model's checkpoints over time: scores, what changed beside the model, and what a gate says of each step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pandas as pd

from evals.dashboard.tables.frames import Entry, Stamp, stamp
from evals.dashboard.tables.leaderboard import column_of
from evals.errors import EvalsError
from evals.records.store import Run
from evals.verdicts import suite_runs
from evals.verdicts.gate import gate
from evals.verdicts.policy import Entry as Rule
from evals.verdicts.policy import Policy

WORDS = {"cannot tell": "inconclusive"}
"""Verdicts of the gate as pages call them; files keep their own."""

Against: TypeAlias = Literal["the first", "the one before"]


class Line(NamedTuple):
    """Runs that stand on one line: one suite under one protocol, the oldest first."""

    suite: str
    protocol: str
    entries: tuple[Entry, ...]

    @property
    def label(self) -> str:
        """Name it as the leaderboard does."""
        return f"{self.suite} · {self.protocol}"


def lines(entries: Sequence[Entry], model: str) -> list[Line]:
    """Return the lines of a model, or of all whose name begins so; the one with most runs first.

    A run that stopped early is no point of a line on which there is a complete one.
    """
    exact = [entry for entry in entries if entry.card.model == model]
    chosen = exact or [entry for entry in entries if model and entry.card.model.startswith(model)]
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(chosen, key=lambda entry: entry.card.started):
        if entry.headline and entry.headline.value is not None and entry.card.data != "sample":
            groups.setdefault((entry.card.config.suite, entry.card.config.protocol), []).append(entry)
    found = [
        Line(suite, protocol, tuple([e for e in several if e.card.complete] or several))
        for (suite, protocol), several in groups.items()
    ]
    return sorted(found, key=lambda line: (-len(line.entries), line.label))


def names(entries: Sequence[Entry]) -> list[str]:
    """Return models, and the beginnings of checkpoints' names, that have a line; the one with the longest line first."""
    models = {entry.card.model for entry in entries if entry.headline}
    families = Counter(match[1] for model in models if (match := re.fullmatch(r"(.*?\D)\d+", model)))
    offered = [*models, *(family for family, count in families.items() if count > 1)]
    longest = {name: len(found[0].entries) for name in offered if (found := lines(entries, name))}
    return sorted(longest, key=lambda name: (-longest[name], name))


def changes(before: Entry, after: Entry) -> list[str]:
    """Name what changed between two runs beside the model: then their scores are not on one scale."""
    old, new = before.card, after.card
    found = []
    if old.config.version != new.config.version:
        found.append(f"suite version {old.config.version} → {new.config.version}: prompt or rule")
    if old.config.data_sha256 != new.config.data_sha256:
        found.append(f"data {old.config.data_sha256[:8]} → {new.config.data_sha256[:8]}")
    if old.scorers != new.scorers and old.config.version == new.config.version:
        found.append("scorer")
    if old.config.limit != new.config.limit:
        found.append(f"items {old.config.limit or 'all'} → {new.config.limit or 'all'}")
    if old.config.judge != new.config.judge:
        found.append(f"judge {old.config.judge or 'none'} → {new.config.judge or 'none'}")
    return found


def verdict(candidate: Entry, baseline: Entry, margin: float) -> tuple[str, str]:
    """Judge a run against another by `evals gate` with this margin: (verdict, why)."""
    return _verdict(
        candidate.path,
        stamp(candidate.path),
        baseline.path,
        stamp(baseline.path),
        candidate.card.config.suite,
        margin,
    )


@lru_cache(maxsize=512)
def _verdict(a: Path, _a: Stamp, b: Path, _b: Stamp, suite: str, margin: float) -> tuple[str, str]:
    try:
        sides = [[suite_runs.of_run(Run(path))] for path in (a, b)]
        report = gate(sides[0], sides[1], Policy(suite=(Rule(name=suite, margin=margin),)))
    except EvalsError as error:
        return "not comparable", str(error)
    return report.verdict, "; ".join(report.suites[0].reasons)


def table(line: Line, *, margin: float, against: Against) -> pd.DataFrame:
    """Return a row per run: score, interval, verdict of the gate, what changed since the run before."""
    rows: list[dict[str, object]] = []
    stretch = 0
    for place, entry in enumerate(line.entries):
        before = line.entries[place - 1] if place else None
        changed = changes(before, entry) if before else []
        stretch += bool(changed)
        other = before if against == "the one before" else line.entries[0] if place else None
        outcome, why = (
            verdict(entry, other, margin) if other else ("", "the first run has nothing to be judged against")
        )
        one = entry.headline
        scale = 100.0 if one and one.unit == "fraction" else 1.0
        low, high = (
            None if end is None else scale * end for end in ((one.low, one.high) if one else (None, None))
        )
        rows.append(
            {
                "started": pd.Timestamp(entry.card.started, unit="s"),
                "model": entry.card.model,
                "run": entry.card.run,
                "value": scale * (one.value or 0.0) if one else None,
                "low": low,
                "high": high,
                "n": one.n if one else 0,
                "coverage": 100 * entry.card.coverage,
                "verdict": WORDS.get(outcome, outcome),
                "why": why,
                "changed": "; ".join(changed),
                "stretch": stretch,
            }
        )
    return pd.DataFrame(rows)


def unit(line: Line) -> tuple[str, str]:
    """Return the unit of a line's numbers and which are better."""
    one = line.entries[-1].headline
    assert one is not None  # noqa: S101 - lines hold runs with a number alone
    column = column_of(line.entries[-1].card, one)
    return column.unit, column.better
