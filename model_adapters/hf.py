"""transformers in process: `hf:internlm/Intern-S1-mini`, `hf:/folder/of/weights`; on CUDA, MPS or the CPU (extra `hf`).

What waits is batched by length. A batch changes no reply: every row is drawn by its own seed, or greedily. A prompt
that the context cannot hold is refused before anything is computed. Code that comes with weights runs only with
`--trust-remote-code`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evals import profiles
from evals.boundary import foreign_code
from evals.errors import ModelError, UsageError, install
from evals.model_adapters.common.weights import (
    Asked,
    Loaded,
    counted,
    fits,
    generate,
    likelihoods,
    load,
    rendered,
)
from evals.types import Likelihood, Media, Prompt, Reply, Sampling

OPTIONS = ("trust_remote_code",)
BATCH = 16
"""Prompts computed at once; as many again wait, so that there is a choice of like lengths."""
SWITCH = "enable_thinking"
"""The variable of chat templates that switches reasoning, where no profile says otherwise."""


class Transformers:
    """One checkpoint in this process."""

    slots: int | None = 2 * BATCH

    def __init__(
        self, name: str, *, folder: Path | None, takes: frozenset[str], switch: str, trust_remote_code: bool
    ) -> None:
        self.name = folder.resolve().name if folder else name
        self.accepts = takes | {"logprobs"}
        self._source, self._switch, self._trusted = str(folder or name), switch, trust_remote_code
        self._loaded: Loaded | None = None
        self._loading: asyncio.Task[None] | None = None
        self._waiting: list[Asked] = []
        self._batching: asyncio.Task[None] | None = None
        self._computing = asyncio.Lock()

    def ready(self) -> Awaitable[None] | None:
        """None: it can be called. Else what to await before a call: the weights are read."""
        if self._loaded is not None:
            return None
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load())
        return asyncio.shield(self._loading)

    async def _load(self) -> None:
        self._loaded = await asyncio.to_thread(load, self._source, trusted=self._trusted)

    async def _up(self) -> Loaded:
        if (waiting := self.ready()) is not None:
            await waiting
        if self._loaded is None:
            raise ModelError(f"{self.name} was closed")
        return self._loaded

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Answer one prompt, in a batch with what else waits."""
        loaded = await self._up()
        images = await _images(prompt)
        if images and not loaded.sees:
            raise ModelError("this checkpoint takes no images")
        text = rendered(
            loaded, prompt, images, {} if sampling.thinking is None else {self._switch: sampling.thinking}
        )
        length = counted(loaded, text)
        fits(length, loaded.context)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(Asked(text, images, sampling, length, future))
        if self._batching is None or self._batching.done():
            self._batching = asyncio.get_running_loop().create_task(self._batches(loaded))
        return await future

    async def _batches(self, loaded: Loaded) -> None:
        await asyncio.sleep(0.01)  # those that come together go together
        while self._waiting:
            batch = chosen(self._waiting)
            self._waiting = [asked for asked in self._waiting if asked not in batch]
            batch = [asked for asked in batch if not asked.reply.done()]
            if not batch:
                continue
            try:
                with foreign_code(ModelError):
                    async with self._computing:
                        outcomes = await asyncio.to_thread(generate, loaded, batch, name=self.name)
            except ModelError as error:  # whatever torch raises is these calls' failure
                outcomes = [error] * len(batch)
            for asked, outcome in zip(batch, outcomes, strict=True):
                if asked.reply.done():
                    continue
                if isinstance(outcome, Reply):
                    asked.reply.set_result(outcome)
                else:
                    asked.reply.set_exception(outcome)

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        loaded = await self._up()
        async with self._computing:
            return await asyncio.to_thread(likelihoods, loaded, prompt, continuations)

    async def close(self) -> None:
        """Release the memory."""
        for task in (self._batching, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._loaded = None


def chosen(waiting: Sequence[Asked]) -> list[Asked]:
    """Choose a batch around whoever waits longest: of those who may share it, the nearest in length."""
    first = waiting[0]
    alike = sorted(
        (asked for asked in waiting if asked.alike == first.alike), key=lambda a: abs(a.length - first.length)
    )
    return alike[:BATCH]


async def _images(prompt: Prompt) -> list[Any]:
    """Open a prompt's images, in their order."""
    media = [part for message in prompt.messages for part in message.parts if isinstance(part, Media)]
    if not media:
        return []
    from io import BytesIO

    from PIL import Image

    from evals.data.media import payload

    images = []
    for item in media:
        if item.kind != "image":
            raise ModelError(f"this adapter sends no {item.kind}")
        _, raw = await payload(item)
        images.append(Image.open(BytesIO(raw)).convert("RGB"))
    return images


def model(rest: str, *, trust_remote_code: bool = False) -> Transformers:
    """Make `hf:NAME`; raises UsageError without torch or transformers, or where a folder holds no checkpoint."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise UsageError(f"hf:{rest} needs {package}: {install('hf')}")
    profile = profiles.find(f"hf:{rest}")
    folder = profiles.located(rest)
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"hf:{rest}: no checkpoint lies there (it has no config.json)")
    return Transformers(
        profiles.full_name(rest, profile),
        folder=folder,
        takes=profiles.takes(profile, folder),
        switch=(profile.thinking.get("hf") if profile else None) or SWITCH,
        trust_remote_code=trust_remote_code,
    )
