"""Provenance of a score: the command that repeats its run, and the facts on the run's card."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

import msgspec

from evals.plain import count_of
from evals.records import promise
from evals.records.card import Card, Config
from evals.terminal.figures import utc_time

TIME_FORMAT = "%Y-%m-%d %H:%M:%S UTC"
MIRROR_PLACEHOLDER = "MIRROR"
"""Placeholder in a command for the path of local data, which the card does not record."""


def command(card: Card) -> str:
    """Return the command line that repeats a run, or an import."""
    config = card.config
    if card.origin.startswith("import"):
        words = ["evals", *card.origin.split(), card.source or "FILE"]
        words += ["--suite", config.suite, "--model", card.model]
    else:
        words = ["evals", "run", config.suite, "-m", config.model]
    data_options = {"sample": ["--sample"], "local": ["--data", MIRROR_PLACEHOLDER], "hub": []}[card.data]
    words += ["--protocol", config.protocol, *data_options]
    if not card.origin.startswith("import"):
        words += _run_options(card)
    return " ".join(word if word == MIRROR_PLACEHOLDER else quote(word) for word in words)


def _run_options(card: Card) -> Iterator[str]:
    config, sampling = card.config, card.config.sampling
    values = {
        "--limit": None if config.sample_ids else config.limit,
        "--repeats": config.repeats if config.repeats > 1 else None,
        "--seed": config.seed or None,
        "--temperature": sampling.temperature,
        "--top-p": sampling.top_p,
        "--max-tokens": sampling.max_tokens,
        "--max-pixels": config.max_pixels,
        "--judge": config.judge or None,
        "--system": config.system or None,
        "--extra-body": msgspec.json.encode(sampling.extra).decode() if sampling.extra else None,
    }
    for sample in config.sample_ids:
        yield from ("--sample-id", sample)
    for name, value in values.items():
        if value is not None:
            yield from (name, f"{value:g}" if isinstance(value, float) else str(value))
    if sampling.thinking is not None:
        yield "--thinking" if sampling.thinking else "--no-thinking"


def facts(card: Card) -> list[tuple[str, str]]:
    """Return (name, value) pairs of the facts needed to judge or repeat a run; unknown ones are left out."""
    config = card.config
    sampling = ", ".join(
        f"{name} {getattr(config.sampling, name)}"
        for name in config.sampling.__struct_fields__
        if getattr(config.sampling, name) not in (None, (), {})
    )
    rows = [
        ("suite", f"{config.suite}, version {config.version}"),
        ("protocol", config.protocol),
        ("upstream prompt", _upstream_prompt(card)),
        ("model", config.model + (f", served as {card.served}" if card.served else "")),
        ("data", f"{card.data}{f', {card.source}' if card.source else ''}, SHA-256 {config.data_sha256}"),
        ("items", _item_selection(config)),
        ("repeats, seed", f"{config.repeats}, {config.seed}"),
        ("sampling", sampling or "defaults of the server"),
        *((f"scorer {name}", rule) for name, rule in card.scorers.items()),
        ("errata", card.errata),
        ("judge", config.judge),
        ("system prompt", config.system),
        ("code", card.commit or "a released package"),
        ("packages", ", ".join(f"{name} {version}" for name, version in card.packages.items())),
        ("machine", ", ".join(f"{name} {value}" for name, value in card.host.items())),
        ("promise", "" if card.promise is None else promise.promise_status(card)),
        ("origin", card.origin),
        ("started", utc_time(card.started, TIME_FORMAT)),
        ("finished", utc_time(card.finished or 0.0, TIME_FORMAT)),
        *(("fault" if finding.fault else "warning", finding.message) for finding in card.health),
        *(("note", note) for note in card.notes),
    ]
    return [(name, value) for name, value in rows if value]


def _item_selection(config: Config) -> str:
    if config.sample_ids:
        return ", ".join(config.sample_ids)
    return "all" if config.limit is None else f"a seeded subset of {count_of(config.limit, 'item')}"


def _upstream_prompt(card: Card) -> str:
    """Return the upstream package and file of a run's prompt; empty if the prompt is the suite's own."""
    source = card.wording
    sha256 = f"SHA-256 {source.get('file_sha256', 'not stated')}"
    return ", ".join(filter(None, (source.get("package"), source.get("file"), sha256))) if source else ""
