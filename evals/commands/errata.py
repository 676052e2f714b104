"""`evals errata`: known errors in data sets, and suspect items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from evals import disk, load
from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.data import errata as data_errata
from evals.plain import count_of
from evals.records import store
from evals.terminal.layout import Column

if TYPE_CHECKING:
    from evals.verdicts.suspect_items import SuspectItemReport

MAX_ITEMS = 60
DEFECTS = {"gold": "a wrong gold answer", "question": "a defective question", "duplicate": "a duplicate"}
"""Kind of an erratum -> the defect of its items, in words."""
COMMANDS = {
    "list": Entry("errata:list_", "List known errors in one suite or in all."),
    "suggest": Entry(
        "errata:suggest",
        "List items to which several models give the same answer, other than the gold answer.",
    ),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def errata() -> None:
    """List known errors in data sets; scores are reported with and without the items concerned."""


@click.command("list")
@click.argument("suite", required=False, shell_complete=common.complete_suites)
@common.json_option
def list_(suite: str | None, as_json: bool) -> None:
    """List known errors in one suite or in all."""
    names = [load.resolve_suite_name(suite)] if suite else load.suite_names()
    errata_by_suite = {name: data_errata.entries(name) for name in names}
    if as_json:
        common.print_json(
            {name: {"version": v, "entries": e} for name, (v, e) in errata_by_suite.items() if e}
        )
        return
    if not any(entries for _, entries in errata_by_suite.values()):
        common.say(f"No known errata{f' for {suite}' if suite else ''}.")
    for name, (version, entries) in errata_by_suite.items():
        for entry in entries:
            suite_id = f"{name}:{entry.variant}" if entry.variant else name
            common.say(
                f"{suite_id} (errata {version}): {count_of(len(entry.items), 'item')} with {DEFECTS[entry.kind]}\n"
                f"    {entry.evidence}; {entry.source}"
            )


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=common.complete_runs)
@click.option(
    "--least",
    "min_models",
    type=click.IntRange(2),
    help="Minimum number of models that agree; default: three quarters of them.",
)
@click.option("--out", type=common.FILE, help="Write a draft errata file for review.")
@common.results_option
@common.json_option
def suggest(
    runs: tuple[str, ...], min_models: int | None, out: Path | None, results: Path, as_json: bool
) -> None:
    """List items to which several models give the same answer, other than the gold answer, for a person to review.

    The draft contains ids and answers only, and is not accepted as an errata file until each item's kind is decided.
    """
    from evals.verdicts.suspect_items import find_suspect_items

    suspects = find_suspect_items([store.find_one(results, name) for name in runs], min_models=min_models)
    if out is not None:
        _write_draft(out, suspects)
    if as_json:
        common.print_json(suspects)
        return
    common.say(
        f"{count_of(len(suspects.items), 'item')} of {suspects.suite} to which at least {suspects.least} of {len(suspects.models)} models "
        "give the same answer, other than the gold answer"
    )
    columns = [*map(Column, ("id", "group", "gold", "their answer")), Column("models", right=True)]
    rows = (
        [
            item.id,
            item.group,
            item.gold,
            item.answer,
            f"{len(item.models)} of {item.answered}{' (known)' if item.known else ''}",
        ]
        for item in suspects.items[:MAX_ITEMS]
    )
    if suspects.items:
        common.table("", columns, rows)
    common.say_more(len(suspects.items) - MAX_ITEMS, "--json lists all, --out all that are not yet known")
    if out is not None:
        common.say(f"Draft: {out}. Decide on each item, then move the file to suites/errata/.")


def _write_draft(out: Path, suspects: SuspectItemReport) -> None:
    lines = ['version = "draft"', ""]
    lines += [
        "# For each item: kind gold (value: the right answer), kind question (value: what is wrong), or remove it."
    ]
    for item in suspects.items:
        if item.known:
            continue
        evidence = f"{len(item.models)} of {item.answered} models answer {item.answer!r}, the gold answer is {item.gold!r}"
        variant = [f"variant = {_toml_string(suspects.variant)}"] if suspects.variant else []
        lines += [
            "",
            "[[entry]]",
            'kind = "undecided"',
            *variant,
            f"evidence = {_toml_string(evidence)}",
            f"source = {_toml_string('evals errata suggest: ' + ', '.join(item.models))}",
            f"items = {{ {_toml_string(item.id)} = {_toml_string(item.answer)} }}",
        ]
    with disk.naming(out):
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml_string(text: str) -> str:
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")  # a JSON string is a TOML string
