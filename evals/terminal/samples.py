"""A run's samples as rows: gold answer, outcome, and optionally the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evals.labels import Failed
from evals.plain import plain
from evals.prompts import plain_text
from evals.records.store import Run
from evals.types import Failure, Record, Reply, Sample, Score

FIELDS = ("id", "repeat", "group", "verdict", "value", "answer", "target", "why")
GATED = tuple(name for name in FIELDS if name not in ("target", "why"))
"""Fields that may be shown of a gated suite."""
LONGEST = 80
"""Maximum number of characters of a cell on a terminal."""
_ABSENT = {"verdict": "absent", "value": None, "answer": None, "why": ""}


def rows(run: Run, *, texts: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a row per sample and repeat, in the order of the data set; of a gated suite only ids, verdicts and letters.

    `texts` adds `prompt`, `reply` and `reasoning`, except for gated suites.
    """
    card, golds = run.card, run.gold()
    texts = texts and not card.gated
    row_by_key: dict[tuple[str, int], dict[str, Any]] = {}
    for record in run.records():
        if record.sample in golds:
            row_by_key[record.sample, record.repeat] = {
                **_judged(record.outcome, list(record.scores.values())),
                **(_texts(record) if texts else {}),
            }
    for id_, gold in golds.items():
        for repeat in range(card.config.repeats):
            row = row_by_key.get((id_, repeat), _ABSENT)
            values = {"id": id_, "repeat": repeat, "group": gold.group, **row, "target": gold.target}
            yield _fields(values, gated=card.gated)


def row(
    sample: Sample, repeat: int, record: Record | None, *, gated: bool, texts: bool = False
) -> dict[str, Any]:
    """Return one sample and repeat as a row."""
    judged = _judged(record.outcome, list(record.scores.values())) if record else _ABSENT
    values = {
        "id": sample.id, "repeat": repeat, "group": sample.group, **judged, "target": sample.target,
        **(_texts(record) if record and texts else {}),
    }  # fmt: skip
    return _fields(values, gated=gated)


def _fields(values: dict[str, Any], *, gated: bool) -> dict[str, Any]:
    """Return the fields in order; of a gated suite only those that may be shown."""
    shown = GATED if gated else (*FIELDS, *(name for name in values if name not in FIELDS))
    return {name: values[name] for name in shown}


def _texts(record: Record) -> dict[str, Any]:
    reply = record.outcome if isinstance(record.outcome, Reply) else None
    return {
        "prompt": [
            {"role": message.role, "text": plain_text(message.parts)} for message in record.prompt.messages
        ],
        "reply": reply.text if reply else None,
        "reasoning": reply.reasoning if reply else None,
    }


def _judged(outcome: Reply | Failure, scores: Sequence[Score | Failure]) -> dict[str, Any]:
    first = outcome if isinstance(outcome, Failure) else scores[0] if scores else None
    if isinstance(first, Score):
        form = {"form": first.form} if first.form else {}
        return {
            "verdict": first.verdict,
            "value": first.value,
            "answer": first.answer,
            "why": first.why,
            **form,
        }
    if first is None:
        return {"verdict": "unscored", "value": None, "answer": None, "why": ""}
    return {"verdict": str(Failed(first.kind)), "value": None, "answer": None, "why": first.message}


def cell(value: Any) -> str:
    """Return a value for a terminal: short, on one line, without control characters."""
    if value is None:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"


def safe_cell(value: Any) -> Any:
    """Return a value without control characters for a terminal or formulas for a spreadsheet."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
