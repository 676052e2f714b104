"""Workers that hang, crash, use too much memory or are killed fail one call; others go on, and no process is left over."""

import asyncio
import ctypes
import gc
import itertools
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from evals.errors import ScorerError, UsageError
from evals.sandbox import Pool
from evals.types import Message, Prompt, Reply, Sample, Score, Text
from tests.support.cpu_time import slowdown
from tests.support.error_messages import raises


@pytest.fixture(scope="module")
def pool():
    """Yield a pool of two workers."""
    with Pool(2, memory_mib=1024, timeout_s=20) as workers:
        yield workers


def is_alive(pid):
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_start_only_when_they_are_needed():
    with Pool(2) as unused:
        assert unused.pids() == []


def test_a_blocking_call_returns_its_result(pool):
    assert pool.call(math.sqrt, 9.0) == 3.0


async def test_calls_can_be_awaited_concurrently(pool):
    assert await asyncio.gather(*(pool.run(math.sqrt, float(i * i)) for i in range(200))) == list(range(200))


def test_a_loop_in_c_that_holds_the_interpreter_is_stopped_at_its_deadline(pool):
    started = time.perf_counter()
    with raises(ScorerError):
        pool.call(sum, itertools.count(), timeout_s=0.5)
    assert time.perf_counter() - started < 5


def test_a_segfault_fails_only_its_own_call(pool):
    before = [pool.submit(math.sqrt, 4.0) for _ in range(50)]
    crash = pool.submit(ctypes.string_at, 0)
    after = [pool.submit(math.sqrt, 4.0) for _ in range(50)]
    with raises(ScorerError):
        crash.result()
    assert {f.result() for f in before + after} == {2.0}


def test_a_worker_that_exits_fails_only_its_own_call(pool):
    with raises(ScorerError):
        pool.call(os._exit, 7)
    assert pool.call(math.sqrt, 4.0) == 2.0


def test_a_call_that_exceeds_the_memory_limit_fails(pool):
    with raises(ScorerError):
        pool.call(list, itertools.count(), timeout_s=60)
    assert pool.call(math.sqrt, 4.0) == 2.0


def test_a_worker_killed_during_a_call_is_replaced():
    with Pool(1) as single:
        single.call(math.sqrt, 4.0)
        killed = single.submit(time.sleep, 60, timeout_s=90)
        waiting = single.submit(math.sqrt, 16.0)
        time.sleep(0.3)
        (pid,) = single.pids()
        os.kill(pid, signal.SIGKILL)
        with raises(ScorerError):
            killed.result(10)
        assert waiting.result(10) == 4.0
        assert single.pids() != [pid]


def test_a_worker_killed_between_calls_fails_no_call():
    with Pool(1) as single:
        single.call(math.sqrt, 4.0)
        (pid,) = single.pids()
        os.kill(pid, signal.SIGKILL)
        assert single.call(math.sqrt, 16.0) == 4.0


def test_calls_fail_with_the_reason_if_no_worker_can_start(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with Pool(1) as broken, raises(ScorerError):
        broken.call(math.sqrt, 4.0)


def test_a_stopped_worker_does_not_outlive_the_pool():
    single = Pool(1)
    single.call(math.sqrt, 4.0)
    (pid,) = single.pids()
    os.kill(pid, signal.SIGSTOP)
    single.close()
    assert not is_alive(pid)


def test_an_exception_is_reported_in_one_line_with_its_type(pool):
    with raises(ScorerError):
        pool.call(math.sqrt, -1.0)


def raise_missing_extra():
    raise UsageError("install science-evals[chemistry]")


def test_a_usage_error_is_passed_on_unchanged(pool):
    with raises(UsageError):
        pool.call(raise_missing_extra)


def test_an_argument_that_cannot_be_pickled_fails_its_call(pool):
    with raises(ScorerError):
        pool.call(lambda: 1)


def test_a_result_that_cannot_be_pickled_fails_its_call(pool):
    with raises(ScorerError):
        pool.call(open, os.devnull)


def test_five_megabytes_can_be_sent_and_returned(pool):
    text = "x" * 5_000_000
    assert pool.call(str.upper, text) == text.upper()


def test_a_cancelled_call_is_not_executed():
    with Pool(1) as single:
        single.submit(time.sleep, 0.5)
        later = single.submit(time.sleep, 60, timeout_s=90)
        assert later.cancel()
        assert single.call(math.sqrt, 4.0) == 2.0


def test_workers_do_not_inherit_secrets(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-1")
    with Pool(1) as single:
        assert single.call(os.getenv, "SOME_API_KEY") is None


def test_a_closed_pool_refuses_calls_and_leaves_no_process():
    closed = Pool(2)
    futures = [closed.submit(time.sleep, 30, timeout_s=60) for _ in range(4)]
    time.sleep(1)
    pids = closed.pids()
    assert len(pids) == 2
    closed.close()
    closed.close()
    assert not any(map(is_alive, pids))
    assert all(isinstance(f.exception(5), ScorerError) for f in futures)
    with raises(RuntimeError):
        closed.submit(math.sqrt, 1.0)


def score_equal(sample, prompt, reply):
    """Score by equality, and assert that neither the question nor the prompt was sent."""
    assert sample.question == ()
    assert prompt.messages == ()
    right = reply.text == sample.target
    return Score(value=float(right), verdict="right" if right else "wrong", answer=reply.text)


async def test_a_scorer_gets_the_reply_but_not_the_question(pool):
    sample = Sample(id="1", question=(Text("2 + 2"),), target="4")
    prompt = Prompt(messages=(Message.user("2 + 2"),))
    score = await pool.score(score_equal, sample, prompt, Reply(text="4"))
    assert (score.value, score.verdict) == (1.0, "right")


async def test_the_event_loop_is_never_blocked(pool):
    """In ten thousand calls, no iteration of the loop takes 50 ms of CPU time; wall time would include other processes."""
    longest_s = 0.0

    async def watch():
        nonlocal longest_s
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest_s, last = max(longest_s, now - last), now

    numbers = iter(range(10_000))
    roots = {}

    async def call_repeatedly():
        for i in numbers:
            roots[i] = await pool.run(math.isqrt, i)

    gc.collect()
    gc.freeze()  # excludes the objects of earlier tests from garbage collection
    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(call_repeatedly() for _ in range(256)))
    watcher.cancel()
    gc.unfreeze()
    assert roots == {i: math.isqrt(i) for i in range(10_000)}
    assert longest_s < 0.05 * slowdown()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_a_parent_that_is_interrupted_or_killed(signum, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import itertools, time
        from evals.sandbox import Pool
        pool = Pool(2, timeout_s=2)
        loops = [pool.submit(sum, itertools.count()) for _ in range(2)]
        while len(pool.pids()) < 2:
            time.sleep(0.05)
        time.sleep(0.3)
        print(*pool.pids(), flush=True)
        time.sleep(60)
        """)
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(signum)
        parent.wait(10)
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, pids))
