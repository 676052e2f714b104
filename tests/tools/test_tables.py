"""A table of cases fails with every case that fails, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tables import table


def failures(error: ExceptionGroup[Exception]) -> list[str]:
    return [note for one in error.exceptions for note in one.__notes__]


def test_every_failing_case_is_named_and_all_run() -> None:
    ran: list[int] = []

    @table("number", range(4), ids="abcd")
    def odd(number: int) -> None:
        ran.append(number)
        assert number % 2

    with pytest.raises(ExceptionGroup, match="2 of 4 cases failed: a, c") as caught:
        odd()
    assert ran == [0, 1, 2, 3]
    assert failures(caught.value) == ["case: a", "case: c"]


async def test_of_coroutines_too() -> None:
    @table(("one", "other"), [(1, 1), pytest.param(1, 2)])
    async def same(one: int, other: int) -> None:
        assert one == other

    with pytest.raises(ExceptionGroup, match=r"1 of 2 cases failed: \[1\] 1-2"):
        await same()


def test_a_failure_of_pytest_counts_and_an_interrupt_ends_the_test() -> None:
    @table("error", [pytest.fail.Exception("no"), KeyError("x"), KeyboardInterrupt()])
    def breaks(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyboardInterrupt):
        breaks()

    @table("error", [pytest.fail.Exception("no"), KeyError("x")])
    def fails(error: BaseException) -> None:
        raise error

    with pytest.raises(ExceptionGroup, match="2 of 2 cases failed"):
        fails()


@table("name", ["a", "b"])
@table("number", [1, 2])
def test_fixtures_are_passed_on(tmp_path: Path, name: str, number: int) -> None:
    path = tmp_path / f"{name}{number}"
    assert not path.exists()
    path.touch()


def test_a_table_without_rows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without rows"):
        table("number", [])
