"""A run held against a published number: equivalent, different, inconclusive, or not comparable, and why.

Both saw the same items, so what counts is how far two runs of one model lie apart (the estimand is `these-items`), and
the rounding of the printed number; the sampling of items does not come in. *Equivalent*: the difference is shown to be
within d (two one-sided tests, Schuirmann 1987, each at 5 %). *Different*: it is shown not to be 0 (5 %, two-sided).
Else *inconclusive*, with the least shift that would have been seen with 80 % power. Protocol and every condition that
the source tells (a *knob*: temperature, max tokens, repeats, judge ...) must be the same; what it does not tell is named, as it may be
the reason for any difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf, sqrt
from typing import Any, Literal

from msgspec import Struct, structs

from evals import load
from evals.errors import UnknownName, Untrusted
from evals.labels import ProtocolName
from evals.records.card import Card
from evals.report.statistics import z_quantile
from evals.types import Estimate
from evals.verdicts.contestant import Contestant
from evals.verdicts.noise import Certificate
from evals.verdicts.reported import Claim
from evals.verdicts.within import within_error
from evals.verdicts.wording import setting

KNOBS = ("temperature", "top_p", "top_k", "max_tokens", "thinking", "repeats", "judge")
Verdict = Literal["equivalent", "different", "inconclusive", "not comparable"]
WITHIN = 0.02
"""Difference that counts as none: in the unit of a fraction, else as a share of the published value."""


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
    """95 %: run-to-run noise of both, and the rounding of the published number."""
    within: float | None = None
    """The difference that counts as none, in the claim's unit."""
    detectable: float | None = None
    """Least shift that would have been called different with 80 % power."""
    noise: float | None = None
    """Standard deviation of the measured value between runs of one model."""
    noise_from: str = ""
    """Where that is known from."""
    estimand: str = "these-items"
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
    noise: float | None = None
    """Standard deviation between runs of one model; None: not measured."""
    noise_from: str = ""


def measured(cards: Sequence[Card], aggregates: Iterable[Mapping[str, Any]]) -> list[Measured]:
    """Return what runs measured: their headlines, and the means that protocols define over variants."""
    runs = [
        Measured(
            suite=card.config.suite,
            protocol=card.config.protocol,
            metric=head.metric,
            unit=head.unit,
            value=head.value,
            low=head.low,
            high=head.high,
            cards=(card,),
        )
        for card in cards
        if (head := _headline(card)) is not None
    ]
    for mean in aggregates:
        runs.append(
            Measured(
                suite=mean["suite"],
                protocol=mean["protocol"],
                metric="mean over variants",
                unit="fraction",
                value=mean["value"],
                low=mean["low"],
                high=mean["high"],
                cards=tuple(card for card in cards if card.run in mean["runs"]),
            )
        )
    return runs


def check(
    run: Measured, claims: Mapping[str, Claim], model: str, *, within: float | None = None
) -> list[Finding]:
    """Hold a measured number against every claim of that suite and model; superseded claims are left alone."""
    return [
        _finding(run, name, claim, within)
        for name, claim in claims.items()
        if claim.suite == run.suite and same_model(claim.model, model) and not claim.superseded
    ]


def with_noise(
    run: Measured, contestants: Sequence[Contestant], certificates: Iterable[Certificate]
) -> Measured:
    """Add the run-to-run noise of a measured value: from its own repeats, or from a repeatability report that fits."""
    if len(run.cards) != 1:
        return run
    contestant = next((c for c in contestants if c.suite == run.suite and c.protocol == run.protocol), None)
    if contestant is None:
        return run
    if (error := within_error(contestant.side_of(contestant.headline), contestant.headline)) is not None:
        return structs.replace(run, noise=error, noise_from="own repeats")
    for report in certificates:
        same = (report.suite, report.protocol, report.data_sha256, report.model, report.metric)
        if same == (
            contestant.suite, contestant.protocol, contestant.data_sha256, contestant.model, contestant.headline.name,
        ):  # fmt: skip
            scale = sqrt(report.repeats / contestant.side.repeats)
            return structs.replace(run, noise=report.deviation * scale, noise_from="repeatability report")
    return run


def same_model(name: str, other: str) -> bool:
    """Whether two names are one model's, spelled differently."""
    return plain(name) == plain(other)


def plain(name: str) -> str:
    """Return a model's name without its organisation, marks and capitals."""
    return "".join(c for c in name.rpartition("/")[2].lower() if c.isalnum())


def _headline(card: Card) -> Estimate | None:
    return next((e for e in card.estimates if e.headline and not e.group), None)


def _finding(run: Measured, name: str, claim: Claim, within: float | None) -> Finding:
    asked = asked_of(claim)
    unknown = tuple(knob for knob in asked if knob not in claim.knobs)
    because = (*_unlike(run, claim), *_turned(run, claim, asked))
    if because or run.value is None:
        because = because or ("nothing was scored",)
        return Finding(
            claim=name, verdict="not comparable", claimed=claim.value, measured=run.value, low=run.low, high=run.high,
            unit=claim.unit, because=because, unknown=unknown,
        )  # fmt: skip
    return _judged(run, name, claim, unknown, within)


def _judged(
    run: Measured, name: str, claim: Claim, unknown: tuple[str, ...], within: float | None
) -> Finding:
    """Test difference and equivalence against the noise of both runs."""
    value = run.value or 0.0
    noise, source = _noise(run)
    error, half, difference = sqrt(2) * noise, rounding(claim), value - claim.value
    d = within if within is not None else WITHIN if claim.unit == "fraction" else WITHIN * abs(claim.value)
    two_sided, one_sided, power = z_quantile(0.975), z_quantile(0.95), z_quantile(0.8)
    verdict: Verdict = "inconclusive"
    if abs(difference) + half + one_sided * error <= d:
        verdict = "equivalent"
    elif abs(difference) - half > two_sided * error:
        verdict = "different"
    return Finding(
        claim=name,
        verdict=verdict,
        claimed=claim.value,
        measured=value,
        low=run.low,
        high=run.high,
        difference=difference,
        difference_low=difference - half - two_sided * error,
        difference_high=difference + half + two_sided * error,
        within=d,
        detectable=half + (two_sided + power) * error,
        noise=noise,
        noise_from=source,
        unit=claim.unit,
        unknown=unknown,
    )


def _noise(run: Measured) -> tuple[float, str]:
    """Return the standard deviation between runs; if not measured, the sampling error of the items as an upper bound."""
    if run.noise is not None:
        return run.noise, run.noise_from
    if run.low is None or run.high is None:
        return inf, "not measured"
    return (run.high - run.low) / 2 / z_quantile(
        0.975
    ), "not measured: taken as the sampling error, its upper bound"


def rounding(claim: Claim) -> float:
    """Return half of the last printed digit, in the claim's unit: 83.5 % was between 83.45 and 83.55."""
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


def _unlike(run: Measured, claim: Claim) -> list[str]:
    """Return what of suite, protocol and data is not the same."""
    reasons = []
    if not claim.protocol:
        reasons.append("the claim's protocol is not known")
    elif run.protocol == str(ProtocolName(claim.protocol, reworded=True)):
        reasons.append(f"prompts are reworded here ({run.protocol}), upstream's own there")
    elif claim.protocol != run.protocol:
        reasons.append(f"protocol {run.protocol} here, {claim.protocol} there")
    elif any(map(_reworded, run.cards)):
        reasons.append(
            f"prompts are reworded here ({run.protocol} has the authors' rule and settings), theirs there"
        )
    if claim.unit != run.unit:
        reasons.append(f"{run.metric} in {run.unit} here, {claim.unit} there")
    if any(card.data == "sample" for card in run.cards):
        reasons.append("sample items here, the benchmark there")
    if any(card.config.limit is not None for card in run.cards):
        reasons.append("a subset here, the whole benchmark there")
    if lacking := [card for card in run.cards if card.coverage < 1]:
        reasons.append(f"coverage {100 * min(card.coverage for card in lacking):.1f} % here")
    return reasons


def _reworded(card: Card) -> bool:
    """Return whether a run used reworded prompts instead of its protocol's own; baselines do not record it."""
    config = card.config
    if card.origin != "run" or config.protocol != "official" or config.model.startswith("baseline:"):
        return False
    try:
        return any(suite.uses_own_prompts for suite in load.recorded_suite(config.suite, config.protocol))
    except (UnknownName, Untrusted):
        return False


def _turned(run: Measured, claim: Claim, asked: Sequence[str]) -> list[str]:
    """Return which known conditions differ; of an imported run they are unknown on our side."""
    reasons = []
    for knob in (knob for knob in asked if knob in claim.knobs):
        there = claim.knobs[knob]
        different = next((card for card in run.cards if _knob(card, knob) != there), None)
        if different is not None:
            reasons.append(f"{knob} {_setting(different, knob)} here, {setting(there)} there")
    return reasons


def _setting(card: Card, knob: str) -> str:
    here = _knob(card, knob)
    if here is not None:
        return setting(here)
    return "unknown" if card.origin != "run" else "the server's default"


def _knob(card: Card, knob: str) -> Any:
    if knob == "repeats":
        return card.config.repeats
    if knob == "judge":
        return card.config.judge or ("none" if card.origin == "run" else None)
    return structs.asdict(card.config.sampling)[knob]
