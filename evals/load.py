"""Names -> objects. The only module that imports by name.

`suite` and `model` resolve what the user names. Names that stand in data (a card, a bundle, a baseline, a policy) go
through `recorded_suite`: data never choose code to run.
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
ALONE = {"smollm2": "llamacpp"}
"""Name -> adapter, for models named without one."""

DEFINED_BY_CODE = frozenset({"lm-eval"})
"""Suites whose variants may contain code; plugins are code anyway."""
_trusting: ContextVar[bool] = ContextVar("trusting", default=False)
_named: set[str] = set()
"""Suites defined by code that the user has named in this process."""


@contextmanager
def trusting_tasks() -> Iterator[None]:
    """Allow data to name tasks and plugins within the context (`--trust-tasks`)."""
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)


def recorded_suite(spec: str, protocol: str | None = None) -> list[Suite]:
    """Resolve a suite named by data, e.g. by a card.

    Raises Untrusted if its definition is code (a task of lm-eval, a plugin) and the user has neither named it in
    this process nor passed `--trust-tasks`; UnknownName as `suite` does.
    """
    if spec not in _REGISTERED:
        _vouch(spec)
    return suite(spec, protocol)


def recorded_benchmark(name: str) -> Benchmark:
    """Return the benchmark that data name; raises what `recorded_suite` raises."""
    _vouch(name)
    return benchmark(name.partition(":")[0])


def _vouch(spec: str) -> None:
    name, _, variant = spec.partition(":")
    wanted = module_name(name)
    origin = suite_origin(wanted)
    if wanted not in DEFINED_BY_CODE and origin is None:
        return
    if _trusting.get() or {wanted, f"{wanted}:{variant}"} & _named:
        return
    whose = f"a plugin of {origin}" if origin else "a task of lm-eval, which may hold code"
    raise Untrusted(
        f"{spec} is {whose}, named by data and not by you; --trust-tasks lets it run, if you trust where the data "
        "come from"
    )


def _remember(made: Suite) -> None:
    """Remember that the user named a suite defined by code."""
    if made.name in DEFINED_BY_CODE:
        _named.add(made.id)
    elif suite_origin(made.name):
        _named.add(made.name)


def suite_names() -> list[str]:
    """Return the names of all suites, with hyphens; plugins included."""
    return sorted({*_own_suites(), *plugins.found(plugins.SUITES)})


def _own_suites() -> set[str]:
    return {m.name.replace("_", "-") for m in pkgutil.iter_modules(suites.__path__) if m.name[0] != "_"}


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of a name; raises UnknownName with near names."""
    wanted = module_name(name)
    return _benchmark(_imported(_suite_file(wanted), suite_origin(wanted)), wanted)


def _benchmark(module: ModuleType, name: str) -> Benchmark:
    from evals.benchmark import benchmark_of

    return benchmark_of(module, name)


def _suite_file(wanted: str) -> str:
    origin = suite_origin(wanted)
    return origin.module if origin else f"evals.suites.{wanted.replace('-', '_')}"


def suite_origin(name: str) -> plugins.Origin | None:
    """Return the package that a suite comes from; None: this one."""
    return None if name in _own_suites() else plugins.found(plugins.SUITES).get(name)


def _imported(module: str, origin: plugins.Origin | None) -> ModuleType:
    """Import a module; raises UsageError, in one line, if a plugin fails."""
    if origin is None:
        return import_module(module)
    with foreign_code(lambda why: UsageError(f"{module}, a plugin of {origin}: {why}"), passing=()):
        return import_module(module)


def module_name(name: str) -> str:
    """Return the normalised name of a suite; raises UnknownName with near names."""
    normalised = name.replace("_", "-").lower()
    if normalised not in _own_suites() and normalised not in plugins.found(plugins.SUITES):
        if {normalised, f"{normalised}:"} & set(model_forms()):
            raise UsageError(f"{name!r} is a model, not a suite: write it after -m")
        raise UnknownName("suite", name, suite_names())
    return normalised


def listing(name: str) -> Listing:
    """Return what is shown of a benchmark in lists, without importing it.

    For our own it is read from `suites/index.json`, which a test compares with the benchmarks: importing all of them
    with their scorers takes 300 ms of CPU, for which completion in a shell would wait. Raises UsageError for a plugin
    that is no suite.
    """
    wanted = module_name(name)
    origin = suite_origin(wanted)
    if origin is not None:
        return plugins.listing(origin.module)
    if (known := _index().get(wanted)) is not None:
        return known
    from evals.benchmark import listing_of

    return listing_of(benchmark(wanted))  # a file that is not in the index yet


def item_counts() -> dict[str, int]:
    """Return suite -> number of items, `suite:variant` and the bare name for its default variants; unknown ones left out."""
    counts = dict[str, int]()
    for name in suite_names():
        listed = listing(name)
        counts |= {
            f"{name}:{variant}" if variant else name: rows for variant, rows in listed.variants.items()
        }
        counts[name] = sum(listed.variants[variant] for variant in listed.default or listed.variants)
    return {name: rows for name, rows in counts.items() if rows}


@cache
def _index() -> dict[str, Listing]:
    path = Path(suites.__path__[0]) / "index.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Listing])


def variants(spec: str) -> list[tuple[Benchmark, str]]:
    """Resolve `gpqa:main` to one variant, and a bare name to its default variants."""
    name, colon, variant = spec.partition(":")
    chosen = benchmark(name)
    return [(chosen, one) for one in chosen.resolve(variant if colon else None)]


_REGISTERED: dict[str, Suite] = {}
"""Suites of this process that are not files, by id."""


def register(one: Suite) -> None:
    """Make a suite that is not a file known to this process by its id, e.g. to compare its runs.

    Raises UsageError if a benchmark has that name, unless it is that benchmark by its scorers and metrics.
    """
    if one.name in suite_names():
        if not _is_benchmark(one):
            raise UsageError(
                f"{one.id} is a benchmark of that name with other rules: give the suite another name"
            )
        return
    _REGISTERED[one.id] = one


def _is_benchmark(one: Suite) -> bool:
    """Whether a suite object is the benchmark of its name, by its scorers and metrics."""
    try:
        known = suite(one.id, one.protocol)
    except UnknownName:
        return False
    return any(made.id == one.id and _same_rules(made, one) for made in known)


def _same_rules(one: Suite, other: Suite) -> bool:
    names = [[metric.name for metric in suite.metrics] for suite in (one, other)]
    return one.scorer_versions() == other.scorer_versions() and names[0] == names[1]


def suite(spec: str, protocol: str | None = None) -> list[Suite]:
    """Resolve a name to suites, one per variant; raises UnknownName with near names."""
    from evals.data import errata

    if (known := _REGISTERED.get(spec)) is not None and protocol in (None, known.protocol):
        return [known]
    resolved = []
    for chosen, variant in variants(spec):
        names = chosen.protocol_names
        wanted = protocol or names[0]
        if wanted not in names:
            raise UnknownName(f"protocol of {spec}", wanted, names)
        named = ProtocolName.parse(wanted)
        made = chosen.suite(variant, named.base)
        _remember(made)
        made = structs.replace(made, errata=errata.of_suite(made.name, variant))
        resolved.append(reworded(made) if named.reworded else _with_upstream_prompts(made))
    return resolved


def reworded(suite: Suite) -> Suite:
    """Return a suite that asks in our prompts in the place of upstream's, under the name that says so."""
    return structs.replace(suite, protocol=str(ProtocolName(suite.protocol, reworded=True)), upstream=None)


def _with_upstream_prompts(suite: Suite) -> Suite:
    """Return a suite that asks, and has a judge asked, in upstream's own prompts if its protocol means these."""
    if (upstream := suite.upstream) is None:
        return suite
    from evals.scorers.judge.judged import with_upstream_judge

    def prompter(data: Data) -> Prompter:
        return upstream.asker(suite.prompter(data))

    return structs.replace(suite, prompter=prompter, scorers=with_upstream_judge(suite.scorers, upstream))


def askable(one: Suite) -> Suite:
    """Return a suite as it can be asked here: reworded if upstream's prompts are meant and cannot be read."""
    if one.upstream is None or not one.upstream.fault():
        return one
    return suite(one.id, str(ProtocolName(one.protocol, reworded=True)))[0]


def adapter_names() -> list[str]:
    """Return the names of all adapters; plugins included."""
    return sorted({*_own_adapters(), *plugins.found(plugins.ADAPTERS)})


def _own_adapters() -> set[str]:
    modules = {m.name for m in pkgutil.iter_modules(model_adapters.__path__) if not m.ispkg} - set(
        ALONE.values()
    )
    own = {name.replace("_", "-") for name in modules if name[0] != "_"}
    return own | set(_vendors())


def vendor_names() -> list[str]:
    """Return the adapters that need a vendor's key, NAME_API_KEY."""
    return ["anthropic", "google", "intern", "openai", *_vendors()]


def _vendors() -> Mapping[str, Any]:
    """Return the vendors whose adapters are rows of one table."""
    table: Mapping[str, Any] = import_module("evals.model_adapters.common.vendors").VENDORS
    return table


def adapter_origin(form: str) -> plugins.Origin | None:
    """Return the package that an adapter comes from; None: this one."""
    name = form.rstrip(":")
    ours = name in _own_adapters() or name in ALONE
    return None if ours else plugins.found(plugins.ADAPTERS).get(name)


def _adapter_file(name: str) -> str:
    if name in _vendors():
        return "evals.model_adapters.common.vendors"
    origin = adapter_origin(name)
    return origin.module if origin else f"evals.model_adapters.{name.replace('-', '_')}"


def model(spec: str, **options: Any) -> Model:
    """Resolve `adapter:rest`; `options` (e.g. results) are passed to adapters that list them in OPTIONS."""
    adapter, colon, rest = spec.partition(":")
    if adapter in ALONE and not colon:
        module = import_module(f"evals.model_adapters.{ALONE[adapter]}")
    elif (name := adapter.replace("_", "-")) in _own_adapters() or adapter_origin(name):
        if not rest:
            raise UsageError(f"model {spec!r} has no name: write {adapter}:NAME")
        module = _imported(_adapter_file(name), adapter_origin(name))
        if name in _vendors():
            vendor: Model = module.model(name, rest)
            return vendor
    elif colon and (adapter in ("http", "https") or _PORT.match(rest)):
        address = spec if "://" in spec else f"http://{spec}"
        base, hash_, model_name = without_secrets(f"server:{address}").partition("#")
        raise UsageError(
            f"a server's address is not a model's name: write {base}{hash_ or '#'}{model_name or 'NAME'}"
        )
    else:
        raise UnknownName("model", f"{adapter}{colon}", [*ALONE, *(f"{name}:" for name in adapter_names())])
    make: Callable[..., Model] = module.model
    wanted = vars(module).get("OPTIONS", ())
    return make(rest, **{key: value for key, value in options.items() if key in wanted})


def model_of_function(function: Callable[..., Any]) -> Model:
    """Return a model whose replies a function returns."""
    from evals.model_adapters.common.function import Function

    return Function(function)


def engine(name: str) -> Any:
    """Return an adapter's row of the launcher's table."""
    return import_module(f"evals.model_adapters.{name}").ENGINE


def model_forms() -> list[str]:
    """Return the forms of models' names on the command line."""
    return [*ALONE, *(f"{name}:" for name in adapter_names())]


def adapter_about(form: str) -> str:
    """Return the first line of an adapter's description; that of a plugin is read from its source."""
    name = ALONE.get(form, form.rstrip(":"))
    if (origin := adapter_origin(name)) is None:
        return (import_module(_adapter_file(name)).__doc__ or "").partition("\n")[0]
    try:
        return plugins.about(origin.module)
    except UsageError as error:
        return f"cannot be read: {error}"


def without_secrets(spec: str) -> str:
    """Return a model's name without user, password and query of a URL in it."""
    if "://" not in spec:
        return spec
    from evals.model_adapters.common import http

    adapter, _, url = spec.partition(":")
    base, hash_, name = url.partition("#")
    return f"{adapter}:{http.without_secrets(base)}{hash_}{name}"
