"""What does not follow from OptMerge's own tables (arXiv 2505.19892v3), computed from them: averages, gains, impossible shares.

What the authors' code says beyond the tables is quoted from WalkerWorldPeace/MLLMerging @ 5f8a4583.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from tools.make_claims import Row

Errata = Mapping[tuple[str, str, str], str]
"""(model, benchmark, source) -> what is wrong with the number, or cannot be concluded from it."""
AVERAGES = ("OptMerge average", "OptMerge modality average")
COLUMNS = 10
GRIDS = {"OptMerge MATH-Vision (geometry rows)": 76, "OptMerge ChartQA": 2_500}
"""Benchmark -> number of items, of which every figure must be a share."""
METHOD = re.compile(
    r"merge: (Weight Average|Task Arithmetic|TIES-Merging|T\w+ with DARE|TSV Merging|Iso-C|WUDI Merging)$"
)
"""A rival method of merging without training; experts, mixtures and online composition are none."""
CLAIMED = {"Table 2": "WUDI Merging", "Table 3": "WUDI Merging", "Table 5": "WUDI Merging"}
"""Tables whose gains over this method the abstract averages to 2.48 points."""
OF_CODE = (
    ("Qwen2-VL-7B merge: TSV Merging", "Table 3",
     "the authors' original code applies TSV to the excluded lm_head alone, so that this row is weight averaging times a factor "
     "(60.55 without it)"),
    ("InternVL2.5-1B merge: TSV Merging", "Table 2",
     "the authors' original code has the same gate as for Qwen2-VL; what this row ran cannot be told from it"),
    ("Qwen2-VL-7B merge: TIES with DARE", "Table 3",
     "the authors' original code hands one model to TIES instead of five, as they list themselves"),
    ("Qwen2-VL-7B merge: WUDI Merging", "Table 3", "an earlier version of the paper has 63.65"),
)  # fmt: skip
"""(model, table, remark on its average)."""


def table_of(source: str) -> str:
    """Return the number of a table; empty if the source names none."""
    match = re.search(r"Table \d+", source)
    return match[0] if match else ""


def errata(rows: Sequence[Row]) -> Errata:
    """Return the remarks on single numbers."""
    texts: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    paper = [row for row in rows if row.source.startswith("arXiv 2505.19892")]
    for row, text in (*_averages(paper), *_gains(paper), *_impossible(paper), *_of_code(paper)):
        texts[row.model, row.benchmark, row.source].append(text)
    return {key: "; ".join(several) for key, several in texts.items()}


def _averages(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield averages that do not follow from their row."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    stated: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.model, row.source
        if row.benchmark == AVERAGES[0]:
            stated[key] = row
        elif row.benchmark.startswith("OptMerge") and row.benchmark not in AVERAGES:
            cells[key].append(float(row.score))
    for key, row in stated.items():
        if (
            len(cells[key]) == COLUMNS
            and abs((mean := sum(cells[key]) / COLUMNS) - float(row.score)) > 0.0101
        ):
            yield row, f"the ten columns of its row have the mean {mean:.2f}"


def _gains(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield what OptMerge gains in each table over the best other method, which the abstract does not state."""
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
    if not CLAIMED.keys() <= gains.keys():
        return
    over_best, over_wudi = (
        sum(several) / len(CLAIMED) for several in zip(*(gains[table][2:] for table in CLAIMED), strict=True)
    )
    summary = f"the abstract's 2.48 is the mean gain over WUDI Merging in Tables 2, 3 and 5 ({over_wudi:+.2f} recomputed), not over the best rival ({over_best:+.2f})"  # fmt: skip
    for table, (ours, best, gain, _) in gains.items():
        rival = best.partition("merge: ")[2]
        yield (
            ours,
            f"{gain:+.2f} points over the best other method of {table}, {rival}"
            + (f"; {summary}" if table in CLAIMED else ""),
        )


def _impossible(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    """Yield figures that are no share of their benchmark's items, be it rounded or truncated."""
    for row in rows:
        items = GRIDS.get(row.benchmark)
        if items is not None and not _near_a_share(Fraction(row.score), items):
            yield row, f"no whole number of {items:,} items is {row.score} %"


def _near_a_share(percent: Fraction, items: int) -> bool:
    nearest = round(percent * items / 100)
    return abs(Fraction(100 * nearest, items) - percent) < Fraction(1, 100)


def _of_code(rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    for row in rows:
        for model, table, text in OF_CODE:
            if (row.model, row.benchmark, table_of(row.source)) == (model, AVERAGES[0], table):
                yield row, text
