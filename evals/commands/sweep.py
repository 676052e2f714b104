"""`evals run sweep.toml`: run a sweep, or forecast it, and print models by suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.commands import common
from evals.commands.common import note
from evals.records.card import Card
from evals.run import sweep
from evals.terminal import pivot
from evals.terminal.layout import width

if TYPE_CHECKING:
    from evals.run.sweep import Part, SweepResult


def run(
    settings: Mapping[str, Any], options: dict[str, Any], file_name: str, *, quiet: bool, as_json: bool
) -> int:
    """Run a sweep or print what it would do, and return the exit status."""
    is_dry_run = bool(options.pop("dry_run", False))
    parts, faults = sweep.plan_sweep(settings, options, file_name)
    if faults:
        for line in faults:
            note(f"evals: {line}")
        return 2
    if is_dry_run:
        return _dry_run(parts, as_json=as_json)
    if parts[0].request.detach and common.submit_as_job(parts[0].request, as_json=as_json):
        return 0
    result = sweep.run_sweep(parts, say=note, quiet=quiet)
    return _print_result(result, parts[0].request.results, as_json=as_json)


def _dry_run(parts: Sequence[Part], *, as_json: bool) -> int:
    from evals.run.dry_run import totals

    by_part = sweep.forecasts(parts, note)
    return common.print_forecasts(
        [forecast for part in by_part for forecast in part],
        parts[0].request.results,
        as_json=as_json,
        totals=totals(by_part),
    )


def _print_result(result: SweepResult, results: Path, *, as_json: bool) -> int:
    """Print models by suites, with further tables for suites with several repeat counts; return the exit status."""
    cards = [card for outcome in result.outcomes for card in outcome.cards]
    grids = {repeats: pivot.pivot(group) for repeats, group in _by_repeats(cards).items()}
    if as_json:
        common.print_json(
            {
                "runs": [common.run_json(card) for card in cards],
                "pivots": [
                    {"repeats": repeats, "columns": list(grid.labels), "cells": pivot.json_cells(grid)}
                    for repeats, grid in grids.items()
                ],
                "faults": result.faults,
            }
        )
    for repeats, grid in grids.items() if not as_json else ():
        if not grid.keys:
            continue  # nothing was scored
        if repeats is not None:
            common.say(f"With {repeats} repeats per item:")
        common.print_lines(pivot.layout(grid, width()))
        common.say("")
    if not as_json and cards:
        common.say_next_commands(cards[0], results)
    for line in result.faults:
        note(f"evals: {line}")
    status = common.exit_status(result.outcomes)
    return max(status, 1 if cards else 2) if result.faults and status != 130 else status


def _by_repeats(cards: Sequence[Card]) -> dict[int | None, list[Card]]:
    """Return the cards with the fewest repeats of each suite and protocol under None, and the others by number of repeats."""
    fewest_repeats: dict[tuple[str, str], int] = {}
    for card in cards:
        key = card.config.suite, card.config.protocol
        fewest_repeats[key] = min(card.config.repeats, fewest_repeats.get(key, card.config.repeats))
    cards_by_repeats: dict[int | None, list[Card]] = {None: []}
    for card in sorted(cards, key=lambda card: card.config.repeats):
        repeats = card.config.repeats
        has_fewest = repeats == fewest_repeats[card.config.suite, card.config.protocol]
        cards_by_repeats.setdefault(None if has_fewest else repeats, []).append(card)
    return cards_by_repeats
