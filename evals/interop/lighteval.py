"""lighteval (0.3 to 0.13): `details/<model>/<time>/details_<task>_<time>.parquet`, and `results_<time>.json` beside them.

A row is a question with all its replies, and one score for all of them. An empty reply without a token may be a call that
failed: lighteval writes both alike and scores them as wrong, so it is a failure here. Of likelihoods the reply is the
letter of the likeliest choice. Columns are read under all their names: `doc`, `__doc__`, and those before 0.10
(`full_prompt`, `example`, `predictions`, `metrics` ...), whose values were texts of Python before 0.6. Why a reply ended
and what it cost is not kept.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from evals.data import parquet
from evals.errors import DataError
from evals.interop.files import LARGEST, below, document
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, count, number
from evals.types import Sampling

FORMAT = "lighteval"
NOTHING = "nothing: lighteval keeps a failed call and an empty reply alike"
OLDER = ("example", "full_prompt", "predictions", "choices", "specifics", "metrics", "cont_tokens")
BATCH = 256
"""Rows that are held at once."""
_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.-]+)")


def read(path: Path) -> list[Source]:
    """Read an output folder, or one file of details; raises DataError in one line."""
    files = [path] if path.is_file() else sorted(below(path, "**/details_*.parquet"))
    if not files:
        raise DataError(f"{path}: no details_*.parquet there; lighteval writes them with --save-details")
    return [_source(file) for file in files]


def _source(path: Path) -> Source:
    found = _NAME.fullmatch(path.stem)
    task, stamp = found.groups() if found else (path.stem.removeprefix("details_"), "")
    results = _results(path, stamp)
    general = results.get("config_general")
    general = general if isinstance(general, dict) else {}
    return Source(
        format=FORMAT,
        tasks=(_plain(task),),
        model=str(general.get("model_name") or _model(path)),
        items=lambda: _items(path),
        sampling=_sampling(general, path),
        started=_started(stamp),
        stated=_stated(task, results),
    )


def _plain(task: str) -> str:
    """Take the suite and the number of examples off: `lighteval|gpqa:diamond|0` is `gpqa:diamond`."""
    parts = task.split("|")
    return parts[-2] if len(parts) > 1 else task


def _root(path: Path) -> Path | None:
    return next((parent.parent for parent in path.absolute().parents if parent.name == "details"), None)


def _model(path: Path) -> str:
    """Give what stands between `details` and the time."""
    root = _root(path)
    return path.absolute().parent.parent.relative_to(root / "details").as_posix() if root else ""


def _results(path: Path, stamp: str) -> dict[str, Any]:
    root = _root(path)
    beside = path.with_name(f"results_{stamp}.json")
    places = [beside] if beside.is_file() or root is None else sorted(below(root, f"**/results_{stamp}.json"))
    if not stamp or not places or not places[0].is_file():
        return {}
    found = document(places[0])
    if not isinstance(found, dict):
        raise DataError(f"{places[0]}: no results of lighteval")
    return found


def _sampling(general: Mapping[str, Any], path: Path) -> Sampling:
    model = general.get("model_config") or general.get("generation_parameters") or {}
    given = model.get("generation_parameters", model) if isinstance(model, dict) else {}
    given = given if isinstance(given, dict) else {}
    known: dict[str, Any] = {name: number(given.get(name)) for name in ("temperature", "top_p", "min_p")}
    known |= {name: count(given.get(name)) for name in ("top_k", "seed")}
    try:
        return msgspec.convert(
            known
            | {"max_tokens": count(given.get("max_new_tokens")), "stop": given.get("stop_tokens") or ()},
            Sampling,
        )
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: no settings of lighteval ({error})") from None


def _started(stamp: str) -> float:
    try:
        day, _, clock = stamp.partition("T")
        return datetime.fromisoformat(f"{day}T{clock.replace('-', ':')}").timestamp()
    except ValueError:
        return 0.0


def _stated(task: str, results: Mapping[str, Any]) -> dict[str, float]:
    scores = results.get("results")
    found = scores.get(task) if isinstance(scores, dict) else None
    return {
        f"{_plain(task)} {name}": score
        for name, value in (found.items() if isinstance(found, dict) else ())
        if not name.endswith("_stderr") and (score := number(value)) is not None
    }


def _items(path: Path) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = 0
    try:
        parquet.check(path, most=LARGEST)
        with pq.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                for row in batch.to_pylist():
                    place += 1
                    row = {name.strip("_"): value for name, value in row.items()}
                    row = row if "doc" in row else _newer(row)
                    yield from _replies(row, f"{path.name}, row {place}")
    except (pa.ArrowException, OSError, MemoryError, *BROKEN) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}, row {place}: no details of lighteval ({type(error).__name__}: {said})"
        ) from None


def _columns(names: list[str], path: Path) -> list[str]:
    wanted = {"doc", "model_response", "metric"}
    found = [name for name in names if name.strip("_") in wanted]
    if len(found) == len(wanted):
        return found
    if {"full_prompt", "predictions"} <= set(names):
        return [name for name in names if name in OLDER]
    raise DataError(f"{path}: no details of lighteval, which have the columns {', '.join(sorted(wanted))}")


def _newer(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row of an older version the form of a new one."""
    was = {name: _literal(value) if name != "example" else value for name, value in row.items()}
    said = was["predictions"] or []
    said = [said] if isinstance(said, str) else said
    pairs = [one[0] if isinstance(one, list | tuple) and one else one for one in said]
    weighed = bool(pairs) and all(isinstance(one, int | float) for one in pairs)
    metrics = was.get("metrics")
    return {
        "doc": {
            "query": row.get("example") or "",
            "choices": was.get("choices"),
            "specific": was.get("specifics"),
        },
        "model_response": {
            "input": was["full_prompt"],
            "text": [] if weighed else said,
            "logprobs": pairs if weighed else [],
            "output_tokens": any(was.get("cont_tokens") or ()),
        },
        "metric": metrics if isinstance(metrics, dict) else {},
    }


def _literal(value: Any) -> Any:
    """Read what `str` made of a list or an object; a text stays one."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return None if value == "None" else value
    try:
        return ast.literal_eval(value)
    except (SyntaxError, MemoryError, *BROKEN):
        return value


def _replies(row: Mapping[str, Any], where: str) -> Iterator[Item]:
    doc, response, metric = row["doc"], row["model_response"], row["metric"] or {}
    choices = [str(choice) for choice in doc.get("choices") or ()]
    texts, thoughts = _texts(response, choices), response.get("reasonings") or []
    values = [value for value in map(number, metric.values()) if value is not None]
    specific = doc.get("specific")
    read = specific.get("extracted_predictions") or [] if isinstance(specific, dict) else []
    for place, text in enumerate(texts):
        thought = thoughts[place] if place < len(thoughts) else None
        said = text or thought or response.get("output_tokens")
        yield Item(
            where=where,
            prompt=_prompt(response.get("input"), str(doc["query"])),
            options=() if all(len(choice) == 1 for choice in choices) else tuple(choices),
            text=(text or "") if said else None,
            reasoning=thought,
            repeat=place if len(texts) > 1 else None,
            failure="" if said else NOTHING,
            score=values[0] if values and len(texts) == 1 and said else None,
            answer=str(read[0]) if read and len(texts) == 1 else "",
        )


def _texts(response: Mapping[str, Any], choices: list[str]) -> list[str | None]:
    """Give the replies; of likelihoods the letter of the likeliest choice, which is what the model chose."""
    texts, logprobs = response.get("text") or [], response.get("logprobs") or []
    if not texts and choices and len(logprobs) == len(choices):
        return [f"ANSWER: {chr(ord('A') + logprobs.index(max(logprobs)))}"]
    return [text if text is None else str(text) for text in texts] or [None]


def _prompt(sent: Any, query: str) -> str:
    if isinstance(sent, list):
        return "\n\n".join(str(turn.get("content") or "") for turn in sent if isinstance(turn, dict)) or query
    return sent if isinstance(sent, str) and sent else query
