"""`evals gate noise`: run a model several times under the same conditions and report how much the runs differ."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.commands.options import given_options, request_options
from evals.errors import UsageError
from evals.records.names import NOISE_PREFIX
from evals.run.request import make_request
from evals.terminal.layout import Column
from evals.verdicts import formatting

if TYPE_CHECKING:
    from evals.verdicts.noise import RepeatabilityReport
    from evals.verdicts.suite_run import SuiteRun


@click.command()
@click.argument("model", required=False)
@click.argument("suites", nargs=-1, metavar="SUITE...", shell_complete=common.complete_suites)
@click.option("--times", type=int, default=2, show_default=True, help="Number of runs of each suite.")
@click.option(
    "--from",
    "run_names",
    multiple=True,
    metavar="RUN",
    help="Use this finished run instead of running MODEL; can be repeated.",
)
@click.option("--server", default="", help="Engine and version, for the report.")
@click.option("--precision", default="", help="Precision such as bf16 or fp8, for the report.")
@click.option("--batch", default="", help="Batching policy, for the report.")
@request_options(
    "protocol", "data", "sample", "repeats", "concurrency", "temperature", "max_tokens", "thinking", "results"
)
@common.trust_option
@common.json_option
def noise(
    model: str | None,
    suites: tuple[str, ...],
    times: int,
    run_names: tuple[str, ...],
    server: str,
    precision: str,
    batch: str,
    results: Path,
    as_json: bool,
    **options: Any,
) -> int:
    """Run MODEL on the suites several times and write a repeatability report: how much the runs differ.

    With --from RUN, given at least twice, nothing is run.

    Later comparisons show the repeatability limit next to every difference, and policies with a smaller
    margin are refused.
    """
    from evals.verdicts import noise as repeatability

    conditions = repeatability.Conditions(server=server, precision=precision, batch=batch)
    names = list(run_names) or _run_repeatedly(
        model, suites, times, {**given_options(options), "results": results}
    )
    reports = [repeatability.measure(runs, conditions=conditions) for runs in _load_by_suite(names, results)]
    paths = [repeatability.write(results, report) for report in reports]
    if as_json:
        common.print_json({"certificates": reports})  # the key keeps the reports' earlier name
        return 0
    _print(reports)
    for path in paths:
        common.say(f"written to {path}")
    return 0


def _load_by_suite(names: list[str], results: Path) -> list[list[SuiteRun]]:
    """Return the repeated runs of each suite; raises UsageError unless the runs of each name cover all suites under the same conditions."""
    from evals.verdicts import suite_runs
    from evals.verdicts.suite_run import incomparability_reasons

    if len(names) < 2:
        raise UsageError("measuring noise requires at least two runs")
    repeated_runs = [suite_runs.load_named_runs(results, name) for name in names]
    runs_by_suite = []
    for first in repeated_runs[0]:
        runs = [
            suite_run
            for run in repeated_runs
            for suite_run in run
            if (suite_run.suite, suite_run.protocol) == (first.suite, first.protocol)
        ]
        faults = [reason for run in runs[1:] for reason in incomparability_reasons(first, run)]
        faults += [
            f"{first.suite}: models differ: {first.model} and {suite_run.model}"
            for suite_run in runs
            if suite_run.model != first.model
        ]
        if faults or len(runs) < len(names):
            raise UsageError("; ".join(faults) or f"not every run has {first.suite} ({first.protocol})")
        runs_by_suite.append(runs)
    return runs_by_suite


def _run_repeatedly(
    model: str | None, suites: tuple[str, ...], times: int, options: dict[str, Any]
) -> list[str]:
    """Run the suites `times` times, each with its own sampling seed, and return the names of the runs."""
    from evals import api

    if not model or not suites:
        raise UsageError("expected a model and at least one suite: evals gate noise MODEL SUITE...")
    if times < 2:
        raise UsageError(f"--times must be 2 or more, got {times}")
    prefix = f"{NOISE_PREFIX}{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    names = [f"{prefix}-{i + 1}" for i in range(times)]
    for i, run in enumerate(names):
        request = make_request({**options, "suites": suites, "models": [model], "run": run, "seed": i})
        _, unfinished = api.run_request(request, say=common.note)
        if unfinished:
            raise UsageError(f"run {run} did not finish; repeat the command to start again")
    return names


def _print(reports: list[RepeatabilityReport]) -> None:

    rows = [
        (
            report.suite,
            report.protocol,
            report.model,
            report.metric,
            ", ".join(formatting.format_amount(value, report.unit) for value in report.values),
            formatting.format_size(report.deviation, report.unit),
            formatting.format_size(report.limit, report.unit),
            f"{report.discordance:.3g}",
        )
        for report in reports
    ]
    headings = ("suite", "protocol", "model", "metric", "runs", "s_r", "limit r", "discordance")
    common.table("", [Column(name, right=i >= 4) for i, name in enumerate(headings)], rows)
    if any(len(report.values) < 5 for report in reports):
        common.say("with fewer than five runs, the limit itself is uncertain by a factor of about two")
