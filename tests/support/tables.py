"""Many cases in one test: thousands of small cases take more time in pytest than in the code under test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import pytest

MAX_TRACEBACKS = 20
"""Maximum number of failures with a traceback; the others are only named."""
TestFunction = Callable[..., Any]


class _Outcomes:
    """Outcomes of the cases so far; as a context manager, records that of the case named last."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failures: list[tuple[str, Exception]] = []
        self.skipped: list[str] = []

    def case(self, case: str) -> _Outcomes:
        """Name the next case."""
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

    def finish(self) -> None:
        """Fail if a case failed; otherwise skip if one was skipped."""
        if self.failures:
            names = ", ".join(name for name, _ in self.failures)
            errors = [error for _, error in self.failures[:MAX_TRACEBACKS]]
            raise ExceptionGroup(f"{len(self.failures)} of {len(self.names)} cases failed: {names}", errors)
        if self.skipped:
            pytest.skip(
                f"{len(self.skipped)} of {len(self.names)} cases were skipped, the others pass: {self.skipped[0]}"
            )


def table(
    names: str | Sequence[str],
    rows: Iterable[Any],
    *,
    ids: Callable[[Any], object] | Iterable[str] | None = None,
) -> Callable[[TestFunction], TestFunction]:
    """Like `pytest.mark.parametrize`, but within one test: all cases run, and those that fail are named.

    The cases share the test's fixtures and must not change them.
    """
    fields = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = [_values(row, len(fields)) for row in rows]
    if not cases:
        raise ValueError(f"a table without rows: {names}")
    if ids is None or callable(ids):
        label_of = ids or (lambda value: f"{value!r:.80}")
        labels = [
            f"[{number}] {'-'.join(str(label_of(value)) for value in values)}"
            for number, values in enumerate(cases)
        ]
    else:
        labels = [str(label) for label in ids]

    def decorate(test: TestFunction) -> TestFunction:
        signature = inspect.signature(test)
        fixtures_only = [parameter for name, parameter in signature.parameters.items() if name not in fields]

        @wraps(test)
        def run_all(**fixtures: Any) -> None:
            outcomes = _Outcomes()
            for label, values in zip(labels, cases, strict=True):
                with outcomes.case(label):
                    test(**fixtures, **dict(zip(fields, values, strict=True)))
            outcomes.finish()

        @wraps(test)
        async def run_all_async(**fixtures: Any) -> None:
            outcomes = _Outcomes()
            for label, values in zip(labels, cases, strict=True):
                with outcomes.case(label):
                    await test(**fixtures, **dict(zip(fields, values, strict=True)))
            outcomes.finish()

        wrapper: Any = run_all_async if inspect.iscoroutinefunction(test) else run_all
        wrapper.__signature__ = signature.replace(parameters=fixtures_only)
        return wrapper  # type: ignore[no-any-return]

    return decorate


def _values(row: Any, count: int) -> tuple[Any, ...]:
    if isinstance(row, type(pytest.param())):
        if row.marks:
            raise ValueError(f"a row of a table has no marks: {row}")
        return tuple(row.values)
    return (row,) if count == 1 else tuple(row)
