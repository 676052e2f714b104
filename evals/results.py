"""Runs for notebooks and scripts: selection by name, tables of scores and samples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from evals.errors import UnknownName
from evals.labels import Failed
from evals.plain import count_of
from evals.prompts import plain_text
from evals.records.card import Card, Finding
from evals.records.store import Run
from evals.report import frames
from evals.run.overview import current_card
from evals.types import Failure, Record, Reply, Score

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCORE_COLUMNS = {
    **dict.fromkeys(("run", "suite", "protocol", "model", "metric", "group"), "string"),
    **dict.fromkeys(("value", "low", "high", "worst", "best"), "float64"),
    **dict.fromkeys(("n", "clusters"), "int64"),
    **dict.fromkeys(("unit", "better", "method"), "string"),
    "headline": "bool_",
    "coverage": "float64",
    "truncated": "int64",
    "status": "string",
    "data": "string",
    "cost_usd": "float64",
    "started": "float64",
}
"""Columns of `Runs.scores`, a row per estimate. Fractions are from 0 to 1, intervals at 95 %; `started`: seconds since the epoch."""

SAMPLE_COLUMNS = {
    **dict.fromkeys(("run", "suite", "protocol", "model", "id"), "string"),
    "repeat": "int64",
    **dict.fromkeys(("group", "verdict"), "string"),
    "value": "float64",
    **dict.fromkeys(("answer", "target", "why", "prompt", "reply", "reasoning", "stop"), "string"),
    "suspect": "bool_",
    "output_tokens": "int64",
    "seconds": "float64",
}
"""Columns of `Runs.samples`, a row per recorded sample and repeat."""

TEXT_COLUMNS = ("target", "why", "prompt", "reply", "reasoning")
"""Columns that may quote the data set; by default, null for gated data sets."""


class Runs(Sequence[Run]):
    """Runs in a results folder, or from one call of `evaluate`; indexed by suite, model or run, or by position."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __getitem__(self, key: Any) -> Any:
        """Return the `Runs` of a suite (`gpqa`, `gpqa:diamond`), a model or a run id, or the `Run` at a position.

        Raises UnknownName with similar names.
        """
        if isinstance(key, slice):
            return Runs(self._runs[key])
        if not isinstance(key, str):
            return self._runs[key]
        all_names = [_names(card) for card in self.cards]
        for names_by_run in zip(*all_names, strict=True):  # names of suites, then of models, then ids of runs
            if matches := [run for run, names in zip(self._runs, names_by_run, strict=True) if key in names]:
                return Runs(matches)
        known_names = {name for names_of_run in all_names for names in names_of_run for name in names}
        raise UnknownName("suite, model or run", key, known_names)

    def __repr__(self) -> str:
        """Return a line per run: suite, protocol, model, headline with its interval."""
        lines = [count_of(len(self), "run")]
        lines += ["  " + "  ".join(str(cell) for cell in row) for row in self._headline_rows()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return frames.html_table(
            ("suite", "protocol", "model", "metric", "score", "n", "run"), self._headline_rows()
        )

    @property
    def cards(self) -> list[Card]:
        """Return the cards, recomputed for runs that have not ended."""
        return [current_card(run) for run in self._runs]

    @property
    def health(self) -> dict[str, tuple[Finding, ...]]:
        """Return signs that a run is broken, by run folder; see `evals/run/health.py`."""
        return {str(run.path): run.card.health for run in self._runs}

    def scores(self) -> pd.DataFrame:
        """Return a row per estimate, with the columns of `SCORE_COLUMNS`; needs pandas (extra `notebook`)."""
        return frames.to_pandas(self.to_arrow("scores"))

    def samples(self, *, texts: bool | None = None) -> pd.DataFrame:
        """Return a row per sample and repeat, with the columns of `SAMPLE_COLUMNS`; needs pandas (extra `notebook`).

        `texts`: whether to include prompts, replies and gold answers; by default, only if the data set is not gated.
        """
        return frames.to_pandas(self.to_arrow("samples", texts=texts))

    def to_arrow(self, what: str = "scores", *, texts: bool | None = None) -> pa.Table:
        """Return `scores` or `samples` as an Arrow table."""
        if what == "scores":
            return frames.arrow_table(self._score_rows(), SCORE_COLUMNS)
        if what == "samples":
            return frames.arrow_table(self._sample_rows(texts=texts), SAMPLE_COLUMNS)
        raise UnknownName("table", what, ("scores", "samples"))

    def _headline_rows(self) -> Iterator[tuple[Any, ...]]:
        for card in self.cards:
            headline, score = card.headline, "-"
            if headline is not None and headline.value is not None:
                score = f"{headline.value:.4g} {'' if headline.unit == 'fraction' else headline.unit}".strip()
                if headline.low is not None and headline.high is not None:
                    score += f" [{headline.low:.4g}, {headline.high:.4g}]"
            yield (
                card.config.suite,
                card.config.protocol,
                card.model,
                headline.metric if headline else "-",
                score,
                headline.n if headline else 0,
                card.run,
            )

    def _score_rows(self) -> Iterator[dict[str, Any]]:
        for card in self.cards:
            common = {
                **_run_columns(card),
                **_fields(card, "coverage", "truncated", "status", "data", "cost_usd", "started"),
            }
            for estimate in card.estimates:
                yield {**common, **msgspec.structs.asdict(estimate)}

    def _sample_rows(self, *, texts: bool | None) -> Iterator[dict[str, Any]]:
        for run in self._runs:
            card, golds = run.card, run.gold()
            hides_texts = card.gated if texts is None else not texts
            for record in run.records():
                gold = golds.get(record.sample)
                if gold is not None:
                    target = gold.target
                    row = {
                        **_run_columns(card),
                        "group": gold.group,
                        "target": target if isinstance(target, str) else msgspec.json.encode(target).decode(),
                        **_record_columns(record),
                    }
                    yield _without_texts(row, gated=card.gated) if hides_texts else row


def _names(card: Card) -> tuple[tuple[str, ...], ...]:
    """Return the names by which a run can be selected: those of its suite, those of its model, and its id."""
    suite = card.config.suite
    return (suite, suite.partition(":")[0]), (card.model, card.config.model), (card.run,)


def _without_texts(row: dict[str, Any], *, gated: bool) -> dict[str, Any]:
    """Return a row without texts; for a gated suite also without answers other than letters, which may repeat its texts."""
    hidden = set(TEXT_COLUMNS)
    if gated and not re.fullmatch("[A-Z]", row.get("answer") or ""):
        hidden.add("answer")
    return {name: value for name, value in row.items() if name not in hidden}


def _run_columns(card: Card) -> dict[str, str]:
    return {
        "run": card.run,
        "suite": card.config.suite,
        "protocol": card.config.protocol,
        "model": card.model,
    }


def _fields(source: object, *names: str) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def _record_columns(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": record.sample,
        "repeat": record.repeat,
        "prompt": "\n\n".join(plain_text(message.parts) for message in record.prompt.messages) or None,
        "suspect": False,
    }
    result = next(iter(record.scores.values()), None)
    if isinstance(record.outcome, Reply):
        reply = record.outcome
        row |= {"reply": reply.text, "output_tokens": reply.usage.output}
        row |= _fields(reply, "reasoning", "stop", "seconds")
    else:
        result = record.outcome
    if isinstance(result, Score):
        row |= _fields(result, "verdict", "value", "answer", "why", "suspect")
    elif isinstance(result, Failure):
        row |= {"verdict": str(Failed(result.kind)), "why": result.message}
    else:
        row["verdict"] = "unscored"
    return row
