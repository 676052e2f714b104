"""`evals score`: rescore stored replies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from evals import load, profiles
from evals.commands import common
from evals.errors import UsageError
from evals.labels import ProtocolName, ScoredUnder
from evals.plain import count_of
from evals.profiles import Price
from evals.records import store
from evals.records.card import Card
from evals.records.store import Run
from evals.records.writer import Writer
from evals.run.judging import with_judge
from evals.suite import Suite
from evals.types import Failure, Record, Score

if TYPE_CHECKING:
    from evals.run.rescore import Change

MAX_CHANGES = 40


@click.command()
@click.argument("run", shell_complete=common.complete_runs)
@click.option("--protocol", help="Score under another protocol's rules, as a new run.")
@click.option("--judge", metavar="ADAPTER:NAME", help="Judge model for replies without a verdict.")
@click.option("--judge-price", metavar="IN,OUT[,CACHED]", help="USD per million tokens of the judge.")
@common.trust_option
@common.writable_results_option
@common.json_option
def score(
    run: str, protocol: str | None, judge: str | None, judge_price: str | None, results: Path, as_json: bool
) -> None:
    """Rescore a run's stored replies and list the samples whose score changed; the model is not called.

    With --judge, a judge model grades the replies that it has not graded yet.
    """
    for stored in store.find(results, run):
        _rescore_run(
            stored,
            protocol,
            judge=judge,
            price=profiles.parse_price(judge_price, option="--judge-price"),
            as_json=as_json,
        )


def _rescore_run(
    run: Run, protocol: str | None, *, judge: str | None, price: Price | None, as_json: bool
) -> None:
    """Rescore a run, or a copy of it for another protocol or judge, and print the changes and the scores."""
    from evals.run.overview import Overview
    from evals.run.rescore import rescore, store_final_metrics

    card = run.card
    status = card.status
    suite = _scoring_suite(card, protocol or card.config.protocol)
    judge_name = load.without_secrets(judge or "")
    if judge is not None or suite.judged:
        (suite,) = with_judge([suite], judge, name=judge_name, price=price, allow_missing=True)
    other_protocol = suite.protocol if suite.protocol != card.config.protocol else ""
    other_judge = judge_name if card.config.judge not in ("", judge_name) else ""
    if other_protocol or other_judge:
        run = _copy_run(run, protocol=other_protocol, judge=other_judge)
        card = run.card
    if judge_name:
        card.config = structs.replace(card.config, judge=judge_name)
    writer = Writer(run.path, card)
    try:
        changes = rescore(writer, suite)
        writer.finalize()
        store_final_metrics(writer, suite)
        if status == "running":  # an earlier rescoring was killed
            status = "finished" if card.coverage == 1.0 else "partial"
        card.status = status
        writer.write_card()
    finally:
        writer.close()
    if as_json:
        common.print_json({"run": common.run_json(card), "changes": changes})
        return
    from evals.commands.show import print_overview

    _print_changes(changes)
    print_overview(Overview(cards=[card], broken=[], aggregates=[]), by_group=False, as_json=False)


def _scoring_suite(card: Card, protocol: str) -> Suite:
    """Return a run's suite under a protocol, or under its reworded form if the run did not use the protocol's prompts."""
    suite = load.recorded_suite(card.config.suite, protocol)[0]
    if protocol == card.config.protocol or suite.upstream is None:
        return suite
    suite = load.recorded_suite(card.config.suite, str(ProtocolName(protocol, reworded=True)))[0]
    common.note(f"{card.run}: its prompts are not those of {protocol}, so it is scored as {suite.protocol}")
    return suite


def _copy_run(run: Run, *, protocol: str, judge: str) -> Run:
    """Copy a run for scoring under another protocol, by another judge, or both; judged scores of an earlier copy are kept.

    The copy counts as running until it has been rescored, since its scores are those of the original.
    Raises UsageError if another run has the name of the copy.
    """
    card = run.card
    original = card.config
    card.config = structs.replace(
        original, protocol=protocol or original.protocol, judge=judge or original.judge
    )
    card.origin = f"score of {card.run}"
    if protocol:
        card.notes = (*card.notes, str(ScoredUnder(original.protocol, protocol)))
    name = "-".join([card.run, *([protocol] if protocol else []), *([store.slug(judge)] if judge else [])])
    card.run, card.files, card.status = name, {}, "running"
    card.estimates, card.counts, card.coverage = (), {}, 0.0
    path = run.path.with_name(name)
    scores = _scores_of_copy(path, card.origin)
    writer = Writer(path, card)
    try:
        writer.write_card()
        writer.write_samples(run.samples(), questions=not card.gated)
        writer.replace(
            structs.replace(record, scores=scores.get(_call_key(record), record.scores))
            for record in run.records()
        )
    finally:
        writer.close()
    return store.Run(path)


def _scores_of_copy(path: Path, origin: str) -> dict[tuple[str, int, float], dict[str, Score | Failure]]:
    """Return the judged scores of an earlier copy of a run, so that no verdict is paid for twice; empty if there is no copy."""
    if not path.exists():
        return {}
    if store.read_card(path).origin != origin:
        raise UsageError(
            f"{path} is another run: rename it, so that the rescored replies can be stored there"
        )
    return {
        _call_key(record): record.scores
        for record in store.Run(path).records()
        if any(isinstance(score, Score) and score.judged for score in record.scores.values())
    }


def _call_key(record: Record) -> tuple[str, int, float]:
    return record.sample, record.repeat, record.started


def _print_changes(changes: list[Change]) -> None:
    if not changes:
        common.say("No scores changed.")
        return
    common.say(f"{count_of(len(changes), 'score')} changed:")
    for change in changes[:MAX_CHANGES]:
        common.say(f"    {change.id} [{change.repeat}]: {change.before} -> {change.after}")
    common.say_more(len(changes) - MAX_CHANGES, "--json lists all", indent="    ")
