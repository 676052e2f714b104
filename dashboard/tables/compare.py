"""Comparison of two to four models: comparable suites, differences between scores, and discordant samples.

The statistics are the same as in `evals compare` (`evals.verdicts`): paired tests, adjusted by Holm over all suites and pairs of
models, and by Benjamini-Hochberg over the groups of a suite. Prompts and replies are not read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evals.dashboard.tables.frames import Entry, Index, Stamp, query, stamp
from evals.dashboard.tables.leaderboard import BASELINE, build, selection_of
from evals.records.store import Run
from evals.report.metrics import mean_value
from evals.types import Metric, Point
from evals.verdicts import compare, suite_runs
from evals.verdicts.compare import Row, RowWithEvidence
from evals.verdicts.pairs import Outcomes, Pairing
from evals.verdicts.suite_run import SuiteRun, incomparability_reasons, pair

BINARY_QUADRANTS = ("both right", "only A", "only B", "neither")
GRADED_QUADRANTS = ("A better", "B better", "equal")
NOT_PAIRED = "not in both"
"""Quadrant of the samples that were not scored in both runs."""
MAX_PAIRED_MODELS = 12
"""Maximum number of models from which `default_pair` selects."""


def candidates(index: Index) -> dict[str, tuple[Entry, ...]]:
    """Return the names to choose from, with their runs: models with their newest runs, then names of single runs.

    A name that is both a model's and a run's stands for the model.
    """
    board = build(index.entries)
    runs: dict[str, list[Entry]] = {row.label: [] for row in board.rows}
    for (row, _), cell in board.cells.items():
        if cell.entry:
            runs[row.label].append(cell.entry)
    models = set(runs)
    for entry in reversed(index.entries):
        if entry.is_scored and entry.name not in models:
            runs.setdefault(entry.name, []).append(entry)
    return {name: tuple(entries) for name, entries in runs.items()}


class Match(NamedTuple):
    """The runs of several models on a suite."""

    label: str
    """Suite and protocol, with the first model's run if it has several such runs."""
    entries: tuple[Entry, ...]
    """A run per model."""
    why_not: tuple[str, ...]
    """Reasons why the runs are not comparable; empty if they are."""


def matches(runs_of_models: Sequence[Sequence[Entry]]) -> list[Match]:
    """Match the runs of several models by suite and protocol; `runs_of_models`: the runs of each model.

    Labels are unique. A suite on which the models have no protocol or no data in common is included, with the reasons why it
    is not comparable.
    """
    first_runs, *other_runs = runs_of_models
    suite_matches, matched_suites = [], set()
    for entry in first_runs:
        counterparts = [_counterpart(entry, runs) for runs in other_runs]
        if all(counterparts):
            matched_suites.add(entry.card.config.suite)
            suite_matches.append(_match_runs((entry, *(run for run in counterparts if run))))
    for suite in dict.fromkeys(entry.card.config.suite for entry in first_runs):
        newest_runs = [
            next((run for run in runs if run.card.config.suite == suite), None) for runs in runs_of_models
        ]
        if suite not in matched_suites and all(newest_runs):
            suite_matches.append(_match_runs(tuple(run for run in newest_runs if run)))
    counts = Counter(match.label for match in suite_matches)
    unique_matches = [
        match._replace(label=f"{match.label} · {match.entries[0].name}") if counts[match.label] > 1 else match
        for match in suite_matches
    ]
    return sorted(unique_matches, key=lambda match: (bool(match.why_not), match.label))


def _counterpart(entry: Entry, runs: Sequence[Entry]) -> Entry | None:
    """Return one of a model's runs on the same suite, protocol and data, preferably a comparable one on the same samples."""

    def mismatch(run: Entry) -> tuple[bool, bool]:
        selections = {(config.limit, selection_of(config)) for config in (run.card.config, entry.card.config)}
        return bool(_match_runs((entry, run)).why_not), len(selections) > 1

    candidates = (run for run in runs if run.configuration == entry.configuration)
    return min(candidates, key=mismatch, default=None)


def _match_runs(entries: tuple[Entry, ...]) -> Match:
    config = entries[0].card.config
    runs_without_records = [_without_records(entry) for entry in entries]
    reasons = dict.fromkeys(
        line
        for other in runs_without_records[1:]
        for line in incomparability_reasons(runs_without_records[0], other)
    )
    sample = " · sample items" if entries[0].card.data == "sample" else ""
    return Match(f"{config.suite} · {config.protocol}{sample}", entries, tuple(reasons))


def _without_records(entry: Entry) -> SuiteRun:
    """Return a run without its records, which the check of comparability does not need."""
    card = entry.card
    return SuiteRun(
        run=card.run, model=card.model, suite=card.config.suite, protocol=card.config.protocol, version=card.config.version,
        data_sha256=card.config.data_sha256, scorers=card.scorers, metrics=(), outcomes_by_scorer={},
        judge=suite_runs.judge_of(card) if card.config.judge or card.judge else "",
    )  # fmt: skip


_RunKey = tuple[Path, Stamp]


def _run_key(entry: Entry) -> _RunKey:
    return entry.path, stamp(entry.path, ("card.json", "records.parquet", "records.jsonl"))


@lru_cache(maxsize=8)
def _suite_run(key: _RunKey) -> SuiteRun:
    return suite_runs.of_run(Run(key[0]))


@lru_cache(maxsize=4)
def _pairing(key_a: _RunKey, key_b: _RunKey) -> Pairing:
    a, b = _suite_run(key_a), _suite_run(key_b)
    return pair(a, b, a.headline)


@lru_cache(maxsize=512)
def _headline_row(key_a: _RunKey, key_b: _RunKey) -> RowWithEvidence:
    return compare.compare_metric(_suite_run(key_a), _suite_run(key_b), _pairing(key_a, key_b))


def compare_headlines(suite_matches: Sequence[Match]) -> list[Row]:
    """Compare the headlines of all pairs of runs on every comparable suite, adjusted by Holm over all suites and pairs."""
    comparisons = [
        _headline_row(_run_key(a), _run_key(b))
        for match in suite_matches
        if not match.why_not
        for a, b in combinations(match.entries, 2)
    ]
    return compare.adjust_for_multiplicity(comparisons)


def better_side(row: Row) -> str:
    """Return which run is significantly better at 5 % after adjustment: `A better`, `B better`, or `n.s.` if neither is."""
    if row.p_adjusted is None or row.p_adjusted > 1 - compare.LEVEL or not row.difference:
        return "n.s."
    return "B better" if (row.difference > 0) == (row.better == "higher") else "A better"


def default_pair(candidates: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Return the models to compare at first: the pair with the most suites in common, then the largest difference."""
    names = [name for name in candidates if not name.startswith(BASELINE)][:MAX_PAIRED_MODELS]
    pairs: list[tuple[str, str]] = list(combinations(names, 2))
    if not pairs:
        return names

    def rating(model_pair: tuple[str, str]) -> tuple[int, float]:
        common = [match for match in matches([candidates[name] for name in model_pair]) if not match.why_not]
        return len(common), _largest_scaled_difference(common)

    best: tuple[str, str] = max(pairs, key=rating)
    return list(best)


def _largest_scaled_difference(suite_matches: Sequence[Match]) -> float:
    """Return the largest difference of two headlines, in units of the lower half-width of the first one's interval."""
    ratios = [0.0]
    for match in suite_matches:
        a, b = (entry.headline for entry in match.entries[:2])
        if a and b and a.value is not None and b.value is not None and a.low is not None:
            ratios.append(abs(a.value - b.value) / max(a.value - a.low, 1e-9))
    return max(ratios)


def order_by_size(rows: Sequence[Row]) -> list[int]:
    """Return the indices of rows in order: significant differences first, fractions before other units, then by size."""
    keys = [(better_side(row) == "n.s.", row.unit != "fraction", -abs(row.difference or 0.0)) for row in rows]
    return sorted(range(len(rows)), key=keys.__getitem__)


@lru_cache(maxsize=32)
def _compare_groups(key_a: _RunKey, key_b: _RunKey) -> tuple[Row, ...]:
    a, b, pairing = _suite_run(key_a), _suite_run(key_b), _pairing(key_a, key_b)
    names = sorted({row.group for row in pairing.rows})
    if len(names) < 2:
        return ()
    return tuple(
        compare.adjust_for_multiplicity([compare.compare_metric(a, b, pairing, group=name) for name in names])
    )


def compare_groups(a: Entry, b: Entry) -> tuple[Row, ...]:
    """Compare two runs on each group of a suite, adjusted by Benjamini-Hochberg."""
    return _compare_groups(_run_key(a), _run_key(b))


class PairedSamples(NamedTuple):
    """Two runs, A and B, sample by sample."""

    frame: pd.DataFrame
    """Columns `sample`, `group`, `a` and `b` (verdicts), `value_a`, `value_b`, `answer_a`, `answer_b`, `quadrant`,
    `contribution` (to the difference B - A of the headlines or, for metrics that are not means, such as RMSE, of the mean
    errors), `others` (share of the records of other runs that are right) and `other_runs` (number of these runs).
    """
    is_binary: bool
    """Whether all values are 0 or 1; the quadrants are then `BINARY_QUADRANTS`, else `GRADED_QUADRANTS`."""


def pair_samples(a: Entry, b: Entry, others: Sequence[Entry] = ()) -> PairedSamples:
    """Pair two runs sample by sample, without answers if the suite is gated; `others`: other runs on the same data."""
    return _pair_samples(
        _run_key(a), _run_key(b), tuple(_run_key(run) for run in others if run.path not in (a.path, b.path))
    )


@lru_cache(maxsize=8)
def _pair_samples(key_a: _RunKey, key_b: _RunKey, others: tuple[_RunKey, ...]) -> PairedSamples:
    a, b = _suite_run(key_a), _suite_run(key_b)
    metric = a.headline
    outcomes = {"a": a.outcomes_under(metric), "b": b.outcomes_under(metric)}
    golds = outcomes["a"].golds
    ids = [id_ for id_ in golds if id_ in outcomes["b"].golds]
    results = {}
    for side, outcomes_of_side in outcomes.items():
        by_id = _results_by_id(outcomes_of_side, metric)
        results[side] = [by_id.get(id_, _NO_RESULT) for id_ in ids]
    show_answers = not (a.gated or b.gated)
    frame = pd.DataFrame(
        {"sample": ids, "group": [golds[id_].group for id_ in ids]}
        | {side: [result.verdict for result in of_side] for side, of_side in results.items()}
        | {f"value_{side}": [result.value for result in of_side] for side, of_side in results.items()}
        | {f"answer_{side}": [r.answer if show_answers else None for r in rs] for side, rs in results.items()}
    )
    values = (point.value for side in outcomes.values() for point in side.points)
    is_binary = metric.bounds == (0.0, 1.0) and {*values} <= {0.0, 1.0, None}
    frame["quadrant"] = _label_quadrants(frame, metric, is_binary=is_binary)
    frame["contribution"] = (frame["value_b"] - frame["value_a"]) * _headline_weights(frame, metric)
    return PairedSamples(frame.merge(_shares_right(others), on="sample", how="left"), is_binary)


class _Result(NamedTuple):
    verdict: str
    value: float
    answer: str | None


_NO_RESULT = _Result("missing", nan, None)


def _results_by_id(outcomes: Outcomes, metric: Metric) -> dict[str, _Result]:
    """Return the result of each sample over its repeats.

    The value is a mean over repeats: of the scored values or, if the metric is another function of a sample, of the metric.
    """
    points_by_id: dict[str, list[Point]] = defaultdict(list)
    for point in outcomes.points:
        points_by_id[point.id].append(point)
    use_values = metric.pool == "whole" or metric.of is mean_value
    return {
        name: _Result(
            _joint_verdict(points),
            _mean_over_repeats(points, metric, use_values=use_values),
            points[0].answer,
        )
        for name, points in points_by_id.items()
    }


def _joint_verdict(points: Sequence[Point]) -> str:
    """Return the verdict on a sample's repeats, with counts if they differ: `2 right, 1 wrong`."""
    counts = Counter(point.verdict for point in points)
    return ", ".join(
        f"{count} {verdict}" if len(counts) > 1 else verdict for verdict, count in counts.most_common()
    )


def _mean_over_repeats(points: Sequence[Point], metric: Metric, *, use_values: bool) -> float:
    try:
        if metric.joint and not use_values:
            return metric.of(points)
        values = [point.value if use_values else metric.of([point]) for point in points]
    except ValueError:
        return nan
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else nan


def _label_quadrants(frame: pd.DataFrame, metric: Metric, *, is_binary: bool) -> Any:
    value_a, value_b = frame["value_a"].to_numpy(), frame["value_b"].to_numpy()
    if is_binary:
        indices = 2 * (value_a <= 0.5) + (value_b <= 0.5)
        labels = np.array(BINARY_QUADRANTS, dtype=object)[indices]
    else:
        is_b_better = (value_b > value_a) == (metric.better == "higher")
        labels = np.where(
            np.abs(value_a - value_b) <= 1e-12,
            GRADED_QUADRANTS[2],
            np.array(GRADED_QUADRANTS, dtype=object)[is_b_better.astype(int)],
        )
    labels[np.isnan(value_a) | np.isnan(value_b)] = NOT_PAIRED
    return labels


def _headline_weights(frame: pd.DataFrame, metric: Metric) -> pd.Series:
    """Return the samples' weights in the headline: equal or, if it is a mean over groups, equal within each group."""
    is_paired = frame["quadrant"] != NOT_PAIRED
    if metric.pool == "macro":
        sizes = frame["group"].map(frame.loc[is_paired, "group"].value_counts())
        return 1.0 / (sizes * max(1, frame.loc[is_paired, "group"].nunique()))
    return is_paired.map({True: 1.0 / max(1, int(is_paired.sum())), False: nan})


def _shares_right(others: Sequence[_RunKey]) -> pd.DataFrame:
    """Return a row per sample: the share of the records of other runs that are right, and the number of these runs."""
    return query(
        [path for path, _ in others],
        "SELECT sample, avg(CASE WHEN verdict = 'right' THEN 1.0 ELSE 0.0 END) AS others, count(DISTINCT path) AS other_runs "
        "FROM records WHERE verdict NOT LIKE 'failed%' GROUP BY sample",
    )


def discordant(sample_pairs: PairedSamples) -> pd.DataFrame:
    """Return the samples on which two runs differ, those with the largest absolute contribution to the difference first.

    Among equal contributions, the most surprising come first: losses on samples that most other runs get right, and gains
    on samples that few get right.
    """
    frame = sample_pairs.frame
    is_changed = frame["quadrant"].isin(["only A", "only B", "A better", "B better"]) | (
        (frame["quadrant"] == NOT_PAIRED) & (frame["a"] != frame["b"])
    )
    rows = frame[is_changed].copy()
    others_right = rows["others"].fillna(0.5)
    is_lost = rows["quadrant"].isin(["only A", "A better", NOT_PAIRED])
    surprise = others_right.where(is_lost, 1.0 - others_right)
    size = rows["contribution"].abs().fillna(0.0).round(12)
    return rows.iloc[np.lexsort((-surprise, -size))].reset_index(drop=True)


def count_quadrants(sample_pairs: PairedSamples) -> dict[str, int]:
    """Return the number of samples in each quadrant; `NOT_PAIRED` is included only if there are such samples."""
    counts = sample_pairs.frame["quadrant"].value_counts()
    names = (*(BINARY_QUADRANTS if sample_pairs.is_binary else GRADED_QUADRANTS), NOT_PAIRED)
    return {name: int(counts.get(name, 0)) for name in names if name != NOT_PAIRED or name in counts}
