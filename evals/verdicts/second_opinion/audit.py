"""Compare two rules on the same replies, ours and another harness's, to explain the difference of two scores item by item.

The other scores are those stated in the source of an imported run (`theirs.jsonl` beside the run), or those of the other
harness's own code on the recorded replies (`opinion.py`). Neither rule sees reasoning that is stored apart from the
answer.
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
from evals.verdicts.second_opinion.opinion import PeerVerdict, Question, interpreter, score_replies
from evals.verdicts.second_opinion.rules import PEERS, Rule, find, rules

EQUALITY_TOLERANCE = 1e-6
"""Scores that differ by less count as equal."""
RESAMPLES = 4000
MAX_ANSWER_CHARS = 200
"""Maximum length of a listed answer."""
NO_ANSWER = "nothing found"
"""Reported by a peer's adapter (`of_*.py`) if its rule finds no answer."""
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
    """None: the other rule failed."""
    their_answer: str
    their_why: str = ""


class Audit(Struct, frozen=True, kw_only=True):
    """Two rules on the same replies."""

    run: str
    suite: str
    protocol: str
    source: str
    """The other rule: the origin of an imported run, or a peer's version and rule."""
    n: int
    """Replies that both rules scored."""
    agreed: int
    kappa: tuple[float, float, float] | None
    """Cohen's kappa with its 95 % bootstrap interval; None if scores are not binary, or a rule has only one verdict."""
    only_ours: int
    """Replies with full marks by our rule only."""
    only_theirs: int
    ours: float
    """Mean over these replies."""
    theirs: float
    alone: int
    """Replies that only one rule scored."""
    failed: int
    """Replies on which the other rule failed; they are among the items."""
    unread: int
    """Replies in which a peer's rule found no answer; unknown for stated scores."""
    rules: tuple[str, ...]
    """All rules of the peer for this suite; empty for stated scores."""
    items: tuple[Item, ...]


def audit(run: Run, peer: str | None = None, *, python: Path | None = None, rule: str | None = None) -> Audit:
    """Compare our scores with those of a peer's rule, or of an imported run's source; raises UsageError if there are none.

    `peer`: lm-eval, opencompass or scieval, run on the recorded replies (`python`: an interpreter that has it installed; `rule`:
    the name of one of its rules for this suite, by default the first). None: the scores stated by the source.
    """
    card = run.card
    if peer is None:
        theirs, part, source, names = _scores_of_source(run), "", card.origin, []
    else:
        chosen = find(peer, card.config.suite, rule)
        theirs, source = _scores_of_peer(run, chosen, interpreter(peer, python))
        part, names = chosen.part, [known.name for known in rules(peer, card.config.suite)]
    compared = _compare_scores(run, theirs, part, gated=card.gated)
    if not compared.pairs:
        first = next((f"; {item.their_why}" for item in compared.items if item.their_why), "")
        raise UsageError(f"run {card.run}: there is no reply that both rules judged{first}")
    return Audit(
        run=card.run, suite=card.config.suite, protocol=card.config.protocol, source=source,
        n=len(compared.pairs), agreed=sum(abs(ours - theirs) <= EQUALITY_TOLERANCE for ours, theirs in compared.pairs),
        kappa=_kappa(compared.pairs),
        only_ours=sum(ours == 1.0 and theirs < 1.0 for ours, theirs in compared.pairs),
        only_theirs=sum(theirs == 1.0 and ours < 1.0 for ours, theirs in compared.pairs),
        ours=sum(ours for ours, _ in compared.pairs) / len(compared.pairs),
        theirs=sum(theirs for _, theirs in compared.pairs) / len(compared.pairs), alone=compared.alone,
        failed=compared.failed, unread=compared.unread, rules=tuple(names), items=tuple(compared.items),
    )  # fmt: skip


PeerScores = dict[tuple[str, int], PeerVerdict]
"""Sample and repeat -> their score of the reply."""


class _ComparedScores:
    """Pairs of scores, the differing items, and counts."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []
        self.items: list[Item] = []
        self.alone = self.failed = self.unread = 0


def _compare_scores(run: Run, theirs: PeerScores, part: str, *, gated: bool) -> _ComparedScores:
    """Compare the scores of every reply."""
    compared = _ComparedScores()
    for brief in run.briefs():
        score = next(iter(brief.scores.values()), None)
        other = theirs.pop((brief.sample, brief.repeat), None)
        value = _value(score, part)
        if other is None and value is None:  # a failed call
            continue
        if other is None or (value is None and other.score is not None):
            compared.alone += 1
            continue
        compared.unread += other.why == NO_ANSWER
        if other.score is None:
            compared.failed += 1
        elif value is not None:
            compared.pairs.append((value, other.score))
            if abs(value - other.score) <= EQUALITY_TOLERANCE:
                continue
        compared.items.append(_item(brief, score, other, hide=gated))
    compared.alone += len(theirs)
    return compared


def _value(score: Score | Failure | None, part: str) -> float | None:
    """Return our comparable score: the value, or one of its parts; None without a score."""
    if not isinstance(score, Score):
        return None
    return score.parts.get(part) if part else score.value


def _scores_of_source(run: Run) -> PeerScores:
    lines = lines_beside(run.path / THEIRS, msgspec.json.Decoder(Stated).decode)
    stated = {
        (s.sample, s.repeat): PeerVerdict(
            s.score, s.answer, f"their gold answer is {s.gold}" if s.gold else ""
        )
        for s in lines
        if s.score is not None
    }
    if not stated:
        raise UsageError(
            f"run {run.path.name} was not imported together with scores of its source; "
            f"{' or '.join(f'--with {peer}' for peer in PEERS)} scores its replies by that harness's code"
        )
    return stated


def _scores_of_peer(run: Run, rule: Rule, python: Path) -> tuple[PeerScores, str]:
    """Score every reply of a run by a peer's rule; returns the scores, and the rule's version and name."""
    samples = {sample.id: sample for sample in run.samples()}
    places: list[tuple[str, int, Prompt]] = []

    def questions() -> Iterator[Question]:
        for record in run.records():
            sample, outcome = samples.get(record.sample), record.outcome
            if sample is not None and isinstance(outcome, Reply):
                places.append((record.sample, record.repeat, Prompt(order=record.prompt.order)))
                yield Question(outcome.text, rule.doc(sample, record.prompt))

    opinion = score_replies(rule, questions(), python)
    return {
        (name, repeat): PeerVerdict(verdict.score, _in_data_order(verdict.answer, prompt), verdict.why)
        for (name, repeat, prompt), verdict in zip(places, opinion.verdicts, strict=True)
    }, opinion.source


def _in_data_order(answer: str, prompt: Prompt) -> str:
    """Translate a letter as shown into the data set's order, as in our answers."""
    if prompt.order is None or not (letter := LETTER.fullmatch(answer.strip())):
        return answer
    return prompt.source_letter(letter[1].upper()) or answer


def _item(brief: Brief, score: Score | Failure | None, theirs: PeerVerdict, *, hide: bool) -> Item:
    """Return both scores of a reply; of a gated suite without texts."""
    ours = score if isinstance(score, Score) else None

    def shown(text: str) -> str:
        return text[:MAX_ANSWER_CHARS] if not hide or LETTER.fullmatch(text.strip()) else ""

    return Item(
        id=brief.sample, repeat=brief.repeat, ours=ours.value if ours else None,
        verdict=ours.verdict if ours else "failed", answer=shown(ours.answer or "") if ours else "",
        why=ours.why if ours and not hide else "", theirs=theirs.score, their_answer=shown(theirs.answer),
        their_why="" if hide else theirs.why,
    )  # fmt: skip


def _kappa(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Return Cohen's kappa of binary scores; the bootstrap resamples the four cells of the table."""
    import numpy as np

    if any(value not in (0.0, 1.0) for pair in pairs for value in pair):
        return None
    cells = np.bincount([int(2 * ours + theirs) for ours, theirs in pairs], minlength=4)
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
