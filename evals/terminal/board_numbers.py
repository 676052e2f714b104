"""The scores on a board as a table for the terminal, each with its verification level and its promise (preregistration)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from evals.board import decisions, levels, results, trust
from evals.board.results import EntryResult, SuiteResult
from evals.challenge.summary import Challenge
from evals.plain import percent
from evals.records.promise import BROKEN, NONE
from evals.terminal.figures import best_first, interval, score_text
from evals.terminal.layout import Column, Section, table

Cell = TypeVar("Cell")
COLUMNS = (
    Column("model"), Column("score", right=True), Column("95 % interval", right=True), Column("n", right=True, drop=2),
    Column("coverage", right=True, drop=3), Column("level"), Column("promise"), Column("entry", drop=4),
)  # fmt: skip
PROMISE_COLUMN = 6
"""Index of the column `promise`, which is left out if no run has a promise."""


class BoardScore(NamedTuple):
    """An entry's result on a suite, with the evidence for it."""

    entry: str
    model: str
    result: SuiteResult
    """Including its level."""
    challenge: Challenge | None
    decision: str
    """Decision on the entry; empty if there is none or it was accepted."""

    @property
    def level(self) -> str:
        """Return the verification level in words, with the verdict of the challenge and the decision."""
        verdict = self.challenge.valid_verdict if self.challenge else None
        return "; ".join(filter(None, [trust.level_words(self.result.level, verdict), self.decision]))

    @property
    def promise(self) -> str:
        """Return the state of the promise: none, kept or broken."""
        return trust.promise_state(self.result.promise)

    @property
    def remarks(self) -> list[str]:
        """Return what broke the promise, and the outcome of a challenge that was not passed."""
        remarks = [f"promise {self.result.promise}"] if self.promise == BROKEN else []
        if self.challenge is not None and not self.challenge.passed:
            remarks.append(self.challenge.sentence)
        return remarks


def read(folder: Path) -> Iterator[BoardScore]:
    """Yield the scores of accepted entries; raises UsageError if a file of the board is broken."""
    board_levels, all_decisions = levels.read(folder), decisions.read(folder)
    for entry in results.read_all(folder).values():
        if entry.status == "accepted":
            latest = decisions.latest(all_decisions, entry.entry)
            decision = latest.kind if latest and latest.kind != "accepted" else ""
            for result in entry.suites:
                level, challenge = board_levels.level_and_challenge(
                    entry.entry, result.suite, result.protocol
                )
                yield BoardScore(
                    entry.entry, _model_label(entry), result.with_level(level), challenge, decision
                )


def _model_label(entry: EntryResult) -> str:
    return f"{entry.model.model} ({entry.model.revision})" if entry.model else entry.entry


def layout(scores: Sequence[BoardScore], max_width: int | None) -> list[str]:
    """Lay out scores by suite and protocol, best first."""
    with_promise = any(score.promise != NONE for score in scores)
    sections: list[Section] = []
    for label in sorted({score.result.label for score in scores}):
        of_suite = (score for score in scores if score.result.label == label)
        rows = [
            _row(score) for score in sorted(of_suite, key=lambda score: best_first(score.result.headline))
        ]
        sections.append((label, [_visible_cells(row, with_promise=with_promise) for row in rows]))
    return table(_visible_cells(COLUMNS, with_promise=with_promise), sections, max_width)


def _visible_cells(cells: Sequence[Cell], *, with_promise: bool) -> list[Cell]:
    return list(cells) if with_promise else [*cells[:PROMISE_COLUMN], *cells[PROMISE_COLUMN + 1 :]]


def _row(score: BoardScore) -> list[str]:
    result, headline = score.result, score.result.headline
    return [
        score.model, score_text(headline), interval(headline), f"{headline.n:,}" if headline else "-", f"{percent(result.coverage)} %",
        score.level, score.promise, score.entry,
    ]  # fmt: skip
