"""SGLang, started and stopped by this process: `sglang:internlm/Intern-S1`, `sglang:/folder/of/weights`."""

from __future__ import annotations

from functools import partial

from evals.model_adapters.common.launch import Engine
from evals.model_adapters.common.served import launched_model

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
    multi_node=(
        "--nnodes",
        "{nodes}",
        "--node-rank",
        "{rank}",
        "--dist-init-addr",
        "{address}:{master_port}",
    ),
)
model = partial(launched_model, ENGINE)
"""Return the model `sglang:NAME`; raises UsageError if it cannot run here."""
