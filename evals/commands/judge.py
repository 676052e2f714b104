"""`evals judge calibrate`: how far a judge model can be believed, measured on verdicts of people."""

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
    from evals.scorers.judge.agreement import Corrected, Pair
    from evals.scorers.judge.judge import Judge, Template


class Label(Struct, frozen=True, kw_only=True):
    """A person's verdict: on texts that are given with it, or on a reply of a run."""

    label: bool
    question: str = ""
    reference: str | None = None
    candidate: str | None = None
    id: str | int | None = None
    repeat: int = 0


class Found(Struct, kw_only=True):
    """What a calibration found."""

    judge: str
    template: str
    labels: int
    unreadable: int = 0
    agreement: dict[str, Any]
    tpr: tuple[float, float, float] | None = None
    """Of what people call right, the judge does too: value, low, high."""
    tnr: tuple[float, float, float] | None = None
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
    "--labels", type=click.Path(path_type=Path), required=True, help="JSON lines with people's verdicts."
)
@click.option("--run", metavar="RUN", help="Correct this run's score by what the labels say.")
@click.option("--template", "form", default="correctness", show_default=True, help="Words to ask with.")
@common.results_option
@common.json_option
def calibrate(model: str, labels: Path, run: str | None, form: str, results: Path, as_json: bool) -> None:
    """Measure a judge on labels: how much of right and wrong it sees, and what that makes of a score.

    A line is {"label": true, "question": ..., "reference": ..., "candidate": ...}: the judge is asked; or
    {"label": true, "id": ..., "repeat": 0} with --run: the run's verdicts are taken.
    """
    from evals import load
    from evals.run.judging import make

    lines = _read(labels)
    ours = [line for line in lines if line.id is not None]
    if ours and (run is None or len(ours) < len(lines)):
        raise UsageError(f"{labels}: labels by id need --run, and all lines of one kind")
    bench = make(model, name=load.without_secrets(model), price=None)
    if ours:
        found = _by_run(results, str(run), lines, bench)
    else:
        pairs, unreadable = asyncio.run(_ask(bench, _template(form), lines))
        found = _found(bench.spec, form, pairs, len(lines), unreadable)
        if run is not None:
            _correct(found, pairs, results, run)
    if as_json:
        common.print_json(found)
        return
    for line in _wording(found):
        common.say(line)


def _template(name: str) -> Template:
    from importlib.resources import files

    from evals.errors import UnknownName
    from evals.scorers.judge.judge import template

    known = sorted(f.name.removesuffix(".md") for f in (files("evals.scorers.judge") / "templates").iterdir())
    usable = [n for n in known if "A" in template(n).allowed]
    if name not in usable:
        raise UnknownName("template", name, usable)
    return template(name)


def _read(path: Path) -> list[Label]:
    found = []
    try:
        for number, raw in enumerate(disk.read_small(path).splitlines(), 1):  # noqa: B007 - told in the error
            if raw.strip():
                found.append(msgspec.json.decode(raw, type=Label))
                if found[-1].id is None and (found[-1].candidate is None or found[-1].reference is None):
                    raise ValueError("neither an id nor reference and candidate")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}") from None
    if not found:
        raise DataError(f"{path}: no labels in it")
    return found


async def _ask(bench: Judge, form: Template, lines: Sequence[Label]) -> tuple[list[Pair], int]:
    from evals.scorers.judge.agreement import Pair

    async def one(line: Label) -> Pair | None:
        try:
            said, _ = await bench.decide(form, line.question, line.reference or "", line.candidate or "")
        except Unreadable:
            return None
        return Pair(line.label, said == "A")

    try:
        found = await asyncio.gather(*map(one, lines))
    finally:
        await bench.close()
    pairs = [pair for pair in found if pair is not None]
    return pairs, len(found) - len(pairs)


def _found(name: str, form: str, pairs: Sequence[Pair], labels: int, unreadable: int = 0) -> Found:
    from evals.scorers.judge.agreement import agreement

    agreed = agreement(pairs)
    flip = [
        None if r is None else (1 - r[0], 1 - r[2], 1 - r[1])
        for r in (agreed.wrongly_wrong, agreed.wrongly_right)
    ]
    return Found(
        judge=name,
        template=form,
        labels=labels,
        unreadable=unreadable,
        agreement=msgspec.structs.asdict(agreed),
        tpr=flip[0],
        tnr=flip[1],
    )


def _verdicts(results: Path, run: str) -> tuple[dict[tuple[str, int], bool], bool]:
    """Give a run's verdicts by sample and repeat, and whether a judge gave every one of them."""
    from evals.records import store
    from evals.types import Score

    found, judged = {}, True
    for brief in store.find_one(results, run).briefs():
        first = next(iter(brief.scores.values()), None)
        if isinstance(first, Score) and first.verdict not in ("graded", "truncated", "refused", "unanswered"):
            found[brief.sample, brief.repeat] = first.value == 1.0
            judged = judged and "judge" in first.parts
    return found, judged


def _by_run(results: Path, run: str, lines: Sequence[Label], bench: Judge) -> Found:
    from evals.scorers.judge.agreement import Pair, ppi

    verdicts, _ = _verdicts(results, run)
    labelled = {(str(line.id), line.repeat): line.label for line in lines}
    if strangers := [key for key in labelled if key not in verdicts]:
        raise DataError(
            f"run {run} has no verdict on {len(strangers)} labelled replies, for example {strangers[0][0]}"
        )
    pairs = [Pair(label, verdicts[key]) for key, label in labelled.items()]
    found = _found(bench.spec, "as in the run", pairs, len(lines))
    found.raw = sum(verdicts.values()) / len(verdicts)
    rest = [right for key, right in verdicts.items() if key not in labelled]
    found.corrected = {"ppi": _plain(ppi(rest, pairs))}
    return found


def _correct(found: Found, pairs: Sequence[Pair], results: Path, run: str) -> None:
    from evals.scorers.judge.agreement import rogan_gladen

    verdicts, judged = _verdicts(results, run)
    if not judged or not verdicts:
        raise UsageError(
            f"run {run}: not every verdict in it is a judge's; label replies of this run by id instead"
        )
    found.raw = sum(verdicts.values()) / len(verdicts)
    found.corrected = {"rogan_gladen": _plain(rogan_gladen(list(verdicts.values()), pairs))}


def _plain(corrected: Corrected) -> dict[str, Any]:
    return msgspec.structs.asdict(corrected)


def _wording(found: Found) -> list[str]:
    from evals.scorers.judge.account import span

    kappa = found.agreement["kappa"]
    lines = [
        f"judge {found.judge}, template {found.template}, {found.labels} labels, {found.unreadable} without a verdict",
        f"  sees right as right (TPR): {span(found.tpr, 100.0, ' %')}",
        f"  sees wrong as wrong (TNR): {span(found.tnr, 100.0, ' %')}",
        f"  kappa: {'not defined' if kappa is None else span(kappa, 1.0, '')}",
    ]
    if found.raw is not None:
        lines.append(f"  score as judged: {100 * found.raw:.1f} %")
    for fix in found.corrected.values():
        edges = (fix["value"], fix["low"], fix["high"])
        lines.append(f"  score corrected: {span(edges, 100.0, ' %')} ({fix['method']})")
    return lines
