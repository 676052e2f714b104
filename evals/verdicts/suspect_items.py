"""Find items on which several models agree on an answer other than the gold answer, for human review."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import ceil

from msgspec import Struct

from evals.data import errata
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
    """The models' common answer; option letters follow the order of the data set."""
    models: tuple[str, ...]
    """Names of the models with this answer."""
    answered: int
    """Number of models with an answer."""
    known: str = ""
    """Kind of the item's erratum, if it already has one."""


class SuspectItemReport(Struct, frozen=True, kw_only=True):
    """The suspect items of a suite, and the models that were compared."""

    suite: str
    variant: str
    models: tuple[str, ...]
    least: int
    """Minimum number of models with the same wrong answer."""
    items: tuple[SuspectItem, ...]


def find_suspect_items(runs: Sequence[Run], *, min_models: int | None = None) -> SuspectItemReport:
    """Return the items to which at least `min_models` models (default: three quarters of them, but at least two) give the same wrong answer.

    Raises UsageError for runs of different suites or on different data. Of several runs of a model, the last one counts.
    """
    cards = [run.card for run in runs]
    data_sets = {(card.config.suite, card.config.data_sha256) for card in cards}
    if len(data_sets) > 1:
        raise UsageError(
            "the runs must be of one suite on the same data, got "
            + ", ".join(f"{suite} (data {digest[:8]})" for suite, digest in sorted(data_sets))
        )
    latest = {card.model: run for card, run in zip(cards, runs, strict=True)}
    if len(latest) < 2:
        raise UsageError("runs of at least two models are required")
    required = min_models or max(2, ceil(0.75 * len(latest)))
    if required > len(latest):
        raise UsageError(f"--least {required}: there are only {len(latest)} models")
    answers = {model: _most_frequent_answers(run) for model, run in latest.items()}
    name, _, variant = cards[0].config.suite.partition(":")
    known_errata = {
        sample_id: erratum.kind for sample_id, erratum in errata.suite_errata(name, variant).items.items()
    }
    items = _consensus_against_gold(runs[0], answers, required, known_errata)
    return SuspectItemReport(
        suite=name, variant=variant, models=tuple(latest), least=required, items=tuple(items)
    )


def _consensus_against_gold(
    run: Run,
    answers: Mapping[str, Mapping[str, tuple[str, str]]],
    min_models: int,
    known_errata: Mapping[str, str],
) -> list[SuspectItem]:
    """Return the items to which enough models give the same wrong answer; those with the most models come first."""
    items = []
    for sample_id, gold in run.gold().items():
        outcomes = {
            model: by_sample[sample_id] for model, by_sample in answers.items() if sample_id in by_sample
        }
        models_by_answer: dict[str, list[str]] = defaultdict(list)
        for model, (verdict, answer) in outcomes.items():
            if verdict == "wrong" and answer:
                models_by_answer[answer].append(model)
        common_answer, models = max(models_by_answer.items(), key=lambda item: len(item[1]), default=("", []))
        if len(models) >= min_models:
            item = SuspectItem(
                id=sample_id, group=gold.group, gold=_format_target(gold.target), answer=common_answer[:MAX_ANSWER_CHARS],
                models=tuple(models), known=known_errata.get(sample_id, ""),
                answered=sum(bool(answer) for _, answer in outcomes.values()),
            )  # fmt: skip
            items.append(item)
    return sorted(items, key=lambda item: -len(item.models))


def _most_frequent_answers(run: Run) -> dict[str, tuple[str, str]]:
    """Return the most frequent (verdict, answer) among the repeats of each sample; samples with a tie are left out."""
    repeats: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for record in run.compact_records():
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Score):
            repeats[record.sample][score.verdict, score.answer or ""] += 1
    answers = {}
    for sample_id, counts in repeats.items():
        (most_frequent, count), *runner_up = counts.most_common(2)
        if not runner_up or runner_up[0][1] < count:
            answers[sample_id] = most_frequent
    return answers


def _format_target(target: str | float | tuple[str, ...]) -> str:
    return ", ".join(target) if isinstance(target, tuple) else str(target)[:MAX_ANSWER_CHARS]
