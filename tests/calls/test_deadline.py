"""One timer for many calls: who is late, who is not, and who was cancelled by somebody else."""

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


async def test_those_who_are_late_are_told_and_no_others() -> None:
    deadline = Deadline(0.1)
    began = asyncio.get_running_loop().time()
    found = await asyncio.gather(*(call(deadline, wanted) for wanted in (0.0, 9.0, 0.05, 9.0)))
    assert found == ["done", "late", "done", "late"]
    assert 0.09 < asyncio.get_running_loop().time() - began < 0.5


async def test_each_has_its_own_time() -> None:
    deadline = Deadline(0.2)
    first = asyncio.create_task(call(deadline, 9.0))
    await asyncio.sleep(0.12)
    second = asyncio.create_task(call(deadline, 0.15))  # behind the first one's end, before its own
    third = asyncio.create_task(call(deadline, 9.0))
    assert await asyncio.gather(first, second, third) == ["late", "done", "late"]


async def test_a_task_may_use_it_again_and_again() -> None:
    deadline = Deadline(0.05)

    async def work() -> list[str]:
        return [await call(deadline, wanted) for wanted in (0.0, 9.0, 0.0, 9.0)]

    task = asyncio.create_task(work())
    assert await task == ["done", "late", "done", "late"]
    assert task.cancelling() == 0


async def test_what_somebody_else_cancels_is_no_timeout() -> None:
    deadline = Deadline(9.0)
    task = asyncio.create_task(call(deadline, 9.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_by_both_it_is_cancelled() -> None:
    deadline = Deadline(9.0)
    task = asyncio.create_task(call(deadline, 9.0))
    await asyncio.sleep(0)
    task.cancel()
    deadline._due[task] = 0.0
    deadline._expire_due()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_reply_that_comes_in_spite_of_it_is_kept() -> None:
    deadline = Deadline(0.02)

    async def stubborn() -> str:
        with deadline:
            try:
                await asyncio.sleep(9.0)
            except asyncio.CancelledError:
                return "an answer"
        return ""

    task = asyncio.create_task(stubborn())
    assert await task == "an answer"
    assert task.cancelling() == 0


async def test_inside_a_timeout_of_asyncio() -> None:
    deadline = Deadline(9.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await call(deadline, 9.0)
