"""Export to tables: CSV and Parquet for programs, Markdown and LaTeX for model cards and papers.

CSV and Parquet contain `scores` (a row per estimate) and `samples` (a row per sample and repeat). A CSV cell that a
spreadsheet would evaluate as a formula is prefixed with an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.errors import needs
from evals.interop import outgoing
from evals.interop.outgoing import ExportedFiles, caveat, require_ended, rows, target_text, utc_text
from evals.plain import escape_formula
from evals.records.card import Card
from evals.records.store import Run
from evals.types import Estimate

SCORE_COLUMNS = (
    "run", "suite", "version", "protocol", "model", "served", "data", "data_sha256", "metric", "group", "value", "low",
    "high", "worst", "best", "n", "clusters", "unit", "better", "method", "headline", "coverage", "expected",
    "truncated", "chance", "judge", "errata", "started", "commit",
)  # fmt: skip
ESTIMATE_CELLS = slice(8, 21)
"""The cells of a row of `scores` that come from an estimate; the others describe the run."""
SAMPLE_COLUMNS = (
    "run", "suite", "protocol", "model", "sample", "repeat", "group", "cluster", "verdict", "value", "answer", "gold",
    "failure", "stop", "seconds", "input_tokens", "output_tokens", "reasoning_tokens", "prompt_sha256",
)  # fmt: skip
RECORD_CELLS = slice(4, None)
"""The cells of a row of `samples` that come from a record and its sample; the others describe the run."""


def write_csv(runs: Sequence[Run], out: Path) -> ExportedFiles:
    """Write `scores.csv` and `samples.csv`."""
    files = []
    for name, headings, table_rows in _tables(runs):
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        writer.writerow(headings)
        writer.writerows(map(_escape_unless_number, row) for row in table_rows)
        files.append(outgoing.write(out / f"{name}.csv", [stream.getvalue().encode()]))
    return ExportedFiles(files=files, lost=outgoing.lost_information([run.card for run in runs]))


def write_parquet(runs: Sequence[Run], out: Path) -> ExportedFiles:
    """Write `scores.parquet` and `samples.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = []
    for name, headings, table_rows in _tables(runs):
        columns = list(zip(*table_rows, strict=True)) or [()] * len(headings)
        stream = pa.BufferOutputStream()
        table = pa.table({heading: list(column) for heading, column in zip(headings, columns, strict=True)})
        pq.write_table(table, stream, compression="zstd")
        files.append(outgoing.write(out / f"{name}.parquet", [stream.getvalue().to_pybytes()]))
    return ExportedFiles(files=files, lost=outgoing.lost_information([run.card for run in runs]))


def _tables(runs: Sequence[Run]) -> Iterator[tuple[str, tuple[str, ...], Iterable[tuple[Any, ...]]]]:
    pairs = require_ended(runs)
    yield "scores", SCORE_COLUMNS, [score_row(card, e) for _, card in pairs for e in card.estimates]
    yield "samples", SAMPLE_COLUMNS, (row for run, card in pairs for row in sample_rows(run, card))


def score_row(card: Card, e: Estimate) -> tuple[Any, ...]:
    """Return an estimate as a row with the columns `SCORE_COLUMNS`."""
    c = card.config
    return (
        card.run, c.suite, c.version, c.protocol, card.model, card.served, card.data, c.data_sha256, e.metric, e.group,
        e.value, e.low, e.high, e.worst, e.best, e.n, e.clusters, e.unit, e.better, e.method, e.headline,
        card.coverage, card.expected, card.truncated if card.truncation_known else None, card.chance, c.judge,
        card.errata, utc_text(card.started), card.commit,
    )  # fmt: skip


def sample_rows(run: Run, card: Card) -> Iterator[tuple[Any, ...]]:
    """Yield the records of a run as rows with the columns `SAMPLE_COLUMNS`."""
    for row in rows(run, gated=card.gated):
        score, reply = row.score, row.reply
        usage = reply.usage if reply else None
        yield (
            card.run, card.config.suite, card.config.protocol, card.model, row.sample.id, row.repeat, row.sample.group,
            row.sample.cluster or row.sample.id, score.verdict if score else None, score.value if score else None,
            score.answer if score else None, target_text(row.sample.target), row.failure or None,
            reply.stop if reply else None, reply.seconds if reply else None, usage.input if usage else None,
            usage.output if usage else None, usage.reasoning if usage else None, row.prompt_sha256,
        )  # fmt: skip


def _escape_unless_number(value: Any) -> Any:
    try:
        float(value)
    except (TypeError, ValueError):
        return escape_formula(value)
    return value


HEADINGS = ("Benchmark", "Protocol", "Model", "Metric", "Score", "95 % interval", "n", "Coverage", "Note")


def write_markdown(runs: Sequence[Run], out: Path) -> ExportedFiles:
    """Write `scores.md`, a table for a model card."""
    return _write_text_table(runs, out / "scores.md", "pipe", escape=_escape_markdown)


def write_latex(runs: Sequence[Run], out: Path) -> ExportedFiles:
    """Write `scores.tex`, a table in booktabs style."""
    return _write_text_table(runs, out / "scores.tex", "latex_booktabs", escape=str)


def _write_text_table(
    runs: Sequence[Run], path: Path, table_format: str, *, escape: Callable[[str], str]
) -> ExportedFiles:
    with needs("this format", "export"):
        from tabulate import tabulate
    from importlib.metadata import version

    pairs = require_ended(runs)
    table = tabulate(
        [[escape(cell) for cell in _score_cells(card)] for _, card in pairs],
        headers=[escape(heading) for heading in HEADINGS],
        tablefmt=table_format,
        disable_numparse=True,
        colalign=("left", "left", "left", "left", "right", "right", "right", "right", "left"),
    )
    comment = "% " if table_format.startswith("latex") else ""
    footer = f"Measured with science-evals {version('science-evals')}. Scores under different protocols are not comparable."
    return ExportedFiles(
        files=[outgoing.write(path, [f"{table}\n\n{comment}{footer}\n".encode()])],
        lost=["groups, bounds, verdicts and all records"],
    )


def _score_cells(card: Card) -> list[str]:
    headline = card.headline
    notes = [caveat(card), f"judge {card.config.judge}" if card.config.judge else ""]
    notes += [f"imported ({card.origin})" if card.origin.startswith("import") else ""]
    is_fraction = headline is not None and headline.unit == "fraction"

    def format_value(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}" if is_fraction else f"{value:.4g}"

    unit = "" if headline is None else " %" if is_fraction else f" {headline.unit}".rstrip()
    return [
        card.config.suite,
        card.config.protocol,
        card.model,
        headline.metric if headline else "",
        f"{format_value(headline.value)}{unit}" if headline and headline.value is not None else "none",
        f"{format_value(headline.low)} to {format_value(headline.high)}"
        if headline and headline.low is not None
        else "",
        str(headline.n) if headline else "0",
        f"{100 * card.coverage:.1f} %",
        "; ".join(filter(None, notes)),
    ]


def _escape_markdown(text: str) -> str:
    """Escape Markdown and HTML markup."""
    for character in "\\`*_[]<>|#!&~":
        text = text.replace(character, {"<": "&lt;", ">": "&gt;"}.get(character, f"\\{character}"))
    return " ".join(text.split())
