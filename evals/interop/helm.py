"""HELM: run folders with `run_spec.json`, `scenario_state.json`, `stats.json` and `per_instance_stats.json` (0.5).

A request state holds one question, the request and the result; `output_mapping` holds the options as shown. A failed
call has an empty text, which HELM scores as wrong: here it is a failure. Perturbed instances are other questions and are
left out. Token counts are HELM's estimates, so usage stays unknown; instance ids are HELM's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import chosen, document, object_of, optional
from evals.interop.foreign import Item, Source, items
from evals.interop.values import listing, mapping, number, settings, stop_of, turns

FORMAT = "helm"
STATE = "scenario_state.json"
SCORES = (
    "chain_of_thought_correctness",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "quasi_exact_match",
    "exact_match",
)
"""Metrics of a single reply's correctness, in the order in which HELM prefers them."""


def read(path: Path) -> list[Source]:
    """Read a run's folder, its `scenario_state.json`, or all runs below a folder; raises DataError."""
    return [_source(file) for file in chosen(path, f"**/{STATE}", wanted=f"run of HELM ({STATE})")]


def _source(path: Path) -> Source:
    state = object_of(path, "file of HELM")
    adapter, states = state.get("adapter_spec"), state.get("request_states")
    if not isinstance(adapter, dict) or not isinstance(states, list):
        raise DataError(f"{path}: no scenario state of HELM, which has adapter_spec and request_states")
    task = _task(optional(path.with_name("run_spec.json"), "file of HELM"), path)
    started = mapping(mapping(states[0] if states else None).get("result")).get("request_datetime")
    return Source(
        format=FORMAT,
        tasks=(task,),
        model=str(adapter.get("model") or adapter.get("model_deployment") or ""),
        items=lambda: _items(path),
        sampling=settings(adapter, stop="stop_sequences"),
        started=float(started) if isinstance(started, int) and 0 < started < 1 << 33 else 0.0,
        stated=_stated(task, path.with_name("stats.json")),
    )


def _statistics(path: Path) -> list[dict[str, Any]]:
    """Return the statistics of unperturbed instances; none if the file is absent."""
    rows = document(path) if path.is_file() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: no statistics of HELM, which are a list of objects")
    return [row for row in rows if "perturbation" not in row]


def _task(spec: Mapping[str, Any], path: Path) -> str:
    """Return the scenario's name with its subset or subject: `gpqa_diamond`, `mmlu_pro_law`."""
    name = str(spec.get("name") or path.parent.name).partition(":")[0]
    args = mapping(mapping(spec.get("scenario_spec")).get("args"))
    part = str(args.get("subset") or args.get("subject") or "").removeprefix(f"{name}_")
    return f"{name}_{part}" if part else name


def _metric(statistic: Any) -> tuple[dict[str, Any], float] | None:
    """Return name and mean of a statistic in `SCORES`; None for other statistics."""
    name, value = mapping(mapping(statistic).get("name")), number(mapping(statistic).get("mean"))
    known = value is not None and name.get("name") in SCORES and "perturbation" not in name
    return (name, value) if known and value is not None else None


def _stated(task: str, path: Path) -> dict[str, float]:
    metrics = filter(None, map(_metric, _statistics(path)))
    return {f"{task} {name['name']} {name.get('split', '')}".strip(): value for name, value in metrics}


def _scores(path: Path) -> dict[tuple[str, int], float]:
    """Return the score of every (instance, trial), by the preferred metric of `SCORES`."""
    by_trial: dict[tuple[str, int], float] = {}
    for row in _statistics(path):
        metrics = filter(None, map(_metric, listing(row.get("stats"))))
        values = {name["name"]: value for name, value in metrics}
        trial = row.get("train_trial_index")
        if values and isinstance(trial, int):
            by_trial[str(row.get("instance_id")), trial] = next(
                values[name] for name in SCORES if name in values
            )
    return by_trial


def _items(path: Path) -> Iterator[Item]:
    scores = _scores(path.with_name("per_instance_stats.json"))
    states = object_of(path, "file of HELM")["request_states"]

    def read_state(state: Mapping[str, Any], where: str) -> Iterator[Item]:
        if "perturbation" not in state["instance"]:
            yield from _replies(state, where, scores)

    located = ((state, f"{path.parent.name}, request {n}") for n, state in enumerate(states, 1))
    return items(path, located, read_state, "request of HELM")


def _replies(state: Mapping[str, Any], where: str, scores: Mapping[tuple[str, int], float]) -> Iterator[Item]:
    if state.get("reference_index") is not None:
        raise DataError(f"{where}: judged reference by reference; there is no reply to score")
    instance, result, trial = state["instance"], state.get("result") or {}, state["train_trial_index"]
    shown = state.get("output_mapping") or {}
    completions = result.get("completions") or [{}]
    failed = "" if result.get("success") else str(result.get("error") or "no result")
    question = instance["input"]
    for index, completion in enumerate(completions):
        text = completion.get("text")
        yield Item(
            where=where,
            question=str(question.get("text") or "") if isinstance(question, dict) else str(question),
            prompt=_prompt(state["request"]),
            options=tuple(str(shown[letter]) for letter in sorted(shown)),
            text=text if isinstance(text, str) and not failed else None,
            reasoning=(completion.get("thinking") or {}).get("text"),
            stop=stop_of((completion.get("finish_reason") or {}).get("reason")),
            seconds=number(result.get("request_time")) or 0.0,
            repeat=trial * len(completions) + index,
            failure=failed or ("" if isinstance(text, str) else "no completion"),
            score=scores.get((str(instance.get("id")), trial))
            if len(completions) == 1 and not failed
            else None,
        )


def _prompt(request: Mapping[str, Any]) -> str:
    return turns(request["messages"]) if request.get("messages") else str(request["prompt"])
