"""Build scores for right, wrong and partly right answers, and for replies without an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from evals import extract
from evals.extract.reading import UNMARKED_FORMS, Reading
from evals.types import Reply, Score, Verdict


def read_reply(
    reply: Reply, reader: Callable[..., Reading | None], *args: Any, **options: Any
) -> Reading | None:
    """Read the stated answer with a reader of `evals.extract`; None if it finds none, or if the reply was filtered."""
    if reply.stop == "filter":
        return None
    return reader(reply.text, *args, truncated=reply.stop == "length", **options)


def binary_score(*, right: bool, **fields: Any) -> Score:
    """Return a score of 1 with the verdict `right`, or of 0 with the verdict `wrong`."""
    return Score(value=float(right), verdict="right" if right else "wrong", **fields)


def partial_score(value: float, **fields: Any) -> Score:
    """Return a score from 0 to 1; values between 0 and 1 have the verdict `graded`."""
    return Score(value=value, verdict="right" if value == 1 else "graded" if value else "wrong", **fields)


def with_reading(reading: Reading | None, score: Score) -> Score:
    """Return a score with the form and the position of its answer, if known; an answer without a marker is suspect."""
    if reading is None:
        return score
    suspect = score.suspect or reading.form in UNMARKED_FORMS
    return replace(score, form=reading.form, span=(reading.begin, reading.end), suspect=suspect)


def no_stated_answer(reply: Reply, why: str) -> Score:
    """Return the score of a reply in which a reader of `evals.extract` finds no answer; `truncated` if it ends inside its reasoning."""
    if reply.stop == "stop" and extract.visible(reply.text).truncated:
        return Score(value=0.0, verdict="truncated", why="the reply breaks off inside its reasoning")
    return no_answer(reply, why)


def no_answer(reply: Reply, why: str, *, value: float | None = 0.0, **fields: Any) -> Score:
    """Return the score of a reply without an answer; the verdict depends only on the stop reason, not on the text."""
    return Score(value=value, verdict=unanswered_verdict(reply), why=why, **fields)


def invalid_answer(answer: str, why: str, *, value: float | None = 0.0, **fields: Any) -> Score:
    """Return the score of an answer that is not a valid object; at most 200 characters of it are recorded."""
    return Score(value=value, verdict="invalid", answer=answer[:200], why=why, **fields)


_UNANSWERED_VERDICTS: dict[str, Verdict] = {"filter": "refused", "length": "truncated", "stop": "unanswered"}


def unanswered_verdict(reply: Reply) -> Verdict:
    """Return the verdict on a reply without an answer, by its stop reason: refused, truncated or unanswered."""
    return _UNANSWERED_VERDICTS[reply.stop]
