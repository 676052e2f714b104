"""Recommendations and requirements of known models: `model_adapters/profiles.toml`, parsed and validated.

Every fact has a source; facts without one are omitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import EvalsError, UsageError
from evals.types import Sampling
from evals.validation import cause

FILE = Path(__file__).parent / "model_adapters" / "profiles.toml"
GPU_GB = {"A100": 80, "H800": 80, "H100": 80, "H200": 141}
"""GPU type -> memory, in 1e9 bytes."""

BATCH_PRICE_FACTOR = 0.5
"""Fraction of the price charged for batches by OpenAI and Anthropic (their documentation, November 2026)."""


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Price of cached input tokens; None: as `input`."""
    date: date
    """Date on which the source was published or consulted."""

    def cost(self, tokens: Mapping[str, int], batch: Mapping[str, int] | None = None) -> float:
        """Return the cost in USD of tokens by kind; output includes reasoning, input includes cached tokens.

        `batch`: those of the tokens, by kind, that are billed at the batch price.
        """
        if batch:
            return self.cost(tokens) - (1 - BATCH_PRICE_FACTOR) * self.cost(batch)
        input_tokens, output_tokens = tokens.get("input", 0), tokens.get("output", 0)
        cached = min(tokens.get("cached", 0), input_tokens) if self.cached is not None else 0
        return (
            (input_tokens - cached) * self.input + cached * (self.cached or 0.0) + output_tokens * self.output
        ) / 1e6

    @property
    def figures(self) -> dict[str, float]:
        """Return the prices by kind of token, as cards store them."""
        prices = {"input": self.input, "output": self.output, "cached": self.cached}
        return {kind: value for kind, value in prices.items() if value is not None}


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. A field is empty if no source states it."""

    about: str = ""
    names: tuple[str, ...]
    """Names of the model without the adapter; a name that is ambiguous includes it, e.g. `intern:intern-s1`."""
    takes: tuple[str, ...]
    """Accepted inputs besides text."""
    precision: str = ""
    """Precision of the weights."""
    context: int | None = None
    """Context length in tokens."""
    serve_context: int | None = None
    """Context length at which the developers serve the model."""
    sampling: dict[str, Any] = {}
    """Recommended fields of `Sampling`."""
    answering: dict[str, Any] = {}
    """Like `sampling`, with reasoning switched off; empty if there is no difference."""
    thinking: dict[str, str] = {}
    """Server -> request field that switches reasoning on and off; dots address nested objects."""
    parser: dict[str, str] = {}
    """Server -> its reasoning parser for the model."""
    flags: dict[str, tuple[str, ...]] = {}
    """Server -> further command-line options."""
    gpus: dict[str, int] = {}
    """GPU type -> smallest number of GPUs, over all nodes."""
    smaller: tuple[str, ...] = ()
    """Smaller alternatives, the most similar first."""
    nodes: int = 1
    tensor_parallel: int | None = None
    """Number of GPUs, if the sources do not state their type."""
    expert_parallel: bool = False
    max_pixels: int | None = None
    """Larger images are scaled down."""
    price: Price | None = None
    """Price of the developers' API."""
    source: dict[str, str]
    """Field -> its source."""
    name: str = ""
    """The profile's key in the file."""

    def recommended(self, *, thinking: bool | None = None) -> Sampling:
        """Return the recommended sampling parameters. `thinking`: whether reasoning is on; None: the model's default."""
        return Sampling(**(self.answering if thinking is False and self.answering else self.sampling))


class _ProfilesFile(Struct, forbid_unknown_fields=True):
    source: dict[str, str]
    model: dict[str, Profile]


_UNSOURCED = {"about", "name", "smaller", "source"}
"""Fields that need no source."""


def read(path: Path = FILE) -> tuple[Profile, ...]:
    """Read and validate a file of profiles; raises EvalsError."""
    try:
        file = msgspec.toml.decode(disk.read_small(path).removeprefix(disk.BOM), type=_ProfilesFile)
        profiles = tuple(_validated(name, profile, file.source) for name, profile in file.model.items())
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EvalsError(f"{path.name}: {cause(error, _ProfilesFile)}") from None
    spellings = [name for profile in profiles for name in {n.lower() for n in (profile.name, *profile.names)}]
    if duplicates := {name for name in spellings if spellings.count(name) > 1}:
        raise EvalsError(f"{path.name}: two profiles have the name {', '.join(sorted(duplicates))}")
    return profiles


def _validated(name: str, profile: Profile, sources: dict[str, str]) -> Profile:
    defaults = Profile(names=(), takes=(), source={})
    fields = {"takes"} | {
        f for f in Profile.__struct_fields__ if getattr(profile, f) != getattr(defaults, f)
    } - _UNSOURCED
    if fields != set(profile.source):
        raise ValueError(
            f"model {name!r}: each fact needs a source, and each source a fact: {', '.join(sorted(fields ^ set(profile.source)))}"
        )
    if unknown := set(profile.source.values()) - set(sources):
        raise ValueError(f"model {name!r}: no such source: {', '.join(sorted(unknown))}")
    if unknown := set(profile.gpus) - set(GPU_GB):
        raise ValueError(f"model {name!r}: no such GPU: {', '.join(sorted(unknown))}")
    for settings in (profile.sampling, profile.answering):
        msgspec.convert(settings, Sampling)
        if unknown := set(settings) - set(Sampling.__struct_fields__):
            raise ValueError(f"model {name!r}: no such sampling parameter: {', '.join(sorted(unknown))}")
    source = {field: sources[key] for field, key in profile.source.items()}
    return msgspec.structs.replace(profile, name=name, source=source)


@cache
def all_profiles() -> tuple[Profile, ...]:
    """Return all profiles of the file."""
    return read()


def find(spec: str) -> Profile | None:
    """Return the profile of `adapter:name`; a local checkpoint is identified by its folder's name."""
    adapter, _, rest = spec.partition(":")
    rest = rest.rstrip("/")
    for profile in all_profiles():
        names = {name.lower() for name in profile.names}
        if spec.lower() in names or (adapter in ENGINES and rest.lower() in names | {profile.name.lower()}):
            return profile
    folder_name = rest.rpartition("/")[2].lower() if adapter in ENGINES and "/" in rest else ""
    return next((profile for profile in all_profiles() if profile.name.lower() == folder_name), None)


def local_folder(name: str) -> Path | None:
    """Return the folder that a model's name refers to; None for a hub id."""
    if not name.startswith(("/", ".", "~")) and not Path(name).is_dir():
        return None
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no home folder
        return Path(name)


def full_name(name: str, profile: Profile | None) -> str:
    """Return the hub id of a model that may be named by its profile's short name."""
    return profile.names[0] if profile and name.lower() == profile.name.lower() else name


def accepted_inputs(profile: Profile | None, folder: Path | None) -> frozenset[str]:
    """Return the inputs besides text that a model accepts, from its profile or else the configuration in its folder.

    A hub id without a profile is assumed to accept images, as this is unknown until the model is loaded.
    """
    if profile is not None:
        return frozenset(profile.takes)
    if folder is None:
        return frozenset({"image"})
    try:
        config = msgspec.json.decode(disk.read_small(folder / "config.json"), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{folder / 'config.json'}: {cause(error)}") from None
    return frozenset({"image"} if "vision_config" in config else ())


def price(spec: str) -> Price | None:
    """Return the price of a hosted model; None if it is unknown or the model runs on the user's own machines."""
    profile = find(spec)
    return profile.price if profile and spec.partition(":")[0] not in ENGINES else None


ENGINES = frozenset({"vllm", "lmdeploy", "sglang", "hf"})
"""Adapters that run weights; these are named by a hub id or a folder."""


def parse_price(text: str | None, *, option: str = "--price") -> Price | None:
    """Parse `IN,OUT` or `IN,OUT,CACHED`, USD per million tokens, dated today; raises UsageError, which names the option."""
    if text is None:
        return None
    try:
        input_price, output_price, *cached = (float(part) for part in text.split(","))
        if not all(0 <= value < inf for value in (input_price, output_price, *cached)) or len(cached) > 1:
            raise ValueError(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r}: write IN,OUT in USD per million tokens, for example 0.5,1.5; a third number "
            "is the price of cached input"
        ) from None
    today = datetime.now(tz=UTC).date()
    return Price(input=input_price, output=output_price, cached=cached[0] if cached else None, date=today)
