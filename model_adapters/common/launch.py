"""Command line and checks of an inference server started on this machine: vLLM, LMDeploy or SGLang.

Each adapter's module describes its engine with an `Engine`. All functions block and need no event loop, so that `evals run`,
`evals serve` and the replicas of a cluster can use them. Environment variables:

    EVALS_ENGINE_PYTHON   Python interpreter of the engine; default: this one
    EVALS_ENGINE_ARGS     additional options for the engine's command line
    EVALS_ENGINE_START_S  seconds until the server must be ready

Set by `evals/run/cluster/` for replicas on a cluster:

    EVALS_ENGINE_GPUS     number of GPUs, instead of the profile's
    EVALS_ENGINE_NODES    number of nodes; one rank of the server runs on each
    EVALS_ENGINE_RANK     rank on this node; rank 0 (the default) receives the requests
    EVALS_ENGINE_MASTER   HOST:PORT at which the ranks connect to each other
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from evals import checkpoints, gpus, profiles
from evals.calls.secrets import secret_argument
from evals.errors import UsageError
from evals.plain import plain
from evals.profiles import Profile
from evals.validation import cause

START_TIMEOUT_S = 3600.0
HOST = "127.0.0.1"
TRUST_REMOTE_CODE = "--trust-remote-code"
"""Engine option that runs code from the weights' repository."""

ENGINES = frozenset({"vllm", "lmdeploy", "sglang"})
"""Adapters that start a server."""


class Engine(Struct, frozen=True, kw_only=True):
    """One inference server."""

    name: str
    package: str
    """Package that the engine's Python must be able to import."""
    command: tuple[str, ...]
    """Arguments of `python -m`, with {model}, {name}, {host} and {port}."""
    options: dict[str, tuple[str, ...]]
    """Option (tensor_parallel, expert_parallel, context, parser, trust_remote_code) -> arguments, with {value}."""
    port: int
    """Default port."""
    multi_node: tuple[str, ...] = ()
    """Arguments for several nodes, with {nodes}, {rank}, {address} and {master_port}; empty: not supported."""
    follower_command: tuple[str, ...] = ()
    """Command on all nodes but the first; empty: `command`."""
    health: str = "/health"
    thinking: str = "chat_template_kwargs.enable_thinking"
    """Request field that switches reasoning on and off; a profile may name another."""
    environment: dict[str, str] = {}


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """Specification of a server to start."""

    engine: Engine
    model: str
    """Hub id or folder."""
    profile: Profile | None = None
    python: str = ""
    """Interpreter; empty: this one."""
    arguments: tuple[str, ...] = ()
    """The user's options for the engine."""
    trust_remote_code: bool = False
    start_timeout_s: float = START_TIMEOUT_S
    gpus: int = 0
    """Number of GPUs over all nodes; 0: the profile's number."""
    nodes: int = 1
    rank: int = 0
    master: str = ""
    """`nodes`, `rank`, `master`: see the variables EVALS_ENGINE_NODES, _RANK and _MASTER."""

    @property
    def folder(self) -> Path | None:
        """Return the folder with the weights; None for a hub id."""
        return profiles.local_folder(self.model)

    @property
    def is_official(self) -> bool:
        """Return whether the weights come from the developers' hub repository, the first name in the profile.

        A folder's name proves nothing, and other names in the profile may belong to anybody on the hub.
        """
        if self.folder is not None or self.profile is None:
            return False
        return self.model.lower() == self.profile.names[0].lower()

    @property
    def identity(self) -> str:
        """Return the identity of the weights: the resolved folder, or the hub id."""
        return str(self.folder.resolve()) if self.folder else self.model

    @property
    def name(self) -> str:
        """Return the name under which the model is served."""
        return self.folder.resolve().name if self.folder else self.model


def launch_spec(
    engine: Engine, model: str, profile: Profile | None, *, trust_remote_code: bool = False
) -> LaunchSpec:
    """Return the specification of a server, with settings from the environment; raises UsageError."""
    options = os.environ.get("EVALS_ENGINE_ARGS", "")
    try:
        arguments = tuple(shlex.split(options))
    except ValueError as error:
        raise UsageError(f"EVALS_ENGINE_ARGS cannot be split into words: {error}") from None
    refuse_secrets(arguments)
    return LaunchSpec(
        engine=engine,
        model=model,
        profile=profile,
        python=os.environ.get("EVALS_ENGINE_PYTHON", ""),
        arguments=arguments,
        trust_remote_code=trust_remote_code,
        start_timeout_s=_start_timeout_s(),
        gpus=_read_integer("EVALS_ENGINE_GPUS", 0),
        nodes=_read_integer("EVALS_ENGINE_NODES", 1),
        rank=_read_integer("EVALS_ENGINE_RANK", 0),
        master=os.environ.get("EVALS_ENGINE_MASTER", ""),
    )


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Raise UsageError for options that contain a secret, which the process list, log, card and bundles would show."""
    if name := secret_argument(arguments):
        raise UsageError(
            f"{name} among the engine's options: the process list, the card and the log would show it; pass secrets in "
            "the environment (HF_TOKEN for weights); a server on 127.0.0.1 needs no key"
        )


def _start_timeout_s() -> float:
    text = os.environ.get("EVALS_ENGINE_START_S") or str(START_TIMEOUT_S)
    with suppress(ValueError):
        if (seconds := float(text)) > 0:  # false for NaN
            return seconds
    raise UsageError(f"EVALS_ENGINE_START_S={text}: not a number of seconds")


def _read_integer(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal():
        raise UsageError(f"{variable}={text}: not a whole number")
    return int(text)


def check(spec: LaunchSpec, *, gpu_check: bool = True) -> str:
    """Raise UsageError if the server cannot be started here; return a warning, empty if there is none.

    GPUs that can hold the weights but differ from the recommended ones cause a warning.
    """
    engine, folder = spec.engine, spec.folder
    refusal, warning = _check_gpus(spec) if gpu_check else ("", "")
    if refusal:
        raise UsageError(refusal)
    if spec.master and not engine.multi_node:
        raise UsageError(f"{engine.name}:{spec.model}: only vllm: and sglang: can span several nodes")
    if spec.master and not spec.rank < spec.nodes:
        raise UsageError(
            f"EVALS_ENGINE_RANK={spec.rank} must be below EVALS_ENGINE_NODES={spec.nodes}: ranks start at 0"
        )
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{engine.name}:{spec.model}: no such folder")
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"{engine.name}:{spec.model}: no weights there (config.json is missing)")
    if folder is None and spec.model.startswith(("http:", "https:")):
        raise UsageError(
            f"{engine.name}: starts a server from weights; for a running server, write server:{spec.model}"
        )
    if folder is None and spec.model.count("/") != 1:
        raise UsageError(
            f"{engine.name}:{spec.model}: write ORGANISATION/NAME as on the hub, or a folder (./NAME)"
        )
    version(engine, spec.python)  # raises if the engine is not installed
    return warning


def _check_gpus(spec: LaunchSpec) -> tuple[str, str]:
    """Return why the GPUs cannot hold the model, and a warning; each is empty if there is none."""
    if spec.profile is None:
        return "", ""
    folder = checkpoints.checkpoint_folder(spec.model)
    size = checkpoints.estimate_size(folder, context=spec.profile.serve_context) if folder else None
    return gpus.check_gpus(spec.profile, gpus.visible_gpus() * spec.nodes, size)


def version(engine: Engine, python: str = "") -> str:
    """Return the name and version of the engine's package; raises UsageError if its Python cannot import it."""
    code = (
        "import importlib.util as u, importlib.metadata as m, sys; p = sys.argv[1]\n"
        "if u.find_spec(p) is None: sys.exit(3)\n"
        "d = m.packages_distributions().get(p, [p]); print(d[0], m.version(d[0]))"
    )
    try:
        completed = subprocess.run(
            [python or sys.executable, "-I", "-c", code, engine.package],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"{python or sys.executable} (EVALS_ENGINE_PYTHON) cannot be run: {cause(error)}"
        ) from None
    if completed.returncode == 3:
        raise UsageError(
            f"{engine.name} is not installed for {python or sys.executable}: pip install {engine.package}, or set "
            "EVALS_ENGINE_PYTHON to the Python that has it"
        )
    if completed.returncode:
        last_line = (completed.stderr.strip().splitlines() or [f"exit status {completed.returncode}"])[-1]
        raise UsageError(
            f"{engine.package} cannot be found by {python or sys.executable}: {plain(last_line)}"
        )
    return completed.stdout.strip()


def command_line(spec: LaunchSpec, *, port: int) -> list[str]:
    """Return the server's command line: the profile's options, then the user's, which take precedence."""
    engine, profile = spec.engine, spec.profile
    placeholders = {"model": spec.folder or spec.model, "name": spec.name, "host": HOST, "port": port}
    template = engine.follower_command if spec.rank and engine.follower_command else engine.command
    arguments = [spec.python or sys.executable, "-m", *(part.format(**placeholders) for part in template)]
    values: dict[str, str] = {}
    flags: tuple[str, ...] = ()
    gpu_count = spec.gpus
    if profile:
        flags = profile.flags.get(engine.name, ())
        if not (spec.trust_remote_code or spec.is_official):
            flags = tuple(flag for flag in flags if flag != TRUST_REMOTE_CODE)
        gpu_count = spec.gpus or _gpu_count(profile, spec.nodes)
        values["expert_parallel"] = str(gpu_count) if profile.expert_parallel else ""
        values["context"] = str(profile.serve_context or "")
        values["parser"] = profile.parser.get(engine.name, "")
    values["tensor_parallel"] = str(gpu_count) if gpu_count > 1 else ""
    if spec.trust_remote_code and TRUST_REMOTE_CODE not in flags:
        values["trust_remote_code"] = "yes"
    for option, value in values.items():
        arguments += [part.format(value=value) for part in engine.options.get(option, ()) if value]
    return [*arguments, *flags, *_multi_node_arguments(spec), *spec.arguments]


def _multi_node_arguments(spec: LaunchSpec) -> list[str]:
    if not spec.master:
        return []
    address, _, master_port = spec.master.rpartition(":")
    placeholders = {"nodes": spec.nodes, "rank": spec.rank, "address": address, "master_port": master_port}
    return [part.format(**placeholders) for part in spec.engine.multi_node]


def _gpu_count(profile: Profile, nodes: int) -> int:
    """Return the number of GPUs for a model: the profile's, but at most those available."""
    try:
        available = gpus.visible_gpus()
    except UsageError:  # reported by the GPU check, unless it was switched off
        available = []
    kind = available[0].kind if available else ""
    required = profile.gpus.get(kind) or profile.tensor_parallel or max(profile.gpus.values(), default=1)
    return min(required, nodes * len(available)) if available else required
