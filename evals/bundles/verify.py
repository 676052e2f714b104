"""Verify a bundle: every byte, every score and every estimate, without calling a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from math import isclose
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from evals import load
from evals.bundles.bundle import (
    UNKNOWN_PROMPT,
    Bundle,
    Withheld,
    open_bundle,
    prompt_hash,
    sample_without_texts,
)
from evals.data import Data
from evals.data.archive import ARCHIVE_ERRORS
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.labels import Failed
from evals.plain import count_of
from evals.profiles import Price
from evals.records import promise
from evals.records.files import CompactRecord, Gold, compact
from evals.report.estimates import Summary, summarize
from evals.run.plan import read_samples
from evals.run.rescore import rescore_records
from evals.run.selection import selected_positions
from evals.sandbox import Pool
from evals.suite import data_sha256
from evals.types import Estimate, Failure, Prompt, Prompter, Record, Reply, Sample, Score, Text

TOLERANCE = 1e-9
"""Tolerance for floats, because the last digits of a mean may differ between processors."""
SUMMARY_FIELDS = ("expected", "counts", "coverage", "truncated", "tokens")
JUDGE_FIELDS = ("verdicts", "unreadable", "waiting", "tokens", "drawn", "agreement", "both_sides")
"""Fields of the card, and of the card's `judge`, that are recomputed."""


class Verification(Struct, frozen=True, kw_only=True):
    """The result of verifying a bundle."""

    bundle: str
    run: str = ""
    suite: str = ""
    protocol: str = ""
    model: str = ""
    records: int = 0
    """Number of records, including those that cannot be rescored."""
    figures: int = 0
    """Number of recomputed estimates and other figures of the card."""
    differences: tuple[str, ...] = ()
    """One line each; empty if the bundle is verified."""
    notes: tuple[str, ...] = ()
    """What was not verified, and whether a preregistration (promise) was kept; one line each."""


def verify(path: Path, data: Path | None = None) -> Verification:
    """Verify a bundle; `data` is a local mirror of the suite's data, required if the suite is gated.

    Raises UsageError if the file is not a bundle, if the data cannot be read, or if they are required but not given;
    Untrusted (a UsageError) if the suite is defined by a plugin's code.
    """
    try:
        with open_bundle(path) as bundle:
            if faults := bundle.faults():
                return Verification(bundle=path.name, run=bundle.manifest.run, differences=tuple(faults))
            return _Verifier(bundle, data).verify()
    except DataError as error:
        return Verification(bundle=path.name, differences=(str(error),))
    except ARCHIVE_ERRORS as error:
        return Verification(bundle=path.name, differences=(f"{path}: {error}",))


class _Verifier:
    """Verifies one bundle and collects differences and notes."""

    def __init__(self, bundle: Bundle, data: Path | None) -> None:
        self.bundle = bundle
        self.card = bundle.card()
        self.differences: list[str] = []
        manifest, config = bundle.manifest, self.card.config
        stated = (manifest.run, manifest.suite, manifest.protocol, manifest.gated)
        if stated != (self.card.run, config.suite, config.protocol, self.card.gated):
            raise DataError("bundle.json and card.json name different runs")
        (self.suite,) = load.recorded_suite(config.suite, config.protocol)
        if self.suite.refuses:
            raise UsageError(f"{self.bundle.path}: {self.suite.refuses}")
        self.prompter: Prompter | None = None
        self.notes: list[str] = []
        self.compact_records: list[CompactRecord] = []
        self.samples: dict[str, Sample] = {}
        for sample in bundle.lines("samples.jsonl", Sample):
            if sample.id in self.samples:
                raise DataError(f"samples.jsonl: {sample.id} occurs twice")
            self.samples[sample.id] = sample
        self._compare_suite()
        self._check_data(data)

    def verify(self) -> Verification:
        """Rescore all records, recompute all figures and return the result."""
        records = self._rescore_letters() if self.card.gated else self._rescore()
        self._compare_scores(records)
        figures = self._recompute_figures()
        card = self.card
        if (status := promise.promise_status(card)) != promise.NONE:
            self.notes.append(f"promise {status}")
        return Verification(
            bundle=self.bundle.path.name, run=card.run, suite=card.config.suite, protocol=card.config.protocol, model=card.model,
            records=len(self.compact_records), figures=figures, differences=tuple(self.differences), notes=tuple(self.notes),
        )  # fmt: skip

    def _compare_suite(self) -> None:
        card = self.card
        if self.suite.gated and not card.gated:
            self.differences.append(f"{self.suite.id} is gated, but the bundle contains texts")
        if self.suite.version != card.config.version:
            self.differences.append(
                f"scored with version {card.config.version} of {self.suite.id}; version {self.suite.version} is installed"
            )
        if self.suite.errata.version != card.errata:
            self.differences.append(
                f"errata: {card.errata!r} in the card, {self.suite.errata.version!r} here"
            )
        if not _are_equal(self.suite.chance, card.chance):
            self.differences.append(f"chance: {card.chance} in the card, {self.suite.chance} here")
        versions = self.suite.scorer_versions()
        self.differences += [
            f"scorer {name}: {card.scorers.get(name)} in the card, {versions.get(name)} here"
            for name in sorted({*versions, *card.scorers})
            if versions.get(name) != card.scorers.get(name)
        ]

    def _check_data(self, data: Path | None) -> None:
        """Check the samples against the data set or, without it, their hash (unless they are a subset); prepare the prompts."""
        config = self.card.config
        if data is None:
            if self.card.gated:
                raise UsageError(
                    f"{self.bundle.path}: {self.suite.id} is gated, so its data are required: add --data DIR"
                )
            if config.limit is None and data_sha256(self.samples.values()) != config.data_sha256:
                self.differences.append("the hash of samples.jsonl is not the card's data_sha256")
            self.notes.append(
                "the gold answers are the bundle's own; --data DIR compares them with the data set"
            )
            return
        source = Data(suite=self.suite.name, local=data)
        try:
            samples, digest = read_samples(self.suite, source)
        except DataError as error:  # the fault is in the user's folder, not in the bundle
            raise UsageError(f"--data {data}: {error}") from error
        if digest != config.data_sha256:
            self.differences.append(f"data hash: {config.data_sha256[:16]} in the card, {digest[:16]} here")
        self._check_selection(samples)
        data_samples = {sample.id: sample for sample in samples if sample.id in self.samples}
        for sample_id, stated in self.samples.items():
            actual = data_samples.get(sample_id)
            if actual is None:
                raise DataError(f"sample {sample_id!r} is not in the data")
            texts = tuple(part for part in stated.question if isinstance(part, Text))  # imported replies only
            actual = structs.replace(actual, question=actual.question if texts else ())
            expected = sample_without_texts(actual) if self.card.gated else actual
            if structs.replace(stated, question=texts) != expected:
                self.differences.append(f"sample {sample_id!r} differs from the data")
        self.samples = data_samples
        if self.card.origin == "run":  # the prompts of imported replies are not ours
            try:
                self.prompter = self.suite.prompter(source)
            except DataError as error:
                self.notes.append(f"the prompts were not compared with the data: {error}")
        samples.close()

    def _check_selection(self, samples: SampleStore) -> None:
        """Check that the bundle contains exactly those samples of the data set that the card's configuration selects."""
        positions = selected_positions(samples, self.suite, self.card.config)
        if differing := {samples.ids[position] for position in positions} ^ self.samples.keys():
            self.differences.append(
                f"{count_of(len(differing), 'sample')} missing or not selected by the run: {min(differing)!r} ..."
            )
        absent_groups = set(samples.groups).difference(samples.groups[position] for position in positions)
        if absent_groups != set(self.card.absent_groups):
            self.differences.append(
                f"absent_groups: {len(self.card.absent_groups)} in the card, {len(absent_groups)} here"
            )

    def _rescore(self) -> Iterator[tuple[Record, Record]]:
        records = self._check_records(self.bundle.lines("records.jsonl", Record))

        def check_prompt(record: Record) -> Record:
            parts = (part for message in record.prompt.messages for part in message.parts)
            is_text = all(isinstance(part, Text) for part in parts)  # images may have been resized
            return self._check_prompt(record, prompt_hash(record.prompt) if is_text else UNKNOWN_PROMPT)

        with Pool() as pool:
            stored = map(check_prompt, records)
            yield from rescore_records(self.suite.scoring(pool), self.samples, stored)

    def _rescore_letters(self) -> Iterator[tuple[Record, Record]]:
        """Yield each record of a gated suite with its copy rescored from the answer letter, or with itself if that is impossible."""
        unverified = 0
        with Pool() as pool:
            scoring = self.suite.scoring(pool)
            withheld = self.bundle.lines("withheld.jsonl", Withheld)
            stored = (self._check_prompt(entry.record, entry.prompt_sha256) for entry in withheld)
            for record in self._check_records(stored):
                recorded = record.scores.values()
                if any(
                    isinstance(s, Failure) or s.judged or (s.answer or "").startswith("sha256:")
                    for s in recorded
                ):
                    unverified += 1
                    yield record, record
                    continue
                ((_, rescored),) = rescore_records(
                    scoring, self.samples, iter([self._restate_answer(record)])
                )
                scores = {name: _recomputable_part(score) for name, score in rescored.scores.items()}
                stored_scores = {name: _recomputable_part(score) for name, score in record.scores.items()}
                yield structs.replace(record, scores=stored_scores), structs.replace(record, scores=scores)
        if unverified:
            subject = count_of(unverified, "record")
            self.differences.append(f"{subject} cannot be rescored: the texts of a gated suite are withheld")
        self.notes.append("texts are withheld: the verdicts were checked against the recorded answer letters")

    def _check_prompt(self, record: Record, sha256: str) -> Record:
        """Check the hash of a record's prompt, if it is known; return the record."""
        sample = self.samples.get(record.sample)
        if self.prompter is not None and sample is not None and sha256 != UNKNOWN_PROMPT:
            prompt = self.prompter(sample, record.repeat)
            if (prompt_hash(prompt), prompt.order) != (sha256, record.prompt.order):
                self.differences.append(
                    f"{record.sample} [{record.repeat}]: the prompt differs from the suite's"
                )
        return record

    def _restate_answer(self, record: Record) -> Record:
        """Replace the withheld reply with one that states the recorded answer."""
        if not isinstance(record.outcome, Reply):
            return record
        first = next(iter(record.scores.values()), None)
        answer = first.answer if isinstance(first, Score) else None
        if answer is None:
            return record
        sample = structs.replace(self.samples[record.sample], target=answer)
        text = self.suite.ideal(sample, Prompt(order=record.prompt.order))
        return structs.replace(record, outcome=structs.replace(record.outcome, text=text))

    def _check_records(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records; raise DataError for an unknown sample or repeat, or a duplicate."""
        keys: set[tuple[str, int]] = set()
        for record in records:
            if record.sample not in self.samples:
                raise DataError(f"record of {record.sample}, which is not a sample of the bundle")
            if not 0 <= record.repeat < self.card.config.repeats:
                raise DataError(
                    f"record of {record.sample} [{record.repeat}], but the run has {count_of(self.card.config.repeats, 'repeat')}"
                )
            if (key := (record.sample, record.repeat)) in keys:
                raise DataError(f"record of {record.sample} [{record.repeat}] occurs twice")
            keys.add(key)
            yield record

    def _compare_scores(self, pairs: Iterable[tuple[Record, Record]]) -> None:
        for stored, rescored in pairs:
            self.compact_records.append(compact(rescored))
            failed = isinstance(stored.outcome, Failure)
            if (failed and stored.scores) or not _are_equal(stored.scores, rescored.scores):
                label = f"{stored.sample} [{stored.repeat}]"
                self.differences.append(
                    f"{label}: stored {_describe_scores(stored.scores)}, rescored {_describe_scores(rescored.scores)}"
                )

    def _recompute_figures(self) -> int:
        golds = {s.id: Gold.of(s) for s in self.samples.values()}
        summary: Summary = summarize(
            self.compact_records,
            golds,
            self.suite.metrics_for(golds),
            scorers=tuple(self.suite.scorers),
            repeats=self.card.config.repeats,
            absent_groups=self.card.absent_groups,
        )
        self._compare_fields(structs.asdict(self.card), structs.asdict(summary), SUMMARY_FIELDS)
        stated, computed = _by_metric_and_group(self.card.estimates), _by_metric_and_group(summary.estimates)
        for key in sorted({*stated, *computed}):
            stated_estimate, recomputed = stated.get(key), computed.get(key)
            if not _are_equal(stated_estimate, recomputed):
                self.differences.append(
                    f"{' of '.join(filter(None, key))}: {_describe_estimate(stated_estimate)}; recomputed {_describe_estimate(recomputed)}"
                )
        self._recompute_cost()
        return len(SUMMARY_FIELDS) + len(computed) + self._recompute_judge(golds)

    def _compare_fields(
        self, stated: Mapping[str, Any], computed: Mapping[str, Any], names: Sequence[str], prefix: str = ""
    ) -> None:
        for name in names:
            if not _are_equal(stated[name], computed.get(name)):
                self.differences.append(
                    f"{prefix}{name}: {stated[name]} in the card, recomputed {computed.get(name)}"
                )

    def _recompute_judge(self, golds: Mapping[str, Gold]) -> int:
        """Recompute the judge's statistics and return their number."""
        stated = self.card.judge
        if stated is None:
            return 0
        from evals.scorers.judge.account import judge_card

        options = (golds[record.sample].options for record in self.compact_records)
        computed = judge_card(
            (record.scores for record in self.compact_records), self.suite.scorers, option_counts=options
        )
        recomputed = structs.asdict(computed) if computed is not None else {}
        self._compare_fields(structs.asdict(stated), recomputed, JUDGE_FIELDS, prefix="judge, ")
        return len(JUDGE_FIELDS)

    def _recompute_cost(self) -> None:
        """Recompute the cost from the card's tokens and price."""
        card = self.card
        if card.cost_usd is None:
            return
        if not card.price:
            self.notes.append("the cost was not recomputed: the card has no price")
            return
        prices = {kind: card.price.get(kind) or 0.0 for kind in ("input", "output")}
        price = Price(**prices, cached=card.price.get("cached"), date=date.min)
        cost = price.cost(card.tokens, card.batch_tokens)
        if not _are_equal(card.cost_usd, cost):
            self.differences.append(f"cost_usd: {card.cost_usd} in the card, recomputed {cost}")


def _recomputable_part(score: Score | Failure) -> Score | Failure:
    """Return a score with only those fields that an answer letter determines."""
    if isinstance(score, Failure):
        return score
    return Score(value=score.value, verdict=score.verdict, answer=score.answer, parts=score.parts)


def _are_equal(stated: Any, other: Any) -> bool:
    """Return whether two values are equal, floats within `TOLERANCE`."""
    if isinstance(stated, float) and isinstance(other, int | float):
        return isclose(stated, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(stated, Struct):
        return type(stated) is type(other) and _are_equal(structs.asdict(stated), structs.asdict(other))
    if isinstance(stated, Mapping):
        return (
            isinstance(other, Mapping)
            and stated.keys() == other.keys()
            and all(_are_equal(stated[k], other[k]) for k in stated)
        )
    if isinstance(stated, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(stated) == len(other)
            and all(map(_are_equal, stated, other))
        )
    return bool(stated == other)


def _by_metric_and_group(estimates: Iterable[Estimate]) -> dict[tuple[str, str], Estimate]:
    return {(estimate.metric, estimate.group): estimate for estimate in estimates}


def _describe_estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "none"
    return f"{estimate.value} [{estimate.low}, {estimate.high}] over {estimate.n} by {estimate.method}"


def _describe_scores(scores: Mapping[str, Score | Failure]) -> str:
    descriptions = [
        f"{score.verdict} {score.value} {score.answer!r}"
        if isinstance(score, Score)
        else str(Failed(score.kind))
        for score in scores.values()
    ]
    return "; ".join(descriptions) or "no score"
