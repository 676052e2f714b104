"""Comparison of a run with a published number: equivalent, different, inconclusive, or not comparable, and why.

Both scores are on the same items, so the uncertainty is the run-to-run noise (the estimand is `these-items`) and the
rounding of the printed number, not the sampling of items. The noise of the published run is unknown; it is assumed to equal
ours. *Equivalent*: the difference is significantly within the margin (two one-sided tests, Schuirmann 1987, each at 5 %).
*Different*: it differs significantly from 0 (5 %, two-sided). Otherwise *inconclusive*, with the minimum detectable effect
at 80 % power. The protocol and every stated condition (temperature, max tokens, repeats, judge ...; `knobs` in the claims
files) must be the same; conditions that the source does not state are listed, since they may explain a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf, sqrt
from typing import Any, Literal

from msgspec import Struct, field, structs

from evals import load
from evals.errors import UnknownName, Untrusted
from evals.labels import ProtocolName
from evals.plain import percent
from evals.records.card import Card
from evals.report.aggregate import averaged_cards
from evals.report.estimand_names import Estimand
from evals.report.statistics import z_quantile
from evals.verdicts.formatting import format_setting
from evals.verdicts.noise import RepeatabilityReport
from evals.verdicts.reported import Claim, is_same_model
from evals.verdicts.suite_run import SuiteRun
from evals.verdicts.within_item_noise import within_item_sd

CONDITIONS = ("temperature", "top_p", "top_k", "max_tokens", "thinking", "repeats", "judge")
Verdict = Literal["equivalent", "different", "inconclusive", "not comparable"]
DEFAULT_MARGIN = 0.02
"""Default equivalence margin: absolute for fractions, else relative to the published value."""


class Finding(Struct, frozen=True, kw_only=True):
    """Result of comparing a run with a claim."""

    claim: str
    """Id of the claim."""
    verdict: Verdict
    claimed: float
    measured: float | None = None
    low: float | None = None
    """Lower end of the measured value's 95 % interval."""
    high: float | None = None
    difference: float | None = None
    """Measured minus claimed, in the claim's unit."""
    difference_low: float | None = None
    difference_high: float | None = None
    """95 % interval from the run-to-run noise, assumed equal in both runs, and the rounding of the published number."""
    margin: float | None = field(name="within", default=None)
    """Equivalence margin in the claim's unit."""
    detectable: float | None = None
    """Minimum detectable effect: the smallest true difference that would be called different with 80 % power."""
    noise: float | None = None
    """Standard deviation of the measured value between runs of one model."""
    noise_from: str = ""
    """Source of the noise."""
    estimand: Estimand = "these-items"
    unit: str = "fraction"
    because: tuple[str, ...] = ()
    """Why the two are not comparable."""
    unknown: tuple[str, ...] = ()
    """Conditions that the source does not state."""
    erratum: str = ""
    """What is wrong with the published number, or cannot be concluded from it."""


class MeasuredScore(Struct, frozen=True, kw_only=True):
    """The score of a run, or the mean over the runs of a suite's variants."""

    suite: str
    protocol: str
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    cards: tuple[Card, ...]
    noise: float | None = None
    """Standard deviation of the value between runs of one model; None: unknown."""
    noise_from: str = ""


def measured_scores(cards: Sequence[Card], aggregates: Iterable[Mapping[str, Any]]) -> list[MeasuredScore]:
    """Return the headline score of each run, and the means over the variants of a suite."""
    runs = [
        MeasuredScore(
            suite=card.config.suite, protocol=card.config.protocol, metric=headline.metric, unit=headline.unit,
            value=headline.value, low=headline.low, high=headline.high, cards=(card,),
        )
        for card in cards
        if (headline := card.headline) is not None
    ]  # fmt: skip
    means = [
        MeasuredScore(
            suite=f"{mean['suite']}:{mean['name']}" if "name" in mean else mean["suite"], protocol=mean["protocol"],
            metric=mean.get("metric", "mean over variants"), unit="fraction", value=mean["value"], low=mean["low"],
            high=mean["high"], cards=tuple(averaged_cards(mean, cards)),
        )
        for mean in aggregates
    ]  # fmt: skip
    return runs + means


def check_claims(
    score: MeasuredScore, claims: Mapping[str, Claim], model: str, *, margin: float | None = None
) -> list[Finding]:
    """Compare a measured score with every claim on its suite and model, except superseded ones."""
    return [
        _compare_with_claim(score, claim_id, claim, margin)
        for claim_id, claim in claims.items()
        if claim.suite == score.suite and is_same_model(claim.model, model) and not claim.superseded
    ]


def with_noise(
    score: MeasuredScore, suite_runs: Sequence[SuiteRun], reports: Iterable[RepeatabilityReport]
) -> MeasuredScore:
    """Return a score with its run-to-run noise, from repeats or a matching report; unchanged if unknown, or for a mean of runs."""
    if len(score.cards) != 1:
        return score
    suite_run = next((run for run in suite_runs if run.key == (score.suite, score.protocol)), None)
    if suite_run is None:
        return score
    if (sd := within_item_sd(suite_run.outcomes_under(suite_run.headline), suite_run.headline)) is not None:
        return structs.replace(score, noise=sd, noise_from="own repeats")
    key = (*suite_run.key, suite_run.data_sha256, suite_run.model, suite_run.headline.name)
    deviations = [
        report.deviation * sqrt(report.repeats / suite_run.outcomes.repeats)
        for report in reports
        if (report.suite, report.protocol, report.data_sha256, report.model, report.metric) == key
    ]
    if any(
        deviations
    ):  # the largest of several, e.g. for different precisions, which a run does not state; 0 says too little
        return structs.replace(score, noise=max(deviations), noise_from="repeatability report")
    return score


def _compare_with_claim(score: MeasuredScore, claim_id: str, claim: Claim, margin: float | None) -> Finding:
    conditions = relevant_conditions(claim)
    unknown = tuple(name for name in conditions if name not in claim.knobs)
    reasons = (*_incomparability_reasons(score, claim), *_different_conditions(score, claim, conditions))
    if reasons or score.value is None:
        reasons = reasons or ("nothing was scored",)
        return Finding(
            claim=claim_id, verdict="not comparable", claimed=claim.value, measured=score.value, low=score.low, high=score.high,
            unit=claim.unit, because=reasons, unknown=unknown, erratum=claim.erratum,
        )  # fmt: skip
    return _test_claim(score, claim_id, claim, unknown, margin)


def _test_claim(
    score: MeasuredScore, claim_id: str, claim: Claim, unknown: tuple[str, ...], stated_margin: float | None
) -> Finding:
    value = score.value or 0.0
    noise, source = _noise_and_source(score)
    standard_error, rounding = sqrt(2) * noise, rounding_error(claim)
    difference = value - claim.value
    default_margin = DEFAULT_MARGIN * (1.0 if claim.unit == "fraction" else abs(claim.value))
    margin = default_margin if stated_margin is None else stated_margin
    two_sided, one_sided, z_power = z_quantile(0.975), z_quantile(0.95), z_quantile(0.8)
    verdict: Verdict = "inconclusive"
    if abs(difference) + rounding + one_sided * standard_error <= margin:
        verdict = "equivalent"
    elif abs(difference) - rounding > two_sided * standard_error:
        verdict = "different"
    return Finding(
        claim=claim_id, verdict=verdict, claimed=claim.value, measured=value, low=score.low, high=score.high,
        difference=difference, difference_low=difference - rounding - two_sided * standard_error,
        difference_high=difference + rounding + two_sided * standard_error, margin=margin,
        detectable=rounding + (two_sided + z_power) * standard_error, noise=noise, noise_from=source, unit=claim.unit,
        unknown=unknown, erratum=claim.erratum,
    )  # fmt: skip


def _noise_and_source(score: MeasuredScore) -> tuple[float, str]:
    """Return the standard deviation between runs; if it was not measured, the sampling error of the items as a bound."""
    if score.noise is not None:
        return score.noise, score.noise_from
    if score.low is None or score.high is None:
        return inf, "not measured"
    upper_bound = (score.high - score.low) / 2 / z_quantile(0.975)
    return upper_bound, "not measured; bounded by the sampling error"


def rounding_error(claim: Claim) -> float:
    """Return half a unit of the last printed digit: 83.5 % stands for 83.45 to 83.55."""
    factor = 100 if claim.unit == "fraction" else 1
    digits = claim.digits
    if digits is None:
        digits = max(len(f"{claim.value * factor:.6f}".rstrip("0").partition(".")[2]), 1)
    return 0.5 * 10.0**-digits / factor


def relevant_conditions(claim: Claim) -> tuple[str, ...]:
    """Return the conditions that matter for a claim: the judge only if the protocol may have one."""
    try:
        suites = load.recorded_suite(claim.suite, claim.protocol) if claim.protocol else []
        may_be_judged = not claim.protocol or any(suite.judged for suite in suites)
    except (UnknownName, Untrusted):
        may_be_judged = True
    return CONDITIONS if may_be_judged else CONDITIONS[:-1]


def _incomparability_reasons(score: MeasuredScore, claim: Claim) -> list[str]:
    """Return the differences in protocol, prompts, unit, data and coverage that rule out a comparison."""
    reasons = []
    if not claim.protocol:
        reasons.append("the claim's protocol is not known")
    elif score.protocol == str(ProtocolName(claim.protocol, reworded=True)):
        reasons.append(f"reworded prompts here ({score.protocol}), the original ones there")
    elif claim.protocol != score.protocol:
        reasons.append(f"protocol {score.protocol} here, {claim.protocol} there")
    elif any(map(_has_reworded_prompts, score.cards)):
        reasons.append(
            f"reworded prompts here ({score.protocol} keeps the authors' rule and settings), the original ones there"
        )
    if claim.unit != score.unit:
        reasons.append(f"{score.metric} in {score.unit} here, {claim.unit} there")
    if any(card.data == "sample" for card in score.cards):
        reasons.append("sample items here, the benchmark there")
    if any(card.config.limit is not None for card in score.cards):
        reasons.append("a subset here, the whole benchmark there")
    if incomplete := [card for card in score.cards if card.coverage < 1]:
        reasons.append(f"coverage {percent(min(card.coverage for card in incomplete))} % here")
    return reasons


def _has_reworded_prompts(card: Card) -> bool:
    """Return whether a run under the `official` protocol used reworded prompts."""
    config = card.config
    if card.origin != "run" or config.protocol != "official" or config.model.startswith("baseline:"):
        return False
    try:
        return any(suite.uses_own_prompts for suite in load.recorded_suite(config.suite, config.protocol))
    except (UnknownName, Untrusted):
        return False


def _different_conditions(score: MeasuredScore, claim: Claim, conditions: Sequence[str]) -> list[str]:
    """Return how stated conditions differ from the run's; an unknown condition of an imported run counts as different."""
    reasons = []
    for name in conditions:
        if name not in claim.knobs:
            continue
        stated = claim.knobs[name]
        differing_card = next((card for card in score.cards if _condition_of(card, name) != stated), None)
        if differing_card is not None:
            reasons.append(
                f"{name} {_format_condition(differing_card, name)} here, {format_setting(stated)} there"
            )
    return reasons


def _format_condition(card: Card, name: str) -> str:
    value = _condition_of(card, name)
    if value is not None:
        return format_setting(value)
    return "unknown" if card.origin != "run" else "the server's default"


def _condition_of(card: Card, name: str) -> Any:
    if name == "repeats":
        return card.config.repeats
    if name == "judge":
        return card.config.judge or ("none" if card.origin == "run" else None)
    return structs.asdict(card.config.sampling)[name]
