"""One run in detail: groups, scores by length of the reply, missing outcomes, and items that no model gets right.

Intervals and tests come from `evals.report.statistics`, `evals.verdicts.difference` and SciPy (Fisher's exact test).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import nan, sqrt
from typing import Any, NamedTuple

import pandas as pd

from evals.dashboard.tables import frames
from evals.dashboard.tables.frames import Entry, query
from evals.dashboard.tables.leaderboard import BASELINE
from evals.dashboard.tables.statistics import mover_p_value
from evals.report import statistics as stats
from evals.report.metrics import mean_value
from evals.run.overview import suite_of
from evals.verdicts import difference

LEVEL = 0.95
"""Confidence level; differences are significant at 1 - LEVEL."""
BINS = 10
"""Number of bins of reply length, with about equally many replies each."""
MAX_OTHER_MODELS = 40
"""Maximum number of other models with which a run is compared."""
MAX_GATED_ANSWER_CHARS = 1
"""Maximum length of the answers of a gated suite that are shown: only the letters of options."""


def comparable_runs(entry: Entry, entries: Sequence[Entry]) -> list[Entry]:
    """Return the runs of up to `MAX_OTHER_MODELS` other models on the same suite, protocol and data, without baselines.

    The run of a model is its newest complete one, or the newest if none is complete.
    """
    runs_by_model: dict[str, Entry] = {}
    for other in entries:
        model = other.card.model
        is_other_model = model != entry.card.model and not model.startswith(BASELINE)
        if is_other_model and other.configuration == entry.configuration:
            current = runs_by_model.setdefault(model, other)
            runs_by_model[model] = max(current, other, key=Entry.precedence)
    return list(runs_by_model.values())[-MAX_OTHER_MODELS:]


def breakdown(entry: Entry) -> pd.DataFrame:
    """Return a table with a row per group of a run; it is empty if the suite has no groups.

    Columns `group`, `metric`, `n`, `value`, `low`, `high`, `unit`, `better`, `coverage`, `difference` (the group's mean
    minus the mean of all other samples), `p` (adjusted by Benjamini-Hochberg) and `flagged` (significant at 5 %). The test is
    Fisher's exact test if the values are binary and independent, MOVER with clustered intervals for other fractions, else
    Welch's t-test with clustered errors. If the headline is not a mean over samples, groups are not tested.
    """
    estimates = frames.group_estimates(entry.path)
    metric = estimates[0].metric if estimates else ""
    columns = ["group", "metric", "n", "value", "low", "high", "unit", "better"]
    rows = [[getattr(e, name) for name in columns] for e in estimates if e.metric == metric]
    frame = pd.DataFrame(rows, columns=columns)
    frame["coverage"] = frame["group"].map(_coverage_by_group(entry))
    tests = _test_groups(entry) if not frame.empty and _is_testable(entry, metric) else {}
    for position, name in enumerate(("difference", "p")):
        frame[name] = [tests[group][position] if group in tests else nan for group in frame["group"]]
    frame["flagged"] = frame["p"] <= 1 - LEVEL
    return frame


def _is_testable(entry: Entry, metric: str) -> bool:
    """Return whether the metric of the groups is the mean of the recorded values, rather than another function of them."""
    headline = next((m for m in suite_of(entry.card).metrics if m.name == metric), None)
    return (
        headline is not None
        and headline.of is mean_value
        and headline.pool != "whole"
        and not headline.scorer
    )


def _coverage_by_group(entry: Entry) -> dict[str, float]:
    shares = query(
        entry.path,
        """SELECT s."group" AS name, least(1.0, count(r.sample)::DOUBLE / (count(DISTINCT s.id) * ?)) AS coverage
        FROM samples s LEFT JOIN records r ON r.sample = s.id AND r.verdict NOT LIKE 'failed%' GROUP BY 1""",
        [max(1, entry.card.config.repeats)],
    )
    return dict(zip(shares["name"], shares["coverage"], strict=True))


def _test_groups(entry: Entry) -> dict[str, tuple[float, float]]:
    """Return each group's difference from all other samples, and its p-value adjusted by Benjamini-Hochberg."""
    frame = query(
        entry.path,
        """SELECT s."group" AS name, s.cluster, avg(r.value) AS value, count(*) AS repeats
        FROM records r JOIN samples s ON s.id = r.sample WHERE r.value IS NOT NULL GROUP BY s.id, 1, 2""",
    )
    names = sorted(frame["name"].unique())
    if len(names) < 2:
        return {}
    is_binary = frame["value"].isin((0.0, 1.0)).all() and frame["cluster"].is_unique
    bounds = _bounds(entry)
    differences, p_values = [], []
    for name in names:
        in_group, outside = frame[frame["name"] == name], frame[frame["name"] != name]
        gap = float(in_group["value"].mean() - outside["value"].mean())
        differences.append(gap)
        if is_binary:
            p_values.append(_fisher_p(in_group, outside))
        elif bounds:
            p_values.append(_bounded_p(in_group, outside, bounds))
        else:
            p_values.append(_welch_p(gap, in_group, outside))
    adjusted = difference.benjamini_hochberg(p_values)
    return dict(zip(names, zip(differences, adjusted, strict=True), strict=True))


def _fisher_p(in_group: pd.DataFrame, outside: pd.DataFrame) -> float:
    from scipy.stats import fisher_exact

    table = [[int(part["value"].sum()), int(len(part) - part["value"].sum())] for part in (in_group, outside)]
    return float(fisher_exact(table).pvalue)


def _bounds(entry: Entry) -> stats.Bounds | None:
    """Return the bounds of a run's values; None if they are unbounded, as a relative error is."""
    headline = entry.headline
    return (0.0, 1.0) if headline and headline.unit == "fraction" and headline.worst is not None else None


def _bounded_p(in_group: pd.DataFrame, outside: pd.DataFrame, bounds: stats.Bounds) -> float:
    """Return the p-value of a difference of independent means of bounded values; 1 if a mean has no interval.

    Unlike a t-test, MOVER (Zou and Donner 2008) does not take a few equal values for certainty.
    """
    parts = (
        stats.clustered_mean(part["value"].tolist(), part["cluster"].tolist(), bounds=bounds)
        for part in (in_group, outside)
    )
    lower, higher = sorted(parts, key=lambda interval: interval.value)
    if lower.high is None or higher.low is None:
        return 1.0
    return mover_p_value(
        higher.value - lower.value, below=higher.value - higher.low, above=lower.high - lower.value
    )


def _welch_p(gap: float, in_group: pd.DataFrame, outside: pd.DataFrame) -> float:
    """Return the p-value of Welch's t-test of a difference of means; 1 if a standard error is undefined or 0."""
    parts = [
        (stats.standard_error(part["value"].to_numpy(), part["cluster"].tolist()), part["cluster"].nunique())
        for part in (in_group, outside)
    ]
    squares = [error * error for error, _ in parts]
    if not all(square > 0 for square in squares):
        return 1.0
    total = sum(squares)
    df = total * total / sum(s * s / (n - 1) for s, (_, n) in zip(squares, parts, strict=True))
    return difference.MeanDifference(gap, sqrt(total), max(1.0, df)).p_equal()


class LengthBins(NamedTuple):
    """Mean scores of replies in bins of length."""

    frame: pd.DataFrame
    """Columns `low` and `high` (shortest and longest reply), `n`, `value` (mean) with its interval `value_low` to
    `value_high`, `truncated` (share of replies truncated at max tokens), `others` (mean of other runs on the same samples).
    """
    unit: str
    """`tokens`, or `characters` if tokens are unknown."""


def lengths(entry: Entry, others: Sequence[Entry] = ()) -> LengthBins | None:
    """Return a run's scores by the length of the reply; None if no reply has a score."""
    frame = query(
        entry.path,
        """SELECT r.sample, r.repeat, s.cluster, r.value, r.output_tokens AS length, r.stop = 'length' AS truncated
        FROM records r JOIN samples s ON s.id = r.sample WHERE r.value IS NOT NULL AND r.verdict NOT LIKE 'failed%'""",
    )
    if frame.empty:
        return None
    unit = "tokens"
    if frame["length"].isna().any():
        unit = "characters"
        characters = query(
            entry.path,
            "SELECT sample, repeat, length(json_extract_string(outcome, '$.text')) AS length FROM records "
            "WHERE value IS NOT NULL AND verdict NOT LIKE 'failed%'",
        )
        frame = frame.drop(columns="length").merge(characters, on=["sample", "repeat"])
    frame["others"] = frame["sample"].map(_mean_by_sample(others))
    lengths = frame["length"].astype(float)
    bins = pd.qcut(lengths, BINS, duplicates="drop", labels=False) if lengths.nunique() > 1 else lengths * 0
    rows = [_bin_row(replies, _bounds(entry)) for _, replies in frame.groupby(bins)]
    columns = ["low", "high", "n", "value", "value_low", "value_high", "truncated", "others"]
    return LengthBins(pd.DataFrame(rows, columns=columns), unit)


def _bin_row(replies: pd.DataFrame, bounds: stats.Bounds | None) -> tuple[Any, ...]:
    mean = _mean_with_interval(replies["value"].tolist(), replies["cluster"].tolist(), bounds)
    return (
        int(replies["length"].min()), int(replies["length"].max()), len(replies), mean.value, mean.low, mean.high,
        float(replies["truncated"].mean()), replies["others"].mean(),
    )  # fmt: skip


def _mean_with_interval(
    values: Sequence[float], clusters: Sequence[str], bounds: stats.Bounds | None
) -> stats.Interval:
    if bounds and len(set(clusters)) == len(values) and all(value in bounds for value in values):
        return stats.proportion(sum(values), len(values))
    return stats.clustered_mean(values, clusters, bounds=bounds)


def _mean_by_sample(others: Sequence[Entry]) -> dict[str, float]:
    """Return the mean value of each sample over all records of these runs."""
    if not others:
        return {}
    means = query(
        [other.path for other in others],
        "SELECT sample, avg(value) AS value FROM records WHERE value IS NOT NULL GROUP BY sample",
    )
    return dict(zip(means["sample"], means["value"], strict=True))


ANSWERED = ("right", "wrong", "graded", "invalid")
"""Verdicts on samples that were answered."""


def missing(entry: Entry, others: Sequence[Entry]) -> pd.DataFrame:
    """Return a table with a row per outcome (`outcome`, `n`, `share`) and other runs' scores on the same samples.

    `others`, `low` and `high` are the mean of these scores and its 95 % interval. If the mean is lower on missing samples
    than on answered ones, the run's score on the answered ones is too high.
    """
    frame = query(
        entry.path,
        """SELECT s.id AS sample, s.cluster, coalesce(r.verdict, 'absent') AS verdict
        FROM samples s CROSS JOIN (SELECT unnest(range(?)) AS repeat) t
        LEFT JOIN records r ON r.sample = s.id AND r.repeat = t.repeat""",
        [max(1, entry.card.config.repeats)],
    )
    verdicts = frame["verdict"].str.partition(":")[0]
    frame["outcome"] = verdicts.where(~verdicts.isin(ANSWERED), "answered")
    frame["value"] = frame["sample"].map(_mean_by_sample(others)).astype(float)
    bounds = _bounds(entry)
    rows = []
    order = ["answered", "unanswered", "refused", "truncated", "failed", "absent"]
    for name in [name for name in order if (frame["outcome"] == name).any()]:
        samples = frame[frame["outcome"] == name]
        scored = samples.dropna(subset=["value"])
        mean: tuple[float | None, ...] = (nan, nan, nan)
        if len(scored) > 1:
            values, clusters = scored["value"].tolist(), scored["cluster"].tolist()
            interval = stats.clustered_mean(values, clusters, bounds=bounds)
            mean = (interval.value, interval.low, interval.high)
        rows.append((name, len(samples), len(samples) / len(frame), *mean))
    return pd.DataFrame(rows, columns=["outcome", "n", "share", "others", "low", "high"])


def unsolved(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the items that no run gets right, even in part; items with the highest agreement on an answer come first.

    Columns `sample`, `group`, `gold`, `runs` (number of scored runs), `answer` (the most frequent one), `agree` (its share)
    and `verdicts`. If most models agree on another answer, the gold answer is suspect. For gated suites, only answers that
    are letters are shown. The table is empty for fewer than two runs.
    """
    columns = ["sample", "group", "gold", "runs", "answer", "agree", "verdicts"]
    if len(entries) < 2:
        return pd.DataFrame(columns=columns)
    unsolved_items = query(
        [entry.path for entry in entries],
        """
        WITH replies AS (SELECT sample, path, verdict, answer FROM records WHERE verdict NOT LIKE 'failed%'),
        unsolved AS (SELECT sample FROM replies GROUP BY sample
            HAVING count(*) FILTER (verdict IN ('right', 'graded')) = 0 AND count(DISTINCT path) >= 2)
        SELECT r.sample, any_value(s."group") AS "group", any_value(s.target) AS gold, count(DISTINCT r.path) AS runs,
            list(r.answer) AS answers, list(r.verdict) AS verdicts
        FROM replies r JOIN unsolved USING (sample)
            JOIN (SELECT DISTINCT id, "group", target FROM samples) s ON s.id = r.sample
        GROUP BY r.sample ORDER BY r.sample""",
    )
    is_gated = any(entry.card.gated for entry in entries)
    rows = [_unsolved_row(row, is_gated=is_gated) for row in unsolved_items.itertuples(index=False)]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["agree", "runs"], ascending=False, kind="stable").reset_index(drop=True)


def _unsolved_row(row: Any, *, is_gated: bool) -> tuple[Any, ...]:
    answers = Counter(answer for answer in row.answers if isinstance(answer, str))
    answer, count = answers.most_common(1)[0] if answers else ("", 0)
    gold = str(row.gold).strip('"')
    if is_gated:
        answer, gold = (text if len(text) <= MAX_GATED_ANSWER_CHARS else "" for text in (answer, gold))
    verdicts = ", ".join(f"{n} {name}" for name, n in Counter(row.verdicts).most_common())
    return row.sample, row.group, gold, int(row.runs), answer, count / len(row.answers), verdicts


def largest_errors(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the 200 items on which even the best run has the largest errors, the largest first, for error metrics.

    Columns `sample`, `group`, `gold`, `runs`, `answer` (the one with the smallest error) and `error`. The table is empty for
    fewer than two runs, and for gated suites.
    """
    columns = ["sample", "group", "gold", "runs", "answer", "error"]
    if len(entries) < 2 or any(entry.card.gated for entry in entries):
        return pd.DataFrame(columns=columns)
    return query(
        [entry.path for entry in entries],
        """
        SELECT r.sample, any_value(s."group") AS "group", trim(any_value(s.target), '"') AS gold,
            count(DISTINCT r.path) AS runs, arg_min(r.answer, r.value) AS answer, min(r.value) AS error
        FROM records r JOIN (SELECT DISTINCT id, "group", target FROM samples) s ON s.id = r.sample
        WHERE r.value IS NOT NULL GROUP BY r.sample HAVING count(DISTINCT r.path) >= 2
        ORDER BY error DESC, r.sample LIMIT 200""",
    )


def with_provenance(frame: pd.DataFrame, entry: Entry) -> pd.DataFrame:
    """Return a table of items with columns for the suite, its version and the hash of its data."""
    provenance = {name: getattr(entry.card.config, name) for name in ("suite", "version", "data_sha256")}
    return frame.assign(**provenance)[[*provenance, *frame.columns]]
