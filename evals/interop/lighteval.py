"""lighteval (0.6 to 0.13): `details/<model>/<time>/details_<task>_<time>.parquet`, and `results_<time>.json` beside them.

A row is a question with all its replies, and one score for all of them. An empty reply without a token may be a call that
failed: lighteval writes both alike and scores them as wrong, so it is a failure here. Of likelihoods the reply is the
letter of the likeliest choice. Columns are read under all their names: `doc`, `__doc__`, and those before 0.10
(`full_prompt`, `example`, `predictions`, `metrics` ...). Why a reply ended and what it cost is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.data import parquet
from evals.errors import DataError
from evals.interop.files import LARGEST, below, chosen, optional
from evals.interop.foreign import Item, Source, items
from evals.interop.values import BROKEN, lettered, listing, mapping, number, scores, seconds, settings

FORMAT = "lighteval"
NOTHING = "nothing: lighteval keeps a failed call and an empty reply alike"
COLUMNS = ("doc", "model_response", "metric")
OLDER = ("example", "full_prompt", "predictions", "choices", "specifics", "metrics", "cont_tokens")
BATCH = 256
"""Rows that are held at once."""
_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.-]+)")


def read(path: Path) -> list[Source]:
    """Read an output folder, or one file of details; raises DataError in one line."""
    wanted = "details_*.parquet (lighteval writes them with --save-details)"
    return [_source(file) for file in chosen(path, "**/details_*.parquet", wanted=wanted)]


def _source(path: Path) -> Source:
    named = _NAME.fullmatch(path.stem)
    task, stamp = named.groups() if named else (path.stem.removeprefix("details_"), "")
    root = next((parent.parent for parent in path.absolute().parents if parent.name == "details"), None)
    results = _results(path, root, stamp)
    general = mapping(results.get("config_general"))
    model = mapping(general.get("model_config") or general.get("generation_parameters"))
    folder = path.absolute().parent.parent.relative_to(root / "details").as_posix() if root else ""
    day, _, clock = stamp.partition("T")
    plain = task.split("|")[-2] if "|" in task else task  # `lighteval|gpqa:diamond|0`
    return Source(
        format=FORMAT,
        tasks=(plain,),
        model=str(general.get("model_name") or folder),
        items=lambda: items(path, _rows(path), _replies, "details of lighteval"),
        sampling=settings(
            model.get("generation_parameters", model), max_tokens="max_new_tokens", stop="stop_tokens"
        ),
        started=seconds(f"{day}T{clock.replace('-', ':')}"),
        stated={
            f"{plain} {name}": score
            for name, score in scores(mapping(results.get("results")).get(task)).items()
            if not name.endswith("_stderr")
        },
    )


def _results(path: Path, root: Path | None, stamp: str) -> dict[str, Any]:
    name = f"results_{stamp}.json"
    beside = path.with_name(name)
    if stamp and root is not None and not beside.is_file():
        beside = next(iter(sorted(below(root, f"**/{name}"))), beside)
    return optional(beside, "results of lighteval") if stamp else {}


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = 0
    try:
        parquet.check(path, most=LARGEST)
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if "predictions" in schema.names and pa.types.is_string(schema.field("predictions").type):
                raise DataError(f"{path}: details of lighteval before 0.6, which are not read")
            columns = _columns(schema.names, path)
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                for row in batch.to_pylist():
                    place += 1
                    yield {name.strip("_"): value for name, value in row.items()}, f"{path.name}, row {place}"
    except (pa.ArrowException, OSError, MemoryError, *BROKEN) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}, row {place}: no details of lighteval ({type(error).__name__}: {reason})"
        ) from None


def _columns(names: list[str], path: Path) -> list[str]:
    known = [name for name in names if name.strip("_") in COLUMNS]
    if len(known) == len(COLUMNS):
        return known
    if {"full_prompt", "predictions"} <= set(names):
        return [name for name in names if name in OLDER]
    raise DataError(f"{path}: no details of lighteval, which have the columns {', '.join(sorted(COLUMNS))}")


def _newer(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a version before 0.10 in the form of later ones."""
    replies = row["predictions"] or []
    replies = [replies] if isinstance(replies, str) else replies
    pairs = [reply[0] if isinstance(reply, list) and reply else reply for reply in replies]
    weighed = bool(pairs) and all(isinstance(value, int | float) for value in pairs)
    return {
        "doc": {
            "query": row.get("example") or "",
            "choices": row.get("choices"),
            "specific": row.get("specifics"),
        },
        "model_response": {
            "input": row["full_prompt"],
            "text": [] if weighed else replies,
            "logprobs": pairs if weighed else [],
            "output_tokens": any(row.get("cont_tokens") or ()),
        },
        "metric": mapping(row.get("metrics")),
    }


def _replies(row: Mapping[str, Any], where: str) -> Iterator[Item]:
    row = row if "doc" in row else _newer(row)
    doc, response, metric = row["doc"], row["model_response"], row["metric"] or {}
    choices = [str(choice) for choice in doc.get("choices") or ()]
    texts, thoughts = _texts(response, choices), response.get("reasonings") or []
    values = [value for value in map(number, metric.values()) if value is not None]
    read = mapping(doc.get("specific")).get("extracted_predictions") or []
    sent, query = response.get("input"), str(doc["query"])
    if isinstance(sent, list):
        sent = "\n\n".join(str(turn.get("content") or "") for turn in sent if isinstance(turn, dict))
    for place, text in enumerate(texts):
        thought = thoughts[place] if place < len(thoughts) else None
        replied = text or thought or response.get("output_tokens")
        yield Item(
            where=where,
            prompt=sent if isinstance(sent, str) and sent else query,
            options=() if all(len(choice) == 1 for choice in choices) else tuple(choices),
            text=(text or "") if replied else None,
            reasoning=thought,
            repeat=place if len(texts) > 1 else None,
            failure="" if replied else NOTHING,
            score=values[0] if values and len(texts) == 1 and replied else None,
            answer=str(read[0]) if read and len(texts) == 1 else "",
        )


def _texts(response: Mapping[str, Any], choices: list[str]) -> list[str | None]:
    """Return the replies; of likelihoods the letter of the likeliest choice, which is what the model chose."""
    texts, logprobs = response.get("text") or [], listing(response.get("logprobs"))
    if not texts and choices and len(logprobs) == len(choices):
        return [lettered(logprobs.index(max(logprobs)))]
    return [text if text is None else str(text) for text in texts] or [None]
