"""evalscope 1.0 and later: `predictions/<model>/<benchmark>_<subset>.jsonl`, with `reviews/`, `reports/` and `configs/`.

Predictions are in the order in which replies arrived. The review with the same index contains the score and, in newer
versions, the repeat. A failed call has no line and is only counted in the report, so its sample is a missing outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.errors import DataError, needs
from evals.interop.files import (
    MAX_CONFIG_BYTES,
    find_files,
    glob_visible,
    read_bytes,
    read_object,
    read_objects,
)
from evals.interop.foreign import Item, Source, read_items
from evals.interop.values import (
    PARSE_ERRORS,
    as_dict,
    as_list,
    count,
    folder_time,
    join_turns,
    number,
    read_sampling,
    stop_of,
)
from evals.types import Sampling, Usage

SCORED_STATUSES = (None, "success", "fallback", "degraded")
"""Statuses of a valid score; older versions write no status."""
Review = tuple[int | None, float | None, str]
"""The repeat, the score and the extracted answer that a review states for a prediction."""


def read(path: Path) -> list[Source]:
    """Read an output folder, a folder of predictions or one prediction file; raises DataError."""
    files = find_files(
        path, "**/predictions/*/*.jsonl", "*.jsonl", expected="predictions/<model>/<benchmark>_<subset>.jsonl"
    )
    return [_source(file) for file in files if file.stat().st_size]


def _source(path: Path) -> Source:
    root, model = path.parent.parent.parent, path.parent.name
    reports = {
        file.stem: read_object(file, "an evalscope report")
        for file in glob_visible(root / "reports" / model, "*.json")
    }
    benchmark = max((name for name in reports if path.stem.startswith(f"{name}_")), key=len, default="")
    report = reports.get(benchmark, {})
    return Source(
        tasks=(path.stem,),
        model=str(report.get("model_name") or model),
        items=lambda: _items(path, root / "reviews" / model / path.name),
        sampling=_sampling(root / "configs"),
        started=folder_time(root.name),
        stated_scores={f"{benchmark} {label}": score for label, score in _stated_scores(report)},
    )


def _stated_scores(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the scores of a report with their labels; metrics have a name (version 1) or an identity (version 2)."""
    for metric in map(as_dict, as_list(report.get("metrics"))):
        if (score := number(metric.get("score"))) is not None:
            identity = as_dict(metric.get("identity"))
            dimensions = [f"{key}={value}" for key, value in as_dict(identity.get("dimensions")).items()]
            names = [str(identity.get(key) or "") for key in ("aggregation", "name")]
            label = " ".join([*names, *dimensions]).strip()
            yield label if identity else str(metric.get("name") or "score"), score
    if failed := number(as_dict(report.get("execution_summary")).get("errored")):
        yield "failed calls", failed


def _sampling(folder: Path) -> Sampling:
    """Read the sampling settings from `task_config*.yaml`; without such a file, all are unknown."""
    path = next(iter(sorted(glob_visible(folder, "task_config*.yaml"))), None)
    if path is None:
        return Sampling()
    with needs(f"reading {path.name}", "import"):
        import yaml
    try:
        config = as_dict(as_dict(yaml.safe_load(read_bytes(path, MAX_CONFIG_BYTES))).get("generation_config"))
    except (yaml.YAMLError, *PARSE_ERRORS) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as an evalscope configuration ({reason})") from None
    return read_sampling(config, stop="stop_seqs" if config.get("stop_seqs") else "stop")


def _items(path: Path, reviews: Path) -> Iterator[Item]:
    rows = read_objects(reviews) if reviews.is_file() else ()
    review_by_index = dict(read_items(reviews, rows, _review, "an evalscope review"))

    def read_row(row: Mapping[str, Any], location: str) -> Iterator[Item]:
        if "raw_input" in row:
            raise DataError(f"{path}: {location}: written by evalscope before 1.0, which is not supported")
        yield _item(row, location, review_by_index.get(str(row["index"]), (None, None, "")))

    return read_items(path, read_objects(path), read_row, "an evalscope prediction")


def _review(row: Mapping[str, Any], location: str) -> Iterator[tuple[str, Review]]:
    repeat, score = count(row["sample_score"].get("generation_index")), row["sample_score"]["score"]
    values = score.get("value") or {}
    main_value = values.get(score.get("main_score_name"), next(iter(values.values()), None))
    value = number(main_value) if score.get("status") in SCORED_STATUSES else None
    yield str(row["index"]), (repeat, value, str(score.get("extracted_prediction") or ""))


def _item(row: Mapping[str, Any], location: str, review: Review) -> Item:
    output = row["model_output"] or {}
    choice = output["choices"][0] if output.get("choices") else None
    message = choice["message"] if choice else {}
    failure = "" if choice else str(output.get("error") or "no reply")
    stop = stop_of(choice.get("stop_reason")) if choice else None
    usage = output.get("usage") or {}
    repeat, score, answer = review
    return Item(
        location=location,
        prompt=_prompt(row["messages"]),
        text=None if failure else join_turns([message]),
        reasoning=_reasoning(message.get("content")),
        stop="filter" if stop is None and output.get("error") else stop,
        usage=Usage(
            input=count(usage.get("input_tokens")),
            output=count(usage.get("output_tokens")),
            reasoning=count(usage.get("reasoning_tokens")),
            cached=count(usage.get("input_tokens_cache_read")),
        ),
        seconds=number(output.get("time")) or 0.0,
        repeat=repeat,
        failure=failure,
        score=score,
        answer=answer,
    )


def _reasoning(content: Any) -> str | None:
    parts = [part for part in as_list(content) if part["type"] == "reasoning"]
    return "\n".join(str(part["reasoning"]) for part in parts) or None


def _prompt(messages: list[dict[str, Any]]) -> str:
    """Join all turns before the model's last one."""
    roles = [turn["role"] for turn in messages]
    last = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else len(roles)
    return join_turns(messages[:last])
