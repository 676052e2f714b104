"""OpenCompass: `predictions/<model>/<dataset>.json` (and its parts `_0.json`, `_1.json`), `results/` and `configs/` beside it.

A prediction is {"0": {origin_prompt, prediction, gold, ...}}; what each was worth stands in the `details` of the results,
where the evaluator kept any; an empty prediction may be a call that was refused. Replies that are lists (of repeats)
become repeats, as do a data set's copies (`n` runs). Of perplexities and probabilities the reply is the label that was
chosen. What a run that was broken off left, `tmp_<dataset>.jsonl`, is read where there is nothing else. Prompts are
searched for our questions.
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
    count,
    lettered,
    listing,
    mapping,
    number,
    scores,
    settings,
    stamp,
)  # fmt: skip
from evals.prompts.upstream.configs import value

FORMAT = "opencompass"
WHAT = "file of OpenCompass"
NOTHING = "nothing: OpenCompass keeps a refused or filtered call and an empty reply alike"
TEMPORARY = "tmp_"
_PART = re.compile(r"_(\d+)$")
_RIGHT = ("correct", "is_correct", "cascade_correct")
_GRADE = re.compile("A|B")
"""What OpenCompass looks for in a judge's reply: A is right."""


class Task(NamedTuple):
    """Predictions of one model for one data set: the folder of the run, and the files of its parts."""

    root: Path
    model: str
    name: str
    files: list[Path]


def read(path: Path) -> list[Source]:
    """Read an output folder, a folder of predictions or one prediction file; raises DataError in one line."""
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
    for (folder, name), some in parts.items():
        root = next((one.parent for one in folder.absolute().parents if one.name == "predictions"), None)
        model = folder.absolute().relative_to(root / "predictions").as_posix() if root else folder.name
        yield Task(root or folder, model, name, sorted(some, key=_number))


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
    """Read the models of the configuration, which is Python and is not run; none if it cannot be read."""
    by_name: dict[str, dict[str, Any]] = {}
    for path in sorted(below(root / "configs", "*.py")):
        try:
            models = value(whole(path).decode(), "models", file=path.name, given={})
            by_name |= {model["abbr"]: model for model in models}
        except (DataError, *BROKEN):
            continue
    return by_name


def _details(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what was made of each prediction; an object by number has other keys too, as its type."""
    details = results.get("details")
    if isinstance(details, dict):
        details = [details[key] for key in sorted(filter(str.isdecimal, details), key=int)]
    return [mapping(row) for row in listing(details)]


def _items(files: list[Path], details: list[dict[str, Any]]) -> Iterator[Item]:
    before = 0
    for file in files:
        start, last = None, before
        for name, row in _rows(file):
            where = f"{file.name}, {name}"
            if not isinstance(row, dict) or "prediction" not in row:
                raise DataError(f"{file}: {name} has no prediction")
            place = int(name) if str(name).isdecimal() else last
            if start is None:  # a part counts from 0, or goes on where the one before it ended
                start = before if place < before else 0
            place += start
            last = max(last, place + 1)
            texts = _texts(row)
            stated = _stated(details, place) if len(texts) == 1 else {}
            for repeat, text in enumerate(texts):
                yield Item(
                    where=where,
                    prompt=_prompt(row),
                    text=None if text in (None, "") else str(text),
                    failure=NOTHING if text in (None, "") else "",
                    repeat=repeat if len(texts) > 1 else None,
                    score=_score(stated),
                    answer=_answer(stated),
                )
        before = last


def _rows(path: Path) -> Iterator[tuple[Any, Any]]:
    if ".jsonl" not in path.name:
        yield from object_of(path, WHAT).items()
        return
    for row, where in objects(path):
        yield row.get("idx", where), row


def _texts(row: Mapping[str, Any]) -> list[Any]:
    """Return the replies; where labels were weighed, the one that was chosen, as a reply that states it."""
    said = row["prediction"]
    labels = [key.removeprefix("label: ") for key in row if key.startswith("label: ")]
    if isinstance(said, dict):  # label -> perplexity
        labels, values = list(said), [number(value) for value in said.values()]
        said = min(zip(values, labels, strict=True))[1] if values and None not in values else None
    label = count(row.get("pred_label"))
    if label is not None and label < 26:
        return [lettered(label)]
    if labels and said is not None:
        return [f"ANSWER: {said}"]
    return said if isinstance(said, list) else [said]


def _prompt(row: Mapping[str, Any]) -> str:
    labelled = next((row[key] for key in row if key.startswith("label: ")), None)
    given = [row.get("origin_prompt"), row.get("prompt"), row.get("testing input")]
    given += [labelled.get("testing input"), labelled.get("prompt")] if isinstance(labelled, dict) else []
    origin = next((one for one in given if one), "")
    if isinstance(origin, list):
        return "\n\n".join(_turn(turn) for turn in origin)
    return origin if isinstance(origin, str) else ""


def _turn(turn: Any) -> str:
    return str(turn.get("prompt", turn.get("content", ""))) if isinstance(turn, dict) else str(turn)


def _stated(details: list[dict[str, Any]], place: int) -> Mapping[str, Any]:
    """Return the verdict on a prediction: copies of a data set come one after the other, their verdicts as lists."""
    if not details:
        return {}
    copy, sample = divmod(place, len(details))
    lists = {name: value for name, value in details[sample].items() if isinstance(value, list)}
    return details[sample] | {
        name: value[copy] if copy < len(value) else None for name, value in lists.items()
    }


def _answer(stated: Mapping[str, Any]) -> str:
    answer = stated.get("pred", stated.get("predictions"))
    return str(answer)[:200] if isinstance(answer, str | int) else ""


def _score(stated: Mapping[str, Any]) -> float | None:
    """Return the verdict; of a judge alone there is only what it said."""
    known = (number(stated.get(name)) for name in _RIGHT)
    verdict = next((value for value in known if value is not None), None)
    judged = stated.get("prediction")
    if verdict is None and "gold" in stated and isinstance(judged, str) and (grade := _GRADE.search(judged)):
        return float(grade[0] == "A")
    return verdict
