"""vLLM, started and stopped by this process: `vllm:internlm/Intern-S1-FP8`, `vllm:/folder/of/weights`."""

from __future__ import annotations

from functools import partial

from evals.model_adapters.common.launch import Engine
from evals.model_adapters.common.served import launched_model

OPTIONS = ("results", "trust_remote_code", "gpu_check")
ENGINE = Engine(
    name="vllm",
    package="vllm",
    command=(
        *("vllm.entrypoints.openai.api_server", "--model", "{model}", "--served-model-name", "{name}"),
        *("--host", "{host}", "--port", "{port}"),
    ),
    options={
        "tensor_parallel": ("--tensor-parallel-size", "{value}"),
        "expert_parallel": ("--enable-expert-parallel",),
        "context": ("--max-model-len", "{value}"),
        "parser": ("--reasoning-parser", "{value}"),
        "trust_remote_code": ("--trust-remote-code",),
    },
    port=8000,
    multi_node=(
        *("--nnodes", "{nodes}", "--node-rank", "{rank}", "--master-addr", "{address}"),
        *("--master-port", "{master_port}", "--distributed-executor-backend", "mp"),
    ),
    follower_command=(
        *("vllm.entrypoints.cli.main", "serve", "{model}", "--served-model-name", "{name}"),
        "--headless",
    ),
    environment={"VLLM_NO_USAGE_STATS": "1", "VLLM_ENGINE_READY_TIMEOUT_S": "10000"},
)
"""Run by `python -m`, since `vllm serve` looks up the package's name, which differs in the CPU build."""
model = partial(launched_model, ENGINE)
"""Return the model `vllm:NAME`; raises UsageError if it cannot run here."""
