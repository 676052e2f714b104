"""`evals claims`: list published numbers, compare runs with them, reproduce them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals import load
from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.commands.options import GroupedCommand, given_options, help_all, request_options
from evals.commands.run import dry_run_or_detach, report_outcomes
from evals.errors import UnknownName, UsageError
from evals.interop.values import join_names
from evals.plain import either
from evals.records import store
from evals.records.card import Card
from evals.records.store import Run
from evals.report.estimand_names import describe_estimand
from evals.run.request import make_request
from evals.terminal.layout import Column
from evals.verdicts.formatting import format_amount, format_setting
from evals.verdicts.grim import GrimTable, examine_claims, explanation
from evals.verdicts.reported import Claim, claims_by_id, is_same_model

if TYPE_CHECKING:
    from evals.verdicts.reproduction import Finding, MeasuredScore
    from evals.verdicts.suite_run import SuiteRun

EXIT_STATUS = {"different": 1, "equivalent": 0, "inconclusive": 3, "not comparable": 3}
"""Verdict -> exit status; if there are several verdicts, the one that comes first here decides."""

COMMANDS = {
    "list": Entry("claims:list_", "List published numbers with their sources."),
    "show": Entry("claims:show", "Show what is known about a published number, and what is not."),
    "check": Entry("claims:check", "Compare a run with the published numbers of its suite and model."),
    "import": Entry("claims_import:import_", "Import another project's corpus of published numbers."),
    "reproduce": Entry("claims:reproduce", "Reproduce a published number and compare the scores."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def claims() -> None:
    """List published numbers, check runs against them, and reproduce them."""


@click.command("list")
@click.option("--suite", help="Only this suite.")
@click.option("--model", help="Only this model.")
@common.trust_option
@common.results_option
@common.json_option
def list_(suite: str | None, model: str | None, results: Path, as_json: bool) -> None:
    """List published numbers with their sources."""
    selected = _select_claims(claims_by_id(results), suite, model)
    if as_json:
        common.print_json({"claims": [{"id": name, "claim": claim} for name, claim in selected.items()]})
        return

    columns = [
        Column("claim", spill=30), Column("value", right=True), Column("protocol", drop=1),
        Column("date", drop=2, no_wrap=True), Column("conditions", drop=3),
    ]  # fmt: skip
    common.table("", columns, (_claim_row(name, claim) for name, claim in selected.items()))


def _conditions_text(conditions: dict[str, Any]) -> str:
    return ", ".join(f"{name} {format_setting(value)}" for name, value in conditions.items())


def _select_claims(all_claims: dict[str, Claim], suite: str | None, model: str | None) -> dict[str, Claim]:
    """Return the claims for a suite and a model (None: any); raises UnknownName if there are none."""
    suite_name = None if suite is None else suite.replace("_", "-")
    selected = {
        name: claim
        for name, claim in all_claims.items()
        if (suite_name is None or claim.suite == suite_name or claim.suite.startswith(f"{suite_name}:"))
        and (model is None or is_same_model(claim.model, model))
    }
    if not selected:
        names = {name for claim in all_claims.values() for name in (claim.model, claim.suite)}
        noun = "model" if suite is None else "suite"
        unknown = str(model if suite is None else suite)
        raise UnknownName(f"{noun} with published numbers", unknown, names, see="evals claims list")
    return selected


def _claim_row(name: str, claim: Claim) -> list[str]:
    marks = [*(["superseded"] if claim.superseded else []), *(["erratum"] if claim.erratum else [])]
    conditions = ", ".join([*claim.knobs, *marks])
    score = format_amount(claim.value, claim.unit)
    return [name, score, claim.protocol or "unknown", str(claim.date or ""), conditions]


@click.command()
@click.argument("claim")
@common.trust_option
@common.results_option
@common.json_option
def show(claim: str, results: Path, as_json: bool) -> None:
    """Show what is known about a published number, and what is not."""
    from evals.verdicts.reproduction import relevant_conditions

    name, published = _find_claim(claim, claims_by_id(results))
    conditions = published.knobs | published.inferred
    unknown = [condition for condition in relevant_conditions(published) if condition not in conditions]
    if as_json:
        common.print_json({"id": name, "claim": published, "unknown": unknown})
        return
    common.say(
        f"{published.model} on {published.benchmark}: {format_amount(published.value, published.unit)}"
    )
    for label, text in (
        ("suite", f"{published.suite}, protocol {published.protocol or 'unknown'}"),
        ("metric", published.metric or "not stated"),
        ("source", f"{published.source} ({published.date or 'no date'})"),
        ("first published", str(published.first or "")),
        ("note", published.note),
        ("superseded", "by a later number of the same source" if published.superseded else ""),
        ("erratum", published.erratum),
        ("conditions", _conditions_text(published.knobs) or "none stated"),
        ("stated in", published.told),
        ("inferred", _conditions_text(published.inferred)),
        ("unknown", ", ".join(unknown) or "none"),
    ):
        if text:
            common.say(f"    {label:<16} {text}", indent=21)


@click.command()
@click.argument("run", required=False, shell_complete=common.complete_runs)
@click.option("--model", help="Model of the published numbers; default: the run's own model.")
@click.option(
    "--grid",
    is_flag=True,
    help="Check instead whether the published scores are possible with the number of items (GRIM test).",
)
@click.option("--suite", help="With --grid: only this suite.")
@common.trust_option
@click.option(
    "--within",
    type=common.FiniteRange(min=0, min_open=True),
    help="Equivalence margin in the metric's unit (0.02: two points); default: 0.02, or 2 % of the number.",
)
@common.results_option
@common.json_option
def check(
    run: str | None,
    model: str | None,
    grid: bool,
    suite: str | None,
    within: float | None,
    results: Path,
    as_json: bool,
) -> int:
    """Compare a run with the published numbers of its suite and model.

    The verdict is `equivalent` if the difference is significantly smaller than --within, `different` if it is
    significant, else `inconclusive`. Exit status: 1 if different from a number, else 0 if equivalent to one, else 3.
    With --grid: 1 if a number cannot be a share of its benchmark's items, else 0.
    """
    if grid:
        if run is not None or within is not None:
            raise UsageError("--grid checks published numbers; it cannot be combined with a run or --within")
        return _check_grid(suite, model, results, as_json=as_json)
    if run is None:
        raise UsageError("expected a run or --grid")
    if suite is not None:
        raise UsageError("--suite requires --grid; a run has its own suite")
    return _compare_with_published(store.find(results, run), model, results, as_json=as_json, within=within)


def _check_grid(suite: str | None, model: str | None, results: Path, *, as_json: bool) -> int:
    tables = examine_claims(_select_claims(claims_by_id(results), suite, model), load.item_counts())
    if as_json:
        common.print_json({"tables": tables})
    else:
        for table in tables:
            _print_grim_table(table)
    return int(any(result.is_possible is False for table in tables for result in table.results))


def _print_grim_table(table: GrimTable) -> None:
    tested = [result for result in table.results if result.is_possible is not None]
    impossible = [result for result in tested if not result.is_possible]
    item_count = f"{table.items:,} items" if table.items else "number of items unknown"
    common.say(f"{table.suite} ({table.benchmark}, {item_count}): {table.source}")
    if not tested:
        common.say(f"    not tested: {table.results[0].why_not}")
        return
    by_chance = sum(result.share or 0.0 for result in tested)
    common.say(
        f"    {len(tested) - len(impossible)} of {len(tested)} are possible shares of {table.items * tested[0].runs:,} answers"
        f" ({by_chance:.1f} expected by chance)"
    )
    if table.common_runs is not None:
        common.say(
            f"    all are possible with {table.items:,} items x {table.common_runs} runs (p = {table.p:.1g} by chance)"
        )
    for result in impossible:
        model = result.claim.partition("/")[0]
        common.say(f"    impossible: {model} {result.printed}: {explanation(result)}")


def _compare_with_published(
    runs: Sequence[Run],
    model: str | None,
    results: Path,
    *,
    as_json: bool,
    claim_id: str | None = None,
    within: float | None = None,
) -> int:
    from evals.run.overview import overview
    from evals.verdicts import noise
    from evals.verdicts.reproduction import check_claims, measured_scores, with_noise

    run_overview = overview(runs)
    common.note_broken((*run_overview.broken, *run_overview.damaged))
    all_claims = claims_by_id(results)
    if claim_id is not None:
        all_claims = {claim_id: all_claims[claim_id]}
    reports = noise.read_all(results)
    measurements = measured_scores(run_overview.cards, run_overview.aggregates)
    findings = [
        finding
        for measurement in measurements
        for finding in check_claims(
            with_noise(measurement, _suite_runs(runs, measurement), reports),
            all_claims,
            model or (measurement.cards[0].model if measurement.cards else ""),
            margin=within,
        )
    ]
    if not findings:
        suites = {card.config.suite for card in run_overview.cards} | {score.suite for score in measurements}
        raise UsageError(_no_claims_message(run_overview.cards, sorted(suites), all_claims, model=model))
    return _report_findings(findings, as_json=as_json)


def _report_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    if as_json:
        common.print_json({"findings": findings})
    else:
        for finding in findings:
            _print_finding(finding)
    verdicts = {finding.verdict for finding in findings}
    return next(status for verdict, status in EXIT_STATUS.items() if verdict in verdicts)


def _no_claims_message(
    cards: Sequence[Card], suites: Sequence[str], all_claims: dict[str, Claim], *, model: str | None
) -> str:
    """Return an error message, with suggestions, for a run whose model has no published numbers on these suites."""
    if not suites:
        return "the run cannot be read"
    published_models = sorted({claim.model for claim in all_claims.values() if claim.suite in suites})
    models = ", ".join(sorted({model or card.model for card in cards}))
    matches = get_close_matches(models, published_models, n=3)
    advice = f"did you mean --model {either(matches)}?" if matches else "name a published model with --model"
    hint = f"{advice} (`evals claims list --suite {suites[0]}` lists them)"
    if not published_models:
        hint = "`evals claims list` lists all published numbers"
    return f"no published number for {models or 'this run'} on {either(suites)}; {hint}"


def _suite_runs(runs: Sequence[Run], measurement: MeasuredScore) -> list[SuiteRun]:
    """Return the measured run with its samples, to estimate run-to-run noise; empty if several runs were measured."""
    from evals.verdicts.suite_runs import of_run

    if len(measurement.cards) != 1:
        return []
    (measured,) = measurement.cards
    cards = [(run, run.card) for run in runs if run.path.name == measured.run]
    return [
        of_run(run) for run, card in cards if (card.config, card.model) == (measured.config, measured.model)
    ]


def _print_finding(finding: Finding) -> None:
    unit = finding.unit
    scale, points = _scale(unit)
    common.say(f"{finding.claim}: {_verdict_text(finding)}")
    interval = (
        f" [{format_amount(finding.low, unit)}, {format_amount(finding.high, unit)}]"
        if finding.low is not None
        else ""
    )
    common.say(
        f"    claimed {format_amount(finding.claimed, unit)}, measured {format_amount(finding.measured, unit)}{interval}"
    )
    if finding.difference is not None:
        low, high = (scale * (limit or 0.0) for limit in (finding.difference_low, finding.difference_high))
        common.say(
            f"    difference {scale * finding.difference:+.2f} {points} [{low:+.2f}, {high:+.2f}], {describe_estimand(finding.estimand)}"
        )
        common.say(
            f"    run-to-run noise {scale * (finding.noise or 0.0):.2f} {points} ({finding.noise_from})"
        )
    if finding.erratum:
        common.say(f"    erratum: {finding.erratum}")
    for line in finding.because:
        common.say(f"    not comparable: {line}")
    if finding.unknown:
        common.say(f"    not stated by the source: {', '.join(finding.unknown)}")


def _scale(unit: str) -> tuple[int, str]:
    """Return the factor and the unit in which differences are displayed; fractions are displayed in points."""
    return (100, "points") if unit == "fraction" else (1, unit)


def _verdict_text(finding: Finding) -> str:
    """Return the verdict with the figure that explains it, if any."""
    scale, points = _scale(finding.unit)
    if finding.verdict == "equivalent":
        return f"equivalent within {scale * (finding.margin or 0.0):g} {points}"
    if finding.verdict == "different":
        return f"different by {scale * (finding.difference or 0.0):+.2f} {points}"
    if finding.verdict == "inconclusive":
        detectable = scale * (finding.detectable or 0.0)
        return f"inconclusive: a difference below {detectable:.2g} {points} would not be detected"
    return finding.verdict


def _find_claim(prefix: str, all_claims: dict[str, Claim]) -> tuple[str, Claim]:
    """Return the id of the claim `prefix`, or of the only one whose id begins with it, and the claim; raises UsageError otherwise."""
    if prefix in all_claims:
        return prefix, all_claims[prefix]
    matches = [name for name in all_claims if name.startswith(prefix.lower())]
    if len(matches) == 1:
        return matches[0], all_claims[matches[0]]
    if matches:
        raise UsageError(f"{prefix!r} is a prefix of {len(matches)} claims: {join_names(matches, limit=8)}")
    raise UnknownName("claim", prefix, all_claims, see="evals claims list")


@click.command(cls=GroupedCommand)
@click.argument("claim")
@click.option("-m", "--model", required=True, metavar="ADAPTER:NAME", help="The model to run.")
@common.trust_option
@request_options(without=["suites", "models", "protocol", "against", "policy", "until_decided"])
@help_all
def reproduce(claim: str, model: str, **options: Any) -> int:
    """Reproduce a published number: run its suite and protocol under its known conditions, and compare the scores.

    Options are those of `evals run`. Exit status as for `evals claims check`; 2 if nothing could be
    started, 130 if interrupted.
    """
    from evals.run.session import Session

    results: Path = options["results"]
    name, published = _find_claim(claim, claims_by_id(results))
    if not published.protocol:
        raise UsageError(f"{name} cannot be reproduced: its protocol is unknown")
    try:
        load.recorded_suite(published.suite, published.protocol)
    except UnknownName:
        raise UsageError(f"{name} cannot be reproduced: there is no suite {published.suite}") from None
    conditions = {knob: value for knob, value in published.knobs.items() if knob in RUN_CONDITIONS}
    fixed = {"suites": [published.suite], "models": [model], "protocol": published.protocol}
    request = make_request({**conditions, **given_options(options), **fixed})
    if (status := dry_run_or_detach(request, as_json=False)) is not None:
        return status
    outcomes = Session(request, say=common.note).run()
    status = report_outcomes(outcomes, as_json=False, results=results)
    if status in (2, 130):
        return status
    runs = [Run(path) for outcome in outcomes for path in outcome.paths]
    return _compare_with_published(runs, published.model, results, as_json=False, claim_id=name)


RUN_CONDITIONS = ("temperature", "top_p", "max_tokens", "repeats", "thinking")
"""Conditions of a published number that can be set as options of a run."""
