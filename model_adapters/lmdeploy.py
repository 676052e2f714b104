"""LMDeploy, started, watched and stopped by us: `lmdeploy:internlm/Intern-S1`, `lmdeploy:/folder/of/weights`."""

from __future__ import annotations

from pathlib import Path

from evals.model_adapters.common.launch import Engine
from evals.model_adapters.common.served import Served, make

OPTIONS = ("results", "trust_remote_code", "gpu_check")
ENGINE = Engine(
    name="lmdeploy",
    package="lmdeploy",
    command=(
        *("lmdeploy", "serve", "api_server", "{model}", "--model-name", "{name}"),
        *("--server-name", "{host}", "--server-port", "{port}"),
    ),
    options={
        "tensor_parallel": ("--tp", "{value}"),
        "context": ("--session-len", "{value}"),
        "parser": ("--reasoning-parser", "{value}"),
        "trust_remote_code": ("--trust-remote-code",),
    },
    port=23333,
    thinking="enable_thinking",
)


def model(
    rest: str,
    *,
    results: Path = Path("results"),
    trust_remote_code: bool = False,
    gpu_check: bool = True,
) -> Served:
    """Make `lmdeploy:NAME`; raises UsageError where it cannot run here."""
    return make(ENGINE, rest, results=results, trust_remote_code=trust_remote_code, gpu_check=gpu_check)
