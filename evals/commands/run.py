"""`evals run`: run benchmarks on models and print their scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.commands.common import json_option, note, trust_option
from evals.commands.options import GroupedCommand, given_options, help_all, request_options
from evals.errors import UsageError
from evals.records.card import Card
from evals.run.request import RunRequest, changed_options, is_sweep, make_request, read_request, read_settings

if TYPE_CHECKING:
    from evals.run.model_run import Outcome


@click.command(cls=GroupedCommand)
@click.argument(
    "suites", nargs=-1, required=True, metavar="SUITE... | FILE.toml", shell_complete=common.complete_suites
)
@request_options(without=["suites"])
@trust_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
@help_all
def run(suites: tuple[str, ...], quiet: bool, as_json: bool, **options: Any) -> int:
    """Run benchmarks on models: send every item, score the replies, store everything.

    Repeating the command resumes an interrupted run. A FILE.toml sets the same options as keys
    (docs/run.md). Several models run concurrently under one budget; those that need this machine's GPUs
    run one after the other, and with --one-model-at-a-time all do. A model that fails does not stop the
    others. Exit status: 0 all scored, 1 finished with failures, 2 nothing could be
    started or every call to a model failed, 130 interrupted.
    """
    from evals.run.session import Session

    if (sweep := _read_sweep(suites)) is not None:
        settings, file_name = sweep
        from evals.commands import sweep as sweeps

        return sweeps.run(settings, given_options(options), file_name, quiet=quiet, as_json=as_json)
    request = _make_request(suites, given_options(options))
    if (status := dry_run_or_detach(request, as_json=as_json)) is not None:
        return status
    early_stop = None
    if request.against is not None or request.policy is not None or request.until_decided:
        from evals.verdicts.early_stopping import early_stopping_gate

        early_stop = early_stopping_gate(request)
    outcomes = Session(request, say=note, quiet=quiet, early_stop=early_stop).run()
    unfinished = any(outcome.interrupted or outcome.fault for outcome in outcomes)
    if early_stop is not None and not unfinished:
        from evals.commands.gate import print_report

        return print_report(early_stop.report(), as_json=as_json)
    return report_outcomes(outcomes, as_json=as_json, results=request.results)


def dry_run_or_detach(request: RunRequest, *, as_json: bool) -> int | None:
    """With --dry-run, print what a request would do; with --detach, submit it as a job. Return the exit status, else None."""
    from evals.run.dry_run import forecast
    from evals.run.session import Session

    if request.dry_run:
        return common.print_forecasts(forecast(Session(request, say=note)), request.results, as_json=as_json)
    return 0 if request.detach and common.submit_as_job(request, as_json=as_json) else None


def report_outcomes(outcomes: Sequence[Outcome], *, as_json: bool, results: Path) -> int:
    """Print the runs' scores and return the exit status."""
    cards = [card for outcome in outcomes for card in outcome.cards]
    if cards or as_json or not any(outcome.fault for outcome in outcomes):
        _print(cards, as_json=as_json, results=results)
    return common.exit_status(outcomes)


def _read_sweep(suites: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    """Return the settings of a sweep file and its name; None if no sweep file is given."""
    files = [name for name in suites if name.endswith(".toml")]
    if len(files) != 1 or not is_sweep(settings := read_settings(Path(files[0]))):
        return None
    if len(suites) > 1:
        raise UsageError(f"{files[0]} is a sweep, which lists its suites itself; name no others")
    return settings, files[0]


def _make_request(suites: Sequence[str], options: dict[str, Any]) -> RunRequest:
    """Merge a request file with the command line, which takes precedence."""
    files = [name for name in suites if name.endswith(".toml")]
    if not files:
        return make_request({**options, "suites": suites})
    file_options = changed_options(read_request(Path(files[0])))
    if "slurm" in options:  # a table; the command line replaces single keys
        options["slurm"] = [*file_options.get("slurm", []), *options["slurm"]]
    if len(files) > 1:
        raise UsageError(f"expected one request file, got {' and '.join(files)}")
    suite_names = [name for name in suites if name not in files]
    return make_request({**file_options, **options, **({"suites": suite_names} if suite_names else {})})


def _print(cards: Sequence[Card], *, as_json: bool, results: Path) -> None:
    from evals.commands.show import print_overview
    from evals.run.overview import Overview, aggregates

    run_overview = Overview(cards=list(cards), broken=[], aggregates=aggregates(cards))
    print_overview(run_overview, by_group=False, as_json=as_json)
    if not as_json and cards:
        from evals.terminal.forecasts import unpublished_protocols
        from evals.verdicts import reported

        for line in unpublished_protocols(cards, reported.load_claims()):
            common.say(line)
        common.say_next_commands(cards[0], results)
        sys.stdout.flush()
