"""Load runs and baseline files for comparisons and gates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from evals.errors import StoreError, UsageError
from evals.labels import ScoredUnder
from evals.records import names, promise, store
from evals.records.card import Card
from evals.records.store import Run
from evals.report.estimates import points
from evals.report.metrics import at_repeats
from evals.run.overview import is_from_card, reproducible_metrics, suite_of
from evals.verdicts import baseline
from evals.verdicts.pairs import Outcomes
from evals.verdicts.suite_run import SuiteRun, normalise_suite_name

T = TypeVar("T")
MAX_LISTED = 6
"""Maximum number of runs in a message."""


def of_run(run: Run) -> SuiteRun:
    """Load a run.

    Raises StoreError if the run is broken, UnknownName if its suite is unknown and its card has no estimates, and
    Untrusted if the headline cannot be computed without the suite's code.
    """
    card = run.card
    suite = suite_of(card)
    golds, repeats = run.gold(), card.config.repeats
    records = [record for record in run.compact_records() if record.repeat < repeats]
    outcomes_by_scorer = {
        name: Outcomes(points(records, golds, name), golds, repeats, absent_groups=card.absent_groups)
        for name in suite.scorers
    }
    metrics = at_repeats(suite.metrics_for(golds), repeats)
    if is_from_card(suite):
        metrics = reproducible_metrics(
            card, suite, {name: outcomes.points for name, outcomes in outcomes_by_scorer.items()}
        )
    return SuiteRun(
        run=card.run, model=card.model, suite=card.config.suite, protocol=card.config.protocol,
        version=card.config.version, data_sha256=card.config.data_sha256, scorers=card.scorers or suite.scorer_versions(), metrics=metrics,
        outcomes_by_scorer=outcomes_by_scorer, judge=judge_of(card) if suite.judged else "", tokens=card.tokens, cost_usd=card.cost_usd,
        seconds=card.finished - card.started if card.finished else None, gated=card.gated, restrictions=_restrictions(card),
        prompted=next((scored.prompts for note in card.notes if (scored := ScoredUnder.parse(note))), ""),
        promise=promise.promise_status(card), promised_policy=card.promise.policy_sha256 if card.promise else "",
    )  # fmt: skip


def _restrictions(card: Card) -> tuple[str, ...]:
    restrictions = ["sample items"] if card.data == "sample" else []
    if card.config.limit is not None:
        restrictions.append(f"a subset of {card.config.limit} items")
    if card.stopped_early and card.status != "running":
        restrictions.append("stopped early" if card.origin == "run" else "incomplete")
    return tuple(restrictions)


def judge_of(card: Card) -> str:
    """Return the judge model of a judged run, or `none`; its prompt is part of the scorer version."""
    return (card.judge.model if card.judge else "") or card.config.judge or "none"


def load_named_runs(
    results: Path,
    name: str,
    *,
    suites: Sequence[str] = (),
    latest: bool | None = None,
    other_side: Collection[tuple[str, str]] = (),
) -> list[SuiteRun]:
    """Load the runs with a name, or a baseline file, optionally only for some suites (a bare suite name: all variants).

    Raises UsageError if the name matches several runs of one suite and protocol, unless `latest` selects the newest that
    is not in `other_side` (run id and model of each run on the other side of a comparison). `latest` is None if the command lacks the option.
    """
    path = Path(name)
    if path.is_file():
        return _of_suites(suites, baseline.read(path), lambda run: run.suite, name)
    if path.suffix == ".jsonl" and not path.exists():
        raise StoreError(f"there is no baseline file {path}")
    runs = _of_suites(suites, store.find(results, name), _suite_name, name)
    return [of_run(run) for run in _unique_runs(runs, name, latest=latest, other_side=other_side)]


def load_runs(
    runs: Sequence[Run], *, suites: Sequence[str] = (), latest: bool | None = None
) -> list[SuiteRun]:
    """Load runs, one for each suite and protocol; `suites` and `latest` as in `load_named_runs`."""
    name = ", ".join(run.path.name for run in runs)
    selected = _of_suites(suites, runs, _suite_name, name)
    return [of_run(run) for run in _unique_runs(selected, name, latest=latest)]


def _suite_name(run: Run) -> str:
    return run.card.config.suite


def _of_suites(
    suites: Sequence[str], runs: Sequence[T], suite_name: Callable[[T], str], name: str
) -> list[T]:
    """Return the runs of the given suites, by default of all; raises UsageError, naming the suites of `runs`, if none is left."""
    wanted = set(map(normalise_suite_name, suites))
    selected = []
    for run in runs:
        suite = normalise_suite_name(suite_name(run))
        if not wanted or suite in wanted or suite.partition(":")[0] in wanted:
            selected.append(run)
    if not selected:
        present = dict.fromkeys(map(suite_name, runs))
        raise UsageError(
            f"{name} has no run of {', '.join(suites) or 'any suite'}; it has {', '.join(present) or 'no runs'}"
        )
    return selected


def _unique_runs(
    runs: Sequence[Run], name: str, *, latest: bool | None, other_side: Collection[tuple[str, str]] = ()
) -> list[Run]:
    """Return one run per suite and protocol; `latest` and `other_side` as in `load_named_runs`."""
    by_suite: dict[tuple[str, str], list[tuple[float, Run]]] = {}
    for run in runs:
        key = run.card.config.suite, run.card.config.protocol
        by_suite.setdefault(key, []).append((names.start_time(run.card, run.path), run))
    unique = []
    for (suite, protocol), entries in by_suite.items():
        entries.sort(key=lambda entry: entry[0])
        eligible = [run for _, run in entries if (run.path.name, run.card.model) not in other_side]
        if len(entries) > 1 and not latest:
            listed = ", ".join(
                f"{run.path.name} ({run.card.model}, {datetime.fromtimestamp(start, tz=UTC):%Y-%m-%d %H:%M} UTC)"
                for start, run in entries[-MAX_LISTED:]
            )
            raise UsageError(
                f"{name} matches {len(entries)} runs of {suite} ({protocol}): {listed}; name one"
                + (", or add --latest" if latest is not None else "")
            )
        if len(entries) > 1 and not eligible:
            raise UsageError(
                f"{name}: all {len(entries)} runs of {suite} ({protocol}) are already on the other side of the comparison"
            )
        unique.append(eligible[-1] if len(entries) > 1 else entries[0][1])
    return unique


def with_common_ids(*sides: Sequence[SuiteRun]) -> list[list[SuiteRun]]:
    """Return the runs of all sides, with hashed ids if one of them comes from a baseline file, which contains only hashes."""
    if any(run.original_ids is not None for side in sides for run in side):
        return [[baseline.hash_ids(run) for run in side] for side in sides]
    return [list(side) for side in sides]


def subset(run: SuiteRun, limit: int, *, seed: int) -> SuiteRun:
    """Return a run restricted to a seeded random subset of `limit` samples (not stratified, unlike `evals run --limit`)."""
    sample_ids = sorted(
        run.outcomes.golds, key=lambda sample_id: sha256(f"{seed}\x1f{sample_id}".encode()).digest()
    )[:limit]
    selected = set(sample_ids)
    outcomes_by_scorer = {
        scorer: outcomes._replace(
            golds={sample_id: gold for sample_id, gold in outcomes.golds.items() if sample_id in selected},
            points=[point for point in outcomes.points if point.id in selected],
        )
        for scorer, outcomes in run.outcomes_by_scorer.items()
    }
    return structs.replace(run, outcomes_by_scorer=outcomes_by_scorer)
