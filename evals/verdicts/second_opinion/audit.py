"""The same replies judged by two rules: ours, and another harness's.

This is how a disagreement of two published numbers is explained item by item. Their verdicts are those that the source
of an imported run stated (`theirs.jsonl`, beside the run), or what their own code says of the recorded replies
(`opinion.py`). Reasoning that was told apart from the answer is judged by neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from evals.errors import UsageError
from evals.interop.foreign import THEIRS, Stated
from evals.records.files import Brief, lines_beside
from evals.records.store import Run
from evals.types import Failure, Prompt, Reply, Score
from evals.verdicts.second_opinion.opinion import Asked, Judged, ask, interpreter
from evals.verdicts.second_opinion.rules import PEERS, Rule, find, rules

SAME = 1e-6
"""Scores that differ by less are the same."""
RESAMPLES = 4000
ANSWER = 200
"""Characters of an answer that are listed."""
NOTHING = "nothing found"
"""What a peer's adapter (`evals/peers/`) reports if its rule reads no answer."""
LETTER = re.compile(r"\(?([A-Za-z])\)?")


class Item(Struct, frozen=True, kw_only=True):
    """A reply on which the two rules differ."""

    id: str
    repeat: int
    ours: float | None
    verdict: str
    answer: str
    why: str
    theirs: float | None
    """None: their rule failed."""
    their_answer: str
    their_why: str = ""


class Audit(Struct, frozen=True, kw_only=True):
    """Two rules on the same replies."""

    run: str
    suite: str
    protocol: str
    source: str
    """What judged besides us: the origin of an imported run, or a peer's version and rule."""
    n: int
    """Replies that both judged."""
    agreed: int
    kappa: tuple[float, float, float] | None
    """Cohen's, with its 95 % interval by the bootstrap; None if a rule gives one verdict only, or no yes or no."""
    only_ours: int
    """Full marks from us alone."""
    only_theirs: int
    ours: float
    """Mean over these replies."""
    theirs: float
    alone: int
    """Replies that one of the two did not judge."""
    failed: int
    """Replies at which their rule failed; among the items."""
    unread: int
    """Replies in which a peer's rule found no answer; not known of stated verdicts."""
    rules: tuple[str, ...]
    """All that the peer has for this suite, as its code judged; empty for stated verdicts."""
    items: tuple[Item, ...]


def audit(run: Run, peer: str | None = None, *, python: Path | None = None, rule: str | None = None) -> Audit:
    """Hold our scores against those of the source, or of a peer's own code; raises UsageError if there are none.

    `peer`: lm-eval or opencompass, run on the recorded replies (`python`: the interpreter that has it; `rule`: one of
    its rules for this suite, by default the usual one). None: what the source of an imported run stated.
    """
    card = run.card
    if peer is None:
        theirs, part, source, names = _stated(run), "", card.origin, []
    else:
        chosen = find(peer, card.config.suite, rule)
        theirs, source = _opinions(run, chosen, interpreter(peer, python))
        part, names = chosen.part, [one.name for one in rules(peer, card.config.suite)]
    held = _held(run, theirs, part, gated=card.gated)
    if not held.pairs:
        first = next((f"; {one.their_why}" for one in held.items if one.their_why), "")
        raise UsageError(f"run {card.run}: there is no reply that both rules judged{first}")
    return Audit(
        run=card.run,
        suite=card.config.suite,
        protocol=card.config.protocol,
        source=source,
        n=len(held.pairs),
        agreed=sum(abs(one - other) <= SAME for one, other in held.pairs),
        kappa=_kappa(held.pairs),
        only_ours=sum(one == 1.0 and other < 1.0 for one, other in held.pairs),
        only_theirs=sum(other == 1.0 and one < 1.0 for one, other in held.pairs),
        ours=sum(one for one, _ in held.pairs) / len(held.pairs),
        theirs=sum(other for _, other in held.pairs) / len(held.pairs),
        alone=held.alone,
        failed=held.failed,
        unread=held.unread,
        rules=tuple(names),
        items=tuple(held.items),
    )


Theirs = dict[tuple[str, int], Judged]
"""Sample and repeat -> their score of the reply."""


class _Held:
    """Two columns of scores, and what is to be said of them."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []
        self.items: list[Item] = []
        self.alone = self.failed = self.unread = 0


def _held(run: Run, theirs: Theirs, part: str, *, gated: bool) -> _Held:
    """Hold the scores of every reply against each other."""
    held = _Held()
    for brief in run.briefs():
        score = next(iter(brief.scores.values()), None)
        other = theirs.pop((brief.sample, brief.repeat), None)
        value = _value(score, part)
        if other is None and value is None:  # a failed call: there is nothing to judge
            continue
        if other is None or (value is None and other.score is not None):
            held.alone += 1
            continue
        held.unread += other.why == NOTHING
        if other.score is None:
            held.failed += 1
        elif value is not None:
            held.pairs.append((value, other.score))
            if abs(value - other.score) <= SAME:
                continue
        held.items.append(_item(brief, score, other, hide=gated))
    held.alone += len(theirs)
    return held


def _value(score: Score | Failure | None, part: str) -> float | None:
    """Return the comparison; None if no rule of ours scored the run, or there is nothing to measure."""
    if not isinstance(score, Score):
        return None
    return score.parts.get(part) if part else score.value


def _stated(run: Run) -> Theirs:
    lines = lines_beside(run.path / THEIRS, msgspec.json.Decoder(Stated).decode)
    stated = {
        (s.sample, s.repeat): Judged(s.score, s.answer, f"their gold answer is {s.gold}" if s.gold else "")
        for s in lines
        if s.score is not None
    }
    if not stated:
        raise UsageError(
            f"run {run.path.name} was not imported together with scores of its source; "
            f"{' or '.join(f'--with {peer}' for peer in PEERS)} scores its replies by that harness's code"
        )
    return stated


def _opinions(run: Run, rule: Rule, python: Path) -> tuple[Theirs, str]:
    """Have every reply of a run judged by a peer's rule; returns its verdicts and what it calls itself."""
    samples = {sample.id: sample for sample in run.samples()}
    places: list[tuple[str, int, Prompt]] = []

    def asked() -> Iterator[Asked]:
        for record in run.records():
            sample, outcome = samples.get(record.sample), record.outcome
            if sample is not None and isinstance(outcome, Reply):
                places.append((record.sample, record.repeat, Prompt(order=record.prompt.order)))
                yield Asked(outcome.text, rule.doc(sample, record.prompt))

    opinion = ask(rule, asked(), python)
    return {
        (name, repeat): Judged(verdict.score, _in_data_order(verdict.answer, prompt), verdict.why)
        for (name, repeat, prompt), verdict in zip(places, opinion.verdicts, strict=True)
    }, opinion.source


def _in_data_order(answer: str, prompt: Prompt) -> str:
    """Translate a letter as shown into the data set's, as ours are."""
    if prompt.order is None or not (letter := LETTER.fullmatch(answer.strip())):
        return answer
    return prompt.source_letter(letter[1].upper()) or answer


def _item(brief: Brief, score: Score | Failure | None, theirs: Judged, *, hide: bool) -> Item:
    """Put both sides together; of a gated suite nothing but letters."""
    ours = score if isinstance(score, Score) else None

    def shown(text: str) -> str:
        return text[:ANSWER] if not hide or LETTER.fullmatch(text.strip()) else ""

    return Item(
        id=brief.sample,
        repeat=brief.repeat,
        ours=ours.value if ours else None,
        verdict=ours.verdict if ours else "failed",
        answer=shown(ours.answer or "") if ours else "",
        why=ours.why if ours and not hide else "",
        theirs=theirs.score,
        their_answer=shown(theirs.answer),
        their_why="" if hide else theirs.why,
    )


def _kappa(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Cohen's kappa of yes-or-no scores; the bootstrap resamples the four cells, which is all that it depends on."""
    import numpy as np

    if any(value not in (0.0, 1.0) for pair in pairs for value in pair):
        return None
    cells = np.bincount([int(2 * one + other) for one, other in pairs], minlength=4)
    drawn = np.random.default_rng(0).multinomial(len(pairs), cells / len(pairs), size=RESAMPLES)
    shares = np.vstack([cells, drawn]) / len(pairs)
    first, second = shares[:, 2] + shares[:, 3], shares[:, 1] + shares[:, 3]
    chance = first * second + (1 - first) * (1 - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = (shares[:, 0] + shares[:, 3] - chance) / (1 - chance)
    if not np.isfinite(kappa[0]):
        return None
    low, high = np.quantile(kappa[1:][np.isfinite(kappa[1:])], [0.025, 0.975])
    return float(kappa[0]), float(low), float(high)
