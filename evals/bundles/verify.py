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
from evals.data.archive import UNREADABLE
from evals.errors import DataError, UsageError
from evals.labels import Failed
from evals.profiles import Price
from evals.records import promise
from evals.records.files import Brief, Gold, brief
from evals.report.estimates import Summary, summarize
from evals.run.plan import read
from evals.run.rescore import judged_again
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring
from evals.suite import data_sha256
from evals.types import Estimate, Failure, Prompt, Prompter, Record, Reply, Sample, Score, Text

TOLERANCE = 1e-9
"""Relative tolerance: the last digits of a mean may differ between processors."""
SUMMED = ("expected", "counts", "coverage", "truncated", "tokens")

JUDGED = ("verdicts", "unreadable", "waiting", "tokens", "drawn", "agreement", "both_sides")


class Verification(Struct, frozen=True, kw_only=True):
    """Result of verifying a bundle."""

    bundle: str
    run: str = ""
    suite: str = ""
    protocol: str = ""
    model: str = ""
    records: int = 0
    """Number of records scored again."""
    figures: int = 0
    """Number of figures computed again."""
    differences: tuple[str, ...] = ()
    """One line each; empty: the bundle is verified."""
    notes: tuple[str, ...] = ()
    """Limits of this verification."""


def verify(path: Path, data: Path | None = None) -> Verification:
    """Verify a bundle; `data` is a local mirror of the suite's data, required if the suite is gated.

    Raises UsageError if the file does not exist, the data cannot be read or are missing for a gated suite; Untrusted (a
    UsageError) if the suite is defined by a plugin's code.
    """
    try:
        with open_bundle(path) as bundle:
            faults = bundle.faults()
            if faults:
                return Verification(bundle=path.name, run=bundle.manifest.run, differences=tuple(faults))
            return _Check(bundle, data).result()
    except DataError as error:
        return Verification(bundle=path.name, differences=(str(error),))
    except UNREADABLE as error:
        return Verification(bundle=path.name, differences=(f"{path}: {error}",))


class _Check:
    """The checks of one bundle, which collect the differences."""

    def __init__(self, bundle: Bundle, data: Path | None) -> None:
        self.bundle = bundle
        self.card = bundle.card()
        self.differences: list[str] = []
        self._names()
        (self.suite,) = load.recorded_suite(self.card.config.suite, self.card.config.protocol)
        if self.suite.refuses:
            raise UsageError(f"{self.bundle.path}: {self.suite.refuses}")
        self.prompter: Prompter | None = None
        self.notes: list[str] = []
        self.briefs: list[Brief] = []
        self.samples: dict[str, Sample] = {}
        for sample in bundle.lines("samples.jsonl", Sample):
            if sample.id in self.samples:
                raise DataError(f"samples.jsonl: {sample.id} stands twice")
            self.samples[sample.id] = sample
        self._rules()
        self._data(data)

    def result(self) -> Verification:
        """Score all records and compute all figures again."""
        records = self._withheld() if self.card.gated else self._records()
        self._scores(records)
        figures = self._figures()
        self._promise()
        card = self.card
        return Verification(
            bundle=self.bundle.path.name,
            run=card.run,
            suite=card.config.suite,
            protocol=card.config.protocol,
            model=card.model,
            records=len(self.briefs),
            figures=figures,
            differences=tuple(self.differences),
            notes=tuple(self.notes),
        )

    def _promise(self) -> None:
        if (standing := promise.promise_standing(self.card)) != promise.NONE:
            self.notes.append(f"promise {standing}")

    def _names(self) -> None:
        card, manifest = self.card, self.bundle.manifest
        stated = (manifest.run, manifest.suite, manifest.protocol, manifest.gated)
        if stated != (card.run, card.config.suite, card.config.protocol, card.gated):
            raise DataError("bundle.json and card.json do not name the same run")

    def _rules(self) -> None:
        card = self.card
        if self.suite.gated and not card.gated:
            self.differences.append(f"{self.suite.id} is gated, and the bundle holds texts")
        if self.suite.version != card.config.version:
            self.differences.append(
                f"scored by version {card.config.version} of {self.suite.id}; here is version {self.suite.version}"
            )
        if self.suite.errata.version != card.errata:
            self.differences.append(
                f"errata: the card says {card.errata!r}, here it is {self.suite.errata.version!r}"
            )
        if not _equal_values(self.suite.chance, card.chance):
            self.differences.append(f"chance: the card says {card.chance}, here it is {self.suite.chance}")
        rules = self.suite.scorer_versions()
        self.differences += [
            f"rule {name}: the card says {card.scorers.get(name)}, here it is {rules.get(name)}"
            for name in sorted({*rules, *card.scorers})
            if rules.get(name) != card.scorers.get(name)
        ]

    def _data(self, data: Path | None) -> None:
        """Check the gold answers against the data set, or else their hash against the card."""
        config = self.card.config
        if data is None:
            if self.card.gated:
                raise UsageError(
                    f"{self.bundle.path}: {self.suite.id} is gated; add its data with --data DIR"
                )
            if config.limit is None and data_sha256(self.samples.values()) != config.data_sha256:
                self.differences.append("samples.jsonl does not hash to the card's data_sha256")
            self.notes.append(
                "the gold answers are the bundle's own; --data DIR holds them against the data set"
            )
            return
        source = Data(suite=self.suite.name, local=data)
        try:
            samples, digest = read(self.suite, source)
        except DataError as error:  # the fault is in the user's folder, not in the bundle
            raise UsageError(f"--data {data}: {error}") from error
        if digest != config.data_sha256:
            self.differences.append(
                f"the data hash to {digest[:16]}, the card says {config.data_sha256[:16]}"
            )
        golds = {sample.id: sample for sample in samples if sample.id in self.samples}
        for name, stated in self.samples.items():
            gold = golds.get(name)
            if gold is None:
                raise DataError(f"{name}: is not in the data")
            words = tuple(part for part in stated.question if isinstance(part, Text))  # only imports keep it
            asked = gold.question if words else ()
            expected = (
                sample_without_texts(gold) if self.card.gated else structs.replace(gold, question=asked)
            )
            if structs.replace(stated, question=words) != expected:
                self.differences.append(f"{name}: is not as in the data")
        self.samples = golds
        if self.card.origin == "run":  # imported replies answer others' prompts
            try:
                self.prompter = self.suite.prompter(source)
            except DataError as error:
                self.notes.append(f"the prompts were not held against the data: {error}")
        samples.close()

    def _records(self) -> Iterator[tuple[Record, Record]]:
        with Pool() as pool:
            stored = map(self._with_prompt_checked, self._known(self.bundle.lines("records.jsonl", Record)))
            scoring = Scoring(self.suite.scorers, pool, self.suite.errata, ideal=self.suite.ideal)
            yield from judged_again(scoring, self.samples, stored)

    def _withheld(self) -> Iterator[tuple[Record, Record]]:
        """Yield each record of a gated suite with the scores of its stated answer letters."""
        left = 0
        with Pool() as pool:
            scoring = Scoring(self.suite.scorers, pool, self.suite.errata, ideal=self.suite.ideal)
            stored = self._known(
                map(self._with_prompt_hash_checked, self.bundle.lines("withheld.jsonl", Withheld))
            )
            for record in stored:
                if any(
                    isinstance(s, Failure) or s.judged or _score_without_texts(s)
                    for s in record.scores.values()
                ):
                    left += 1
                    yield record, record
                    continue
                ((_, again),) = judged_again(scoring, self.samples, iter([self._restated(record)]))
                scores = {name: _letter_only(score) for name, score in again.scores.items()}
                kept = {name: _letter_only(score) for name, score in record.scores.items()}
                yield structs.replace(record, scores=kept), structs.replace(record, scores=scores)
        if left:
            self.differences.append(
                f"{left} record(s) rest on words that a bundle of a gated suite withholds"
            )
        self.notes.append("texts are withheld: the verdicts were checked by the stated answer letters")

    def _with_prompt_hash_checked(self, withheld: Withheld) -> Record:
        """Check the hash of a withheld prompt against the prompt rendered from the data."""
        self._prompt(withheld.record, withheld.prompt_sha256)
        return withheld.record

    def _with_prompt_checked(self, record: Record) -> Record:
        """Check a text prompt against the one rendered from the data; images may have been resized."""
        if all(isinstance(part, Text) for message in record.prompt.messages for part in message.parts):
            self._prompt(record, prompt_hash(record.prompt))
        return record

    def _prompt(self, record: Record, sha256: str) -> None:
        sample = self.samples.get(record.sample)
        if self.prompter is None or sample is None or sha256 == UNKNOWN_PROMPT:
            return
        prompt = self.prompter(sample, record.repeat)
        if (prompt_hash(prompt), prompt.order) != (sha256, record.prompt.order):
            self.differences.append(f"{record.sample} [{record.repeat}]: was not asked as this suite asks it")

    def _restated(self, record: Record) -> Record:
        """Replace the withheld reply by one that states the recorded answer."""
        if not isinstance(record.outcome, Reply):
            return record
        first = next(iter(record.scores.values()), None)
        answer = first.answer if isinstance(first, Score) else None
        if answer is None:
            return record
        sample = structs.replace(self.samples[record.sample], target=answer)
        text = self.suite.ideal(sample, Prompt(order=record.prompt.order))
        return structs.replace(record, outcome=structs.replace(record.outcome, text=text))

    def _known(self, records: Iterable[Record]) -> Iterator[Record]:
        seen: set[tuple[str, int]] = set()
        for record in records:
            if record.sample not in self.samples:
                raise DataError(f"record of {record.sample}, which is no sample of the bundle")
            if not 0 <= record.repeat < self.card.config.repeats:
                raise DataError(
                    f"record of {record.sample} [{record.repeat}], of {self.card.config.repeats} repeats"
                )
            if (key := (record.sample, record.repeat)) in seen:
                raise DataError(f"record of {record.sample} [{record.repeat}] stands twice")
            seen.add(key)
            yield record

    def _scores(self, pairs: Iterable[tuple[Record, Record]]) -> None:
        for stored, again in pairs:
            self.briefs.append(brief(again))
            failed = isinstance(stored.outcome, Failure)
            if (failed and stored.scores) or not _equal_values(stored.scores, again.scores):
                where = f"{stored.sample} [{stored.repeat}]"
                self.differences.append(
                    f"{where}: stored {_describe_scores(stored.scores)}, scored again {_describe_scores(again.scores)}"
                )

    def _figures(self) -> int:
        golds = {s.id: Gold.of(s) for s in self.samples.values()}
        summary: Summary = summarize(
            self.briefs,
            golds,
            self.suite.metrics_for(golds),
            scorers=tuple(self.suite.scorers),
            repeats=self.card.config.repeats,
            absent_groups=self.card.absent_groups,
        )
        self._compare(structs.asdict(self.card), structs.asdict(summary), SUMMED)
        stated, computed = _by_name(self.card.estimates), _by_name(summary.estimates)
        for key in sorted({*stated, *computed}):
            if not _equal_values(was := stated.get(key), now := computed.get(key)):
                self.differences.append(
                    f"{' of '.join(filter(None, key))}: {_figure(was)}; computed again {_figure(now)}"
                )
        self._cost()
        return len(SUMMED) + len(computed) + self._judge(golds)

    def _compare(
        self, stated: Mapping[str, Any], computed: Mapping[str, Any], names: Sequence[str], prefix: str = ""
    ) -> None:
        for name in names:
            if not _equal_values(was := stated[name], now := computed.get(name)):
                self.differences.append(f"{prefix}{name}: the card says {was}, computed again {now}")

    def _judge(self, golds: Mapping[str, Gold]) -> int:
        """Compute the judge's statistics again; returns the number of figures."""
        stated = self.card.judge
        if stated is None:
            return 0
        from evals.scorers.judge.account import judge_card

        options = (golds[brief.sample].options for brief in self.briefs)
        computed = judge_card((brief.scores for brief in self.briefs), self.suite.scorers, options=options)
        known = structs.asdict(computed) if computed is not None else {}
        self._compare(structs.asdict(stated), known, JUDGED, prefix="judge, ")
        return len(JUDGED)

    def _cost(self) -> None:
        """Compute the cost again from the card's tokens and price."""
        card = self.card
        if card.cost_usd is None:
            return
        if not card.price:
            self.notes.append("the cost rests on a price that the card does not hold")
            return
        into, out, cached = (card.price.get(kind) for kind in ("input", "output", "cached"))
        price = Price(input=into or 0.0, output=out or 0.0, cached=cached, date=date.min)
        cost = price.cost(card.tokens, card.batch_tokens)
        if not _equal_values(card.cost_usd, cost):
            self.differences.append(f"cost_usd: the card says {card.cost_usd}, computed again {cost}")


def _letter_only(score: Score | Failure) -> Score | Failure:
    if isinstance(score, Failure):
        return score
    return Score(value=score.value, verdict=score.verdict, answer=score.answer, parts=score.parts)


def _score_without_texts(score: Score) -> bool:
    return score.answer is not None and score.answer.startswith("sha256:")


def _equal_values(stated: Any, other: Any) -> bool:
    """Return whether two values are equal, with floats to nine digits."""
    if isinstance(stated, float) and isinstance(other, int | float):
        return isclose(stated, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(stated, Struct):
        return type(stated) is type(other) and _equal_values(structs.asdict(stated), structs.asdict(other))
    if isinstance(stated, Mapping):
        return (
            isinstance(other, Mapping)
            and stated.keys() == other.keys()
            and all(_equal_values(stated[k], other[k]) for k in stated)
        )
    if isinstance(stated, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(stated) == len(other)
            and all(map(_equal_values, stated, other))
        )
    return bool(stated == other)


def _by_name(estimates: Iterable[Estimate]) -> dict[tuple[str, str], Estimate]:
    return {(estimate.metric, estimate.group): estimate for estimate in estimates}


def _figure(e: Estimate | None) -> str:
    return "not there" if e is None else f"{e.value} [{e.low}, {e.high}] over {e.n} by {e.method}"


def _describe_scores(scores: Mapping[str, Score | Failure]) -> str:
    words = [
        f"{score.verdict} {score.value} {score.answer!r}"
        if isinstance(score, Score)
        else str(Failed(score.kind))
        for score in scores.values()
    ]
    return "; ".join(words) or "no score"
