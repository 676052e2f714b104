"""`evals show`: runs in numbers, and samples one by one."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError
from evals.extract import plain
from evals.types import VERDICTS, Estimate, Failure, Reply, Score

if TYPE_CHECKING:
    from evals.records.card import Card
    from evals.records.store import Run
    from evals.run.overview import Overview


@click.command()
@click.argument("run", required=False, metavar="[RUN|DIR]")
@click.option("--by", type=click.Choice(["group"]), help="Break scores down.")
@click.option("--samples", is_flag=True, help="A row per sample and repeat of one run.")
@click.option("--verdict", help="With --samples: only this verdict, or `failed`.")
@click.option("--csv", "as_csv", is_flag=True, help="With --samples: print CSV.")
@common.trust_option
@common.results_option
@common.json_option
def show(
    run: str | None,
    by: str | None,
    samples: bool,
    verdict: str | None,
    as_csv: bool,
    results: Path,
    as_json: bool,
) -> None:
    """Show scores with their intervals, coverage and verdicts; without a RUN, of all runs."""
    from evals.records import store
    from evals.run.overview import overview

    if not samples and (verdict or as_csv):
        raise UsageError("--verdict and --csv go with --samples")
    if samples and by:
        raise UsageError("--by and --samples exclude each other")
    if samples:
        if run is None:
            raise UsageError("--samples shows one run: name it")
        _show_samples(store.find_one(results, run), verdict=verdict, as_csv=as_csv, as_json=as_json)
        return
    if run is None and not results.is_dir():
        raise UsageError(f"no results folder at {results}; `evals run` makes one")
    found = overview(store.find(results, run) if run is not None else store.runs(results))
    print_overview(found, by_group=by == "group", as_json=as_json)


def print_overview(found: Overview, *, by_group: bool, as_json: bool) -> None:
    """Print runs as a table or as one JSON document."""
    for line in found.broken:
        common.note(f"broken run: {line}")
    if as_json:
        common.print_json(
            {"runs": [common.run_json(card) for card in found.cards], "aggregates": found.aggregates}
        )
        return
    if not found.cards:
        click.echo("No runs yet. Try: evals run mmlu-pro gpqa aime --sample -m smollm2")
        return
    if any(card.data == "sample" for card in found.cards):
        click.echo("sample items: not a benchmark score")
    common.table("", SCORES, (_score_row(card) for card in found.cards))
    common.table("", VERDICT_COUNTS, (_count_row(card) for card in found.cards))
    for entry in found.aggregates:
        value = (
            common.percent(entry["value"])
            if entry["value"] is not None
            else f"needs {', '.join(entry['missing'])}"
        )
        name = f"{entry['suite']}:{entry['name']}" if "name" in entry else entry["suite"]
        common.say(f"{name} ({entry['protocol']}) {entry['model']}: {value}")
    if by_group:
        for card in found.cards:
            _print_groups(card)


SCORES = (
    ("suite", "left"),
    ("protocol", "left"),
    ("model", "left"),
    ("score", "right"),
    ("95 % interval", "right"),
    ("n", "right"),
    ("coverage", "right"),
    ("cut", "right"),
)
VERDICT_COUNTS = (("run", "left"), ("verdicts", "left"))


def _score_row(card: Card) -> list[str]:
    from evals.records.card import UNTOLD

    head = _headline(card)
    replies = sum(n for name, n in card.counts.items() if name in VERDICTS)
    return [
        card.config.suite,
        card.config.protocol,
        card.model,
        common.figure(head) if head else "-",
        common.span(head, head.low, head.high) if head else "-",
        str(head.n) if head else "0",
        f"{common.percent(card.coverage)} %",
        f"{common.percent(card.truncated / replies)} %" if replies and UNTOLD not in card.notes else "-",
    ]


def _headline(card: Card) -> Estimate | None:
    return next((e for e in card.estimates if e.headline and not e.group), None)


def _mended(card: Card, head: Estimate) -> Estimate | None:
    return next((e for e in card.estimates if e.metric == f"{head.metric}_corrected" and not e.group), None)


def _count_row(card: Card) -> list[str]:
    """Say of what a score is made; where outcomes are missing, what it could have been."""
    facts = [common.counts_line(card.counts)]
    head = _headline(card)
    if head:
        facts.append(head.metric)
    if head and card.coverage < 1 and head.worst is not None:
        facts.append(f"worst..best {common.span(head, head.worst, head.best)}")
    if head and (mended := _mended(card, head)) is not None:
        facts.append(f"with errata {card.errata}: {common.figure(mended)} of {mended.n}")
    if card.chance is not None:
        facts.append(f"chance {common.percent(card.chance)} %")
    facts.extend(note for note in card.notes if note.startswith("judge:"))
    if card.data != "hub":
        facts.append({"sample": "sample items", "local": "local data"}[card.data])
    if card.status != "finished":
        facts.append(card.status)
    return [card.run, "; ".join(facts)]


def _print_groups(card: Card) -> None:
    groups = [e for e in card.estimates if e.group]
    headline = next((e.metric for e in card.estimates if e.headline), "")
    main = [e for e in groups if e.metric == headline] or groups
    if not main:
        return
    title = f"{card.config.suite} · {card.config.protocol} · {card.model}"
    columns = (
        ("group", "left"),
        ("metric", "left"),
        ("score", "right"),
        ("95 % interval", "right"),
        ("n", "right"),
    )
    rows = ([e.group, e.metric, common.figure(e), common.span(e, e.low, e.high), str(e.n)] for e in main)
    common.table(title, columns, rows)


FIELDS = ("id", "repeat", "group", "verdict", "value", "answer", "target", "why")


def _show_samples(run: Run, *, verdict: str | None, as_csv: bool, as_json: bool) -> None:
    if verdict is not None and verdict not in (*VERDICTS, "failed"):
        raise UnknownName("verdict", verdict, (*VERDICTS, "failed"))
    fields = FIELDS if not run.card.gated else tuple(f for f in FIELDS if f not in ("target", "why"))
    rows = (row for row in sample_rows(run) if verdict in (None, row["verdict"].partition(":")[0]))
    shown = ({field: row[field] for field in fields} for row in rows)
    if as_json:
        common.print_json({"samples": list(shown)})
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, fields)
        writer.writeheader()
        writer.writerows({k: _safe_cell(v) for k, v in row.items()} for row in shown)
    else:
        rights = ("repeat", "value")
        columns = [(field, "right" if field in rights else "left") for field in fields]
        common.table("", columns, ([_cell(value) for value in row.values()] for row in shown))


def sample_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Yield a row per sample and repeat, in the order of the data set."""
    golds = run.gold()
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for record in run.records():
        if record.sample in golds:
            found[record.sample, record.repeat] = _judged(record.outcome, list(record.scores.values()))
    absent = {"verdict": "absent", "value": None, "answer": None, "why": ""}
    for id_, gold in golds.items():
        for repeat in range(run.card.config.repeats):
            row = found.get((id_, repeat), absent)
            yield {"id": id_, "repeat": repeat, "group": gold.group, "target": gold.target, **row}


def _judged(outcome: Reply | Failure, scores: Sequence[Score | Failure]) -> dict[str, Any]:
    first = outcome if isinstance(outcome, Failure) else scores[0] if scores else None
    if isinstance(first, Score):
        return {"verdict": first.verdict, "value": first.value, "answer": first.answer, "why": first.why}
    if first is None:
        return {"verdict": "unscored", "value": None, "answer": None, "why": ""}
    return {"verdict": f"failed:{first.kind}", "value": None, "answer": None, "why": first.message}


def _cell(value: Any) -> str:
    """Write a value for a terminal: short, on one line, without control characters."""
    if value is None:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= 80 else f"{flat[:79]}…"


def _safe_cell(value: Any) -> Any:
    """Keep a terminal from obeying a model's text, and a spreadsheet from reading it as a formula."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
