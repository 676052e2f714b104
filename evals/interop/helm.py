"""HELM: run folders with `run_spec.json`, `scenario_state.json`, `stats.json` and `per_instance_stats.json` (0.5).

A request state is one question with what was sent and what came back; `output_mapping` tells the options as shown. A call
without success holds an empty text, which HELM scores as wrong: here it is a failure. Perturbed instances are other
questions and left out. Tokens are HELM's own estimates, so usage stays unknown. The instances' ids are HELM's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from evals.errors import DataError
from evals.interop.files import below, document
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, count, number
from evals.types import Sampling

FORMAT = "helm"
STATE = "scenario_state.json"
SCORES = (
    "chain_of_thought_correctness",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "quasi_exact_match",
    "exact_match",
)
"""Metrics that say of one reply whether it is right, what HELM ranks by first."""
STOPS: dict[Any, Literal["stop", "length", "filter"]] = {
    "stop": "stop",
    "endoftext": "stop",
    "length": "length",
    "content_filter": "filter",
}


def read(path: Path) -> list[Source]:
    """Read a run's folder, its `scenario_state.json`, or all runs below a folder; raises DataError in one line."""
    found = [path] if path.is_file() else sorted(below(path, f"**/{STATE}"))
    if not found:
        raise DataError(f"{path}: no run of HELM there ({STATE})")
    return [_source(file) for file in found]


def _source(path: Path) -> Source:
    spec = _object(path.with_name("run_spec.json")) if path.with_name("run_spec.json").is_file() else {}
    state = _object(path)
    adapter, states = state.get("adapter_spec"), state.get("request_states")
    if not isinstance(adapter, dict) or not isinstance(states, list):
        raise DataError(f"{path}: no scenario state of HELM, which has adapter_spec and request_states")
    task = _task(spec, path)
    return Source(
        format=FORMAT,
        tasks=(task,),
        model=str(adapter.get("model") or adapter.get("model_deployment") or ""),
        items=lambda: _items(path),
        sampling=_sampling(adapter, path),
        started=_started(states),
        stated=_stated(task, path.with_name("stats.json")),
    )


def _object(path: Path) -> dict[str, Any]:
    found = document(path)
    if not isinstance(found, dict):
        raise DataError(f"{path}: no file of HELM, which holds an object")
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    """Give the rows of a list of statistics; none where the file is absent."""
    found = document(path) if path.is_file() else []
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise DataError(f"{path}: no statistics of HELM, which are a list of objects")
    return found


def _task(spec: Mapping[str, Any], path: Path) -> str:
    """Name the scenario, with its subset or subject: `gpqa_diamond`, `mmlu_pro_law`."""
    name = str(spec.get("name") or path.parent.name).partition(":")[0]
    scenario = spec.get("scenario_spec")
    given = scenario.get("args") if isinstance(scenario, dict) else None
    part = (given.get("subset") or given.get("subject") or "") if isinstance(given, dict) else ""
    part = str(part).removeprefix(f"{name}_")
    return f"{name}_{part}" if part else name


def _sampling(adapter: Mapping[str, Any], path: Path) -> Sampling:
    known = {
        "temperature": number(adapter.get("temperature")),
        "max_tokens": count(adapter.get("max_tokens")),
    }
    try:
        return msgspec.convert(known | {"stop": adapter.get("stop_sequences") or ()}, Sampling)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {error}") from None


def _started(states: list[Any]) -> float:
    results = [state.get("result") for state in states[:1] if isinstance(state, dict)]
    stamp = results[0].get("request_datetime") if results and isinstance(results[0], dict) else None
    return float(stamp) if isinstance(stamp, int) and 0 < stamp < 1 << 33 else 0.0


def _stated(task: str, path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in _rows(path):
        name, value = row.get("name"), number(row.get("mean"))
        if (
            value is not None
            and isinstance(name, dict)
            and name.get("name") in SCORES
            and "perturbation" not in name
        ):
            found[f"{task} {name['name']} {name.get('split', '')}".strip()] = value
    return found


def _scores(path: Path) -> dict[tuple[str, int], float]:
    """Give the score of every (instance, trial): of the metric that stands first in `SCORES`."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in _rows(path):
        if "perturbation" in row or not isinstance(row.get("stats"), list):
            continue
        key = (str(row.get("instance_id")), row.get("train_trial_index"))
        for stat in row["stats"]:
            name = stat.get("name") if isinstance(stat, dict) else None
            value = number(stat.get("mean")) if isinstance(stat, dict) else None
            if (
                value is not None
                and isinstance(name, dict)
                and name.get("name") in SCORES
                and isinstance(key[1], int)
            ):
                found.setdefault((key[0], key[1]), {})[name["name"]] = value
    return {key: next(values[name] for name in SCORES if name in values) for key, values in found.items()}


def _items(path: Path) -> Iterator[Item]:
    stated = _scores(path.with_name("per_instance_stats.json"))
    for place, state in enumerate(_object(path)["request_states"], 1):
        where = f"{path.parent.name}, request {place}"
        try:
            if "perturbation" not in state["instance"]:
                yield from _replies(state, where, stated)
        except BROKEN as error:
            raise DataError(
                f"{path}, request {place}: none of HELM ({type(error).__name__}: {error})"
            ) from None


def _replies(state: Mapping[str, Any], where: str, stated: Mapping[tuple[str, int], float]) -> Iterator[Item]:
    if state.get("reference_index") is not None:
        raise DataError(f"{where}: judged reference by reference; there is no reply to score")
    instance, result, trial = state["instance"], state.get("result") or {}, state["train_trial_index"]
    shown = state.get("output_mapping") or {}
    completions = result.get("completions") or [{}]
    failed = "" if result.get("success") else str(result.get("error") or "no result")
    alone = len(completions) == 1
    for place, completion in enumerate(completions):
        text = completion.get("text")
        reason = completion.get("finish_reason") or {}
        yield Item(
            where=where,
            question=_text(instance["input"]),
            prompt=_prompt(state["request"]),
            options=tuple(str(shown[letter]) for letter in sorted(shown)),
            text=text if isinstance(text, str) and not failed else None,
            reasoning=(completion.get("thinking") or {}).get("text"),
            stop=STOPS.get(reason.get("reason")),
            seconds=number(result.get("request_time")) or 0.0,
            repeat=trial * len(completions) + place,
            failure=failed or ("" if isinstance(text, str) else "no completion"),
            score=stated.get((str(instance.get("id")), trial)) if alone and not failed else None,
        )


def _text(given: Any) -> str:
    """Give an instance's text, which stood there without a frame in the first versions."""
    return str(given.get("text") or "") if isinstance(given, dict) else str(given)


def _prompt(request: Mapping[str, Any]) -> str:
    turns = request.get("messages")
    return "\n\n".join(str(turn["content"]) for turn in turns) if turns else str(request["prompt"])
