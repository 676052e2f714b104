"""Shared code of the commands: options, shell completion, and output as JSON, lines and tables."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from evals.errors import EvalsError
from evals.plain import notice, plain
from evals.remote.address import is_address
from evals.terminal.layout import Column, width, wrap
from evals.terminal.layout import table as layout_table

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from evals.challenge.summary import Challenge
    from evals.records.card import Card
    from evals.run.dry_run import Forecast, Totals
    from evals.run.model_run import Outcome
    from evals.run.request import RunRequest

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
FILE, FOLDER = click.Path(path_type=Path, dir_okay=False), click.Path(path_type=Path, file_okay=False)


class ResultsFolder(click.Path):
    """A results folder or, for commands that only read, an address such as s3://bucket/path."""

    def __init__(self, *, writes: bool = False) -> None:
        """Create the type; addresses are refused if the command `writes` to the folder."""
        super().__init__(path_type=Path, file_okay=False)
        self.writes = writes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the folder, or for an address its copy in the cache; raises StoreError."""
        if is_address(value) and not (ctx and ctx.resilient_parsing):
            from evals.records import mirror

            return mirror.writable_folder(value) if self.writes else mirror.readable_folder(value)
        path: Any = super().convert(value, param, ctx)
        return Path(path)


class FiniteRange(click.FloatRange):
    """A finite number in a range; infinity and NaN are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail with a usage error if it is not finite or out of range."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def results_option(function: F, *, writes: bool = False) -> F:
    """Add `--results DIR`. `writes`: whether the command writes to the folder, which must then be local."""
    text = (
        "Folder with the runs." if writes else "Folder with the runs, or an address such as s3://bucket/path."
    )
    return click.option(
        "--results",
        type=ResultsFolder(writes=writes),
        default=Path("results"),
        show_default=True,
        help=text,
    )(function)


writable_results_option = partial(results_option, writes=True)


def latest_option(function: F) -> F:
    """Add `--latest`."""
    return click.option(
        "--latest", is_flag=True, help="If a name matches several runs of a suite, take the newest."
    )(function)


def trust_option(function: F) -> F:
    """Add `--trust-tasks`."""
    return click.option(
        "--trust-tasks",
        is_flag=True,
        expose_value=False,
        callback=_trust_tasks,
        help="Allow stored runs to load lm-eval tasks and plugins, which execute code.",
    )(function)


def _trust_tasks(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from evals import load

        context.with_resource(load.trusting_tasks())


def json_option(function: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document only.")(function)


def data_options(function: F) -> F:
    """Add `--data` and `--sample`."""
    function = click.option(
        "--sample", is_flag=True, help="Use the bundled sample items instead of the benchmark."
    )(function)
    return click.option(
        "--data",
        type=PATH,
        help="Local mirror: a folder with a subfolder per suite, or one suite's file.",
    )(function)


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a run (`last`, MODEL/SUITE if unique, short or full id); its suite and model are shown as help."""
    from click.shell_completion import CompletionItem

    from evals.records import store
    from evals.records.names import short_ids

    results = Path(ctx.params.get("results") or "results")
    runs = store.runs(results) if results.is_dir() else []
    short = short_ids(run.path.name for run in runs)
    names = {"last": "the newest run"} if runs else {}
    descriptions: list[tuple[str, str, str]] = []
    for run in reversed(runs):
        try:
            model, suite = (" ".join(plain(text).split()) for text in (run.card.model, run.card.config.suite))
        except EvalsError:
            model, suite = "broken", ""
        descriptions.append((run.path.name, model, suite))
    counts = Counter((model, suite) for _, model, suite in descriptions)
    for run_id, model, suite in descriptions:
        aliases = [f"{model}/{suite}"] if suite and counts[model, suite] == 1 and " " not in model else []
        for name in (*aliases, short[run_id], run_id):
            names.setdefault(name, f"{suite} {model}".strip())
    return [
        CompletionItem(name, help=help_text)
        for name, help_text in names.items()
        if name.startswith(incomplete)
    ]


def complete_suites(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a suite, or its variant after a colon."""
    from click.shell_completion import CompletionItem

    from evals import load
    from evals.collection import COLLECTIONS

    name, colon, _ = incomplete.partition(":")
    names = [*load.suite_names(), *COLLECTIONS]
    if colon and name in COLLECTIONS:
        names = [f"{name}:{column.name}" for column in COLLECTIONS[name].columns]
    elif colon and name in names:
        names = [f"{name}:{variant}" for variant in load.listing(name).variants if variant]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the adapter in a model's name."""
    from click.shell_completion import CompletionItem

    from evals import load

    forms = [form for form in load.model_name_forms() if form.startswith(incomplete)]
    return [CompletionItem(form, help=load.adapter_summary(form)) for form in forms]


_CONTROL_CHARACTERS = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that are valid in JSON but control a terminal."""


def print_json(document: Any) -> None:
    """Print a JSON document."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    click.echo(_CONTROL_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def say(message: str, *, no_wrap: bool = False, indent: int = 4) -> None:
    """Print a line without control characters, wrapped to the terminal's width unless `no_wrap`.

    `indent`: number of spaces before continuation lines.
    """
    for line in wrap(plain(message), None if no_wrap else width(), indent=" " * indent):
        click.echo(line)


def say_more(count: int, hint: str, *, indent: str = "") -> None:
    """Print how many entries of a list are not shown, if any."""
    if count > 0:
        say(f"{indent}... and {count} more ({hint})")


def results_flag(results: Path) -> str:
    """Return ` --results DIR` for a suggested command, empty for the default folder."""
    from evals.remote.cache import display_path

    return "" if results == Path("results") else f" --results {quote(display_path(results))}"


def say_next_commands(card: Card, results: Path) -> None:
    """Print the commands that show a run's samples and all runs."""
    flag = results_flag(results)
    say(f"Samples:  evals show {card.run} --samples{flag}    all runs:  evals show{flag}")


def note(message: str) -> None:
    """Print a line on standard error."""
    notice(message)


MAX_BROKEN = 5
"""Maximum number of broken runs that are named."""


def note_broken(lines: Sequence[str]) -> None:
    """Name the first broken runs on standard error."""
    for line in lines[:MAX_BROKEN]:
        note(f"broken run: {line}")
    if len(lines) > MAX_BROKEN:
        note(f"{len(lines) - MAX_BROKEN} more broken runs; `evals list runs` lists all")


def print_forecasts(
    forecasts: Sequence[Forecast], results: Path, *, as_json: bool, totals: Totals | None = None
) -> int:
    """Print forecasts; return exit status 2 if none of the runs could be started here. `totals`: those of a sweep."""
    from evals.terminal import forecasts as forecast_text
    from evals.verdicts import reported

    claims = reported.load_claims(results if (results / "claims").is_dir() else None)
    if as_json:
        rows = {"dry_run": forecast_text.json_rows(forecasts, claims)}
        print_json({**rows, "totals": totals} if totals is not None else rows)
    else:
        print_lines(forecast_text.lines(forecasts, claims, width(), totals=totals))
    return 2 if all(forecast.fault for forecast in forecasts) else 0


def submit_as_job(request: RunRequest, *, as_json: bool) -> bool:
    """Submit this command line as a job and print the job's id; return False if this process is that job.

    `request`: the command's request; for a sweep, the request of its first part.
    """
    from evals.run.cluster.slurm.detach import DRIVER_VARIABLE, detach
    from evals.run.session import Session

    if DRIVER_VARIABLE in os.environ:
        return False
    Session(request, say=note)  # reports unknown names now instead of in the job's log
    driver = detach(request, sys.argv[1:])
    if as_json:
        print_json({"job": driver.job_id, "log": str(driver.log)})
    else:
        say(
            f"Slurm job {driver.job_id} runs this command; log: {driver.log}; `scancel {driver.job_id}` cancels it"
        )
    return True


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """Return the exit status; if several models were run, report those that failed on standard error."""
    cards = [card for outcome in outcomes for card in outcome.cards]
    if len(outcomes) > 1:
        failures = [f"{outcome.model} failed: {outcome.fault}" for outcome in outcomes if outcome.fault]
        for line in dict.fromkeys(failures):  # in a sweep, several parts may fail for the same reason
            note(f"evals: {line}")
    if any(outcome.interrupted for outcome in outcomes):
        return 130
    if any(outcome.fault for outcome in outcomes):
        return 2
    complete = all(
        card.coverage == 1.0 and not any(finding.fault for finding in card.health) for card in cards
    )
    return 0 if complete and not any(outcome.unhealthy or outcome.skip_reason for outcome in outcomes) else 1


def run_json(card: Card, challenge: Challenge | None = None) -> dict[str, Any]:
    """Return a run as a JSON object, as in `evals show --json`; `challenge`: from the run's outcome file."""
    from evals.records import promise

    config = {name: getattr(card.config, name) for name in ("suite", "version", "protocol", "data_sha256")}
    return {
        "run": card.run,
        **config,
        **{name: getattr(card, name) for name in RUN_FIELDS},
        "promise": promise.promise_status(card),
        "challenge": challenge,
    }


RUN_FIELDS = (
    "model", "served", "status", "origin", "data", "gated", "counts", "forms", "coverage", "expected", "truncated",
    "tokens", "cost_usd", "chance", "started", "finished", "estimates", "notes", "judge", "wording", "health",
)  # fmt: skip
"""Fields of a card that are copied to the JSON object."""


def table(title: str, columns: Sequence[Column], rows: Iterable[Iterable[str]]) -> None:
    """Print a table that fits the terminal."""
    print_lines(layout_table(columns, [(title, [list(row) for row in rows])], width()))


def print_lines(lines: Iterable[str]) -> None:
    """Print laid-out lines, without styles if the output is not a terminal or NO_COLOR is set."""
    for line in lines:
        click.echo(line, color=False if "NO_COLOR" in os.environ else None)
