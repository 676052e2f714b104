"""`evals gate`: test a candidate against a baseline under a policy; `evals gate plan`: what such a gate can detect."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from evals import disk
from evals.commands import common
from evals.commands.groups import DefaultCommand, Entry, LazyGroup
from evals.report.estimand_names import describe_estimand
from evals.terminal.layout import Column
from evals.verdicts import formatting

if TYPE_CHECKING:
    from evals.verdicts.budget import Budget
    from evals.verdicts.gate import GateReport
    from evals.verdicts.plan import Plan
    from evals.verdicts.planned_suites import SuitePlan
    from evals.verdicts.suite_run import SuiteRun


COMMANDS = {
    "plan": Entry("gate:plan", "Show, before anything is run, what a policy can detect and what it costs."),
    "baseline": Entry(
        "baseline:save", "Save a run's scores in a small file to commit, as a baseline for gates."
    ),
    "noise": Entry("noise:noise", "Measure how much repeated runs of a model differ, and write a report."),
    "promise": Entry("promise:promise", "Preregister a run: record what will be measured and judged."),
    "schema": Entry("gate:schema", "Print the JSON schema of `gate --json`."),
    "judge": Entry("gate:judge"),
}


baseline_option = click.option(
    "--baseline", required=True, metavar="RUN|FILE", help="A run, or a file written by `evals gate baseline`.",
    shell_complete=common.complete_runs,
)  # fmt: skip


@click.group(cls=LazyGroup, entries=COMMANDS, default="judge")
def gate() -> None:
    """Judge a candidate, or plan a gate."""


@click.command(cls=DefaultCommand, no_args_is_help=True)
@click.argument("candidate", metavar="CANDIDATE", shell_complete=common.complete_runs)
@baseline_option
@click.option("--policy", "policy_file", required=True, type=common.PATH, help="TOML file.")
@click.option("--junit", type=common.PATH, help="Write the report as JUnit XML.")
@click.option("--markdown", type=common.PATH, help="Append the report as Markdown (for a job summary).")
@common.latest_option
@common.trust_option
@common.results_option
@common.json_option
def judge(candidate: str, as_json: bool, junit: Path | None, markdown: Path | None, **options: Any) -> int:
    """Judge a run against a baseline: pass (exit status 0), regression (1) or inconclusive (3); 2 is a usage error.

    `evals gate plan POLICY.toml --baseline RUN` shows beforehand what the gate can detect.
    """
    from evals import api

    report = api.gate(candidate, policy=options.pop("policy_file"), **options)
    write_files(report, junit=junit, markdown=markdown)
    return print_report(report, as_json=as_json)


def write_files(report: GateReport, *, junit: Path | None, markdown: Path | None) -> None:
    """Write the report as JUnit XML, and append it to a Markdown file, which may be a summary shared by several jobs."""
    from evals.verdicts import gate_report_files

    if junit is not None:
        with disk.naming(junit):
            junit.write_bytes(gate_report_files.junit(report))
    if markdown is not None:
        with disk.naming(markdown), markdown.open("a", encoding="utf-8") as stream:
            stream.write(gate_report_files.markdown(report))


def print_report(report: GateReport, *, as_json: bool) -> int:
    """Print a report and return the exit status."""
    from evals.terminal.molecules import flip_lines
    from evals.verdicts.comparison_text import discordant_samples
    from evals.verdicts.gate import EXIT_STATUS
    from evals.verdicts.gate_report_files import VERDICT_SENTENCES, remarks, table_cells

    if as_json:
        common.print_json(report)
        return EXIT_STATUS[report.verdict]
    common.say(f"{formatting.VERDICT_SYMBOLS[report.verdict]} {VERDICT_SENTENCES[report.verdict]}")
    click.echo()
    common.say(
        f"candidate {report.candidate}, baseline {report.baseline}, {100 * report.level:g} % intervals"
    )
    common.table("", COLUMNS, map(table_cells, report.suites))
    for line in remarks(report):
        common.say(line)
    for line in flip_lines(discordant_samples(report.flips), 20, "changed samples (--json lists all)"):
        common.say(f"  {line}")
    return EXIT_STATUS[report.verdict]


COLUMNS = (
    Column("verdict", no_wrap=True), Column("suite"), Column("tier", drop=7), Column("baseline", right=True, drop=6),
    Column("candidate", right=True, drop=5), Column("difference", right=True), Column("interval", right=True),
    Column("margin", right=True, drop=1), Column("n", right=True, drop=3), Column("coverage", right=True, drop=4),
)  # fmt: skip
"""Columns of a report's table; those with the highest `drop` are omitted first if the terminal is too narrow."""


@click.command()
def schema() -> None:
    """Print the JSON schema of `gate --json`."""
    from evals.verdicts.gate import GateReport

    common.print_json(msgspec.json.schema(GateReport))


@click.command()
@click.argument("policy_file", type=common.PATH, metavar="POLICY.toml")
@baseline_option
@click.option("--again", metavar="RUN", help="A second run of the same model, to estimate run-to-run noise.")
@click.option(
    "--from",
    "others",
    multiple=True,
    metavar="RUN",
    help="Another run of the suites (different model, prompt or judge), to estimate variances; can be repeated.",
)
@click.option(
    "--drop",
    type=common.FiniteRange(min=0, min_open=True),
    metavar="D",
    help="Show what it takes to detect a drop of D, in the metric's unit; default: each suite's margin.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Items per suite, as in `evals run --limit`."
)
@click.option(
    "--simulations",
    type=click.IntRange(min=100),
    default=2000,
    show_default=True,
    help="Number of simulations.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of simulations and of --limit.")
@common.latest_option
@common.trust_option
@common.results_option
@common.json_option
def plan(policy_file: Path, as_json: bool, **options: Any) -> int:
    """Show, before anything is run, what a policy can detect, how often it errs, and what it costs.

    Exit status 2 if the policy cannot reach a decision; the closest policy that can is printed.
    """
    forecast = _compute_plan(policy_file, **options)
    if as_json:
        common.print_json(forecast)
    else:
        _print_plan(forecast)
    return 0 if forecast.decides else 2


def _compute_plan(
    policy_file: Path,
    *,
    baseline: str,
    again: str | None,
    others: tuple[str, ...],
    drop: float | None,
    limit: int | None,
    simulations: int,
    seed: int,
    results: Path,
    latest: bool,
) -> Plan:
    from evals.verdicts import alpha_spending, noise, policy, suite_runs
    from evals.verdicts.plan import plan as make_plan

    gate_policy = alpha_spending.single_gate_policy(policy.read(policy_file))
    names = [suite.name for suite in gate_policy.suite]

    def load(run: str) -> list[SuiteRun]:
        return suite_runs.load_named_runs(results, run, suites=names, latest=latest)

    baselines = load(baseline)
    reports = noise.matching_reports(results, baselines)
    baselines, second_runs, further_runs = suite_runs.with_common_ids(
        baselines, load(again) if again else [], [suite_run for run in others for suite_run in load(run)]
    )
    if limit is not None:
        baselines, second_runs = (
            [suite_runs.subset(suite_run, limit, seed=seed) for suite_run in runs]
            for runs in (baselines, second_runs)
        )
    return make_plan(
        baselines, gate_policy, second_runs=second_runs, runs=further_runs,
        drop=drop, reports=reports, simulations=simulations, seed=seed,
    )  # fmt: skip


def _print_plan(forecast: Plan) -> None:
    from evals.verdicts.gate import displayed_verdict

    columns = (
        Column("suite"), Column("tier", drop=6), Column("n", right=True), Column("margin", right=True),
        Column("discordant", right=True, drop=4), Column("from", right=True, drop=5), Column("detectable drop", right=True),
        Column("true pass", right=True, drop=1), Column("false pass", right=True, drop=2),
        Column("cost", drop=7),
    )  # fmt: skip
    common.say(f"Baseline {forecast.baseline}, {forecast.simulations:,} simulations")
    common.table("", columns, map(_plan_cells, forecast.suites))
    for estimand in dict.fromkeys(row.estimand for row in forecast.suites):
        suites = ", ".join(row.suite for row in forecast.suites if row.estimand == estimand)
        common.say(f"{suites}: {describe_estimand(estimand)}")
    click.echo()
    for scenario in forecast.scenarios:
        shares = ", ".join(
            f"{displayed_verdict(name)} {100 * share:.1f} %" for name, share in scenario.verdicts.items()
        )
        common.say(f"{scenario.name}: {shares}")
    _print_budgets(forecast)
    for line in forecast.notes:
        common.say(line)
    if forecast.decides:
        common.say("this policy can reach a decision")
        return
    common.say(f"refused: {forecast.why}")
    for line in forecast.nearest:
        common.say(f"  {line}")


def _print_budgets(forecast: Plan) -> None:
    columns = (
        Column("suite"), Column("drop", right=True), Column("items", right=True), Column("replies", right=True),
        Column("calls", right=True), Column("cost", right=True, drop=2), Column("time", right=True, drop=3),
        Column("with all items", right=True, drop=1), Column("discordant", right=True, drop=5), Column("from", drop=6),
    )  # fmt: skip
    for change in dict.fromkeys(row.change for row in forecast.budgets):
        rows = [_budget_cells(row) for row in forecast.budgets if row.change == change]
        click.echo()
        common.say(f"To detect a drop with 80 % power, against {_COMPARED_WITH[change]}; cheapest first")
        common.table("", columns, rows)
    click.echo()


_COMPARED_WITH = {"same model": "a changed version of the model", "another model": "another model"}
"""`Budget.change` -> the candidate, in words."""


def _duration_text(seconds: float | None) -> str:
    from evals.run.progress import duration_text

    return duration_text(seconds) if seconds else ""


def _budget_cells(row: Budget) -> tuple[str, ...]:
    in_unit = partial(formatting.format_size, unit=row.unit)
    if row.calls:
        design = (f"{row.items:,}", str(row.repeats), f"{row.calls:,}")
    else:
        design = ("-", "-", f"unreachable: at best {in_unit(row.limit)}")
    return (
        row.suite,
        in_unit(row.drop),
        *design,
        "-" if row.cost_usd is None else f"{row.cost_usd:.2f} USD",
        _duration_text(row.seconds) or "-",
        in_unit(row.least),
        f"{row.discordance:.2g}",
        row.source,
    )


def _plan_cells(row: SuitePlan) -> tuple[str, ...]:
    return (
        row.suite,
        row.tier,
        f"{row.n:,}",
        formatting.format_size(row.margin, row.unit),
        f"{row.discordance:.3g}",
        row.source,
        formatting.format_size(row.regression_mde, row.unit),
        f"{100 * row.passes_unchanged:.1f} %",
        f"{100 * row.passes_at_margin:.1f} %",
        ", ".join(
            filter(None, [formatting.format_usage(row.tokens, row.cost_usd), _duration_text(row.seconds)])
        )
        or "-",
    )
