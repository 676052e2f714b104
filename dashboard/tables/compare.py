"""Comparison of two to four models: which suites are comparable, by how much they differ, and on which samples.

The statistics are those of `evals compare` (`evals.verdicts`): paired, Holm over the suites' headlines and all pairs,
Benjamini-Hochberg over the groups of one suite. Nothing here reads a prompt or a reply.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.dashboard.tables.frames import Entry, Index, Stamp, query, stamp
from evals.dashboard.tables.leaderboard import BASELINE, build
from evals.report.metrics import mean_value
from evals.types import Metric, Point
from evals.verdicts import compare, suite_runs
from evals.verdicts.compare import Row, RowWithEvidence
from evals.verdicts.pairs import Pairs, Side
from evals.verdicts.suite_run import SuiteRun, incomparability_reasons, pair

if TYPE_CHECKING:
    import pandas as pd

YES_NO = ("both right", "only A", "only B", "neither")
GRADED = ("A better", "B better", "equal")
NOT_PAIRED = "not in both"
_NONE = float("nan")


# --- models ----------------------------------------------------------------------------------------------------


def candidates(index: Index) -> dict[str, tuple[Entry, ...]]:
    """Return what can be compared: every model with its newest runs, then every run by its id."""
    board = build(index.entries)
    runs: dict[str, list[Entry]] = {row.label: [] for row in board.rows}
    for (row, _), cell in board.cells.items():
        if cell.entry:
            runs[row.label].append(cell.entry)
    for entry in reversed(index.entries):
        if entry.headline and entry.headline.value is not None:
            runs.setdefault(entry.card.run, []).append(entry)
    return {name: tuple(entries) for name, entries in runs.items()}


class Match(NamedTuple):
    """A suite that all compared models ran."""

    label: str
    entries: tuple[Entry, ...]
    """One run per model."""
    why_not: tuple[str, ...]
    """Why they are not comparable; empty if they are."""


def matches(sides: Sequence[Sequence[Entry]]) -> list[Match]:
    """Match the runs of several models by suite and protocol.

    A suite that they ran without a common protocol or data is included, with the reason why it is not compared.
    """
    first = sides[0]
    matched, together = [], set()
    for entry in first:
        rest = [_like(entry, other) for other in sides[1:]]
        if all(rest):
            same_suite = (entry, *(run for run in rest if run))
            together.add(entry.card.config.suite)
            matched.append(_match(same_suite))
    for suite in dict.fromkeys(entry.card.config.suite for entry in first):
        chosen = [next((e for e in side if e.card.config.suite == suite), None) for side in sides]
        if suite not in together and all(chosen):
            matched.append(_match(tuple(run for run in chosen if run)))
    return sorted(matched, key=lambda match: (bool(match.why_not), match.label))


def _like(entry: Entry, others: Iterable[Entry]) -> Entry | None:
    """Return the run of the same suite, protocol and data."""
    return next((other for other in others if _setting(other) == _setting(entry)), None)


def _setting(entry: Entry) -> tuple[str, str, str]:
    config = entry.card.config
    return config.suite, config.protocol, config.data_sha256


def _match(entries: tuple[Entry, ...]) -> Match:
    config = entries[0].card.config
    bare = [_bare(entry) for entry in entries]
    reasons = dict.fromkeys(line for other in bare[1:] for line in incomparability_reasons(bare[0], other))
    sample = " · sample items" if entries[0].card.data == "sample" else ""
    return Match(f"{config.suite} · {config.protocol}{sample}", entries, tuple(reasons))


def _bare(entry: Entry) -> SuiteRun:
    """Return a run without its records: what decides whether it is comparable."""
    card = entry.card
    return SuiteRun(
        run=card.run, model=card.model, suite=card.config.suite, protocol=card.config.protocol,
        data_sha256=card.config.data_sha256, scorers=card.scorers, metrics=(), sides={},
        judge=suite_runs.judge_of(card) if card.config.judge or card.judge else "",
    )  # fmt: skip


# --- differences --------------------------------------------------------------------------------------------

_Key = tuple[Path, Stamp]


def _key(entry: Entry) -> _Key:
    return entry.path, stamp(entry.path, ("card.json", "records.parquet", "records.jsonl"))


@lru_cache(maxsize=8)
def _suite_run(key: _Key) -> SuiteRun:
    from evals.records.store import Run

    return suite_runs.of_run(Run(key[0]))


@lru_cache(maxsize=4)
def _pairs(key_a: _Key, key_b: _Key) -> Pairs:
    a, b = _suite_run(key_a), _suite_run(key_b)
    return pair(a, b, a.headline)


@lru_cache(maxsize=512)
def _whole(key_a: _Key, key_b: _Key) -> RowWithEvidence:
    return compare.compare_metric(_suite_run(key_a), _suite_run(key_b), _pairs(key_a, key_b))


def headlines(matched: Sequence[Match]) -> list[Row]:
    """Compare all pairs on the headline of every suite, adjusted by Holm over all of it."""
    compared = [
        _whole(_key(a), _key(b))
        for match in matched
        if not match.why_not
        for a, b in combinations(match.entries, 2)
    ]
    return compare.adjust_for_multiplicity(compared)


def better_side(row: Row) -> str:
    """Return what a row shows at 5 %, adjusted: `A better`, `B better` or `n.s.`"""
    if row.p_adjusted is None or row.p_adjusted > 1 - compare.LEVEL or not row.difference:
        return "n.s."
    return "B better" if (row.difference > 0) == (row.better == "higher") else "A better"


def default_pair(known: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Return the pair of models that the page opens on: most suites in common, then the largest difference."""
    names = [name for name in known if not name.startswith(BASELINE)][:12]
    couples: list[tuple[str, str]] = list(combinations(names, 2))
    if not couples:
        return names

    def rating(couple: tuple[str, str]) -> tuple[int, float]:
        common = [match for match in matches([known[name] for name in couple]) if not match.why_not]
        return len(common), _farthest(common)

    best: tuple[str, str] = max(couples, key=rating)
    return list(best)


def _farthest(matched: Sequence[Match]) -> float:
    """Return the largest difference of two headlines, in half widths of their intervals."""
    apart = [0.0]
    for match in matched:
        head_a, head_b = (entry.headline for entry in match.entries[:2])
        if (
            head_a
            and head_b
            and head_a.value is not None
            and head_b.value is not None
            and head_a.low is not None
        ):
            apart.append(abs(head_a.value - head_b.value) / max(head_a.value - head_a.low, 1e-9))
    return max(apart)


def by_size(rows: Sequence[Row]) -> list[int]:
    """Order rows: significant differences first, fractions before other units, the largest first."""
    return sorted(
        range(len(rows)),
        key=lambda i: (
            better_side(rows[i]) == "n.s.",
            rows[i].unit != "fraction",
            -abs(rows[i].difference or 0.0),
        ),
    )


@lru_cache(maxsize=32)
def _groups(key_a: _Key, key_b: _Key) -> tuple[Row, ...]:
    a, b, pairs = _suite_run(key_a), _suite_run(key_b), _pairs(key_a, key_b)
    names = sorted({row.group for row in pairs.rows})
    if len(names) < 2:
        return ()
    return tuple(
        compare.adjust_for_multiplicity([compare.compare_metric(a, b, pairs, group=name) for name in names])
    )


def groups(a: Entry, b: Entry) -> tuple[Row, ...]:
    """Compare two runs on every group of a suite, adjusted by Benjamini-Hochberg."""
    return _groups(_key(a), _key(b))


# --- samples ---------------------------------------------------------------------------------------


class Samples(NamedTuple):
    """Two runs sample by sample."""

    frame: pd.DataFrame
    """`sample`, `group`, `a` and `b` (verdicts), `value_a`, `value_b`, `answer_a`, `answer_b`, `quadrant`, `moves` (what
    the sample adds to the difference B minus A of the headline, in its unit; for RMSE and the like, to the sum of
    errors), `others` (share of the other runs that are right there) and `asked` (how many these are).
    """
    yes_no: bool
    """Whether every value is 0 or 1; else the quadrants are better, worse and equal."""


def samples(a: Entry, b: Entry, others: Sequence[Entry] = ()) -> Samples:
    """Pair two runs sample by sample; answers of a gated suite are left out."""
    return _samples(
        _key(a), _key(b), tuple(_key(other) for other in others if other.path not in (a.path, b.path))
    )


@lru_cache(maxsize=8)
def _samples(key_a: _Key, key_b: _Key, others: tuple[_Key, ...]) -> Samples:
    import numpy as np
    import pandas as pd

    a, b = _suite_run(key_a), _suite_run(key_b)
    metric = a.headline
    left, right = (_by_sample(c.side_of(metric), metric) for c in (a, b))
    golds = a.side_of(metric).golds
    names = [name for name in golds if name in b.side_of(metric).golds]
    shown = not (a.gated or b.gated)
    frame = pd.DataFrame(
        {
            "sample": names,
            "group": [golds[name].group for name in names],
            "a": [left[name].verdict if name in left else "missing" for name in names],
            "b": [right[name].verdict if name in right else "missing" for name in names],
            "value_a": [left[name].value if name in left else np.nan for name in names],
            "value_b": [right[name].value if name in right else np.nan for name in names],
            "answer_a": [left[name].answer if name in left and shown else None for name in names],
            "answer_b": [right[name].answer if name in right and shown else None for name in names],
        }
    )
    yes_no = metric.bounds == (0.0, 1.0) and all(
        value in (0.0, 1.0)
        for side in (a, b)
        for p in side.side_of(metric).points
        if (value := p.value) is not None
    )
    frame["quadrant"] = _quadrants(frame, metric, yes_no=yes_no)
    frame["moves"] = (frame["value_b"] - frame["value_a"]) * _weights(frame, metric)
    return Samples(frame.merge(_rights(others), on="sample", how="left"), yes_no)


class _Own(NamedTuple):
    verdict: str
    value: float
    answer: str | None


def _by_sample(side: Side, metric: Metric) -> dict[str, _Own]:
    """Reduce each sample by itself: to the mean over its repeats, or to the metric if it is a mean of something else."""
    by_name: dict[str, list[Point]] = defaultdict(list)
    for point in side.points:
        by_name[point.id].append(point)
    plain = metric.pool == "whole" or metric.of is mean_value
    return {
        name: _Own(points[0].verdict, _NONE if points[0].value is None else points[0].value, points[0].answer)
        if plain and len(points) == 1
        else _Own(_verdict(points), _value(points, metric, plain=plain), points[0].answer)
        for name, points in by_name.items()
    }


def _verdict(points: Sequence[Point]) -> str:
    if len(points) == 1:
        return points[0].verdict
    counts = Counter(point.verdict for point in points)
    return ", ".join(
        f"{count} {verdict}" if len(counts) > 1 else verdict for verdict, count in counts.most_common()
    )


def _value(points: Sequence[Point], metric: Metric, *, plain: bool) -> float:
    try:
        if metric.joint and not plain:
            return metric.of(points)
        values = [point.value if plain else metric.of([point]) for point in points]
    except ValueError:
        return _NONE
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else _NONE


def _quadrants(frame: pd.DataFrame, metric: Metric, *, yes_no: bool) -> Any:
    import numpy as np

    value_a, value_b = frame["value_a"].to_numpy(), frame["value_b"].to_numpy()
    if yes_no:
        places = 2 * (value_a <= 0.5) + (value_b <= 0.5)
        labels = np.array(YES_NO, dtype=object)[places]
    else:
        better = (value_b > value_a) == (metric.better == "higher")
        labels = np.where(
            np.abs(value_a - value_b) <= 1e-12, GRADED[2], np.array(GRADED, dtype=object)[better.astype(int)]
        )
    labels[np.isnan(value_a) | np.isnan(value_b)] = NOT_PAIRED
    return labels


def _weights(frame: pd.DataFrame, metric: Metric) -> pd.Series:
    """Return each sample's share of the headline: equal, or equal within groups of equal weight."""
    paired = frame["quadrant"] != NOT_PAIRED
    if metric.pool == "macro":
        sizes = frame["group"].map(frame.loc[paired, "group"].value_counts())
        return 1.0 / (sizes * max(1, frame.loc[paired, "group"].nunique()))
    return paired.map({True: 1.0 / max(1, int(paired.sum())), False: _NONE})


def _rights(others: Sequence[_Key]) -> pd.DataFrame:
    """Return per sample the share of some runs that are right there, and how many these are."""
    return query(
        [path for path, _ in others],
        "SELECT sample, avg(CASE WHEN verdict = 'right' THEN 1.0 ELSE 0.0 END) AS others, count(DISTINCT path) AS asked "
        "FROM records WHERE verdict NOT LIKE 'failed%' GROUP BY sample",
    )


def discordant(paired: Samples) -> pd.DataFrame:
    """Return the samples on which two runs differ, those that matter most first.

    They are sorted by how far each moves the headline; at equal distance, losses on samples that most other runs get
    right come first, and gains on samples that few get right.
    """
    frame = paired.frame
    changed = frame["quadrant"].isin(["only A", "only B", "A better", "B better"]) | (
        (frame["quadrant"] == NOT_PAIRED) & (frame["a"] != frame["b"])
    )
    kept = frame[changed].copy()
    known = kept["others"].fillna(0.5)
    lost = kept["quadrant"].isin(["only A", "A better", NOT_PAIRED])
    kept["surprise"] = known.where(lost, 1.0 - known)
    kept["size"] = kept["moves"].abs().fillna(0.0).round(12)
    kept = kept.sort_values(["size", "surprise"], ascending=False, kind="stable")
    return kept.drop(columns=["surprise", "size"]).reset_index(drop=True)


def quadrants(paired: Samples) -> dict[str, int]:
    """Count the samples of each quadrant, and those that are not in both runs."""
    counts = paired.frame["quadrant"].value_counts()
    names = (*(YES_NO if paired.yes_no else GRADED), NOT_PAIRED)
    return {name: int(counts.get(name, 0)) for name in names if name != NOT_PAIRED or counts.get(name, 0)}
