"""Items on which several models agree against the gold answer, for a person to review; nothing is changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from evals.errors import UsageError
from evals.records.store import Run
from evals.types import Score

MAX_ANSWER_CHARS = 200


class SuspectItem(Struct, frozen=True, kw_only=True):
    """An item on which models agree with each other but not with the gold answer."""

    id: str
    group: str
    gold: str
    answer: str
    """The models' common answer; letters are in the data set's order."""
    models: tuple[str, ...]
    """Models with this answer."""
    answered: int
    """Models with an answer."""
    known: str = ""
    """Kind of an existing erratum for the item."""


class SuspectItems(Struct, frozen=True, kw_only=True):
    """Suspect items of a suite, and the runs that they are from."""

    suite: str
    variant: str
    models: tuple[str, ...]
    least: int
    items: tuple[SuspectItem, ...]


def find_suspect_items(runs: Sequence[Run], *, least: int | None = None) -> SuspectItems:
    """Return the items that at least `least` models (default: three quarters, at least two) answer alike against the gold.

    Raises UsageError for runs of several suites or data. Of several runs of a model, the last one counts.
    """
    cards = [run.card for run in runs]
    names = {(card.config.suite, card.config.data_sha256) for card in cards}
    if len(names) > 1:
        raise UsageError(
            "runs of one suite and the same data are wanted: "
            + ", ".join(f"{suite} (data {digest[:8]})" for suite, digest in sorted(names))
        )
    latest = {card.model: run for card, run in zip(cards, runs, strict=True)}
    if len(latest) < 2:
        raise UsageError("needs runs of at least two models: the errors of one model alone show nothing")
    wanted = least or max(2, -(-3 * len(latest) // 4))
    if wanted > len(latest):
        raise UsageError(f"--least {wanted}: there are {len(latest)} models")
    answers = {model: _majority_answers(run) for model, run in latest.items()}
    name, _, variant = cards[0].config.suite.partition(":")
    items = _consensus_against_gold(runs[0], answers, wanted, _known_errata(name, variant))
    return SuspectItems(suite=name, variant=variant, models=tuple(latest), least=wanted, items=tuple(items))


def _known_errata(name: str, variant: str) -> Mapping[str, str]:
    from evals.data import errata

    return {item: erratum.kind for item, erratum in errata.suite_errata(name, variant).items.items()}


def _consensus_against_gold(
    run: Run, answers: Mapping[str, Mapping[str, tuple[str, str]]], least: int, known: Mapping[str, str]
) -> list[SuspectItem]:
    """Return the items that enough models answer alike against the gold, sorted by the number of models."""
    items = []
    for name, gold in run.gold().items():
        outcomes = {model: by_name[name] for model, by_name in answers.items() if name in by_name}
        models: dict[str, list[str]] = defaultdict(list)
        for model, (verdict, answer) in outcomes.items():
            if verdict == "wrong" and answer:
                models[answer].append(model)
        best = max(models, key=lambda answer: len(models[answer]), default="")
        if best and len(models[best]) >= least:
            items.append(
                SuspectItem(
                    id=name,
                    group=gold.group,
                    gold=_text(gold.target),
                    answer=best[:MAX_ANSWER_CHARS],
                    models=tuple(models[best]),
                    answered=sum(bool(answer) for _, answer in outcomes.values()),
                    known=known.get(name, ""),
                )
            )
    return sorted(items, key=lambda item: -len(item.models))


def _majority_answers(run: Run) -> dict[str, tuple[str, str]]:
    """Return sample id -> most frequent (verdict, answer) of its repeats; samples with a tie are left out."""
    repeats: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for brief in run.briefs():
        score = next(iter(brief.scores.values()), None)
        if isinstance(score, Score):
            repeats[brief.sample][score.verdict, score.answer or ""] += 1
    answers = {}
    for name, counts in repeats.items():
        (top, times), *rest = counts.most_common(2)
        if not rest or rest[0][1] < times:
            answers[name] = top
    return answers


def _text(target: str | float | tuple[str, ...]) -> str:
    return ", ".join(target) if isinstance(target, tuple) else str(target)[:MAX_ANSWER_CHARS]
