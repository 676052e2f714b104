"""A model that calls a sync or async function with the prompt's text or messages."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import perf_counter

from evals.errors import ModelError
from evals.prompts import plain_text
from evals.types import Prompt, Reply, Sampling

MAX_CONCURRENT = 16
"""Maximum number of concurrent calls of a sync function, each in a thread."""


class Function:
    """Replies with what a function returns; an exception becomes the failure of that call."""

    accepts: frozenset[str] = frozenset()

    def __init__(self, function: Callable[..., str | Awaitable[str]]) -> None:
        function_name = getattr(function, "__name__", "") or type(function).__name__
        self.name = "function" if function_name == "<lambda>" else function_name
        self._function = function
        self._takes_messages = "messages" in _parameter_names(function)
        call_method = type(function).__call__
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call_method)
        self.slots: int | None = None if self._is_async else MAX_CONCURRENT

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Call the function once; raises ModelError if it returns no text."""
        messages = [{"role": m.role, "content": plain_text(m.parts)} for m in prompt.messages]
        argument = (
            messages if self._takes_messages else "\n\n".join(message["content"] for message in messages)
        )
        started = perf_counter()
        result = (
            self._function(argument) if self._is_async else await asyncio.to_thread(self._function, argument)
        )
        text = await result if inspect.isawaitable(result) else result
        if not isinstance(text, str):
            raise ModelError(f"{self.name} returned {type(text).__name__}, not the text of a reply")
        return Reply(text=text, stop="stop", seconds=perf_counter() - started, model=self.name)

    async def close(self) -> None:
        """Nothing to release."""


def _parameter_names(function: Callable[..., object]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin without a signature
        return ()
