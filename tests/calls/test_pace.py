"""Concurrency control and the spacing of calls, with a simulated clock."""

from __future__ import annotations

import asyncio

import pytest

from evals.calls.pace import INITIAL_LIMIT, Pace, Spacing, spacing_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A simulated server whose throughput does not grow beyond `slots` concurrent calls."""

    def __init__(self, slots: int, *, fixed: int | None = None, max_limit: int = 1024) -> None:
        self.slots = slots
        self.clock = Clock()
        self.pace = Pace(fixed=fixed, max_limit=max_limit, clock=self.clock)

    def run_windows(self, windows: int = 1) -> list[int]:
        """Simulate the replies of whole windows; return the limit after each."""
        limits = []
        for _ in range(windows):
            for _ in range(self.pace.limit):
                self.clock.now += 1.0 / min(self.pace.limit, self.slots)
                self.pace.reply()
            limits.append(self.pace.limit)
        return limits


def test_the_concurrency_doubles_while_that_raises_the_throughput() -> None:
    server = Server(slots=100)
    assert server.pace.limit == INITIAL_LIMIT == 16
    # the throughput grows up to 128 calls, and not from 128 to 256
    assert server.run_windows(6) == [32, 64, 128, 256, 256, 256]


def test_the_concurrency_never_exceeds_the_model_s_maximum() -> None:
    assert max(Server(slots=1000, max_limit=40).run_windows(6)) == 40
    assert Server(slots=1000, max_limit=4).pace.limit == 4


def test_a_fixed_concurrency_is_the_initial_and_maximum_value() -> None:
    server = Server(slots=1000, fixed=24)
    assert server.pace.limit == 24
    assert set(server.run_windows(10)) == {24}
    assert Pace(fixed=100, max_limit=8).limit == 8


@pytest.mark.parametrize(("before", "after"), [(24, 12), (1, 1), (3, 1)])
def test_slow_down_halves_the_concurrency(before: int, after: int) -> None:
    pace = Pace(fixed=before, clock=Clock())
    pace.slow_down()
    assert pace.limit == after


def test_a_burst_of_rejected_calls_halves_the_concurrency_once_per_window() -> None:
    server = Server(slots=1000, fixed=64)
    for _ in range(50):
        server.pace.slow_down()
    assert server.pace.limit == 32
    server.run_windows()
    server.pace.slow_down()
    assert server.pace.limit == 16


def test_the_concurrency_recovers_quickly_to_three_quarters_and_slowly_from_there() -> None:
    # servers also return 429 now and then without being full; one in fifty calls must not slow the run down
    server = Server(slots=1000, fixed=64)
    server.pace.slow_down()
    assert server.run_windows(5) == [32, 48, 51, 54, 57]
    assert server.run_windows(4)[-1] == 64


def test_a_concurrency_of_one_grows_again() -> None:
    server = Server(slots=1000, fixed=2)
    server.pace.slow_down()
    assert server.run_windows(3)[-1] == 2


def test_a_rejected_call_ends_the_doubling() -> None:
    server = Server(slots=1000)
    server.run_windows(2)
    server.pace.slow_down()
    assert server.pace.limit == 32
    # quickly to three quarters of 64, then slowly, without doubling
    assert server.run_windows(4) == [32, 48, 51, 54]


def test_replies_at_the_same_time_do_not_cause_a_division_by_zero() -> None:
    pace = Pace(clock=Clock())
    for _ in range(16):
        pace.reply()
    assert pace.limit == 32


def test_spaced_calls_never_exceed_the_limit_in_any_minute() -> None:
    clock = Clock()
    spacing = Spacing(30, clock=clock)
    # all calls are ready to start at the same time
    starts = [clock() + spacing.reserve_start() for _ in range(100)]
    assert starts[:3] == [starts[0], starts[0] + 2.0, starts[0] + 4.0]
    assert max(sum(start <= later < start + 60 for later in starts) for start in starts) == 30


def test_unused_start_times_are_not_saved_up() -> None:
    clock = Clock()
    spacing = Spacing(60, clock=clock)
    assert spacing.reserve_start() == 0.0
    clock.now += 100.0
    assert [spacing.reserve_start() for _ in range(3)] == [0.0, 1.0, 2.0]


async def test_a_call_that_waits_for_its_start_time_stops_waiting_when_the_run_ends() -> None:
    spacing, stop = Spacing(0.01), asyncio.Event()
    await spacing.wait(stop)
    waiting = asyncio.create_task(spacing.wait(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(waiting, 5)


def test_a_model_without_a_rate_limit_has_no_spacing() -> None:
    assert spacing_of(object()) is None
