"""lighteval (0.6 to 0.13): `details/<model>/<time>/details_<task>_<time>.parquet`, with `results_<time>.json`.

A row is a question with all its replies, and one score for all of them. lighteval writes a failed call and an empty
reply in the same way and scores both as wrong; here both are failures. Of choices by likelihood, the reply is the letter
of the likeliest one. Stop reasons and token counts are not recorded. Versions before 0.10 have other columns.
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
from evals.interop.values import (
    BROKEN,
    choice_reply,
    listing,
    mapping,
    number,
    scores,
    seconds,
    settings,
    turns,
)

FORMAT = "lighteval"
EMPTY = "nothing: lighteval keeps a failed call and an empty reply alike"
COLUMNS = ("doc", "model_response", "metric")
OLDER = ("example", "full_prompt", "predictions", "choices", "specifics", "metrics", "cont_tokens")
BATCH = 256
"""Number of rows read at a time."""
_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.-]+)")


def read(path: Path) -> list[Source]:
    """Read an output folder, or one file of details; raises DataError."""
    wanted = "details_*.parquet (lighteval writes them with --save-details)"
    return [_source(file) for file in chosen(path, "**/details_*.parquet", wanted=wanted)]


def _source(path: Path) -> Source:
    match = _NAME.fullmatch(path.stem)
    task, stamp = match.groups() if match else (path.stem.removeprefix("details_"), "")
    root = next((parent.parent for parent in path.absolute().parents if parent.name == "details"), None)
    results = _results(path, root, stamp)
    general = mapping(results.get("config_general"))
    model = mapping(general.get("model_config") or general.get("generation_parameters"))
    folder = path.absolute().parent.parent.relative_to(root / "details").as_posix() if root else ""
    day, _, clock = stamp.partition("T")
    short_name = task.split("|")[-2] if "|" in task else task  # `lighteval|gpqa:diamond|0`
    return Source(
        format=FORMAT,
        tasks=(short_name,),
        model=str(general.get("model_name") or folder),
        items=lambda: items(path, _rows(path), _replies, "details of lighteval"),
        sampling=settings(
            model.get("generation_parameters", model), max_tokens="max_new_tokens", stop="stop_tokens"
        ),
        started=seconds(f"{day}T{clock.replace('-', ':')}"),
        stated={
            f"{short_name} {name}": score
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

    row_number = 0
    try:
        parquet.check(path, max_bytes=LARGEST)
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if "predictions" in schema.names and pa.types.is_string(schema.field("predictions").type):
                raise DataError(f"{path}: details of lighteval before 0.6, which are not read")
            columns = _columns(schema.names, path)
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                for row in batch.to_pylist():
                    row_number += 1
                    yield {name.strip("_"): v for name, v in row.items()}, f"{path.name}, row {row_number}"
    except (pa.ArrowException, OSError, MemoryError, *BROKEN) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}, row {row_number}: no details of lighteval ({type(error).__name__}: {reason})"
        ) from None


def _columns(names: list[str], path: Path) -> list[str]:
    known = [name for name in names if name.strip("_") in COLUMNS]
    if len(known) == len(COLUMNS):
        return known
    if {"full_prompt", "predictions"} <= set(names):
        return [name for name in names if name in OLDER]
    raise DataError(f"{path}: no details of lighteval, which have the columns {', '.join(sorted(COLUMNS))}")


def _upgraded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a version before 0.10 in the form of later ones."""
    replies = row["predictions"] or []
    replies = [replies] if isinstance(replies, str) else replies
    values = [reply[0] if isinstance(reply, list) and reply else reply for reply in replies]
    by_likelihood = bool(values) and all(isinstance(value, int | float) for value in values)
    return {
        "doc": {
            "query": row.get("example") or "",
            "choices": row.get("choices"),
            "specific": row.get("specifics"),
        },
        "model_response": {
            "input": row["full_prompt"],
            "text": [] if by_likelihood else replies,
            "logprobs": values if by_likelihood else [],
            "output_tokens": any(row.get("cont_tokens") or ()),
        },
        "metric": mapping(row.get("metrics")),
    }


def _replies(row: Mapping[str, Any], where: str) -> Iterator[Item]:
    row = row if "doc" in row else _upgraded(row)
    doc, response, metric = row["doc"], row["model_response"], row["metric"] or {}
    choices = [str(choice) for choice in doc.get("choices") or ()]
    texts, reasonings = _texts(response, choices), response.get("reasonings") or []
    values = [value for value in map(number, metric.values()) if value is not None]
    extracted = mapping(doc.get("specific")).get("extracted_predictions") or []
    sent, query = response.get("input"), str(doc["query"])
    sent = turns(sent) if isinstance(sent, list) else sent
    for repeat, text in enumerate(texts):
        reasoning = reasonings[repeat] if repeat < len(reasonings) else None
        replied = text or reasoning or response.get("output_tokens")
        yield Item(
            where=where, prompt=sent if isinstance(sent, str) and sent else query,
            options=() if all(len(choice) == 1 for choice in choices) else tuple(choices),
            text=(text or "") if replied else None, reasoning=reasoning,
            repeat=repeat if len(texts) > 1 else None, failure="" if replied else EMPTY,
            score=values[0] if values and len(texts) == 1 and replied else None,
            answer=str(extracted[0]) if extracted and len(texts) == 1 else "",
        )  # fmt: skip


def _texts(response: Mapping[str, Any], choices: list[str]) -> list[str | None]:
    """Return the replies; of choices by likelihood, the letter of the likeliest one."""
    texts, logprobs = response.get("text") or [], listing(response.get("logprobs"))
    if not texts and choices and len(logprobs) == len(choices):
        return [choice_reply(logprobs.index(max(logprobs)))]
    return [text if text is None else str(text) for text in texts] or [None]
