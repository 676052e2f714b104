"""Our models in lm-evaluation-harness: `--model evals --model_args model=ADAPTER:NAME`.

lm_eval passes its requests in one batch; our runner handles pacing, retries and timeouts as in `evals run`. lm_eval has
no notion of a failed request: if one fails permanently, a ModelError is raised and nothing is scored.
Source: `lm_eval/api/model.py` at v0.4.13.
"""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from evals import load
from evals.calls.call import decode_likelihoods
from evals.data.sample_store import SampleStore
from evals.errors import ModelError, UsageError
from evals.run.job import Job
from evals.run.runner import Runner
from evals.scorers.upstream.lm_eval_task import import_quietly, sampling_of
from evals.suite import Suite
from evals.types import Failure, Message, Model, Prompt, Record, Reply, Sample, Sampling, Score, Text

if TYPE_CHECKING:
    from evals.records.writer import Writer


class MemoryWriter:
    """Keeps records in memory instead of writing them to disk."""

    needs_sync = False

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def add(self, record: Record) -> None:
        """Keep a record."""
        self.records[record.sample] = record

    def flush(self) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""


class BatchCaller:
    """Sends many prompts to a model at once, from synchronous code."""

    def __init__(self, model: Model, *, concurrency: int | None = None) -> None:
        self.accepts = model.accepts
        self._model = model
        self._concurrency = concurrency
        self._loop = asyncio.Runner()
        atexit.register(self.close)

    def ask(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Reply]:
        """Send all prompts and return the replies; raises ModelError if a call fails permanently."""
        memory, samples = MemoryWriter(), SampleStore()
        for position in range(len(prompts)):
            samples.add(Sample(id=str(position), question=(Text("-"),), target="-"))
        samples.freeze()
        job = Job(
            suite=_placeholder_suite(sampling), repeats=1, sampling=sampling, samples=samples,
            prompter=lambda sample, repeat: prompts[int(sample.id)], writer=cast("Writer", memory), done=set(),
            lengths={}, notes=[],
        )  # fmt: skip
        try:
            runner = self._loop.run(self._run(job))
        finally:
            samples.close()
        if runner.interrupted:
            raise KeyboardInterrupt
        return _replies(memory.records, len(prompts))

    async def _run(self, job: Job) -> Runner:
        runner = Runner(self._model, [job], concurrency=self._concurrency)
        await runner.run()
        return runner

    def close(self) -> None:
        """Close the model's connections and stop the server that it started."""
        atexit.unregister(self.close)
        self._loop.run(self._model.close())
        self._loop.close()


def _placeholder_suite(sampling: Sampling) -> Suite:
    """Return the suite that a job requires; its samples and scores are not used."""
    return Suite(
        name="lm-eval-requests",
        protocol="lm-eval",
        samples=lambda data: (),
        prompter=lambda data: lambda sample, repeat: Prompt(),
        ideal=lambda sample, prompt: "",
        scorers={"none": lambda sample, prompt, reply: Score(value=None, verdict="graded")},
        metrics=(),
        sampling=sampling,
    )


def _replies(records: Mapping[str, Record], count: int) -> list[Reply]:
    outcomes = [record.outcome if (record := records.get(str(n))) else None for n in range(count)]
    failed = [outcome for outcome in outcomes if not isinstance(outcome, Reply)]
    if failed:
        first = next((f.message for f in failed if isinstance(f, Failure)), "the run ended early")
        raise ModelError(
            f"{len(failed)} of {count} requests failed, so nothing is scored; the first failure: {first}"
        )
    return [outcome for outcome in outcomes if isinstance(outcome, Reply)]


def generate(caller: BatchCaller, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Answer `generate_until` requests (context, settings), in one batch for each distinct set of settings."""
    by_settings: dict[str, list[int]] = {}
    for position, (_, settings) in enumerate(requests):
        by_settings.setdefault(json.dumps(settings, sort_keys=True, default=str), []).append(position)
    texts = [""] * len(requests)
    for positions in by_settings.values():
        sampling = sampling_of(requests[positions[0]][1])
        replies = caller.ask([_prompt(requests[position][0]) for position in positions], sampling)
        for position, reply in zip(positions, replies, strict=True):
            texts[position] = reply.text
    return texts


def _prompt(context: str) -> Prompt:
    """Return a prompt with the turns of a conversation, or with plain text as the user's only turn."""
    if not isinstance(context, Turns):
        return Prompt(messages=(Message.user(context),))
    turns = json.loads(context)
    return Prompt(messages=tuple(Message(turn["role"], (Text(turn["content"]),)) for turn in turns))


class Turns(str):
    """A conversation as JSON; the type distinguishes it from plain text that happens to be JSON."""

    __slots__ = ()


def loglikelihoods(caller: BatchCaller, requests: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
    """Answer `loglikelihood` requests (context, continuation), with one call for each distinct context.

    Raises UsageError if a context is a conversation.
    """
    by_context: dict[str, list[int]] = {}
    if any(isinstance(context, Turns) for context, _ in requests):
        raise UsageError("likelihoods need plain text: run without --apply_chat_template")
    for position, (context, _) in enumerate(requests):
        by_context.setdefault(context, []).append(position)
    prompts = [
        Prompt(
            messages=(Message.user(context),),
            continuations=(tuple(requests[position][1] for position in positions),),
        )
        for context, positions in by_context.items()
    ]
    answers = [(0.0, False)] * len(requests)
    replies = caller.ask(prompts, Sampling())
    for positions, reply in zip(by_context.values(), replies, strict=True):
        for position, choice in zip(positions, decode_likelihoods(reply.text), strict=True):
            answers[position] = (choice.logprob, choice.greedy)
    return answers


@cache
def register() -> None:
    """Register `--model evals` with lm_eval in this process; raises UsageError if lm_eval is not installed."""
    import_quietly()
    import lm_eval.models  # noqa: F401 - lm_eval registers its own models only if no other one is registered yet
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model

    class Evals(LM):  # type: ignore[misc] # lm_eval has no types
        """Our adapters as an lm_eval model: `model=ADAPTER:NAME,concurrency=N`."""

        tokenizer_name = "evals"

        def __init__(self, model: str = "", concurrency: int | None = None, **others: Any) -> None:
            super().__init__()
            if not model:
                raise UsageError("--model evals needs --model_args model=ADAPTER:NAME")
            self._caller = BatchCaller(load.model(model), concurrency=concurrency)

        def generate_until(self, requests: Any, **others: Any) -> list[str]:
            return generate(self._caller, [request.args for request in requests])

        def loglikelihood(self, requests: Any, **others: Any) -> list[tuple[float, bool]]:
            if "logprobs" not in self._caller.accepts:
                raise UsageError("this model returns no likelihoods; use one that does, e.g. server:URL#NAME")
            return loglikelihoods(self._caller, [request.args for request in requests])

        def loglikelihood_rolling(self, requests: Any, **others: Any) -> list[float]:
            raise UsageError("no server returns the likelihood of a text without a context")

        def apply_chat_template(self, history: Any, **others: Any) -> str:
            return Turns(json.dumps(history, ensure_ascii=False))

    register_model("evals")(Evals)
