"""Output of `evals run --dry-run` as text and as JSON: planned calls, and published numbers to compare with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import structs

from evals import profiles
from evals.plain import count_of, percent, percent_digits
from evals.records.card import Card
from evals.run.dry_run import Forecast, Totals, hours_side_by_side
from evals.run.progress import duration_text
from evals.terminal.layout import Column, table, wrap
from evals.verdicts.reported import Claim

COLUMNS = (
    Column("suite", no_wrap=True), Column("protocol", drop=1), Column("items", right=True), Column("calls", right=True),
    Column("tokens in", right=True, drop=4), Column("tokens out", right=True, drop=2), Column("USD", right=True),
    Column("time", right=True), Column("95 % ±", right=True, drop=3),
)  # fmt: skip
MAX_NAMED = 3
"""Maximum number of suites, models or published numbers named on a line."""


def lines(
    forecasts: Sequence[Forecast],
    claims: Sequence[Claim],
    max_width: int | None,
    *,
    totals: Totals | None = None,
) -> list[str]:
    """Return a table with a row per suite and model, remarks on the rows, and totals."""
    sections = [
        (model, [_row(forecast) for forecast in forecasts if forecast.model == model])
        for model in dict.fromkeys(forecast.model for forecast in forecasts)
    ]
    output = table(COLUMNS, sections, max_width)
    remarks = _grouped_remarks(forecasts)
    if "95 % ±" in output[0] and any(forecast.half_width_bound for forecast in forecasts):
        remarks.append("95 % ±: half-width of the expected interval; <= is its maximum, at a score of 50 %")
    remarks += [
        f"{forecast.suite}: {line}"
        for forecast in _first_per_suite(forecasts)
        for line in _published_lines(forecast, claims)
    ]
    if remarks:
        output += ["", *(line for text in remarks for line in wrap(text, max_width, indent="  "))]
    return [*output, *_totals_lines(forecasts, totals, max_width), "", "No model was called (--dry-run)."]


def _totals_lines(forecasts: Sequence[Forecast], totals: Totals | None, max_width: int | None) -> list[str]:
    if totals is not None:
        return ["", *wrap(totals_line(totals), max_width, indent="  ")]
    costs = [forecast.cost_usd for forecast in forecasts if forecast.cost_usd is not None]
    suffix = "" if len(costs) == len(forecasts) else ", without models whose price is unknown"
    return [
        *(["", f"Total {sum(costs):,.2f} USD{suffix}"] if len(costs) > 1 else []),
        *_concurrent_time_lines(forecasts),
    ]


def _concurrent_time_lines(forecasts: Sequence[Forecast]) -> list[str]:
    """Return a line about how long several models take side by side; none for one model, or if a time is unknown."""
    pending = [forecast for forecast in forecasts if forecast.calls]
    has_multiple_models = len({forecast.model for forecast in forecasts}) > 1
    if not has_multiple_models or not pending or any(forecast.hours is None for forecast in pending):
        return []
    return ["", f"All models together take about {duration_text(3600 * hours_side_by_side(forecasts))}."]


def _grouped_remarks(forecasts: Sequence[Forecast]) -> list[str]:
    """Return the remarks; equal ones are merged into one line that names the first few suites and models."""
    models = {forecast.model for forecast in forecasts}
    protocols = {(forecast.suite, forecast.protocol) for forecast in forecasts}
    protocols_per_suite = Counter(suite for suite, _ in protocols)
    subjects_by_remark: dict[str, dict[str, None]] = {}
    for forecast in forecasts:
        subject = forecast.suite
        subject += f" {forecast.protocol}" if protocols_per_suite[forecast.suite] > 1 else ""
        subject += f", {forecast.model}" if len(models) > 1 else ""
        for remark in _remarks(forecast):
            subjects_by_remark.setdefault(remark, {})[subject] = None
    grouped = []
    for remark, subjects in subjects_by_remark.items():
        suffix = f"; and {len(subjects) - MAX_NAMED} more" if len(subjects) > MAX_NAMED else ""
        grouped.append(f"{'; '.join(list(subjects)[:MAX_NAMED])}{suffix}: {remark}")
    return grouped


def _row(forecast: Forecast) -> list[str]:
    items = (
        f"{forecast.items:,}"
        if forecast.items == forecast.total
        else f"{forecast.items:,} of {forecast.total:,}"
    )
    items += f" x {forecast.repeats}" if forecast.repeats > 1 else ""
    bound_sign = "<= " if forecast.bound else ""
    hours = "-" if forecast.hours is None else duration_text(3600 * forecast.hours)
    cost = "-" if forecast.cost_usd is None else f"{bound_sign}{forecast.cost_usd:,.2f}"
    output_tokens = "-" if forecast.output_tokens is None else f"{bound_sign}{forecast.output_tokens:,}"
    input_tokens = "-" if forecast.input_tokens is None else f"{forecast.input_tokens:,}"
    return [
        forecast.suite, forecast.protocol, items, f"{forecast.calls:,}", input_tokens, output_tokens, cost, hours, _half_width(forecast),
    ]  # fmt: skip


def _half_width(forecast: Forecast) -> str:
    if forecast.half_width is None:
        return "-"
    scaled = (
        f"{100 * forecast.half_width:.{percent_digits(100 * forecast.half_width)}f}"
        if forecast.unit == "fraction"
        else f"{forecast.half_width:.2g}"
    )
    return f"{'<= ' if forecast.half_width_bound else ''}{scaled}"


def _first_per_suite(forecasts: Sequence[Forecast]) -> list[Forecast]:
    by_suite = {(forecast.suite, forecast.protocol): forecast for forecast in reversed(forecasts)}
    return list(by_suite.values())[::-1]


def _remarks(forecast: Forecast) -> list[str]:
    remarks = [f"cannot run here: {forecast.fault}"] if forecast.fault else []
    if forecast.run:
        remarks.append(
            f"resumes {forecast.run}, which has {forecast.done:,} of its replies" if forecast.calls else
            f"{forecast.run} has all its replies ({forecast.done:,}) and is reused (--fresh starts a new run)"
        )  # fmt: skip
    if forecast.basis and forecast.calls:
        speed = f"; time for {forecast.at_once} concurrent calls" if forecast.hours is not None else ""
        remarks.append(f"tokens out: {forecast.basis}{speed}")
    if forecast.half_width is not None and forecast.calls and not forecast.half_width_bound:
        remarks.append(f"95 % ±: {forecast.half_width_basis}")
    return [*remarks, *forecast.notes]


def totals_line(totals: Totals) -> str:
    """Return the totals of a sweep as one line."""
    bound_sign = "<= " if totals.bound else ""
    facts = [
        f"{count_of(totals.runs, 'run')}: {totals.existing:,} exist, {totals.resumed:,} are resumed, {totals.new:,} are new",
        count_of(totals.calls, "call"),
        f"{totals.input_tokens:,} tokens in, {bound_sign}{totals.output_tokens:,} out",
    ]
    if totals.cost_usd is not None:
        suffix = f" ({totals.unpriced} without a known price)" if totals.unpriced else ""
        facts.append(f"{bound_sign}{totals.cost_usd:,.2f} USD{suffix}")
    if totals.hours:
        time_text = duration_text(3600 * totals.hours_side_by_side)
        if totals.hours > totals.hours_side_by_side:
            time_text += f", {duration_text(3600 * totals.hours)} one model after the other"
        suffix = f" ({totals.untimed} without a known time)" if totals.untimed else ""
        facts.append(f"{time_text}{suffix}")
    return f"Sweep: {'; '.join(facts)}"


def _published_lines(forecast: Forecast, claims: Sequence[Claim]) -> list[str]:
    """Return a line with the published numbers under the same protocol, this model's first, and the other protocols' names."""
    published = [claim for claim in claims if claim.suite == forecast.suite and not claim.superseded]
    comparable = sorted(
        (c for c in published if c.protocol == forecast.protocol),
        key=lambda c: not _is_claim_of_model(c, forecast),
    )
    others = _other_protocols(forecast.suite, forecast.protocol, claims)
    if not comparable:
        return [f"no published numbers under {forecast.protocol}{others}"] if published else []
    values = "; ".join(f"{c.model} {_value_text(c)}" for c in comparable[:MAX_NAMED])
    suffix = f" and {len(comparable) - MAX_NAMED} more" if len(comparable) > MAX_NAMED else ""
    return [
        f"compares with {count_of(len(comparable), 'published number')} under {forecast.protocol}: {values}{suffix}{others}"
    ]


def _other_protocols(suite: str, protocol: str, claims: Sequence[Claim]) -> str:
    """Return a clause that names the other protocols with published numbers of a suite; empty if there are none."""
    published = {claim.protocol for claim in claims if claim.suite == suite and not claim.superseded}
    others = sorted(published - {"", protocol})
    return f"; published under {', '.join(others)} (--protocol)" if others else ""


def unpublished_protocols(cards: Sequence[Card], claims: Sequence[Claim]) -> list[str]:
    """Return a line for each protocol without published numbers, if its suites have some under other protocols."""
    published = {(claim.suite, claim.protocol) for claim in claims}
    suites_by_line: dict[str, dict[str, None]] = {}
    for card in cards:
        suite, protocol = card.config.suite, card.config.protocol
        others = _other_protocols(suite, protocol, claims)
        if card.data != "sample" and others and (suite, protocol) not in published:
            suites_by_line.setdefault(f"no published numbers under {protocol}{others}", {})[suite] = None
    return [f"{', '.join(names)}: {line}" for line, names in suites_by_line.items()]


def _is_claim_of_model(claim: Claim, forecast: Forecast) -> bool:
    profile = profiles.find(forecast.model)
    names = {name.rpartition("/")[2].lower() for name in profile.names} if profile else set()
    return claim.model.lower() in names | {forecast.model.rpartition("#")[2].rpartition(":")[2].lower()}


def _value_text(claim: Claim) -> str:
    return percent(claim.value) if claim.unit == "fraction" else f"{claim.value:g} {claim.unit}".strip()


def json_rows(forecasts: Sequence[Forecast], claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Return a JSON object per suite and model, with the suite's published numbers."""
    return [
        {
            **structs.asdict(forecast),
            "published": [
                {
                    **{
                        name: getattr(claim, name)
                        for name in ("model", "value", "unit", "protocol", "source")
                    },
                    "same_protocol": claim.protocol == forecast.protocol,
                }
                for claim in claims
                if claim.suite == forecast.suite and not claim.superseded
            ],
        }
        for forecast in forecasts
    ]
