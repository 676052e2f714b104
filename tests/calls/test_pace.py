"""How many calls at once, with a clock of our own."""

from __future__ import annotations

import asyncio

import pytest

from evals.calls.pace import INITIAL_LIMIT, Pace, Spacing, spacing_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Answers at a rate that does not grow beyond `slots` calls at once; `feed` plays whole windows."""

    def __init__(self, slots: int, *, fixed: int | None = None, most: int = 1024) -> None:
        self.slots = slots
        self.clock = Clock()
        self.pace = Pace(fixed=fixed, max_limit=most, clock=self.clock)

    def feed(self, windows: int = 1) -> list[int]:
        seen = []
        for _ in range(windows):
            for _ in range(self.pace.limit):
                self.clock.now += 1.0 / min(self.pace.limit, self.slots)
                self.pace.reply()
            seen.append(self.pace.limit)
        return seen


def test_it_doubles_while_that_pays_and_then_rests() -> None:
    server = Server(slots=100)
    assert server.pace.limit == INITIAL_LIMIT == 16
    assert server.feed(6) == [32, 64, 128, 256, 256, 256]  # 128 brought more than 64, 256 no more than 128


def test_it_never_exceeds_what_the_model_can_take() -> None:
    assert max(Server(slots=1000, most=40).feed(6)) == 40
    assert Server(slots=1000, most=4).pace.limit == 4


def test_a_given_number_is_where_it_starts_and_its_ceiling() -> None:
    server = Server(slots=1000, fixed=24)
    assert server.pace.limit == 24
    assert set(server.feed(10)) == {24}
    assert Pace(fixed=100, max_limit=8).limit == 8


@pytest.mark.parametrize(("before", "after"), [(24, 12), (1, 1), (3, 1)])
def test_slow_down_halves(before: int, after: int) -> None:
    pace = Pace(fixed=before, clock=Clock())
    pace.slow_down()
    assert pace.limit == after


def test_a_burst_of_refusals_halves_once_a_window() -> None:
    server = Server(slots=1000, fixed=64)
    for _ in range(50):
        server.pace.slow_down()
    assert server.pace.limit == 32
    server.feed()
    server.pace.slow_down()
    assert server.pace.limit == 16


def test_it_comes_back_quickly_to_three_quarters_and_slowly_from_there() -> None:
    # servers that are not full say 429 now and then too: one in fifty must not cost the run its pace
    server = Server(slots=1000, fixed=64)
    server.pace.slow_down()
    assert server.feed(5) == [32, 48, 51, 54, 57]
    assert server.feed(4)[-1] == 64


def test_from_one_it_comes_back_by_one() -> None:
    server = Server(slots=1000, fixed=2)
    server.pace.slow_down()
    assert server.feed(3)[-1] == 2


def test_a_refusal_ends_the_search_for_more() -> None:
    server = Server(slots=1000)
    server.feed(2)
    server.pace.slow_down()
    assert server.pace.limit == 32
    assert server.feed(4) == [
        32,
        48,
        51,
        54,
    ]  # back to three quarters of where it was refused, then no doubling


def test_replies_without_any_time_between_them_are_no_division_by_nought() -> None:
    pace = Pace(clock=Clock())
    for _ in range(16):
        pace.reply()
    assert pace.limit == 32


def test_a_beat_starts_no_more_calls_in_any_minute_than_it_may() -> None:
    clock = Clock()
    spacing = Spacing(30, clock=clock)
    starts = [clock() + spacing.reserve_start() for _ in range(100)]  # all want to start at once
    assert starts[:3] == [starts[0], starts[0] + 2.0, starts[0] + 4.0]
    assert max(sum(start <= other < start + 60 for other in starts) for start in starts) == 30


def test_a_beat_saves_nothing_up_while_nobody_asks() -> None:
    clock = Clock()
    spacing = Spacing(60, clock=clock)
    assert spacing.reserve_start() == 0.0
    clock.now += 100.0
    assert [spacing.reserve_start() for _ in range(3)] == [0.0, 1.0, 2.0]


async def test_who_waits_for_a_beat_leaves_when_the_run_ends() -> None:
    spacing, stop = Spacing(0.01), asyncio.Event()
    await spacing.wait(stop)
    waiting = asyncio.create_task(spacing.wait(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(waiting, 5)


def test_only_a_model_whose_vendor_counts_has_a_beat() -> None:
    assert spacing_of(object()) is None
