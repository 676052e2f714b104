"""Rescore stored replies, and compute the metrics of a run; neither the run's model nor the data set is needed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice

from msgspec import Struct, structs

from evals.errors import UsageError
from evals.labels import JUDGE_NOTE, SCORER_NOTE, Note
from evals.plain import count_of
from evals.records import store
from evals.records.card import Card
from evals.records.files import CompactRecord
from evals.records.writer import Writer
from evals.report.estimates import Summary, summarize
from evals.run.describe import record_rules
from evals.sandbox import Pool
from evals.scorers.scoring import SCORER_FAILED, Scoring
from evals.suite import Suite
from evals.types import Record, Reply, Sample, Score

MAX_FAILED_FRACTION = 0.01
"""If the scorer leaves more than this fraction of the expected outcomes unscored because it fails, the card says so."""
BATCH_SIZE = 256
"""Number of records that slow scorers score concurrently."""


class Change(Struct, frozen=True, kw_only=True):
    """A reply whose first score has another verdict, value or answer than before."""

    id: str
    """Id of the sample."""
    repeat: int
    before: str
    """Verdict and answer of the earlier score."""
    after: str


def rescore(writer: Writer, suite: Suite) -> list[Change]:
    """Rescore every stored reply and return the changes; raises UsageError if the suite cannot be run."""
    if suite.refuses:  # why it cannot be run, e.g. because it executes code written by the model
        raise UsageError(suite.refuses)
    run = store.Run(writer.path)
    samples = {sample.id: sample for sample in run.samples()}
    changes: list[Change] = []
    with Pool() as pool:
        scoring = suite.scoring(pool)

        def rescored_pairs() -> Iterator[tuple[Record, Record]]:
            for before, after in rescore_records(scoring, samples, run.records()):
                if change := _find_change(before, after):
                    changes.append(change)
                yield before, after

        if suite.judged:  # verdicts cost money: an interrupt loses only those of calls in flight
            for before, after in rescored_pairs():
                if before.scores != after.scores:
                    writer.append(after)
        else:
            writer.replace(after for _, after in rescored_pairs())
    record_rules(writer.card, suite)
    return changes


def rescore_records(
    scoring: Scoring, samples: Mapping[str, Sample], records: Iterator[Record]
) -> Iterator[tuple[Record, Record]]:
    """Yield (record, rescored record) pairs; slow scorers run concurrently. Records of unknown samples are not changed."""
    if scoring.all_light:
        for record in records:
            scores = record.scores
            if isinstance(record.outcome, Reply) and record.sample in samples:
                scores = scoring.score_light(samples[record.sample], record.prompt, record.outcome)
            yield record, structs.replace(record, scores=scores)
        return
    with asyncio.Runner() as runner:
        try:
            while batch := list(islice(records, BATCH_SIZE)):
                rescored: dict[int, Record] = {}
                try:
                    runner.run(_rescore_batch(scoring, samples, batch, rescored))
                finally:  # after an interrupt too, so that records rescored before it are kept
                    yield from ((batch[index], rescored[index]) for index in sorted(rescored))
        finally:
            runner.run(scoring.close())


async def _rescore_batch(
    scoring: Scoring, samples: Mapping[str, Sample], batch: list[Record], rescored: dict[int, Record]
) -> None:
    """Add each rescored record of a batch to `rescored`, under its index, as soon as it has its scores."""

    async def rescore_record(index: int, record: Record) -> None:
        scores = record.scores
        if isinstance(reply := record.outcome, Reply) and record.sample in samples:
            scores = await scoring.score_all(samples[record.sample], record.prompt, reply, scores)
        rescored[index] = structs.replace(record, scores=scores)

    await asyncio.gather(*map(rescore_record, count(), batch))


def _find_change(before: Record, after: Record) -> Change | None:
    old, new = (next(iter(record.scores.values()), None) for record in (before, after))
    if _compared_fields(old) == _compared_fields(new):
        return None
    return Change(id=after.sample, repeat=after.repeat, before=_score_text(old), after=_score_text(new))


def _compared_fields(score: object) -> object:
    return (score.verdict, score.value, score.answer) if isinstance(score, Score) else None


def _score_text(score: object) -> str:
    if not isinstance(score, Score):
        return "no score"
    return score.verdict if score.answer is None else f"{score.verdict} ({score.answer})"


def store_metrics(
    card: Card, run: store.Run, suite: Suite, *, records: Iterable[CompactRecord] | None = None
) -> Summary:
    """Compute the metrics of a run, store them on the card and return them. `records`: all of the run's; None: read them."""
    golds = run.gold()
    summary = summarize(
        run.compact_records() if records is None else records,
        golds,
        suite.metrics_for(golds),
        scorers=tuple(suite.scorers),
        repeats=card.config.repeats,
        absent_groups=card.absent_groups,
    )
    card.expected, card.counts, card.coverage = summary.expected, summary.counts, summary.coverage
    card.truncated, card.tokens, card.estimates = summary.truncated, summary.tokens, summary.estimates
    card.forms, card.replies = summary.forms, summary.replies
    return summary


def _count_failures(
    records: Iterable[CompactRecord], scorer: str, failures: Counter[str]
) -> Iterator[CompactRecord]:
    """Yield the records, and count in `failures` the replies on which the scorer failed: scored as `invalid`, or not scored."""
    for record in records:
        score = record.scores.get(scorer)
        if isinstance(score, Score):
            failures["invalid"] += score.why.startswith(SCORER_FAILED)
        elif score is not None:
            failures["failed"] += score.kind in ("scorererror", "crash")
        failures["replies"] += not record.failure
        yield record


def _note_failures(card: Card, failures: Counter[str]) -> None:
    """Note on the card on how many replies the scorer failed: those scored as `invalid`, and those excluded from means."""
    notes = [note for note in card.notes if not Note.parse(note, SCORER_NOTE)]
    of_replies = f"of {count_of(failures['replies'], 'reply', 'replies')}"
    if failures["invalid"]:
        text = f"its failures on {failures['invalid']} {of_replies} count as invalid answers"
        notes.append(str(Note(SCORER_NOTE, text)))
    if failures["failed"] > MAX_FAILED_FRACTION * card.expected:
        text = f"its failures on {failures['failed']} {of_replies} are excluded from means: do not quote this score"
        notes.append(str(Note(SCORER_NOTE, text)))
    card.notes = tuple(notes)


def store_final_metrics(writer: Writer, suite: Suite) -> Summary:
    """Compute the metrics of a run that has ended, including the judge's, store them on the card and return them."""
    run, card = store.Run(writer.path), writer.card
    failures: Counter[str] = Counter()
    summary = store_metrics(
        card, run, suite, records=_count_failures(run.compact_records(), next(iter(suite.scorers)), failures)
    )
    _note_failures(card, failures)
    if suite.judged:
        from evals.scorers.judge.account import judge_card, summary_lines

        golds = run.gold()
        records = [record for record in run.compact_records() if record.sample in golds]
        options = (golds[record.sample].options for record in records)
        earlier = card.judge.templates if card.judge else {}
        card.judge = judge_card((record.scores for record in records), suite.scorers, option_counts=options)
        if card.judge is not None:
            card.judge.templates = {
                name: template_hash or earlier.get(name, "")
                for name, template_hash in card.judge.templates.items()
            }
            other_notes = [note for note in card.notes if not Note.parse(note, JUDGE_NOTE)]
            card.notes = (*other_notes, *(str(Note(JUDGE_NOTE, line)) for line in summary_lines(card.judge)))
    return summary
