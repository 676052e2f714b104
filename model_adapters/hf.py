"""Transformers in this process: `hf:internlm/Intern-S1-mini`, `hf:/folder/of/weights`; on CUDA, MPS or the CPU (extra `hf`).

`hf:/weights.gguf` dequantises a llama.cpp file (with the packages gguf and accelerate): slow, but it yields the likelihoods
that `evals board challenge` needs.

Concurrent calls are batched by length. A reply does not depend on its batch: each row is sampled with its own seed, or
greedily. A prompt that exceeds the context is rejected before anything is computed. Code from the weights' repository
runs only with `--trust-remote-code`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

from evals import profiles
from evals.boundary import foreign_code
from evals.errors import ModelError, UsageError, install_command, require_packages
from evals.model_adapters.common import reply_likelihoods
from evals.model_adapters.common.lazy_model import LazyModel
from evals.model_adapters.common.rules import template_variables
from evals.model_adapters.common.weights import (
    Checkpoint,
    PendingCall,
    generate,
    is_gguf,
    likelihoods,
    load,
    render,
    require_fit,
    token_count,
)
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Likelihood, Media, Prompt, Reply, Sampling

OPTIONS = ("trust_remote_code",)
BATCH_SIZE = 16
"""Prompts in a batch; as many again may wait, so that a batch can be formed of prompts of similar length."""
THINKING_VARIABLE = "enable_thinking"
"""Variable of chat templates that switches reasoning on and off; a profile may name another."""


class Transformers(LazyModel[Checkpoint, PendingCall]):
    """A checkpoint in this process."""

    slots: int | None = 2 * BATCH_SIZE
    local = True
    gather_s = 0.01

    def __init__(
        self, name: str, *, folder: Path | None, accepts: frozenset[str], switch: str, trust_remote_code: bool
    ) -> None:
        """`folder`: with the weights; None: `name` is a hub id. `switch`: template variable that switches reasoning on and off."""
        super().__init__()
        self.name = folder.resolve().name if folder else name
        self.accepts = accepts | {"logprobs"}
        self._source, self._switch, self._trusted = str(folder or name), switch, trust_remote_code
        self._compute_lock = asyncio.Lock()

    def _load(self) -> Checkpoint:
        return load(self._source, trusted=self._trusted)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply to one prompt, generated in a batch with other calls; raises a ModelError (see `errors.py`)."""
        loaded = await self.loaded()
        images = await _decode_images(prompt)
        if images and not loaded.takes_images:
            raise ModelError("this checkpoint does not accept images")
        text = render(
            loaded, prompt, images, {} if sampling.thinking is None else {self._switch: sampling.thinking}
        )
        length = token_count(loaded, text)
        require_fit(length, loaded.context)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        return await self._reply_in_batch(PendingCall(text, images, sampling, length, future), loaded)

    def _take_batch(self) -> list[PendingCall]:
        batch = next_batch(self._pending)
        self._pending = [pending for pending in self._pending if pending not in batch]
        return batch

    async def _compute(
        self, batch: Sequence[PendingCall], loaded: Checkpoint
    ) -> Sequence[Reply | ModelError]:
        async with self._compute_lock:
            return await asyncio.to_thread(generate, loaded, batch, name=self.name)

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        loaded = await self.loaded()
        async with self._compute_lock:
            return await asyncio.to_thread(likelihoods, loaded, prompt, continuations)

    def backend(self) -> str:
        """See `SupportsReplyLikelihoods`."""
        return f"transformers {version('transformers')}"

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """See `SupportsReplyLikelihoods`."""
        loaded, cancelled = await self.loaded(), Event()
        with foreign_code(ModelError):
            async with self._compute_lock:
                try:
                    return await asyncio.to_thread(
                        reply_likelihoods.compute,
                        loaded,
                        exchanges,
                        decoding,
                        template_variables(sampling, self._switch),
                        has_stops=bool(sampling.stop),
                        cancelled=cancelled,
                    )
                finally:
                    cancelled.set()


def next_batch(waiting: Sequence[PendingCall]) -> list[PendingCall]:
    """Return the next batch: the call that has waited longest, and the compatible calls that are closest in length."""
    first = waiting[0]
    candidates = sorted(
        (pending for pending in waiting if pending.batch_key == first.batch_key),
        key=lambda pending: abs(pending.length - first.length),
    )
    return candidates[:BATCH_SIZE]


async def _decode_images(prompt: Prompt) -> list[Any]:
    """Return a prompt's decoded images, in order."""
    media = [part for message in prompt.messages for part in message.parts if isinstance(part, Media)]
    if not media:
        return []
    from io import BytesIO

    from PIL import Image

    from evals.data.media import payload

    images = []
    for part in media:
        if part.kind != "image":
            raise ModelError(f"this adapter cannot send a {part.kind}")
        _, raw = await payload(part)
        images.append(Image.open(BytesIO(raw)).convert("RGB"))
    return images


def model(rest: str, *, trust_remote_code: bool = False) -> Transformers:
    """Return the model `hf:NAME`; raises UsageError without torch or transformers, or for a folder without a checkpoint."""
    require_packages(f"hf:{rest}", "torch", "transformers", command=install_command("hf"))
    profile = profiles.find(f"hf:{rest}")
    folder = profiles.local_folder(rest)
    if folder is not None and is_gguf(str(folder)):
        return _gguf_model(folder, rest)
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"hf:{rest}: no checkpoint there (config.json is missing)")
    return Transformers(
        profiles.full_name(rest, profile),
        folder=folder,
        accepts=profiles.accepted_inputs(profile, folder),
        switch=(profile.thinking.get("hf") if profile else None) or THINKING_VARIABLE,
        trust_remote_code=trust_remote_code,
    )


def _gguf_model(path: Path, rest: str) -> Transformers:
    if not path.is_file():
        raise UsageError(f"hf:{rest}: no such file")
    require_packages(f"hf:{rest}", "gguf", "accelerate", command="pip install gguf accelerate")
    return Transformers(
        rest, folder=path, accepts=frozenset(), switch=THINKING_VARIABLE, trust_remote_code=False
    )
