"""One model's checkpoints over time: scores, what changed besides the model, and the gate's verdict on each step."""

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
"""Verdicts of the gate as pages show them; files keep their own."""

Against: TypeAlias = Literal["the first", "the one before"]


class Line(NamedTuple):
    """Runs of one suite under one protocol, the oldest first."""

    suite: str
    protocol: str
    entries: tuple[Entry, ...]

    @property
    def label(self) -> str:
        """Return the name of its column on the leaderboard."""
        return f"{self.suite} · {self.protocol}"


def lines(entries: Sequence[Entry], model: str) -> list[Line]:
    """Return the lines of a model, or of all models whose names begin so; the longest line first.

    Runs that stopped early are left out if a complete one exists.
    """
    exact = [entry for entry in entries if entry.card.model == model]
    chosen = exact or [entry for entry in entries if model and entry.card.model.startswith(model)]
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(chosen, key=lambda entry: entry.card.started):
        if entry.headline and entry.headline.value is not None and entry.card.data != "sample":
            groups.setdefault((entry.card.config.suite, entry.card.config.protocol), []).append(entry)
    result = [
        Line(suite, protocol, tuple([e for e in runs if e.card.complete] or runs))
        for (suite, protocol), runs in groups.items()
    ]
    return sorted(result, key=lambda line: (-len(line.entries), line.label))


def names(entries: Sequence[Entry]) -> list[str]:
    """Return models, and common beginnings of checkpoints' names, that have a line; the longest line first."""
    models = {entry.card.model for entry in entries if entry.headline}
    families = Counter(match[1] for model in models if (match := re.fullmatch(r"(.*?\D)\d+", model)))
    offered = [*models, *(family for family, count in families.items() if count > 1)]
    longest = {name: len(of_name[0].entries) for name in offered if (of_name := lines(entries, name))}
    return sorted(longest, key=lambda name: (-longest[name], name))


def changes(before: Entry, after: Entry) -> list[str]:
    """Return what changed between two runs besides the model: then their scores are not comparable."""
    old, new = before.card, after.card
    changed = []
    if old.config.version != new.config.version:
        changed.append(f"suite version {old.config.version} → {new.config.version}: prompt or rule")
    if old.config.data_sha256 != new.config.data_sha256:
        changed.append(f"data {old.config.data_sha256[:8]} → {new.config.data_sha256[:8]}")
    if old.scorers != new.scorers and old.config.version == new.config.version:
        changed.append("scorer")
    if old.config.limit != new.config.limit:
        changed.append(f"items {old.config.limit or 'all'} → {new.config.limit or 'all'}")
    if old.config.judge != new.config.judge:
        changed.append(f"judge {old.config.judge or 'none'} → {new.config.judge or 'none'}")
    return changed


def verdict(candidate: Entry, baseline: Entry, margin: float) -> tuple[str, str]:
    """Return verdict and reason of `evals gate` for a run against another with this margin."""
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
        head = entry.headline
        scale = 100.0 if head and head.unit == "fraction" else 1.0
        low, high = (
            None if end is None else scale * end for end in ((head.low, head.high) if head else (None, None))
        )
        rows.append(
            {
                "started": pd.Timestamp(entry.card.started, unit="s"),
                "model": entry.card.model,
                "run": entry.card.run,
                "value": scale * (head.value or 0.0) if head else None,
                "low": low,
                "high": high,
                "n": head.n if head else 0,
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
    head = line.entries[-1].headline
    assert head is not None  # noqa: S101 - lines hold only runs with a number
    column = column_of(line.entries[-1].card, head)
    return column.unit, column.better
