"""OpenCompass: `predictions/<model>/<dataset>.json` (or parts `_0.json`, `_1.json`), with `results/` and `configs/`.

A prediction file is {"0": {origin_prompt, prediction, gold, ...}, ...}. Scores are in the `details` of the results,
if the evaluator keeps any. OpenCompass does not distinguish a refused call from an empty reply; we import both as failures. A
list of replies becomes repeats, as do the copies of a data set (`n` runs). If labels were compared by perplexity or
probability, the reply is the chosen label. The `tmp_<dataset>.jsonl` of an interrupted run is read if there is no other
file. Samples are matched by prompt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from evals.errors import DataError
from evals.interop.files import (
    MAX_CONFIG_BYTES,
    find_files,
    glob_visible,
    read_bytes,
    read_object,
    read_objects,
    read_optional,
)
from evals.interop.foreign import Item, Source
from evals.interop.values import (
    PARSE_ERRORS,
    as_dict,
    as_list,
    choice_reply,
    count,
    folder_time,
    number,
    numeric_fields,
    read_sampling,
)
from evals.prompts.upstream.configs import evaluate

EXPECTED = "OpenCompass output"
EMPTY_REPLY = "empty: OpenCompass does not distinguish a refused or filtered call from an empty reply"
TEMPORARY_PREFIX = "tmp_"
_PART_SUFFIX = re.compile(r"_(\d+)$")
_CORRECT_FIELDS = ("correct", "is_correct", "cascade_correct")
"""Fields of the details that say whether a prediction is right; the first one with a number counts."""
_GRADE = re.compile("A|B")
"""Grade in a judge's reply, extracted as by OpenCompass: A is right."""


class Task(NamedTuple):
    """Predictions of one model on one data set: the run's folder and the prediction files, one for each part."""

    root: Path
    model: str
    name: str
    files: list[Path]


def read(path: Path) -> list[Source]:
    """Read an output folder, a folder of predictions or one prediction file; raises DataError."""
    files = find_files(
        path, "**/predictions/**/*.json*", "*.json", expected="predictions/<model>/<dataset>.json"
    )
    configs = cache(_model_configs)
    return [_source(task, configs(task.root).get(task.model, {})) for task in _tasks(files)]


def _tasks(files: list[Path]) -> Iterator[Task]:
    """Group the files of each data set's parts; temporary files count only if there is no finished one."""
    names = {(file.parent, _stem(file)) for file in files}
    finished = {(file.parent, _stem(file)) for file in files if not file.name.startswith(TEMPORARY_PREFIX)}
    parts: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        name = _stem(file)
        if file.name.startswith(TEMPORARY_PREFIX) and (file.parent, name) in finished:
            continue
        dataset = _PART_SUFFIX.sub("", name)
        is_part = dataset != name and (file.parent, f"{dataset}_0") in names
        parts[file.parent, dataset if is_part else name].append(file)
    for (folder, dataset), files_of_parts in parts.items():
        root = next((f.parent for f in folder.absolute().parents if f.name == "predictions"), None)
        model = folder.absolute().relative_to(root / "predictions").as_posix() if root else folder.name
        yield Task(root or folder, model, dataset, sorted(files_of_parts, key=_part_number))


def _stem(path: Path) -> str:
    return path.name.partition(".json")[0].removeprefix(TEMPORARY_PREFIX)


def _part_number(path: Path) -> int:
    match = _PART_SUFFIX.search(_stem(path))
    return int(match[1]) if match else 0


def _source(task: Task, config: dict[str, Any]) -> Source:
    results = read_optional(task.root / "results" / task.model / f"{task.name}.json", EXPECTED)
    return Source(
        tasks=(task.name,),
        model=task.model,
        items=lambda: _items(task.files, _all_details(results)),
        sampling=read_sampling(
            config | as_dict(config.get("generation_kwargs")),
            max_tokens="max_out_len",
            seed="",
            stop="",
            min_p="",
        ),
        started=folder_time(task.root.name),
        stated_scores={f"{task.name} {name}": score for name, score in numeric_fields(results).items()},
    )


def _model_configs(root: Path) -> dict[str, dict[str, Any]]:
    """Return the models' configurations by name, parsed from Python source that is not executed; none if that fails."""
    by_name: dict[str, dict[str, Any]] = {}
    for path in sorted(glob_visible(root / "configs", "*.py")):
        try:
            code = read_bytes(path, MAX_CONFIG_BYTES).decode()
            models = evaluate(code, "models", file=path.name, loop_values={})
            by_name |= {model["abbr"]: model for model in models}
        except (DataError, *PARSE_ERRORS):
            continue
    return by_name


def _all_details(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the details of each prediction, from a list or from the numeric keys of an object."""
    details = results.get("details")
    if isinstance(details, dict):
        details = [details[key] for key in sorted(filter(str.isdecimal, details), key=int)]
    return [as_dict(row) for row in as_list(details)]


def _items(files: list[Path], details: list[dict[str, Any]]) -> Iterator[Item]:
    predictions_read = 0
    """Number of predictions in the parts read so far."""
    for file in files:
        offset, next_index = None, predictions_read
        for name, row in _rows(file):
            if not isinstance(row, dict) or "prediction" not in row:
                raise DataError(f"{file}: {name} has no prediction")
            index = int(name) if str(name).isdecimal() else next_index
            if offset is None:  # the numbers in a part start at 0 or continue those of the previous part
                offset = predictions_read if index < predictions_read else 0
            index += offset
            next_index = max(next_index, index + 1)
            texts = _reply_texts(row)
            detail = _prediction_details(details, index) if len(texts) == 1 else {}
            for repeat, text in enumerate(texts):
                yield Item(
                    location=f"{file.name}, {name}",
                    prompt=_prompt(row),
                    text=None if text in (None, "") else str(text),
                    failure=EMPTY_REPLY if text in (None, "") else "",
                    repeat=repeat if len(texts) > 1 else None,
                    score=_score(detail),
                    answer=_extracted_answer(detail),
                )
        predictions_read = next_index


def _rows(path: Path) -> Iterator[tuple[Any, Any]]:
    if ".jsonl" not in path.name:
        yield from read_object(path, EXPECTED).items()
        return
    for row, location in read_objects(path):
        yield row.get("idx", location), row


def _reply_texts(row: Mapping[str, Any]) -> list[Any]:
    """Return the replies; if labels were compared by likelihood, a reply that states the chosen one."""
    prediction = row["prediction"]
    labels = [key.removeprefix("label: ") for key in row if key.startswith("label: ")]
    if isinstance(prediction, dict):  # label -> perplexity
        labels, scores = list(prediction), [number(score) for score in prediction.values()]
        prediction = min(zip(scores, labels, strict=True))[1] if scores and None not in scores else None
    label = count(row.get("pred_label"))
    if label is not None and label < 26:
        return [choice_reply(label)]
    if labels and prediction is not None:
        return [f"ANSWER: {prediction}"]
    return prediction if isinstance(prediction, list) else [prediction]


def _prompt(row: Mapping[str, Any]) -> str:
    labelled_row = as_dict(next((row[key] for key in row if key.startswith("label: ")), None))
    candidates = [row.get("origin_prompt"), row.get("prompt"), row.get("testing input")]
    candidates += [labelled_row.get("testing input"), labelled_row.get("prompt")]
    prompt = next(filter(None, candidates), "")
    if isinstance(prompt, list):
        turns = (t.get("prompt", t.get("content", "")) if isinstance(t, dict) else t for t in prompt)
        return "\n\n".join(map(str, turns))
    return prompt if isinstance(prompt, str) else ""


def _prediction_details(details: list[dict[str, Any]], index: int) -> Mapping[str, Any]:
    """Return the details of a prediction.

    If the data set was run in several copies, predictions are numbered copy by copy, and the details list a verdict for
    each copy.
    """
    if not details:
        return {}
    copy, position = divmod(index, len(details))
    lists = {name: value for name, value in details[position].items() if isinstance(value, list)}
    return details[position] | {
        name: value[copy] if copy < len(value) else None for name, value in lists.items()
    }


def _extracted_answer(detail: Mapping[str, Any]) -> str:
    answer = detail.get("pred", detail.get("predictions"))
    return str(answer)[:200] if isinstance(answer, str | int) else ""


def _score(detail: Mapping[str, Any]) -> float | None:
    """Return the score; if only a judge graded the prediction, read it from the judge's reply."""
    values = (number(detail.get(name)) for name in _CORRECT_FIELDS)
    score = next((value for value in values if value is not None), None)
    judgement = detail.get("prediction")
    if (
        score is None
        and "gold" in detail
        and isinstance(judgement, str)
        and (grade := _GRADE.search(judgement))
    ):
        return float(grade[0] == "A")
    return score
