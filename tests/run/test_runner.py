"""The loop around a model that does what it is told: order, retries, deadlines, interrupts, budgets, broken plug-ins."""

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
from evals.run.budget import Budget, Spending
from evals.run.job import Job
from evals.run.rescore import store_final_metrics
from evals.run.runner import Runner
from evals.suite import Suite
from evals.types import Failure, Prompt, Record, Reply, Sample, Sampling, Score, Usage
from tests.support import toy
from tests.support.paths import ROOT

PRICE = Price(input=1.0, output=10.0, date=date(2026, 1, 2))
Does = Callable[[str, int], Any]
"""(sample id, how often it was asked before) -> text, Reply, an error to raise, or something to await."""


class Told:
    """A model that does what a function says, and remembers what it was asked."""

    name = "told"
    accepts: frozenset[str] = frozenset()

    def __init__(self, does: Does) -> None:
        self.does = does
        self.asked: list[str] = []
        self.sampling: list[Sampling] = []
        self.at_once = self.most_at_once = 0
        self.closed = False

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        name = toy.sample_id_in(prompt)
        found = self.does(name, self.asked.count(name))
        self.asked.append(name)
        self.sampling.append(sampling)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if isinstance(found, Awaitable):
                found = await found
        finally:
            self.at_once -= 1
        if isinstance(found, BaseException):
            raise found
        return Reply(text=found, usage=Usage(input=10, output=1)) if isinstance(found, str) else found

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(backoff, "MAX_S", 0.02)


class Made:
    """A run of the toy suite: its jobs, and what it left on disk."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.jobs: list[Job] = []

    def runner(self, model: Any, *suites: Suite, **options: Any) -> Runner:
        of_job = {k: options.pop(k) for k in ("repeats", "sampling") if k in options}
        self.jobs = [toy.job(self.results, suite, **of_job) for suite in suites or (toy.suite(),)]
        return Runner(model, self.jobs, **options)

    def records(self, job: int = 0) -> dict[str, Record]:
        found = list(Run(self.jobs[job].writer.path).records())
        return {r.sample if not r.repeat else f"{r.sample}.{r.repeat}": r for r in found}

    def outcomes(self) -> dict[str, str]:
        """Verdict or kind of failure by sample."""
        found = {}
        for name, record in self.records().items():
            score = record.scores.get("exact")
            one = record.outcome if isinstance(record.outcome, Failure) else score
            found[name] = one.kind if isinstance(one, Failure) else one.verdict if one else "unscored"
        return found


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    found = Made(tmp_path)
    yield found
    for job in found.jobs:
        toy.close_job(job)


RIGHT = {f"q{i:03}": "right" for i in range(4)}


async def test_every_sample_is_asked_once_and_recorded(made: Made) -> None:
    model = Told(lambda name, turn: "B" if name == "q002" else "A")
    await made.runner(model).run()
    assert sorted(model.asked) == sorted(RIGHT)
    assert made.outcomes() == RIGHT | {"q002": "wrong"}
    assert toy.sample_id_in(made.records()["q001"].prompt) == "q001"


async def test_with_one_call_at_once_the_order_is_the_plans(made: Made) -> None:
    model = Told(lambda name, turn: "A")
    await made.runner(model, toy.suite(10), concurrency=1).run()
    assert model.asked == [f"q{i:03}" for i in range(10)]
    assert model.most_at_once == 1


@pytest.mark.parametrize("concurrency", [1, 3, 7])
async def test_a_given_concurrency_is_reached_and_never_exceeded(made: Made, concurrency: int) -> None:
    model = Told(lambda name, turn: asyncio.sleep(0.001, "A"))
    await made.runner(model, toy.suite(40), concurrency=concurrency).run()
    assert model.most_at_once == concurrency
    assert len(model.asked) == 40


async def test_without_one_it_starts_at_sixteen_and_grows(made: Made) -> None:
    model = Told(lambda name, turn: asyncio.sleep(0.01, "A"))
    await made.runner(model, toy.suite(150)).run()
    assert model.most_at_once > 16


async def test_a_model_with_slots_is_asked_no_more_at_once(made: Made) -> None:
    model = Told(lambda name, turn: asyncio.sleep(0.001, "A"))
    model.slots = 3
    await made.runner(model, toy.suite(30)).run()
    assert model.most_at_once == 3


async def test_two_suites_share_one_queue(made: Made) -> None:
    model = Told(lambda name, turn: asyncio.sleep(0.002, "A"))
    other = toy.suite([toy.sample(f"z{i}") for i in range(6)], name="tiny")
    await made.runner(model, toy.suite(6), other, concurrency=12).run()
    assert model.most_at_once == 12  # no suite waits for the other's tail
    assert set(made.records(1)) == {f"z{i}" for i in range(6)}


# --- errors and retries -------------------------------------------------------------------------------------

TRANSIENT = [
    ServerFault("HTTP 500"),
    BadReply("truncated"),
    Disconnected("cut"),
    Timeout("slow"),
    RateLimit("HTTP 429"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda e: type(e).__name__)
async def test_a_passing_fault_costs_a_second_call_and_no_score(made: Made, error: ModelError) -> None:
    model = Told(lambda name, turn: error if name == "q001" and turn == 0 else "A")
    await made.runner(model).run()
    assert made.outcomes() == RIGHT
    assert Counter(model.asked)["q001"] == 2
    assert made.records()["q001"].outcome.attempts == 2


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda e: type(e).__name__)
async def test_a_lasting_fault_is_a_failure_and_in_no_mean(made: Made, error: ModelError) -> None:
    model = Told(lambda name, turn: error if name == "q003" else "A")
    await made.runner(model, concurrency=1).run()
    kind = type(error).__name__.lower()
    tries = callers.MAX_ATTEMPTS_RATE_LIMITED if isinstance(error, RateLimit) else callers.MAX_ATTEMPTS
    assert made.outcomes() == RIGHT | {"q003": kind}
    assert Counter(model.asked)["q003"] == tries
    record = made.records()["q003"]
    assert record.outcome == Failure(stage="model", kind=kind, message=str(error), attempts=tries)
    assert record.scores == {}
    summary = store_final_metrics(made.jobs[0].writer, made.jobs[0].suite)
    assert (summary.coverage, summary.counts) == (0.75, {"right": 3, f"failed:{kind}": 1})
    headline = next(e for e in summary.estimates if e.headline)
    assert (headline.value, headline.worst, headline.n) == (1.0, 0.75, 3)


@pytest.mark.parametrize("error", [Rejected("HTTP 400"), Context("too long"), ModelError("odd")])
async def test_what_will_not_pass_is_asked_once(made: Made, error: ModelError) -> None:
    model = Told(lambda name, turn: error if name == "q001" else "A")
    await made.runner(model).run()
    assert Counter(model.asked)["q001"] == 1
    assert made.outcomes() == RIGHT | {"q001": type(error).__name__.lower()}


async def test_an_account_without_money_ends_the_run_and_leaves_the_rest_open(made: Made) -> None:
    model = Told(lambda name, turn: OutOfQuota("HTTP 402: no money") if name > "q004" else "A")
    one = made.runner(model, toy.suite(100), concurrency=1)
    await one.run()
    assert len(made.records()) == 5  # no failures: the rest is asked on another day
    assert len(model.asked) == 6
    assert one.end_reason == "HTTP 402: no money; run the same command again to continue"


async def test_an_account_that_never_had_any_is_one_line(made: Made) -> None:
    with pytest.raises(OutOfQuota, match="no money"):
        await made.runner(Told(lambda name, turn: OutOfQuota("no money"))).run()
    assert made.records() == {}


async def test_calls_per_minute_are_the_runners(made: Made) -> None:
    times: list[float] = []

    def does(name: str, turn: int) -> object:
        times.append(time.monotonic())
        return ServerFault("HTTP 500") if name == "q001" and turn == 0 else "A"

    model = Told(does)
    model.per_minute = 1200.0
    await made.runner(model, toy.suite(6), concurrency=4).run()
    assert len(times) == 7  # a second try is a call too
    times.sort()
    assert times[-1] - times[0] > 6 * 0.05 * 0.9
    assert min(b - a for a, b in pairwise(times)) > 0.02  # one that came late does not hold up the next


async def test_an_interrupted_run_waits_for_no_beat(made: Made) -> None:
    def does(name: str, turn: int) -> str:
        asyncio.get_running_loop().call_later(0.05, one.end, "enough")
        return "A"

    model = Told(does)
    model.per_minute = 1.0
    one = made.runner(model, toy.suite(6), concurrency=4)
    await asyncio.wait_for(one.run(), 5)
    assert len(made.records()) == 1


async def test_retry_after_is_honoured(made: Made) -> None:
    times: list[float] = []

    def does(name: str, turn: int) -> object:
        times.append(time.monotonic())
        return RateLimit("HTTP 429", retry_after_s=0.15) if turn == 0 else "A"

    await made.runner(Told(does), toy.suite(1)).run()
    assert 0.15 <= times[1] - times[0] < 1.0


async def test_the_wait_grows_with_every_attempt(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)
    monkeypatch.setattr(backoff, "MAX_S", 1.0)
    times: list[float] = []

    def does(name: str, turn: int) -> object:
        times.append(time.monotonic())
        return "A" if name == "q000" or turn == 4 else ServerFault("HTTP 500")

    await made.runner(Told(does), toy.suite(2), concurrency=1).run()
    waits = [b - a for a, b in pairwise(times[1:])]
    for attempt, wait in enumerate(waits):
        assert wait >= 0.02 * 2**attempt * 0.5  # jitter takes half at most


@pytest.mark.parametrize("error", [RateLimit("429"), Timeout("slow")])
async def test_a_server_that_asks_for_less_gets_less(made: Made, error: ModelError) -> None:
    model = Told(lambda name, turn: error if name == "q000" and turn == 0 else asyncio.sleep(0.001, "A"))
    one = made.runner(model, toy.suite(12), concurrency=8)
    await one.run()
    assert len(made.records()) == 12
    assert one.pace.limit < 8


async def test_workers_that_leave_at_once_leave_nothing_unasked(made: Made) -> None:
    # all calls in flight end in the same turn of the loop, just after the limit was halved
    gate = asyncio.Event()

    async def held() -> str:
        await gate.wait()
        return "A"

    def does(name: str, turn: int) -> object:
        if name == "q000" and turn == 0:
            asyncio.get_running_loop().call_later(0.05, gate.set)
            return RateLimit("HTTP 429", retry_after_s=0.0)
        return held()

    one = made.runner(Told(does), toy.suite(30), concurrency=16)
    await one.run()
    assert len(made.records()) == 30
    assert one.end_reason == ""


async def test_a_call_ends_at_its_deadline(made: Made) -> None:
    def does(name: str, turn: int) -> object:
        return asyncio.sleep(60) if name == "q001" and turn == 0 else "A"

    await made.runner(Told(does), timeout_s=0.1).run()
    assert made.outcomes() == RIGHT
    assert made.records()["q001"].outcome.attempts == 2


async def test_a_call_that_never_ends_is_a_failure(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MAX_ATTEMPTS", 2)
    model = Told(lambda name, turn: asyncio.sleep(60) if name == "q003" else "A")
    await made.runner(model, concurrency=1, timeout_s=0.05).run()
    assert made.outcomes() == RIGHT | {"q003": "timeout"}
    assert "no reply within 0 s" in made.records()["q003"].outcome.message


# --- a run that makes no sense ------------------------------------------------------------------------------


async def test_a_wrong_key_is_found_by_the_first_call(made: Made) -> None:
    model = Told(lambda name, turn: Fatal("HTTP 401: wrong key"))
    with pytest.raises(Fatal, match="HTTP 401: wrong key"):
        await made.runner(model, toy.suite(100), concurrency=4).run()
    assert len(model.asked) <= 4
    assert made.records() == {}


async def test_a_server_that_is_not_there_is_found_by_the_first_call(made: Made) -> None:
    model = Told(lambda name, turn: Disconnected("cannot reach it", unreachable=True))
    with pytest.raises(Fatal, match="cannot reach it"):
        await made.runner(model, toy.suite(100), concurrency=1).run()
    assert len(model.asked) == 1


async def test_a_key_that_ends_in_mid_run_is_a_failure_of_what_is_left(made: Made) -> None:
    model = Told(lambda name, turn: "A" if name == "q000" else Fatal("HTTP 401"))
    await made.runner(model, concurrency=1).run()
    assert made.outcomes() == {"q000": "right", "q001": "fatal", "q002": "fatal", "q003": "fatal"}


async def test_a_server_that_goes_away_for_a_moment_is_waited_for(made: Made) -> None:
    def does(name: str, turn: int) -> object:
        return Disconnected("refused", unreachable=True) if name == "q002" and turn < 3 else "A"

    await made.runner(Told(does), concurrency=1).run()
    assert made.outcomes() == RIGHT


async def test_where_every_call_fails_the_run_ends_early_and_says_why(made: Made) -> None:
    model = Told(lambda name, turn: Rejected("HTTP 400: no such field"))
    one = made.runner(model, toy.suite(100), concurrency=1)
    await one.run()
    assert len(model.asked) == runners.MAX_FAILURES
    assert one.end_reason == "every call fails: HTTP 400: no such field"
    assert "HTTP 400: no such field" in one.total_failure


async def test_while_nothing_ever_worked_patience_is_short(made: Made) -> None:
    model = Told(lambda name, turn: ServerFault("HTTP 500"))
    one = made.runner(model, toy.suite(1))
    await one.run()
    assert len(model.asked) == callers.MAX_ATTEMPTS_BEFORE_REPLY
    assert one.total_failure


async def test_where_calls_take_long_to_fail_fewer_of_them_are_enough(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WARM_UP_S", 0.1)
    model = Told(lambda name, turn: asyncio.sleep(60))
    one = made.runner(model, toy.suite(100), concurrency=1, timeout_s=0.06)
    await one.run()
    assert len(made.records()) == runners.MAX_SLOW_FAILURES
    assert len(model.asked) <= 2 + runners.MAX_SLOW_FAILURES
    assert one.end_reason.startswith("every call fails")


async def test_many_failures_beside_one_reply_do_not_end_a_run(made: Made) -> None:
    model = Told(lambda name, turn: "A" if name == "q000" else Rejected("HTTP 400"))
    one = made.runner(model, toy.suite(40), concurrency=1)
    await one.run()
    assert len(made.records()) == 40
    assert (one.end_reason, one.total_failure) == ("", "")


# --- budgets ------------------------------------------------------------------------------------------------


async def test_a_token_budget_ends_the_run_with_what_there_is(made: Made) -> None:
    one = made.runner(
        Told(lambda name, turn: "A"),
        toy.suite(100),
        concurrency=1,
        budget=Budget(spending=Spending(tokens=33)),
    )
    await one.run()
    assert len(made.records()) == 3  # eleven tokens each
    assert one.end_reason == "--max-total-tokens 33 reached"
    assert store_final_metrics(made.jobs[0].writer, made.jobs[0].suite).coverage == 0.03


async def test_a_budget_in_dollars_counts_input_and_output(made: Made) -> None:
    budget = Budget(spending=Spending(cost_usd=0.0001), price=PRICE)  # 20 millionths a call
    one = made.runner(Told(lambda name, turn: "A"), toy.suite(100), concurrency=1, budget=budget)
    await one.run()
    assert len(made.records()) == 5
    assert budget.spent_usd == pytest.approx(0.0001)
    assert one.end_reason == "--max-cost 0.0001 USD reached"


# --- plug-ins that break ------------------------------------------------------------------------------------


async def test_a_prompt_that_crashes_is_that_samples_failure(made: Made) -> None:
    def prompter(sample: Sample, repeat: int) -> Prompt:
        if sample.id == "q001":
            raise KeyError("image")
        return toy.prompt_of(sample, repeat)

    await made.runner(Told(lambda name, turn: "A"), toy.suite(prompter=lambda data: prompter)).run()
    assert made.outcomes() == RIGHT | {"q001": "crash"}
    assert made.records()["q001"].outcome == Failure(
        stage="prompt", kind="crash", message="KeyError: 'image'"
    )


def crash(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
    if sample.id == "q001":
        raise ZeroDivisionError("no atoms")
    return Score(value=1.0, verdict="right")


async def test_a_scorer_that_crashes_keeps_the_reply(made: Made) -> None:
    await made.runner(Told(lambda name, turn: "A"), toy.suite(scorers={"exact": crash})).run()
    record = made.records()["q001"]
    assert isinstance(record.outcome, Reply)
    assert record.scores == {
        "exact": Failure(stage="scorer", kind="crash", message="ZeroDivisionError: no atoms")
    }


async def test_a_judge_is_awaited_and_its_crash_recorded(made: Made) -> None:
    async def judge(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        await asyncio.sleep(0)
        return crash(sample, prompt, reply)

    suite = toy.suite(scorers={"exact": toy.Exact(), "judge": judge})
    await made.runner(Told(lambda name, turn: "A"), suite).run()
    found = {name: list(record.scores.items()) for name, record in made.records().items()}
    assert [key for key, _ in found["q000"]] == ["exact", "judge"]
    assert found["q001"][1][1].kind == "crash"
    assert found["q001"][0][1].value == 1.0


@pytest.mark.parametrize("nonsense", [None, 1.0, "right", float("nan")])
async def test_a_scorer_that_gives_no_score_leaves_a_readable_run(made: Made, nonsense: object) -> None:
    suite = toy.suite(scorers={"exact": lambda sample, prompt, reply: nonsense})
    await made.runner(Told(lambda name, turn: "A"), suite).run()
    assert made.outcomes() == dict.fromkeys(RIGHT, "scorererror")


async def test_a_scorer_with_numpys_numbers_is_as_good_as_another(made: Made) -> None:
    import numpy as np

    def numeric(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        half: Any = np.float64(0.5)
        return Score(value=half, verdict="graded", parts={"x": np.float32(0.25)})

    await made.runner(Told(lambda name, turn: "A"), toy.suite(scorers={"exact": numeric})).run()
    assert made.records()["q000"].scores["exact"] == Score(value=0.5, verdict="graded", parts={"x": 0.25})


async def test_an_adapter_that_gives_no_reply_is_a_failure(made: Made) -> None:
    await made.runner(Told(lambda name, turn: None if name == "q001" else "A")).run()
    assert made.outcomes() == RIGHT | {"q001": "modelerror"}


async def test_an_adapter_that_crashes_is_a_failure(made: Made) -> None:
    await made.runner(Told(lambda name, turn: KeyError("x") if name == "q001" else "A")).run()
    assert made.records()["q001"].outcome.message == "KeyError: 'x'"


async def test_text_that_no_json_can_hold_is_mended(made: Made) -> None:
    await made.runner(Told(lambda name, turn: "\ud83d" if name == "q001" else "A")).run()
    assert made.outcomes() == RIGHT | {"q001": "wrong"}
    assert made.records()["q001"].outcome.text == "\ufffd"


async def test_a_missing_extra_ends_the_run_in_one_line(made: Made) -> None:
    def scorer(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        raise UsageError("molecules need: pip install 'science-evals[chemistry]'")

    with pytest.raises(UsageError, match="chemistry"):
        await made.runner(Told(lambda name, turn: "A"), toy.suite(scorers={"exact": scorer})).run()


async def test_a_full_disk_ends_the_run_in_one_line(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made.runner(Told(lambda name, turn: "A"), toy.suite(50), concurrency=1)
    write = os.write

    def small(fd: int, data: bytes) -> int:
        if b"q010" in data:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", small)
    with pytest.raises(StoreError, match="No space left on device"):
        await one.run()
    # what was in flight when the disk was full is kept, and nothing more is asked
    assert set(made.records()) == {*(f"q{i:03}" for i in range(10)), "q011"}


async def test_a_disk_that_fails_while_it_is_synced_ends_the_run(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(writer: Any) -> None:
        raise StoreError("cannot write: Input/output error")

    async def answer() -> str:
        await asyncio.sleep(0.3)
        return "A"

    one = made.runner(Told(lambda name, turn: answer()), toy.suite(50), concurrency=1)
    monkeypatch.setattr(type(one.jobs[0].writer), "needs_sync", True)
    monkeypatch.setattr(type(one.jobs[0].writer), "sync", refuse)
    with pytest.raises(StoreError, match="Input/output error"):
        await one.run()
    assert one.model.asked == ["q000"]


# --- repeats ------------------------------------------------------------------------------------------------


async def test_repeats_of_a_sample_get_different_seeds(made: Made) -> None:
    model = Told(lambda name, turn: "A")
    drawn = Sampling(temperature=1.0)
    await made.runner(model, toy.suite(2, repeats=3, sampling=drawn), concurrency=1).run()
    assert [s.seed for s in model.sampling] == [0, 0, 1, 1, 2, 2]
    assert {s.temperature for s in model.sampling} == {1.0}
    assert set(made.records()) == {"q000", "q001", "q000.1", "q001.1", "q000.2", "q001.2"}


async def test_greedy_repeats_get_no_seed(made: Made) -> None:
    model = Told(lambda name, turn: "A")
    await made.runner(model, toy.suite(1, repeats=2)).run()
    assert [s.seed for s in model.sampling] == [None, None]


async def test_a_watcher_is_told_of_every_record(made: Made) -> None:
    class Watcher:
        seen: list[tuple[int, str]] = []

        def record(self, job: int, record: Record) -> None:
            self.seen.append((job, record.sample))

        def count_rescored(self, job: int) -> None:
            raise AssertionError("nothing was scored again")

    other = toy.suite([toy.sample("z")], name="tiny")
    await made.runner(Told(lambda name, turn: "A"), toy.suite(2), other, watcher=Watcher()).run()
    assert sorted(Watcher.seen) == [(0, "q000"), (0, "q001"), (1, "z")]


async def test_cancelled_from_outside_it_counts_as_interrupted(made: Made) -> None:
    one = made.runner(Told(lambda name, turn: "A" if name == "q000" else asyncio.sleep(60)), concurrency=2)
    task = asyncio.create_task(one.run())
    await asyncio.sleep(0.05)
    task.cancel()
    await task
    assert one.interrupted
    assert set(made.records()) == {"q000"}


def test_execute_closes_the_model_whatever_happens(made: Made) -> None:
    good, bad = Told(lambda name, turn: "A"), Told(lambda name, turn: Fatal("no"))
    assert asyncio.run(runners.drive(lambda: made.runner(good))).end_reason == ""
    for job in made.jobs:
        toy.close_job(job)
    with pytest.raises(Fatal):
        asyncio.run(runners.drive(lambda: made.runner(bad, toy.suite(2, name="other"))))
    assert good.closed
    assert bad.closed


# --- Ctrl-C -------------------------------------------------------------------------------------------------

COMMAND = """
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


def interrupted(results: Path, signals: list[int], *, seconds: float) -> tuple[list[Any], float]:
    """Send signals to a run of four calls at once; gives its calls, flags and time, and the records' number."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = textwrap.dedent(COMMAND).format(seconds=seconds)
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


def count(results: Path) -> int:
    path = next(results.glob("*/*/mine"), None)
    return len(list(Run(path).records())) if path else 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once_what_is_in_flight_is_kept(tmp_path: Path, signum: int) -> None:
    (calls, flag, ended), _ = interrupted(tmp_path, [signum], seconds=0.5)
    assert (calls, flag, ended) == (4, True, "interrupted")
    assert count(tmp_path) == 4


def test_interrupted_twice_it_leaves_now(tmp_path: Path) -> None:
    (calls, flag, _), seconds = interrupted(tmp_path, [signal.SIGINT] * 2, seconds=60)
    assert (calls, flag) == (4, True)
    assert seconds < 10
    assert count(tmp_path) == 0


def test_a_model_that_never_waits_does_not_keep_ctrl_c_waiting(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from tests.support import toy
        from evals.run.runner import Runner, drive
        from evals.model_adapters.scripted import Scripted
        job = toy.job(Path(sys.argv[1]), toy.suite(60_000), run="mine")
        def says(prompt):
            if toy.sample_id_in(prompt) == "q100":
                print("begun", flush=True)
            return "A"
        runner = asyncio.run(drive(lambda: Runner(Scripted(says), [job])))
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
    assert 100 <= count(tmp_path) < 60_000


class Deaf(Told):
    """A model behind HTTP whose server accepts every call and answers none."""

    notes: ClassVar[list[str]] = []

    def add_headers(self, headers: Any) -> None:
        """Send nothing."""


async def test_a_server_that_answers_nobody_is_given_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "SILENCE_S", 0.1)
    monkeypatch.setattr(callers, "PROBE_S", 0.1)
    model = Deaf(lambda name, turn: asyncio.sleep(60))
    one = made.runner(model, toy.suite(100), concurrency=8)
    await asyncio.wait_for(one.run(), 5)
    assert one.total_failure.startswith("the server accepts calls but does not answer")
    assert set(made.outcomes().values()) == {"timeout"}
    assert len(made.outcomes()) == 8


async def test_a_server_that_answers_a_short_call_is_waited_for(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "SILENCE_S", 0.05)
    monkeypatch.setattr(callers, "PROBE_S", 0.5)

    class Slow(Deaf):
        async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
            await asyncio.sleep(0.01 if sampling.max_tokens == 1 else 0.8)
            return Reply(text="A")

    one = made.runner(Slow(lambda name, turn: "A"))
    await one.run()
    assert made.outcomes() == RIGHT


async def test_a_deadline_of_the_users_is_not_cut_short(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "SILENCE_S", 0.01)
    monkeypatch.setattr(callers, "PROBE_S", 0.01)
    model = Deaf(lambda name, turn: asyncio.sleep(0.2, "A"))
    await made.runner(model, timeout_s=5).run()
    assert made.outcomes() == RIGHT
