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
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from evals import checkpoints, disk, gpus, profiles
from evals import peer_environments as peers
from evals.errors import UsageError
from evals.model_adapters.common import watchdog
from evals.model_adapters.common.faults import fault_message
from evals.model_adapters.common.fetch import Refused, fetch, listed
from evals.model_adapters.common.logs import PORT_TAKEN, cause
from evals.profiles import Profile

START_S = 3600.0
GRACE_S = 5.0
"""For a server to end by itself."""
LOG_MOST = 8 << 20
"""Bytes of a log, from its end, that are read for the cause of a death."""
LIFE_S = 600.0
"""For its first call, which may compile what it computes with."""
HOST = "127.0.0.1"
SECRET = frozenset(
    {"key", "keys", "token", "secret", "password", "passwd", "credential", "credentials", "pat"}
)
"""Words at the end of an option's name, or in a variable's, whose value is a secret."""
WEIGHTS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN"})
"""Secrets that an engine needs to fetch weights."""
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


class Order(Struct, frozen=True, kw_only=True):
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
        """Give the folder of weights, where the model is one."""
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
        """Give the name that it serves under."""
        return self.folder.resolve().name if self.folder else self.model


def order(engine: Engine, model: str, profile: Profile | None, *, trust_remote_code: bool = False) -> Order:
    """Read the user's environment; raises UsageError."""
    said = os.environ.get("EVALS_ENGINE_ARGS", "")
    try:
        arguments = tuple(shlex.split(said))
    except ValueError as error:
        raise UsageError(f"EVALS_ENGINE_ARGS cannot be split into words: {error}") from None
    without_secrets(arguments)
    return Order(
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
    said = os.environ.get("EVALS_ENGINE_START_S") or str(START_S)
    with suppress(ValueError):
        if (seconds := float(said)) > 0:  # which NaN is not
            return seconds
    raise UsageError(f"EVALS_ENGINE_START_S={said}: not a number of seconds")


def _whole(variable: str, usual: int) -> int:
    word = os.environ.get(variable) or str(usual)
    if not word.isdecimal():
        raise UsageError(f"{variable}: {word!r} is no number")
    return int(word)


def check(wanted: Order, *, gpu_check: bool = True) -> str:
    """Refuse what cannot be started here, the GPUs first; raises UsageError, one line.

    Return what to warn of: GPUs that its makers would not use, and that its weights fit on. `gpu_check`: whether to look.
    """
    engine, folder = wanted.engine, wanted.folder
    refusal, warning = _gpu_verdict(wanted) if gpu_check else ("", "")
    if refusal:
        raise UsageError(refusal)
    if wanted.master and not engine.span:
        raise UsageError(f"{engine.name}:{wanted.model}: over several nodes go vllm: and sglang: only")
    if wanted.master and not wanted.rank < wanted.nodes:
        raise UsageError(
            f"EVALS_ENGINE_RANK {wanted.rank} of EVALS_ENGINE_NODES {wanted.nodes}: ranks begin with 0"
        )
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{engine.name}:{wanted.model}: there is no such folder")
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"{engine.name}:{wanted.model}: no weights lie there (it has no config.json)")
    if folder is None and wanted.model.count("/") != 1:
        raise UsageError(
            f"{engine.name}:{wanted.model}: write ORGANISATION/NAME as on the hub, or a folder (./NAME)"
        )
    version(engine, wanted.python)
    return warning


def _gpu_verdict(wanted: Order) -> tuple[str, str]:
    if wanted.profile is None:
        return "", ""
    place = checkpoints.folder_of(wanted.model)
    size = checkpoints.size(place, context=wanted.profile.serve_context) if place else None
    return gpus.verdict(wanted.profile, gpus.found() * wanted.nodes, size)


def version(engine: Engine, python: str = "") -> str:
    """Give the version of the engine's package; raises UsageError where its Python cannot import it."""
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


def command(wanted: Order, *, port: int) -> list[str]:
    """Write the server's command line: from the profile first, then the user's own, which win."""
    engine, profile = wanted.engine, wanted.profile
    facts = {
        "model": str(wanted.folder or wanted.model),
        "name": wanted.name,
        "host": HOST,
        "port": str(port),
    }
    begins = engine.follower if wanted.rank and engine.follower else engine.command
    words = [wanted.python or sys.executable, "-m", *(part.format(**facts) for part in begins)]
    values: dict[str, str] = {}
    flags: tuple[str, ...] = ()
    share = wanted.gpus
    if profile:
        flags = profile.flags.get(engine.name, ())
        if not (wanted.trust_remote_code or wanted.of_makers):
            flags = tuple(flag for flag in flags if flag != TRUST)
        share = wanted.gpus or _shared_over(profile, wanted.nodes)
        values["expert_parallel"] = str(share) if profile.expert_parallel else ""
        values["context"] = str(profile.serve_context or "")
        values["parser"] = profile.parser.get(engine.name, "")
    values["tensor_parallel"] = str(share) if share > 1 else ""
    if wanted.trust_remote_code and TRUST not in flags:
        values["trust_remote_code"] = "yes"
    for fact, value in values.items():
        words += [part.format(value=value) for part in engine.options.get(fact, ()) if value]
    return [*words, *flags, *_span(wanted), *wanted.arguments]


def _span(wanted: Order) -> list[str]:
    if not wanted.master:
        return []
    address, _, meeting = wanted.master.rpartition(":")
    facts = {"nodes": wanted.nodes, "rank": wanted.rank, "address": address, "meeting": meeting}
    return [part.format(**facts) for part in wanted.engine.span]


def _shared_over(profile: Profile, nodes: int) -> int:
    """Return how many GPUs share a model: as its makers say, and no more than there are."""
    try:
        here = gpus.found()
    except UsageError:  # they cannot be counted, and nobody wanted them checked
        here = []
    kind = here[0].kind if here else ""
    wanted = profile.gpus.get(kind) or profile.tensor_parallel or max(profile.gpus.values(), default=1)
    return min(wanted, nodes * len(here)) if here else wanted


class Process:
    """A server that was started here; it ends when `stop` is called, and when this process ends in any way."""

    def __init__(self, wanted: Order, log: Path, *, port: int | None = None) -> None:
        self.order, self.log = wanted, log
        self._given = port
        self._take(port or free_port())
        self.context: int | None = None
        """Tokens of prompt and reply, as the server says."""
        self._dog: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._begins = 0

    @property
    def url(self) -> str:
        """Give the base URL of its chat protocol."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._dog is not None and self._dog.poll() is None

    def _take(self, port: int) -> None:
        self.port = port
        self.command = command(self.order, port=port)

    def start(self) -> None:
        """Start it and wait until it answers; raises UsageError with the cause, and leaves nothing running."""
        try:
            self._start()
        except UsageError as error:
            if self._given or PORT_TAKEN not in str(error) or self._stopping.is_set():
                self._stopping.set()
                raise
            self._take(free_port())  # somebody was quicker
            self._start()

    def _start(self) -> None:
        self._spawn()
        with ExitStack() as undo:
            undo.callback(self._end)
            self._until_healthy()
            self._live()
            self.context = models(self.url).get(self.order.name)
            undo.pop_all()

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(disk.create(self.log, append=True), "ab") as stream:
            stream.write(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(self.command)}\n".encode())
            stream.flush()
            self._begins = stream.tell()
            self._dog = subprocess.Popen(
                [sys.executable, "-I", watchdog.__file__, str(GRACE_S), *self.command],
                stdin=subprocess.PIPE, stdout=stream, stderr=stream, start_new_session=True,
                env=_environment(self.order.engine),
            )  # fmt: skip

    def _until_healthy(self) -> None:
        until = time.monotonic() + self.order.start_s
        pause_s = 0.05
        while not self._stopping.wait(pause_s):
            pause_s = min(1.0, 1.2 * pause_s)
            if not self.alive:
                raise UsageError(self.epitaph("ended before it served anything"))
            if _answers(f"http://{HOST}:{self.port}{self.order.engine.health}"):
                return
            if time.monotonic() > until:
                raise UsageError(self.epitaph(f"is not ready after {self.order.start_s:.0f} s"))
        raise UsageError("stopped while it started")

    def _live(self) -> None:
        """Have it say a word, as proof of life; raises UsageError."""
        body = {
            "model": self.order.name,
            "messages": [{"role": "user", "content": "Say yes."}],
            "max_tokens": 1,
        }
        headers = {"Content-Type": "application/json"}
        try:
            fetch(
                f"{self.url}/chat/completions",
                data=msgspec.json.encode(body),
                headers=headers,
                timeout_s=LIFE_S,
            )
        except OSError as error:
            said = str(error)
            if isinstance(error, Refused):
                said = f"HTTP {error.status}: {fault_message(error.body)}"
            if self._dog is not None:  # a call that kills it is answered before it is dead
                with suppress(subprocess.TimeoutExpired):
                    self._dog.wait(GRACE_S)
            if not self.alive:
                raise UsageError(self.epitaph("ended at its first call")) from None
            named = f"{self.order.engine.name}:{self.order.model}"
            raise UsageError(f"{named} is up and cannot answer: {said} (log: {self.log})") from None

    def follow(self) -> str:
        """Run this node's share of a server that answers elsewhere, until it ends; says how that was."""
        self._spawn()
        if self._dog is not None:
            self._dog.wait()
        return self.epitaph("ended")

    def epitaph(self, what: str) -> str:
        """Say in one line what became of it, and where its log is."""
        with self.log.open("rb") as stream:
            stream.seek(max(self._begins, self.log.stat().st_size - LOG_MOST))
            why = cause(stream.read().decode(errors="replace"))
        return f"{self.order.engine.name}:{self.order.model} {what}: {why} (log: {self.log})"

    def leave(self) -> None:
        """Break off a `start` that waits, from a signal's handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End it and all that it started; idempotent."""
        self._stopping.set()
        self._end()

    def _end(self) -> None:
        dog = self._dog
        if dog is None:
            return
        _close(dog.stdin)
        with suppress(subprocess.TimeoutExpired):
            dog.wait(GRACE_S + 5.0)
        for _ in range(2):  # the group outlives its watchdog where somebody killed that
            try:
                os.killpg(dog.pid, 9)
            except OSError:
                break
        dog.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            return


def _environment(engine: Engine) -> dict[str, str]:
    """Return what the server needs of our environment: no keys of other services, and nothing that phones home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in WEIGHTS or not (SECRET & set(name.lower().split("_")) or name.startswith("EVALS_"))
    }
    return kept | {"DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"} | engine.environment


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((HOST, port)) != 0


def _answers(url: str) -> bool:
    try:
        fetch(url, timeout_s=5.0)
    except OSError:
        return False
    return True


def models(url: str, *, timeout_s: float = 5.0) -> dict[str, int | None]:
    """Ask a server what it serves: name -> context in tokens, where it says; empty where nobody answers."""
    try:
        found = listed(f"{url}/models", timeout_s=timeout_s)
    except (OSError, ValueError):  # which every fault of msgspec is
        return {}
    return {one.id: one.max_model_len for one in found}


def serving(wanted: Order) -> Entry | None:
    """Return the server that `evals serve` of this user keeps for these very weights, if there is one.

    Whoever else listens on this machine may serve other weights under the same name, or be a stranger: such a server is
    named by its address, `server:URL#NAME`.
    """
    for entry in registered(wanted.engine.name):
        same = entry.identity == wanted.identity and wanted.arguments in ((), entry.arguments)
        if same and wanted.name in models(entry.url, timeout_s=2.0):
            return entry
    return None


class Entry(Struct):
    """A server that `evals serve` keeps."""

    engine: str
    url: str
    pid: int
    identity: str = ""
    """`Order.identity` of what it serves."""
    arguments: tuple[str, ...] = ()
    """The user's own options of the engine."""


def _register() -> Path:
    return peers.cache() / "servers"


def announce(order: Order, url: str) -> Path:
    """Let other commands of this user find a server; give the file to remove in the end."""
    folder = _register()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{os.getpid()}.json"
    entry = Entry(order.engine.name, url, os.getpid(), order.identity, order.arguments)
    path.write_bytes(msgspec.json.encode(entry))
    return path


def registered(engine: str) -> list[Entry]:
    """Return the servers that `evals serve` has announced; what its owner left behind is removed."""
    found = []
    for path in sorted(_register().glob("*.json")):
        try:
            entry = msgspec.json.decode(disk.read_small(path), type=Entry)
            os.kill(entry.pid, 0)
        except (OSError, msgspec.MsgspecError):
            path.unlink(missing_ok=True)
            continue
        if entry.engine == engine and entry.url.startswith(f"http://{HOST}:"):
            found.append(entry)
    return found
