"""A line on each run below the table: what became of its samples, its interval, its sampling and cost."""

from __future__ import annotations

from evals.challenge.summary import Challenge
from evals.extract.reading import PROSE
from evals.labels import JUDGE_NOTE, Note
from evals.records import promise
from evals.records.card import Card
from evals.report.estimand_names import describe_estimand
from evals.terminal.figures import counts_line, figure, percent
from evals.terminal.runs import Line, missing_bounds
from evals.types import Estimate


def details(card: Card, challenge: Challenge | None = None, *, named: str = "") -> list[str]:
    """Return a line on the outcomes of a score, with its bounds if some are missing. `named`: in place of the id."""
    facts = [counts_line(card.counts)] if card.counts else ["nothing recorded yet"]
    if unmarked := _unmarked(card):
        facts.append(unmarked)
    head = card.headline
    if head is not None and head.low is not None:
        facts.append(f"interval: {head.method}, {describe_estimand('items-like-these')}")
    if bounds := missing_bounds(Line(cards=(card,), head=head)):
        facts.append(bounds)
    if head and (corrected := _corrected(card, head)) is not None:
        facts.append(f"with errata {card.errata}: {figure(corrected)} of {corrected.n:,}")
    facts += [
        f"{'looks broken' if finding.fault else 'warning'}: {finding.message}" for finding in card.health
    ]
    facts += [note for note in card.notes if Note.parse(note, JUDGE_NOTE)]
    facts += [f"promise {promise.promise_standing(card)}"] if card.promise else []
    facts += [challenge.sentence] if challenge else []
    facts += _used(card)
    facts += ["local data"] if card.data == "local" and card.origin == "run" else []
    facts += [card.status] if card.status != "finished" else []
    return [f"{named or card.run}: {'; '.join(facts)}"]


def _unmarked(card: Card) -> str:
    """Return the share of answers extracted without any answer marker; empty if there are none."""
    total = sum(card.forms.values())
    loose = sum(count for form, count in card.forms.items() if form in PROSE)
    return f"{percent(loose / total)} % of its answers were extracted without a marker" if loose else ""


def _used(card: Card) -> list[str]:
    """Return sampling, tokens and cost of a run, as far as known."""
    sampling = card.config.sampling
    how = [f"temperature {sampling.temperature:g}"] if sampling.temperature is not None else []
    how += [f"seed {card.config.seed}"] if how and sampling.temperature else []
    tokens = {kind: card.tokens.get(kind, 0) for kind in ("input", "output")}
    used = [f"{tokens['input']:,} + {tokens['output']:,} tokens"] if any(tokens.values()) else []
    used += [f"{card.cost_usd:.2f} USD"] if card.cost_usd else []
    return [", ".join(facts) for facts in (how, used) if facts]


def _corrected(card: Card, head: Estimate) -> Estimate | None:
    return next((e for e in card.estimates if e.metric == f"{head.metric}_corrected" and not e.group), None)
