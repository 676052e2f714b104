"""A model with predefined replies: `scripted:TEXT`, `scripted:list=FILE`, `scripted:call=module:function`.

It can be used to try out a suite without a model, and in tests. The reply is a fixed string, the next one of a list of
strings (used cyclically), or what a sync or async function of the prompt returns, a string or a Reply; it may also raise
an error.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import msgspec

from evals import disk
from evals.errors import ModelError, UsageError
from evals.types import Prompt, Reply, Sampling, Usage
from evals.validation import cause

ScriptFunction: TypeAlias = Callable[[Prompt], str | Reply | Awaitable[str | Reply]]
Script: TypeAlias = str | Sequence[str] | ScriptFunction


class Scripted:
    """Returns predefined replies; each word counts as an output token."""

    accepts = frozenset({"image", "time_series", "structure"})

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self.name = name
        self.calls = 0
        self._script = script

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the next reply; raises ModelError if a function returns neither a text nor a Reply."""
        script, index = self._script, self.calls
        self.calls += 1
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        if callable(script):
            result = script(prompt)
            output = await result if inspect.isawaitable(result) else result
        else:
            output = script if isinstance(script, str) else script[index % len(script)]
        if isinstance(output, Reply):
            return output
        if not isinstance(output, str):
            raise ModelError(
                f"{self.name}: the function returned {type(output).__name__}, not the text of a reply"
            )
        return Reply(text=output, usage=Usage(input=0, output=len(output.split())), model=self.name)

    async def close(self) -> None:
        """Nothing to release."""


def model(rest: str) -> Scripted:
    """Return the model `scripted:...`; raises UsageError if the file or the function does not exist."""
    kind, equals, value = rest.partition("=")
    if equals and kind == "list":
        return Scripted(_read_texts(Path(value)))
    if equals and kind == "call":
        return Scripted(_import_function(value))
    return Scripted(rest)


def _read_texts(path: Path) -> list[str]:
    try:
        texts = msgspec.json.decode(disk.read_small(path), type=list[str])
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"scripted:list={path}: not a JSON list of strings ({cause(error)})") from None
    if not texts:
        raise UsageError(f"scripted:list={path}: the list is empty")
    return texts


def _import_function(spec: str) -> ScriptFunction:
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", spec):
        raise UsageError(f"scripted:call={spec}: write scripted:call=MODULE:FUNCTION")
    name, _, attribute = spec.partition(":")
    try:
        function: ScriptFunction = getattr(import_module(name), attribute)
    except ModuleNotFoundError as error:
        is_missing = error.name == name.split(".")[0]  # not a module that it imports
        hint = "; add the module's folder to PYTHONPATH" if is_missing else ""
        raise UsageError(f"scripted:call={spec}: {error}{hint}") from None
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(f"scripted:call={spec}: {error}") from None
    if not callable(function):
        raise UsageError(f"scripted:call={spec}: not a function")
    return function
