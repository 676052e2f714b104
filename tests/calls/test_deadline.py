"""One timer for many calls: only calls that take too long time out, and cancellations by other code are not timeouts."""

from __future__ import annotations

import asyncio

import pytest

from evals.calls.deadline import Deadline


async def call(deadline: Deadline, seconds: float) -> str:
    try:
        with deadline:
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "late"
    return "done"


async def test_only_calls_that_take_too_long_time_out() -> None:
    deadline = Deadline(0.3)
    began = asyncio.get_running_loop().time()
    results = await asyncio.gather(*(call(deadline, seconds) for seconds in (0.0, 9.0, 0.05, 9.0)))
    assert results == ["done", "late", "done", "late"]
    assert 0.29 < asyncio.get_running_loop().time() - began < 2


async def test_each_call_s_time_starts_when_it_enters_the_deadline() -> None:
    deadline = Deadline(0.2)
    first = asyncio.create_task(call(deadline, 9.0))
    await asyncio.sleep(0.12)
    # the second call ends after the deadline of the first and before its own
    second = asyncio.create_task(call(deadline, 0.15))
    third = asyncio.create_task(call(deadline, 9.0))
    assert await asyncio.gather(first, second, third) == ["late", "done", "late"]


async def test_a_task_can_enter_a_deadline_repeatedly() -> None:
    deadline = Deadline(0.05)

    async def work() -> list[str]:
        return [await call(deadline, seconds) for seconds in (0.0, 9.0, 0.0, 9.0)]

    task = asyncio.create_task(work())
    assert await task == ["done", "late", "done", "late"]
    assert task.cancelling() == 0


async def test_a_cancellation_by_other_code_is_not_a_timeout() -> None:
    deadline = Deadline(9.0)
    task = asyncio.create_task(call(deadline, 9.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_the_deadline_and_other_code_cancel_is_cancelled() -> None:
    deadline = Deadline(9.0)
    task = asyncio.create_task(call(deadline, 9.0))
    await asyncio.sleep(0)
    task.cancel()
    deadline._due[task] = 0.0
    deadline._expire_due()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_reply_returned_in_spite_of_the_cancellation_is_kept() -> None:
    deadline = Deadline(0.02)

    async def ignore_cancellation() -> str:
        with deadline:
            try:
                await asyncio.sleep(9.0)
            except asyncio.CancelledError:
                return "an answer"
        return ""

    task = asyncio.create_task(ignore_cancellation())
    assert await task == "an answer"
    assert task.cancelling() == 0


async def test_a_deadline_works_inside_a_timeout_of_asyncio() -> None:
    deadline = Deadline(9.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await call(deadline, 9.0)
