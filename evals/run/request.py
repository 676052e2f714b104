"""A request for runs: the class that declares every option, with its bounds, its help text and its section of the help.

`RunRequest` defines the options of `evals run`, the keys of a request file (`nightly.toml`, with hyphens or underscores),
the keyword arguments of `evals.evaluate`, and their documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, structs

from evals import disk
from evals.errors import UnknownName, UsageError
from evals.records import mirror
from evals.run.request_extras import option_from_table
from evals.validation import cause

TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", list: "a list of strings"}
Count = Annotated[int, Meta(gt=0)]
Positive = Annotated[float, Meta(gt=0)]


def _option(group: str, text: str, metavar: str = "", *, advanced: bool = False) -> Meta:
    """Return the metadata of an option. `group`: section of the help; `advanced`: whether only `--help-all` lists it."""
    return Meta(description=text, extra={"group": group, "metavar": metavar, "advanced": advanced})


GROUPS = ("What to run", "Sampling", "Speed", "Limits", "Judge", "Output", "Early stopping", "Cluster")
"""Sections of the help."""
_what, _sampling, _speed, _limits, _judge, _output, _stopping, _cluster = (
    partial(_option, group) for group in GROUPS
)


class RunRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The options of `evals run`."""

    suites: Annotated[list[str], _what("Suites, e.g. `gpqa:diamond`.")] = []
    models: Annotated[
        list[str], _what("Model to run; repeat for several models, which run side by side.", "ADAPTER:NAME")
    ] = []
    protocol: Annotated[str | None, _what("Prompts and scoring; default: the suite's first protocol.")] = None
    data: Annotated[
        Path | None, _what("Local mirror: a folder with a subfolder per suite, or one suite's file.")
    ] = None
    sample: Annotated[bool, _what("Use the bundled sample items instead of the benchmark.")] = False
    limit: Annotated[Count | None, _what("Number of items: a seeded random subset, stratified by group.")] = (
        None
    )
    sample_id: Annotated[
        list[str], _what("Run only this item; repeat for several.", "ID", advanced=True)
    ] = []
    dry_run: Annotated[bool, _what("Show the planned calls with tokens, cost and time; call no model.")] = (
        False
    )
    repeats: Annotated[Count | None, _what("Number of replies per item.")] = None
    shots: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _what("Few-shot examples, if the protocol has any.", "N", advanced=True),
    ] = None
    data_hash: Annotated[
        str | None, _what("Accept data with this hash instead of the pinned one.", "HEX", advanced=True)
    ] = None
    max_pixels: Annotated[Count | None, _what("Scale down images with more pixels.", "N", advanced=True)] = (
        None
    )

    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | None,
        _sampling("Sampling temperature; default: the protocol's."),
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None, _sampling("Nucleus sampling threshold.", advanced=True)
    ] = None
    max_tokens: Annotated[Count | None, _sampling("Maximum length of reply and reasoning.")] = None
    thinking: Annotated[bool | None, _sampling("Switch reasoning on or off, if the server supports it.")] = (
        None
    )
    seed: Annotated[Annotated[int, Meta(ge=0)], _sampling("Seed for subset and sampling.")] = 0
    system: Annotated[str | None, _sampling("System prompt for every request.", "TEXT", advanced=True)] = None
    extra_body: Annotated[
        str | None,
        _sampling("Additional body fields for every request, e.g. '{\"top_k\": 20}'.", "JSON", advanced=True),
    ] = None
    header: Annotated[
        list[str],
        _sampling(
            "Additional header for every request, its value taken from an environment variable; repeat for several.",
            "NAME=ENV_VARIABLE",
            advanced=True,
        ),
    ] = []
    recommended: Annotated[
        bool,
        _sampling(
            "Use the sampling recommended by the model's developers even if the protocol specifies its own.",
            advanced=True,
        ),
    ] = False

    concurrency: Annotated[
        Count | None, _speed("Initial and maximum number of concurrent calls per model.")
    ] = None
    timeout: Annotated[Positive | None, _speed("Timeout per call.", "S")] = None
    one_model_at_a_time: Annotated[
        bool, _speed("Run several models one after the other instead of side by side.", advanced=True)
    ] = False
    batch: Annotated[
        bool, _speed("Use the batch endpoint (openai:, anthropic:): half the price, within a day.")
    ] = False

    strict_health: Annotated[bool, _limits("End the run as soon as a health check fails.", advanced=True)] = (
        False
    )
    max_cost: Annotated[
        Positive | None, _limits("Stop when all models together have cost this much.", "USD")
    ] = None
    max_total_tokens: Annotated[
        Count | None, _limits("Stop when all models together have used this many tokens.")
    ] = None
    price: Annotated[
        str | None,
        _limits("USD per million tokens; default: the model profile's.", "IN,OUT[,CACHED]", advanced=True),
    ] = None

    judge: Annotated[str | None, _judge("Judge model, for protocols that use one.", "ADAPTER:NAME")] = None
    judge_price: Annotated[
        str | None, _judge("USD per million tokens of the judge model.", "IN,OUT[,CACHED]", advanced=True)
    ] = None

    results: Annotated[Path, _output("Folder for the runs.", "DIR")] = Path("results")
    run: Annotated[str | None, _output("Name of the run to create or resume.", "ID")] = None
    fresh: Annotated[bool, _output("Start a new run even if an identical one exists.")] = False
    trust_remote_code: Annotated[bool, _what("Run code from the model's repository.", advanced=True)] = False

    no_gpu_check: Annotated[
        bool, _what("Start an inference server without checking the GPUs first.", advanced=True)
    ] = False

    against: Annotated[str | None, _stopping("Baseline for --until-decided.", "RUN|FILE", advanced=True)] = (
        None
    )
    policy: Annotated[
        Path | None, _stopping("Policy for --until-decided; see `evals gate`.", "FILE", advanced=True)
    ] = None
    until_decided: Annotated[
        bool, _stopping("Run items in random order, and stop once the gate has decided.", advanced=True)
    ] = False

    promise: Annotated[
        Path | None,
        _stopping("Preregistration (`evals gate promise`) to store on the card.", "FILE", advanced=True),
    ] = None

    cluster: Annotated[
        str | None,
        _cluster(
            "Run replicas of the model on a cluster: `ray`, ray://HOST:PORT, or `slurm`.",
            "ADDRESS",
            advanced=True,
        ),
    ] = None
    replicas: Annotated[
        Count | None, _cluster("Number of replicas; default: as many as fit (Slurm: 1).", "N", advanced=True)
    ] = None
    gpus: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _cluster("GPUs per replica; default: the model profile's.", "N", advanced=True),
    ] = None
    slurm: Annotated[
        list[str], _cluster("Setting for Slurm jobs; see docs/cluster.md.", "KEY=VALUE", advanced=True)
    ] = []
    detach: Annotated[bool, _cluster("Run this command as a Slurm job.", advanced=True)] = False


class Option(Struct, frozen=True, kw_only=True):
    """One option of a request, for help, documentation and validation."""

    name: str
    type: type
    """`bool`, `int`, `float`, `str`, `Path`, or `list` (of str)."""
    optional: bool
    """Whether the option may be unset (None)."""
    default: Any
    help: str
    group: str
    metavar: str
    advanced: bool
    ge: float | None = None
    gt: float | None = None
    le: float | None = None

    @property
    def flag(self) -> str:
        """Return the name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def bounds(self) -> str:
        """Return the allowed range in words; empty if unrestricted."""
        if self.ge is not None and self.le is not None:
            return f"from {self.ge:g} to {self.le:g}"
        low = f"{self.ge:g} or more" if self.ge is not None else ""
        low = f"above {self.gt:g}" if self.gt is not None else low
        return f"{low} and at most {self.le:g}" if low and self.le is not None else low


@cache
def options() -> dict[str, Option]:
    """Return all options of a request by name, in the order of the help."""
    hints = get_type_hints(RunRequest, include_extras=True)
    fields = structs.fields(RunRequest)
    return {field.name: _make_option(field.name, hints[field.name], field) for field in fields}


def _make_option(name: str, hint: Any, field: structs.FieldInfo) -> Option:
    kind, metas = _unwrap(hint)
    extra: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    for meta in metas:
        extra = {**extra, **(meta.extra or {})}
        bounds |= {bound: v for bound in ("ge", "gt", "le") if (v := getattr(meta, bound)) is not None}
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return Option(
        name=name,
        type=kind,
        optional=default is None,
        default=default,
        help=next(meta.description for meta in metas if meta.description),
        group=extra["group"],
        metavar=extra["metavar"],
        advanced=extra["advanced"],
        **bounds,
    )


def _unwrap(hint: Any) -> tuple[type, list[Meta]]:
    """Return the bare type of an annotated field, and its metadata, the innermost first."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        kind, inner_metas = _unwrap(inner)
        return kind, [*inner_metas, *(meta for meta in metas if isinstance(meta, Meta))]
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (member for member in get_args(hint) if member is not NoneType)
        return _unwrap(inner)
    return get_origin(hint) or hint, []


def make_request(settings: Mapping[str, Any], *, source: str = "") -> RunRequest:
    """Return a request with these settings; raises UsageError with a one-line message.

    `source`: file from which the settings were read; empty for a command line or a call.
    """
    declared = options()
    values: dict[str, Any] = {}
    for key, value in settings.items():
        name = key.replace("-", "_")
        if name not in declared:
            raise UnknownName("key" if source else "option", key, declared, source=source)
        if name in values:
            raise UsageError(
                f"{f'{source}: ' if source else ''}{key} is set twice, with hyphens and with underscores"
            )
        values[name] = _convert(declared[name], value, source)
    return RunRequest(**values)


def _convert(option: Option, value: Any, source: str) -> Any:
    """Return a setting in the type of its option; raises UsageError for a wrong type or a value out of bounds."""
    name = f"{source}: {option.name}" if source else option.flag
    if value is None and option.optional:
        return None
    if option.type is list and isinstance(value, str):
        value = [value]
    if option.type is Path and isinstance(value, str | Path):
        return mirror.writable_folder(value) if option.name == "results" else Path(value)
    if isinstance(value, dict):
        value = option_from_table(option.name, value)
    if option.type is float and type(value) is int:
        value = float(value)
    if option.type is list and isinstance(value, Sequence):
        value = list(value)
    if not _has_type(option, value):
        raise UsageError(f"{name} must be {TYPE_NAMES.get(option.type, 'text')}, got {value!r}")
    if isinstance(value, int | float) and not (isfinite(value) and _in_bounds(option, value)):
        bounds = "finite" if _in_bounds(option, value) else option.bounds
        raise UsageError(f"{name} must be {bounds}, got {value}")
    return value


def _has_type(option: Option, value: Any) -> bool:
    if option.type is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return type(value) is option.type


def _in_bounds(option: Option, value: float) -> bool:
    return (
        (option.ge is None or value >= option.ge)
        and (option.gt is None or value > option.gt)
        and (option.le is None or value <= option.le)
    )


def read_settings(path: Path) -> dict[str, Any]:
    """Return the unchecked settings of a request file; raises UsageError with a one-line message."""
    try:
        text = disk.read_small(path).removeprefix(disk.BOM).decode()
        return msgspec.toml.decode(text, type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error)}") from None


def is_sweep(settings: Mapping[str, Any]) -> bool:
    """Return whether the settings of a request file define a sweep; see `evals/run/sweep.py`."""
    return "sweep" in settings or "protocols" in settings or isinstance(settings.get("repeats"), list)


def read_request(path: Path) -> RunRequest:
    """Return the request in a file; raises UsageError with a one-line message."""
    request = make_request(read_settings(path), source=str(path))
    if not request.suites:
        raise UsageError(f"{path} names no suites")
    return request


def changed_options(request: RunRequest) -> dict[str, Any]:
    """Return the values of those options of a request that differ from their defaults, by name."""
    values = ((option, getattr(request, name)) for name, option in options().items())
    return {option.name: value for option, value in values if value != option.default}
