"""Inconsistencies in OptMerge's tables (arXiv 2505.19892v3), computed from the tables: averages, gains, impossible scores.

Remarks on the authors' code refer to WalkerWorldPeace/MLLMerging @ 5f8a4583.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from tools.make_claims import Row

Errata = Mapping[tuple[str, str, str], str]
"""(model, benchmark, source) -> remark on an error in the number, or on what cannot be concluded from it."""
AVERAGES = ("OptMerge average", "OptMerge modality average")
COLUMN_COUNT = 10
"""Number of benchmarks in an average."""
ROUNDING_TOLERANCE = 0.0101
"""Largest difference, in points, between a printed average and the mean of ten printed scores that rounding explains."""
ITEM_COUNTS = {"OptMerge MATH-Vision (geometry rows)": 76, "OptMerge ChartQA": 2_500}
"""Benchmark -> number of items; every score must be a multiple of 1 / items."""
METHOD = re.compile(
    r"merge: (Weight Average|Task Arithmetic|TIES-Merging|T\w+ with DARE|TSV Merging|Iso-C|WUDI Merging)$"
)
"""Model name of another method that merges without training, unlike experts, mixtures and online composition."""
CLAIMED_TABLES = ("Table 2", "Table 3", "Table 5")
"""Tables whose gains over WUDI Merging the abstract averages to 2.48 points."""
CODE_REMARKS = (
    ("Qwen2-VL-7B merge: TSV Merging", "Table 3",
     "the authors' original code applies TSV only to the excluded lm_head, so that this row is weight averaging times a factor "
     "(60.55 without it)"),
    ("InternVL2.5-1B merge: TSV Merging", "Table 2",
     "the authors' original code has the same condition as for Qwen2-VL; it does not show what was run for this row"),
    ("Qwen2-VL-7B merge: TIES with DARE", "Table 3",
     "the authors' original code passes one model to TIES instead of five, as they state themselves"),
    ("Qwen2-VL-7B merge: WUDI Merging", "Table 3", "an earlier version of the paper has 63.65"),
)  # fmt: skip
"""(model, table, remark on its average)."""


def table_of(source: str) -> str:
    """Return the table that a source names, such as `Table 3`; empty if it names none."""
    match = re.search(r"Table \d+", source)
    return match[0] if match else ""


def errata(rows: Sequence[Row]) -> Errata:
    """Return the remarks on single numbers."""
    remarks: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    paper = [row for row in rows if row.source.startswith("arXiv 2505.19892")]
    for find in (_wrong_averages, _gains, _impossible_scores, _code_remarks):
        for row, remark in find(paper):
            remarks[row.model, row.benchmark, row.source].append(remark)
    return {key: "; ".join(texts) for key, texts in remarks.items()}


def _wrong_averages(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield averages that differ from the mean of the ten scores in their row."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    averages: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.model, row.source
        if row.benchmark == AVERAGES[0]:
            averages[key] = row
        elif row.benchmark.startswith("OptMerge") and row.benchmark not in AVERAGES:
            scores[key].append(float(row.score))
    for key, row in averages.items():
        mean = sum(scores[key]) / COLUMN_COUNT
        if len(scores[key]) == COLUMN_COUNT and abs(mean - float(row.score)) > ROUNDING_TOLERANCE:
            yield row, f"the ten columns of its row have the mean {mean:.2f}"


def _gains(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield, for each table, OptMerge's gain over the best other method; the abstract does not state it."""
    tables: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.benchmark in AVERAGES and not row.model.startswith("Qwen2.5"):
            tables[table_of(row.source)][row.model] = row
    gains = {}
    for table, members in tables.items():
        rivals = {model: float(row.score) for model, row in members.items() if METHOD.search(model)}
        ours = next((row for model, row in members.items() if model.endswith("merge: OptMerge")), None)
        if rivals and ours is not None:
            best = max(rivals, key=rivals.__getitem__)
            wudi = next((score for model, score in rivals.items() if "WUDI" in model), 0.0)
            gains[table] = (ours, best, float(ours.score) - rivals[best], float(ours.score) - wudi)
    if not set(CLAIMED_TABLES) <= gains.keys():
        return
    over_best, over_wudi = (
        sum(values) / len(CLAIMED_TABLES)
        for values in zip(*(gains[table][2:] for table in CLAIMED_TABLES), strict=True)
    )
    summary = f"the abstract's 2.48 is the mean gain over WUDI Merging in Tables 2, 3 and 5 ({over_wudi:+.2f} recomputed), not over the best rival ({over_best:+.2f})"  # fmt: skip
    for table, (ours, best, gain, _) in gains.items():
        rival = best.partition("merge: ")[2]
        yield (
            ours,
            f"{gain:+.2f} points over the best other method of {table}, {rival}"
            + (f"; {summary}" if table in CLAIMED_TABLES else ""),
        )


def _impossible_scores(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield scores that are not multiples of 1 / items, neither rounded nor truncated."""
    for row in rows:
        items = ITEM_COUNTS.get(row.benchmark)
        if items is not None and not _is_possible(Fraction(row.score), items):
            yield row, f"no whole number of {items:,} items is {row.score} %"


def _is_possible(percent: Fraction, items: int) -> bool:
    nearest = round(percent * items / 100)
    return abs(Fraction(100 * nearest, items) - percent) < Fraction(1, 100)


def _code_remarks(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    for row in rows:
        for model, table, remark in CODE_REMARKS:
            if (row.model, row.benchmark, table_of(row.source)) == (model, AVERAGES[0], table):
                yield row, remark
