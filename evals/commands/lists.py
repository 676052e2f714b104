"""`evals list`: suites, models, runs and protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evals import load
from evals.collection import COLLECTIONS, Collection
from evals.commands import common
from evals.errors import EvalsError, UsageError
from evals.labels import ProtocolName
from evals.plain import percent
from evals.terminal.layout import Column, Section, table, width
from evals.verdicts.formatting import format_rule

if TYPE_CHECKING:
    from evals.profiles import Profile
    from evals.suite import Suite


@click.command("list")
@click.argument("kind", type=click.Choice(["suites", "models", "runs", "protocols"]))
@common.results_option
@common.json_option
def list_(kind: str, results: Path, as_json: bool) -> None:
    """List suites, models, runs or protocols."""
    {"suites": _list_suites, "models": _list_models, "runs": _list_runs, "protocols": _list_protocols}[kind](
        results, as_json=as_json
    )


def _list_suites(results: Path, *, as_json: bool) -> None:
    entries = _describe_suites(_suite_entry)
    collections = list(COLLECTIONS.values())
    if as_json:
        common.print_json({"suites": entries, "collections": list(map(_collection_entry, collections))})
        return
    for entry in entries:
        variants = " ".join(f":{variant}" for variant in entry["variants"])
        count = _item_count(entry["rows"]) if entry["rows"] else ""
        facts = [*filter(None, [count]), "protocols " + ", ".join(entry["protocols"])]
        facts += [f"needs {', '.join(entry['needs'])}"] if entry["needs"] else []
        facts += ["gated"] if entry["gated"] else []
        facts += [f"from {entry['origin']}"] if entry["origin"] else []
        common.say(f"{entry['name']:<14} {variants}".rstrip())
        common.say(f"    {entry['about']}")
        common.say(f"    {'; '.join(facts)}")
    for collection in collections:
        common.say(f"{collection.name:<14} {' '.join(f':{column.name}' for column in collection.columns)}")
        common.say(f"    {collection.title}")
        common.say(
            f"    protocols {', '.join(collection.protocol_names)}; a collection, whose columns are runs of other suites"
        )


def _collection_entry(collection: Collection) -> dict[str, Any]:
    columns = [
        {"name": column.name, "suites": list(column.suites), "protocols": dict(column.protocols)}
        for column in collection.columns
    ]
    facts = {"name": collection.name, "about": collection.title, "protocols": list(collection.protocol_names)}
    return {**facts, "columns": columns, "cite": collection.cite}


PLUGIN_ERRORS = (UsageError, AttributeError, KeyError, SyntaxError, TypeError, ValueError)
"""Errors that a broken plugin may raise."""
EntryT = TypeVar("EntryT")


def _describe_suites(describe: Callable[[str], EntryT]) -> list[EntryT]:
    """Return an entry per suite; broken plugins are reported and skipped."""
    entries = []
    for name in load.suite_names():
        try:
            entries.append(describe(name))
        except PLUGIN_ERRORS as error:
            origin = load.suite_origin(name)
            if origin is None:
                raise
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            common.note(f"skipped: {name} of {origin}: {reason}")
    return entries


def _item_count(rows: int | dict[str, int]) -> str:
    """Return the number of items, by variant if there are few of them; empty if it is unknown."""
    if isinstance(rows, int):
        return f"{rows:,} items"
    if not all(rows.values()):
        return f"at least {sum(rows.values()):,} items" if any(rows.values()) else ""
    by_variant = f" ({' + '.join(f'{count:,}' for count in rows.values())})" if 1 < len(rows) < 4 else ""
    return f"{sum(rows.values()):,} items{by_variant}"


def _suite_entry(name: str) -> dict[str, Any]:
    listing = load.listing(name)
    variants = [variant for variant in listing.variants if variant]
    return {
        "name": name,
        "about": listing.about,
        "variants": variants,
        "default": list(listing.default),
        "protocols": list(listing.protocols),
        "version": listing.version,
        "needs": list(listing.needs),
        "rows": listing.variants if variants else listing.variants.get("", {}),
        "gated": listing.gated,
        "origin": str(load.suite_origin(name) or ""),
    }


def _list_models(results: Path, *, as_json: bool) -> None:
    from evals import profiles

    entries = [
        {"name": name, "about": load.adapter_summary(name), "origin": str(load.adapter_origin(name) or "")}
        for name in load.model_name_forms()
    ]
    known_profiles = profiles.all_profiles()
    if as_json:
        common.print_json(
            {"models": entries, "profiles": [_profile_entry(profile) for profile in known_profiles]}
        )
        return
    for entry in entries:
        origin = f" (from {entry['origin']})" if entry["origin"] else ""
        common.say(f"{entry['name']:<14} {entry['about']}{origin}", indent=15)

    columns = [
        Column("profile"), Column("model"), Column("context", right=True, drop=3), Column("input", drop=1, no_wrap=True),
        Column("needs", drop=4, no_wrap=True), Column("USD per million in, out", drop=2, no_wrap=True),
    ]  # fmt: skip
    click.echo()
    common.table("", columns, map(_profile_row, known_profiles))


def _profile_entry(profile: Profile) -> dict[str, Any]:
    import msgspec

    empty: tuple[Any, ...] = ({}, (), [], None, "", False)
    stated = {name: value for name, value in msgspec.to_builtins(profile).items() if value not in empty}
    return {"name": profile.name, **stated, "takes": list(profile.takes)}


def _profile_row(profile: Profile) -> tuple[str, ...]:
    from evals.gpus import required_gpus

    price = (
        f"{profile.price.input:g}, {profile.price.output:g} ({profile.price.date})" if profile.price else ""
    )
    context = f"{profile.context:,}" if profile.context else ""
    return (
        profile.name,
        profile.names[0],
        context,
        ", ".join(("text", *profile.takes)),
        required_gpus(profile),
        price,
    )


def _list_runs(results: Path, *, as_json: bool) -> None:
    from evals.records import store

    entries: list[dict[str, Any]] = []
    broken = []
    for run in store.runs(results):
        try:
            card = run.card
        except EvalsError as error:
            broken.append(str(error))
            continue
        if line := store.damage(run.path, card):
            broken.append(line)
        entries.append({
            "run": card.run, "suite": card.config.suite, "protocol": card.config.protocol, "model": card.model,
            "status": card.status, "origin": card.origin, "coverage": card.coverage, "path": str(run.path),
        })  # fmt: skip
    for line in broken:
        common.note(f"broken run: {line}")
    if as_json:
        common.print_json({"runs": entries})
        return
    if not entries:
        if not broken:
            store.check_intended_folder(results)
        common.say(f"No runs in {results}.")
        return
    from evals.records.names import short_ids

    ids = short_ids(entry["run"] for entry in entries)
    columns = [
        Column("run", no_wrap=True), Column("suite", no_wrap=True), Column("model"), Column("protocol", drop=1, no_wrap=True),
        Column("status", drop=2, no_wrap=True), Column("coverage", right=True, drop=3), Column("id", drop=4, no_wrap=True),
    ]  # fmt: skip
    common.table("", columns, (_run_row(entry, ids) for entry in entries))


def _run_row(entry: dict[str, Any], ids: dict[str, str]) -> list[str]:
    names = [entry[name] for name in ("suite", "model", "protocol", "status")]
    return [ids[entry["run"]], *names, f"{percent(entry['coverage'])} %", entry["run"]]


def _list_protocols(results: Path, *, as_json: bool) -> None:
    entries = [entry for suite_protocols in _describe_suites(_protocol_entries) for entry in suite_protocols]
    if as_json:
        common.print_json({"protocols": entries})
        return

    columns = [
        Column("protocol", no_wrap=True), Column("metric", drop=2), Column("repeats", right=True, drop=1), Column("scored by"),
    ]  # fmt: skip
    suites = list(dict.fromkeys(entry["suite"] for entry in entries))
    sections: list[Section] = [
        (name, [_protocol_row(entry) for entry in entries if entry["suite"] == name]) for name in suites
    ]
    common.print_lines(table(columns, sections, width()))


def _protocol_row(entry: dict[str, Any]) -> list[str]:
    rules = ", ".join(map(format_rule, entry["scorers"].values()))
    shots = f"{entry['shots']} few-shot examples" if entry["shots"] else ""
    scored_by = "; ".join(filter(None, [entry["refuses"] or rules, shots, entry["words"]]))
    repeats = "" if entry["refuses"] else str(entry["repeats"])
    return [entry["protocol"], entry["headline"], repeats, scored_by]


def _protocol_entries(name: str) -> list[dict[str, Any]]:
    """Return the protocols of a suite's first variant; empty if its variants are unknown until the data are read."""
    listing = load.listing(name)
    if not listing.variants:
        return []
    variant = next(iter(listing.default or listing.variants))
    full_name = f"{name}:{variant}" if variant else name
    suites = [suite for protocol in listing.protocols for suite in load.suite(full_name, protocol)]
    return [
        {
            "suite": name,
            "protocol": suite.protocol,
            "headline": suite.headline.name,
            "repeats": suite.repeats,
            "shots": suite.shots,
            "scorers": suite.scorer_versions(),
            "runs": not suite.refuses,
            "refuses": suite.refuses,
            "words": _prompt_description(suite),
            "licence": suite.licence,
            "cite": suite.cite,
        }
        for suite in suites
    ]


OFFICIAL_PROTOCOL = "official"
"""The protocol with the authors' shots, options, sampling and rule. Its prompts are theirs if the data contain them, else reworded."""


def _prompt_description(suite: Suite) -> str:
    """Return where a protocol's prompts come from, or why they are missing; empty if they are the benchmark's own."""
    protocol = ProtocolName.parse(suite.protocol)
    if protocol.reworded:
        return f"{protocol.base} with reworded prompts, not ranked with it"
    if suite.upstream is None:
        return "reworded prompt" if suite.protocol == OFFICIAL_PROTOCOL and suite.uses_own_prompts else ""
    return suite.upstream.fault() or f"prompts of {suite.upstream.source}"
