"""What to run: the command line of `evals run`, or a TOML file with the same names."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from evals.errors import UsageError
from evals.types import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evals.profiles import Profile
    from evals.run.plan import Options


class Order(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to run: the command line, or a TOML file with the same names."""

    suites: list[str] = []
    models: list[str] = []
    protocol: str | None = None
    data: Path | None = None
    sample: bool = False
    limit: int | None = None
    repeats: int | None = None
    concurrency: int | None = None
    seed: int = 0
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    thinking: bool | None = None
    recommended: bool = False
    max_cost: float | None = None
    price: str | None = None
    max_total_tokens: int | None = None
    timeout: float | None = None
    results: Path = Path("results")
    run: str | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False
    judge: str | None = None
    judge_price: str | None = None
    data_hash: str | None = None
    against: str | None = None
    policy: Path | None = None
    until_decided: bool = False
    batch: bool = False
    cluster: str | None = None
    replicas: int | None = None
    gpus: int | None = None


def read_order(suites: Sequence[str], models: Sequence[str], options: dict[str, Any]) -> Order:
    """Merge a file, where one is given, with the command line; the command line wins."""
    given = {
        name: value
        for name, value in options.items()
        if (value is not None and value is not False) or name == "thinking"
    }
    if not (len(suites) == 1 and suites[0].endswith(".toml")):
        return Order(suites=list(suites), models=list(models), **given)
    import msgspec

    from evals import disk

    try:
        found = msgspec.toml.decode(
            disk.read_small(Path(suites[0])).removeprefix(disk.BOM), type=dict[str, Any]
        )
        base = msgspec.convert(found, Order, dec_hook=lambda kind, text: kind(text))
    except OSError as error:
        raise UsageError(f"{suites[0]}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # which every fault of msgspec is
        raise UsageError(f"{suites[0]}: {error}") from None
    context = click.get_current_context()
    explicit = click.core.ParameterSource.COMMANDLINE
    for name, value in given.items():
        if context.get_parameter_source(name) is explicit:
            setattr(base, name, value)
    base.models = list(models) or base.models
    if not base.suites:
        raise UsageError(f"{suites[0]}: names no suites")
    return base


def validate(order: Order) -> None:
    """Refuse what no run can be made of, in one line."""
    for name in (
        "limit",
        "max_pixels",
        "repeats",
        "concurrency",
        "replicas",
        "max_tokens",
        "max_total_tokens",
        "max_cost",
        "timeout",
    ):
        value = getattr(order, name)
        if value is not None and not 0 < value < inf:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, got {value}")
    if order.seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {order.seed}")
    if order.temperature is not None and not 0 <= order.temperature <= 10:
        raise UsageError(f"--temperature must be from 0 to 10, got {order.temperature}")
    if order.top_p is not None and not 0 < order.top_p <= 1:
        raise UsageError(f"--top-p must be above 0 and at most 1, got {order.top_p}")
    if order.gpus is not None and order.gpus < 0:
        raise UsageError(f"--gpus must be 0 or more, got {order.gpus}")
    if not order.cluster and (order.replicas is not None or order.gpus is not None):
        raise UsageError("--replicas and --gpus are of a cluster: add --cluster ray")
    if order.sample and order.data:
        raise UsageError("--sample and --data exclude each other")
    if order.batch:
        for name in ("max_cost", "max_total_tokens", "until_decided", "against", "timeout", "concurrency"):
            if getattr(order, name):
                raise UsageError(
                    f"--batch and --{name.replace('_', '-')} exclude each other: a batch is handed in as a whole"
                )
        if len(order.models) > 1:
            raise UsageError("--batch takes one model: the second would be handed in when the first is back")
    if not order.models:
        raise UsageError(
            "no model: add -m, for example -m smollm2 or -m server:http://127.0.0.1:8000/v1#NAME"
        )


def options_of(order: Order, profile: Profile | None = None) -> Options:
    """Give what the plan needs of an order, and of what is known of its model."""
    from evals.run.plan import Options

    if order.recommended and not (profile and profile.sampling):
        raise UsageError("--recommended: no profile says what the makers of this model recommend")
    return Options(
        results=order.results,
        data=order.data,
        sample=order.sample,
        limit=order.limit,
        repeats=order.repeats,
        seed=order.seed,
        sampling=Sampling(
            temperature=order.temperature,
            top_p=order.top_p,
            max_tokens=order.max_tokens,
            thinking=order.thinking,
        ),
        recommended=profile.recommended(thinking=order.thinking) if profile else Sampling(),
        recommend_all=order.recommended,
        recommender=profile.name if profile else "",
        run=order.run,
        max_pixels=order.max_pixels or (profile.max_pixels if profile else None),
        max_pixels_of=profile.name if profile and not order.max_pixels else "",
        judge=without_secrets(order.judge or ""),
        data_hash=order.data_hash,
    )


def without_secrets(spec: str) -> str:
    """Cut user, password and query from a URL in a model's name."""
    if "://" not in spec:
        return spec
    from evals.model_adapters.common import http

    adapter, _, url = spec.partition(":")
    base, hash_, name = url.partition("#")
    return f"{adapter}:{http.without_secrets(base)}{hash_}{name}"
