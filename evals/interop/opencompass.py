"""OpenCompass: `predictions/<model>/<dataset>.json` (and parts `_0.json`, `_1.json`), with `results/` and `configs/`.

A file of predictions is {"0": {origin_prompt, prediction, gold, ...}, ...}. Scores are in the `details` of the results,
if the evaluator keeps any. OpenCompass writes a refused call and an empty reply in the same way; here both are failures.
A list of replies becomes repeats, as do the copies of a data set (`n` runs). Of perplexities and probabilities, the reply
is the label that was chosen. `tmp_<dataset>.jsonl` of an interrupted run is read if there is no other file. Samples are
matched by prompt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from evals.errors import DataError
from evals.interop.files import below, chosen, object_of, objects, optional, whole
from evals.interop.foreign import Item, Source
from evals.interop.values import (
    BROKEN,
    choice_reply,
    count,
    listing,
    mapping,
    number,
    scores,
    settings,
    stamp,
)
from evals.prompts.upstream.configs import evaluate

FORMAT = "opencompass"
WHAT = "file of OpenCompass"
EMPTY = "nothing: OpenCompass keeps a refused or filtered call and an empty reply alike"
TEMPORARY = "tmp_"
_PART = re.compile(r"_(\d+)$")
_RIGHT = ("correct", "is_correct", "cascade_correct")
_GRADE = re.compile("A|B")
"""The pattern by which OpenCompass reads a judge's reply: A is right."""


class Task(NamedTuple):
    """Predictions of one model for one data set: the run's folder and the files of the parts."""

    root: Path
    model: str
    name: str
    files: list[Path]


def read(path: Path) -> list[Source]:
    """Read an output folder, a folder of predictions or one prediction file; raises DataError."""
    files = chosen(path, "**/predictions/**/*.json*", "*.json", wanted="predictions/<model>/<dataset>.json")
    configs = cache(_configs)
    return [_source(task, configs(task.root).get(task.model, {})) for task in _tasks(files)]


def _tasks(files: list[Path]) -> Iterator[Task]:
    names = {(file.parent, _name(file)) for file in files}
    done = {(file.parent, _name(file)) for file in files if not file.name.startswith(TEMPORARY)}
    parts: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        name = _name(file)
        if file.name.startswith(TEMPORARY) and (file.parent, name) in done:
            continue
        whole_name = _PART.sub("", name)
        split = whole_name != name and (file.parent, f"{whole_name}_0") in names
        parts[file.parent, whole_name if split else name].append(file)
    for (folder, name), files_of_parts in parts.items():
        root = next((f.parent for f in folder.absolute().parents if f.name == "predictions"), None)
        model = folder.absolute().relative_to(root / "predictions").as_posix() if root else folder.name
        yield Task(root or folder, model, name, sorted(files_of_parts, key=_number))


def _name(path: Path) -> str:
    return path.name.partition(".json")[0].removeprefix(TEMPORARY)


def _number(path: Path) -> int:
    match = _PART.search(_name(path))
    return int(match[1]) if match else 0


def _source(task: Task, config: dict[str, Any]) -> Source:
    results = optional(task.root / "results" / task.model / f"{task.name}.json", WHAT)
    return Source(
        format=FORMAT,
        tasks=(task.name,),
        model=task.model,
        items=lambda: _items(task.files, _details(results)),
        sampling=settings(
            config | mapping(config.get("generation_kwargs")),
            max_tokens="max_out_len",
            seed="",
            stop="",
            min_p="",
        ),
        started=stamp(task.root.name),
        stated={f"{task.name} {name}": score for name, score in scores(results).items()},
    )


def _configs(root: Path) -> dict[str, dict[str, Any]]:
    """Parse the models of the configuration, which is Python source and is not executed; none if that fails."""
    by_name: dict[str, dict[str, Any]] = {}
    for path in sorted(below(root / "configs", "*.py")):
        try:
            models = evaluate(whole(path).decode(), "models", file=path.name, loop_values={})
            by_name |= {model["abbr"]: model for model in models}
        except (DataError, *BROKEN):
            continue
    return by_name


def _details(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the details of each prediction; an object has keys other than the numbers, too."""
    details = results.get("details")
    if isinstance(details, dict):
        details = [details[key] for key in sorted(filter(str.isdecimal, details), key=int)]
    return [mapping(row) for row in listing(details)]


def _items(files: list[Path], details: list[dict[str, Any]]) -> Iterator[Item]:
    end = 0
    """Number of predictions in the parts before."""
    for file in files:
        offset, last = None, end
        for name, row in _rows(file):
            if not isinstance(row, dict) or "prediction" not in row:
                raise DataError(f"{file}: {name} has no prediction")
            index = int(name) if str(name).isdecimal() else last
            if offset is None:  # the numbers of a part start at 0, or continue those of the part before
                offset = end if index < end else 0
            index += offset
            last = max(last, index + 1)
            texts = _texts(row)
            stated = _stated(details, index) if len(texts) == 1 else {}
            for repeat, text in enumerate(texts):
                yield Item(
                    where=f"{file.name}, {name}",
                    prompt=_prompt(row),
                    text=None if text in (None, "") else str(text),
                    failure=EMPTY if text in (None, "") else "",
                    repeat=repeat if len(texts) > 1 else None,
                    score=_score(stated),
                    answer=_answer(stated),
                )
        end = last


def _rows(path: Path) -> Iterator[tuple[Any, Any]]:
    if ".jsonl" not in path.name:
        yield from object_of(path, WHAT).items()
        return
    for row, where in objects(path):
        yield row.get("idx", where), row


def _texts(row: Mapping[str, Any]) -> list[Any]:
    """Return the replies; if labels were compared by likelihood, the reply that states the chosen one."""
    prediction = row["prediction"]
    labels = [key.removeprefix("label: ") for key in row if key.startswith("label: ")]
    if isinstance(prediction, dict):  # label -> perplexity
        labels, values = list(prediction), [number(value) for value in prediction.values()]
        prediction = min(zip(values, labels, strict=True))[1] if values and None not in values else None
    label = count(row.get("pred_label"))
    if label is not None and label < 26:
        return [choice_reply(label)]
    if labels and prediction is not None:
        return [f"ANSWER: {prediction}"]
    return prediction if isinstance(prediction, list) else [prediction]


def _prompt(row: Mapping[str, Any]) -> str:
    labelled = next((row[key] for key in row if key.startswith("label: ")), None)
    candidates = [row.get("origin_prompt"), row.get("prompt"), row.get("testing input")]
    candidates += (
        [labelled.get("testing input"), labelled.get("prompt")] if isinstance(labelled, dict) else []
    )
    origin = next(filter(None, candidates), "")
    if isinstance(origin, list):
        return "\n\n".join(_turn(turn) for turn in origin)
    return origin if isinstance(origin, str) else ""


def _turn(turn: Any) -> str:
    return str(turn.get("prompt", turn.get("content", ""))) if isinstance(turn, dict) else str(turn)


def _stated(details: list[dict[str, Any]], index: int) -> Mapping[str, Any]:
    """Return the details of a prediction: copies of a data set follow each other, with their verdicts in lists."""
    if not details:
        return {}
    copy, sample = divmod(index, len(details))
    lists = {name: value for name, value in details[sample].items() if isinstance(value, list)}
    return details[sample] | {
        name: value[copy] if copy < len(value) else None for name, value in lists.items()
    }


def _answer(stated: Mapping[str, Any]) -> str:
    answer = stated.get("pred", stated.get("predictions"))
    return str(answer)[:200] if isinstance(answer, str | int) else ""


def _score(stated: Mapping[str, Any]) -> float | None:
    """Return the score; if only a judge graded the prediction, it is read from the judge's reply."""
    values = (number(stated.get(name)) for name in _RIGHT)
    verdict = next((value for value in values if value is not None), None)
    judgement = stated.get("prediction")
    if (
        verdict is None
        and "gold" in stated
        and isinstance(judgement, str)
        and (grade := _GRADE.search(judgement))
    ):
        return float(grade[0] == "A")
    return verdict
