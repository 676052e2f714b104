"""lighteval (0.6 to 0.13): `details/<model>/<time>/details_<task>_<time>.parquet`, with `results_<time>.json`.

A row is a question with all its replies and one score for all of them. lighteval does not distinguish a failed call from
an empty reply and scores both as wrong; we import both as failures. If options were scored by likelihood, the reply is
the letter of the likeliest one. Stop reasons and token counts are not recorded. Versions before 0.10 have other columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.data import parquet
from evals.errors import DataError
from evals.interop.files import MAX_BYTES, find_files, glob_visible, read_optional
from evals.interop.foreign import Item, Source, read_items
from evals.interop.values import (
    PARSE_ERRORS,
    as_dict,
    as_list,
    choice_reply,
    iso_time,
    join_turns,
    number,
    numeric_fields,
    read_sampling,
)
from evals.validation import cause

EMPTY_REPLY = "empty: lighteval does not distinguish a failed call from an empty reply"
COLUMNS = ("doc", "model_response", "metric")
"""Columns that are read, with or without underscores around their names."""
OLD_COLUMNS = ("example", "full_prompt", "predictions", "choices", "specifics", "metrics", "cont_tokens")
"""Columns that are read from files written before 0.10."""
BATCH_SIZE = 256
"""Number of rows read at a time."""
_FILE_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.-]+)")


def read(path: Path) -> list[Source]:
    """Read an output folder or one details file; raises DataError."""
    expected = "details_*.parquet (lighteval writes them with --save-details)"
    return [_source(file) for file in find_files(path, "**/details_*.parquet", expected=expected)]


def _source(path: Path) -> Source:
    match = _FILE_NAME.fullmatch(path.stem)
    task, timestamp = match.groups() if match else (path.stem.removeprefix("details_"), "")
    root = next((parent.parent for parent in path.absolute().parents if parent.name == "details"), None)
    results = _read_results(path, root, timestamp)
    general = as_dict(results.get("config_general"))
    model_config = as_dict(general.get("model_config") or general.get("generation_parameters"))
    folder = path.absolute().parent.parent.relative_to(root / "details").as_posix() if root else ""
    day, _, clock = timestamp.partition("T")
    short_name = task.split("|")[-2] if "|" in task else task  # `lighteval|gpqa:diamond|0`
    return Source(
        tasks=(short_name,),
        model=str(general.get("model_name") or folder),
        items=lambda: read_items(path, _rows(path), _items, "lighteval details"),
        sampling=read_sampling(
            model_config.get("generation_parameters", model_config),
            max_tokens="max_new_tokens",
            stop="stop_tokens",
        ),
        started=iso_time(f"{day}T{clock.replace('-', ':')}"),
        stated_scores={
            f"{short_name} {name}": score
            for name, score in numeric_fields(as_dict(results.get("results")).get(task)).items()
            if not name.endswith("_stderr")
        },
    )


def _read_results(path: Path, root: Path | None, timestamp: str) -> dict[str, Any]:
    name = f"results_{timestamp}.json"
    file = path.with_name(name)
    if timestamp and root is not None and not file.is_file():
        file = next(iter(sorted(glob_visible(root, f"**/{name}"))), file)
    return read_optional(file, "lighteval results") if timestamp else {}


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row_number = 0
    try:
        parquet.check(path, max_bytes=MAX_BYTES)
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if "predictions" in schema.names and pa.types.is_string(schema.field("predictions").type):
                raise DataError(f"{path}: written by lighteval before 0.6, which is not supported")
            columns = _columns(schema.names, path)
            for batch in file.iter_batches(batch_size=BATCH_SIZE, columns=columns):
                for row in batch.to_pylist():
                    row_number += 1
                    yield {name.strip("_"): v for name, v in row.items()}, f"{path.name}, row {row_number}"
    except (pa.ArrowException, OSError, MemoryError, *PARSE_ERRORS) as error:
        reason = " ".join(cause(error).split())[:200]
        raise DataError(f"{path}, row {row_number}: cannot be read as lighteval details ({reason})") from None


def _columns(names: list[str], path: Path) -> list[str]:
    present = [name for name in names if name.strip("_") in COLUMNS]
    if len(present) == len(COLUMNS):
        return present
    if {"full_prompt", "predictions"} <= set(names):
        return [name for name in names if name in OLD_COLUMNS]
    raise DataError(f"{path}: not lighteval details: expected the columns {', '.join(sorted(COLUMNS))}")


def _upgrade_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row written before 0.10 to the layout of later versions."""
    replies = row["predictions"] or []
    replies = [replies] if isinstance(replies, str) else replies
    first_elements = [reply[0] if isinstance(reply, list) and reply else reply for reply in replies]
    has_likelihoods = bool(replies) and all(isinstance(element, int | float) for element in first_elements)
    return {
        "doc": {
            "query": row.get("example") or "",
            "choices": row.get("choices"),
            "specific": row.get("specifics"),
        },
        "model_response": {
            "input": row["full_prompt"],
            "text": [] if has_likelihoods else replies,
            "logprobs": first_elements if has_likelihoods else [],
            "output_tokens": any(row.get("cont_tokens") or ()),
        },
        "metric": as_dict(row.get("metrics")),
    }


def _items(row: Mapping[str, Any], location: str) -> Iterator[Item]:
    row = row if "doc" in row else _upgrade_row(row)
    doc, response, metric = row["doc"], row["model_response"], row["metric"] or {}
    choices = [str(choice) for choice in doc.get("choices") or ()]
    texts, reasonings = _reply_texts(response, choices), response.get("reasonings") or []
    scores = [score for score in map(number, metric.values()) if score is not None]
    extracted = as_dict(doc.get("specific")).get("extracted_predictions") or []
    prompt, query = response.get("input"), str(doc["query"])
    prompt = join_turns(prompt) if isinstance(prompt, list) else prompt
    for repeat, text in enumerate(texts):
        reasoning = reasonings[repeat] if repeat < len(reasonings) else None
        has_reply = text or reasoning or response.get("output_tokens")
        yield Item(
            location=location, prompt=prompt if isinstance(prompt, str) and prompt else query,
            options=() if all(len(choice) == 1 for choice in choices) else tuple(choices),
            text=(text or "") if has_reply else None, reasoning=reasoning,
            repeat=repeat if len(texts) > 1 else None, failure="" if has_reply else EMPTY_REPLY,
            score=scores[0] if scores and len(texts) == 1 and has_reply else None,
            answer=str(extracted[0]) if extracted and len(texts) == 1 else "",
        )  # fmt: skip


def _reply_texts(response: Mapping[str, Any], choices: list[str]) -> list[str | None]:
    """Return the replies; if options were scored by likelihood, the letter of the likeliest one."""
    texts, logprobs = response.get("text") or [], as_list(response.get("logprobs"))
    if not texts and choices and len(logprobs) == len(choices):
        return [choice_reply(logprobs.index(max(logprobs)))]
    return [text if text is None else str(text) for text in texts] or [None]
