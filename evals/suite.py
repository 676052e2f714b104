"""The type `Suite`, and checks of a suite that need no model.

A `Benchmark` (`benchmark.py`) creates a suite for each variant and protocol; see CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from math import isfinite
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from evals.data import Data, errata
from evals.data.errata import Errata
from evals.errors import DataError
from evals.prompts.upstream import UpstreamPrompts
from evals.seams import TwoStage
from evals.types import Metric, Prompt, Prompter, Reply, Sample, Sampling, Score, Scorer

if TYPE_CHECKING:
    from evals.sandbox import Pool
    from evals.scorers.scoring import Scoring

INTERN_S1 = Sampling(temperature=0.7, top_p=0.95, max_tokens=65_536, thinking=True)
"""Sampling of the published Intern-S1 numbers: OpenCompass @ a5acc4bb, configs/models/interns1."""
INTERN_S1_PRO = Sampling(temperature=0.8, max_tokens=65_536, thinking=False)
"""Sampling of the published Intern-S1-Pro numbers: OpenCompass @ a5acc4bb, examples/eval_intern_s1_pro.py, where a comment
states that thinking is switched off for scientific benchmarks."""
GREEDY = Sampling(temperature=0.0)
GREEDY_32K = Sampling(temperature=0.0, max_tokens=32_768)
"""Greedy decoding with enough tokens for reasoning."""
MAX_FAULTS = 20
"""Number of faults after which `check` stops."""


class Suite(Struct, frozen=True, kw_only=True):
    """A benchmark under one protocol: samples, prompts, scorers and metrics."""

    name: str
    """With hyphens, e.g. `mmlu-pro`."""
    variant: str = ""
    """E.g. `diamond`; empty for suites without variants."""
    protocol: str
    version: str = "1"
    """Incremented whenever a changed prompt or scoring rule changes a number under any protocol."""
    samples: Callable[[Data], Iterable[Sample]]
    """Data -> samples, with questions if the data contain them."""
    prompter: Callable[[Data], Prompter]
    """Data -> prompter; may read a few-shot split or images. Not called for scoring."""
    ideal: Callable[[Sample, Prompt], str]
    """A reply that must get full marks."""
    why_unsolvable: Callable[[Sample], str] | None = None
    """Why no reply can get full marks for a sample under upstream's rule; empty if one can."""
    scorers: dict[str, Scorer]
    metrics: tuple[Metric, ...]
    """Exactly one is the headline."""
    sampling: Sampling = Sampling()
    repeats: int = 1
    shots: int | None = None
    """Number of few-shot examples in the prompt; None: the protocol does not support any."""
    needs: frozenset[str] = frozenset()
    """Required model inputs and capabilities: image, time_series, logprobs, judge."""
    refuses: str = ""
    """Why this protocol cannot be run, in one line; empty if it can."""
    sha256: str = ""
    """`data_sha256` of the rows at the pinned revision; empty: unknown."""
    classes: int | None = None
    """Number of classes of an image-classification task, which must match a classifier's head; None: another task."""
    chance: float | None = None
    """Expected headline under random guessing, in the headline's unit."""
    gated: bool = False
    """Whether the data set's texts must not leave the machine."""
    licence: str = ""
    """Licence of the data."""
    cite: str = ""
    """Publication: an arXiv number or a URL."""
    upstream: UpstreamPrompts | None = None
    """Upstream's own prompts, if the protocol uses them. `prompter` then returns the reworded prompts, which replace them
    under the protocol's name with `~`."""
    verbatim: bool = False
    """Whether `prompter` uses upstream's own prompts without `upstream`, since they are part of the data."""
    errata: Errata = errata.NO_ERRATA
    """Known errors in the data; set when a suite is looked up by name."""
    in_memory: bool = False
    """Whether the samples exist only in the calling program."""

    def __post_init__(self) -> None:
        for metric in self.metrics:
            low, high = metric.bounds or (0.0, 1.0)
            if metric.unit == "fraction" and not 0 <= low < high <= 1:
                raise ValueError(
                    f"{self.id}: {metric.name} from {low:g} to {high:g} is not a fraction: set its unit"
                )

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any]] | str | Path,
        *,
        prompt: str | Callable[[Mapping[str, Any]], str] | None = None,
        scorer: str | Scorer | Callable[[str, Any], bool | float] | None = None,
        name: str = "custom",
        version: str = "1",
        sampling: Sampling = GREEDY,
    ) -> Suite:
        """Return a custom suite; for several variants or protocols define a `Benchmark` (CONTRIBUTING.md).

        `rows`: mappings with a question and a target (and `id`, `choices`, `group`), or a file of rows. `prompt`: a
        template with the row's columns in braces, or a function of the row; None: the question, its choices and the
        expected answer format. `scorer`: `choice`, `exact`, `integer`, a function of (reply's text, target), or a
        `Scorer`; None: `choice` if all rows have choices, else `exact`. Raises DataError or UsageError.
        """
        from evals.data.rows import has_question, samples
        from evals.prompts.rows import prompter
        from evals.report.metrics import accuracy
        from evals.scorers.plain import scorer_of

        sample_list = samples(rows)
        if not sample_list:
            raise DataError(f"{name}: there are no rows")
        if prompt is None and (empty := [sample.id for sample in sample_list if not has_question(sample)]):
            raise DataError(f"{name}: row {empty[0]} has no question, and no prompt is given")
        rule = scorer_of(scorer, choices=all(sample.choices for sample in sample_list))
        return cls(
            name=name,
            protocol="own",
            version=version,
            samples=lambda data: sample_list,
            prompter=lambda data: prompter(prompt),
            ideal=lambda sample, prompt: f"ANSWER: {sample.target}",
            scorers={"own": rule},
            metrics=accuracy(),
            sampling=sampling,
            in_memory=True,
        )

    @property
    def id(self) -> str:
        """Return the name on the command line, e.g. `gpqa:diamond`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def folder(self) -> str:
        """Return the name of its folder in the results, e.g. `gpqa-diamond@1`."""
        return f"{self.id.replace(':', '-')}@{self.version}"

    @property
    def headline(self) -> Metric:
        """Return the headline metric."""
        return next(metric for metric in self.metrics if metric.headline)

    @property
    def uses_own_prompts(self) -> bool:
        """Return whether the prompts are written for this project rather than those of the published numbers."""
        return self.upstream is None and not self.verbatim

    @property
    def judged(self) -> bool:
        """Return whether a judge model contributes to its scores."""
        return "judge" in self.needs

    def metrics_for(self, ids: Iterable[str]) -> tuple[Metric, ...]:
        """Return the metrics of a run with these samples, and an errata-corrected headline if errata affect any of them."""
        return errata.corrected_metrics(self.metrics, self.errata, ids)

    def scoring(self, pool: Pool) -> Scoring:
        """Return the suite's scorers, ready for use, with the bounds of the metrics that are means of their scores."""
        from evals.report.metrics import mean_value
        from evals.scorers.scoring import Scoring

        limits: dict[str, list[tuple[float, float] | None]] = {}
        for metric in self.metrics:
            if metric.of is mean_value:
                limits.setdefault(metric.scorer or next(iter(self.scorers)), []).append(metric.bounds)
        bounds = {
            name: (min(low for low, _ in pairs), max(high for _, high in pairs))
            for name, entries in limits.items()
            if len(pairs := [entry for entry in entries if entry]) == len(entries)
        }
        return Scoring(self.scorers, pool, self.errata, ideal=self.ideal, bounds=bounds)

    def scorer_versions(self) -> dict[str, str]:
        """Return a description of each scorer, which changes whenever its rule or options change."""
        return {
            name: f"{_scorer_description(scorer, in_memory=self.in_memory)}@{self.version}"
            for name, scorer in self.scorers.items()
        }


def _scorer_description(scorer: Scorer, *, in_memory: bool) -> str:
    if not isinstance(scorer, FunctionType | BuiltinFunctionType | MethodType):
        return repr(scorer)
    if not in_memory:
        return scorer.__qualname__
    from evals.scorers.plain import code_hash

    return f"{scorer.__qualname__}{code_hash(scorer)}"


def checked_samples(suite: Suite, data: Data) -> Iterator[Sample]:
    """Yield the suite's samples; raises DataError for an invalid row, a duplicate id or an impossible gold answer."""
    seen: set[str] = set()
    for sample in _read_samples(suite, data):
        if sample.id in seen:
            raise DataError(f"{suite.id}: sample id {sample.id!r} occurs twice in the data")
        seen.add(sample.id)
        if fault := _gold_fault(sample):
            raise DataError(f"{suite.id}: sample {sample.id!r}: {fault}")
        yield sample


def _read_samples(suite: Suite, data: Data) -> Iterator[Sample]:
    """Yield the samples; raises DataError for an invalid row."""
    count = 0
    try:
        for sample in suite.samples(data):
            count += 1
            if not isinstance(sample.group, str) or not all(
                isinstance(choice, str) for choice in sample.choices
            ):
                raise DataError(f"{suite.id}: sample {sample.id!r}: group and options must be strings")
            yield sample
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise DataError(
            f"{suite.id}: item {count + 1} cannot be read: {type(error).__name__}: {error}"
        ) from error


def _gold_fault(sample: Sample) -> str:
    if isinstance(sample.target, float):
        return "" if isfinite(sample.target) else f"the gold answer is {sample.target}"
    if not sample.target:
        return "there is no gold answer"
    if sample.choices:
        for letter in sample.target if isinstance(sample.target, tuple) else (sample.target,):
            if len(letter) != 1 or not 0 <= ord(letter) - ord("A") < len(sample.choices):
                return f"the gold answer {letter!r} is not one of its {len(sample.choices)} choices"
    return ""


class Digest:
    """SHA-256 of the sorted hashes of all rows (id, choices, target, unit, group), built row by row."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode

    def add(self, sample: Sample) -> None:
        """Add one sample."""
        row = (sample.id, sample.choices, sample.target, sample.unit, sample.group)
        self._rows.append(sha256(self._encode(row)).digest())

    def hexdigest(self) -> str:
        """Return the hash of all rows so far, independent of their order."""
        return sha256(b"".join(sorted(self._rows))).hexdigest()


def data_sha256(samples: Iterable[Sample]) -> str:
    """Return the hash of the samples' ids, options, gold answers, units and groups; the same for a mirror as for the hub."""
    digest = Digest()
    for sample in samples:
        digest.add(sample)
    return digest.hexdigest()


class Check(Struct, frozen=True, kw_only=True, rename={"unsolvable": "unwinnable"}):
    """The result of `check`."""

    suite: str
    protocol: str
    samples: int
    faults: tuple[str, ...]
    """A line for each fault."""
    unsolvable: tuple[str, ...] = ()
    """Ids of samples for which upstream's rule accepts no reply."""


def check(suite: Suite, data: Data) -> Check:
    """Check, without a model, that the ideal reply to every sample gets full marks; stop after `MAX_FAULTS` faults.

    If a scorer rejects a gold answer, the data or the scorer is wrong, and no model could get that point.
    """
    faults: list[str] = []
    unsolvable: list[str] = []
    count = 0
    prompter = _prompter(suite, data)
    for sample in checked_samples(suite, data):
        count += 1
        prompt = prompter(sample, 0) if prompter and sample.question else Prompt()
        sample_faults = _check_sample(suite, sample, prompt)
        if suite.why_unsolvable and (reason := suite.why_unsolvable(sample)):
            unsolvable.append(sample.id)
            fault = f"{sample.id}: gets full marks, but is listed as unsolvable ({reason})"
            sample_faults = [] if sample_faults else [fault]
        faults += sample_faults
        if len(faults) >= MAX_FAULTS:
            break
    return Check(
        suite=suite.id,
        protocol=suite.protocol,
        samples=count,
        faults=tuple(faults[:MAX_FAULTS]),
        unsolvable=tuple(unsolvable),
    )


def _prompter(suite: Suite, data: Data) -> Prompter | None:
    """Return the prompter; None if the protocol cannot be run, or its data, e.g. a few-shot split, are missing."""
    try:
        return None if suite.refuses else suite.prompter(data)
    except DataError:
        return None


def _check_sample(suite: Suite, sample: Sample, prompt: Prompt) -> list[str]:
    reply = Reply(text=suite.ideal(sample, prompt))
    faults = []
    for name, scorer in suite.scorers.items():
        rule = scorer.rule if isinstance(scorer, TwoStage) else scorer  # a judge needs a model
        score = rule(sample, prompt, reply)
        if not isinstance(score, Score):
            continue
        full_marks = 0.0 if suite.headline.better == "lower" else 1.0
        if score.verdict not in ("right", "graded") or score.value != full_marks:
            faults.append(
                f"{sample.id}: {name} gives the ideal reply {score.value} ({score.verdict}: {score.why})"
            )
    return faults
