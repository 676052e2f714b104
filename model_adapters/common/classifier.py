"""An image classifier of timm in this process: waiting images are classified in batches, on CUDA, MPS or the CPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import structs

from evals.boundary import foreign_code
from evals.data.media import READABLE_FORMATS, payload
from evals.errors import ModelError, Rejected, UsageError
from evals.model_adapters.common.loaded_once import LoadedOnce
from evals.scorers.classes import RANKED, Ranking
from evals.types import Media, Prompt, Reply, Sampling
from evals.vision import network
from evals.vision.network import Network

if TYPE_CHECKING:
    import torch

BATCH = 64
"""Images in a batch; as many again may be read meanwhile."""


class Waiting(NamedTuple):
    """An image whose call waits."""

    image: torch.Tensor
    reply: asyncio.Future[Reply]


class Loaded(NamedTuple):
    """A network on its device."""

    module: Any
    transform: Any
    device: str
    latency_ms: float


class Classifier(LoadedOnce[Loaded]):
    """Ranks the classes of one image per call; it reads no words."""

    accepts: frozenset[str] = frozenset({"classes", "image"})
    slots: int | None = 2 * BATCH
    local = True

    def __init__(self, build: Callable[[], Network]) -> None:
        """`build` is called here, so that faults show before a run begins, and again when the first image comes.

        In between the weights are not kept: the models of a command run one after the other.
        """
        facts = build()
        self._build = build
        self._facts = structs.replace(facts, module=None)
        self.name, self.classes = facts.name, facts.classes
        self.versions = f"weights and preprocessing {facts.key[:12]}, timm {version('timm')}"
        self._waiting: list[Waiting] = []
        self._batching: asyncio.Task[None] | None = None

    def remarks(self, sampling: Sampling) -> list[str]:
        """Return no notes; raises UsageError for settings of text generation."""
        set_by_user = structs.replace(sampling, seed=None)
        if set_by_user != Sampling():
            names = [
                name for name, value in structs.asdict(set_by_user).items() if value not in (None, (), {})
            ]
            raise UsageError(
                f"{self.name} is an image classifier and generates no text: leave out {', '.join(names)}"
            )
        return []

    @property
    def notes(self) -> list[str]:
        """Return what the network is, and where it ran."""
        facts, loaded = self._facts, self._loaded
        lines = [*facts.notes, f"{facts.parameters:,} parameters, weights and preprocessing {facts.key[:12]}"]
        if loaded is not None:
            import torch

            where = f"torch {version('torch')} on {loaded.device}"
            threads = f", {torch.get_num_threads()} threads" if loaded.device == "cpu" else ""
            lines.append(f"latency {loaded.latency_ms:.3g} ms for one image alone ({where}{threads})")
        return lines

    def _load(self) -> Loaded:
        import torch

        made = self._build()
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
        with foreign_code(lambda why: UsageError(f"{self.name}: {why[:300]}")):
            module = made.module.to(device)
            probe = torch.zeros((1, *made.preprocessing.input_size), device=device)
            return Loaded(module, made.preprocessing.transform(), device, network.latency_ms(module, probe))

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Classify the image of a prompt, in a batch with other waiting ones; raises Rejected for one it cannot read."""
        loaded = await self.loaded()
        parts = [part for message in prompt.messages for part in message.parts]
        if len(parts) != 1 or not isinstance(parts[0], Media):
            raise Rejected("an image classifier takes one image, and no text")
        _, raw = await payload(parts[0])
        tensor = await asyncio.to_thread(self._read, raw, loaded)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(tensor, future))
        if self._batching is None or self._batching.done():
            self._batching = asyncio.get_running_loop().create_task(self._batches(loaded))
        return await future

    def _read(self, raw: bytes, loaded: Loaded) -> torch.Tensor:
        """Return the network's input, of shape (3, height, width)."""
        from PIL import Image

        with (
            foreign_code(lambda why: Rejected(f"the image cannot be read: {why[:200]}")),
            Image.open(BytesIO(raw), formats=READABLE_FORMATS) as picture,
        ):
            self._facts.preprocessing.require_size(*picture.size)
            tensor: torch.Tensor = loaded.transform(picture.convert("RGB"))
        return tensor

    async def _batches(self, loaded: Loaded) -> None:
        await asyncio.sleep(0)  # images that were read at the same moment share a batch
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            batch = [waiting for waiting in batch if not waiting.reply.done()]
            if not batch:
                continue
            try:
                with foreign_code(ModelError):
                    replies = await asyncio.to_thread(self._classify, [w.image for w in batch], loaded)
            except ModelError as error:  # an error of torch fails all calls of the batch
                for waiting in batch:
                    _settle(waiting.reply, error)
                continue
            for waiting, reply in zip(batch, replies, strict=True):
                _settle(waiting.reply, reply)

    def _classify(self, images: list[torch.Tensor], loaded: Loaded) -> list[Reply | ModelError]:
        import torch

        start = time.perf_counter()
        with torch.inference_mode():
            logits = loaded.module(torch.stack(images).to(loaded.device)).float().cpu()
        seconds = (time.perf_counter() - start) / len(images)
        return [self._ranked(row, loaded, seconds) for row in logits]

    def _ranked(self, logits: torch.Tensor, loaded: Loaded, seconds: float) -> Reply | ModelError:
        import torch

        if not bool(torch.isfinite(logits).all()):
            return ModelError("the network's outputs are not finite for this image")
        best = logits.softmax(0).topk(min(RANKED, len(logits)))
        ranking = Ranking(
            classes=tuple(best.indices.tolist()),
            probabilities=tuple(min(1.0, round(value, 6)) for value in best.values.tolist()),
            parameters=self._facts.parameters,
            trained=self._facts.trained,
            latency_ms=round(loaded.latency_ms, 4),
        )
        return Reply(text=msgspec.json.encode(ranking).decode(), seconds=seconds, model=self.name)

    async def close(self) -> None:
        """Release the memory."""
        for task in (self._batching, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._loaded = None


def _settle(future: asyncio.Future[Reply], outcome: Reply | ModelError) -> None:
    if future.done():
        return
    if isinstance(outcome, Reply):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
