"""The content of the pages, from a board's repository or a results folder: entrants, columns and comparisons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, structs

from evals.board import decisions, examine, items, levels, policy, results, trust
from evals.board.decisions import Decision
from evals.board.items import Items
from evals.board.results import SuiteResult
from evals.board.site.comparison import ColumnComparison, compare
from evals.board.submission import ModelCard
from evals.board.trust import Mark
from evals.challenge.outcome import Verdict
from evals.challenge.summary import Challenge, challenge_of_run
from evals.errors import EvalsError, UsageError
from evals.records import store
from evals.records.store import Run
from evals.run.overview import suite_of
from evals.types import Estimate
from evals.verdicts import reported
from evals.verdicts.reported import Claim

_UNSAFE_IN_URL = re.compile(r"[^A-Za-z0-9._+@-]+")
UNRANKED = ("withdrawn", "superseded")
Key = tuple[str, str]
"""Suite and protocol."""


class Entrant(Struct, frozen=True, kw_only=True):
    """A model version, or a model in a results folder, with its scores."""

    name: str
    """Unique name, also used in the URLs of its pages."""
    label: str
    model: ModelCard | None
    """None for runs of a results folder."""
    results: Mapping[Key, SuiteResult]
    challenges: Mapping[Key, Challenge] = {}
    decision: Decision | None = None
    content_sha256: str = ""

    @property
    def is_ranked(self) -> bool:
        """Return whether the entrant is ranked: neither withdrawn nor superseded."""
        return self.decision is None or self.decision.kind not in UNRANKED

    @property
    def latest_start(self) -> float:
        """Return when the entrant's latest run was started, in seconds since the epoch."""
        return max((result.started for result in self.results.values()), default=0.0)

    def verdict(self, key: Key) -> Verdict | None:
        """Return the verdict of a score's challenge; None if there is none that counts."""
        challenge = self.challenges.get(key)
        return challenge.valid_verdict if challenge else None

    def marks(self, key: Key) -> list[Mark]:
        """Return the marks of a score: rerun, challenge, preregistration."""
        result, verdict = self.results[key], self.verdict(key)
        marks = [
            trust.RERUN if result.level == "rerun" else None,
            trust.CHALLENGES[verdict] if verdict else None,
            trust.PROMISES.get(trust.promise_state(result.promise)),
        ]
        return [mark for mark in marks if mark is not None]

    def level(self, key: Key) -> str:
        """Return a score's verification level in words, with the verdict of its challenge."""
        return trust.level_words(self.results[key].level, self.verdict(key))


class Column(Struct, frozen=True, kw_only=True):
    """A suite under one protocol: scores that may be ranked together."""

    suite: str
    protocol: str
    version: str
    headline: Estimate
    """Headline of one of the entrants; the pages take the metric, unit and direction from it."""
    comparison: ColumnComparison
    claims: tuple[Claim, ...] = ()

    @property
    def label(self) -> str:
        """Return the suite with its protocol."""
        return f"{self.suite} ({self.protocol})"

    @property
    def key(self) -> Key:
        """Return the suite and the protocol."""
        return self.suite, self.protocol

    def headline_of(self, result: SuiteResult) -> Estimate:
        """Return the headline of a result; if it has none, an estimate of the column's metric without a value."""
        without_value = structs.replace(
            self.headline, value=None, low=None, high=None, worst=None, best=None, n=0, clusters=0
        )
        return result.headline or without_value

    @property
    def name(self) -> str:
        """Return the name used in the URLs of its pages, with a hyphen between the suite and its variant."""
        return url_name(f"{self.suite.replace(':', '-')}@{self.protocol}")


class Contents(NamedTuple):
    """Everything that the pages show."""

    title: str
    url: str
    """URL of the published pages, ending in a slash; empty if unknown."""
    about: str
    contact: str
    source: Path
    """The board's repository, or the results folder."""
    entrants: tuple[Entrant, ...]
    columns: tuple[Column, ...]
    decisions: tuple[Decision, ...]
    is_board: bool

    def entrants_of(self, column: Column) -> list[Entrant]:
        """Return the ranked entrants of a column, the best first."""
        sign = -1.0 if column.headline.better == "higher" else 1.0

        def sort_key(entrant: Entrant) -> tuple[bool, float]:
            headline = entrant.results[column.key].headline
            value = headline.value if headline is not None else None
            return value is None, sign * (value or 0.0)

        return sorted((e for e in self.entrants if e.is_ranked and column.key in e.results), key=sort_key)


def url_name(name: str) -> str:
    """Return a name for URLs and file names: without separators, never empty, and different for different names."""
    slug = _UNSAFE_IN_URL.sub("-", name).strip("-.")[:120]
    return slug if slug and slug == name else f"{slug or 'name'}-{sha256(name.encode()).hexdigest()[:6]}"


def load(folder: Path) -> Contents:
    """Load the content from a board's repository or a results folder; raises UsageError."""
    if (folder / policy.NAME).exists():
        return _load_board(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is neither a board nor a results folder")
    return _load_results(folder)


def _load_board(folder: Path) -> Contents:
    board_policy, all_decisions = policy.read(folder), decisions.read(folder)
    stored_levels = levels.read(folder)
    entrants, items_by_entrant = [], {}
    for result in results.read_all(folder).values():
        if result.status != "accepted":
            continue
        assert result.model is not None  # noqa: S101 - accepted results contain their model
        suite_results: dict[Key, SuiteResult] = {}
        challenges: dict[Key, Challenge] = {}
        for suite_result in result.suites:
            key = suite_result.suite, suite_result.protocol
            level, challenge = stored_levels.level_and_challenge(result.entry, *key)
            suite_results[key] = suite_result.with_level(level)
            if challenge:
                challenges[key] = challenge
        entrants.append(
            Entrant(
                name=result.entry,
                label=f"{result.model.model} ({result.model.revision})",
                model=result.model,
                results=suite_results,
                challenges=challenges,
                decision=decisions.latest(all_decisions, result.entry),
                content_sha256=result.content_sha256,
            )
        )
        items_by_entrant[result.entry] = items.read(folder, result.entry)
    url = f"{board_policy.url.rstrip('/')}/" if board_policy.url else ""
    return Contents(
        board_policy.title, url, board_policy.about, board_policy.contact, folder, tuple(entrants),
        _columns(entrants, items_by_entrant, reported.load_claims()), all_decisions, is_board=True,
    )  # fmt: skip


def _load_results(folder: Path) -> Contents:
    scored_runs: list[tuple[float, str, Key, Run]] = []
    for run in store.runs(folder):
        try:
            card = run.card
        except EvalsError:
            continue  # a broken run has no score; `evals show` lists it
        has_score = card.status != "running" and card.headline is not None
        if has_score and card.complete and card.data != "sample":
            scored_runs.append((card.started, card.model, (card.config.suite, card.config.protocol), run))
    scored_runs.sort(key=lambda entry: entry[0])
    newest_runs = {(model, key): run for _, model, key, run in scored_runs}
    entrants, items_by_entrant = [], {}
    for model in dict.fromkeys(model for model, _ in newest_runs):
        runs = {key: run for (name, key), run in newest_runs.items() if name == model}
        measurements = {key: _measure(run) for key, run in runs.items()}
        name = url_name(model)
        suite_results = {key: result for key, (result, _) in measurements.items()}
        challenges = {
            key: challenge for key, run in runs.items() if (challenge := challenge_of_run(run.path, run.card))
        }
        for key, challenge in challenges.items():
            if challenge.passed:
                suite_results[key] = suite_results[key].with_level("challenged")
        entrants.append(
            Entrant(name=name, label=model, model=None, results=suite_results, challenges=challenges)
        )
        items_by_entrant[name] = {key: run_items for key, (_, run_items) in measurements.items()}
    if not entrants:
        raise UsageError(f"{folder} contains no complete run of a benchmark")
    return Contents(
        "Leaderboard", "", "", "", folder, tuple(entrants),
        _columns(entrants, items_by_entrant, reported.load_claims(folder)), (), is_board=False,
    )  # fmt: skip


def _measure(run: Run) -> tuple[SuiteResult, Items]:
    card = run.card
    run_items = items.measure(suite_of(card), run.compact_records(), run.gold(), card.config.repeats)
    return examine.result_of(card, run_items), run_items


def _columns(
    entrants: Sequence[Entrant], items_by_entrant: Mapping[str, Mapping[Key, Items]], claims: Sequence[Claim]
) -> tuple[Column, ...]:
    columns = []
    for key in sorted({key for entrant in entrants for key in entrant.results}):
        ranked_results = {e.name: e.results[key] for e in entrants if e.is_ranked and key in e.results}
        headlines = (result.headline for result in ranked_results.values())
        headline = next((estimate for estimate in headlines if estimate is not None), None)
        if headline is None:
            continue
        columns.append(
            Column(
                suite=key[0],
                protocol=key[1],
                version=next(iter(ranked_results.values())).version,
                headline=headline,
                comparison=compare(
                    ranked_results, {name: items_by_entrant[name].get(key) for name in ranked_results}
                ),
                claims=tuple(claim for claim in claims if claim.suite == key[0] and not claim.superseded),
            )
        )
    return tuple(columns)
