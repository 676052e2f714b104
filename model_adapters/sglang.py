"""SGLang, started, watched and stopped by us: `sglang:internlm/Intern-S1`, `sglang:/folder/of/weights`."""

from __future__ import annotations

from pathlib import Path

from evals.model_adapters.common.launch import Engine
from evals.model_adapters.common.served import Served, make

OPTIONS = ("results", "trust_remote_code", "gpu_check")
ENGINE = Engine(
    name="sglang",
    package="sglang",
    command=(
        *("sglang.launch_server", "--model-path", "{model}", "--served-model-name", "{name}"),
        *("--host", "{host}", "--port", "{port}"),
    ),
    options={
        "tensor_parallel": ("--tp", "{value}"),
        "expert_parallel": ("--ep", "{value}"),
        "context": ("--context-length", "{value}"),
        "parser": ("--reasoning-parser", "{value}"),
        "trust_remote_code": ("--trust-remote-code",),
    },
    port=30000,
    span=("--nnodes", "{nodes}", "--node-rank", "{rank}", "--dist-init-addr", "{address}:{meeting}"),
)


def model(
    rest: str,
    *,
    results: Path = Path("results"),
    trust_remote_code: bool = False,
    gpu_check: bool = True,
) -> Served:
    """Make `sglang:NAME`; raises UsageError where it cannot run here."""
    return make(ENGINE, rest, results=results, trust_remote_code=trust_remote_code, gpu_check=gpu_check)
