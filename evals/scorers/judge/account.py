"""Summarise a judge's part in a run: its verdicts, its tokens and its agreement with the rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from math import sqrt
from typing import Any

from msgspec import structs

from evals.plain import count_of
from evals.records.card import JudgeCard
from evals.report import statistics as stats
from evals.scorers.judge.agreement import Agreement, agreement, rated_pairs
from evals.scorers.judge.judge import SAMPLING
from evals.scorers.judge.judged import Judged
from evals.types import Failure, Score, Scorer, Usage


def judge_card(
    scores: Iterable[Mapping[str, Score | Failure]],
    scorers: Mapping[str, Scorer],
    *,
    option_counts: Iterable[int] | None = None,
) -> JudgeCard | None:
    """Return the judge's entry in a run's card; None if no scorer uses a judge.

    `scores` are those of each reply by scorer, `option_counts` the number of options of each reply's question.
    """
    judged_scorer = next(((name, s) for name, s in scorers.items() if isinstance(s, Judged)), None)
    if judged_scorer is None:
        return None
    name, scorer = judged_scorer
    judge = scorer.judge
    templates = {scorer.name: scorer.sha256}
    card = JudgeCard(model=judge.spec if judge else "", templates=templates, sampling=SAMPLING)
    judge_scores: list[Score] = []
    draw_chances: list[float] = []  # chances that upstream's draw for an unreadable verdict is right
    tokens = Counter[str]()
    for by_scorer, option_count in zip(scores, option_counts or repeat(0), strict=False):
        score = by_scorer.get(name)
        if isinstance(score, Failure):
            if score.kind == "unreadable":
                card.unreadable += 1
                draw_chances.append(1 / ((option_count or 2) + 1))  # the options, and none of them
            card.waiting += score.kind == "waiting"
            _add_tokens(tokens, score.usage)
        elif score is not None:
            judge_scores.append(_without_texts(score))
            _count_verdicts(card, score, tokens)
    card.tokens = dict(tokens)
    if draw_chances and scorer.prompt_template.kind == "option":
        expected_right = sum(score.value or 0.0 for score in judge_scores) + sum(draw_chances)
        count = len(judge_scores) + len(draw_chances)
        card.drawn = {"n": len(draw_chances), "value": expected_right / count}
    if judge and judge.price:
        card.cost_usd = judge.price.cost(tokens)
    _compare_with_rule(card, scorer, judge_scores)
    return card


def _count_verdicts(card: JudgeCard, score: Score, tokens: Counter[str]) -> None:
    """Add a score's verdicts and their tokens to the card."""
    for judgement in score.judged:
        card.verdicts += 1
        card.model, card.served = card.model or judgement.judge, judgement.model
        _add_tokens(tokens, judgement.usage)


def _add_tokens(tokens: Counter[str], usage: Usage) -> None:
    tokens.update({kind: n for kind in ("input", "output", "cached") if (n := getattr(usage, kind))})


def _compare_with_rule(card: JudgeCard, scorer: Judged, judge_scores: list[Score]) -> None:
    """Add the agreement of judge and rule to the card, if any reply has a verdict from each."""
    pairs = rated_pairs(judge_scores, audit=scorer.audit if scorer.mode == "cascade" else 1.0)
    if not pairs:
        return
    measured = agreement(pairs)
    card.agreement = structs.asdict(measured)
    if scorer.mode == "cascade":
        card.both_sides = estimate_with_overruling(judge_scores, measured)


def _without_texts(score: Score) -> Score:
    """Return a score without the judge's texts, which may be long."""
    return structs.replace(score, judged=tuple(structs.replace(j, text="") for j in score.judged))


def estimate_with_overruling(judge_scores: Sequence[Score], measured: Agreement) -> dict[str, Any] | None:
    """Return an estimate of the score if the judge overruled the rule in both directions, with a 95 % interval.

    None if the judge saw no reply that the rule calls right.
    """
    if measured.wrongly_wrong is None or not judge_scores:
        return None
    right_by_rule = [
        s.verdict == "right" and (s.parts.get("rule") == 1.0 or not s.judged) for s in judge_scores
    ]
    rule_share = sum(right_by_rule) / len(judge_scores)
    judge_share = sum(
        s.value or 0.0 for s, right in zip(judge_scores, right_by_rule, strict=True) if not right
    ) / len(judge_scores)
    overruled, low, high = measured.wrongly_wrong
    value = rule_share * (1 - overruled) + judge_share
    squared_sampling_error = stats.z_quantile(0.975) ** 2 * value * (1 - value) / len(judge_scores)
    half_width = sqrt((rule_share * (high - low) / 2) ** 2 + squared_sampling_error)
    return {"value": value, "low": max(0.0, value - half_width), "high": min(1.0, value + half_width)}


def summary_lines(card: JudgeCard) -> list[str]:
    """Return lines that summarise a judge's part in a run."""
    name = card.model or "a judge"
    lines = []
    if card.verdicts:
        verdicts = count_of(card.verdicts, "verdict")
        lines.append(f"{verdicts} by {card.served or name} (prompt: {', '.join(card.templates)})")
    if card.waiting:
        waiting = count_of(card.waiting, "reply waits", "replies wait")
        lines.append(f"{waiting} for a judge: evals score RUN --judge MODEL")
    if card.unreadable:
        replies = count_of(card.unreadable, "reply", "replies")
        lines.append(f"scoring failed for {replies}: no readable verdict from judge {name}")
    if (draws := card.drawn) is not None:
        lines.append(
            "upstream replaces an unreadable verdict by a random option, or none of them: "
            f"its expected score is {100 * draws['value']:.2f} %"
        )
    if (rates := card.agreement) is not None:
        kappa_interval = rates["kappa"]
        kappa_text = (
            "kappa undefined"
            if kappa_interval is None
            else f"kappa {format_interval(kappa_interval, 1.0, '')}"
        )
        wrongly_right, wrongly_wrong = (
            format_interval(rates[rate], 100.0, " %") for rate in ("wrongly_right", "wrongly_wrong")
        )
        lines.append(
            f"judge {name} and the rule (n = {rates['n']}): {kappa_text}; right according to the judge but wrong according "
            f"to the rule: {wrongly_right}; the reverse: {wrongly_wrong}"
        )
    if (estimate := card.both_sides) is not None:
        interval = (estimate["value"], estimate["low"], estimate["high"])
        lines.append(
            f"score if the judge overruled the rule in both directions: {format_interval(interval, 100.0, ' %')} "
            "(estimated from a sample of the answers that the rule calls right)"
        )
    return lines


def format_interval(interval: Any, scale: float, unit: str) -> str:
    """Format an interval (value, low, high), multiplied by `scale`, in a unit."""
    if interval is None:
        return "no replies"
    digits = 2 if scale == 1.0 else 1
    value, low, high = (None if x is None else f"{x * scale:.{digits}f}" for x in interval)
    return f"{value}{unit}" if low is None else f"{value}{unit} ({low} to {high})"
