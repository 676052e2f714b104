"""Inspect: `.eval` logs (zip archives) and `.json` logs, read with its Python API, which is stable.

A log is one task. Epochs are repeats. A sample that ended in an error, was invalidated, or reached a limit on time, cost
or messages is a failure. If the solver shuffled the options, Inspect rewrites prompt and reply to the original order;
the prompt as sent and the reply as received are then taken from the sample's events. Ids that only number the samples
are ignored. The unpacked size of an archive is checked before the API opens it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zipfile import ZipFile

from msgspec import structs

from evals import disk
from evals.boundary import foreign_code
from evals.data.archive import ARCHIVE_ERRORS
from evals.errors import DataError, needs
from evals.interop.files import MAX_BYTES, glob_visible, refuse_zip_bomb
from evals.interop.foreign import Item, Source
from evals.interop.values import count, iso_time, number, read_sampling, stop_of
from evals.types import Sampling, Usage

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

CHUNK_BYTES = 1 << 20
MAX_DEPTH = 1000
"""Maximum nesting depth of JSON; Inspect's own logs stay below 50."""
_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NON_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
HEAD_BYTES = 1 << 12
"""Number of leading bytes by which a JSON log is recognized."""
UNUSED_FIELDS = {"events", "store", "timelines"}
"""Fields of a sample that are not read; `events` are read if the options were shuffled."""
GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # correct, incorrect, partially correct, no answer
TRUNCATING_LIMITS = ("context", "token")
"""Types of limits that truncate the reply; other limits end the sample without a reply."""


def read(path: Path) -> list[Source]:
    """Read one log, or all logs in a folder; raises DataError, or UsageError if the API is not installed."""
    files = (
        [path] if path.is_file() else [file for file in sorted(glob_visible(path, "**/*")) if is_log(file)]
    )
    if not files:
        raise DataError(f"{path}: no Inspect log found (*.eval, *.json)")
    return [_source(file) for file in files]


def is_log(path: Path) -> bool:
    """Return whether a file looks like a log."""
    if path.suffix == ".eval":
        return path.is_file()
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return head.lstrip()[:1] == b"{" and all(key in head for key in (b'"version"', b'"status"', b'"eval"'))


def _source(path: Path) -> Source:
    log = _read_log(path, None)
    is_shuffled = any(
        step.solver.endswith("multiple_choice") and step.params.get("shuffle") for step in log.plan.steps
    )
    task = log.eval.task.rpartition("/")[2]
    results = log.results
    stated_scores = {
        f"{task} {score.name} {metric.name}": value
        for score in (results.scores if results else ())
        for metric in score.metrics.values()
        if (value := number(metric.value)) is not None
    }
    if results is not None and results.completed_samples < results.total_samples:
        stated_scores[f"{task} samples not completed"] = float(
            results.total_samples - results.completed_samples
        )
    return Source(
        tasks=(task,),
        model=log.eval.model,
        items=lambda: _items(path, is_shuffled=is_shuffled),
        sampling=_sampling(log),
        started=iso_time(log.stats.started_at or log.eval.created),
        stated_scores=stated_scores,
    )


def _read_log(path: Path, unused: set[str] | None) -> EvalLog:
    """Read a log without the `unused` fields of its samples, or only its header if `unused` is None; raises DataError."""
    with needs("reading Inspect logs", "inspect"):
        from inspect_ai.log import read_eval_log
    log_format: Literal["eval", "json"] = "json" if path.suffix == ".json" else "eval"
    logging.getLogger("inspect_ai").setLevel(logging.CRITICAL)
    with foreign_code(lambda reason: DataError(f"{path}: Inspect cannot read this log ({reason[:200]})")):
        if unused is None:
            _refuse_unsafe_log(path, is_archive=log_format == "eval")
        return read_eval_log(
            path.absolute(),
            header_only=unused is None,
            resolve_attachments=True,
            format=log_format,
            exclude_fields=unused,
        )


def _refuse_unsafe_log(path: Path, *, is_archive: bool) -> None:
    """Raise DataError for a log that is too large, nested too deeply, or a zip bomb.

    Members of an archive are read to the end, since the sizes it states may be false.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 30} GiB")
    if not is_archive:
        _refuse_deep_nesting(path, disk.read_small(path, MAX_BYTES))
        return
    import zipfile_zstd  # noqa: F401 - adds Zstandard to the standard library's zipfile; a dependency of Inspect

    try:
        with ZipFile(path) as zip_file:
            refuse_zip_bomb(path, zip_file)
            for entry in zip_file.infolist():
                with zip_file.open(entry) as stream:
                    if entry.file_size <= disk.MAX_SMALL_FILE:
                        _refuse_deep_nesting(path, stream.read(disk.MAX_SMALL_FILE))
                    while stream.read(CHUNK_BYTES):
                        pass
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: {error}") from None


def _refuse_deep_nesting(path: Path, raw: bytes) -> None:
    """Raise DataError for deeply nested JSON: the time of Inspect's parser grows with the square of the depth."""
    import numpy as np

    brackets = np.frombuffer(_JSON_STRING.sub(b"", raw).translate(None, _NON_BRACKETS), dtype=np.uint8)
    depths = np.cumsum(np.where(np.isin(brackets, list(b"[{")), 1, -1))
    if depths.size and int(depths.max()) > MAX_DEPTH:
        raise DataError(f"{path}: it is nested too deeply")


def _items(path: Path, *, is_shuffled: bool) -> Iterator[Item]:
    log = _read_log(path, UNUSED_FIELDS - {"events"} if is_shuffled else UNUSED_FIELDS)
    main_scorer = next((scorer.name for scorer in log.eval.scorers or ()), "")
    ids, count_of_samples = [sample.id for sample in log.samples or ()], log.eval.dataset.samples or 0
    # Inspect numbers samples without ids
    has_line_numbers = all(isinstance(id_, int) and 0 < id_ <= count_of_samples for id_ in ids)
    for sample in log.samples or ():
        yield _item(path, sample, main_scorer, is_shuffled=is_shuffled, has_line_numbers=has_line_numbers)


def _item(path: Path, sample: EvalSample, scorer: str, *, is_shuffled: bool, has_line_numbers: bool) -> Item:
    output, prompt = sample.output, _messages_before_reply(sample.messages)
    calls = [event for event in sample.events if event.event == "model"] if is_shuffled else []
    if calls:  # the sample itself was rewritten to the original order
        output, prompt = calls[-1].output, list(calls[-1].input)
    failure = _failure_reason(sample, output)
    choice = output.choices[0] if output.choices else None
    stop = stop_of(choice.stop_reason) if choice else None
    if output.error and stop is None:
        stop = "filter"
    if sample.limit is not None and sample.limit.type in TRUNCATING_LIMITS:
        stop = "length"
    grade = (sample.scores or {}).get(scorer) or next(iter((sample.scores or {}).values()), None)
    return Item(
        location=f"{path.name}, sample {sample.id} of epoch {sample.epoch}", id="" if has_line_numbers else str(sample.id),
        question=_question(sample), prompt="\n\n".join(message.text for message in prompt),
        options=() if calls else tuple(sample.choices or ()),
        text=None if failure or choice is None else choice.message.text,
        reasoning=_reasoning(choice.message.content) if choice and not failure else None, stop=stop,
        usage=_usage(output.usage), seconds=number(output.time) or 0.0, repeat=sample.epoch - 1,
        failure=failure, score=_score(grade.value) if grade else None,
        answer=grade.answer or "" if grade else "",
    )  # fmt: skip


def _messages_before_reply(messages: list[Any]) -> list[Any]:
    """Return the messages before the model's last one."""
    last = max(
        (n for n, message in enumerate(messages) if message.role == "assistant"), default=len(messages)
    )
    return messages[:last]


def _question(sample: EvalSample) -> str:
    if isinstance(sample.input, str):
        return sample.input
    return next((message.text for message in reversed(sample.input) if message.role == "user"), "")


def _failure_reason(sample: EvalSample, output: Any) -> str:
    """Return why a sample is a failure; empty if it is not."""
    if sample.error is not None:
        return sample.error.message.strip().partition("\n")[0] or "unknown error"
    if sample.invalidation is not None:
        return f"invalidated: {sample.invalidation.reason or 'no reason given'}"
    if sample.limit is not None and sample.limit.type not in TRUNCATING_LIMITS:
        return f"ended by its {sample.limit.type} limit"
    return "" if output.choices else str(output.error or "no reply")


def _reasoning(content: Any) -> str | None:
    parts = (
        [part.reasoning for part in content if part.type == "reasoning"] if isinstance(content, list) else []
    )
    return "\n".join(parts) or None


def _usage(usage: Any) -> Usage:
    """Return the tokens of the call; Inspect does not count cached tokens as input."""
    if usage is None:
        return Usage()
    uncached, cached, written = map(
        count, (usage.input_tokens, usage.input_tokens_cache_read, usage.input_tokens_cache_write)
    )
    return Usage(
        input=None if uncached is None else uncached + (cached or 0) + (written or 0),
        output=count(usage.output_tokens),
        reasoning=count(usage.reasoning_tokens),
        cached=cached,
    )


def _score(value: Any) -> float | None:
    """Return a grade as a number; None if the sample was not scored (NaN) or the grade is not a single number."""
    if isinstance(value, str):
        if value in GRADES:
            return GRADES[value]
        try:
            value = float(value)
        except ValueError:
            return {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}.get(value.lower())
    return number(value)


def _sampling(log: EvalLog) -> Sampling:
    """Return the task's sampling settings, with the model's as defaults."""
    config = log.eval.model_generate_config.merge(log.plan.config).model_dump(exclude_none=True)
    extra = {name: config[name] for name in ("reasoning_effort", "reasoning_tokens") if name in config}
    return structs.replace(read_sampling(config, stop="stop_seqs"), extra=extra)
