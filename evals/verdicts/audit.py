"""The same replies judged by two rules: ours, and that of the harness that a run was imported from.

This is how a disagreement of two published numbers is explained item by item. Their verdicts are those that the
source stated (`theirs.jsonl`, beside the run); nothing of theirs is run here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from evals.errors import UsageError
from evals.interop.foreign import THEIRS, Stated
from evals.sealed import read_lines
from evals.store import Run
from evals.types import Failure, Score

SAME = 1e-6
"""Scores that differ by less are the same."""
RESAMPLES = 4000


class Item(Struct, frozen=True, kw_only=True):
    """A reply on which the two rules differ."""

    id: str
    repeat: int
    ours: float | None
    verdict: str
    answer: str
    why: str
    theirs: float
    their_answer: str


class Audit(Struct, frozen=True, kw_only=True):
    """Two rules on the same replies."""

    run: str
    suite: str
    protocol: str
    source: str
    n: int
    """Replies that both judged."""
    agreed: int
    kappa: tuple[float, float, float] | None
    """Cohen's, with its 95 % interval by the bootstrap; None where a rule gives one verdict only, or no yes or no."""
    only_ours: int
    """Full marks from us alone."""
    only_theirs: int
    ours: float
    """Mean over these replies; no value counts 0."""
    theirs: float
    alone: int
    """Replies that one of the two did not judge."""
    items: tuple[Item, ...]


def audit(run: Run) -> Audit:
    """Hold our scores of an imported run against the stated ones; raises UsageError where none were stated."""
    card = run.card
    stated = {(s.sample, s.repeat): s for s in _stated(run) if s.score is not None}
    if not stated:
        raise UsageError(f"run {card.run} has no scores of its source beside it; `evals import` keeps them")
    pairs: list[tuple[float, float]] = []
    items: list[Item] = []
    alone = 0
    for brief in run.briefs():
        found = next(iter(brief.scores.values()), None)
        theirs = stated.pop((brief.sample, brief.repeat), None)
        if theirs is None or theirs.score is None or found is None or isinstance(found, Failure):
            alone += 1
            continue
        value = found.value or 0.0
        pairs.append((value, theirs.score))
        if abs(value - theirs.score) > SAME:
            items.append(_item(brief.sample, brief.repeat, found, theirs, hide=card.gated))
    if not pairs:
        raise UsageError(f"run {card.run}: there is no reply that both rules judged")
    return Audit(
        run=card.run,
        suite=card.config.suite,
        protocol=card.config.protocol,
        source=card.origin,
        n=len(pairs),
        agreed=len(pairs) - len(items),
        kappa=_kappa(pairs),
        only_ours=sum(one == 1.0 and other < 1.0 for one, other in pairs),
        only_theirs=sum(other == 1.0 and one < 1.0 for one, other in pairs),
        ours=sum(one for one, _ in pairs) / len(pairs),
        theirs=sum(other for _, other in pairs) / len(pairs),
        alone=alone + len(stated),
        items=tuple(items),
    )


def _stated(run: Run) -> list[Stated]:
    return list(read_lines(run.path / THEIRS, msgspec.json.Decoder(Stated).decode))


def _item(name: str, repeat: int, score: Score, theirs: Stated, *, hide: bool) -> Item:
    return Item(
        id=name,
        repeat=repeat,
        ours=score.value,
        verdict=score.verdict,
        answer="" if hide else (score.answer or "")[:200],
        why="" if hide else score.why,
        theirs=theirs.score or 0.0,
        their_answer="" if hide else theirs.answer,
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
