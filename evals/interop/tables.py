"""Export to tables: CSV and Parquet for programs, Markdown and LaTeX for model cards and papers.

CSV and Parquet hold `scores` (a row per estimate) and `samples` (a row per sample and repeat). A CSV cell that a
spreadsheet would run as a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.errors import UsageError, install
from evals.interop import outgoing
from evals.interop.outgoing import Written, as_text, ended, rows, sampled, utc
from evals.records.card import Card
from evals.records.store import Run
from evals.types import Estimate

SCORES = (
    "run", "suite", "version", "protocol", "model", "served", "data", "data_sha256", "metric", "group", "value", "low",
    "high", "worst", "best", "n", "clusters", "unit", "better", "method", "headline", "coverage", "expected",
    "truncated", "chance", "judge", "errata", "started", "commit",
)  # fmt: skip
SAMPLES = (
    "run", "suite", "protocol", "model", "sample", "repeat", "group", "cluster", "verdict", "value", "answer", "gold",
    "failure", "stop", "seconds", "input_tokens", "output_tokens", "reasoning_tokens", "prompt_sha256",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(runs: Sequence[Run], out: Path) -> Written:
    """Write `scores.csv` and `samples.csv`."""
    files = []
    for name, heads, lines in _tables(runs):
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        writer.writerow(heads)
        writer.writerows([_cell(value) for value in line] for line in lines)
        files.append(outgoing.write(out / f"{name}.csv", [stream.getvalue().encode()]))
    return Written(files=files, lost=_lost(runs))


def write_parquet(runs: Sequence[Run], out: Path) -> Written:
    """Write `scores.parquet` and `samples.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = []
    for name, heads, lines in _tables(runs):
        columns = list(zip(*lines, strict=True)) or [()] * len(heads)
        sink = pa.BufferOutputStream()
        table = pa.table({head: list(column) for head, column in zip(heads, columns, strict=True)})
        pq.write_table(table, sink, compression="zstd")
        files.append(outgoing.write(out / f"{name}.parquet", [sink.getvalue().to_pybytes()]))
    return Written(files=files, lost=_lost(runs))


def _tables(runs: Sequence[Run]) -> Iterator[tuple[str, tuple[str, ...], Iterable[tuple[Any, ...]]]]:
    pairs = ended(runs)
    yield "scores", SCORES, [score_row(card, e) for _, card in pairs for e in card.estimates]
    yield "samples", SAMPLES, (row for run, card in pairs for row in sample_rows(run, card))


def score_row(card: Card, e: Estimate) -> tuple[Any, ...]:
    """Return a row of `scores`, with the columns `SCORES`."""
    c = card.config
    return (
        card.run, c.suite, c.version, c.protocol, card.model, card.served, card.data, c.data_sha256, e.metric, e.group,
        e.value, e.low, e.high, e.worst, e.best, e.n, e.clusters, e.unit, e.better, e.method, e.headline,
        card.coverage, card.expected, card.truncated if card.truncation_known else None, card.chance, c.judge,
        card.errata, utc(card.started), card.commit,
    )  # fmt: skip


def sample_rows(run: Run, card: Card) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `samples`, with the columns `SAMPLES`."""
    for row in rows(run, gated=card.gated):
        score, reply = row.score, row.reply
        usage = reply.usage if reply else None
        yield (
            card.run, card.config.suite, card.config.protocol, card.model, row.sample.id, row.repeat, row.sample.group,
            row.sample.cluster or row.sample.id, score.verdict if score else None, score.value if score else None,
            score.answer if score else None, as_text(row.sample.target), row.failure or None,
            reply.stop if reply else None, reply.seconds if reply else None, usage.input if usage else None,
            usage.output if usage else None, usage.reasoning if usage else None, row.prompt_sha256,
        )  # fmt: skip


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _lost(runs: Sequence[Run]) -> list[str]:
    gated = sorted({card.config.suite for _, card in ended(runs) if card.gated})
    texts = f" (of {', '.join(gated)} long answers too, as hashes)" if gated else ""
    return [f"prompts, replies and reasoning stay in the results folder{texts}"]


HEADS = ("Benchmark", "Protocol", "Model", "Metric", "Score", "95 % interval", "n", "Coverage", "Note")


def write_markdown(runs: Sequence[Run], out: Path) -> Written:
    """Write `scores.md`, a table for a model card."""
    return _write_text(runs, out / "scores.md", "pipe", escape=_markdown)


def write_latex(runs: Sequence[Run], out: Path) -> Written:
    """Write `scores.tex`, a table in booktabs style."""
    return _write_text(runs, out / "scores.tex", "latex_booktabs", escape=str)


def _write_text(runs: Sequence[Run], path: Path, form: str, *, escape: Any) -> Written:
    try:
        from tabulate import tabulate
    except ImportError:
        raise UsageError(f"this format needs `{install('export')}`") from None
    from importlib.metadata import version

    pairs = ended(runs)
    table = tabulate(
        [[escape(cell) for cell in _line(card)] for _, card in pairs],
        headers=[escape(head) for head in HEADS],
        tablefmt=form,
        disable_numparse=True,
        colalign=("left", "left", "left", "left", "right", "right", "right", "right", "left"),
    )
    comment = "%" if form.startswith("latex") else ""
    footer = f"Measured with science-evals {version('science-evals')}. Numbers of different protocols do not compare."
    text = f"{table}\n\n{comment}{' ' if comment else ''}{footer}\n"
    return Written(
        files=[outgoing.write(path, [text.encode()])],
        lost=["groups, worst and best case, verdicts and all records"],
    )


def _line(card: Card) -> list[str]:
    head = card.headline
    notes = [sampled(card), f"judge {card.config.judge}" if card.config.judge else ""]
    notes += [f"imported ({card.origin})" if card.origin.startswith("import") else ""]
    fraction = head is not None and head.unit == "fraction"

    def figure(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}" if fraction else f"{value:.4g}"

    unit = "" if head is None else " %" if fraction else f" {head.unit}".rstrip()
    return [
        card.config.suite,
        card.config.protocol,
        card.model,
        head.metric if head else "",
        f"{figure(head.value)}{unit}" if head and head.value is not None else "none",
        f"{figure(head.low)} to {figure(head.high)}" if head and head.low is not None else "",
        str(head.n) if head else "0",
        f"{100 * card.coverage:.1f} %",
        "; ".join(filter(None, notes)),
    ]


def _markdown(text: str) -> str:
    """Escape Markdown and HTML markup."""
    for mark in "\\`*_[]<>|#!&~":
        text = text.replace(
            mark, f"\\{mark}" if mark not in "<>&" else {"<": "&lt;", ">": "&gt;", "&": "\\&"}[mark]
        )
    return " ".join(text.split())
