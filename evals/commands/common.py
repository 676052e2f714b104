"""What commands share: options, JSON output, and the words for a run in numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from evals.types import VERDICTS, Estimate

if TYPE_CHECKING:
    from evals.records.card import Card

F = TypeVar("F", bound=Callable[..., Any])


def results_option(function: F) -> F:
    """Add `--results DIR`."""
    return click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("results"),
        show_default=True,
        help="Folder that holds the runs.",
    )(function)


def trust_option(function: F) -> F:
    """Add `--trust-tasks`."""
    return click.option(
        "--trust-tasks",
        is_flag=True,
        expose_value=False,
        callback=_trust,
        help="Let the data name tasks of lm-eval and plugins, whose definitions are code.",
    )(function)


def _trust(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from evals import load

        context.with_resource(load.trusting_tasks())


def json_option(function: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(
        function
    )


def data_options(function: F) -> F:
    """Add `--data` and `--sample`."""
    function = click.option(
        "--sample", is_flag=True, help="Use the small bundled items instead of the benchmark."
    )(function)
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Local mirror: a folder with a folder per suite, or one suite's file.",
    )(function)


_CONTROL = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What JSON may hold as it is and a terminal may obey."""


def print_json(document: Any) -> None:
    """Print one JSON document; numbers are not rounded."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def say(message: str) -> None:
    """Print a line for a person; a model's or a data set's control characters do not reach the terminal."""
    from evals.extract import plain

    click.echo(plain(message))


def note(message: str) -> None:
    """Tell a person something on standard error."""
    from evals.extract import plain

    click.echo(plain(message), err=True)


def percent(value: float | None) -> str:
    """Write a fraction for people: 0.7025 -> `70.2`."""
    return "-" if value is None else f"{100 * value:.1f}"


def figure(estimate: Estimate) -> str:
    """Write an estimate's value in its unit; fractions as percent."""
    if estimate.value is None:
        return "-"
    return (
        f"{percent(estimate.value)} %"
        if estimate.unit == "fraction"
        else f"{estimate.value:.4g} {estimate.unit}"
    )


def span(estimate: Estimate, low: float | None, high: float | None) -> str:
    """Write an interval for people."""
    if low is None or high is None:
        return "-"
    if estimate.unit == "fraction":
        return f"{percent(low)} to {percent(high)}"
    return f"{low:.4g} to {high:.4g}"


def counts_line(counts: dict[str, int]) -> str:
    """Write counts in a fixed order: what the model did first, then failures, then what is absent."""
    known = [v for v in VERDICTS if v in counts]
    rest = sorted(name for name in counts if name not in VERDICTS)
    return ", ".join(f"{counts[name]} {name.replace('failed:', 'failed ')}" for name in (*known, *rest))


def run_json(card: Card) -> dict[str, Any]:
    """Give a run as `show --json` prints it."""
    config = card.config
    return {
        "run": card.run,
        "suite": config.suite,
        "version": config.version,
        "protocol": config.protocol,
        "model": card.model,
        "served": card.served,
        "status": card.status,
        "origin": card.origin,
        "data": card.data,
        "gated": card.gated,
        "data_sha256": config.data_sha256,
        "counts": card.counts,
        "coverage": card.coverage,
        "expected": card.expected,
        "truncated": card.truncated,
        "tokens": card.tokens,
        "cost_usd": card.cost_usd,
        "chance": card.chance,
        "started": card.started,
        "finished": card.finished,
        "estimates": list(card.estimates),
        "notes": list(card.notes),
        "judge": card.judge,
        "wording": card.wording,
    }


def table(title: str, columns: Iterable[tuple[str, str]], rows: Iterable[Iterable[str]]) -> None:
    """Print a table; `columns` are (heading, justification)."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from evals.extract import plain

    grid = Table(
        title=title or None, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left", pad_edge=False
    )
    for heading, justify in columns:
        kept = heading in ("run", "score", "95 % interval", "n", "coverage", "cut", "id")
        grid.add_column(heading, justify=justify, overflow="fold", no_wrap=kept)  # type: ignore[arg-type]
    for row in rows:
        grid.add_row(*(escape(plain(cell)) for cell in row))
    console = Console(emoji=False)
    if not console.is_terminal:
        console = Console(width=max(console.width, 160), emoji=False)
    console.print(grid)
