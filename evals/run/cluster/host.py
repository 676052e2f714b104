"""A replica's side of a cluster: one model in a process on a node, which answers the questions of the driver.

Ray (`ray_replicas.py`) and Slurm jobs (`slurm/node.py`) carry its messages, which are bytes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
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
from evals.run.cluster.multi_node import Followers
from evals.run.cluster.queue import POLL_S, Answer, Facts, Fault, Question, Work
from evals.seams import Starting, notes_of, slots_of

LINGER_S = 0.005
"""Answers that arrive within this time share one message."""
_encode = msgspec.msgpack.Encoder().encode
_work = msgspec.msgpack.Decoder(Work).decode


class Host:
    """The replica process on a node: one model that answers concurrent questions. Messages are bytes."""

    def __init__(self, spec: str, options: Mapping[str, Any], *, nodes: int = 1, gpus: int = 0) -> None:
        """`nodes`: that the replica spans; `gpus`: over all of them."""
        self._folder = Path(tempfile.mkdtemp(prefix="evals-replica-"))
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._answers: list[Answer] = []
        self._has_answers = asyncio.Event()
        self._fault = ""
        self._round = 0
        self._sent_notes: set[str] = set()
        """Notes already sent to the driver."""
        self._closing = False
        self._followers = Followers(spec, options, nodes=nodes, gpus=gpus) if nodes > 1 else None
        try:
            self._model = load.model(spec, results=self._folder, **options)
        except EvalsError as error:  # reported by `facts`: Ray would wrap it in a traceback of its own
            self._fault = str(error)

    async def facts(self) -> bytes:
        """Return an encoded `Facts`, with the fault if the model cannot run."""
        here = Facts(where=socket.gethostname(), version=version("science-evals"), fault=self._fault)
        if self._fault:
            return _encode(here)
        model = self._model
        offers = {"slots": slots_of(model), "notes": notes_of(model)}
        self._sent_notes.update(notes_of(model))
        return _encode(replace(here, name=model.name, accepts=model.accepts, **offers))

    async def start(self) -> tuple[int, bytes]:
        """Drop open questions and wait until the model is ready; returns the number of this start and the facts."""
        self._round += 1
        for task in self._asked.values():
            task.cancel()
        self._asked, self._answers = {}, []
        self._has_answers.set()  # wakes `take` calls of an earlier start
        try:
            if not self._fault and isinstance(self._model, Starting) and (waiting := self._model.ready()):
                await self._with_followers(waiting)
        except EvalsError as error:
            self._fault = str(error)
        return self._round, await self.facts()

    async def _with_followers(self, waiting: Awaitable[None]) -> None:
        """Wait for the server, or fail at once if a part on another node ends."""
        if self._followers is None:
            await waiting
            return
        up, ended = asyncio.ensure_future(waiting), asyncio.ensure_future(self._followers.ended())
        try:
            await asyncio.wait({up, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not up.done():
                raise UsageError(ended.result())
            await up
        except EvalsError:
            await self.close()
            raise
        ended.add_done_callback(lambda _: self._leave())

    def _leave(self) -> None:
        """End the process after the loss of a node, so that Ray restarts the whole replica."""
        if not self._closing:
            os._exit(1)

    async def give(self, raw: bytes) -> None:
        """Cancel dropped questions and start new ones."""
        work = _work(raw)
        for number in work.dropped:
            if task := self._asked.pop(number, None):
                task.cancel()
        for question in work.questions:
            self._asked[question.number] = asyncio.get_running_loop().create_task(self._ask(question))

    async def _ask(self, question: Question) -> None:
        try:
            for raw in question.images.values():
                media.store_image(self._folder, raw)
            with foreign_code(ModelError):
                outcome: Any = await call_model(self._model, question.prompt, question.sampling)
        except EvalsError as error:
            if isinstance(error, Gone) and self._followers is not None:
                self._leave()
            outcome = Fault.of(error)
        finally:
            for digest in question.images:
                (self._folder / digest).unlink(missing_ok=True)
        if self._asked.pop(question.number, None) is not None:
            self._answers.append(Answer(question.number, outcome, self._fresh_notes()))
            self._has_answers.set()

    def _fresh_notes(self) -> tuple[str, ...]:
        """Return the model's notes that were not sent yet."""
        fresh = tuple(note for note in notes_of(self._model) if note not in self._sent_notes)
        self._sent_notes.update(fresh)
        return fresh

    async def take(self, start: int) -> bytes:
        """Return the answers so far; waits up to `POLL_S` for the first and `LINGER_S` for others."""
        if not self._answers:
            self._has_answers.clear()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._has_answers.wait()
                await asyncio.sleep(LINGER_S)
            except TimeoutError:
                pass
        if start != self._round:
            return _encode([])  # the answers belong to a later start
        answers, self._answers = self._answers, []
        return _encode(answers)

    async def close(self) -> None:
        """Stop the model, and the server that it launched."""
        self._closing = True
        if self._followers is not None:
            await self._followers.close()
        if not self._fault:
            await self._model.close()
