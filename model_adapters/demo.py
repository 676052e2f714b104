"""Recorded replies to bundled sample items, to try out the harness: `demo:careful` and `demo:careless`.

The replies to the `--sample` items of MMLU-Pro, GPQA, AIME 2025, SMolInstruct NC-I2S and Matbench expt_gap were written for
this project by one model that reasons carefully and one that does not, so that scores, molecules and verdicts differ.
An item is recognised by its text under any protocol; `{{TEXT}}` in a reply is replaced by the letter of that option.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

import evals
from evals.errors import Rejected, UnknownName
from evals.prompts import plain_text
from evals.types import Prompt, Reply, Sampling, Usage

NAMES = ("careful", "careless")
FOLDER = Path(evals.__file__).parent / "demo"
_OPTION_PLACEHOLDER = re.compile(r"\{\{(.+?)\}\}")


class DemoReply(Struct, frozen=True):
    """A reply to one item."""

    asks: tuple[str, ...]
    """Texts that occur in the prompt of this item only."""
    text: str
    reasoning: str | None = None
    stop: Literal["stop", "length", "filter"] = "stop"


@lru_cache
def load_replies(name: str) -> tuple[DemoReply, ...]:
    """Return the recorded replies of a model."""
    lines = (FOLDER / f"{name}.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=DemoReply) for line in lines)


class Demo:
    """Returns recorded replies."""

    accepts: frozenset[str] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name
        self._replies = load_replies(name)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the recorded reply to this item; raises Rejected if none was recorded."""
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        text = "\n".join(plain_text(message.parts) for message in prompt.messages) + "\n"
        recording = next(
            (candidate for candidate in self._replies if all(part in text for part in candidate.asks)), None
        )
        if recording is None:
            raise Rejected(
                f"demo:{self.name} only has replies to the --sample items of mmlu-pro, gpqa, aime:2025, "
                "smolinstruct:NC-I2S and matbench:expt_gap"
            )
        answer = _OPTION_PLACEHOLDER.sub(lambda match: _find_letter(match[1], text), recording.text)
        reasoning_words = len((recording.reasoning or "").split())
        usage = Usage(
            input=len(text.split()),
            output=len(answer.split()) + reasoning_words,
            reasoning=reasoning_words or None,
        )
        return Reply(
            text=answer, reasoning=recording.reasoning, stop=recording.stop, usage=usage, model=self.name
        )

    async def close(self) -> None:
        """Nothing to release."""


def _find_letter(option: str, text: str) -> str:
    """Return the letter of an option in a prompt; the last one, as few-shot examples may precede the question."""
    letters = re.findall(rf"(?m)^\(?([A-Z])[).:]\s*{re.escape(option)}\s*$", text)
    if not letters:
        raise Rejected(f"the prompt does not list the option {option!r}")
    return str(letters[-1])


def model(rest: str) -> Demo:
    """Return the model `demo:NAME`; raises UnknownName for an unknown name."""
    if rest not in NAMES:
        raise UnknownName("recording", rest, NAMES)
    return Demo(rest)
