"""A timm image classifier in this process: images are classified in batches, on CUDA, MPS or the CPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import structs

from evals.boundary import foreign_code
from evals.data.media import READABLE_FORMATS, payload
from evals.errors import ModelError, Rejected, UsageError
from evals.model_adapters.common.lazy_model import LazyModel
from evals.model_adapters.common.weights import best_device
from evals.scorers.classes import MAX_RANKED, Ranking
from evals.types import Media, Prompt, Reply, Sampling
from evals.vision.network import Network, latency_ms

if TYPE_CHECKING:
    import torch

BATCH_SIZE = 64
"""Images per batch; as many again may be preprocessed in the meantime."""


class PendingImage(NamedTuple):
    """A preprocessed image, and the future of its reply."""

    image: torch.Tensor
    reply: asyncio.Future[Reply]


class LoadedNetwork(NamedTuple):
    """A network on its device."""

    module: Any
    transform: Any
    device: str
    latency_ms: float


class Classifier(LazyModel[LoadedNetwork, PendingImage]):
    """Ranks the classes of one image per call; it accepts no text."""

    accepts: frozenset[str] = frozenset({"classes", "image"})
    slots: int | None = 2 * BATCH_SIZE
    local = True

    def __init__(self, build: Callable[[], Network]) -> None:
        """`build` is called here, to find faults before a run begins, and again for the first image.

        The weights are not kept in between, since the models of a command run one after the other.
        """
        super().__init__()
        network = build()
        self._build = build
        self._network = structs.replace(network, module=None)
        self.name, self.classes = network.name, network.classes
        self.versions = f"weights and preprocessing {network.key[:12]}, timm {version('timm')}"

    def remarks(self, sampling: Sampling) -> list[str]:
        """Return no notes; raises UsageError for any sampling setting except a seed."""
        without_seed = structs.replace(sampling, seed=None)
        if without_seed != Sampling():
            names = [
                f"--{name.replace('_', '-')}"
                for name, value in structs.asdict(without_seed).items()
                if value not in (None, (), {})
            ]
            raise UsageError(
                f"{self.name} is an image classifier and generates no text: remove {', '.join(names)}"
            )
        return []

    @property
    def notes(self) -> list[str]:
        """Return notes on the network, its device and its latency."""
        network, loaded = self._network, self._loaded
        lines = [
            *network.notes,
            f"{network.parameters:,} parameters, weights and preprocessing {network.key[:12]}",
        ]
        if loaded is not None:
            import torch

            device = f"torch {version('torch')} on {loaded.device}"
            threads = f", {torch.get_num_threads()} threads" if loaded.device == "cpu" else ""
            lines.append(f"latency {loaded.latency_ms:.3g} ms for a single image ({device}{threads})")
        return lines

    def _load(self) -> LoadedNetwork:
        import torch

        network = self._build()
        device = best_device(torch)
        with foreign_code(lambda reason: UsageError(f"{self.name}: {reason[:300]}")):
            module = network.module.to(device)
            probe = torch.zeros((1, *network.preprocessing.input_size), device=device)
            return LoadedNetwork(module, network.preprocessing.transform(), device, latency_ms(module, probe))

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Classify the image of a prompt, in a batch with images of other calls; raises Rejected for an unreadable image."""
        loaded = await self.loaded()
        parts = [part for message in prompt.messages for part in message.parts]
        if len(parts) != 1 or not isinstance(parts[0], Media):
            raise Rejected("an image classifier accepts a single image and no text")
        _, raw = await payload(parts[0])
        tensor = await asyncio.to_thread(self._preprocess, raw, loaded)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        return await self._reply_in_batch(PendingImage(tensor, future), loaded)

    def _preprocess(self, raw: bytes, loaded: LoadedNetwork) -> torch.Tensor:
        """Return the network's input, of shape (3, height, width)."""
        from PIL import Image

        with (
            foreign_code(lambda reason: Rejected(f"the image cannot be read: {reason[:200]}")),
            Image.open(BytesIO(raw), formats=READABLE_FORMATS) as picture,
        ):
            self._network.preprocessing.require_size(*picture.size)
            tensor: torch.Tensor = loaded.transform(picture.convert("RGB"))
        return tensor

    def _take_batch(self) -> list[PendingImage]:
        batch, self._pending = self._pending[:BATCH_SIZE], self._pending[BATCH_SIZE:]
        return batch

    async def _compute(
        self, batch: Sequence[PendingImage], loaded: LoadedNetwork
    ) -> Sequence[Reply | ModelError]:
        return await asyncio.to_thread(self._classify, [pending.image for pending in batch], loaded)

    def _classify(self, images: list[torch.Tensor], loaded: LoadedNetwork) -> list[Reply | ModelError]:
        import torch

        start = time.perf_counter()
        with torch.inference_mode():
            logits = loaded.module(torch.stack(images).to(loaded.device)).float().cpu()
        seconds = (time.perf_counter() - start) / len(images)
        return [self._make_reply(row, loaded, seconds) for row in logits]

    def _make_reply(self, logits: torch.Tensor, loaded: LoadedNetwork, seconds: float) -> Reply | ModelError:
        import torch

        if not bool(torch.isfinite(logits).all()):
            return ModelError("the network's outputs are not finite for this image")
        best = logits.softmax(0).topk(min(MAX_RANKED, len(logits)))
        ranking = Ranking(
            classes=tuple(best.indices.tolist()),
            probabilities=tuple(min(1.0, round(value, 6)) for value in best.values.tolist()),
            parameters=self._network.parameters,
            trained=self._network.trained,
            latency_ms=round(loaded.latency_ms, 4),
        )
        return Reply(text=msgspec.json.encode(ranking).decode(), seconds=seconds, model=self.name)
