"""What the makers of known models recommend, and what these need: `model_adapters/profiles.toml`, read and checked.

Nothing in it is guessed: a fact without a source is a fault of the file, and what no source says is not there.
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

FILE = Path(__file__).parent / "model_adapters" / "profiles.toml"
GPU_GB = {"A100": 80, "H800": 80, "H100": 80, "H200": 141}
"""Memory of one GPU of each type that the profiles count in."""


BATCH = 0.5
"""Price of a batch as a share, at OpenAI and at Anthropic (their pages on batches, November 2026)."""


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Of input tokens that the server had kept; None: as `input`."""
    date: date
    """On which the source said so, or was read."""

    def cost(self, tokens: Mapping[str, int], batch: Mapping[str, int] | None = None) -> float:
        """Give the USD of tokens by kind (input, output, cached): reasoning is output, cached ones are input.

        `batch`: those of them that came by a batch.
        """
        if batch:
            return self.cost(tokens) - (1 - BATCH) * self.cost(batch)
        into, out = tokens.get("input", 0), tokens.get("output", 0)
        cached = min(tokens.get("cached", 0), into) if self.cached is not None else 0
        return ((into - cached) * self.input + cached * (self.cached or 0.0) + out * self.output) / 1e6

    @property
    def figures(self) -> dict[str, float]:
        """Give the numbers by kind of token, as a card keeps them."""
        found = {"input": self.input, "output": self.output, "cached": self.cached}
        return {kind: value for kind, value in found.items() if value is not None}


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. An empty field: no source says."""

    about: str = ""
    names: tuple[str, ...]
    """As named behind the adapter's colon, or with the adapter where the same name means something else."""
    takes: tuple[str, ...]
    """What it can take besides text."""
    precision: str = ""
    """Of the weights."""
    context: int | None = None
    """Tokens of prompt and reply together that the model is made for."""
    serve_context: int | None = None
    """To which its makers limit it when they serve it."""
    sampling: dict[str, Any] = {}
    """Recommended: fields of `Sampling`."""
    answering: dict[str, Any] = {}
    """Recommended where it is told not to reason; empty: the same."""
    thinking: dict[str, str] = {}
    """Server -> the field of the request (with dots: nested) that switches reasoning on and off."""
    parser: dict[str, str] = {}
    """Server -> the reasoning parser that it is started with."""
    flags: dict[str, tuple[str, ...]] = {}
    """Server -> further options of its command line."""
    gpus: dict[str, int] = {}
    """Type of GPU -> the least number of it, over all nodes."""
    smaller: tuple[str, ...] = ()
    """What to try where that is too much, the most alike first."""
    nodes: int = 1
    tensor_parallel: int | None = None
    """GPUs that its makers share it over, where they do not say of which type."""
    expert_parallel: bool = False
    max_pixels: int | None = None
    """Images with more are sent smaller."""
    price: Price | None = None
    """Behind its makers' API."""
    source: dict[str, str]
    """Field -> where that is said."""
    name: str = ""
    """As the file calls it."""

    def recommended(self, *, thinking: bool | None = None) -> Sampling:
        """Give the recommended sampling. `thinking`: whether it is told to reason; None: nobody says."""
        return Sampling(**(self.answering if thinking is False and self.answering else self.sampling))


class _File(Struct, forbid_unknown_fields=True):
    source: dict[str, str]
    model: dict[str, Profile]


_UNSOURCED = {"about", "name", "smaller", "source"}


def read(path: Path = FILE) -> tuple[Profile, ...]:
    """Read and check a file of profiles; raises EvalsError with the fault."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File)
        profiles = tuple(_checked(name, one, found.source) for name, one in found.model.items())
    except (msgspec.MsgspecError, ValueError) as error:
        raise EvalsError(f"{path.name}: {error}") from None
    spellings = [name for one in profiles for name in {n.lower() for n in (one.name, *one.names)}]
    if twice := {name for name in spellings if spellings.count(name) > 1}:
        raise EvalsError(f"{path.name}: two profiles are called {', '.join(sorted(twice))}")
    return profiles


def _checked(name: str, profile: Profile, sources: dict[str, str]) -> Profile:
    defaults = Profile(names=(), takes=(), source={})
    facts = {"takes"} | {
        f for f in Profile.__struct_fields__ if getattr(profile, f) != getattr(defaults, f)
    } - _UNSOURCED
    if facts != set(profile.source):
        raise ValueError(f"model {name!r}: facts and sources differ in {sorted(facts ^ set(profile.source))}")
    if unknown := set(profile.source.values()) - set(sources):
        raise ValueError(f"model {name!r}: no such source: {', '.join(sorted(unknown))}")
    if strange := set(profile.gpus) - set(GPU_GB):
        raise ValueError(f"model {name!r}: no such GPU: {', '.join(sorted(strange))}")
    for settings in (profile.sampling, profile.answering):
        msgspec.convert(settings, Sampling)
        if strange := set(settings) - set(Sampling.__struct_fields__):
            raise ValueError(f"model {name!r}: no such setting of sampling: {', '.join(sorted(strange))}")
    texts = {field: sources[key] for field, key in profile.source.items()}
    return msgspec.structs.replace(profile, name=name, source=texts)


@cache
def known() -> tuple[Profile, ...]:
    """Give all profiles of the house."""
    return read()


def find(spec: str) -> Profile | None:
    """Find the profile of `adapter:name`, whatever serves it; a folder's name counts, its path does not."""
    adapter, _, rest = spec.partition(":")
    rest = rest.rstrip("/")
    for one in known():
        names = {name.lower() for name in one.names}
        if spec.lower() in names or (adapter in ENGINES and rest.lower() in names | {one.name.lower()}):
            return one
    if adapter in ENGINES and "/" in rest:
        return next((one for one in known() if rest.rpartition("/")[2].lower() == one.name.lower()), None)
    return None


def located(rest: str) -> Path | None:
    """Give the folder that a name behind an engine's colon means; None: it is a hub id."""
    if not rest.startswith(("/", ".", "~")) and not Path(rest).is_dir():
        return None
    try:
        return Path(rest).expanduser()
    except RuntimeError:  # nobody's home
        return Path(rest)


def full_name(rest: str, profile: Profile | None) -> str:
    """Give the hub id of what may be named by its profile's short name."""
    return profile.names[0] if profile and rest.lower() == profile.name.lower() else rest


def takes(profile: Profile | None, folder: Path | None) -> frozenset[str]:
    """Say what weights can take besides text: by their profile, else by the configuration in their folder.

    Of a hub id that no profile knows, nobody can say before it is loaded: images are let through.
    """
    if profile is not None:
        return frozenset(profile.takes)
    if folder is None:
        return frozenset({"image"})
    try:
        config = msgspec.json.decode(disk.read_small(folder / "config.json"), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{folder / 'config.json'}: {error}") from None
    return frozenset({"image"} if "vision_config" in config else ())


def price(spec: str) -> Price | None:
    """Give the price of a hosted model; one that runs on the user's own machines has none."""
    profile = find(spec)
    return profile.price if profile and spec.partition(":")[0] not in ENGINES else None


ENGINES = frozenset({"vllm", "lmdeploy", "sglang", "hf"})
"""Adapters whose names are those of weights, on the hub or in a folder."""


def read_price(text: str | None) -> Price | None:
    """Read `IN,OUT` or `IN,OUT,CACHED`, USD per million tokens, as the price of today; raises UsageError."""
    if text is None:
        return None
    try:
        into, out, *cached = (float(part) for part in text.split(","))
        if not all(0 <= value < inf for value in (into, out, *cached)) or len(cached) > 1:
            raise ValueError(text)
    except ValueError:
        raise UsageError(
            f"--price {text!r}: write IN,OUT in USD per million tokens, for example 0.5,1.5; a third number "
            "is the price of cached input"
        ) from None
    today = datetime.now(tz=UTC).date()
    return Price(input=into, output=out, cached=cached[0] if cached else None, date=today)
