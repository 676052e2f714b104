"""A run held against a published number: consistent, inconsistent, or not comparable, and why.

Consistent: the number, widened by half of its last printed digit, lies within the run's 95 % interval. Protocol and
every condition that the source tells (a *knob*: temperature, max tokens, repeats, judge ...) must be the same; what
the source does not tell is named, for it may be the reason of any difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from evals import load
from evals.errors import UnknownName, Untrusted
from evals.prompts.upstream import OURS
from evals.records.card import Card
from evals.types import Estimate
from evals.verdicts.reported import Claim
from evals.verdicts.wording import setting

KNOBS = ("temperature", "top_p", "top_k", "max_tokens", "thinking", "repeats", "judge")
Verdict = Literal["consistent", "inconsistent", "not comparable"]


class Finding(Struct, frozen=True, kw_only=True):
    """What a run says of a claim."""

    claim: str
    """Its id."""
    verdict: Verdict
    claimed: float
    measured: float | None = None
    low: float | None = None
    """Of the measured value's 95 % interval."""
    high: float | None = None
    difference: float | None = None
    """Measured minus claimed, in the claim's unit."""
    difference_low: float | None = None
    difference_high: float | None = None
    unit: str = "fraction"
    because: tuple[str, ...] = ()
    """Why the two do not compare."""
    unknown: tuple[str, ...] = ()
    """Conditions that the source does not tell."""


class Measured(Struct, frozen=True, kw_only=True):
    """A run, or the runs of a suite's variants together, as a number."""

    suite: str
    protocol: str
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    cards: tuple[Card, ...]


def measured(cards: Sequence[Card], aggregates: Iterable[Mapping[str, Any]]) -> list[Measured]:
    """Give what runs measured: their headlines, and the means that protocols define over variants."""
    found = []
    for card in cards:
        if (head := _headline(card)) is not None:
            found.append(
                Measured(
                    suite=card.config.suite, protocol=card.config.protocol, metric=head.metric, unit=head.unit,
                    value=head.value, low=head.low, high=head.high, cards=(card,),
                )
            )  # fmt: skip
    for entry in aggregates:
        some = tuple(
            card
            for card in cards
            if (card.config.suite.partition(":")[0], card.config.protocol, card.model)
            == (entry["suite"], entry["protocol"], entry["model"])
        )
        found.append(
            Measured(
                suite=entry["suite"], protocol=entry["protocol"], metric="mean over variants", unit="fraction",
                value=entry["value"], low=entry["low"], high=entry["high"], cards=some,
            )
        )  # fmt: skip
    return found


def check(one: Measured, claims: Mapping[str, Claim], model: str) -> list[Finding]:
    """Hold a measured number against every claim of that suite and model; superseded claims are left alone."""
    return [
        _finding(one, name, claim)
        for name, claim in claims.items()
        if claim.suite == one.suite and same_model(claim.model, model) and not claim.superseded
    ]


def same_model(one: str, other: str) -> bool:
    """Whether two names are one model's, spelled differently."""
    return plain(one) == plain(other)


def plain(name: str) -> str:
    """Give a model's name without its organisation, marks and capitals."""
    return "".join(c for c in name.rpartition("/")[2].lower() if c.isalnum())


def _headline(card: Card) -> Estimate | None:
    return next((e for e in card.estimates if e.headline and not e.group), None)


def _finding(one: Measured, name: str, claim: Claim) -> Finding:
    asked = asked_of(claim)
    unknown = tuple(knob for knob in asked if knob not in claim.knobs)
    because = (*_unlike(one, claim), *_turned(one, claim, asked))
    if because or one.value is None:
        because = because or ("nothing was scored",)
        return Finding(
            claim=name, verdict="not comparable", claimed=claim.value, measured=one.value, low=one.low, high=one.high,
            unit=claim.unit, because=because, unknown=unknown,
        )  # fmt: skip
    low, high = (
        (one.low, one.high) if one.low is not None and one.high is not None else (one.value, one.value)
    )
    half = rounding(claim)
    inside = low - half <= claim.value <= high + half
    return Finding(
        claim=name,
        verdict="consistent" if inside else "inconsistent",
        claimed=claim.value,
        measured=one.value,
        low=one.low,
        high=one.high,
        difference=one.value - claim.value,
        difference_low=low - claim.value,
        difference_high=high - claim.value,
        unit=claim.unit,
        unknown=unknown,
    )


def rounding(claim: Claim) -> float:
    """Give half of the last printed digit, in the claim's unit: 83.5 % was between 83.45 and 83.55."""
    scale = 100 if claim.unit == "fraction" else 1
    digits = claim.digits
    if digits is None:
        digits = max(len(f"{claim.value * scale:.6f}".rstrip("0").partition(".")[2]), 1)
    return 0.5 * 10.0**-digits / scale


def asked_of(claim: Claim) -> tuple[str, ...]:
    """Name the conditions that matter for a claim: its judge unless the protocol is known to have none."""
    try:
        judged = not claim.protocol or any(s.judged for s in load.recorded_suite(claim.suite, claim.protocol))
    except (UnknownName, Untrusted):
        judged = True
    return KNOBS if judged else KNOBS[:-1]


def _unlike(one: Measured, claim: Claim) -> list[str]:
    """Say what of suite, protocol and data is not the same."""
    found = []
    if not claim.protocol:
        found.append("the claim's protocol is not known")
    elif one.protocol == f"{claim.protocol}{OURS}":
        found.append(f"wording is ours here ({one.protocol}), upstream's own there")
    elif claim.protocol != one.protocol:
        found.append(f"protocol {one.protocol} here, {claim.protocol} there")
    elif any(map(_asked_in_ours, one.cards)):
        found.append(
            f"wording is ours here ({one.protocol} has the authors' rule and settings), theirs there"
        )
    if claim.unit != one.unit:
        found.append(f"{one.metric} in {one.unit} here, {claim.unit} there")
    if any(card.data == "sample" for card in one.cards):
        found.append("sample items here, the benchmark there")
    if any(card.config.limit is not None for card in one.cards):
        found.append("a subset here, the whole benchmark there")
    if lacking := [card for card in one.cards if card.coverage < 1]:
        found.append(f"coverage {100 * min(card.coverage for card in lacking):.1f} % here")
    return found


def _asked_in_ours(card: Card) -> bool:
    """Whether a run asked in our sentences what its protocol's authors ask in theirs; baselines read none."""
    config = card.config
    if card.origin != "run" or config.protocol != "official" or config.model.startswith("baseline:"):
        return False
    try:
        return any(suite.asks_in_ours for suite in load.recorded_suite(config.suite, config.protocol))
    except Untrusted:
        return False


def _turned(one: Measured, claim: Claim, asked: Sequence[str]) -> list[str]:
    """Say which known conditions differ; of an imported run they are unknown on our side."""
    found = []
    for knob in asked:
        if knob not in claim.knobs:
            continue
        for card in one.cards:
            here, there = _knob(card, knob), claim.knobs[knob]
            if here != there:
                said = (
                    "unknown"
                    if here is None and card.origin != "run"
                    else "the server's default"
                    if here is None
                    else setting(here)
                )
                found.append(f"{knob} {said} here, {setting(there)} there")
                break
    return found


def _knob(card: Card, knob: str) -> Any:
    if knob == "repeats":
        return card.config.repeats
    if knob == "judge":
        return card.config.judge or ("none" if card.origin == "run" else None)
    return getattr(card.config.sampling, knob)
