"""The runner, with a scripted model: order, retries, deadlines, interrupts, budgets and plug-ins that fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from evals.calls import backoff
from evals.errors import (
    BadReply,
    Context,
    Disconnected,
    Fatal,
    ModelError,
    OutOfQuota,
    RateLimit,
    Rejected,
    ServerFault,
    StoreError,
    Timeout,
    UsageError,
)
from evals.profiles import Price, date
from evals.records.store import Run
from evals.run import caller as callers
from evals.run import runner as runners
from evals.run.budget import MAX_UNMETERED, Budget, Spending
from evals.run.event_loop import BLOCKED_S
from evals.run.job import Job
from evals.run.rescore import store_final_metrics
from evals.run.runner import Runner
from evals.suite import Suite
from evals.types import Failure, Prompt, Record, Reply, Sample, Sampling, Score, Usage
from tests.support import toy
from tests.support.error_messages import raises
from tests.support.paths import ROOT

PRICE = Price(input=1.0, output=10.0, date=date(2026, 1, 2))
Behaviour = Callable[[str, int], Any]
"""(sample id, number of earlier calls for it) -> text, Reply, an exception to raise, or an awaitable of one of these."""


class ScriptedModel:
    """A model that behaves as a function determines, and records the ids of the samples it is called for."""

    name = "scripted"
    accepts: frozenset[str] = frozenset()

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.called: list[str] = []
        self.sampling: list[Sampling] = []
        self.in_flight = self.max_in_flight = 0
        self.closed = False

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        name = toy.sample_id_in(prompt)
        result = self.behaviour(name, self.called.count(name))
        self.called.append(name)
        self.sampling.append(sampling)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            if isinstance(result, Awaitable):
                result = await result
        finally:
            self.in_flight -= 1
        if isinstance(result, BaseException):
            raise result
        return Reply(text=result, usage=Usage(input=10, output=1)) if isinstance(result, str) else result

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the waits between attempts short."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(backoff, "MAX_S", 0.02)


class ToyRun:
    """A run of toy suites: its jobs, and the records on disk."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.jobs: list[Job] = []

    def runner(self, model: Any, *suites: Suite, **options: Any) -> Runner:
        job_options = {k: options.pop(k) for k in ("repeats", "sampling") if k in options}
        self.jobs = [toy.job(self.results, suite, **job_options) for suite in suites or (toy.suite(),)]
        return Runner(model, self.jobs, **options)

    def records(self, job: int = 0) -> dict[str, Record]:
        records = Run(self.jobs[job].writer.path).records()
        return {r.sample if not r.repeat else f"{r.sample}.{r.repeat}": r for r in records}

    def outcomes(self) -> dict[str, str]:
        """Return the verdict or the kind of failure by sample."""
        by_sample = {}
        for name, record in self.records().items():
            result = record.outcome if isinstance(record.outcome, Failure) else record.scores.get("exact")
            if isinstance(result, Failure):
                by_sample[name] = result.kind
            else:
                by_sample[name] = result.verdict if result else "unscored"
        return by_sample


@pytest.fixture
def toy_run(tmp_path: Path) -> Iterator[ToyRun]:
    """A run in an empty folder, whose jobs are closed at the end."""
    toy_run = ToyRun(tmp_path)
    yield toy_run
    for job in toy_run.jobs:
        toy.close_job(job)


RIGHT = {f"q{i:03}": "right" for i in range(4)}


async def test_every_sample_is_called_once_and_recorded(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "B" if name == "q002" else "A")
    await toy_run.runner(model).run()
    assert sorted(model.called) == sorted(RIGHT)
    assert toy_run.outcomes() == RIGHT | {"q002": "wrong"}
    assert toy.sample_id_in(toy_run.records()["q001"].prompt) == "q001"


async def test_with_a_concurrency_of_one_samples_are_called_in_order(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A")
    await toy_run.runner(model, toy.suite(10), concurrency=1).run()
    assert model.called == [f"q{i:03}" for i in range(10)]
    assert model.max_in_flight == 1


@pytest.mark.parametrize("concurrency", [1, 3, 7])
async def test_a_given_concurrency_is_reached_and_never_exceeded(toy_run: ToyRun, concurrency: int) -> None:
    model = ScriptedModel(lambda name, earlier_calls: asyncio.sleep(0.001, "A"))
    await toy_run.runner(model, toy.suite(40), concurrency=concurrency).run()
    assert model.max_in_flight == concurrency
    assert len(model.called) == 40


async def test_the_default_concurrency_grows_beyond_sixteen(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: asyncio.sleep(0.01, "A"))
    await toy_run.runner(model, toy.suite(150)).run()
    assert model.max_in_flight > 16


async def test_a_model_never_has_more_calls_in_flight_than_slots(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: asyncio.sleep(0.001, "A"))
    model.slots = 3
    await toy_run.runner(model, toy.suite(30)).run()
    assert model.max_in_flight == 3


async def test_two_suites_share_one_queue(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: asyncio.sleep(0.002, "A"))
    tiny_suite = toy.suite([toy.sample(f"z{i}") for i in range(6)], name="tiny")
    await toy_run.runner(model, toy.suite(6), tiny_suite, concurrency=12).run()
    assert model.max_in_flight == 12  # calls of both suites are in flight together
    assert set(toy_run.records(1)) == {f"z{i}" for i in range(6)}


# --- errors and retries -------------------------------------------------------------------------------------

TRANSIENT = [
    ServerFault("HTTP 500"),
    BadReply("truncated"),
    Disconnected("cut"),
    Timeout("slow"),
    RateLimit("HTTP 429"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda e: type(e).__name__)
async def test_a_transient_fault_is_retried_and_the_sample_gets_a_score(
    toy_run: ToyRun, error: ModelError
) -> None:
    model = ScriptedModel(lambda name, earlier_calls: error if name == "q001" and earlier_calls == 0 else "A")
    await toy_run.runner(model).run()
    assert toy_run.outcomes() == RIGHT
    assert Counter(model.called)["q001"] == 2
    assert toy_run.records()["q001"].outcome.attempts == 2


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda e: type(e).__name__)
async def test_a_persistent_fault_is_a_failure_and_left_out_of_the_mean(
    toy_run: ToyRun, error: ModelError
) -> None:
    model = ScriptedModel(lambda name, earlier_calls: error if name == "q003" else "A")
    await toy_run.runner(model, concurrency=1).run()
    kind = type(error).__name__.lower()
    tries = callers.MAX_ATTEMPTS_RATE_LIMITED if isinstance(error, RateLimit) else callers.MAX_ATTEMPTS
    assert toy_run.outcomes() == RIGHT | {"q003": kind}
    assert Counter(model.called)["q003"] == tries
    record = toy_run.records()["q003"]
    assert record.outcome == Failure(stage="model", kind=kind, message=str(error), attempts=tries)
    assert record.scores == {}
    summary = store_final_metrics(toy_run.jobs[0].writer, toy_run.jobs[0].suite)
    assert (summary.coverage, summary.counts) == (0.75, {"right": 3, f"failed:{kind}": 1})
    headline = next(e for e in summary.estimates if e.headline)
    assert (headline.value, headline.worst, headline.n) == (1.0, 0.75, 3)


@pytest.mark.parametrize("error", [Rejected("HTTP 400"), Context("too long"), ModelError("odd")])
async def test_permanent_errors_are_not_retried(toy_run: ToyRun, error: ModelError) -> None:
    model = ScriptedModel(lambda name, earlier_calls: error if name == "q001" else "A")
    await toy_run.runner(model).run()
    assert Counter(model.called)["q001"] == 1
    assert toy_run.outcomes() == RIGHT | {"q001": type(error).__name__.lower()}


async def test_when_the_account_runs_out_of_money_the_run_ends_and_the_other_samples_stay_absent(
    toy_run: ToyRun,
) -> None:
    model = ScriptedModel(
        lambda name, earlier_calls: OutOfQuota("HTTP 402: no money") if name > "q004" else "A"
    )
    runner = toy_run.runner(model, toy.suite(100), concurrency=1)
    await runner.run()
    assert len(toy_run.records()) == 5  # the others have no record, not even a failure
    assert len(model.called) == 6
    assert runner.end_reason == "HTTP 402: no money; run the same command again to continue"


async def test_an_account_without_money_is_an_error_at_the_first_call(toy_run: ToyRun) -> None:
    with raises(OutOfQuota):
        await toy_run.runner(ScriptedModel(lambda name, earlier_calls: OutOfQuota("no money"))).run()
    assert toy_run.records() == {}


async def test_the_runner_spaces_calls_by_the_models_rate_limit(toy_run: ToyRun) -> None:
    times: list[float] = []

    def respond(name: str, earlier_calls: int) -> object:
        times.append(time.monotonic())
        return ServerFault("HTTP 500") if name == "q001" and earlier_calls == 0 else "A"

    model = ScriptedModel(respond)
    model.per_minute = 1200.0
    await toy_run.runner(model, toy.suite(6), concurrency=4).run()
    assert len(times) == 7  # the retry is a call too
    times.sort()
    assert times[-1] - times[0] > 6 * 0.05 * 0.9
    assert min(b - a for a, b in pairwise(times)) > 0.02  # after a late call, less than the regular 0.05 s


async def test_a_run_that_ends_does_not_wait_for_the_rate_limit(toy_run: ToyRun) -> None:
    def respond(name: str, earlier_calls: int) -> str:
        asyncio.get_running_loop().call_later(0.05, runner.end, "enough")
        return "A"

    model = ScriptedModel(respond)
    model.per_minute = 1.0
    runner = toy_run.runner(model, toy.suite(6), concurrency=4)
    await asyncio.wait_for(runner.run(), 5)
    assert len(toy_run.records()) == 1


async def test_retry_after_is_honoured(toy_run: ToyRun) -> None:
    times: list[float] = []

    def respond(name: str, earlier_calls: int) -> object:
        times.append(time.monotonic())
        return RateLimit("HTTP 429", retry_after_s=0.15) if earlier_calls == 0 else "A"

    await toy_run.runner(ScriptedModel(respond), toy.suite(1)).run()
    assert 0.15 <= times[1] - times[0] < 1.0


async def test_the_wait_grows_with_every_attempt(toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)
    monkeypatch.setattr(backoff, "MAX_S", 1.0)
    times: list[float] = []

    def respond(name: str, earlier_calls: int) -> object:
        times.append(time.monotonic())
        return "A" if name == "q000" or earlier_calls == 4 else ServerFault("HTTP 500")

    await toy_run.runner(ScriptedModel(respond), toy.suite(2), concurrency=1).run()
    waits = [b - a for a, b in pairwise(times[1:])]
    for attempt, wait in enumerate(waits):
        assert wait >= 0.02 * 2**attempt * 0.5  # jitter shortens a wait by half at most


@pytest.mark.parametrize("error", [RateLimit("429"), Timeout("slow")])
async def test_rate_limits_and_timeouts_lower_the_concurrency(toy_run: ToyRun, error: ModelError) -> None:
    model = ScriptedModel(
        lambda name, earlier_calls: (
            error if name == "q000" and earlier_calls == 0 else asyncio.sleep(0.001, "A")
        )
    )
    runner = toy_run.runner(model, toy.suite(12), concurrency=8)
    await runner.run()
    assert len(toy_run.records()) == 12
    assert runner.pace.limit < 8


async def test_all_samples_are_called_when_many_workers_end_together(toy_run: ToyRun) -> None:
    # all calls in flight end in the same iteration of the event loop, just after the limit was halved
    gate = asyncio.Event()

    async def wait_for_gate() -> str:
        await gate.wait()
        return "A"

    def respond(name: str, earlier_calls: int) -> object:
        if name == "q000" and earlier_calls == 0:
            asyncio.get_running_loop().call_later(0.05, gate.set)
            return RateLimit("HTTP 429", retry_after_s=0.0)
        return wait_for_gate()

    runner = toy_run.runner(ScriptedModel(respond), toy.suite(30), concurrency=16)
    await runner.run()
    assert len(toy_run.records()) == 30
    assert runner.end_reason == ""


async def test_no_call_that_waits_for_a_slot_is_made_after_the_end_of_a_run(toy_run: ToyRun) -> None:
    gate = asyncio.Event()
    model = ScriptedModel(lambda name, earlier_calls: respond(earlier_calls))
    runner = toy_run.runner(model, toy.suite(8), concurrency=8)

    async def end_and_wait() -> str:
        if model.in_flight == runner.pace.limit:  # all slots are taken
            runner.end("interrupted")
            asyncio.get_running_loop().call_later(0.05, gate.set)
        await gate.wait()
        return "A"

    def respond(earlier_calls: int) -> object:
        # rate limits halve the concurrency, so that half of the calls wait for a slot
        return end_and_wait() if earlier_calls else RateLimit("HTTP 429")

    await runner.run()
    assert len(toy_run.records()) == runner.pace.limit == 4
    assert len(model.called) == 8 + 4


async def test_a_call_is_stopped_at_its_deadline_and_retried(toy_run: ToyRun) -> None:
    def respond(name: str, earlier_calls: int) -> object:
        return asyncio.sleep(60) if name == "q001" and earlier_calls == 0 else "A"

    await toy_run.runner(ScriptedModel(respond), timeout_s=0.1).run()
    assert toy_run.outcomes() == RIGHT
    assert toy_run.records()["q001"].outcome.attempts == 2


async def test_a_call_that_always_hangs_is_a_failure(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MAX_ATTEMPTS", 2)
    model = ScriptedModel(lambda name, earlier_calls: asyncio.sleep(60) if name == "q003" else "A")
    await toy_run.runner(model, concurrency=1, timeout_s=0.05).run()
    assert toy_run.outcomes() == RIGHT | {"q003": "timeout"}
    assert "no reply within 0 s" in toy_run.records()["q003"].outcome.message


async def test_a_timeout_of_the_model_itself_keeps_its_message(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MAX_ATTEMPTS", 1)

    def respond(name: str, earlier_calls: int) -> str:
        if name == "q003":
            raise TimeoutError("the queue is full")
        return "A"

    await toy_run.runner(ScriptedModel(respond), concurrency=1).run()
    assert toy_run.outcomes() == RIGHT | {"q003": "timeout"}
    assert "TimeoutError: the queue is full" in toy_run.records()["q003"].outcome.message


# --- runs in which all calls fail ---------------------------------------------------------------------------


async def test_a_wrong_key_at_the_first_call_ends_the_run(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: Fatal("HTTP 401: wrong key"))
    with raises(Fatal):
        await toy_run.runner(model, toy.suite(100), concurrency=4).run()
    assert len(model.called) <= 4
    assert toy_run.records() == {}


async def test_an_unreachable_server_at_the_first_call_ends_the_run(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: Disconnected("cannot reach it", unreachable=True))
    with raises(Fatal):
        await toy_run.runner(model, toy.suite(100), concurrency=1).run()
    assert len(model.called) == 1


async def test_samples_after_a_key_becomes_invalid_are_failures(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A" if name == "q000" else Fatal("HTTP 401"))
    await toy_run.runner(model, concurrency=1).run()
    assert toy_run.outcomes() == {"q000": "right", "q001": "fatal", "q002": "fatal", "q003": "fatal"}


async def test_a_server_that_is_briefly_unreachable_is_retried(toy_run: ToyRun) -> None:
    def respond(name: str, earlier_calls: int) -> object:
        return Disconnected("refused", unreachable=True) if name == "q002" and earlier_calls < 3 else "A"

    await toy_run.runner(ScriptedModel(respond), concurrency=1).run()
    assert toy_run.outcomes() == RIGHT


async def test_when_every_call_fails_the_run_ends_early_with_the_reason(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: Rejected("HTTP 400: no such field"))
    runner = toy_run.runner(model, toy.suite(100), concurrency=1)
    await runner.run()
    # the first sample might be the only one that the server rejects; then the shortest ones are tried
    assert len(model.called) == 1 + runners.MAX_FAILURES
    assert runner.end_reason == "every call fails: HTTP 400: no such field"
    assert "HTTP 400: no such field" in runner.total_failure


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_samples_that_are_too_long_do_not_end_a_run(toy_run: ToyRun, concurrency: int) -> None:
    # the longest samples are called first; here, those are rejected before any other gets its reply
    async def slow_reply() -> str:
        await asyncio.sleep(0.02)
        return "A"

    model = ScriptedModel(lambda name, earlier_calls: Context("too long") if name < "q030" else slow_reply())
    runner = toy_run.runner(model, toy.suite(60), concurrency=concurrency)
    await runner.run()
    assert Counter(toy_run.outcomes().values()) == {"right": 30, "context": 30}
    assert (runner.end_reason, runner.total_failure) == ("", "")


async def test_before_the_first_reply_a_call_has_fewer_attempts(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: ServerFault("HTTP 500"))
    runner = toy_run.runner(model, toy.suite(1))
    await runner.run()
    assert len(model.called) == callers.MAX_ATTEMPTS_BEFORE_REPLY
    assert runner.total_failure


async def test_fewer_failures_end_the_run_when_they_are_slow(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WARM_UP_S", 0.1)
    model = ScriptedModel(lambda name, earlier_calls: asyncio.sleep(60))
    runner = toy_run.runner(model, toy.suite(100), concurrency=1, timeout_s=0.06)
    await runner.run()
    assert len(toy_run.records()) == runners.MAX_SLOW_FAILURES
    assert len(model.called) <= 2 + runners.MAX_SLOW_FAILURES
    assert runner.end_reason.startswith("every call fails")


async def test_a_run_with_a_reply_continues_despite_many_failures(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A" if name == "q000" else Rejected("HTTP 400"))
    runner = toy_run.runner(model, toy.suite(40), concurrency=1)
    await runner.run()
    assert len(toy_run.records()) == 40
    assert (runner.end_reason, runner.total_failure) == ("", "")


# --- budgets ------------------------------------------------------------------------------------------------


async def test_a_token_budget_ends_the_run_and_keeps_its_records(toy_run: ToyRun) -> None:
    runner = toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A"),
        toy.suite(100),
        concurrency=1,
        budget=Budget(spending=Spending(tokens=33)),
    )
    await runner.run()
    assert len(toy_run.records()) == 3  # eleven tokens each
    assert runner.end_reason == "--max-total-tokens 33 reached"
    assert store_final_metrics(toy_run.jobs[0].writer, toy_run.jobs[0].suite).coverage == 0.03


async def test_a_budget_in_dollars_counts_input_and_output(toy_run: ToyRun) -> None:
    budget = Budget(spending=Spending(cost_usd=0.0001), price=PRICE)  # 0.00002 USD per call
    runner = toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(100), concurrency=1, budget=budget
    )
    await runner.run()
    assert len(toy_run.records()) == 5
    assert budget.spent_usd == pytest.approx(0.0001)
    assert runner.end_reason == "--max-cost 0.0001 USD reached"


@pytest.mark.parametrize(
    "limit", [Spending(cost_usd=1.0), Spending(tokens=1000), Spending()], ids=["cost", "tokens", "none"]
)
async def test_a_limit_ends_a_run_whose_replies_have_no_token_counts(
    toy_run: ToyRun, limit: Spending
) -> None:
    budget = Budget(spending=limit, price=PRICE)
    model = ScriptedModel(lambda name, earlier_calls: Reply(text="A"))
    runner = toy_run.runner(model, toy.suite(100), concurrency=1, budget=budget)
    await runner.run()
    is_limited = limit.cost_usd is not None or limit.tokens is not None
    assert len(toy_run.records()) == (MAX_UNMETERED if is_limited else 100)
    assert ("no token counts" in runner.end_reason) == is_limited


# --- plug-ins that fail -------------------------------------------------------------------------------------


async def test_a_crash_in_the_prompter_is_a_failure_of_that_sample_only(toy_run: ToyRun) -> None:
    def prompter(sample: Sample, repeat: int) -> Prompt:
        if sample.id == "q001":
            raise KeyError("image")
        return toy.prompt_of(sample, repeat)

    await toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(prompter=lambda data: prompter)
    ).run()
    assert toy_run.outcomes() == RIGHT | {"q001": "crash"}
    assert toy_run.records()["q001"].outcome == Failure(
        stage="prompt", kind="crash", message="KeyError: 'image'"
    )


def crash(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
    if sample.id == "q001":
        raise ZeroDivisionError("no atoms")
    return Score(value=1.0, verdict="right")


async def test_the_reply_is_kept_if_a_scorer_crashes(toy_run: ToyRun) -> None:
    await toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(scorers={"exact": crash})
    ).run()
    record = toy_run.records()["q001"]
    assert isinstance(record.outcome, Reply)
    assert record.scores == {
        "exact": Failure(stage="scorer", kind="crash", message="ZeroDivisionError: no atoms")
    }


async def test_a_judge_is_awaited_and_its_crash_recorded(toy_run: ToyRun) -> None:
    async def judge(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        await asyncio.sleep(0)
        return crash(sample, prompt, reply)

    suite = toy.suite(scorers={"exact": toy.Exact(), "judge": judge})
    await toy_run.runner(ScriptedModel(lambda name, earlier_calls: "A"), suite).run()
    scores = {name: list(record.scores.items()) for name, record in toy_run.records().items()}
    assert [key for key, _ in scores["q000"]] == ["exact", "judge"]
    assert scores["q001"][1][1].kind == "crash"
    assert scores["q001"][0][1].value == 1.0


@pytest.mark.parametrize("nonsense", [None, 1.0, "right", float("nan")])
async def test_a_scorer_that_returns_no_score_leaves_failures_and_a_readable_run(
    toy_run: ToyRun, nonsense: object
) -> None:
    suite = toy.suite(scorers={"exact": lambda sample, prompt, reply: nonsense})
    await toy_run.runner(ScriptedModel(lambda name, earlier_calls: "A"), suite).run()
    assert toy_run.outcomes() == dict.fromkeys(RIGHT, "scorererror")


async def test_scores_that_are_numpy_numbers_are_stored(toy_run: ToyRun) -> None:
    import numpy as np

    def numeric(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        half: Any = np.float64(0.5)
        return Score(value=half, verdict="graded", parts={"x": np.float32(0.25)})

    await toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(scorers={"exact": numeric})
    ).run()
    assert toy_run.records()["q000"].scores["exact"] == Score(value=0.5, verdict="graded", parts={"x": 0.25})


async def test_a_call_whose_adapter_returns_no_reply_is_a_failure(toy_run: ToyRun) -> None:
    await toy_run.runner(ScriptedModel(lambda name, earlier_calls: None if name == "q001" else "A")).run()
    assert toy_run.outcomes() == RIGHT | {"q001": "modelerror"}


async def test_a_call_whose_adapter_crashes_is_a_failure(toy_run: ToyRun) -> None:
    await toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: KeyError("x") if name == "q001" else "A")
    ).run()
    assert toy_run.records()["q001"].outcome.message == "KeyError: 'x'"


async def test_text_that_utf_8_cannot_encode_is_replaced(toy_run: ToyRun) -> None:
    await toy_run.runner(ScriptedModel(lambda name, earlier_calls: "\ud83d" if name == "q001" else "A")).run()
    assert toy_run.outcomes() == RIGHT | {"q001": "wrong"}
    assert toy_run.records()["q001"].outcome.text == "\ufffd"


class NotInstalled(msgspec.Struct, frozen=True):
    """A heavy scorer whose library is missing."""

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        raise UsageError("molecules need: pip install 'science-evals[chemistry]'")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        raise AssertionError(reply)


class ConvertsUnits(msgspec.Struct, frozen=True):
    """A light scorer whose library is missing."""

    def require(self) -> None:
        raise UsageError("converting units needs: pip install 'science-evals[materials]'")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        return Score(value=1.0, verdict="right")


class FailsToWarmUp(NotInstalled, frozen=True):
    def warm(self) -> None:
        raise ValueError("a fault of the scorer itself")


@pytest.mark.parametrize("scorer", [NotInstalled(), ConvertsUnits()], ids=["heavy", "light"])
async def test_what_any_suite_needs_is_checked_before_the_first_call_of_all(
    toy_run: ToyRun, scorer: Any
) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A")
    second = toy.suite(name="second", scorers={"second": scorer})
    with raises(UsageError):
        await toy_run.runner(model, toy.suite(), second).run()
    assert (model.called, toy_run.records()) == ([], {})


async def test_a_scorer_that_cannot_be_warmed_up_for_another_reason_fails_reply_by_reply(
    toy_run: ToyRun,
) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A")
    await toy_run.runner(model, toy.suite(scorers={"exact": FailsToWarmUp()})).run()
    assert set(toy_run.outcomes().values()) == {"scorererror"}
    assert sorted(model.called) == sorted(RIGHT)


async def test_a_missing_extra_ends_the_run_with_its_message(toy_run: ToyRun) -> None:
    def scorer(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        raise UsageError("molecules need: pip install 'science-evals[chemistry]'")

    with raises(UsageError):
        await toy_run.runner(
            ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(scorers={"exact": scorer})
        ).run()


async def test_a_full_disk_ends_the_run_and_keeps_earlier_records(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = toy_run.runner(ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(50), concurrency=1)
    write = os.write

    def write_until_full(fd: int, data: bytes) -> int:
        if b"q010" in data:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", write_until_full)
    with raises(StoreError):
        await runner.run()
    # the call in flight when the write failed is recorded, and no further call is made
    assert set(toy_run.records()) == {*(f"q{i:03}" for i in range(10)), "q011"}


async def test_a_disk_error_during_sync_ends_the_run(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(writer: Any) -> None:
        raise StoreError("cannot write: Input/output error")

    async def answer() -> str:
        await asyncio.sleep(0.3)
        return "A"

    runner = toy_run.runner(ScriptedModel(lambda name, earlier_calls: answer()), toy.suite(50), concurrency=1)
    monkeypatch.setattr(type(runner.jobs[0].writer), "needs_sync", True)
    monkeypatch.setattr(type(runner.jobs[0].writer), "sync", fail)
    with raises(StoreError):
        await runner.run()
    assert runner.model.called == ["q000"]


# --- repeats ------------------------------------------------------------------------------------------------


async def test_repeats_of_a_sample_get_different_seeds(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A")
    sampling = Sampling(temperature=1.0)
    await toy_run.runner(model, toy.suite(2, repeats=3, sampling=sampling), concurrency=1).run()
    assert [s.seed for s in model.sampling] == [0, 0, 1, 1, 2, 2]
    assert {s.temperature for s in model.sampling} == {1.0}
    assert set(toy_run.records()) == {"q000", "q001", "q000.1", "q001.1", "q000.2", "q001.2"}


async def test_greedy_repeats_get_no_seed(toy_run: ToyRun) -> None:
    model = ScriptedModel(lambda name, earlier_calls: "A")
    await toy_run.runner(model, toy.suite(1, repeats=2)).run()
    assert [s.seed for s in model.sampling] == [None, None]


async def test_a_watcher_receives_every_record(toy_run: ToyRun) -> None:
    class Watcher:
        seen: list[tuple[int, str]] = []

        def record(self, job_index: int, record: Record) -> None:
            self.seen.append((job_index, record.sample))

        def count_rescored(self, job_index: int) -> None:
            raise AssertionError("nothing was scored again")

    tiny_suite = toy.suite([toy.sample("z")], name="tiny")
    await toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A"), toy.suite(2), tiny_suite, watcher=Watcher()
    ).run()
    assert sorted(Watcher.seen) == [(0, "q000"), (0, "q001"), (1, "z")]


async def test_a_cancelled_run_counts_as_interrupted(toy_run: ToyRun) -> None:
    runner = toy_run.runner(
        ScriptedModel(lambda name, earlier_calls: "A" if name == "q000" else asyncio.sleep(60)), concurrency=2
    )
    task = asyncio.create_task(runner.run())
    await asyncio.sleep(0.05)
    task.cancel()
    await task
    assert runner.interrupted
    assert set(toy_run.records()) == {"q000"}


def test_drive_closes_the_model_even_after_an_error(toy_run: ToyRun) -> None:
    good, bad = (
        ScriptedModel(lambda name, earlier_calls: "A"),
        ScriptedModel(lambda name, earlier_calls: Fatal("no")),
    )
    assert asyncio.run(runners.drive(lambda: toy_run.runner(good))).end_reason == ""
    for job in toy_run.jobs:
        toy.close_job(job)
    with pytest.raises(Fatal):
        asyncio.run(runners.drive(lambda: toy_run.runner(bad, toy.suite(2, name="other"))))
    assert good.closed
    assert bad.closed


# --- Ctrl-C -------------------------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, json, sys
    from pathlib import Path
    from tests.support import toy
    from evals.run.runner import Runner, drive
    from evals.types import Reply

    class Slow:
        name, accepts = "slow", frozenset()
        calls = 0
        async def reply(self, prompt, sampling):
            self.calls += 1
            if self.calls == 4:
                print("four", flush=True)
            await asyncio.sleep({seconds})
            return Reply(text="A")
        async def close(self):
            pass

    job = toy.job(Path(sys.argv[1]), toy.suite(200), run="mine")
    model = Slow()
    runner = asyncio.run(drive(lambda: Runner(model, [job], concurrency=4)))
    toy.close_job(job)
    print(json.dumps([model.calls, runner.interrupted, runner.end_reason]), flush=True)
"""


def interrupt(results: Path, signals: list[int], *, seconds: float) -> tuple[list[Any], float]:
    """Send signals to a run with four calls in flight; return [calls, interrupted, end reason] and the seconds it took to end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = textwrap.dedent(PROGRAM).format(seconds=seconds)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(results)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "four\n"
        began = time.monotonic()
        for signum in signals:
            time.sleep(0.1)
            child.send_signal(signum)
        return json.loads(child.stdout.readline()), time.monotonic() - began


def record_count(results: Path) -> int:
    path = next(results.glob("*/*/mine"), None)
    return len(list(Run(path).records())) if path else 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_lets_the_calls_in_flight_finish(tmp_path: Path, signum: int) -> None:
    (calls, is_interrupted, end_reason), _ = interrupt(tmp_path, [signum], seconds=0.5)
    assert (calls, is_interrupted, end_reason) == (4, True, "interrupted")
    assert record_count(tmp_path) == 4


def test_two_interrupts_end_the_run_at_once(tmp_path: Path) -> None:
    (calls, is_interrupted, _), seconds = interrupt(tmp_path, [signal.SIGINT] * 2, seconds=60)
    assert (calls, is_interrupted) == (4, True)
    assert seconds < 10
    assert record_count(tmp_path) == 0


def test_ctrl_c_works_with_a_model_that_replies_without_waiting(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from tests.support import toy
        from evals.run.runner import Runner, drive
        from evals.model_adapters.scripted import Scripted
        job = toy.job(Path(sys.argv[1]), toy.suite(60_000), run="mine")
        def respond(prompt):
            if toy.sample_id_in(prompt) == "q100":
                print("begun", flush=True)
            return "A"
        runner = asyncio.run(drive(lambda: Runner(Scripted(respond), [job])))
        toy.close_job(job)
        print(runner.end_reason)
    """)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
    assert 100 <= record_count(tmp_path) < 60_000


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_ends_a_run_whose_loop_is_blocked(signum: int) -> None:
    code = textwrap.dedent("""
        import asyncio, time
        from evals.run.event_loop import on_interrupt
        async def block():
            with on_interrupt(lambda: None):
                print("blocked", flush=True)
                time.sleep(60)
        try:
            asyncio.run(block())
        except KeyboardInterrupt:
            print("interrupted")
    """)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "blocked\n"
        child.send_signal(signum)
        time.sleep(BLOCKED_S + 0.2)
        assert child.poll() is None
        child.send_signal(signum)
        assert child.stdout.readline() == "interrupted\n"


class HttpModel(ScriptedModel):
    """A scripted model that is treated as one behind HTTP: its server is probed if it does not answer."""

    notes: ClassVar[list[str]] = []

    def add_headers(self, headers: Any) -> None:
        """Add no headers."""


async def test_a_server_that_answers_no_call_ends_the_run(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "SILENCE_S", 0.1)
    monkeypatch.setattr(callers, "PROBE_S", 0.1)
    model = HttpModel(lambda name, earlier_calls: asyncio.sleep(60))
    runner = toy_run.runner(model, toy.suite(100), concurrency=8)
    await asyncio.wait_for(runner.run(), 5)
    assert runner.total_failure.startswith("the server accepts calls but does not answer")
    assert set(toy_run.outcomes().values()) == {"timeout"}
    assert len(toy_run.outcomes()) == 8


async def test_a_slow_server_that_answers_a_short_call_is_awaited(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "SILENCE_S", 0.05)
    monkeypatch.setattr(callers, "PROBE_S", 0.5)

    class SlowModel(HttpModel):
        async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
            await asyncio.sleep(0.01 if sampling.max_tokens == 1 else 0.8)
            return Reply(text="A")

    runner = toy_run.runner(SlowModel(lambda name, earlier_calls: "A"))
    await runner.run()
    assert toy_run.outcomes() == RIGHT


async def test_a_deadline_set_by_the_user_is_not_shortened(
    toy_run: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "SILENCE_S", 0.01)
    monkeypatch.setattr(callers, "PROBE_S", 0.01)
    model = HttpModel(lambda name, earlier_calls: asyncio.sleep(0.2, "A"))
    await toy_run.runner(model, timeout_s=5).run()
    assert toy_run.outcomes() == RIGHT
