"""`evals run sweep.toml`: the forecast of a sweep, or its execution, which ends with models by suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.commands import common, detached
from evals.commands.common import note
from evals.commands.exit_status import exit_status

if TYPE_CHECKING:
    from evals.records.card import Card
    from evals.run.sweep import Outcomes, Part


def run(
    settings: Mapping[str, Any], given: dict[str, Any], source: str, *, quiet: bool, as_json: bool
) -> int:
    """Execute a sweep, or print what it would do; returns the exit status."""
    from evals.run import sweep

    dry = bool(given.pop("dry_run", False))
    parts, faults = sweep.plan_sweep(settings, given, source)
    if faults:
        for line in faults:
            note(f"evals: {line}")
        return 2
    if dry:
        return _dry_run(parts, as_json=as_json)
    if parts[0].request.detach and detached.submit(parts[0].request, as_json=as_json):
        return 0
    outcomes = sweep.run_sweep(parts, say=note, quiet=quiet)
    return _report(outcomes, parts[0].request.results, as_json=as_json)


def _dry_run(parts: Sequence[Part], *, as_json: bool) -> int:
    from evals.run.sweep import forecasts
    from evals.run.sweep_totals import totals
    from evals.terminal import forecasts as layout
    from evals.terminal.layout import width
    from evals.verdicts import reported

    planned = forecasts(parts, note)
    entries = [entry for part in planned for entry in part]
    results = parts[0].request.results
    claims = reported.load_claims(results if (results / "claims").is_dir() else None)
    sums = totals(planned)
    if as_json:
        common.print_json({"dry_run": layout.as_rows(entries, claims), "totals": sums})
    else:
        common.print_lines(layout.lines(entries, claims, width(), sums=sums))
    return 2 if all(entry.fault for entry in entries) else 0


def _report(result: Outcomes, results: Path, *, as_json: bool) -> int:
    """Print models by suites, one table for each number of repeats if a suite has several; returns the exit status."""
    from evals.terminal import pivot
    from evals.terminal.layout import width

    cards = [card for outcome in result.outcomes for card in outcome.cards]
    grids = {title: pivot.pivot(chosen) for title, chosen in _by_repeats(cards).items()}
    if as_json:
        common.print_json(
            {
                "runs": [common.run_json(card) for card in cards],
                "pivots": [
                    {"repeats": repeats, "columns": list(grid.labels), "cells": pivot.as_json(grid)}
                    for repeats, grid in grids.items()
                ],
                "faults": result.faults,
            }
        )
    for repeats, grid in grids.items() if not as_json else ():
        if not grid.heads:
            continue  # nothing was scored
        if repeats is not None:
            common.say(f"With {repeats} replies to each item:")
        common.print_lines(pivot.layout(grid, width()))
        common.say("")
    if not as_json and cards:
        folder = common.results_words(results)
        common.say(
            f"Look further:  evals show {cards[0].run} --samples{folder}    all runs:  evals show{folder}"
        )
    for line in result.faults:
        note(f"evals: {line}")
    status = exit_status(result.outcomes)
    return max(status, 1 if cards else 2) if result.faults and status != 130 else status


def _by_repeats(cards: Sequence[Card]) -> dict[int | None, list[Card]]:
    """Return the cards of the table, under None; further numbers of repeats of a suite are tables of their own."""
    least: dict[tuple[str, str], int] = {}
    for card in cards:
        key = card.config.suite, card.config.protocol
        least[key] = min(card.config.repeats, least.get(key, card.config.repeats))
    grouped: dict[int | None, list[Card]] = {None: []}
    for card in sorted(cards, key=lambda card: card.config.repeats):
        repeats = card.config.repeats
        first = repeats == least[card.config.suite, card.config.protocol]
        grouped.setdefault(None if first else repeats, []).append(card)
    return grouped
