"""`evals judge calibrate`: measure a judge model against human labels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from evals import disk, load
from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.errors import DataError, UnknownName, Unreadable, UsageError
from evals.plain import count_of
from evals.records import store
from evals.run.judging import make_judge
from evals.scorers.judge.agreement import RatedPair, agreement, ppi, rogan_gladen
from evals.types import Score

if TYPE_CHECKING:
    from evals.scorers.judge.judge import Judge, Template


class Label(Struct, frozen=True, kw_only=True):
    """A human verdict on the given texts, or on a reply of a run."""

    label: bool
    """Whether the candidate, or the reply, is right."""
    question: str = ""
    reference: str | None = None
    candidate: str | None = None
    id: str | int | None = None
    repeat: int = 0


class Calibration(Struct, kw_only=True):
    """Agreement of a judge with human labels, and a run's score corrected for it."""

    judge: str
    template: str
    labels: int
    unreadable: int = 0
    agreement: dict[str, Any]
    tpr: tuple[float, float, float] | None = None
    """True-positive rate (share of right replies judged right): value, low, high."""
    tnr: tuple[float, float, float] | None = None
    """True-negative rate (share of wrong replies judged wrong): value, low, high."""
    raw: float | None = None
    """The run's share of right answers, uncorrected."""
    corrected: dict[str, Any] = {}
    """`rogan_gladen` if the labels are not from the run, `ppi` if they are."""


@click.group(
    cls=LazyGroup, entries={"calibrate": Entry("judge:calibrate", "Measure a judge against human labels.")}
)
def judge() -> None:
    """Measure judge models."""


@click.command()
@click.argument("model", metavar="JUDGE")
@click.option("--labels", type=common.PATH, required=True, help="JSON Lines file with human verdicts.")
@click.option("--run", metavar="RUN", help="Run whose score is to be corrected.")
@click.option(
    "--template",
    "template_name",
    default="correctness",
    show_default=True,
    help="Prompt template of the judge.",
)
@common.results_option
@common.json_option
def calibrate(
    model: str, labels: Path, run: str | None, template_name: str, results: Path, as_json: bool
) -> None:
    """Measure a judge against human labels: true-positive and true-negative rates, kappa, and a corrected score.

    Lines {"label": true, "question": ..., "reference": ..., "candidate": ...} are sent to the judge. With --run, lines
    {"label": true, "id": ..., "repeat": 0} label replies of the run, whose verdicts are used.
    """
    lines = _read_labels(labels)
    lines_with_id = [line for line in lines if line.id is not None]
    if lines_with_id and (run is None or len(lines_with_id) < len(lines)):
        raise UsageError(f"{labels}: labels with ids require --run, and then every line must have an id")
    judge_model = make_judge(model, name=load.without_secrets(model), price=None)
    if lines_with_id:
        calibration = _calibrate_on_run(results, str(run), lines, judge_model)
    else:
        pairs, unreadable = asyncio.run(_ask_judge(judge_model, _load_template(template_name), lines))
        calibration = _make_calibration(judge_model.spec, template_name, pairs, len(lines), unreadable)
        if run is not None:
            _add_corrected_score(calibration, pairs, results, run)
    if as_json:
        common.print_json(calibration)
        return
    for line in _report_lines(calibration):
        common.say(line)


def _load_template(name: str) -> Template:
    from evals.scorers.judge.judge import template

    names = sorted(
        path.name.removesuffix(".md") for path in (files("evals.scorers.judge") / "templates").iterdir()
    )
    usable = [name for name in names if "A" in template(name).allowed]
    if name not in usable:
        raise UnknownName("template", name, usable)
    return template(name)


def _read_labels(path: Path) -> list[Label]:
    try:
        lines = disk.read_small(path).splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    labels = [
        _parse_label(raw, f"{path}, line {number}") for number, raw in enumerate(lines, 1) if raw.strip()
    ]
    if not labels:
        raise DataError(f"{path}: no labels")
    return labels


def _parse_label(raw: bytes, location: str) -> Label:
    try:
        label = msgspec.json.decode(raw, type=Label)
    except ValueError as error:
        raise DataError(f"{location}: {error}") from None
    if label.id is None and (label.candidate is None or label.reference is None):
        raise DataError(f"{location}: expected an id, or a reference and a candidate")
    return label


async def _ask_judge(
    judge_model: Judge, template: Template, lines: Sequence[Label]
) -> tuple[list[RatedPair], int]:
    """Return the label and the judge's verdict on each line, and the number of lines without a readable verdict."""

    async def decide(line: Label) -> RatedPair | None:
        try:
            filled = template.fill(line.question, line.reference or "", line.candidate or "")
            letter, _ = await judge_model.ask_until_verdict(template, *filled)
        except Unreadable:
            return None
        return RatedPair(line.label, letter == "A", item=_item_of(line))

    try:
        verdicts = await asyncio.gather(*map(decide, lines))
    finally:
        await judge_model.close()
    pairs = [pair for pair in verdicts if pair is not None]
    return pairs, len(verdicts) - len(pairs)


def _item_of(line: Label) -> str:
    """Return the item of labelled texts: candidates for one question and reference are not independent."""
    return "\x00".join(filter(None, (line.question, line.reference, "" if line.question else line.candidate)))


def _make_calibration(
    name: str, template_name: str, pairs: Sequence[RatedPair], labels: int, unreadable: int = 0
) -> Calibration:
    statistics = agreement(pairs)
    tpr, tnr = (
        None if rate is None else (1 - rate[0], 1 - rate[2], 1 - rate[1])
        for rate in (statistics.wrongly_wrong, statistics.wrongly_right)
    )
    return Calibration(
        judge=name,
        template=template_name,
        labels=labels,
        unreadable=unreadable,
        agreement=msgspec.structs.asdict(statistics),
        tpr=tpr,
        tnr=tnr,
    )


def _read_verdicts(results: Path, run: str) -> tuple[dict[tuple[str, int], bool], bool]:
    """Return whether each answer of a run is right, by sample and repeat, and whether all verdicts are from a judge."""
    verdicts, all_judged = {}, True
    for record in store.find_one(results, run).compact_records():
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Score) and score.verdict not in ("graded", "truncated", "refused", "unanswered"):
            verdicts[record.sample, record.repeat] = score.value == 1.0
            all_judged = all_judged and "judge" in score.parts
    return verdicts, all_judged


def _calibrate_on_run(results: Path, run: str, lines: Sequence[Label], judge_model: Judge) -> Calibration:
    """Compare a run's verdicts with labels of its replies, and correct its score by prediction-powered inference."""
    verdicts, _ = _read_verdicts(results, run)
    labelled: dict[tuple[str, int], bool] = {}
    for line in lines:
        if labelled.setdefault((str(line.id), line.repeat), line.label) != line.label:
            raise DataError(f"id {line.id}, repeat {line.repeat} is labelled both right and wrong")
    if unknown := [key for key in labelled if key not in verdicts]:
        raise DataError(
            f"run {run} has no verdict on {count_of(len(unknown), 'labelled reply', 'labelled replies')}, for example {unknown[0][0]}"
        )
    pairs = [RatedPair(label, verdicts[key], item=key[0]) for key, label in labelled.items()]
    calibration = _make_calibration(judge_model.spec, "as in the run", pairs, len(pairs))
    calibration.raw = sum(verdicts.values()) / len(verdicts)
    unlabelled = {key: right for key, right in verdicts.items() if key not in labelled}
    estimate = ppi(list(unlabelled.values()), pairs, items=[sample for sample, _ in unlabelled])
    calibration.corrected = {"ppi": msgspec.structs.asdict(estimate)}
    return calibration


def _add_corrected_score(
    calibration: Calibration, pairs: Sequence[RatedPair], results: Path, run: str
) -> None:
    """Add a run's score corrected for the judge's errors; raises UsageError unless a judge gave all of its verdicts."""
    verdicts, all_judged = _read_verdicts(results, run)
    if not all_judged or not verdicts:
        raise UsageError(f"run {run}: not all verdicts are from a judge; label its replies by id instead")
    calibration.raw = sum(verdicts.values()) / len(verdicts)
    estimate = rogan_gladen(list(verdicts.values()), pairs, items=[sample for sample, _ in verdicts])
    calibration.corrected = {"rogan_gladen": msgspec.structs.asdict(estimate)}


def _report_lines(calibration: Calibration) -> list[str]:
    from evals.scorers.judge.account import format_interval

    kappa = calibration.agreement["kappa"]
    lines = [
        f"judge {calibration.judge}, template {calibration.template}, {count_of(calibration.labels, 'label')}, {calibration.unreadable} without a verdict",
        f"  true-positive rate: {format_interval(calibration.tpr, 100.0, ' %')}",
        f"  true-negative rate: {format_interval(calibration.tnr, 100.0, ' %')}",
        f"  kappa: {'undefined' if kappa is None else format_interval(kappa, 1.0, '')}",
    ]
    if calibration.raw is not None:
        lines.append(f"  uncorrected score: {100 * calibration.raw:.1f} %")
    for estimate in calibration.corrected.values():
        interval = (estimate["value"], estimate["low"], estimate["high"])
        lines.append(f"  corrected score: {format_interval(interval, 100.0, ' %')} ({estimate['method']})")
    return lines
