"""HELM: run folders with `run_spec.json`, `scenario_state.json`, `stats.json` and `per_instance_stats.json` (0.5).

A request state contains a question, the request and the result; its `output_mapping` lists the options as shown. A failed
call has an empty text, which HELM scores as wrong; we import it as a failure. Perturbed instances are different questions
and are left out. Token counts are HELM's estimates, so usage stays unknown. Instance ids are HELM's own and not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import find_files, read_json, read_object, read_optional
from evals.interop.foreign import Item, Source, read_items
from evals.interop.values import as_dict, as_list, join_turns, number, read_sampling, stop_of

STATE_FILE = "scenario_state.json"
SCORES = (
    "chain_of_thought_correctness", "math_equiv_chain_of_thought", "math_equiv", "quasi_exact_match", "exact_match",
)  # fmt: skip
"""Metrics for the correctness of a single reply, in HELM's order of preference."""


def read(path: Path) -> list[Source]:
    """Read a run's folder, its `scenario_state.json`, or all runs below a folder; raises DataError."""
    return [
        _source(file) for file in find_files(path, f"**/{STATE_FILE}", expected=f"run of HELM ({STATE_FILE})")
    ]


def _source(path: Path) -> Source:
    state = read_object(path, "a HELM scenario state")
    adapter, states = state.get("adapter_spec"), state.get("request_states")
    if not isinstance(adapter, dict) or not isinstance(states, list):
        raise DataError(f"{path}: not a HELM scenario state: adapter_spec or request_states is missing")
    task = _task(read_optional(path.with_name("run_spec.json"), "a HELM run spec"), path)
    started = as_dict(as_dict(states[0] if states else None).get("result")).get("request_datetime")
    return Source(
        tasks=(task,),
        model=str(adapter.get("model") or adapter.get("model_deployment") or ""),
        items=lambda: _items(path),
        sampling=read_sampling(adapter, stop="stop_sequences"),
        started=float(started) if isinstance(started, int) and 0 < started < 1 << 33 else 0.0,
        stated_scores=_stated_scores(task, path.with_name("stats.json")),
    )


def _statistics(path: Path) -> list[dict[str, Any]]:
    """Return the statistics of unperturbed instances; empty if the file is absent."""
    rows = read_json(path) if path.is_file() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: cannot be read as HELM statistics: not a list of objects")
    return [row for row in rows if "perturbation" not in row]


def _task(spec: Mapping[str, Any], path: Path) -> str:
    """Return the scenario's name with its subset or subject: `gpqa_diamond`, `mmlu_pro_law`."""
    name = str(spec.get("name") or path.parent.name).partition(":")[0]
    args = as_dict(as_dict(spec.get("scenario_spec")).get("args"))
    subset = str(args.get("subset") or args.get("subject") or "").removeprefix(f"{name}_")
    return f"{name}_{subset}" if subset else name


def _name_and_mean(statistic: Any) -> tuple[dict[str, Any], float] | None:
    """Return the name and the mean of a statistic if it is one of `SCORES`, else None."""
    name, mean = as_dict(as_dict(statistic).get("name")), number(as_dict(statistic).get("mean"))
    is_score = name.get("name") in SCORES and "perturbation" not in name
    return (name, mean) if is_score and mean is not None else None


def _stated_scores(task: str, path: Path) -> dict[str, float]:
    metrics = filter(None, map(_name_and_mean, _statistics(path)))
    return {f"{task} {name['name']} {name.get('split', '')}".strip(): mean for name, mean in metrics}


def _scores(path: Path) -> dict[tuple[str, int], float]:
    """Return the scores by instance and trial, each by the first metric in `SCORES` that the file has for it."""
    by_trial: dict[tuple[str, int], float] = {}
    for row in _statistics(path):
        metrics = filter(None, map(_name_and_mean, as_list(row.get("stats"))))
        means = {name["name"]: mean for name, mean in metrics}
        trial = row.get("train_trial_index")
        if means and isinstance(trial, int):
            by_trial[str(row.get("instance_id")), trial] = next(
                means[name] for name in SCORES if name in means
            )
    return by_trial


def _items(path: Path) -> Iterator[Item]:
    scores = _scores(path.with_name("per_instance_stats.json"))
    states = read_object(path, "a HELM scenario state")["request_states"]
    located = ((state, f"{path.parent.name}, request {n}") for n, state in enumerate(states, 1))
    return read_items(path, located, partial(_items_of_state, scores=scores), "a HELM request state")


def _items_of_state(
    state: Mapping[str, Any], location: str, *, scores: Mapping[tuple[str, int], float]
) -> Iterator[Item]:
    if "perturbation" in state["instance"]:
        return
    if state.get("reference_index") is not None:
        raise DataError(f"{location}: each reference was judged separately; there is no reply to score")
    instance, result, trial = state["instance"], state.get("result") or {}, state["train_trial_index"]
    options = state.get("output_mapping") or {}
    completions = result.get("completions") or [{}]
    failure = "" if result.get("success") else str(result.get("error") or "no result")
    question, request = instance["input"], state["request"]
    prompt = join_turns(request["messages"]) if request.get("messages") else str(request["prompt"])
    for index, completion in enumerate(completions):
        text = completion.get("text")
        yield Item(
            location=location,
            question=str(question.get("text") or "") if isinstance(question, dict) else str(question),
            prompt=prompt,
            options=tuple(str(options[letter]) for letter in sorted(options)),
            text=text if isinstance(text, str) and not failure else None,
            reasoning=(completion.get("thinking") or {}).get("text"),
            stop=stop_of((completion.get("finish_reason") or {}).get("reason")),
            seconds=number(result.get("request_time")) or 0.0,
            repeat=trial * len(completions) + index,
            failure=failure or ("" if isinstance(text, str) else "no completion"),
            score=scores.get((str(instance.get("id")), trial))
            if len(completions) == 1 and not failure
            else None,
        )
