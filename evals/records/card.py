"""The card of a run: all that a reader needs to trust, repeat or reject its numbers. No secrets, no texts."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from evals.types import Estimate, Sampling

FORMAT = 1
"""Version of the files of a run; a reader refuses what it does not know."""


class Config(Struct, frozen=True, kw_only=True):
    """What makes two runs the same run: a change in any of it makes a new one."""

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
    """The only samples that were asked (--sample-id); empty: all, or `limit` of them."""
    max_pixels: int | None = None
    """Images with more are sent smaller; None: as they are."""
    judge: str = ""
    """The judge model as given on the command line; empty: none."""
    engine: str = ""
    """The user's own options of the server that is started for the model; empty: none."""
    words: str = ""
    """Beginning of the SHA-256 of upstream's own words that it asks in; empty: the suite's wording."""

    system: str = ""
    """The user's own system prompt; empty: none."""

    def changes(self, other: Config) -> list[str]:
        """Name the settings that differ, as `seed is 1 and was 0`; of the sampling each one."""
        pairs = [
            (WORDS.get(name, name.replace("_", " ")), getattr(self, name), getattr(other, name))
            for name in self.__struct_fields__
            if name != "sampling"
        ]
        pairs += [
            (name.replace("_", " "), getattr(self.sampling, name), getattr(other.sampling, name))
            for name in Sampling.__struct_fields__
        ]
        return [
            f"{name} is {_setting(new)} and was {_setting(old)}" for name, new, old in pairs if new != old
        ]


WORDS = {
    "limit": "--limit",
    "data_sha256": "the data's SHA-256",
    "words": "upstream's wording",
    "version": "the suite's version",
}
"""Settings that a person knows by another name."""


def _setting(value: Any) -> str:
    """Write a setting; one that is not set is the server's, or all items."""
    if value is None or value in ((), {}, ""):
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str) and len(value) == 64:
        return value[:16]  # a hash
    if isinstance(value, dict):
        return ", ".join(f"{name} {_setting(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


class FileFacts(Struct, frozen=True, kw_only=True):
    """What identifies a sealed file of a run."""

    size: int
    mtime_ns: int
    sha256: str


class JudgeCard(Struct, kw_only=True):
    """What a judge model had to do with a run; its tokens and cost are not in the run's own."""

    model: str = ""
    """As given on the command line."""
    served: str = ""
    """As the server names it."""
    templates: dict[str, str] = field(default_factory=dict)
    """Name -> SHA-256 of the words that it was asked with."""
    sampling: Sampling = Sampling()
    verdicts: int = 0
    unreadable: int = 0
    """Replies that it gave no readable verdict on: failures, never zeros."""
    waiting: int = 0
    """Replies that no judge has seen."""
    drawn: dict[str, Any] | None = None
    """Where upstream draws an option for the unreadable ones: `n` of them, `value` of the score in expectation."""
    tokens: dict[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    agreement: dict[str, Any] | None = None
    """With the rule, where both spoke."""
    both_sides: dict[str, Any] | None = None
    """What the score would be if the judge decided rights and wrongs alike."""


UNTOLD = "the source does not tell why a reply ended: cut ones are not told apart"
"""Note on an imported run of which `truncated` is not known."""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something about a run that looks broken; see `evals/run/health.py`."""

    kind: str
    """empty, truncated, same, unread."""
    message: str
    fault: bool = False
    """Whether the run's numbers say nothing of the model; else it is a warning."""


class PromisedSuite(Struct, frozen=True, kw_only=True):
    """What will be run of one suite."""

    suite: str
    protocol: str
    version: str
    data_sha256: str
    seed: int
    repeats: int
    limit: int | None = None
    """Items of the seeded subset; None: all."""
    judge: str = ""
    """The judge model as named on the command line; empty: none."""
    estimand: str = ""


class Promise(Struct, frozen=True, kw_only=True):
    """What was said, before a run, that it would be: see `evals/records/promise.py`."""

    format: int = 1
    made: float
    """Seconds since 1970."""
    policy_sha256: str
    suites: tuple[PromisedSuite, ...]


class Card(Struct, kw_only=True):
    """What a run was, and what came of it."""

    format: int = FORMAT
    run: str
    config: Config
    model: str
    """Short name, as shown in tables."""
    served: str = ""
    """The model as the server named it."""
    data: Literal["hub", "local", "sample"] = "local"
    source: str = ""
    """Hub id and revision, or the file name of what was imported."""
    gated: bool = False
    origin: str = "run"
    """`run`, or `import FORMAT`."""
    status: Literal["running", "finished", "partial", "interrupted"] = "running"
    expected: int = 0
    """Sample-repeats."""
    started: float = 0.0
    """Seconds since the epoch, UTC."""
    finished: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Per verdict, and per failure as `failed:KIND`."""
    forms: dict[str, int] = field(default_factory=dict)
    """Answers by how they were stated (`Score.form`)."""
    coverage: float = 0.0
    """Scored sample-repeats / expected ones."""
    truncated: int = 0
    """Replies cut at max tokens, whatever their verdict."""
    tokens: dict[str, int] = field(default_factory=dict)
    """input, output, reasoning, cached: sums over replies."""
    cost_usd: float | None = None
    """None where the price is not known."""
    batch_tokens: dict[str, int] = field(default_factory=dict)
    """Those of `tokens` that were billed at batch price."""
    price: dict[str, float] = field(default_factory=dict)
    """USD per million tokens by kind: input, output, cached."""
    price_date: str = ""
    scorers: dict[str, str] = field(default_factory=dict)
    """Scorer name -> rule, options and version."""
    errata: str = ""
    """Version of the errata that its scores are marked with; empty: none were known."""
    chance: float | None = None
    estimates: tuple[Estimate, ...] = ()
    commit: str = ""
    """Of this package's checkout, with `+dirty` where files differ; empty in a wheel."""
    packages: dict[str, str] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wording: dict[str, str] = field(default_factory=dict)
    """Whose own words it asked in: package, file, variables, their SHA-256; empty: in the suite's wording."""
    judge: JudgeCard | None = None
    files: dict[str, FileFacts] = field(default_factory=dict)
    """Name -> facts of the sealed files that the numbers were made of; empty while they change, and in older runs."""
    health: tuple[Finding, ...] = ()
    """What looks broken; empty: nothing, or nobody looked."""
    promise: Promise | None = None
    """What was promised before the run (`evals gate promise`)."""

    @property
    def stopped_early(self) -> bool:
        """Whether items were never asked: by a limit on cost or tokens, an early verdict, Ctrl-C."""
        return self.counts.get("absent", 0) > 0 if self.counts else self.coverage < 1.0

    @property
    def complete(self) -> bool:
        """Whether it holds an outcome of every item of the whole benchmark; other runs stand for no model."""
        return self.config.limit is None and not self.stopped_early


MOST_REPEATS = 100_000
LONGEST_NAME = 4096
LATEST = 32_503_680_000.0
"""The year 3000, in seconds since the epoch."""


def implausible(card: Card) -> str:
    """Say what of a card no run can have had; empty if it may be one. Such a value would harm whoever shows it."""
    for name in ("started", "finished"):
        seconds = getattr(card, name)
        if seconds is not None and not 0 <= seconds <= LATEST:
            return f"{name} {seconds:.3g} is no time of a run"
    if not 1 <= card.config.repeats <= MOST_REPEATS:
        return f"{card.config.repeats} repeats"
    counted = (card.expected, card.truncated, *card.counts.values(), *card.tokens.values())
    if any(not 0 <= number < 1 << 63 for number in counted):
        return "a count below 0 or above all that can be counted"
    if not 0 <= card.coverage <= 1:
        return f"coverage {card.coverage:.3g} is no share"
    if max(map(len, (card.run, card.model, card.config.suite, card.config.model))) > LONGEST_NAME:
        return f"a name of more than {LONGEST_NAME} characters"
    return ""


@cache
def packages() -> dict[str, str]:
    """Versions of what may change a number."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in (
        "science-evals",
        "aiohttp",
        "msgspec",
        "numpy",
        "datasets",
        "rdkit",
        "pymatgen",
        "lm-eval",
        "math-verify",
        "xllamacpp",
    ):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def host() -> dict[str, Any]:
    """Machine facts without names of people or machines."""
    return {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()}


@cache
def commit() -> str:
    """Return the commit of the checkout that this package runs from; empty outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    from subprocess import SubprocessError

    try:
        head = _git(root, "rev-parse", "HEAD")
        dirty = _git(
            root, "status", "--porcelain", "--untracked-files=no", "--", "evals", "suites", "model_adapters"
        )
    except (OSError, SubprocessError):
        return ""
    return f"{head}+dirty" if dirty else head


def _git(root: Path, *arguments: str) -> str:
    import subprocess

    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
