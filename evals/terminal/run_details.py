"""A line per run with outcomes, interval, sampling and cost, shown below the table of runs."""

from __future__ import annotations

from evals.challenge.summary import Challenge
from evals.extract.reading import UNMARKED_FORMS
from evals.labels import JUDGE_NOTE, Note
from evals.plain import count_of, percent
from evals.records import promise
from evals.records.card import Card
from evals.report.estimand_names import describe_estimand
from evals.terminal.figures import counts_line, score_text
from evals.terminal.runs import RunRow, missing_bounds
from evals.types import Estimate


def details_line(card: Card, challenge: Challenge | None, *, label: str) -> str:
    """Return a line about a run, with the bounds of its score if outcomes are missing."""
    facts = [counts_line(card.counts)] if card.counts else ["nothing recorded yet"]
    if unmarked := _unmarked_answers(card):
        facts.append(unmarked)
    headline = card.headline
    if headline is not None and headline.low is not None:
        facts.append(f"interval: {headline.method}, {describe_estimand('items-like-these')}")
    if bounds := missing_bounds(RunRow(cards=(card,), headline=headline)):
        facts.append(bounds)
    if headline and (corrected := _corrected_estimate(card, headline)) is not None:
        facts.append(
            f"corrected (errata v{card.errata}): {score_text(corrected)} on {count_of(corrected.n, 'item')}"
        )
    facts += [
        f"{'looks broken' if finding.fault else 'warning'}: {finding.message}" for finding in card.health
    ]
    facts += [note for note in card.notes if Note.parse(note, JUDGE_NOTE)]
    facts += [f"promise {promise.promise_status(card)}"] if card.promise else []
    facts += [challenge.sentence] if challenge else []
    facts += _sampling_and_cost(card)
    facts += ["local data"] if card.data == "local" and card.origin == "run" else []
    facts += [card.status] if card.status != "finished" else []
    return f"{label}: {'; '.join(facts)}"


def _unmarked_answers(card: Card) -> str:
    """Return what share of the answers was extracted without an answer marker, as text; empty if none was."""
    total = sum(card.forms.values())
    unmarked = sum(count for form, count in card.forms.items() if form in UNMARKED_FORMS)
    return f"{percent(unmarked / total)} % of its answers were extracted without a marker" if unmarked else ""


def _sampling_and_cost(card: Card) -> list[str]:
    sampling = card.config.sampling
    settings = [f"temperature {sampling.temperature:g}"] if sampling.temperature is not None else []
    settings += [f"seed {card.config.seed}"] if settings and sampling.temperature else []
    tokens = {kind: card.tokens.get(kind, 0) for kind in ("input", "output")}
    usage = [f"{tokens['input']:,} + {tokens['output']:,} tokens"] if any(tokens.values()) else []
    usage += [f"{card.cost_usd:.2f} USD"] if card.cost_usd else []
    return [", ".join(facts) for facts in (settings, usage) if facts]


def _corrected_estimate(card: Card, headline: Estimate) -> Estimate | None:
    return next(
        (e for e in card.estimates if e.metric == f"{headline.metric}_corrected" and not e.group), None
    )
