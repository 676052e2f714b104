"""Shared by the exporters: cards of ended runs, records as rows without the texts of gated suites, file writing, identities of runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.errors import UsageError
from evals.prompts import plain_text
from evals.records.card import Card
from evals.records.files import label_or_hash, without_text
from evals.records.store import Run
from evals.types import Failure, Prompt, Record, Reply, Sample, Score


class ExportedFiles(Struct, kw_only=True):
    """Result of an export to files."""

    files: list[Path]
    lost: list[str]
    """Information that the format cannot represent, one line each."""


State: TypeAlias = Literal["new", "unchanged", "updated", "new version"]


class ExportedRun(Struct, frozen=True, kw_only=True):
    """A run that was exported to another tool's store."""

    run: str
    suite: str
    state: State
    place: str
    """The id or key of the run in the store."""


class ExportResult(Struct, kw_only=True):
    """Result of an export to a store."""

    runs: list[ExportedRun]
    lost: list[str]
    """Information that is not exported, one line each."""


class Row(Struct, frozen=True, kw_only=True):
    """A record with its sample, without texts if the suite is gated."""

    sample: Sample
    repeat: int
    prompt: str
    reply: Reply | None
    failure: str
    """Kind of the failure, or `unscored`; empty if there is a score."""
    score: Score | None
    prompt_sha256: str
    order: tuple[int, ...] | None

    @property
    def scored(self) -> tuple[Reply, Score, float] | None:
        """Return the reply, its score and the score's value; None if any of them is missing."""
        if self.reply is None or self.score is None or self.score.value is None:
            return None
        return self.reply, self.score, self.score.value


def require_ended(runs: Sequence[Run]) -> list[tuple[Run, Card]]:
    """Return runs with their cards; raises UsageError for a run that has not ended."""
    pairs = [(run, run.card) for run in runs]
    for _, card in pairs:
        if card.status == "running":
            raise UsageError(f"run {card.run} has not ended; the same `evals run` command resumes it")
    return pairs


def rows(run: Run, *, gated: bool) -> Iterator[Row]:
    """Yield the records of a run as rows; records of unknown samples are left out."""
    samples = {sample.id: sample for sample in run.samples()}
    for record in run.records():
        if (sample := samples.get(record.sample)) is not None:
            yield _row(record, sample, gated=gated)


def _row(record: Record, sample: Sample, *, gated: bool) -> Row:
    text = prompt_text(record.prompt)
    result = next(iter(record.scores.values()), None)
    reply = record.outcome if isinstance(record.outcome, Reply) else None
    failure = record.outcome if isinstance(record.outcome, Failure) else result
    score = result if isinstance(result, Score) else None
    if gated:
        target = without_text(sample.target)
        sample = Sample(id=sample.id, target=target, group=sample.group, cluster=sample.cluster)
        reply = reply and structs.replace(reply, text="", reasoning=None)
        answer = None if score is None or score.answer is None else label_or_hash(score.answer)
        score = score and structs.replace(score, answer=answer, why="")
    return Row(
        sample=sample,
        repeat=record.repeat,
        prompt="" if gated else text,
        reply=reply,
        failure=failure.kind if isinstance(failure, Failure) else "" if result else "unscored",
        score=score,
        prompt_sha256=sha256(text.encode()).hexdigest(),
        order=record.prompt.order,
    )


def prompt_text(prompt: Prompt) -> str:
    """Return the text of a prompt's turns, without images."""
    return "\n\n".join(plain_text(message.parts) for message in prompt.messages)


def target_text(target: str | float | tuple[str, ...]) -> str:
    """Return a gold answer as one string."""
    return "; ".join(target) if isinstance(target, tuple) else str(target)


def utc_text(seconds: float | None) -> str:
    """Format a time as ISO 8601 in UTC; empty if it is unknown."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def caveat(card: Card) -> str:
    """Return why a run's score is not a benchmark score: sample items, a subset, an early stop, a broken run; empty if it is a benchmark score."""
    if card.data == "sample":
        return "sample items, not a benchmark score"
    if card.config.limit is not None:
        return f"a subset of {card.expected} sample-repeats"
    if card.stopped_early and not card.origin.startswith("import"):
        return (
            f"stopped early: {card.counts.get('absent', 0)} of {card.expected} sample-repeats have no outcome"
        )
    return next((f"looks broken: {finding.message}" for finding in card.health if finding.fault), "")


def write(path: Path, chunks: Iterable[bytes]) -> Path:
    """Write a file atomically, creating its folder if needed; raises UsageError if that fails.

    A link with this name is replaced, not followed.
    """
    try:
        disk.make_parent(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(disk.create(temporary, new=True), "wb") as stream:
            stream.writelines(chunks)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def run_key(card: Card) -> str:
    """Return a hash of suite, protocol, model, run id and start time, which identifies a run in a store."""
    parts = (card.config.suite, card.config.protocol, card.model, card.run, repr(card.started))
    return sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def state_hash(card: Card) -> str:
    """Return a hash that changes whenever the run does: the card contains the hashes of the record files."""
    return sha256(msgspec.json.encode(card)).hexdigest()


def lost_information(cards: list[Card]) -> list[str]:
    """Return what neither stores nor tables receive, one line each."""
    gated = sorted({card.config.suite for card in cards if card.gated})
    answers = f" (for {', '.join(gated)} also long answers, which are hashed)" if gated else ""
    return [f"prompts, replies and reasoning stay in the results folder{answers}"]


def sanitize(text: str) -> str:
    """Replace NUL and unpaired surrogates, which databases reject."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
