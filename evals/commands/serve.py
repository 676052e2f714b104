"""`evals serve`: start an inference server, for other tools or for several commands."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.commands.common import note
from evals.errors import UsageError

if TYPE_CHECKING:
    from evals.model_adapters.common.server_process import ServerProcess


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("model")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ENGINE OPTIONS...]")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: a free port.")
@click.option("--log", type=common.FILE, help="Log file of the server; default: ./ENGINE.log.")
@click.option("--no-gpu-check", is_flag=True, help="Do not check this machine's GPUs first.")
@click.option("--trust-remote-code", is_flag=True, help="Run code from the model's repository.")
def serve(
    model: str,
    arguments: tuple[str, ...],
    port: int | None,
    log: Path | None,
    trust_remote_code: bool,
    no_gpu_check: bool,
) -> int:
    """Start vllm:, lmdeploy: or sglang:NAME, print its URL once it is ready, and keep it running until Ctrl-C.

    The server listens on 127.0.0.1 only. While it runs, `evals run -m MODEL` uses it instead of starting another server.
    """
    from msgspec import structs

    from evals import load
    from evals.model_adapters.common import launch, server_process

    other_adapters = {form.rstrip(":") for form in load.model_name_forms()} - launch.ENGINES
    if model.partition(":")[0] in other_adapters:
        raise UsageError(f"{model} has no server to start; expected a vllm:, lmdeploy: or sglang: model")
    spec = load.model(model, trust_remote_code=trust_remote_code, gpu_check=not no_gpu_check).spec  # type: ignore[attr-defined]
    if port and not server_process.is_free(port):
        raise UsageError(f"--port {port} is taken")
    launch.refuse_secrets(arguments)
    spec = structs.replace(spec, arguments=(*spec.arguments, *arguments))
    process = server_process.ServerProcess(spec, log or Path(f"{spec.engine.name}.log"), port=port)
    note(f"{spec.engine.name}: starting {spec.name} (log: {process.log}); Ctrl-C stops it")
    _keep_running(process)
    return 130


def _keep_running(process: ServerProcess) -> None:
    from evals.model_adapters.common import registry

    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        process.abort_start()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    try:
        process.start()
        entry = registry.register(process.spec, process.url)
        try:
            click.echo(f"{process.url}#{process.spec.name}")
            while process.alive and not stopping.wait(0.5):
                pass
        finally:
            entry.unlink(missing_ok=True)
        if not stopping.is_set():
            raise UsageError(process.describe_end("died"))
    except UsageError:
        if not stopping.is_set():
            raise
    finally:
        process.stop()
