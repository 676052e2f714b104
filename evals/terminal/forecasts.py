"""`evals run --dry-run` for a terminal and as JSON: planned calls, and the published numbers that they compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from evals import profiles
from evals.records.card import Card
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
"""Maximum number of published numbers named on a line."""


def lines(forecasts: Sequence[Forecast], claims: Sequence[Claim], max_width: int | None) -> list[str]:
    """Return a table with a row for each suite and model, followed by remarks on each."""
    sections = [
        (model, [_row(forecast) for forecast in forecasts if forecast.model == model])
        for model in dict.fromkeys(forecast.model for forecast in forecasts)
    ]
    output = table(COLUMNS, sections, max_width)
    remarks = [line for forecast in forecasts for line in _remarks(forecast, several=len(sections) > 1)]
    remarks += [
        f"{forecast.suite}: {line}"
        for forecast in _first_of_suites(forecasts)
        for line in _published(forecast, claims)
    ]
    output += (
        [""] + [line for text in remarks for line in wrap(text, max_width, indent="  ")] if remarks else []
    )
    costs = [forecast.cost_usd for forecast in forecasts if forecast.cost_usd is not None]
    if len(costs) > 1:
        output += [
            "",
            f"In all {sum(costs):,.2f} USD"
            + ("" if len(costs) == len(forecasts) else " where a price is known"),
        ]
    return [*output, "", "Nothing was asked (--dry-run)."]


def _row(forecast: Forecast) -> list[str]:
    items = (
        f"{forecast.items:,}"
        if forecast.items == forecast.total
        else f"{forecast.items:,} of {forecast.total:,}"
    )
    items += f" x {forecast.repeats}" if forecast.repeats > 1 else ""
    at_most = "<= " if forecast.bound else ""
    hours = "-" if forecast.hours is None else duration(3600 * forecast.hours)
    cost = "-" if forecast.cost_usd is None else f"{at_most}{forecast.cost_usd:,.2f}"
    out = "-" if forecast.output_tokens is None else f"{at_most}{forecast.output_tokens:,}"
    into = "-" if forecast.input_tokens is None else f"{forecast.input_tokens:,}"
    return [forecast.suite, forecast.protocol, items, f"{forecast.calls:,}", into, out, cost, hours]


def _first_of_suites(forecasts: Sequence[Forecast]) -> list[Forecast]:
    return list({(forecast.suite, forecast.protocol): forecast for forecast in reversed(forecasts)}.values())[
        ::-1
    ]


def _remarks(forecast: Forecast, *, several: bool) -> list[str]:
    name = f"{forecast.suite}, {forecast.model}" if several else forecast.suite
    remarks = [f"{name}: cannot be started here: {forecast.fault}"] if forecast.fault else []
    if forecast.run:
        remarks.append(
            f"{name}: resumes {forecast.run}, which has {forecast.done:,} replies" if forecast.calls else
            f"{name}: {forecast.run} has all {forecast.done:,} replies and is reused (--fresh asks again)"
        )  # fmt: skip
    if forecast.basis and forecast.calls:
        speed = f"; time for {forecast.at_once} calls at once" if forecast.hours is not None else ""
        remarks.append(f"{name}: tokens out: {forecast.basis}{speed}")
    return remarks + [f"{name}: {note}" for note in forecast.notes]


def _published(forecast: Forecast, claims: Sequence[Claim]) -> list[str]:
    """Return a line on the published numbers under the same protocol (this model's first), and on other protocols with published numbers."""
    published = [claim for claim in claims if claim.suite == forecast.suite and not claim.superseded]
    comparable = sorted(
        (c for c in published if c.protocol == forecast.protocol), key=lambda c: not _is_model(c, forecast)
    )
    elsewhere = _elsewhere(forecast.suite, forecast.protocol, claims)
    if not comparable:
        return [f"no published number is under {forecast.protocol}{elsewhere}"] if published else []
    named = "; ".join(f"{c.model} {_value(c)}" for c in comparable[:SOURCES])
    more = f" and {len(comparable) - SOURCES} more" if len(comparable) > SOURCES else ""
    return [
        f"compares with {len(comparable)} published numbers under {forecast.protocol}: {named}{more}{elsewhere}"
    ]


def _elsewhere(suite: str, protocol: str, claims: Sequence[Claim]) -> str:
    """Return which other protocols have published numbers of a suite; empty if none has."""
    published = {claim.protocol for claim in claims if claim.suite == suite and not claim.superseded}
    others = sorted(published - {"", protocol})
    return f"; others are published under {', '.join(others)} (--protocol)" if others else ""


def not_published(cards: Sequence[Card], claims: Sequence[Claim]) -> list[str]:
    """Return a line for each protocol under which nothing is published of suites that are published under others."""
    under = {(claim.suite, claim.protocol) for claim in claims}
    suites: dict[str, dict[str, None]] = {}
    for card in cards:
        suite, protocol = card.config.suite, card.config.protocol
        elsewhere = _elsewhere(suite, protocol, claims)
        if card.data != "sample" and elsewhere and (suite, protocol) not in under:
            suites.setdefault(f"no published number is under {protocol}{elsewhere}", {})[suite] = None
    return [f"{', '.join(names)}: {line}" for line, names in suites.items()]


def _is_model(claim: Claim, forecast: Forecast) -> bool:
    profile = profiles.find(forecast.model)
    own = {name.rpartition("/")[2].lower() for name in profile.names} if profile else set()
    return claim.model.lower() in own | {forecast.model.rpartition("#")[2].rpartition(":")[2].lower()}


def _value(claim: Claim) -> str:
    return percent(claim.value) if claim.unit == "fraction" else f"{claim.value:g} {claim.unit}".strip()


def as_rows(forecasts: Sequence[Forecast], claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Return a JSON object for each suite and model, with the published numbers of the suite."""
    return [
        {
            **structs.asdict(forecast),
            "published": [
                {
                    "model": claim.model,
                    "value": claim.value,
                    "unit": claim.unit,
                    "protocol": claim.protocol,
                    "source": claim.source,
                    "same_protocol": claim.protocol == forecast.protocol,
                }
                for claim in claims
                if claim.suite == forecast.suite and not claim.superseded
            ],
        }
        for forecast in forecasts
    ]
