"""Resolve names of suites and models. Only this module imports other modules by name.

`suite` and `model` resolve names given by the user. Names in data (a card, a bundle, a baseline, a policy) are resolved by
`recorded_suite`, since data must not choose code to run.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from evals import model_adapters, plugins, suites
from evals.boundary import foreign_code
from evals.collection import COLLECTIONS
from evals.errors import UnknownName, Untrusted, UsageError
from evals.labels import ProtocolName
from evals.plugins import Listing
from evals.types import Model, Prompter

if TYPE_CHECKING:
    from evals.benchmark import Benchmark
    from evals.data import Data
    from evals.suite import Suite

_PORT = re.compile(r"[0-9]{1,5}(?![0-9a-zA-Z_])")
"""A port after the colon of an address."""
BARE_NAMES = {"smollm2": "llamacpp"}
"""Model -> adapter, for models whose names have no adapter prefix."""

DEFINED_BY_CODE = frozenset({"lm-eval"})
"""Suites, besides plugins, whose variants may contain code."""
_trusts_tasks: ContextVar[bool] = ContextVar("trusts_tasks", default=False)
_named_by_user: set[str] = set()
"""Suites defined by code that the user has named in this process."""


@contextmanager
def trusting_tasks() -> Iterator[None]:
    """Allow data to name tasks and plugins within the context (`--trust-tasks`)."""
    token = _trusts_tasks.set(True)
    try:
        yield
    finally:
        _trusts_tasks.reset(token)


def recorded_suite(spec: str, protocol: str | None = None) -> list[Suite]:
    """Resolve a suite named by data, e.g. by a card.

    Raises Untrusted if it is defined by code (a task of lm-eval, a plugin) and the user has neither named it in this
    process nor passed `--trust-tasks`. Raises UnknownName as `suite` does.
    """
    if spec not in _REGISTERED:
        _require_trust(spec)
    return suite(spec, protocol)


def recorded_benchmark(name: str) -> Benchmark:
    """Return a benchmark named by data; raises the errors of `recorded_suite`."""
    _require_trust(name)
    return benchmark(name.partition(":")[0])


def _require_trust(spec: str) -> None:
    name, _, variant = spec.partition(":")
    requested = resolve_suite_name(name)
    origin = suite_origin(requested)
    if requested not in DEFINED_BY_CODE and origin is None:
        return
    if _trusts_tasks.get() or {requested, f"{requested}:{variant}"} & _named_by_user:
        return
    origin_text = f"a plugin of {origin}" if origin else "a task of lm-eval, which may contain code"
    raise Untrusted(
        f"{spec} is {origin_text}, named by data and not by you; if you trust the origin of the data, add --trust-tasks"
    )


def _record_user_choice(suite: Suite) -> None:
    """Record that the user named a suite defined by code."""
    if suite.name in DEFINED_BY_CODE:
        _named_by_user.add(suite.id)
    elif suite_origin(suite.name):
        _named_by_user.add(suite.name)


def suite_names() -> list[str]:
    """Return the names of all suites, with hyphens; plugins included."""
    return sorted({*_builtin_suites(), *plugins.origins(plugins.SUITES)})


@cache
def _builtin_suites() -> frozenset[str]:
    modules = (module.name for module in pkgutil.iter_modules(suites.__path__))
    return frozenset(name.replace("_", "-") for name in modules if name[0] != "_")


def benchmark(name: str) -> Benchmark:
    """Return the benchmark with this name; raises UnknownName with similar names."""
    from evals.benchmark import benchmark_of

    requested = resolve_suite_name(name)
    origin = suite_origin(requested)
    module = origin.module if origin else f"evals.suites.{requested.replace('-', '_')}"
    return benchmark_of(_import(module, origin), requested)


def suite_origin(name: str) -> plugins.Origin | None:
    """Return the package that defines a suite; None: this project."""
    return None if name in _builtin_suites() else plugins.origins(plugins.SUITES).get(name)


def _import(module: str, origin: plugins.Origin | None) -> ModuleType:
    """Import a module; raises UsageError if a plugin fails."""
    if origin is None:
        return import_module(module)
    with foreign_code(lambda why: UsageError(f"{module}, a plugin of {origin}: {why}"), passing=()):
        return import_module(module)


def resolve_suite_name(name: str) -> str:
    """Return the normalised name of a suite; raises UsageError for the name of a model or a collection, or an unknown name."""
    normalised = name.replace("_", "-").lower()
    if normalised not in _builtin_suites() and normalised not in plugins.origins(plugins.SUITES):
        if {normalised, f"{normalised}:"} & set(model_name_forms()):
            raise UsageError(f"{name!r} is a model, not a suite: write it after -m")
        if (collection := COLLECTIONS.get(normalised)) is not None:
            raise UsageError(f"{name} is a collection; name a suite of it: {collection.suite_list}")
        raise UnknownName("suite", name, [*suite_names(), *COLLECTIONS])
    return normalised


def listing(name: str) -> Listing:
    """Return the summary of a benchmark without importing it.

    This project's summaries are read from `suites/index.json`, which a test compares with the benchmarks, since importing all
    of them takes 300 ms of CPU, too long for shell completion. Raises UsageError for a plugin that defines no suite.
    """
    requested = resolve_suite_name(name)
    origin = suite_origin(requested)
    if origin is not None:
        return plugins.listing(origin.module)
    if (summary := _read_index().get(requested)) is not None:
        return summary
    from evals.benchmark import make_listing

    return make_listing(benchmark(requested))  # not in the index yet


def item_counts() -> dict[str, int]:
    """Return the known numbers of items by name: of each `suite:variant`, and of each suite over its default variants."""
    counts = dict[str, int]()
    for name in suite_names():
        summary = listing(name)
        counts |= {f"{name}:{variant}".rstrip(":"): rows for variant, rows in summary.variants.items()}
        counts[name] = sum(summary.variants[variant] for variant in summary.default or summary.variants)
    return {name: rows for name, rows in counts.items() if rows}


@cache
def _read_index() -> dict[str, Listing]:
    path = Path(suites.__path__[0]) / "index.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Listing])


def variants(spec: str) -> list[tuple[Benchmark, str]]:
    """Resolve `gpqa:main` to one variant, and a bare name to its default variants."""
    name, colon, variant = spec.partition(":")
    benchmark_ = benchmark(name)
    return [(benchmark_, variant_name) for variant_name in benchmark_.resolve(variant if colon else None)]


_REGISTERED: dict[str, Suite] = {}
"""Suites defined by the calling program, by id."""


def register(suite: Suite) -> None:
    """Register a suite defined by the calling program under its id, e.g. to compare its runs.

    Raises UsageError if a benchmark has the same name but different scorers or metrics.
    """
    if suite.name not in suite_names():
        _REGISTERED[suite.id] = suite
    elif not _matches_benchmark(suite):
        raise UsageError(
            f"there is a benchmark {suite.id} with other scorers or metrics: give the suite another name"
        )


def _matches_benchmark(defined: Suite) -> bool:
    """Return whether a suite has the same scorers and metrics as the benchmark of its name."""
    try:
        candidates = suite(defined.id, defined.protocol)
    except UnknownName:
        return False
    return any(
        suite_.id == defined.id and _scoring_rules(suite_) == _scoring_rules(defined) for suite_ in candidates
    )


def _scoring_rules(suite: Suite) -> tuple[dict[str, str], list[str]]:
    return suite.scorer_versions(), [metric.name for metric in suite.metrics]


def suite(spec: str, protocol: str | None = None, *, shots: int | None = None) -> list[Suite]:
    """Resolve a name to suites, one per variant or per column of a collection; raises UnknownName with similar names.

    `shots`: number of few-shot examples; None: the protocol's own, or that in its name (`official+3-shot`). Raises UsageError
    if the protocol supports none, or the data provide fewer.
    """
    from evals.data import errata

    if (registered := _REGISTERED.get(spec)) is not None and protocol in (None, registered.protocol):
        return [registered]
    if (collection := COLLECTIONS.get(spec.partition(":")[0])) is not None:
        pairs = collection.suites(spec.partition(":")[2], protocol)
        return [member for id_, suite_protocol in pairs for member in suite(id_, suite_protocol, shots=shots)]
    resolved = []
    for benchmark_, variant in variants(spec):
        names = benchmark_.protocol_names
        requested = protocol or names[0]
        name = ProtocolName.parse(requested)
        if requested not in names and str(name._replace(shots=None)) not in names:
            raise UnknownName(f"protocol of {spec}", requested, names)
        resolved_suite = benchmark_.suite(variant, name.base, shots=name.shots if shots is None else shots)
        _record_user_choice(resolved_suite)
        resolved_suite = structs.replace(
            resolved_suite, errata=errata.suite_errata(resolved_suite.name, variant)
        )
        resolved.append(reworded(resolved_suite) if name.reworded else _with_upstream_prompts(resolved_suite))
    return resolved


def protocol_names(spec: str) -> tuple[str, ...]:
    """Return the protocols of a suite or a collection, the default first; raises UnknownName."""
    return (COLLECTIONS.get(name := spec.partition(":")[0]) or benchmark(name)).protocol_names


def reworded(suite: Suite) -> Suite:
    """Return a suite with reworded prompts instead of upstream's, and the mark `~` in its protocol's name."""
    return structs.replace(suite, protocol=str(ProtocolName(suite.protocol, reworded=True)), upstream=None)


def _with_upstream_prompts(suite: Suite) -> Suite:
    """Return a suite with upstream's prompts for model and judge if its protocol uses them."""
    if (upstream := suite.upstream) is None:
        return suite
    from evals.scorers.judge.judged import with_upstream_judge

    def prompter(data: Data) -> Prompter:
        return upstream.prompter(suite.prompter(data))

    return structs.replace(suite, prompter=prompter, scorers=with_upstream_judge(suite.scorers, upstream))


def with_available_prompts(requested: Suite) -> Suite:
    """Return a suite unchanged, or reworded if its upstream prompts cannot be read."""
    if requested.upstream is None or not requested.upstream.fault():
        return requested
    reworded_suite = suite(requested.id, str(ProtocolName(requested.protocol, reworded=True)))[0]
    return structs.replace(reworded_suite, repeats=requested.repeats)


def adapter_names() -> list[str]:
    """Return the names of all adapters; plugins included."""
    return sorted({*_builtin_adapters(), *plugins.origins(plugins.ADAPTERS)})


def _builtin_adapters() -> set[str]:
    modules = {
        module.name for module in pkgutil.iter_modules(model_adapters.__path__) if not module.ispkg
    } - set(BARE_NAMES.values())
    names = {name.replace("_", "-") for name in modules if name[0] != "_"}
    return names | set(_vendors())


def vendor_names() -> list[str]:
    """Return the adapters that need a vendor's API key in NAME_API_KEY."""
    return ["anthropic", "google", "intern", "openai", *_vendors()]


def _vendors() -> Mapping[str, Any]:
    table: Mapping[str, Any] = import_module("evals.model_adapters.common.vendors").VENDORS
    return table


def adapter_origin(name: str) -> plugins.Origin | None:
    """Return the package that defines an adapter; None: this project."""
    name = name.rstrip(":")
    is_builtin = name in _builtin_adapters() or name in BARE_NAMES
    return None if is_builtin else plugins.origins(plugins.ADAPTERS).get(name)


def _adapter_module(name: str) -> str:
    if name in _vendors():
        return "evals.model_adapters.common.vendors"
    origin = adapter_origin(name)
    return origin.module if origin else f"evals.model_adapters.{name.replace('-', '_')}"


SERVER = "server:http://HOST:PORT/v1#NAME"
_ALIASES = {
    "gemini": "google:NAME",
    "claude": "anthropic:NAME",
    "gpt": "openai:NAME",
    "chatgpt": "openai:NAME",
    "huggingface": "hf:NAME",
    "transformers": "hf:NAME",
    **dict.fromkeys(("mock", "mockllm", "dummy"), "scripted:TEXT"),
    **dict.fromkeys(("azure", "litellm", "llamacpp", "lmstudio", "localai", "ollama", "tgi"), SERVER),
}
"""Name in another harness -> how to write it here."""


def model(spec: str, **options: Any) -> Model:
    """Return the model `adapter:rest`; `options` (e.g. results) are passed to adapters that list them in OPTIONS."""
    adapter, colon, rest = spec.partition(":")
    if adapter in BARE_NAMES and not colon:
        module = import_module(f"evals.model_adapters.{BARE_NAMES[adapter]}")
    elif (name := adapter.replace("_", "-")) in _builtin_adapters() or adapter_origin(name):
        if not rest:
            raise UsageError(
                f"model {spec!r} has no name: write {SERVER if name == 'server' else f'{adapter}:NAME'}"
            )
        module = _import(_adapter_module(name), adapter_origin(name))
        if name in _vendors():
            vendor: Model = module.model(name, rest)
            return vendor
    elif colon and (adapter in ("http", "https") or _PORT.match(rest)):
        address = spec if "://" in spec else f"http://{spec}"
        base, hash_, model_name = without_secrets(f"server:{address}").partition("#")
        if base.rstrip("/").count("/") == 2:  # only a host
            base = f"{base.rstrip('/')}/v1"
        raise UsageError(
            f"a server's address is not a model's name: write {base}{hash_ or '#'}{model_name or 'NAME'}"
        )
    elif (alias := _ALIASES.get(adapter.lower())) and colon:
        raise UsageError(f"unknown model '{adapter}:'; write {alias}")
    else:
        raise UnknownName("model", f"{adapter}{colon}", model_name_forms())
    make: Callable[..., Model] = module.model
    accepted = vars(module).get("OPTIONS", ())
    return make(rest, **{key: value for key, value in options.items() if key in accepted})


def function_model(function: Callable[..., Any]) -> Model:
    """Return a model that calls a function for each reply."""
    from evals.model_adapters.common.function import Function

    return Function(function)


def engine(name: str) -> Any:
    """Return the `Engine` of an adapter that launches a server."""
    return import_module(f"evals.model_adapters.{name}").ENGINE


def model_name_forms() -> list[str]:
    """Return the names of models without an adapter prefix, and all adapter prefixes."""
    return [*BARE_NAMES, *(f"{name}:" for name in adapter_names())]


def adapter_summary(name: str) -> str:
    """Return the first line of an adapter's docstring; plugins are not imported."""
    name = BARE_NAMES.get(name, name.rstrip(":"))
    if name in _vendors():
        return f"A vendor with a variant of OpenAI's API: key from {name.upper()}_API_KEY."
    if (origin := adapter_origin(name)) is None:
        return (import_module(_adapter_module(name)).__doc__ or "").partition("\n")[0]
    try:
        return plugins.docstring_title(origin.module)
    except UsageError as error:
        return f"cannot be read: {error}"


def without_secrets(spec: str) -> str:
    """Return a model's spec without the user, password and query of any URL."""
    if "://" not in spec:
        return spec
    from evals.model_adapters.common import addresses, http

    adapter, _, address = spec.partition(":")
    bases, hash_, name = address.partition("#")
    urls = ",".join(map(http.without_secrets, addresses.split_urls(bases)))
    return f"{adapter}:{urls}{hash_}{name}"
