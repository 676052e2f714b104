"""evalscope: `predictions/<model>/<benchmark>_<subset>.jsonl`, with `reviews/`, `reports/` and `configs/` beside it.

A prediction is what the model said to one planned question, in the order in which replies came; what it was worth stands
in the review of the same index, and of which repeat it was where the version tells. A call that failed leaves no line
(only the report counts it): such samples are missing outcomes. A review without a usable score is no score.
Lines of versions before 1.0 are read by `evalscope_older`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from evals.errors import DataError, UsageError
from evals.interop import evalscope_older
from evals.interop.files import below, document, objects, whole
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, count, number, stamp
from evals.types import Sampling, Usage

FORMAT = "evalscope"
STOPS: dict[str, Literal["stop", "length", "filter"]] = {
    "stop": "stop",
    "max_tokens": "length",
    "length": "length",
    "model_length": "length",
    "content_filter": "filter",
}
SCORED = (None, "success", "fallback", "degraded")
"""States of a score that count; older versions do not say."""


class Review(NamedTuple):
    """What evalscope made of a prediction."""

    repeat: int | None
    score: float | None
    answer: str


def read(path: Path) -> list[Source]:
    """Read an output folder, a folder of predictions or one of its files; raises DataError in one line."""
    files = (
        [path]
        if path.is_file()
        else sorted(below(path, "**/predictions/*/*.jsonl")) or sorted(below(path, "*.jsonl"))
    )
    if not files:
        raise DataError(f"{path}: no predictions/<model>/<benchmark>_<subset>.jsonl there")
    return [_source(file) for file in files if file.stat().st_size]


def _source(path: Path) -> Source:
    root, model = path.parent.parent.parent, path.parent.name
    reports = _reports(root / "reports" / model)
    name = max((name for name in reports if path.stem.startswith(f"{name}_")), key=len, default="")
    report = reports.get(name, {})
    return Source(
        format=FORMAT,
        tasks=(path.stem,),
        model=str(report.get("model_name") or model),
        items=lambda: _items(path, root / "reviews" / model / path.name),
        sampling=_sampling(root / "configs"),
        started=stamp(root.name),
        stated=_stated(name, report),
    )


def _reports(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(below(folder, "*.json")):
        report = document(path)
        found[path.stem] = report if isinstance(report, dict) else {}
    return found


def _stated(name: str, report: Mapping[str, Any]) -> dict[str, float]:
    """Give the scores of a report: metrics are named (version 1) or have an identity (version 2)."""
    stated: dict[str, float] = {}
    metrics = report.get("metrics")
    for metric in metrics if isinstance(metrics, list) else ():
        score = number(metric.get("score")) if isinstance(metric, dict) else None
        if score is None:
            continue
        identity = metric.get("identity")
        label = _identity(identity) if isinstance(identity, dict) else str(metric.get("name") or "score")
        stated[f"{name} {label}"] = score
    if not stated and (score := number(report.get("score"))) is not None:  # before there were several metrics
        stated[f"{name} {report.get('metric') or 'score'}"] = score
    done = report.get("execution_summary")
    if isinstance(done, dict) and (failed := number(done.get("errored"))):
        stated[f"{name} calls that failed"] = failed
    return stated


def _identity(found: Mapping[str, Any]) -> str:
    more = found.get("dimensions")
    axes = [f"{key}={value}" for key, value in more.items()] if isinstance(more, dict) else []
    return " ".join([str(found.get("aggregation") or ""), str(found.get("name") or ""), *axes]).strip()


def _sampling(folder: Path) -> Sampling:
    """Read the settings of `task_config.yaml`, which older versions number; unknown where there is none."""
    path = next(iter(sorted(below(folder, "task_config*.yaml"))), None)
    if path is None:
        return Sampling()
    try:
        import yaml
    except ImportError:
        raise UsageError(f"reading {path.name} needs `pip install 'science-evals[import]'`") from None
    try:
        found = yaml.safe_load(whole(path))
        given = found.get("generation_config") or {}
        stop = given.get("stop_seqs") or given.get("stop") or ()
        known: dict[str, Any] = {name: number(given.get(name)) for name in ("temperature", "top_p")}
        known |= {name: count(given.get(name)) for name in ("top_k", "max_tokens", "seed")}
        known["max_tokens"] = known["max_tokens"] or count(given.get("max_new_tokens"))
        return msgspec.convert(known | {"stop": [stop] if isinstance(stop, str) else stop}, Sampling)
    except (yaml.YAMLError, *BROKEN) as error:
        raise DataError(f"{path}: no settings of evalscope ({' '.join(str(error).split())[:200]})") from None


def _items(path: Path, reviews: Path) -> Iterator[Item]:
    stated = dict(_reviews(reviews)) if reviews.is_file() else {}
    for row, where in objects(path):
        try:
            if "model_output" in row:
                yield _item(row, where, _review(stated.get(str(row["index"]))))
            else:
                yield from evalscope_older.items(row, where, stated.get(evalscope_older.key(row), {}))
        except BROKEN as error:
            raise DataError(
                f"{path}: {where}: no prediction of evalscope ({type(error).__name__}: {error})"
            ) from None


def _reviews(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for row, where in objects(path):
        try:
            name = str(row["index"]) if "sample_score" in row else evalscope_older.key(row)
            _review(row)
        except BROKEN as error:
            raise DataError(
                f"{path}: {where}: no review of evalscope ({type(error).__name__}: {error})"
            ) from None
        yield name, row


def _review(row: Mapping[str, Any] | None) -> Review:
    if row is None or "sample_score" not in row:
        return Review(None, None, "")
    sample, score = row["sample_score"], row["sample_score"]["score"]
    value = score.get("value") or {}
    main = value.get(score.get("main_score_name"), next(iter(value.values()), None))
    return Review(
        count(sample.get("generation_index")),
        number(main) if score.get("status") in SCORED else None,
        str(score.get("extracted_prediction") or ""),
    )


def _item(row: Mapping[str, Any], where: str, review: Review) -> Item:
    output = row["model_output"] or {}
    first = output["choices"][0] if output.get("choices") else None
    message = first["message"] if first else {}
    text, reasoning = _texts(message.get("content"))
    failure = "" if first else str(output.get("error") or "no reply")
    stop = STOPS.get(first.get("stop_reason")) if first else None
    return Item(
        where=where,
        prompt=_prompt(row["messages"]),
        text=None if failure else text,
        reasoning=reasoning or None,
        stop="filter" if stop is None and output.get("error") else stop,
        usage=_usage(output.get("usage") or {}),
        seconds=number(output.get("time")) or 0.0,
        repeat=review.repeat,
        failure=failure,
        score=review.score,
        answer=review.answer,
    )


def _texts(content: Any) -> tuple[str, str]:
    """Give what was said and what was thought: a text, or parts with their types."""
    if not isinstance(content, list):
        return (content if isinstance(content, str) else ""), ""
    said = [str(part["text"]) for part in content if part["type"] == "text"]
    thought = [str(part["reasoning"]) for part in content if part["type"] == "reasoning"]
    return "\n".join(said), "\n".join(thought)


def _prompt(messages: list[dict[str, Any]]) -> str:
    """Give all turns before the last of the model's."""
    roles = [turn["role"] for turn in messages]
    last = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else len(roles)
    return "\n\n".join(_texts(turn["content"])[0] for turn in messages[:last])


def _usage(found: Mapping[str, Any]) -> Usage:
    return Usage(
        input=count(found.get("input_tokens")),
        output=count(found.get("output_tokens")),
        reasoning=count(found.get("reasoning_tokens")),
        cached=count(found.get("input_tokens_cache_read")),
    )
