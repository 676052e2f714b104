"""`evals claims`: published numbers, how a run compares with them, and how to measure one again."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.commands.options import Grouped, given, help_all, request_options
from evals.errors import UnknownName, UsageError
from evals.records.store import Run

if TYPE_CHECKING:
    from evals.records.card import Card
    from evals.verdicts.contestant import Contestant
    from evals.verdicts.reported import Claim
    from evals.verdicts.reproduction import Finding, Measured

STATUS = {"different": 1, "equivalent": 0, "inconclusive": 3, "not comparable": 3}
"""Verdict -> exit status; of several the first one here counts."""


COMMANDS = {
    "list": Entry("claims:list_", "List published numbers with their sources."),
    "show": Entry("claims:show", "Show all that is known of a published number, and what is not."),
    "check": Entry("claims:check", "Compare a run with the published numbers of its suite and model."),
    "reproduce": Entry("claims:reproduce", "Measure a published number again, and compare."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def claims() -> None:
    """List published numbers, check runs against them, and measure them again."""


@click.command("list")
@click.option("--suite", help="Of this suite alone.")
@click.option("--model", help="Of this model alone.")
@common.trust_option
@common.results_option
@common.json_option
def list_(suite: str | None, model: str | None, results: Path, as_json: bool) -> None:
    """List published numbers with their sources."""
    from evals.verdicts.reported import named
    from evals.verdicts.reproduction import same_model

    known = named(results)
    found = {
        name: claim
        for name, claim in known.items()
        if (
            suite is None
            or claim.suite in (suite, suite.replace("_", "-"))
            or claim.suite.startswith(f"{suite}:")
        )
        and (model is None or same_model(claim.model, model))
    }
    if as_json:
        common.print_json({"claims": [{"id": name, "claim": claim} for name, claim in found.items()]})
        return
    if not found:
        what = model if suite is None else suite
        raise UnknownName(
            "claim of", str(what), {c.model for c in known.values()} | {c.suite for c in known.values()}
        )
    from evals.terminal.layout import Column

    columns = [
        Column("claim", spill=30),
        Column("value", right=True),
        Column("protocol", drop=1),
        Column("date", drop=2, whole=True),
        Column("known", drop=3),
    ]
    common.table("", columns, (_row(name, claim) for name, claim in found.items()))


def _row(name: str, claim: Claim) -> list[str]:
    knobs = ", ".join(claim.knobs) + (", superseded" if claim.superseded else "")
    return [
        name,
        _figure(claim.value, claim.unit),
        claim.protocol or "not known",
        str(claim.date or ""),
        knobs,
    ]


@click.command()
@click.argument("claim")
@common.trust_option
@common.results_option
@common.json_option
def show(claim: str, results: Path, as_json: bool) -> None:
    """Show all that is known of a published number, and what is not."""
    from evals.verdicts.reported import named
    from evals.verdicts.reproduction import asked_of
    from evals.verdicts.wording import setting

    name, found = _one(claim, named(results))
    unknown = [knob for knob in asked_of(found) if knob not in found.knobs]
    if as_json:
        common.print_json({"id": name, "claim": found, "unknown": unknown})
        return
    common.say(f"{found.model} on {found.benchmark}: {_figure(found.value, found.unit)}")
    for label, text in (
        ("suite", f"{found.suite}, protocol {found.protocol or 'not known'}"),
        ("metric", found.metric or "not said"),
        ("source", f"{found.source} ({found.date or 'no date'})"),
        ("first published", str(found.first or "")),
        (
            "note",
            found.note + ("; superseded by a later number of the same source" if found.superseded else ""),
        ),
        ("known", ", ".join(f"{knob} {setting(value)}" for knob, value in found.knobs.items()) or "nothing"),
        ("told in", found.told),
        ("not known", ", ".join(unknown) or "nothing"),
    ):
        if text:
            common.say(f"    {label:<16} {text}")


@click.command()
@click.argument("run", shell_complete=common.complete_runs)
@click.option("--model", help="Whose claims; default: the run's own model.")
@common.trust_option
@click.option(
    "--within",
    type=click.FloatRange(min=0, min_open=True),
    help="Difference that counts as none, in the metric's unit (0.02: two points); default: 0.02, or 2 % of the number.",
)
@common.results_option
@common.json_option
def check(run: str, model: str | None, within: float | None, results: Path, as_json: bool) -> int:
    """Hold a run against the published numbers of its suite and model.

    Equivalent: shown to differ by less than --within from run to run; different: shown to differ; else inconclusive.
    Exit status: 1 different from one, 0 equivalent to one that compares, 3 inconclusive, or nothing compares.
    """
    from evals.records import store

    return _judge(store.find(results, run), model, results, as_json=as_json, within=within)


def _judge(
    runs: Sequence[Run],
    model: str | None,
    results: Path,
    *,
    as_json: bool,
    only: str | None = None,
    within: float | None = None,
) -> int:
    from evals.run.overview import overview
    from evals.verdicts import noise
    from evals.verdicts.reported import named
    from evals.verdicts.reproduction import check as hold
    from evals.verdicts.reproduction import measured, with_noise

    seen = overview(runs)
    for line in seen.broken:
        common.note(f"broken run: {line}")
    known = named(results)
    if only is not None:
        known = {only: known[only]}
    reports = noise.read_all(results)
    found = [
        finding
        for one in measured(seen.cards, seen.aggregates)
        for finding in hold(
            with_noise(one, _contestants(runs, one), reports),
            known,
            model or (one.cards[0].model if one.cards else ""),
            within=within,
        )
    ]
    if not found:
        raise UsageError(_nothing_published(seen.cards, known, model=model))
    if as_json:
        common.print_json({"findings": found})
    else:
        for finding in found:
            _say(finding)
    verdicts = {finding.verdict for finding in found}
    return next(status for verdict, status in STATUS.items() if verdict in verdicts)


def _nothing_published(cards: Sequence[Card], known: dict[str, Claim], *, model: str | None) -> str:
    """Say that nothing is published of a run's model and suites, and of which models something is."""
    suites = sorted({card.config.suite for card in cards})
    whose = sorted({claim.model for claim in known.values() if claim.suite in suites})
    models = ", ".join(sorted({model or card.model for card in cards}))
    near = get_close_matches(models, whose, n=3)
    hint = f"did you mean --model {' or '.join(near)}?" if near else "name a published model with --model"
    hint = (
        f"{hint} (`evals claims list --suite {suites[0]}` lists them)"
        if whose
        else "`evals claims list` lists what is"
    )
    return f"no published number of {models or 'this run'} on {' or '.join(suites)}; {hint}"


def _contestants(runs: Sequence[Run], one: Measured) -> list[Contestant]:
    """Read the run that was measured, for what its repeats differ by; none if it had none."""
    from evals.verdicts.contestants import contestant

    if len(one.cards) != 1:
        return []
    return [
        contestant(run)
        for run in runs
        if run.path.name == one.cards[0].run and run.card.config.suite == one.suite
    ]


def _say(found: Finding) -> None:
    unit = found.unit
    common.say(f"{found.claim}: {_said(found)}")
    span = f" [{_figure(found.low, unit)}, {_figure(found.high, unit)}]" if found.low is not None else ""
    common.say(f"    claimed {_figure(found.claimed, unit)}, measured {_figure(found.measured, unit)}{span}")
    if found.difference is not None:
        points = "points" if unit == "fraction" else unit
        scale = 100 if unit == "fraction" else 1
        low, high = (scale * (x or 0.0) for x in (found.difference_low, found.difference_high))
        common.say(f"    difference {scale * found.difference:+.2f} {points} [{low:+.2f}, {high:+.2f}]")
        common.say(f"    run-to-run noise {scale * (found.noise or 0.0):.2f} {points} ({found.noise_from})")
    for line in found.because:
        common.say(f"    not comparable: {line}")
    if found.unknown:
        common.say(f"    the source does not tell: {', '.join(found.unknown)}")


def _said(found: Finding) -> str:
    """Write the verdict with the figure that makes it one."""
    scale, points = (100, "points") if found.unit == "fraction" else (1, found.unit)
    if found.verdict == "equivalent":
        return f"equivalent within {scale * (found.within or 0.0):g} {points}"
    if found.verdict == "different":
        return f"different by {scale * (found.difference or 0.0):+.2f} {points}"
    if found.verdict == "inconclusive":
        least = scale * (found.detectable or 0.0)
        return f"inconclusive: a shift under {least:.2g} {points} would not have been seen"
    return found.verdict


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if unit == "fraction" else f"{value:.4g} {unit}"


def _one(wanted: str, known: dict[str, Claim]) -> tuple[str, Claim]:
    """Find a claim by its id or a beginning of it; raises UnknownName or UsageError with the candidates."""
    if wanted in known:
        return wanted, known[wanted]
    begun = [name for name in known if name.startswith(wanted.lower())]
    if len(begun) == 1:
        return begun[0], known[begun[0]]
    if begun:
        raise UsageError(f"{wanted!r} is the beginning of {len(begun)} claims: {', '.join(begun[:8])}")
    raise UnknownName("claim", wanted, known, see="evals claims list")


@click.command(cls=Grouped)
@click.argument("claim")
@click.option("-m", "--model", required=True, metavar="ADAPTER:NAME", help="The model to ask.")
@common.trust_option
@request_options(without=["suites", "models", "protocol", "against", "policy", "until_decided"])
@help_all
def reproduce(claim: str, model: str, **options: Any) -> int:
    """Measure a published number again: its suite, protocol and known conditions; ends with the verdict.

    Options are those of `evals run`. Exit status as of `evals claims check`; 2 where nothing could be
    started, 130 interrupted.
    """
    from evals import load
    from evals.commands.run import report_outcomes
    from evals.run.request import make
    from evals.run.session import Session
    from evals.verdicts.reported import named

    results: Path = options["results"]
    name, found = _one(claim, named(results))
    if not found.protocol:
        raise UsageError(f"{name}: its protocol is not known, so it cannot be measured again")
    try:
        load.recorded_suite(found.suite, found.protocol)
    except UnknownName:
        raise UsageError(f"{name}: there is no suite {found.suite} here to measure it with") from None
    known = {knob: value for knob, value in found.knobs.items() if knob in SET_BY_RUN}
    fixed = {"suites": [found.suite], "models": [model], "protocol": found.protocol}
    outcomes = Session(make({**known, **given(options), **fixed}), say=common.note).run()
    status = report_outcomes(outcomes, as_json=False, results=results)
    if status in (2, 130):
        return status
    runs = [Run(path) for one in outcomes for path in one.paths]
    return _judge(runs, found.model, results, as_json=False, only=name)


SET_BY_RUN = ("temperature", "top_p", "max_tokens", "repeats", "thinking")
"""Conditions of a published number that are options of a run."""
