"""A table of cases in one test: thousands of small cases cost more in pytest, one by one, than in the code they test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import pytest

SHOWN = 20
"""Failures shown in full; the others are named."""
Test = Callable[..., Any]


class _Outcomes:
    """What became of the cases so far; as a context manager, of the one that is named next."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failures: list[tuple[str, Exception]] = []
        self.skipped: list[str] = []

    def of(self, case: str) -> _Outcomes:
        """Name the case that comes next."""
        self.names.append(case)
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        case = self.names[-1]
        if isinstance(error, pytest.skip.Exception):
            self.skipped.append(f"{case}: {error}")
        elif isinstance(error, pytest.fail.Exception):  # which an ExceptionGroup cannot hold
            self.failures.append((case, AssertionError(str(error))))
        elif isinstance(error, Exception):
            error.add_note(f"case: {case}")
            self.failures.append((case, error))
        else:
            return False
        return True

    def settle(self) -> None:
        """Fail if a case failed; otherwise skip if one was skipped."""
        if self.failures:
            names = ", ".join(name for name, _ in self.failures)
            shown = [error for _, error in self.failures[:SHOWN]]
            raise ExceptionGroup(f"{len(self.failures)} of {len(self.names)} cases failed: {names}", shown)
        if self.skipped:
            pytest.skip(
                f"{len(self.skipped)} of {len(self.names)} cases were skipped, the others pass: {self.skipped[0]}"
            )


def table(
    names: str | Sequence[str],
    rows: Iterable[Any],
    *,
    ids: Callable[[Any], object] | Iterable[str] | None = None,
) -> Callable[[Test], Test]:
    """Like `pytest.mark.parametrize`, in one test: all cases run, and those that fail are named.

    Fixtures are those of one test: the cases share them, so this is for code without traces in them.
    """
    fields = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = [_values(row, len(fields)) for row in rows]
    if not cases:
        raise ValueError(f"a table without rows: {names}")
    if ids is None or callable(ids):
        words = ids or (lambda value: f"{value!r:.80}")
        labels = [
            f"[{number}] {'-'.join(str(words(value)) for value in values)}"
            for number, values in enumerate(cases)
        ]
    else:
        labels = [str(label) for label in ids]

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        kept = [parameter for name, parameter in signature.parameters.items() if name not in fields]

        @wraps(test)
        def each(**fixtures: Any) -> None:
            outcomes = _Outcomes()
            for label, values in zip(labels, cases, strict=True):
                with outcomes.of(label):
                    test(**fixtures, **dict(zip(fields, values, strict=True)))
            outcomes.settle()

        @wraps(test)
        async def each_async(**fixtures: Any) -> None:
            outcomes = _Outcomes()
            for label, values in zip(labels, cases, strict=True):
                with outcomes.of(label):
                    await test(**fixtures, **dict(zip(fields, values, strict=True)))
            outcomes.settle()

        whole: Any = each_async if inspect.iscoroutinefunction(test) else each
        whole.__signature__ = signature.replace(parameters=kept)
        return whole  # type: ignore[no-any-return]

    return decorate


def _values(row: Any, count: int) -> tuple[Any, ...]:
    if isinstance(row, type(pytest.param())):
        if row.marks:
            raise ValueError(f"a row of a table has no marks: {row}")
        return tuple(row.values)
    return (row,) if count == 1 else tuple(row)
