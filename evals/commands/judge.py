"""`evals judge calibrate`: measure a judge model on human labels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from evals import disk
from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.errors import DataError, Unreadable, UsageError

if TYPE_CHECKING:
    from evals.scorers.judge.agreement import Corrected, RatedPair
    from evals.scorers.judge.judge import Judge, Template


class Label(Struct, frozen=True, kw_only=True):
    """A human verdict, on the given texts or on a reply of a run."""

    label: bool
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
    """Share of right replies that the judge calls right: value, low, high."""
    tnr: tuple[float, float, float] | None = None
    """Share of wrong replies that the judge calls wrong."""
    raw: float | None = None
    """Share of right answers in the run, as scored."""
    corrected: dict[str, Any] = {}
    """`rogan_gladen` with labels from elsewhere, `ppi` with labels from the same run."""


@click.group(
    cls=LazyGroup, lazy={"calibrate": Entry("judge:calibrate", "Measure a judge on labels by people.")}
)
def judge() -> None:
    """Measure judge models."""


@click.command()
@click.argument("model", metavar="JUDGE")
@click.option(
    "--labels", type=click.Path(path_type=Path), required=True, help="JSON lines with verdicts of people."
)
@click.option("--run", metavar="RUN", help="Correct this run's score by the labels.")
@click.option(
    "--template", "form", default="correctness", show_default=True, help="Prompt template of the judge."
)
@common.results_option
@common.json_option
def calibrate(model: str, labels: Path, run: str | None, form: str, results: Path, as_json: bool) -> None:
    """Measure a judge on labels by people: true-positive and true-negative rates, kappa, and a corrected score.

    A line is {"label": true, "question": ..., "reference": ..., "candidate": ...}, and the judge is called; or
    {"label": true, "id": ..., "repeat": 0} with --run, and the run's verdicts are used.
    """
    from evals import load
    from evals.run.judging import make

    lines = _read(labels)
    by_id = [line for line in lines if line.id is not None]
    if by_id and (run is None or len(by_id) < len(lines)):
        raise UsageError(f"{labels}: labels by id need --run, and all lines must be of one kind")
    bench = make(model, name=load.without_secrets(model), price=None)
    if by_id:
        calibration = _by_run(results, str(run), lines, bench)
    else:
        pairs, unreadable = asyncio.run(_ask(bench, _template(form), lines))
        calibration = _calibration(bench.spec, form, pairs, len(lines), unreadable)
        if run is not None:
            _correct(calibration, pairs, results, run)
    if as_json:
        common.print_json(calibration)
        return
    for line in _lines(calibration):
        common.say(line)


def _template(name: str) -> Template:
    from importlib.resources import files

    from evals.errors import UnknownName
    from evals.scorers.judge.judge import template

    names = sorted(f.name.removesuffix(".md") for f in (files("evals.scorers.judge") / "templates").iterdir())
    usable = [n for n in names if "A" in template(n).allowed]
    if name not in usable:
        raise UnknownName("template", name, usable)
    return template(name)


def _read(path: Path) -> list[Label]:
    try:
        lines = disk.read_small(path).splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    labels = [_label(raw, f"{path}, line {number}") for number, raw in enumerate(lines, 1) if raw.strip()]
    if not labels:
        raise DataError(f"{path}: no labels")
    return labels


def _label(raw: bytes, where: str) -> Label:
    try:
        label = msgspec.json.decode(raw, type=Label)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    if label.id is None and (label.candidate is None or label.reference is None):
        raise DataError(f"{where}: no id, and no reference with a candidate")
    return label


async def _ask(bench: Judge, form: Template, lines: Sequence[Label]) -> tuple[list[RatedPair], int]:
    from evals.scorers.judge.agreement import RatedPair

    async def one(line: Label) -> RatedPair | None:
        try:
            letter, _ = await bench.decide(form, line.question, line.reference or "", line.candidate or "")
        except Unreadable:
            return None
        return RatedPair(line.label, letter == "A")

    try:
        verdicts = await asyncio.gather(*map(one, lines))
    finally:
        await bench.close()
    pairs = [pair for pair in verdicts if pair is not None]
    return pairs, len(verdicts) - len(pairs)


def _calibration(
    name: str, form: str, pairs: Sequence[RatedPair], labels: int, unreadable: int = 0
) -> Calibration:
    from evals.scorers.judge.agreement import agreement

    agreed = agreement(pairs)
    tpr, tnr = (
        None if rate is None else (1 - rate[0], 1 - rate[2], 1 - rate[1])
        for rate in (agreed.wrongly_wrong, agreed.wrongly_right)
    )
    return Calibration(
        judge=name,
        template=form,
        labels=labels,
        unreadable=unreadable,
        agreement=msgspec.structs.asdict(agreed),
        tpr=tpr,
        tnr=tnr,
    )


def _verdicts(results: Path, run: str) -> tuple[dict[tuple[str, int], bool], bool]:
    """Return a run's verdicts by sample and repeat, and whether a judge gave all of them."""
    from evals.records import store
    from evals.types import Score

    verdicts, judged = {}, True
    for brief in store.find_one(results, run).briefs():
        first = next(iter(brief.scores.values()), None)
        if isinstance(first, Score) and first.verdict not in ("graded", "truncated", "refused", "unanswered"):
            verdicts[brief.sample, brief.repeat] = first.value == 1.0
            judged = judged and "judge" in first.parts
    return verdicts, judged


def _by_run(results: Path, run: str, lines: Sequence[Label], bench: Judge) -> Calibration:
    from evals.scorers.judge.agreement import RatedPair, ppi

    verdicts, _ = _verdicts(results, run)
    labelled = {(str(line.id), line.repeat): line.label for line in lines}
    if unknown := [key for key in labelled if key not in verdicts]:
        raise DataError(
            f"run {run} has no verdict on {len(unknown)} labelled replies, for example {unknown[0][0]}"
        )
    pairs = [RatedPair(label, verdicts[key]) for key, label in labelled.items()]
    calibration = _calibration(bench.spec, "as in the run", pairs, len(lines))
    calibration.raw = sum(verdicts.values()) / len(verdicts)
    rest = [right for key, right in verdicts.items() if key not in labelled]
    calibration.corrected = {"ppi": _plain(ppi(rest, pairs))}
    return calibration


def _correct(calibration: Calibration, pairs: Sequence[RatedPair], results: Path, run: str) -> None:
    from evals.scorers.judge.agreement import rogan_gladen

    verdicts, judged = _verdicts(results, run)
    if not judged or not verdicts:
        raise UsageError(
            f"run {run}: not all of its verdicts are a judge's; label replies of this run by id instead"
        )
    calibration.raw = sum(verdicts.values()) / len(verdicts)
    calibration.corrected = {"rogan_gladen": _plain(rogan_gladen(list(verdicts.values()), pairs))}


def _plain(corrected: Corrected) -> dict[str, Any]:
    return msgspec.structs.asdict(corrected)


def _lines(calibration: Calibration) -> list[str]:
    from evals.scorers.judge.account import format_interval

    kappa = calibration.agreement["kappa"]
    lines = [
        f"judge {calibration.judge}, template {calibration.template}, {calibration.labels} labels, {calibration.unreadable} without a verdict",
        f"  true-positive rate: {format_interval(calibration.tpr, 100.0, ' %')}",
        f"  true-negative rate: {format_interval(calibration.tnr, 100.0, ' %')}",
        f"  kappa: {'not defined' if kappa is None else format_interval(kappa, 1.0, '')}",
    ]
    if calibration.raw is not None:
        lines.append(f"  score as judged: {100 * calibration.raw:.1f} %")
    for fix in calibration.corrected.values():
        edges = (fix["value"], fix["low"], fix["high"])
        lines.append(f"  score corrected: {format_interval(edges, 100.0, ' %')} ({fix['method']})")
    return lines
