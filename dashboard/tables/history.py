"""A model's checkpoints over time: scores, changes besides the model, and the verdict of `evals gate` on each run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pandas as pd

from evals.dashboard.tables.frames import Entry, Stamp, stamp
from evals.dashboard.tables.leaderboard import run_marks, selection_of
from evals.errors import EvalsError
from evals.records.store import Run
from evals.types import Estimate
from evals.verdicts import suite_runs
from evals.verdicts.gate import gate
from evals.verdicts.policy import Entry as SuitePolicy
from evals.verdicts.policy import Policy

VERDICT_LABELS = {"cannot tell": "inconclusive"}
"""Verdict of `evals gate` -> its name on the page, if that is different."""

BaselineChoice: TypeAlias = Literal["the first", "the one before"]


class History(NamedTuple):
    """Runs of a suite under a protocol, oldest first."""

    suite: str
    protocol: str
    entries: tuple[Entry, ...]

    @property
    def label(self) -> str:
        """Return the label of the leaderboard's column for this suite and protocol."""
        return f"{self.suite} · {self.protocol}"


def histories(entries: Sequence[Entry], model: str) -> list[History]:
    """Return the histories of a model or, if no model has this name, of all models with this prefix; longest first.

    Runs on sample items are omitted, as are runs that were stopped early if the history contains a complete run.
    """
    exact_matches = [entry for entry in entries if entry.card.model == model]
    model_entries = exact_matches or [
        entry for entry in entries if model and entry.card.model.startswith(model)
    ]
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(model_entries, key=lambda entry: entry.card.started):
        if entry.is_scored and entry.card.data != "sample":
            groups.setdefault((entry.card.config.suite, entry.card.config.protocol), []).append(entry)
    model_histories = [
        History(suite, protocol, tuple([e for e in runs if e.card.complete] or runs))
        for (suite, protocol), runs in groups.items()
    ]
    return sorted(model_histories, key=lambda history: (-len(history.entries), history.label))


def models_with_history(entries: Sequence[Entry]) -> list[str]:
    """Return the models, and the common prefixes of checkpoints' names, that have a history; longest history first."""
    models = {entry.card.model for entry in entries if entry.headline}
    prefix_counts = Counter(match[1] for model in models if (match := re.fullmatch(r"(.*?\D)\d+", model)))
    names = [*models, *(prefix for prefix, count in prefix_counts.items() if count > 1)]
    lengths = {name: len(longest.entries) for name in names for longest in histories(entries, name)[:1]}
    return sorted(lengths, key=lambda name: (-lengths[name], name))


def changes(before: Entry, after: Entry) -> list[str]:
    """Return the changes between two runs, besides the model, that make their scores incomparable."""
    old, new = before.card, after.card
    lines = []
    if old.config.version != new.config.version:
        lines.append(f"suite version {old.config.version} → {new.config.version} (prompt or scoring rule)")
    if old.config.data_sha256 != new.config.data_sha256:
        lines.append(f"data {old.config.data_sha256[:8]} → {new.config.data_sha256[:8]}")
    if old.scorers != new.scorers and old.config.version == new.config.version:
        lines.append("scorer")
    if old.config.limit != new.config.limit:
        lines.append(f"items {old.config.limit or 'all'} → {new.config.limit or 'all'}")
    elif (selection := selection_of(new.config)) != (earlier := selection_of(old.config)):
        lines.append(f"items of {earlier} → {selection}")
    if old.config.judge != new.config.judge:
        lines.append(f"judge {old.config.judge or 'none'} → {new.config.judge or 'none'}")
    return lines


def verdict(candidate: Entry, baseline: Entry, margin: float) -> tuple[str, str]:
    """Return the verdict of `evals gate` on a run against a baseline with this margin, and the reasons for it."""
    paths = candidate.path, baseline.path
    return _verdict(paths, tuple(map(stamp, paths)), candidate.card.config.suite, margin)


@lru_cache(maxsize=512)
def _verdict(
    paths: tuple[Path, Path], _stamps: tuple[Stamp, ...], suite: str, margin: float
) -> tuple[str, str]:
    try:
        candidate, baseline = ([suite_runs.of_run(Run(path))] for path in paths)
        report = gate(candidate, baseline, Policy(suite=(SuitePolicy(name=suite, margin=margin),)))
    except EvalsError as error:
        return "not comparable", str(error)
    return report.verdict, "; ".join(report.suites[0].reasons)


def table(history: History, *, margin: float, against: BaselineChoice) -> pd.DataFrame:
    """Return a table with a row per run: score, interval, marks, gate verdict, and changes since the previous run.

    `segment` numbers the sequences of runs without such a change; scores are comparable only within a segment.
    """
    rows: list[dict[str, object]] = []
    segment = 0
    for i, entry in enumerate(history.entries):
        previous = history.entries[i - 1] if i else None
        entry_changes = changes(previous, entry) if previous else []
        segment += bool(entry_changes)
        baseline = previous if against == "the one before" else history.entries[0] if i else None
        gate_verdict, reason = "", "the first run has no baseline"
        if baseline:
            gate_verdict, reason = verdict(entry, baseline, margin)
        headline = headline_of(entry)
        scale = 100.0 if headline.unit == "fraction" else 1.0
        value, low, high = (
            None if number is None else scale * number
            for number in (headline.value, headline.low, headline.high)
        )
        rows.append(
            {
                "started": pd.Timestamp(entry.card.started, unit="s"),
                "model": entry.card.model,
                "run": entry.card.run,
                "value": value,
                "marks": "".join(run_marks(entry)),
                "low": low,
                "high": high,
                "n": headline.n,
                "coverage": 100 * entry.card.coverage,
                "verdict": VERDICT_LABELS.get(gate_verdict, gate_verdict),
                "why": reason,
                "changed": "; ".join(entry_changes),
                "segment": segment,
            }
        )
    return pd.DataFrame(rows)


def headline_of(entry: Entry) -> Estimate:
    """Return the headline estimate of a run in a history."""
    assert entry.headline is not None  # noqa: S101 - histories contain only scored runs
    return entry.headline
