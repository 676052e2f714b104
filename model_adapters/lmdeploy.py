"""LMDeploy, started and stopped by this process: `lmdeploy:internlm/Intern-S1`, `lmdeploy:/folder/of/weights`."""

from __future__ import annotations

from functools import partial

from evals.model_adapters.common.launch import Engine
from evals.model_adapters.common.served import launched_model

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
model = partial(launched_model, ENGINE)
"""Return the model `lmdeploy:NAME`; raises UsageError if it cannot run here."""
