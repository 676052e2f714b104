"""`evals run --dry-run` for a terminal and as JSON: planned calls, and the published numbers that they compare with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import structs

from evals import profiles
from evals.records.card import Card
from evals.run.dry_run import Forecast, hours_together
from evals.run.progress import duration
from evals.run.sweep_totals import Totals
from evals.terminal.figures import percent
from evals.terminal.layout import Column, table, wrap
from evals.verdicts.reported import Claim

COLUMNS = (
    Column("suite", whole=True),
    Column("protocol", drop=1),
    Column("items", right=True),
    Column("calls", right=True),
    Column("tokens in", right=True, drop=4),
    Column("tokens out", right=True, drop=2),
    Column("USD", right=True),
    Column("time", right=True),
    Column("95 % ±", right=True, drop=3),
)
SOURCES = 3
"""Maximum number of published numbers named on a line."""


def lines(
    forecasts: Sequence[Forecast],
    claims: Sequence[Claim],
    max_width: int | None,
    *,
    sums: Totals | None = None,
) -> list[str]:
    """Return a table with a row for each suite and model, followed by remarks on each and the sums of a sweep."""
    sections = [
        (model, [_row(forecast) for forecast in forecasts if forecast.model == model])
        for model in dict.fromkeys(forecast.model for forecast in forecasts)
    ]
    output = table(COLUMNS, sections, max_width)
    remarks = _grouped(forecasts)
    if "95 % ±" in output[0] and any(forecast.half_width_bound for forecast in forecasts):
        remarks.append("95 % ±: half the width of the interval to expect; <= is the most, that of 50 %")
    remarks += [
        f"{forecast.suite}: {line}"
        for forecast in _first_of_suites(forecasts)
        for line in _published(forecast, claims)
    ]
    output += (
        [""] + [line for text in remarks for line in wrap(text, max_width, indent="  ")] if remarks else []
    )
    return [*output, *_sums(forecasts, sums, max_width), "", "Nothing was asked (--dry-run)."]


def _sums(forecasts: Sequence[Forecast], sums: Totals | None, max_width: int | None) -> list[str]:
    if sums is not None:
        return ["", *wrap(totals_line(sums), max_width, indent="  ")]
    costs = [forecast.cost_usd for forecast in forecasts if forecast.cost_usd is not None]
    where = "" if len(costs) == len(forecasts) else " where a price is known"
    return [
        *(["", f"In all {sum(costs):,.2f} USD{where}"] if len(costs) > 1 else []),
        *_time_together(forecasts),
    ]


def _time_together(forecasts: Sequence[Forecast]) -> list[str]:
    """Return the time of several models together, if it is known for all that have calls to make."""
    open_ = [forecast for forecast in forecasts if forecast.calls]
    several = len({forecast.model for forecast in forecasts}) > 1
    if not several or not open_ or any(forecast.hours is None for forecast in open_):
        return []
    return ["", f"All models together take about {duration(3600 * hours_together(forecasts))}."]


def _grouped(forecasts: Sequence[Forecast]) -> list[str]:
    """Return the remarks; those with the same words become one line, which names the first of whom it is true."""
    models = {forecast.model for forecast in forecasts}
    protocols = {(forecast.suite, forecast.protocol) for forecast in forecasts}
    by_suite = Counter(suite for suite, _ in protocols)
    names: dict[str, dict[str, None]] = {}
    for forecast in forecasts:
        parts = [
            f"{forecast.suite} {forecast.protocol}" if by_suite[forecast.suite] > 1 else forecast.suite,
            *([forecast.model] if len(models) > 1 else []),
        ]
        for text in _remarks(forecast):
            names.setdefault(text, {})[", ".join(parts)] = None
    grouped = []
    for text, whom in names.items():
        more = f"; and {len(whom) - SOURCES} more" if len(whom) > SOURCES else ""
        grouped.append(f"{'; '.join(list(whom)[:SOURCES])}{more}: {text}")
    return grouped


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
    return [
        forecast.suite, forecast.protocol, items, f"{forecast.calls:,}", into, out, cost, hours, _half_width(forecast),
    ]  # fmt: skip


def _half_width(forecast: Forecast) -> str:
    if forecast.half_width is None:
        return "-"
    scaled = (
        f"{100 * forecast.half_width:.1f}" if forecast.unit == "fraction" else f"{forecast.half_width:.2g}"
    )
    return f"{'<= ' if forecast.half_width_bound else ''}{scaled}"


def _first_of_suites(forecasts: Sequence[Forecast]) -> list[Forecast]:
    return list({(forecast.suite, forecast.protocol): forecast for forecast in reversed(forecasts)}.values())[
        ::-1
    ]


def _remarks(forecast: Forecast) -> list[str]:
    remarks = [f"cannot be started here: {forecast.fault}"] if forecast.fault else []
    if forecast.run:
        remarks.append(
            f"resumes {forecast.run}, which has {forecast.done:,} replies" if forecast.calls else
            f"{forecast.run} has all {forecast.done:,} replies and is reused (--fresh asks again)"
        )  # fmt: skip
    if forecast.basis and forecast.calls:
        speed = f"; time for {forecast.at_once} calls at once" if forecast.hours is not None else ""
        remarks.append(f"tokens out: {forecast.basis}{speed}")
    if forecast.half_width is not None and forecast.calls and not forecast.half_width_bound:
        remarks.append(f"95 % ±: {forecast.half_width_basis}")
    return [*remarks, *forecast.notes]


def totals_line(sums: Totals) -> str:
    """Return the sums in one line."""
    at_most = "<= " if sums.bound else ""
    facts = [
        f"{sums.runs:,} runs: {sums.existing:,} exist, {sums.resumed:,} are resumed, {sums.new:,} are new",
        f"{sums.calls:,} calls",
        f"{sums.input_tokens:,} tokens in, {at_most}{sums.output_tokens:,} out",
    ]
    if sums.cost_usd is not None:
        known = f" where a price is known ({sums.unpriced} without)" if sums.unpriced else ""
        facts.append(f"{at_most}{sums.cost_usd:,.2f} USD{known}")
    if sums.hours:
        one = duration(3600 * sums.hours_side_by_side)
        after = (
            f", {duration(3600 * sums.hours)} with the models in turn"
            if sums.hours > sums.hours_side_by_side
            else ""
        )
        known = f" where it is known ({sums.untimed} without)" if sums.untimed else ""
        facts.append(f"{one}{after}{known}")
    return f"Sweep: {'; '.join(facts)}"


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
