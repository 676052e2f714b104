"""What exporters share: runs with their cards, records row by row without what a gated suite withholds, and writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from msgspec import Struct, structs

from evals.errors import UsageError
from evals.prompts import plain_text
from evals.records.card import Card
from evals.records.store import Run
from evals.types import Estimate, Failure, Prompt, Record, Reply, Sample, Score

LABEL = 16
"""Longest answer of a gated suite that is written as it is; more could be a text."""


class Written(Struct, kw_only=True):
    """What an export left behind."""

    files: list[Path]
    lost: list[str]
    """What the format cannot hold, a line each."""


class Row(Struct, frozen=True, kw_only=True):
    """A record with its sample. Of a gated suite the texts are empty, the hashes are not."""

    sample: Sample
    repeat: int
    prompt: str
    reply: Reply | None
    failure: str
    """Kind of the failure; empty if there is a score."""
    score: Score | None
    prompt_sha256: str
    order: tuple[int, ...] | None

    @property
    def scored(self) -> tuple[Reply, Score, float] | None:
        """Reply, score and value; None if any is missing."""
        if self.reply is None or self.score is None or self.score.value is None:
            return None
        return self.reply, self.score, self.score.value


def ended(runs: Sequence[Run]) -> list[tuple[Run, Card]]:
    """Return runs with their cards; raises UsageError if one has not ended."""
    pairs = [(run, run.card) for run in runs]
    for _, card in pairs:
        if card.status == "running":
            raise UsageError(f"run {card.run} has not ended; the same `evals run` command goes on with it")
    return pairs


def rows(run: Run, *, gated: bool) -> Iterator[Row]:
    """Yield the records of a run in the order of its samples' ids on disk."""
    samples = {sample.id: sample for sample in run.samples()}
    for record in run.records():
        if (sample := samples.get(record.sample)) is not None:
            yield _row(record, sample, gated=gated)


def _row(record: Record, sample: Sample, *, gated: bool) -> Row:
    text = words(record.prompt)
    score = next(iter(record.scores.values()), None)
    reply = record.outcome if isinstance(record.outcome, Reply) else None
    failed = record.outcome if isinstance(record.outcome, Failure) else score
    known = score if isinstance(score, Score) else None
    if gated:
        target = sample.target
        if isinstance(target, tuple):
            target = tuple(map(hidden, target))
        elif isinstance(target, str):
            target = hidden(target)
        sample = Sample(id=sample.id, target=target, group=sample.group, cluster=sample.cluster)
        reply = reply and structs.replace(reply, text="", reasoning=None)
        answer = known.answer if known else None
        known = known and structs.replace(
            known, answer=hidden(answer) if answer is not None else None, why=""
        )
    return Row(
        sample=sample,
        repeat=record.repeat,
        prompt="" if gated else text,
        reply=reply,
        failure=failed.kind if isinstance(failed, Failure) else "" if score else "unscored",
        score=known,
        prompt_sha256=sha256(text.encode()).hexdigest(),
        order=record.prompt.order,
    )


def words(prompt: Prompt) -> str:
    """Return a prompt's text, turn after turn; a picture leaves its place empty."""
    return "\n\n".join(plain_text(message.parts) for message in prompt.messages)


def hidden(answer: str) -> str:
    """Return an answer of a gated suite as it may be seen: a label, or its hash."""
    return answer if len(answer) <= LABEL else f"sha256:{sha256(answer.encode()).hexdigest()}"


def headline(card: Card) -> Estimate | None:
    """Return the estimate that stands for a run."""
    return next((e for e in card.estimates if e.headline and not e.group), None)


def as_text(target: str | float | tuple[str, ...]) -> str:
    """Write a gold answer in one string."""
    return "; ".join(target) if isinstance(target, tuple) else str(target)


def utc(seconds: float | None) -> str:
    """Write a time as ISO 8601 in UTC; empty if it is not known."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def sampled(card: Card) -> str:
    """Return why a run on sample items or on a part of the data is no benchmark score; else empty."""
    if card.data == "sample":
        return "sample items, not a benchmark score"
    return f"a subset of {card.expected} sample-repeats" if card.config.limit is not None else ""


def write(path: Path, chunks: Iterable[bytes]) -> Path:
    """Write a file in a folder that is made if need be; raises UsageError if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.writelines(chunks)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    return path
