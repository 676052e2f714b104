"""`evals run --dry-run` for a terminal and as JSON: what would be asked, and which published numbers it compares with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from evals import profiles
from evals.run.dry_run import Forecast
from evals.run.progress import duration
from evals.terminal.figures import percent
from evals.terminal.layout import Column, table, wrap
from evals.verdicts.reported import Claim

COLUMNS = (
    Column("suite", whole=True),
    Column("protocol", drop=1),
    Column("items", right=True),
    Column("calls", right=True),
    Column("tokens in", right=True, drop=3),
    Column("tokens out", right=True, drop=2),
    Column("USD", right=True),
    Column("time", right=True),
)
SOURCES = 3
"""Published numbers that a line names."""


def lines(forecasts: Sequence[Forecast], claims: Sequence[Claim], room: int | None) -> list[str]:
    """Return a table with a row for each suite and model, and below it what must be known of each."""
    sections = [
        (model, [_row(one) for one in forecasts if one.model == model])
        for model in dict.fromkeys(one.model for one in forecasts)
    ]
    found = table(COLUMNS, sections, room)
    remarks = [line for one in forecasts for line in _remarks(one, several=len(sections) > 1)]
    remarks += [
        f"{one.suite}: {line}" for one in _first_of_suites(forecasts) for line in _published(one, claims)
    ]
    found += [""] + [line for text in remarks for line in wrap(text, room, indent="  ")] if remarks else []
    costs = [one.cost_usd for one in forecasts if one.cost_usd is not None]
    if len(costs) > 1:
        found += [
            "",
            f"In all {sum(costs):,.2f} USD"
            + ("" if len(costs) == len(forecasts) else " where a price is known"),
        ]
    return [*found, "", "Nothing was asked (--dry-run)."]


def _row(one: Forecast) -> list[str]:
    items = f"{one.items:,}" if one.items == one.total else f"{one.items:,} of {one.total:,}"
    items += f" x {one.repeats}" if one.repeats > 1 else ""
    most = "<= " if one.bound else ""
    hours = "-" if one.hours is None else duration(3600 * one.hours)
    cost = "-" if one.cost_usd is None else f"{most}{one.cost_usd:,.2f}"
    out = "-" if one.output_tokens is None else f"{most}{one.output_tokens:,}"
    into = "-" if one.input_tokens is None else f"{one.input_tokens:,}"
    return [one.suite, one.protocol, items, f"{one.calls:,}", into, out, cost, hours]


def _first_of_suites(forecasts: Sequence[Forecast]) -> list[Forecast]:
    return list({(one.suite, one.protocol): one for one in reversed(forecasts)}.values())[::-1]


def _remarks(one: Forecast, *, several: bool) -> list[str]:
    name = f"{one.suite}, {one.model}" if several else one.suite
    found = [f"{name}: cannot be started here: {one.fault}"] if one.fault else []
    if one.run:
        found.append(
            f"{name}: resumes {one.run}, which has {one.done:,} replies" if one.calls else
            f"{name}: {one.run} has all {one.done:,} replies and is reused (--fresh asks again)"
        )  # fmt: skip
    if one.basis and one.calls:
        speed = f"; time for {one.at_once} calls at once" if one.hours is not None else ""
        found.append(f"{name}: tokens out: {one.basis}{speed}")
    return found + [f"{name}: {note}" for note in one.notes]


def _published(one: Forecast, claims: Sequence[Claim]) -> list[str]:
    """Say which published numbers the protocol compares with, the model's own first, and under which others there are."""
    there = [claim for claim in claims if claim.suite == one.suite and not claim.superseded]
    same = sorted((c for c in there if c.protocol == one.protocol), key=lambda c: not _is_model(c, one))
    others = sorted({claim.protocol for claim in there if claim.protocol not in ("", one.protocol)})
    also = f"; others are published under {', '.join(others)} (--protocol)" if others else ""
    if not same:
        return [f"no published number is under {one.protocol}{also}"] if there else []
    named = "; ".join(f"{c.model} {_value(c)}" for c in same[:SOURCES])
    more = f" and {len(same) - SOURCES} more" if len(same) > SOURCES else ""
    return [f"compares with {len(same)} published numbers under {one.protocol}: {named}{more}{also}"]


def _is_model(claim: Claim, one: Forecast) -> bool:
    profile = profiles.find(one.model)
    own = {name.rpartition("/")[2].lower() for name in profile.names} if profile else set()
    return claim.model.lower() in own | {one.model.rpartition("#")[2].rpartition(":")[2].lower()}


def _value(claim: Claim) -> str:
    return percent(claim.value) if claim.unit == "fraction" else f"{claim.value:g} {claim.unit}".strip()


def as_rows(forecasts: Sequence[Forecast], claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Return a JSON object for each suite and model, with the published numbers of the suite."""
    return [
        {
            **structs.asdict(one),
            "published": [
                {
                    "model": claim.model,
                    "value": claim.value,
                    "unit": claim.unit,
                    "protocol": claim.protocol,
                    "source": claim.source,
                    "same_protocol": claim.protocol == one.protocol,
                }
                for claim in claims
                if claim.suite == one.suite and not claim.superseded
            ],
        }
        for one in forecasts
    ]
