"""`evals show`: runs in numbers, models by suites, and samples one by one."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError
from evals.types import VERDICTS

if TYPE_CHECKING:
    from evals.records.card import Card
    from evals.records.store import Run
    from evals.run.overview import Overview
    from evals.terminal.runs import Sort


@click.command()
@click.argument("run", required=False, metavar="[RUN|DIR]", shell_complete=common.complete_runs)
@click.option("--suite", default="", help="Only runs of this suite.", shell_complete=common.complete_suites)
@click.option("--model", default="", help="Only runs of models whose name holds this.")
@click.option("--protocol", default="", help="Only runs under this protocol.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N runs.")
@click.option("--since", metavar="WHEN", help="Only runs started since: 2026-11-20, 7d, 12h.")
@click.option(
    "--sort",
    type=click.Choice(["when", "score", "model", "n"]),
    default="when",
    show_default=True,
    help="Order within a suite and protocol: the newest last, or the best first.",
)
@click.option("--runs", "each", is_flag=True, help="A row for every run, seeds of one configuration too.")
@click.option("--pivot", is_flag=True, help="Models by suites: the newest complete run of each.")
@click.option("--by", type=click.Choice(["group"]), help="Break scores down.")
@click.option("--samples", is_flag=True, help="A row per sample and repeat.")
@click.option("--verdict", help="With --samples: only this verdict, or `failed`.")
@click.option("--csv", "as_csv", is_flag=True, help="With --samples or --pivot: print CSV.")
@click.option("--texts", is_flag=True, help="With --samples --json: prompt, reply and reasoning too.")
@click.option("--sample", metavar="ID", help="One sample: prompt, reply with what was read, gold, why.")
@click.option("--repeat", type=click.IntRange(min=0), default=0, help="With --sample: of this repeat.")
@click.option(
    "--next", "then", metavar="VERDICT", help="The next sample with this verdict, `not-right` or `failed`."
)
@click.option("--reasoning", is_flag=True, help="With --sample: unfold the reasoning.")
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="RUN",
    shell_complete=common.complete_runs,
    help="Adjust a subset's score by another model's run on all items; repeat for several.",
)
@common.trust_option
@common.results_option
@common.json_option
def show(
    run: str | None, samples: bool, sample: str | None, then: str | None, pivot: bool,
    controls: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Show scores with intervals, sizes and marks, of a RUN or of all; or single samples.

    A RUN is an id or the beginning or end of one, `last` or `last:2`, a model or suite that has one run, NAME/SUITE,
    or a folder. `--sample` and `--next` show a prompt with its reply and how it was scored.
    """
    _check(samples=samples, sample=sample, then=then, pivot=pivot, **options)
    if controls:
        if samples or pivot or sample is not None or then is not None:
            raise UsageError("--control shows scores: leave out --samples, --sample, --next and --pivot")
        from evals.commands import control

        control.show(_named(run, "--control"), controls, options["results"], as_json=options["as_json"])
    elif sample is not None or then is not None:
        _show_sample(_named(run, "--sample"), sample, then, options)
    elif samples:
        _show_samples(_named(run, "--samples"), options)
    else:
        _show_runs(run, pivot=pivot, **options)


def _check(
    *, samples: bool, sample: str | None, then: str | None, pivot: bool, by: str | None, verdict: str | None,
    as_csv: bool, texts: bool, as_json: bool, reasoning: bool, **_: Any,
) -> None:  # fmt: skip
    """Refuse options that do not go together."""
    alone = sample is not None or then is not None
    if (verdict and not samples) or (as_csv and not (samples or pivot)):
        raise UsageError("--verdict and --csv go with --samples (--csv with --pivot too)")
    if samples and by:
        raise UsageError("--by and --samples exclude each other")
    if sum((samples, alone, pivot)) > 1:
        raise UsageError("--samples, --sample (or --next) and --pivot exclude each other")
    if texts and not (samples and as_json):
        raise UsageError("--texts goes with --samples --json")
    if reasoning and not alone:
        raise UsageError("--reasoning goes with --sample")
    for name in (verdict, then):
        known = (*VERDICTS, "failed", *(("absent", "not-right") if name is then else ()))
        if name is not None and name not in known:
            raise UnknownName("verdict", name, known)


def _named(run: str | None, option: str) -> str:
    if run is None:
        raise UsageError(f"{option} shows a run: name it, for example `evals show last {option}`")
    return run


# --- runs ----------------------------------------------------------------------------------------------------


def _show_runs(
    run: str | None, *, pivot: bool, by: str | None, results: Path, as_json: bool, as_csv: bool, each: bool,
    sort: Sort, **filters: Any,
) -> None:  # fmt: skip
    from evals.records import store
    from evals.run.overview import aggregates, overview

    if run is None and not results.is_dir():
        raise UsageError(f"no results folder at {results}; `evals run` makes one")
    found = overview(store.find(results, run) if run is not None else store.runs(results))
    if any(filters[name] for name in ("suite", "model", "protocol", "last", "since")):
        every = found.cards
        found.cards = _filtered(every, filters)
        if every and not found.cards and not (as_json or as_csv):
            common.say(_no_match(every, filters))
            return
        found.aggregates = aggregates(found.cards)
    if pivot:
        for line in found.broken:
            common.note(f"broken run: {line}")
        _print_pivot(found.cards, as_json=as_json, as_csv=as_csv)
        return
    print_overview(
        found, by_group=by == "group", as_json=as_json, sort=sort, each=each or run is not None,
        details=run is not None or by == "group", results=results,
    )  # fmt: skip


def _filtered(cards: Sequence[Card], filters: Mapping[str, Any]) -> list[Card]:
    from evals.terminal.select import Filter, since

    chosen = Filter(
        suite=filters["suite"],
        model=filters["model"],
        protocol=filters["protocol"],
        since=since(filters["since"]) if filters["since"] else 0.0,
        last=filters["last"],
    )
    return chosen.choose(cards)


def _no_match(cards: Sequence[Card], filters: Mapping[str, Any]) -> str:
    """Name the filter that no run matches, with near values; or say that no run matches all of them."""
    from evals.terminal.select import Filter

    values = {
        "suite": {
            name for card in cards for name in (card.config.suite, card.config.suite.partition(":")[0])
        },
        "model": {card.model for card in cards},
        "protocol": {card.config.protocol for card in cards},
    }
    for name, known in values.items():
        if (wanted := filters[name]) and not Filter(**{name: wanted}).choose(cards):
            near = get_close_matches(wanted, known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"
            return f"No run matches --{name} {wanted}; {hint}"
    return "No run matches; `evals show` without options lists all."


def print_overview(
    found: Overview,
    *,
    by_group: bool,
    as_json: bool,
    sort: Sort = "when",
    each: bool = True,
    details: bool = True,
    results: Path | None = None,
) -> None:
    """Print runs as one table or as one JSON document.

    `each`: a row for every run, where else seeds are pooled; `details`: a line below for what each score is made of.
    """
    for line in found.broken:
        common.note(f"broken run: {line}")
    if as_json:
        common.print_json(
            {"runs": [common.run_json(card) for card in found.cards], "aggregates": found.aggregates}
        )
        return
    if not found.cards:
        common.say(_nothing(results))
        return
    from evals.terminal import runs
    from evals.terminal.layout import width

    lines = runs.single(found.cards) if each else runs.pooled(found.cards)
    common.print_lines(runs.layout(lines, width(), ids=_ids(results), sort=sort, bounds=not details))
    if details:
        click.echo()
        ids = [card.run for card in found.cards]
        for card in found.cards:
            named = f"{card.run}/{card.config.suite}" if ids.count(card.run) > 1 else card.run
            for line in runs.details(card, named=named):
                common.say(line)
    _print_aggregates(found)
    if by_group:
        for card in found.cards:
            _print_groups(card)


def _nothing(results: Path | None) -> str:
    from evals.records import store

    if results is not None and store.runs(results):
        return "No run could be read; `evals show` says why."
    if results is not None:
        store.refuse_level_off(results)
    return "No runs yet. Try: evals run mmlu-pro gpqa aime --sample -m smollm2"


def _ids(results: Path | None) -> list[str]:
    """Return the ids of a results folder, among which a short id must be unique."""
    from evals.records import store

    return [run.path.name for run in store.runs(results)] if results is not None and results.is_dir() else []


def _print_aggregates(found: Overview) -> None:
    for entry in found.aggregates:
        value = (
            f"{common.percent(entry['value'])} %"
            if entry["value"] is not None
            else f"needs {', '.join(entry['missing'])}"
        )
        name = f"{entry['suite']}:{entry['name']}" if "name" in entry else entry["suite"]
        common.say(f"{name} ({entry['protocol']}) {entry['model']}: {value}")


def _print_groups(card: Card) -> None:
    from evals.terminal import runs
    from evals.terminal.layout import table, width

    if sections := runs.groups(card):
        click.echo()
        common.print_lines(table(runs.GROUPS, sections, width()))


def _print_pivot(cards: Sequence[Card], *, as_json: bool, as_csv: bool) -> None:
    from evals.terminal import pivot
    from evals.terminal.layout import width

    found = pivot.pivot(cards)
    if as_json:
        common.print_json({"columns": list(found.labels), "cells": pivot.as_json(found)})
    elif as_csv:
        _write_csv(("model", *found.labels), pivot.as_rows(found))
    elif not found.heads:
        common.say("No run has a score yet.")
    else:
        common.print_lines(pivot.layout(found, width()))


# --- samples -------------------------------------------------------------------------------------------------


def _show_sample(run: str, sample: str | None, then: str | None, options: Mapping[str, Any]) -> None:
    from evals.records import store
    from evals.terminal import sample as one
    from evals.terminal.layout import width

    found = one.find(store.find_one(options["results"], run), sample, repeat=options["repeat"], then=then)
    if options["as_json"]:
        common.print_json(_sample_json(found))
        return
    with _formulas() as formula:
        common.print_lines(one.layout(found, width(), reasoning=options["reasoning"], formula=formula))
    click.echo()
    common.say(f"Next: {_next(run, found.sample.id, then or 'not-right', options['results'])}")


def _next(run: str, sample: str, then: str, results: Path) -> str:
    """Write the command that shows the next sample."""
    from shlex import quote

    where = "" if results == Path("results") else f" --results {quote(str(results))}"
    return f"evals show {quote(run)} --sample {quote(sample)} --next {then}{where}"


def _formulas() -> Any:
    from evals.terminal.molecules import formulas

    return formulas()


def _sample_json(found: Any) -> dict[str, Any]:
    """Return one sample as JSON; of a gated suite without texts."""
    from evals.terminal.samples import row

    return row(found.sample, found.repeat, found.record, gated=found.card.gated, texts=True)


def _show_samples(run: str, options: Mapping[str, Any]) -> None:
    from evals.records import store

    several = store.find(options["results"], run)
    verdict, texts = options["verdict"], options["texts"]
    if options["as_json"]:
        rows = [row for one in several for row in _rows(one, verdict, texts=texts, named=len(several) > 1)]
        common.print_json({"samples": rows})
        return
    by_fields: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for one in several:
        fields = _fields(one)
        shown = [{name: row[name] for name in fields} for row in _rows(one, verdict)]
        by_fields.setdefault(fields, {})[_title(one.card) if len(several) > 1 else ""] = shown
    for place, (fields, sections) in enumerate(by_fields.items()):
        if options["as_csv"]:
            rows = [row for some in sections.values() for row in some]
            _write_csv(fields, rows)
        else:
            if place:
                click.echo()
            _print_samples(fields, sections)


def _title(card: Card) -> str:
    return f"{card.config.suite} · {card.config.protocol} · {card.model}"


def _fields(run: Run) -> tuple[str, ...]:
    from evals.terminal.samples import FIELDS, GATED

    return GATED if run.card.gated else FIELDS


def _rows(
    run: Run, verdict: str | None, *, texts: bool = False, named: bool = False
) -> Iterable[dict[str, Any]]:
    from evals.terminal.samples import rows

    more = {"suite": run.card.config.suite} if named else {}
    for row in rows(run, texts=texts):
        if verdict in (None, row["verdict"].partition(":")[0]):
            yield {**more, **row}


def _print_samples(fields: Sequence[str], sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    from evals.terminal.layout import Column, table, width
    from evals.terminal.samples import cell

    drops = {"why": 1, "group": 4, "target": 2, "value": 3, "repeat": 5}
    columns = [Column(name, right=name in ("repeat", "value"), drop=drops.get(name, 0)) for name in fields]
    laid = [(title, [[cell(v) for v in row.values()] for row in rows]) for title, rows in sections.items()]
    common.print_lines(table(columns, laid, width()))


def _write_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    from evals.terminal.samples import safe_cell

    writer = csv.DictWriter(sys.stdout, fields)
    writer.writeheader()
    writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in rows)
