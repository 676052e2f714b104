"""transformers in process: `hf:internlm/Intern-S1-mini`, `hf:/folder/of/weights`; on CUDA, MPS or the CPU (extra `hf`).

`hf:/weights.gguf` unpacks a file of llama.cpp (needs the package gguf): slow, but it can read recorded replies.

Waiting calls are batched by length. A reply does not depend on its batch: each row is sampled with its own seed, or
greedily. A prompt that exceeds the context is rejected before anything is computed. Code from the weights' repository
runs only with `--trust-remote-code`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evals import profiles
from evals.boundary import foreign_code
from evals.errors import ModelError, UsageError, install
from evals.model_adapters.common import reading
from evals.model_adapters.common.loaded_once import LoadedOnce
from evals.model_adapters.common.rules import template_variables
from evals.model_adapters.common.weights import (
    Loaded,
    Pending,
    generate,
    is_gguf,
    likelihoods,
    load,
    render,
    require_fit,
    token_count,
)
from evals.seams import Decoding, TokenReading
from evals.types import Likelihood, Media, Prompt, Reply, Sampling

OPTIONS = ("trust_remote_code",)
BATCH = 16
"""Prompts in a batch; as many again may wait, so that prompts of similar length can be chosen."""
SWITCH = "enable_thinking"
"""Variable of chat templates that switches reasoning; a profile may name another."""


class Transformers(LoadedOnce[Loaded]):
    """One checkpoint in this process."""

    slots: int | None = 2 * BATCH
    local = True

    def __init__(
        self, name: str, *, folder: Path | None, takes: frozenset[str], switch: str, trust_remote_code: bool
    ) -> None:
        self.name = folder.resolve().name if folder else name
        self.accepts = takes | {"logprobs"}
        self._source, self._switch, self._trusted = str(folder or name), switch, trust_remote_code
        self._waiting: list[Pending] = []
        self._batching: asyncio.Task[None] | None = None
        self._computing = asyncio.Lock()

    def _load(self) -> Loaded:
        return load(self._source, trusted=self._trusted)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Answer one prompt, in a batch with other waiting calls."""
        loaded = await self.loaded()
        images = await _images(prompt)
        if images and not loaded.takes_images:
            raise ModelError("this checkpoint does not accept images")
        text = render(
            loaded, prompt, images, {} if sampling.thinking is None else {self._switch: sampling.thinking}
        )
        length = token_count(loaded, text)
        require_fit(length, loaded.context)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(Pending(text, images, sampling, length, future))
        if self._batching is None or self._batching.done():
            self._batching = asyncio.get_running_loop().create_task(self._batches(loaded))
        return await future

    async def _batches(self, loaded: Loaded) -> None:
        await asyncio.sleep(0.01)  # calls made at the same moment share a batch
        while self._waiting:
            batch = chosen(self._waiting)
            self._waiting = [pending for pending in self._waiting if pending not in batch]
            batch = [pending for pending in batch if not pending.reply.done()]
            if not batch:
                continue
            try:
                with foreign_code(ModelError):
                    async with self._computing:
                        outcomes = await asyncio.to_thread(generate, loaded, batch, name=self.name)
            except ModelError as error:  # an error of torch fails all calls of the batch
                outcomes = [error] * len(batch)
            for pending, outcome in zip(batch, outcomes, strict=True):
                if pending.reply.done():
                    continue
                if isinstance(outcome, Reply):
                    pending.reply.set_result(outcome)
                else:
                    pending.reply.set_exception(outcome)

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        loaded = await self.loaded()
        async with self._computing:
            return await asyncio.to_thread(likelihoods, loaded, prompt, continuations)

    def backend(self) -> str:
        """See `ReadsReplies`."""
        return f"transformers {version('transformers')}"

    async def read_replies(
        self, written: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenReading | ModelError]:
        """See `ReadsReplies`."""
        loaded = await self.loaded()
        with foreign_code(ModelError):
            async with self._computing:
                return await asyncio.to_thread(
                    reading.read,
                    loaded,
                    written,
                    decoding,
                    template_variables(sampling, self._switch),
                    stops=bool(sampling.stop),
                )

    async def close(self) -> None:
        """Release the memory."""
        for task in (self._batching, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._loaded = None


def chosen(waiting: Sequence[Pending]) -> list[Pending]:
    """Return the next batch: the call that waits longest, and the nearest in length of those that may share its batch."""
    first = waiting[0]
    candidates = sorted(
        (pending for pending in waiting if pending.batch_key == first.batch_key),
        key=lambda a: abs(a.length - first.length),
    )
    return candidates[:BATCH]


async def _images(prompt: Prompt) -> list[Any]:
    """Return a prompt's images, opened, in order."""
    media = [part for message in prompt.messages for part in message.parts if isinstance(part, Media)]
    if not media:
        return []
    from io import BytesIO

    from PIL import Image

    from evals.data.media import payload

    images = []
    for item in media:
        if item.kind != "image":
            raise ModelError(f"this adapter cannot send a {item.kind}")
        _, raw = await payload(item)
        images.append(Image.open(BytesIO(raw)).convert("RGB"))
    return images


def model(rest: str, *, trust_remote_code: bool = False) -> Transformers:
    """Return the model `hf:NAME`; raises UsageError without torch or transformers, or for a folder without a checkpoint."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise UsageError(f"hf:{rest} needs {package}: {install('hf')}")
    profile = profiles.find(f"hf:{rest}")
    folder = profiles.located(rest)
    if folder is not None and is_gguf(str(folder)):
        return _of_gguf(folder, rest)
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"hf:{rest}: no checkpoint there (config.json is missing)")
    return Transformers(
        profiles.full_name(rest, profile),
        folder=folder,
        takes=profiles.takes(profile, folder),
        switch=(profile.thinking.get("hf") if profile else None) or SWITCH,
        trust_remote_code=trust_remote_code,
    )


def _of_gguf(path: Path, rest: str) -> Transformers:
    if not path.is_file():
        raise UsageError(f"hf:{rest}: no such file")
    for package in ("gguf", "accelerate"):
        if find_spec(package) is None:
            raise UsageError(f"hf:{rest} needs {package} to unpack it: pip install {package}")
    return Transformers(rest, folder=path, takes=frozenset(), switch=SWITCH, trust_remote_code=False)
