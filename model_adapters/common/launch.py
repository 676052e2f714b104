"""Starts an inference server on this machine's GPUs, watches it, and stops it on every way out.

What differs between vLLM, LMDeploy and SGLang is a table (`Engine`), one per adapter's file; the rest is here. Blocking
calls and no event loop, so that anything may use it: `evals run`, `evals serve`, a replica on a cluster's node.

    EVALS_ENGINE_PYTHON   the Python that runs the engine, where that is not this one
    EVALS_ENGINE_ARGS     further options of its command line
    EVALS_ENGINE_START_S  seconds in which it must serve

and, for a replica on a cluster, set by what starts it there (`evals/run/cluster/ray_replicas.py`, `evals/run/cluster/multi_node.py`):

    EVALS_ENGINE_GPUS     GPUs that it shares the model over, in the place of what the profile says
    EVALS_ENGINE_NODES    nodes like this one that they are on; a part of the server runs on each
    EVALS_ENGINE_RANK     which of them this one is; 0, which answers, where nobody says
    EVALS_ENGINE_MASTER   HOST:PORT at which part 0 meets the others
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from evals import checkpoints, gpus, profiles
from evals.errors import UsageError
from evals.profiles import Profile

START_S = 3600.0
HOST = "127.0.0.1"
SECRET = frozenset(
    {"key", "keys", "token", "secret", "password", "passwd", "credential", "credentials", "pat"}
)
"""Words at the end of an option's name, or in a variable's, whose value is a secret."""
TRUST = "--trust-remote-code"
"""Has an engine run the code that comes with weights."""


ENGINES = frozenset({"vllm", "lmdeploy", "sglang"})
"""Adapters that start a server."""


class Engine(Struct, frozen=True, kw_only=True):
    """What is peculiar to one inference server; `options` are templates of its command line."""

    name: str
    package: str
    """What its Python must be able to import."""
    command: tuple[str, ...]
    """After `python -m`, with {model}, {name}, {host} and {port}."""
    options: dict[str, tuple[str, ...]]
    """tensor_parallel, expert_parallel, context, parser, trust_remote_code -> options, with {value}."""
    port: int
    """On which it serves where nobody says otherwise."""
    span: tuple[str, ...] = ()
    """Options of each of several nodes, with {nodes}, {rank}, {address} and {meeting}; empty: it has none."""
    follower: tuple[str, ...] = ()
    """The command on all nodes but the first, where it is another one."""
    health: str = "/health"
    thinking: str = "chat_template_kwargs.enable_thinking"
    """The field of a request that switches reasoning, where no profile says otherwise."""
    environment: dict[str, str] = {}


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """One server to start."""

    engine: Engine
    model: str
    """A hub id, or a folder."""
    profile: Profile | None = None
    python: str = ""
    """Empty: this one."""
    arguments: tuple[str, ...] = ()
    trust_remote_code: bool = False
    start_s: float = START_S
    gpus: int = 0
    """On all nodes together; 0: as the profile says."""
    nodes: int = 1
    rank: int = 0
    master: str = ""

    @property
    def folder(self) -> Path | None:
        """Return the folder of weights, where the model is one."""
        return profiles.located(self.model)

    @property
    def of_makers(self) -> bool:
        """Whether the weights come from the repository of the profile's makers; a folder's name proves nothing."""
        names = {name.lower() for name in self.profile.names} if self.profile else set()
        return self.folder is None and self.model.lower() in names

    @property
    def identity(self) -> str:
        """Return what tells these weights from others: the resolved folder, or the hub id."""
        return str(self.folder.resolve()) if self.folder else self.model

    @property
    def name(self) -> str:
        """Return the name that it serves under."""
        return self.folder.resolve().name if self.folder else self.model


def spec_of(
    engine: Engine, model: str, profile: Profile | None, *, trust_remote_code: bool = False
) -> LaunchSpec:
    """Read the user's environment; raises UsageError."""
    options = os.environ.get("EVALS_ENGINE_ARGS", "")
    try:
        arguments = tuple(shlex.split(options))
    except ValueError as error:
        raise UsageError(f"EVALS_ENGINE_ARGS cannot be split into words: {error}") from None
    without_secrets(arguments)
    return LaunchSpec(
        engine=engine,
        model=model,
        profile=profile,
        python=os.environ.get("EVALS_ENGINE_PYTHON", ""),
        arguments=arguments,
        trust_remote_code=trust_remote_code,
        start_s=_start_s(),
        gpus=_whole("EVALS_ENGINE_GPUS", 0),
        nodes=_whole("EVALS_ENGINE_NODES", 1),
        rank=_whole("EVALS_ENGINE_RANK", 0),
        master=os.environ.get("EVALS_ENGINE_MASTER", ""),
    )


def without_secrets(arguments: Sequence[str]) -> None:
    """Refuse options that hold a secret: they would stand in the process list, the log, the card and bundles."""
    for word in arguments:
        name = word.partition("=")[0]
        if name.startswith("-") and re.split(r"[-_]", name.lower())[-1] in SECRET:
            raise UsageError(
                f"{name}: others could read its value in the process list, and it would be kept in the card and the log; "
                "pass secrets in the environment (HF_TOKEN for weights); a server on 127.0.0.1 needs no key"
            )


def _start_s() -> float:
    text = os.environ.get("EVALS_ENGINE_START_S") or str(START_S)
    with suppress(ValueError):
        if (seconds := float(text)) > 0:  # which NaN is not
            return seconds
    raise UsageError(f"EVALS_ENGINE_START_S={text}: not a number of seconds")


def _whole(variable: str, usual: int) -> int:
    word = os.environ.get(variable) or str(usual)
    if not word.isdecimal():
        raise UsageError(f"{variable}: {word!r} is no number")
    return int(word)


def check(spec: LaunchSpec, *, gpu_check: bool = True) -> str:
    """Refuse what cannot be started here, the GPUs first; raises UsageError, one line.

    Return what to warn of: GPUs that its makers would not use, and that its weights fit on. `gpu_check`: whether to look.
    """
    engine, folder = spec.engine, spec.folder
    refusal, warning = _gpu_verdict(spec) if gpu_check else ("", "")
    if refusal:
        raise UsageError(refusal)
    if spec.master and not engine.span:
        raise UsageError(f"{engine.name}:{spec.model}: over several nodes go vllm: and sglang: only")
    if spec.master and not spec.rank < spec.nodes:
        raise UsageError(
            f"EVALS_ENGINE_RANK {spec.rank} of EVALS_ENGINE_NODES {spec.nodes}: ranks begin with 0"
        )
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{engine.name}:{spec.model}: there is no such folder")
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"{engine.name}:{spec.model}: no weights lie there (it has no config.json)")
    if folder is None and spec.model.count("/") != 1:
        raise UsageError(
            f"{engine.name}:{spec.model}: write ORGANISATION/NAME as on the hub, or a folder (./NAME)"
        )
    version(engine, spec.python)
    return warning


def _gpu_verdict(spec: LaunchSpec) -> tuple[str, str]:
    if spec.profile is None:
        return "", ""
    folder = checkpoints.folder_of(spec.model)
    size = checkpoints.size(folder, context=spec.profile.serve_context) if folder else None
    return gpus.verdict(spec.profile, gpus.found() * spec.nodes, size)


def version(engine: Engine, python: str = "") -> str:
    """Return the version of the engine's package; raises UsageError where its Python cannot import it."""
    code = (
        "import importlib.util as u, importlib.metadata as m, sys; p = sys.argv[1]\n"
        "if u.find_spec(p) is None: sys.exit(3)\n"
        "d = m.packages_distributions().get(p, [p]); print(d[0], m.version(d[0]))"
    )
    try:
        done = subprocess.run(
            [python or sys.executable, "-I", "-c", code, engine.package],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"EVALS_ENGINE_PYTHON={python}: it cannot be run ({error})") from None
    if done.returncode == 3:
        raise UsageError(
            f"{engine.name} is not installed for {python or sys.executable}: pip install {engine.package}, or name "
            "the Python that has it in EVALS_ENGINE_PYTHON"
        )
    return done.stdout.strip() or engine.package


def command(spec: LaunchSpec, *, port: int) -> list[str]:
    """Write the server's command line: from the profile first, then the user's own, which win."""
    engine, profile = spec.engine, spec.profile
    facts = {
        "model": str(spec.folder or spec.model),
        "name": spec.name,
        "host": HOST,
        "port": str(port),
    }
    begins = engine.follower if spec.rank and engine.follower else engine.command
    words = [spec.python or sys.executable, "-m", *(part.format(**facts) for part in begins)]
    values: dict[str, str] = {}
    flags: tuple[str, ...] = ()
    share = spec.gpus
    if profile:
        flags = profile.flags.get(engine.name, ())
        if not (spec.trust_remote_code or spec.of_makers):
            flags = tuple(flag for flag in flags if flag != TRUST)
        share = spec.gpus or _shared_over(profile, spec.nodes)
        values["expert_parallel"] = str(share) if profile.expert_parallel else ""
        values["context"] = str(profile.serve_context or "")
        values["parser"] = profile.parser.get(engine.name, "")
    values["tensor_parallel"] = str(share) if share > 1 else ""
    if spec.trust_remote_code and TRUST not in flags:
        values["trust_remote_code"] = "yes"
    for fact, value in values.items():
        words += [part.format(value=value) for part in engine.options.get(fact, ()) if value]
    return [*words, *flags, *_span(spec), *spec.arguments]


def _span(spec: LaunchSpec) -> list[str]:
    if not spec.master:
        return []
    address, _, meeting = spec.master.rpartition(":")
    facts = {"nodes": spec.nodes, "rank": spec.rank, "address": address, "meeting": meeting}
    return [part.format(**facts) for part in spec.engine.span]


def _shared_over(profile: Profile, nodes: int) -> int:
    """Return how many GPUs share a model: as its makers say, and no more than there are."""
    try:
        here = gpus.found()
    except UsageError:  # they cannot be counted, and nobody wanted them checked
        here = []
    kind = here[0].kind if here else ""
    wanted = profile.gpus.get(kind) or profile.tensor_parallel or max(profile.gpus.values(), default=1)
    return min(wanted, nodes * len(here)) if here else wanted
