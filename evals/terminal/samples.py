"""A run's samples as table rows with gold answer, outcome and, on request, texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from evals.labels import Failed
from evals.plain import escape_formula, plain
from evals.prompts import plain_text
from evals.records.card import Card
from evals.records.store import Run
from evals.types import Failure, Record, Reply, Sample, Score

FIELDS = ("id", "repeat", "group", "verdict", "value", "answer", "target", "why")
GATED_FIELDS = tuple(name for name in FIELDS if name not in ("target", "why"))
"""Fields that may be shown for a gated suite."""
RUN_FIELDS = ("suite", "protocol", "model", "run")
"""Further fields of the samples of several runs."""
MAX_CELL_CHARS = 80
"""Maximum length of a cell on a terminal."""
_ABSENT_FIELDS: dict[str, Any] = {"verdict": "absent", "value": None, "answer": None, "why": ""}


def run_fields_of(card: Card) -> dict[str, str]:
    """Return the values of `RUN_FIELDS`."""
    return dict(zip(RUN_FIELDS, (card.config.suite, card.config.protocol, card.model, card.run), strict=True))


def sample_rows(run: Run, *, with_texts: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a row per sample and repeat, in the order of the data set.

    `with_texts` adds `prompt`, `reply` and `reasoning`. Rows of gated suites have only `GATED_FIELDS`.
    """
    card, golds = run.card, run.gold()
    with_texts = with_texts and not card.gated
    fields_by_key: dict[tuple[str, int], dict[str, Any]] = {}
    for record in run.records():
        if record.sample in golds:
            fields_by_key[record.sample, record.repeat] = {
                **_outcome_fields(record.outcome, list(record.scores.values())),
                **(_text_fields(record) if with_texts else {}),
            }
    for id_, gold in golds.items():
        for repeat in range(card.config.repeats):
            fields = fields_by_key.get((id_, repeat), _ABSENT_FIELDS)
            values = {"id": id_, "repeat": repeat, "group": gold.group, **fields, "target": gold.target}
            yield _select_fields(values, gated=card.gated)


def sample_row(sample: Sample, repeat: int, record: Record | None, *, gated: bool) -> dict[str, Any]:
    """Return one repeat of a sample as a row, with its texts unless the suite is gated."""
    outcome = _outcome_fields(record.outcome, list(record.scores.values())) if record else _ABSENT_FIELDS
    values = {
        "id": sample.id, "repeat": repeat, "group": sample.group, **outcome, "target": sample.target,
        **(_text_fields(record) if record else {}),
    }  # fmt: skip
    return _select_fields(values, gated=gated)


def _select_fields(values: dict[str, Any], *, gated: bool) -> dict[str, Any]:
    """Return the fields in the order of `FIELDS`, then any others; for a gated suite only those that may be shown.

    An answer of a gated suite is shown only if it is a letter, since other answers may repeat the data's texts.
    """
    if not gated:
        return {name: values[name] for name in (*FIELDS, *(name for name in values if name not in FIELDS))}
    is_letter = re.fullmatch("[A-Z]", values["answer"] or "") is not None
    return {name: values[name] for name in GATED_FIELDS} | ({} if is_letter else {"answer": None})


def _text_fields(record: Record) -> dict[str, Any]:
    reply = record.outcome if isinstance(record.outcome, Reply) else None
    return {
        "prompt": [
            {"role": message.role, "text": plain_text(message.parts)} for message in record.prompt.messages
        ],
        "reply": reply.text if reply else None,
        "reasoning": reply.reasoning if reply else None,
    }


def _outcome_fields(outcome: Reply | Failure, scores: Sequence[Score | Failure]) -> dict[str, Any]:
    first = outcome if isinstance(outcome, Failure) else scores[0] if scores else None
    if isinstance(first, Score):
        fields = {"verdict": first.verdict, "value": first.value, "answer": first.answer, "why": first.why}
        return fields | ({"form": first.form} if first.form else {})
    if first is None:
        return _ABSENT_FIELDS | {"verdict": "unscored"}
    return _ABSENT_FIELDS | {"verdict": str(Failed(first.kind)), "why": first.message}


def cell(value: Any) -> str:
    """Return a value as one short line without control characters."""
    if value is None:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    line = " ".join(plain(text).split())
    return line if len(line) <= MAX_CELL_CHARS else f"{line[: MAX_CELL_CHARS - 1]}…"


def csv_cell(value: Any) -> Any:
    """Return a value for CSV, without control characters; an apostrophe precedes what a spreadsheet would evaluate."""
    return escape_formula(plain(value)) if isinstance(value, str) else value
