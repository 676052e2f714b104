"""The card of a run: everything needed to assess and reproduce its numbers, without secrets or text from the data set."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from evals.errors import StoreError
from evals.types import Estimate, Sampling
from evals.validation import ROUNDING, cause

FORMAT = 1
"""Version of a run's file formats; readers reject other versions."""


class Config(Struct, frozen=True, kw_only=True):
    """Configuration that identifies a run: any change makes a new run."""

    suite: str
    """With its variant, e.g. `gpqa:diamond`."""
    version: str
    protocol: str
    data_sha256: str
    model: str
    """As given on the command line, without secrets."""
    sampling: Sampling
    seed: int
    repeats: int
    limit: int | None = None
    sample_ids: tuple[str, ...] = ()
    """The samples of the run (--sample-id); empty: all, or `limit` of them."""
    max_pixels: int | None = None
    """Larger images are scaled down; None: sent as they are."""
    judge: str = ""
    """The judge model as given on the command line; empty: none."""
    engine: str = ""
    """The user's options for the server that is started for the model, or versions of libraries that affect the model's replies."""
    words: str = ""
    """Prefix of the SHA-256 of upstream's prompts (verbatim prompts of another harness) or, in a suite made of rows, of the run's
    prompts; empty: the suite's own prompts, which its version identifies."""
    system: str = ""
    """The user's system prompt; empty: none."""

    def changes(self, earlier: Config) -> list[str]:
        """Return the settings that differ from an earlier configuration, e.g. `seed is 1 and was 0`, including sampling settings."""
        pairs = [
            (DISPLAY_NAMES.get(name, name.replace("_", " ")), getattr(self, name), getattr(earlier, name))
            for name in self.__struct_fields__
            if name != "sampling" and not (name == "limit" and (self.sample_ids or earlier.sample_ids))
        ]
        pairs += [
            (name.replace("_", " "), getattr(self.sampling, name), getattr(earlier.sampling, name))
            for name in Sampling.__struct_fields__
        ]
        return [
            f"{name} is {_format_setting(new)} and was {_format_setting(old)}"
            for name, new, old in pairs
            if new != old
        ]


DISPLAY_NAMES = {
    "limit": "--limit",
    "sample_ids": "--sample-id",
    "data_sha256": "the data's SHA-256",
    "words": "the hash of the prompts",
    "version": "the suite's version",
}
"""Setting -> its name in messages, if it differs from the field's name."""


def _format_setting(value: Any) -> str:
    if value is None or value in ((), {}, ""):
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str) and len(value) == 64:
        return value[:16]  # a hash
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_setting(item)}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


class FileFacts(Struct, frozen=True, kw_only=True):
    """Size, modification time and hash of a Parquet file of a run."""

    size: int
    mtime_ns: int
    sha256: str


class JudgeCard(Struct, kw_only=True):
    """The judge model of a run; its tokens and cost are not included in the run's."""

    model: str = ""
    """As given on the command line."""
    served: str = ""
    """The model's name as reported by the server."""
    templates: dict[str, str] = field(default_factory=dict)
    """Name of the judge prompt -> its SHA-256."""
    sampling: Sampling = Sampling()
    verdicts: int = 0
    """Number of the judge's verdicts; a reply may need several."""
    unreadable: int = 0
    """Number of replies for which the judge gave no readable verdict; they count as failures, not as zeros."""
    waiting: int = 0
    """Number of replies that still need a verdict."""
    drawn: dict[str, Any] | None = None
    """If upstream guesses an option when a verdict is unreadable: the number `n` of such verdicts, and the expected score `value`."""
    tokens: dict[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    agreement: dict[str, Any] | None = None
    """Agreement between the judge and the rule, over replies scored by both."""
    both_sides: dict[str, Any] | None = None
    """Estimated score if the judge could overrule the rule in both directions, not only answers that the rule calls wrong."""


TRUNCATION_UNKNOWN = "the source does not state why replies ended: truncated replies are not identified"
"""Note on an imported run whose number of truncated replies is unknown."""
_EARLIER_TRUNCATION_UNKNOWN = "the source does not tell why a reply ended: cut ones are not told apart"
"""The same note on cards written by earlier development versions."""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sign that a run is broken; see `evals/run/health.py`."""

    kind: str
    """`empty`, `truncated`, `same` (identical replies) or `unread` (no answers could be extracted)."""
    message: str
    fault: bool = False
    """Whether the run's numbers are meaningless; otherwise the finding is a warning."""


class PromisedSuite(Struct, frozen=True, kw_only=True):
    """Preregistered configuration of one suite."""

    suite: str
    protocol: str
    version: str
    data_sha256: str
    seed: int
    repeats: int
    limit: int | None = None
    """Number of items in the seeded subset; None: all."""
    judge: str = ""
    """The judge model as named on the command line; empty: none."""
    estimand: str = ""
    """The quantity to be estimated, as chosen by the policy."""


class Promise(Struct, frozen=True, kw_only=True):
    """A preregistration of a run's configuration; see `evals/records/promise.py`."""

    format: int = 1
    made: float
    """Seconds since the epoch, UTC."""
    policy_sha256: str
    suites: tuple[PromisedSuite, ...]


class Card(Struct, kw_only=True):
    """Configuration and results of a run."""

    format: int = FORMAT
    run: str
    config: Config
    model: str
    """Short name, as shown in tables."""
    served: str = ""
    """The model's name as reported by the server."""
    data: Literal["hub", "local", "sample"] = "local"
    source: str = ""
    """Hub id and revision, or the name of the imported file."""
    gated: bool = False
    origin: str = "run"
    """`run`, or `import FORMAT`."""
    status: Literal["running", "finished", "partial", "interrupted"] = "running"
    expected: int = 0
    """Number of outcomes (one for each sample and repeat) in a complete run."""
    started: float = 0.0
    """Seconds since the epoch, UTC."""
    finished: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Number of outcomes by verdict; failures as `failed:KIND`, missing outcomes as `absent`."""
    forms: dict[str, int] = field(default_factory=dict)
    """Number of answers by form (`Score.form`)."""
    coverage: float = 0.0
    """Scored outcomes / expected outcomes."""
    replies: int | None = None
    """Number of replies, scored or not; None on cards of earlier versions."""
    truncated: int = 0
    """Number of replies truncated at max tokens, whatever their verdict."""
    tokens: dict[str, int] = field(default_factory=dict)
    """Kind of token (input, output, reasoning, cached) -> sum over all replies."""
    cost_usd: float | None = None
    """None if the price is unknown."""
    batch_tokens: dict[str, int] = field(default_factory=dict)
    """The part of `tokens` billed at batch price."""
    price: dict[str, float] = field(default_factory=dict)
    """USD per million tokens by kind: input, output, cached."""
    price_date: str = ""
    scorers: dict[str, str] = field(default_factory=dict)
    """Scorer name -> rule, options and version."""
    absent_groups: tuple[str, ...] = ()
    """Groups of the benchmark that have no item in the subset; if there are any, a mean over groups is undefined."""
    errata: str = ""
    """Version of the errata applied to the scores; empty: none."""
    chance: float | None = None
    """Expected score of random guessing."""
    estimates: tuple[Estimate, ...] = ()
    commit: str = ""
    """Git commit of this package's checkout, with `+dirty` if files are modified; empty for a wheel."""
    packages: dict[str, str] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wording: dict[str, str] = field(default_factory=dict)
    """Origin of upstream's prompts: package, file, variables and hashes; empty: the suite's own prompts were used."""
    judge: JudgeCard | None = None
    files: dict[str, FileFacts] = field(default_factory=dict)
    """Parquet files from which the numbers were computed; empty while records change, and on cards of older versions."""
    health: tuple[Finding, ...] = ()
    """Signs that the run is broken; empty: none, or not checked."""
    promise: Promise | None = None
    """The run's preregistration (`evals gate promise`)."""

    @property
    def headline(self) -> Estimate | None:
        """Return the headline estimate of the run; None if nothing has been scored yet."""
        return next((e for e in self.estimates if e.headline and not e.group), None)

    @property
    def stopped_early(self) -> bool:
        """Return whether outcomes are missing: after a limit on cost, an early verdict, Ctrl-C or an incomplete import."""
        return self.counts.get("absent", 0) > 0 if self.counts else self.coverage < 1.0

    @property
    def truncation_known(self) -> bool:
        """Return whether `truncated` is known; it is not for some imported runs."""
        return not {TRUNCATION_UNKNOWN, _EARLIER_TRUNCATION_UNKNOWN} & set(self.notes)

    @property
    def complete(self) -> bool:
        """Return whether every item of the benchmark has an outcome; an incomplete run represents a model only if no other does."""
        return self.config.limit is None and not self.stopped_early


MAX_REPEATS = 100_000
MAX_NAME_CHARS = 4096
MAX_TIME_S = 32_503_680_000.0
"""The year 3000, in seconds since the epoch."""


def card_fault(card: Card) -> str:
    """Return the first impossible value of a card, e.g. an implausible time or an accuracy of 5; empty if there is none."""
    for name in ("started", "finished"):
        seconds = getattr(card, name)
        if seconds is not None and not 0 <= seconds <= MAX_TIME_S:
            return f"{name} {seconds:.3g} is not a plausible time"
    if not 1 <= card.config.repeats <= MAX_REPEATS:
        return f"the number of repeats, {card.config.repeats}, is not between 1 and {MAX_REPEATS}"
    counted = (card.expected, card.replies or 0, card.truncated, *card.counts.values(), *card.tokens.values())
    sizes = (size for estimate in card.estimates for size in (estimate.n, estimate.clusters))
    if any(not 0 <= number < 1 << 63 for number in (*counted, *sizes)):
        return "a count is negative or implausibly large"
    if card.cost_usd is not None and card.cost_usd < 0:
        return f"cost_usd {card.cost_usd:.3g} is negative"
    if not 0 <= card.coverage <= 1:
        return f"coverage {card.coverage:.3g} is not between 0 and 1"
    if fault := next(filter(None, map(estimate_fault, card.estimates)), ""):
        return fault
    if card.chance is not None and (headline := card.headline) is not None:
        low, high = _limits(headline)
        if not low <= card.chance <= high:
            return (
                f"chance {card.chance:.6g} is not between {low:g} and {high:g}, as a {headline.unit} must be"
            )
    if max(map(len, (card.run, card.model, card.config.suite, card.config.model))) > MAX_NAME_CHARS:
        return f"a name has more than {MAX_NAME_CHARS} characters"
    return ""


def estimate_fault(estimate: Estimate) -> str:
    """Return which number of an estimate is impossible in its unit; empty if none is."""
    low, high = _limits(estimate)
    for name in ("value", "worst", "best"):
        number = getattr(estimate, name)
        if number is not None and not low - ROUNDING <= number <= high + ROUNDING:
            return f"{estimate.metric}: {name} {number:.6g} is not between {low:g} and {high:g}, as a {estimate.unit} must be"
    return ""


def _limits(estimate: Estimate) -> tuple[float, float]:
    """Return the smallest and largest possible value; a fraction without bounds may be an R² or a relative error.

    Statistics such as Matthews' coefficient or kappa are stated as fractions, too, and may be negative.
    """
    if estimate.unit != "correlation" and estimate.unit != "fraction":
        return -inf, inf
    if estimate.unit == "correlation" or estimate.worst is not None:
        return -1.0, 1.0
    return (-inf, 1.0) if estimate.better == "higher" else (0.0, inf)


class _Version(Struct):
    """The part of a card that is decoded first, since other formats may have other fields."""

    format: int = 0


def parse(raw: bytes, source: str) -> Card:
    """Parse a card; raises StoreError if it is broken or has an unknown format. `source`: its file or manifest, for messages."""
    try:
        header = msgspec.json.decode(raw, type=_Version)
        if header.format != FORMAT:
            raise StoreError(
                f"{source.removesuffix('/card.json')}: written in format {header.format}; this version reads format {FORMAT}"
            )
        card = msgspec.json.decode(raw, type=Card)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{source}: {cause(error)}") from error
    if fault := card_fault(card):
        raise StoreError(f"{source}: {fault}")
    return card


@cache
def packages() -> dict[str, str]:
    """Return the versions of Python and of installed packages that may affect a run's numbers."""
    from importlib.metadata import PackageNotFoundError, version

    names = "science-evals aiohttp msgspec numpy datasets rdkit pymatgen lm-eval math-verify xllamacpp"
    versions = {"python": platform.python_version()}
    for name in names.split():
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


@cache
def host() -> dict[str, Any]:
    """Return the system, architecture and number of cores of this machine."""
    return {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()}


@cache
def commit() -> str:
    """Return the commit of this package's checkout, with `+dirty` if its code is modified; empty for a wheel, or if git fails."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    from subprocess import SubprocessError

    try:
        head = _git_output(root, "rev-parse", "HEAD")
        dirty = _git_output(
            root, "status", "--porcelain", "--untracked-files=no", "--", "evals", "suites", "model_adapters"
        )
    except (OSError, SubprocessError):
        return ""
    return f"{head}+dirty" if dirty else head


def _git_output(root: Path, *arguments: str) -> str:
    import subprocess

    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
