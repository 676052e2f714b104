"""`evals show`: scores of runs, models by suites, and single samples."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common, control, show_board
from evals.commands.show_filters import filter_cards, find_runs, has_filter, no_match_message
from evals.errors import UnknownName, UsageError
from evals.plain import percent
from evals.records import store
from evals.records.card import Card
from evals.records.store import Run
from evals.terminal import pivot, runs
from evals.terminal import sample as single_sample
from evals.terminal.layout import Column, table, width
from evals.terminal.runs import Sort
from evals.terminal.samples import (
    FIELDS,
    GATED_FIELDS,
    RUN_FIELDS,
    cell,
    csv_cell,
    run_fields_of,
    sample_row,
    sample_rows,
)
from evals.terminal.trust_marks import Challenges, challenge_key, challenges_of
from evals.types import VERDICTS

if TYPE_CHECKING:
    from evals.run.overview import Overview


@click.command()
@click.argument("run", required=False, metavar="[RUN|DIR]", shell_complete=common.complete_runs)
@click.option("--suite", default="", help="Only runs of this suite.", shell_complete=common.complete_suites)
@click.option("--model", default="", help="Only runs of models whose name contains TEXT.")
@click.option("--protocol", default="", help="Only runs under this protocol.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N runs.")
@click.option("--since", metavar="WHEN", help="Only runs started since WHEN: 2026-11-20, 7d, 12h.")
@click.option(
    "--sort",
    type=click.Choice(["when", "score", "model", "n"]),
    default="when",
    show_default=True,
    help="Order within a suite and protocol: `when` puts the newest last, `score` the best first.",
)
@click.option("--runs", "separate", is_flag=True, help="One row per run, without pooling seeds.")
@click.option("--pivot", is_flag=True, help="Table of models by suites, from the newest complete runs.")
@click.option("--by", type=click.Choice(["group"]), help="Break scores down by group.")
@click.option("--samples", is_flag=True, help="One row per sample and repeat.")
@click.option("--verdict", help="With --samples: only this verdict, or `failed`.")
@click.option("--csv", "as_csv", is_flag=True, help="With --samples or --pivot: print CSV.")
@click.option("--texts", is_flag=True, help="With --samples --json: also prompt, reply and reasoning.")
@click.option(
    "--sample", metavar="ID", help="One sample: prompt, reply with the answer marked, gold answer, reason."
)
@click.option(
    "--repeat", type=click.IntRange(min=0), default=0, help="With --sample: number of the repeat, from 0."
)
@click.option(
    "--next",
    "next_verdict",
    metavar="VERDICT",
    help="The next sample with this verdict; also `not-right` or `failed`.",
)
@click.option("--reasoning", is_flag=True, help="With --sample: also show the reasoning.")
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="RUN",
    shell_complete=common.complete_runs,
    help="Adjust a subset's score using another model's run on all items; can be repeated.",
)
@common.trust_option
@common.results_option
@common.json_option
def show(
    run: str | None, samples: bool, sample: str | None, next_verdict: str | None, pivot: bool,
    controls: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Show the scores of a RUN or of all runs, with intervals, n and remarks; or show single samples.

    A RUN is an id or its beginning or end, `last` or `last:2`, a model or suite with one run, NAME/SUITE, or a folder.
    The scores in a board's folder are shown with their verification levels.
    `--sample` and `--next` show a prompt with its reply and how it was scored.
    """
    _check_options(samples=samples, sample=sample, next_verdict=next_verdict, pivot=pivot, **options)
    if controls:
        if samples or pivot or sample is not None or next_verdict is not None:
            raise UsageError("--control cannot be combined with --samples, --sample, --next or --pivot")

        control.show(
            _require_run(run, "--control RUN"), controls, options["results"], as_json=options["as_json"]
        )
    elif sample is not None or next_verdict is not None:
        _show_sample(
            _require_run(run, "--sample ID" if sample is not None else "--next VERDICT"),
            sample,
            next_verdict,
            options,
        )
    elif samples:
        _show_samples(_require_run(run, "--samples"), options)
    elif run is not None and show_board.is_board(Path(run)):
        show_board.show(Path(run), {**options, "pivot": pivot})
    else:
        _show_runs(run, pivot=pivot, **options)


def _check_options(
    *, samples: bool, sample: str | None, next_verdict: str | None, pivot: bool, by: str | None, verdict: str | None,
    as_csv: bool, texts: bool, as_json: bool, reasoning: bool, **_: Any,
) -> None:  # fmt: skip
    is_single = sample is not None or next_verdict is not None
    if verdict and not samples:
        raise UsageError("--verdict requires --samples")
    if as_csv and not (samples or pivot):
        raise UsageError("--csv requires --samples or --pivot")
    if samples and by:
        raise UsageError("--by and --samples cannot be combined")
    if sum((samples, is_single, pivot)) > 1:
        raise UsageError("--samples, --sample (or --next) and --pivot cannot be combined")
    if texts and not (samples and as_json):
        raise UsageError("--texts requires --samples --json")
    if reasoning and not is_single:
        raise UsageError("--reasoning requires --sample")
    for value, extra in ((verdict, ()), (next_verdict, ("absent", "not-right"))):
        accepted = (*VERDICTS, "failed", *extra)
        if value is not None and value not in accepted:
            raise UnknownName("verdict", value, accepted)


def _require_run(run: str | None, option: str) -> str:
    if run is None:
        raise UsageError(f"{option} requires a run, for example `evals show last {option}`")
    return run


def _show_runs(
    run: str | None, *, pivot: bool, by: str | None, results: Path, as_json: bool, as_csv: bool, separate: bool,
    sort: Sort, **filters: Any,
) -> None:  # fmt: skip
    from evals.run.overview import aggregates, overview

    if run is None and not results.is_dir():
        raise UsageError(f"no results folder at {results}; `evals run` creates one")
    runs = store.find(results, run) if run is not None else store.runs(results)
    is_single_run = len({stored.path.name for stored in runs}) == 1  # hashing many runs is slow
    run_overview = overview(runs, hashes=run is not None and is_single_run)
    if has_filter(filters):
        all_cards = run_overview.cards
        run_overview.cards = filter_cards(all_cards, filters)
        if all_cards and not run_overview.cards and not (as_json or as_csv):
            common.say(no_match_message(all_cards, filters))
            return
        run_overview.aggregates = aggregates(run_overview.cards)
    challenges = challenges_of(runs)
    if pivot:
        _note_broken(run_overview)
        _print_pivot(run_overview.cards, challenges, as_json=as_json, as_csv=as_csv)
        return
    print_overview(
        run_overview, by_group=by == "group", as_json=as_json, sort=sort, separate=separate or run is not None,
        details=run is not None or by == "group", results=results, challenges=challenges,
    )  # fmt: skip


def print_overview(
    run_overview: Overview,
    *,
    by_group: bool,
    as_json: bool,
    sort: Sort = "when",
    separate: bool = True,
    details: bool = True,
    results: Path | None = None,
    challenges: Challenges | None = None,
) -> None:
    """Print runs as one table or as one JSON document.

    `separate`: a row per run instead of pooling seeds; `details`: also a line per run about its outcomes.
    """
    _note_broken(run_overview)
    challenges = challenges or {}
    if as_json:
        rows = [common.run_json(card, challenges.get(challenge_key(card))) for card in run_overview.cards]
        common.print_json({"runs": rows, "aggregates": run_overview.aggregates})
        return
    if not run_overview.cards:
        common.say(_no_runs_message(results))
        return

    table_rows = (runs.single_run_rows if separate else runs.pooled_rows)(run_overview.cards, challenges)
    common.print_lines(
        runs.layout(table_rows, width(), ids=_run_ids(results), sort=sort, show_bounds=not details)
    )
    if details:
        _print_details(run_overview.cards, challenges)
    _print_aggregates(run_overview)
    if by_group:
        for card in run_overview.cards:
            _print_groups(card)


def _print_details(cards: Sequence[Card], challenges: Challenges) -> None:
    from evals.terminal.run_details import details_line

    click.echo()
    ids = Counter(card.run for card in cards)
    suite_runs = Counter((card.run, card.config.suite) for card in cards)
    for card in cards:
        label = f"{card.run}/{card.config.suite}" if ids[card.run] > 1 else card.run
        if suite_runs[card.run, card.config.suite] > 1:  # the runs of several models
            label = f"{card.model}, {label}"
        common.say(details_line(card, challenges.get(challenge_key(card)), label=label))


def _note_broken(run_overview: Overview) -> None:
    common.note_broken((*run_overview.broken, *run_overview.damaged))


def _no_runs_message(results: Path | None) -> str:
    if results is not None and store.runs(results):
        return "No run could be read; `evals show` lists the reasons."
    if results is not None:
        store.check_intended_folder(results)
    return "No runs yet. Try: evals run mmlu-pro gpqa aime --sample -m smollm2"


def _run_ids(results: Path | None) -> list[str]:
    """Return the ids of all runs in a results folder, among which short ids must be unique."""
    return [run.path.name for run in store.runs(results)] if results is not None and results.is_dir() else []


def _print_aggregates(run_overview: Overview) -> None:
    for aggregate in run_overview.aggregates:
        text = f"needs {', '.join(aggregate['missing'])}"
        if aggregate["value"] is not None:
            text = f"{percent(aggregate['value'])} %"
            if aggregate["low"] is not None:
                text += (
                    f" [{percent(aggregate['low'])}, {percent(aggregate['high'])}] ({aggregate['method']})"
                )
        text = "; ".join([text, *aggregate["marks"], *aggregate["left_out"]])
        name = f"{aggregate['suite']}:{aggregate['name']}" if "name" in aggregate else aggregate["suite"]
        common.say(f"{name} ({aggregate['protocol']}) {aggregate['model']}: {text}")


def _print_groups(card: Card) -> None:
    if sections := runs.group_sections(card):
        click.echo()
        common.print_lines(table(runs.GROUP_COLUMNS, sections, width()))


def _print_pivot(cards: Sequence[Card], challenges: Challenges, *, as_json: bool, as_csv: bool) -> None:
    grid = pivot.pivot(cards, challenges)
    if as_json:
        common.print_json({"columns": list(grid.labels), "cells": pivot.json_cells(grid)})
    elif as_csv:
        _write_csv(("model", *grid.labels), pivot.csv_rows(grid))
    elif not grid.keys:
        common.say("No run has a score yet.")
    else:
        common.print_lines(pivot.layout(grid, width()))


def _show_sample(run: str, sample: str | None, next_verdict: str | None, options: Mapping[str, Any]) -> None:
    from evals.terminal.molecules import molecule_describer

    runs = find_runs(run, options)
    stored = runs[0] if len(runs) == 1 else store.find_one(options["results"], run)
    view = single_sample.find_sample(stored, sample, repeat=options["repeat"], verdict=next_verdict)
    if options["as_json"]:
        common.print_json(sample_row(view.sample, view.repeat, view.record, gated=view.card.gated))
        return
    with molecule_describer() as describe:
        common.print_lines(
            single_sample.layout(view, width(), show_reasoning=options["reasoning"], describe=describe)
        )
    click.echo()
    common.say(f"Next: {_next_command(run, view.sample.id, next_verdict or 'not-right', options['results'])}")


def _next_command(run: str, sample: str, next_verdict: str, results: Path) -> str:
    return f"evals show {quote(run)} --sample {quote(sample)} --next {next_verdict}{common.results_flag(results)}"


def _show_samples(run: str, options: Mapping[str, Any]) -> None:
    runs = find_runs(run, options)
    verdict, texts, label = options["verdict"], options["texts"], len(runs) > 1
    if options["as_json"]:
        rows = [row for stored in runs for row in _sample_rows(stored, verdict, texts=texts, label=label)]
        common.print_json({"samples": rows})
        return
    sections_by_fields: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for stored in runs:
        card = stored.card
        fields = GATED_FIELDS if card.gated else FIELDS
        fields = (*RUN_FIELDS, *fields) if label and options["as_csv"] else fields
        title = " · ".join(run_fields_of(card).values()) if label else ""
        samples = [{name: row[name] for name in fields} for row in _sample_rows(stored, verdict, label=label)]
        sections_by_fields.setdefault(fields, {})[title] = samples
    for i, (fields, sections) in enumerate(sections_by_fields.items()):
        if options["as_csv"]:
            rows = [row for section in sections.values() for row in section]
            _write_csv(fields, rows)
        else:
            if i:
                click.echo()
            _print_samples(fields, sections)


def _sample_rows(
    run: Run, verdict: str | None, *, texts: bool = False, label: bool = False
) -> Iterable[dict[str, Any]]:
    """Yield the rows of a run; `label`: add the fields that distinguish several runs."""
    run_fields = run_fields_of(run.card) if label else {}
    for row in sample_rows(run, with_texts=texts):
        if verdict in (None, row["verdict"].partition(":")[0]):
            yield {**run_fields, **row}


def _print_samples(fields: Sequence[str], sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    drops = {"why": 1, "group": 4, "target": 2, "value": 3, "repeat": 5}
    columns = [Column(name, right=name in ("repeat", "value"), drop=drops.get(name, 0)) for name in fields]
    cells = [(title, [[cell(v) for v in row.values()] for row in rows]) for title, rows in sections.items()]
    common.print_lines(table(columns, cells, width()))


def _write_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, fields)
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
