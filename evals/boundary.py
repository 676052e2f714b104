"""The one boundary around code and files of others: plug-ins, parsers of hostile bytes, foreign libraries.

>>> with foreign_code(ValueError):
...     {}["odd"]
Traceback (most recent call last):
    ...
ValueError: KeyError: 'odd'

Whatever such code raises becomes one error of ours, with the original as its cause; errors of ours, interrupts and
cancellations pass as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from evals.errors import EvalsError


class foreign_code:  # noqa: N801 - used like a function, as contextlib's are
    """A context in which foreign code runs; `error` makes an error of ours of what it raises, put into a line of text."""

    __slots__ = ("_error", "_passing")

    def __init__(
        self, error: Callable[[str], Exception], *, passing: tuple[type[Exception], ...] = (EvalsError,)
    ) -> None:
        """`passing`: what passes as it is."""
        self._error, self._passing = error, passing

    def __enter__(self) -> None:
        """Enter the boundary."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._passing):
            raise self._error(described(error)) from error


def described(error: BaseException) -> str:
    """Return an exception's type and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
