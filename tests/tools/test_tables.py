"""A test decorated with `table` fails if a case fails, and names every failing case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.error_messages import raises
from tests.support.tables import table


def failures(error: ExceptionGroup[Exception]) -> list[str]:
    return [note for failure in error.exceptions for note in failure.__notes__]


def test_all_cases_run_and_every_failing_one_is_named() -> None:
    numbers: list[int] = []

    @table("number", range(4), ids="abcd")
    def check_odd(number: int) -> None:
        numbers.append(number)
        assert number % 2

    with raises(ExceptionGroup) as caught:
        check_odd()
    assert numbers == [0, 1, 2, 3]
    assert failures(caught.value) == ["case: a", "case: c"]


async def test_tables_of_coroutines_run_all_cases() -> None:
    @table(("first", "second"), [(1, 1), pytest.param(1, 2)])
    async def check_equal(first: int, second: int) -> None:
        assert first == second

    with raises(ExceptionGroup):
        await check_equal()


def test_pytest_fail_counts_as_a_failure_and_a_keyboard_interrupt_is_raised() -> None:
    @table("error", [pytest.fail.Exception("no"), KeyError("x"), KeyboardInterrupt()])
    def interrupted(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    @table("error", [pytest.fail.Exception("no"), KeyError("x")])
    def failing(error: BaseException) -> None:
        raise error

    with raises(ExceptionGroup):
        failing()


@table("name", ["a", "b"])
@table("number", [1, 2])
def test_fixtures_and_stacked_tables_can_be_combined(tmp_path: Path, name: str, number: int) -> None:
    path = tmp_path / f"{name}{number}"
    assert not path.exists()
    path.touch()


def test_a_table_without_rows_is_an_error() -> None:
    with raises(ValueError):
        table("number", [])
