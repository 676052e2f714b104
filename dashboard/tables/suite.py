"""One run in depth: its groups, answers by their length, what is missing, and items that no model gets right.

Statistics are those of `evals.report.statistics` and `evals.verdicts.difference`, and SciPy's exact test; no text is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isnan, nan, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.dashboard.tables import frames
from evals.dashboard.tables.frames import Entry, query
from evals.dashboard.tables.leaderboard import BASELINE
from evals.report import statistics as stats
from evals.types import Estimate
from evals.verdicts import difference

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
BINS = 10
"""Number of length bins, of about equal size."""
LABEL = 1
"""Longest answer of a gated suite that leaves this module: a letter."""


def comparable(entry: Entry, entries: Sequence[Entry]) -> list[Entry]:
    """Return the newest complete run of every other model of the same suite, protocol and data, at most forty.

    For a model without a complete run it is the newest one; baselines are left out.
    """
    newest: dict[str, Entry] = {}
    for other in entries:
        card, config = other.card, other.card.config
        same = (config.suite, config.protocol, config.data_sha256) == (
            entry.card.config.suite, entry.card.config.protocol, entry.card.config.data_sha256,
        )  # fmt: skip
        if (
            not same
            or card.model == entry.card.model
            or card.model.startswith(BASELINE)
            or other.path == entry.path
        ):
            continue
        known = newest.get(card.model)
        if known is None or card.complete or not known.card.complete:
            newest[card.model] = other
    return list(newest.values())[-40:]


# --- groups -------------------------------------------------------------------------------------------------


def breakdown(entry: Entry) -> pd.DataFrame:
    """Return the groups of a run: `group`, `n`, `value`, `low`, `high`, `coverage`, `apart`, `p`, `flagged`.

    `apart` is the group's mean minus the mean of all others, tested by Fisher's exact test if all values are 0 or 1 and
    independent, else by Welch's t with clustered errors; `flagged` is what Benjamini-Hochberg selects at 5 %. There is
    no test if the headline is not a mean of samples. Empty if the suite has no groups.
    """
    import pandas as pd

    estimates = frames.groups(entry.path)
    metric = estimates[0].metric if estimates else ""
    rows = [_group_row(estimate) for estimate in estimates if estimate.metric == metric]
    frame = pd.DataFrame(rows, columns=["group", "metric", "n", "value", "low", "high", "unit", "better"])
    frame["coverage"] = frame["group"].map(_coverage(entry))
    tests = _tests(entry) if not frame.empty and _testable(entry, metric) else {}
    frame["apart"] = [tests[name].apart if name in tests else nan for name in frame["group"]]
    frame["p"] = [tests[name].p if name in tests else nan for name in frame["group"]]
    frame["flagged"] = frame["p"] <= 1 - LEVEL
    return frame


def _group_row(estimate: Estimate) -> tuple[Any, ...]:
    return (
        estimate.group,
        estimate.metric,
        estimate.n,
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.unit,
        estimate.better,
    )


def _testable(entry: Entry, metric: str) -> bool:
    """Return whether the groups' metric is the mean of the values that records carry."""
    from evals.report.metrics import mean_value
    from evals.run.overview import suite_of

    headline = next((m for m in suite_of(entry.card).metrics if m.name == metric), None)
    return (
        headline is not None
        and headline.of is mean_value
        and headline.pool != "whole"
        and not headline.scorer
    )


def _coverage(entry: Entry) -> dict[str, float]:
    counts = query(
        entry.path,
        """SELECT s."group" AS name, count(r.sample)::DOUBLE AS scored, count(DISTINCT s.id) AS items
        FROM samples s LEFT JOIN records r ON r.sample = s.id AND r.verdict NOT LIKE 'failed%' GROUP BY 1""",
    )
    repeats = max(1, entry.card.config.repeats)
    return {
        name: min(1.0, scored / (items * repeats))
        for name, scored, items in zip(counts["name"], counts["scored"], counts["items"], strict=True)
    }


class _Test(NamedTuple):
    apart: float
    p: float
    """Adjusted by Benjamini-Hochberg."""


def _tests(entry: Entry) -> dict[str, _Test]:
    frame = query(
        entry.path,
        """SELECT s."group" AS name, s.cluster, avg(r.value) AS value, count(*) AS repeats
        FROM records r JOIN samples s ON s.id = r.sample WHERE r.value IS NOT NULL GROUP BY s.id, 1, 2""",
    )
    names = sorted(frame["name"].unique())
    if len(names) < 2:
        return {}
    yes_no = frame["value"].isin((0.0, 1.0)).all() and frame["cluster"].is_unique
    tested = []
    for name in names:
        inside = frame["name"] == name
        tested.append((_fisher if yes_no else _welch)(frame[inside], frame[~inside]))
    adjusted = difference.benjamini_hochberg([p for _, p in tested])
    return {name: _Test(apart, p) for name, (apart, _), p in zip(names, tested, adjusted, strict=True)}


def _fisher(inside: pd.DataFrame, outside: pd.DataFrame) -> tuple[float, float]:
    from scipy.stats import fisher_exact

    table = [[int(part["value"].sum()), int(len(part) - part["value"].sum())] for part in (inside, outside)]
    return float(inside["value"].mean() - outside["value"].mean()), float(fisher_exact(table).pvalue)


def _welch(inside: pd.DataFrame, outside: pd.DataFrame) -> tuple[float, float]:
    apart = float(inside["value"].mean() - outside["value"].mean())
    parts = [
        (stats.standard_error(part["value"].to_numpy(), part["cluster"].tolist()), part["cluster"].nunique())
        for part in (inside, outside)
    ]
    squares = [error * error for error, _ in parts]
    if any(map(isnan, squares)):
        return apart, 1.0
    total = sum(squares)
    df = (
        total * total / (sum(s * s / (n - 1) for s, (_, n) in zip(squares, parts, strict=True)) or 1.0)
        if total
        else 1.0
    )
    return apart, difference.MeanDifference(apart, sqrt(total), max(1.0, df)).p_equal()


# --- length -------------------------------------------------------------------------------------------------


class Lengths(NamedTuple):
    """Scores by the length of the reply."""

    frame: pd.DataFrame
    """`low` and `high` (length), `n`, `value`, `value_low`, `value_high`, `truncated` (share that ended at max tokens), and
    `others`, the mean of the other runs on the same samples.
    """
    unit: str
    """tokens, or characters if tokens are not known."""


def lengths(entry: Entry, others: Sequence[Entry] = ()) -> Lengths | None:
    """Return scores by the length of the reply; None if no reply has a value."""
    import pandas as pd

    frame = query(
        entry.path,
        """SELECT r.sample, s.cluster, r.value, r.output_tokens AS tokens, r.stop = 'length' AS truncated
        FROM records r JOIN samples s ON s.id = r.sample WHERE r.value IS NOT NULL AND r.verdict NOT LIKE 'failed%'""",
    )
    if frame.empty:
        return None
    unit = "tokens"
    if frame["tokens"].isna().any():
        unit = "characters"
        characters = query(
            entry.path,
            "SELECT sample, repeat, length(json_extract_string(outcome, '$.text')) AS tokens FROM records r "
            "WHERE r.value IS NOT NULL AND r.verdict NOT LIKE 'failed%' ORDER BY sample, repeat",
        )
        frame = frame.drop(columns="tokens").merge(
            characters.groupby("sample", as_index=False)["tokens"].mean(), on="sample"
        )
    elsewhere = _elsewhere(others)
    frame["others"] = frame["sample"].map(elsewhere)
    sizes = frame["tokens"].astype(float)
    bins = pd.qcut(sizes, BINS, duplicates="drop", labels=False) if sizes.nunique() > 1 else sizes * 0
    rows = [_bin(part) for _, part in frame.groupby(bins)]
    columns = ["low", "high", "n", "value", "value_low", "value_high", "truncated", "others"]
    return Lengths(pd.DataFrame(rows, columns=columns), unit)


def _bin(part: pd.DataFrame) -> tuple[Any, ...]:
    mean = _mean(part["value"].tolist(), part["cluster"].tolist())
    others = part["others"].mean()
    return (
        int(part["tokens"].min()), int(part["tokens"].max()), len(part), mean.value, mean.low, mean.high,
        float(part["truncated"].mean()), others,
    )  # fmt: skip


def _mean(values: Sequence[float], clusters: Sequence[str]) -> stats.Interval:
    if len(set(clusters)) == len(values) and all(value in (0.0, 1.0) for value in values):
        return stats.wilson(sum(values), len(values))
    return stats.clustered_mean(values, clusters)


def _elsewhere(others: Sequence[Entry]) -> dict[str, float]:
    """Return the mean value of each sample over other runs."""
    if not others:
        return {}
    means = query(
        [other.path for other in others],
        "SELECT sample, avg(value) AS value FROM records WHERE value IS NOT NULL GROUP BY sample",
    )
    return dict(zip(means["sample"], means["value"], strict=True))


# --- what is missing ----------------------------------------------------------------------------------------

ANSWERED = ("right", "wrong", "graded", "invalid")


def missing(entry: Entry, others: Sequence[Entry]) -> pd.DataFrame:
    """Compare what a run answered with what it did not: `outcome`, `n`, `share`, and the other runs' scores there.

    `others`, `low` and `high` are the mean value of the other runs on these samples with its 95 % interval. If they
    are lower on what is missing, the run's score over what it answered is too high.
    """
    import pandas as pd

    frame = query(
        entry.path,
        """SELECT s.id AS sample, s.cluster, coalesce(r.verdict, 'absent') AS verdict
        FROM samples s LEFT JOIN records r ON r.sample = s.id""",
    )
    kinds = frame["verdict"].str.partition(":")[0]
    frame["outcome"] = kinds.where(~kinds.isin(ANSWERED), "answered")
    frame["value"] = frame["sample"].map(_elsewhere(others)).astype(float)
    rows = []
    order = ["answered", "unanswered", "refused", "truncated", "failed", "absent"]
    for name in [name for name in order if (frame["outcome"] == name).any()]:
        part = frame[frame["outcome"] == name]
        known = part.dropna(subset=["value"])
        mean = (
            stats.clustered_mean(known["value"].tolist(), known["cluster"].tolist(), bounds=(0.0, 1.0))
            if len(known) > 1
            else None
        )
        rows.append(
            (
                name,
                len(part),
                len(part) / len(frame),
                *((mean.value, mean.low, mean.high) if mean else (nan, nan, nan)),
            )
        )
    return pd.DataFrame(rows, columns=["outcome", "n", "share", "others", "low", "high"])


# --- items that no model gets right -------------------------------------------------------------------------


def unsolved(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the items that all of several runs get wrong, the most suspect gold answers first.

    `sample`, `group`, `gold`, `runs` (that were scored there), `answer` (the most frequent one), `agree`
    (the share that gave it) and `verdicts`. If most models agree on another answer, the gold answer is suspect.
    Answers of a gated suite are letters only. Empty for fewer than two runs, and if nothing is right or wrong.
    """
    import pandas as pd

    columns = ["sample", "group", "gold", "runs", "answer", "agree", "verdicts"]
    if len(entries) < 2:
        return pd.DataFrame(columns=columns)
    hard = query(
        [entry.path for entry in entries],
        """
        WITH judged AS (SELECT sample, path, verdict, answer FROM records WHERE verdict NOT LIKE 'failed%'),
        hard AS (SELECT sample FROM judged GROUP BY sample
            HAVING count(*) FILTER (verdict IN ('right', 'graded')) = 0 AND count(DISTINCT path) >= 2)
        SELECT j.sample, any_value(s."group") AS "group", any_value(s.target) AS gold, count(DISTINCT j.path) AS runs,
            list(j.answer) AS answers, list(j.verdict) AS verdicts
        FROM judged j JOIN hard USING (sample) JOIN (SELECT DISTINCT id, "group", target FROM samples) s ON s.id = j.sample
        GROUP BY j.sample ORDER BY j.sample""",
    )
    gated = any(entry.card.gated for entry in entries)
    rows = [_hard(row, gated=gated) for row in hard.itertuples(index=False)]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["agree", "runs"], ascending=False, kind="stable").reset_index(drop=True)


def _hard(row: Any, *, gated: bool) -> tuple[Any, ...]:
    answers = Counter(answer for answer in row.answers if isinstance(answer, str))
    answer, count = answers.most_common(1)[0] if answers else ("", 0)
    gold = str(row.gold).strip('"')
    if gated:
        answer, gold = (text if len(text) <= LABEL else "" for text in (answer, gold))
    verdicts = ", ".join(f"{n} {name}" for name, n in Counter(row.verdicts).most_common())
    return row.sample, row.group, gold, int(row.runs), answer, count / len(row.answers), verdicts


def farthest(entries: Sequence[Entry], *, most: int = 200) -> pd.DataFrame:
    """Return the items on which even the nearest of several runs is far off, the farthest first, for metrics of error.

    `sample`, `group`, `gold`, `runs`, `answer` (the nearest one), `error` (its error).
    """
    import pandas as pd

    columns = ["sample", "group", "gold", "runs", "answer", "error"]
    if len(entries) < 2 or any(entry.card.gated for entry in entries):
        return pd.DataFrame(columns=columns)
    return query(
        [entry.path for entry in entries],
        f"""
        SELECT r.sample, any_value(s."group") AS "group", trim(any_value(s.target), '"') AS gold,
            count(DISTINCT r.path) AS runs, arg_min(r.answer, r.value) AS answer, min(r.value) AS error
        FROM records r JOIN (SELECT DISTINCT id, "group", target FROM samples) s ON s.id = r.sample
        WHERE r.value IS NOT NULL GROUP BY r.sample HAVING count(DISTINCT r.path) >= 2
        ORDER BY error DESC, r.sample LIMIT {int(most)}""",
    )


def errata(frame: pd.DataFrame, entry: Entry) -> pd.DataFrame:
    """Return the list for a file, with suite, version and data hash in every row."""
    card = entry.card
    about = {
        "suite": card.config.suite,
        "version": card.config.version,
        "data_sha256": card.config.data_sha256,
    }
    return frame.assign(**about)[[*about, *frame.columns]]
