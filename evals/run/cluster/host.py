"""The node's side of a replica: a process with one model, which answers the requests of the driver (the `evals run` process).

Messages between the two are bytes, carried by Ray (`ray_replicas.py`) or over a WebSocket (`slurm/node.py`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Awaitable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from evals import load
from evals.boundary import foreign_code
from evals.calls.call import call_model
from evals.data import media
from evals.errors import EvalsError, Gone, ModelError, UsageError
from evals.run.cluster.multi_node import FollowerGroup
from evals.run.cluster.queue import (
    POLL_S,
    RemoteError,
    ReplicaInfo,
    ReplicaRequest,
    ReplicaResponse,
    RequestBatch,
)
from evals.seams import HasStartup, notes_of, slots_of

LINGER_S = 0.005
"""Responses that are ready within this time share one message."""
_encode = msgspec.msgpack.Encoder().encode
_decode_requests = msgspec.msgpack.Decoder(RequestBatch).decode


class ReplicaHost:
    """A replica on a node: one model that answers concurrent requests."""

    def __init__(self, spec: str, options: Mapping[str, Any], *, nodes: int = 1, gpus: int = 0) -> None:
        """`nodes`: number of nodes that the replica spans; `gpus`: number of GPUs on all of them together."""
        self._folder = Path(tempfile.mkdtemp(prefix="evals-replica-"))
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._image_uses = Counter[str]()
        """SHA-256 of an image -> number of calls in progress that use it; the stored image is removed with the last."""
        self._responses: list[ReplicaResponse] = []
        self._has_responses = asyncio.Event()
        self._fault = ""
        self._start_number = 0
        self._sent_notes: set[str] = set()
        """The model's notes that have been sent to the driver."""
        self._is_closing = False
        self._followers = FollowerGroup(spec, options, nodes=nodes, gpus=gpus) if nodes > 1 else None
        try:
            self._model = load.model(spec, results=self._folder, **options)
        except EvalsError as error:  # reported by `info`, since Ray would wrap it in a traceback
            self._fault = str(error)

    async def info(self) -> bytes:
        """Return an encoded `ReplicaInfo`, which states a fault if the model cannot run."""
        info = ReplicaInfo(node=socket.gethostname(), version=version("science-evals"), fault=self._fault)
        if self._fault:
            return _encode(info)
        model, notes = self._model, notes_of(self._model)
        self._sent_notes.update(notes)
        capabilities = {"accepts": model.accepts, "slots": slots_of(model), "notes": notes}
        return _encode(replace(info, name=model.name, **capabilities))

    async def start(self) -> tuple[int, bytes]:
        """Cancel all requests and wait until the model is ready; return the number of this start, and the result of `info`."""
        self._start_number += 1
        for task in self._tasks.values():
            task.cancel()
        self._tasks, self._responses = {}, []
        self._has_responses.set()  # ends `receive` calls of an earlier start
        try:
            if not self._fault and isinstance(self._model, HasStartup) and (waiting := self._model.ready()):
                await self._wait_for_server(waiting)
        except EvalsError as error:
            self._fault = str(error)
        return self._start_number, await self.info()

    async def _wait_for_server(self, waiting: Awaitable[None]) -> None:
        """Wait for the model's server; raises UsageError as soon as a rank of the server on another node ends."""
        if self._followers is None:
            await waiting
            return
        ready = asyncio.ensure_future(waiting)
        first_end = asyncio.ensure_future(self._followers.wait_for_first_end())
        try:
            await asyncio.wait({ready, first_end}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise UsageError(first_end.result())
            await ready
        except EvalsError:
            await self.close()
            raise
        first_end.add_done_callback(lambda _: self._exit())

    def _exit(self) -> None:
        """Exit the process after the loss of a node, so that Ray restarts the whole replica."""
        if not self._is_closing:
            os._exit(1)

    async def send(self, raw: bytes) -> None:
        """Start new requests, and cancel those that the driver has cancelled."""
        message = _decode_requests(raw)
        for request in message.requests:
            self._tasks[request.number] = asyncio.get_running_loop().create_task(self._answer(request))
        for number in message.cancelled:  # may include one of these requests
            if task := self._tasks.pop(number, None):
                task.cancel()

    async def _answer(self, request: ReplicaRequest) -> None:
        """Call the model, and add its reply or error to the responses unless the request has been cancelled."""
        self._image_uses.update(request.images.keys())
        try:
            with foreign_code(ModelError):  # including a full disk
                for raw in request.images.values():
                    media.store_image(self._folder, raw)
                outcome: Any = await call_model(self._model, request.prompt, request.sampling)
        except EvalsError as error:
            if isinstance(error, Gone) and self._followers is not None:
                self._exit()
            outcome = RemoteError.of(error)
        finally:
            self._image_uses.subtract(request.images.keys())
            for digest in request.images:
                if not self._image_uses[digest]:
                    del self._image_uses[digest]
                    (self._folder / digest).unlink(missing_ok=True)
        if self._tasks.pop(request.number, None) is not None:
            self._responses.append(ReplicaResponse(request.number, outcome, self._take_new_notes()))
            self._has_responses.set()

    def _take_new_notes(self) -> tuple[str, ...]:
        """Return the model's notes that have not been sent yet, and mark them as sent."""
        new_notes = tuple(note for note in notes_of(self._model) if note not in self._sent_notes)
        self._sent_notes.update(new_notes)
        return new_notes

    async def receive(self, start: int) -> bytes:
        """Return the responses that are ready; wait up to `POLL_S` for the first, and then `LINGER_S` for others.

        `start`: the number that `start` returned to the caller; after a later start, there are no responses.
        """
        if not self._responses:
            self._has_responses.clear()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._has_responses.wait()
                await asyncio.sleep(LINGER_S)
            except TimeoutError:
                pass
        if start != self._start_number:
            return _encode([])  # the responses belong to a later start
        responses, self._responses = self._responses, []
        return _encode(responses)

    async def close(self) -> None:
        """Stop the model, and its server if it has launched one."""
        self._is_closing = True
        if self._followers is not None:
            await self._followers.close()
        if not self._fault:
            await self._model.close()
