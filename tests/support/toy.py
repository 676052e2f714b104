"""A suite of any size that needs no data, and runs, jobs and records of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.prompts import ask, plain_text
from evals.records.card import Card, Config
from evals.records.files import CompactRecord, Gold
from evals.records.writer import Writer
from evals.report.metrics import accuracy
from evals.run import plan
from evals.run.job import Job, Options
from evals.suite import Suite
from evals.types import (
    Failure,
    Metric,
    Point,
    Prompt,
    Record,
    Reply,
    Sample,
    Sampling,
    Score,
    Text,
    Usage,
    Verdict,
)  # fmt: skip


def sample(name: str, *, target: str = "A", group: str = "", question: str | None = None) -> Sample:
    """Return a sample with two options; by default, its question ends with its id."""
    text = f"Question {name}" if question is None else question
    return Sample(
        id=name,
        question=(Text(text),) if text else (),
        target=target,
        choices=("yes", "no"),
        group=group,
    )


def samples(count: int, *, groups: Sequence[str] = ("",)) -> list[Sample]:
    """Return samples q000, q001, ... with alternating groups."""
    return [sample(f"q{i:03}", group=groups[i % len(groups)]) for i in range(count)]


class Exact:
    """Compare a reply's last word with the target; empty replies are unanswered."""

    def __init__(self, version: int = 1) -> None:
        self.version = version

    def __repr__(self) -> str:
        return f"Exact({self.version})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        words = reply.text.split()
        if not words:
            return Score(value=0.0, verdict="unanswered")
        right = words[-1] == sample.target
        return Score(value=float(right), verdict="right" if right else "wrong", answer=words[-1])


def prompt_of(sample: Sample, repeat: int) -> Prompt:
    return ask(plain_text(sample.question))


def sample_id_in(prompt: Prompt) -> str:
    """Return the id of a prompt's sample."""
    return plain_text(prompt.messages[-1].parts).split()[-1]


def suite(items: Sequence[Sample] | int = 4, **changes: Any) -> Suite:
    """Return the suite `toy`; `changes` replace fields."""
    sample_list = samples(items) if isinstance(items, int) else list(items)
    fields: dict[str, Any] = {
        "name": "toy",
        "protocol": "strict",
        "samples": lambda data: iter(sample_list),
        "prompter": lambda data: prompt_of,
        "ideal": lambda sample, prompt: str(sample.target),
        "scorers": {"exact": Exact()},
        "metrics": accuracy(),
        "sampling": Sampling(temperature=0.0, max_tokens=64),
    }
    return Suite(**(fields | changes))


def job(results: Path, suite_to_run: Suite | None = None, *, model: str = "toy-model", **options: Any) -> Job:
    """Prepare a run as `evals run` does."""
    job_options = Options(results=results, sample=True, **options)
    job = plan.prepare(suite_to_run or suite(), job_options, model=model, spec=f"scripted:{model}")
    plan.begin(job)
    return job


def close_job(finished: Job) -> None:
    """Close a job's files, as `evals run` does at the end."""
    finished.samples.close()
    finished.writer.close()


def config(**changes: Any) -> Config:
    fields: dict[str, Any] = {
        "suite": "toy",
        "version": "1",
        "protocol": "strict",
        "data_sha256": "00",
        "model": "scripted:toy",
        "sampling": Sampling(),
        "seed": 0,
        "repeats": 1,
    }
    return Config(**(fields | changes))


def writer(path: Path, **changes: Any) -> Writer:
    """Return the writer of a new run, with its card written."""
    run = Writer(path, Card(run=path.name, config=config(**changes), model="toy"))
    run.write_card()
    return run


def record(name: str, repeat: int = 0, *, text: str = "A", value: float = 1.0, padding: int = 0) -> Record:
    """Return the record of a reply with one score; `padding`: number of spaces appended to its text."""
    return Record(
        sample=name,
        repeat=repeat,
        prompt=ask(f"Question {name}"),
        outcome=Reply(text=text + " " * padding, usage=Usage(input=3, output=2), seconds=0.5),
        scores={"exact": Score(value=value, verdict="right" if value else "wrong", answer=text)},
        started=1.5,
    )


def failed_record(name: str, repeat: int = 0, *, kind: str = "serverfault") -> Record:
    """Return the record of a call that failed permanently."""
    outcome = Failure(stage="model", kind=kind, message="HTTP 500", attempts=6)
    return Record(sample=name, repeat=repeat, prompt=ask(f"Question {name}"), outcome=outcome)


def gold_answers(
    names: Sequence[str], *, groups: Sequence[str] = ("",), clusters: Sequence[str] = ()
) -> dict[str, Gold]:
    """Return gold answers of samples, with alternating groups and clusters."""
    return {
        name: Gold(groups[i % len(groups)], clusters[i % len(clusters)] if clusters else name, "A", 4)
        for i, name in enumerate(names)
    }


def point(
    name: str,
    value: float | None,
    *,
    repeat: int = 0,
    verdict: str = "",
    answer: str | None = None,
    group: str = "",
    cluster: str = "",
    options: int = 4,
) -> Point:
    known_verdict = verdict or ("right" if value == 1 else "wrong")
    return Point(name, repeat, group, cluster or name, known_verdict, value, answer, "A", options, {})


def compact_record(
    name: str, value: float | None, repeat: int = 0, *, verdict: Verdict | None = None, stop: str = "stop"
) -> CompactRecord:
    """Return the compact record of a reply or, without value and verdict, of a failed call."""
    if value is None and verdict is None:
        return CompactRecord(sample=name, repeat=repeat, scores={}, failure="timeout")
    known_verdict: Verdict = verdict or ("right" if value == 1 else "wrong")
    score = Score(value=value, verdict=known_verdict)
    return CompactRecord(sample=name, repeat=repeat, scores={"exact": score}, stop=stop, input=10, output=5)


MAE = Metric(
    name="mae",
    of=lambda points: sum(p.value or 0.0 for p in points) / len(points) if points else _raise_empty(),
    better="lower",
    bounds=None,
    unit="K",
    headline=True,
)


def _raise_empty() -> float:
    raise ValueError("no points")
