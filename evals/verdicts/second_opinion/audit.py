"""Compare our scoring rule with another harness's on the same replies, to explain a difference in scores item by item.

The other scores are those stated in the source of an imported run (`theirs.jsonl` in the run's folder), or those that the
code of the other harness, called a peer, gives to the recorded replies (`opinion.py`). Neither rule sees reasoning that is
stored apart from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from evals.errors import UsageError
from evals.interop.foreign import THEIRS, StatedScore
from evals.plain import either
from evals.records.files import CompactRecord, read_run_lines
from evals.records.store import Run
from evals.types import Failure, Prompt, Reply, Score
from evals.verdicts.second_opinion.opinion import PeerVerdict, RecordedReply, interpreter, score_replies
from evals.verdicts.second_opinion.rules import PEERS, Rule, find_rule, rules

EQUALITY_TOLERANCE = 1e-6
"""Scores that differ by at most this much count as equal."""
RESAMPLES = 4000
MAX_ANSWER_CHARS = 200
"""Maximum length of a listed answer."""
NO_ANSWER = "nothing found"
"""What a peer's adapter (`of_*.py`) reports if its rule finds no answer."""
LETTER = re.compile(r"\(?([A-Za-z])\)?")


class Item(Struct, frozen=True, kw_only=True):
    """A reply on which the two rules differ, or on which the other rule failed."""

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
    """The comparison of two rules on the same replies."""

    run: str
    suite: str
    protocol: str
    source: str
    """The other rule: the origin of an imported run, or a peer's version and rule."""
    n: int
    """Number of replies that both rules scored."""
    agreed: int
    kappa: tuple[float, float, float] | None
    """Cohen's kappa with its 95 % bootstrap interval; None if scores are not binary, or a rule has only one verdict."""
    only_ours: int
    """Number of replies with full marks by our rule only."""
    only_theirs: int
    ours: float
    """Mean of our scores over the `n` replies."""
    theirs: float
    alone: int
    """Number of replies that only one rule scored."""
    failed: int
    """Number of replies on which the other rule failed; they are listed in `items`."""
    unread: int
    """Number of replies in which a peer's rule found no answer; 0 for stated scores, where it is unknown."""
    rules: tuple[str, ...]
    """All rules of the peer for this suite; empty for stated scores."""
    items: tuple[Item, ...]


def audit(run: Run, peer: str | None = None, *, python: Path | None = None, rule: str | None = None) -> Audit:
    """Compare our scores with those of a peer's rule or of an imported run's source; raises UsageError if no reply has both.

    `peer`: lm-eval, opencompass or scieval, run on the recorded replies with `python`, an interpreter that has it installed;
    None: the scores stated by the source. `rule`: the peer's rule for this suite, by default its first one.
    """
    card = run.card
    if peer is None:
        peer_scores, score_part, source, rule_names = _scores_of_source(run), "", card.origin, []
    else:
        peer_rule = find_rule(peer, card.config.suite, rule)
        peer_scores, source = _scores_of_peer(run, peer_rule, interpreter(peer, python))
        score_part, rule_names = peer_rule.part, [known.name for known in rules(peer, card.config.suite)]
    comparison = _compare_scores(run, peer_scores, score_part, gated=card.gated)
    if not comparison.pairs:
        failure = next((f"; {item.their_why}" for item in comparison.items if item.their_why), "")
        raise UsageError(f"run {card.run}: there is no reply that both rules scored{failure}")
    return Audit(
        run=card.run, suite=card.config.suite, protocol=card.config.protocol, source=source,
        n=len(comparison.pairs), agreed=sum(abs(ours - theirs) <= EQUALITY_TOLERANCE for ours, theirs in comparison.pairs),
        kappa=_kappa(comparison.pairs),
        only_ours=sum(ours == 1.0 and theirs < 1.0 for ours, theirs in comparison.pairs),
        only_theirs=sum(theirs == 1.0 and ours < 1.0 for ours, theirs in comparison.pairs),
        ours=sum(ours for ours, _ in comparison.pairs) / len(comparison.pairs),
        theirs=sum(theirs for _, theirs in comparison.pairs) / len(comparison.pairs), alone=comparison.alone,
        failed=comparison.failed, unread=comparison.unread, rules=tuple(rule_names), items=tuple(comparison.items),
    )  # fmt: skip


PeerScores = dict[tuple[str, int], PeerVerdict]
"""(sample, repeat) -> the other rule's verdict on the reply."""


class _ComparedScores:
    """Pairs of scores, the items that differ, and counts of replies."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []
        self.items: list[Item] = []
        self.alone = self.failed = self.unread = 0


def _compare_scores(run: Run, peer_scores: PeerScores, score_part: str, *, gated: bool) -> _ComparedScores:
    comparison = _ComparedScores()
    for record in run.compact_records():
        score = next(iter(record.scores.values()), None)
        peer_verdict = peer_scores.pop((record.sample, record.repeat), None)
        own_value = _comparable_value(score, score_part)
        if peer_verdict is None and own_value is None:  # there is no reply, since the call failed
            continue
        if peer_verdict is None or (own_value is None and peer_verdict.score is not None):
            comparison.alone += 1
            continue
        comparison.unread += peer_verdict.why == NO_ANSWER
        if peer_verdict.score is None:
            comparison.failed += 1
        elif own_value is not None:
            comparison.pairs.append((own_value, peer_verdict.score))
            if abs(own_value - peer_verdict.score) <= EQUALITY_TOLERANCE:
                continue
        comparison.items.append(_differing_item(record, score, peer_verdict, gated=gated))
    comparison.alone += len(peer_scores)
    return comparison


def _comparable_value(score: Score | Failure | None, score_part: str) -> float | None:
    """Return the value of our score, or the part of it that the peer's rule scores; None without a score."""
    if not isinstance(score, Score):
        return None
    return score.parts.get(score_part) if score_part else score.value


def _scores_of_source(run: Run) -> PeerScores:
    lines = read_run_lines(run.path / THEIRS, msgspec.json.Decoder(StatedScore).decode)
    stated = {
        (line.sample, line.repeat): PeerVerdict(
            line.score, line.answer, f"their gold answer is {line.gold}" if line.gold else ""
        )
        for line in lines
        if line.score is not None
    }
    if not stated:
        raise UsageError(
            f"run {run.path.name} has no scores stated by a source; to score its replies with another harness, "
            f"add {either(f'--with {peer}' for peer in PEERS)}"
        )
    return stated


def _scores_of_peer(run: Run, rule: Rule, python: Path) -> tuple[PeerScores, str]:
    """Score every reply of a run with a peer's rule; return the verdicts, and the rule's version and name."""
    samples = {sample.id: sample for sample in run.samples()}
    replies: list[tuple[str, int, Prompt]] = []

    def recorded_replies() -> Iterator[RecordedReply]:
        for record in run.records():
            sample, outcome = samples.get(record.sample), record.outcome
            if sample is not None and isinstance(outcome, Reply):
                replies.append((record.sample, record.repeat, Prompt(order=record.prompt.order)))
                yield RecordedReply(outcome.text, rule.build_doc(sample, record.prompt))

    if not any(isinstance(record.outcome, Reply) for record in run.records()):
        raise UsageError(f"run {run.path.name} has no replies, so there is nothing to score")
    opinion = score_replies(rule, recorded_replies(), python)
    return {
        (sample_id, repeat): PeerVerdict(verdict.score, _in_data_order(verdict.answer, prompt), verdict.why)
        for (sample_id, repeat, prompt), verdict in zip(replies, opinion.verdicts, strict=True)
    }, opinion.source


def _in_data_order(answer: str, prompt: Prompt) -> str:
    """Translate an option letter from the order of the prompt to that of the data set, which our answers use."""
    if prompt.order is None or not (letter := LETTER.fullmatch(answer.strip())):
        return answer
    return prompt.source_letter(letter[1].upper()) or answer


def _differing_item(
    record: CompactRecord, score: Score | Failure | None, peer_verdict: PeerVerdict, *, gated: bool
) -> Item:
    """Return both scores of a reply, without texts if the suite is gated."""
    own_score = score if isinstance(score, Score) else None

    def displayed_text(text: str) -> str:
        return text[:MAX_ANSWER_CHARS] if not gated or LETTER.fullmatch(text.strip()) else ""

    return Item(
        id=record.sample, repeat=record.repeat, ours=own_score.value if own_score else None,
        verdict=own_score.verdict if own_score else "failed", answer=displayed_text(own_score.answer or "") if own_score else "",
        why=own_score.why if own_score and not gated else "", theirs=peer_verdict.score, their_answer=displayed_text(peer_verdict.answer),
        their_why="" if gated else peer_verdict.why,
    )  # fmt: skip


def _kappa(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Return Cohen's kappa of binary scores with its interval; the bootstrap resamples the four cells of the table."""
    import numpy as np

    if any(value not in (0.0, 1.0) for pair in pairs for value in pair):
        return None
    cells = np.bincount([int(2 * ours + theirs) for ours, theirs in pairs], minlength=4)
    resamples = np.random.default_rng(0).multinomial(len(pairs), cells / len(pairs), size=RESAMPLES)
    shares = np.vstack([cells, resamples]) / len(pairs)
    share_ours, share_theirs = shares[:, 2] + shares[:, 3], shares[:, 1] + shares[:, 3]
    chance = share_ours * share_theirs + (1 - share_ours) * (1 - share_theirs)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = (shares[:, 0] + shares[:, 3] - chance) / (1 - chance)
    if not np.isfinite(kappa[0]):
        return None
    low, high = np.quantile(kappa[1:][np.isfinite(kappa[1:])], [0.025, 0.975])
    return float(kappa[0]), float(low), float(high)
