"""A benchmark as a table of variants, and of protocols that define prompts and scoring.

A file of `suites/`, or the module of a plugin (`evals new suite`), defines `BENCHMARK`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeAlias

from msgspec import Struct, field

from evals.data import Data
from evals.errors import UnknownName, UsageError
from evals.labels import ProtocolName
from evals.plugins import Listing
from evals.prompts.upstream import UpstreamPrompts
from evals.report.metrics import accuracy
from evals.seams import TwoStage
from evals.suite import GREEDY_32K, Suite
from evals.types import Metric, Prompt, Prompter, Sample, Sampling, Scorer


class Variant(Struct, frozen=True):
    """One data set of a benchmark."""

    rows: int = 0
    """Number of rows; 0: unknown."""
    chance: float | None = None
    """Expected headline under random guessing, if it differs between variants."""
    sha256: str = ""
    """Hash of the rows at the pinned revision, see `Suite.sha256`."""
    cite: str = ""
    """Publication, if it differs from the benchmark's."""
    needs: frozenset[str] | None = None
    """Required model inputs, if they differ from the benchmark's."""
    classes: int | None = None
    """Number of classes of an image-classification task."""


class FewShot(Struct, frozen=True):
    """A prompt with worked examples before the question."""

    shots: int
    """The protocol's number of examples."""
    max_shots: int
    """Number of examples that the data provide for a question."""
    prompter: Callable[[Data, str, int], Prompter]
    """(data, variant, number of examples) -> prompter; raises DataError if the data provide fewer."""


class Protocol(Struct, frozen=True, kw_only=True):
    """One way of prompting and scoring; see the fields of the same names in `Suite`."""

    prompt: Prompter | None = None
    prompter: Callable[[Data, str], Prompter] | None = None
    """(data, variant) -> prompter, for prompts that depend on the data; instead of `prompt`."""
    few_shot: FewShot | None = None
    """Instead of `prompt`, for prompts with worked examples, whose number the user may change (`--shots`)."""
    scorers: Mapping[str, Scorer]
    metrics: tuple[Metric, ...] = field(default_factory=accuracy)
    sampling: Sampling = GREEDY_32K
    repeats: int = 1
    ideal: Callable[[Sample, Prompt], str] | None = None
    """None: the benchmark's."""
    why_unsolvable: Callable[[Sample], str] | None = None
    samples: Callable[[Data, str], Iterable[Sample]] | None = None
    """(data, variant) -> samples, if the protocol covers only some of the benchmark's."""
    upstream: UpstreamPrompts | None = None
    verbatim: bool = False
    refuses: str = ""
    """Why this protocol cannot be run, in one line; empty if it can."""
    chance: float | None = None
    """Expected headline under random guessing, if it differs between protocols."""

    @property
    def shots(self) -> int | None:
        """Return the number of few-shot examples; None: the protocol does not support any."""
        return self.few_shot.shots if self.few_shot else None


Aggregates: TypeAlias = dict[str, Any] | list[dict[str, Any]] | None
ProtocolOrFactory: TypeAlias = Protocol | Callable[[str], Protocol]
"""A protocol for all variants, or variant -> protocol."""


def answer_line(sample: Sample, prompt: Prompt) -> str:
    """Return `ANSWER: ` and the gold letters as shown in the prompt, or the gold answer if there are no choices."""
    letters = ", ".join(sorted(map(prompt.shown_letter, sample.targets))) if sample.choices else ""
    return f"ANSWER: {letters or sample.target}"


def gold_answer(sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer alone; if there are several, the first."""
    return sample.targets[0]


def gold_answer_line(sample: Sample, prompt: Prompt) -> str:
    """Return `Answer: ` and the gold answer."""
    return f"Answer: {sample.target}"


class Benchmark(Struct, frozen=True, kw_only=True):
    """A benchmark, described without its data."""

    name: str
    """With hyphens, e.g. `mmlu-pro`."""
    title: str = ""
    """One line for `evals list suites`."""
    version: str = "1"
    """Incremented whenever a changed prompt or scoring rule changes a number under any protocol."""
    variants: Mapping[str, Variant] = field(default_factory=lambda: {"": Variant()})
    """By name; a benchmark without variants has one with an empty name."""
    default: tuple[str, ...] = ()
    """Variants that the benchmark's bare name selects; empty: all."""
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a set -> the variants that it selects."""
    samples: Callable[[Data, str], Iterable[Sample]]
    """(data, variant) -> samples."""
    protocols: Mapping[str, ProtocolOrFactory]
    """By name, the default first. A protocol with `upstream` prompts also exists reworded, with `~` appended to its name."""
    ideal: Callable[[Sample, Prompt], str] = answer_line
    needs: frozenset[str] = frozenset()
    """Required model inputs under every protocol; `judge` is added for protocols with a judge."""
    gated: bool = False
    chance: float | None = None
    licence: str = ""
    cite: str = ""
    aggregate: Callable[[str, Mapping[str, Any]], Aggregates] | None = None
    """(protocol, variant -> card) -> an aggregate over variants, or several of them, each with its `name` and `metric`;
    None if the protocol defines none."""

    def resolve(self, variant: str | None) -> tuple[str, ...]:
        """Return the variants that a name selects; None: the benchmark's bare name. Raises UnknownName."""
        if variant is None:
            return self.default or tuple(self.variants)
        if variant in self.sets:
            return self.sets[variant]
        if not variant or variant not in self.variants:
            known_names = [*self.sets, *(name for name in self.variants if name)]
            raise UnknownName(f"variant of {self.name}", variant, known_names)
        return (variant,)

    @property
    def protocol_names(self) -> tuple[str, ...]:
        """Return the names of all protocols, the default first."""
        variant = self.resolve(None)[0]
        names = list[str]()
        for name in self.protocols:
            names.append(name)
            if self._protocol(name, variant).upstream is not None:
                names.append(str(ProtocolName(name, reworded=True)))
        return tuple(names)

    def suite(self, variant: str = "", protocol: str = "", *, shots: int | None = None) -> Suite:
        """Return the suite of a variant under a protocol, with the protocol's original prompts.

        `variant`, `protocol`: the default if empty. `shots`: number of few-shot examples; None: the protocol's own; another
        number becomes part of its name. Raises UsageError if the protocol supports none, or the data provide fewer.
        """
        variant = variant or self.resolve(None)[0]
        name = protocol or next(iter(self.protocols))
        definition, data_set = self._protocol(name, variant), self.variants[variant]
        samples = definition.samples or self.samples
        needs = self.needs if data_set.needs is None else data_set.needs
        needs_judge = any(isinstance(scorer, TwoStage) for scorer in definition.scorers.values())
        chances = (definition.chance, data_set.chance, self.chance)
        shot_count = self._shots(name, variant, shots)
        return Suite(
            name=self.name,
            variant=variant,
            protocol=str(ProtocolName(name, shots=None if shot_count == definition.shots else shot_count)),
            shots=shot_count,
            version=self.version,
            samples=lambda data: samples(data, variant),
            prompter=lambda data: _prompter(definition, data, variant, shot_count),
            ideal=definition.ideal or self.ideal,
            why_unsolvable=definition.why_unsolvable,
            scorers=dict(definition.scorers),
            metrics=definition.metrics,
            sampling=definition.sampling,
            repeats=definition.repeats,
            needs=needs | {"judge"} if needs_judge else needs,
            refuses=definition.refuses,
            sha256=data_set.sha256,
            classes=data_set.classes,
            chance=next((chance for chance in chances if chance is not None), None),
            gated=self.gated,
            licence=self.licence,
            cite=data_set.cite or self.cite,
            upstream=definition.upstream,
            verbatim=definition.verbatim,
        )

    def _shots(self, name: str, variant: str, requested: int | None) -> int | None:
        """Return the number of few-shot examples; raises UsageError for a number that the protocol does not support."""
        few_shot = self._protocol(name, variant).few_shot
        if few_shot is None:
            if requested is not None:
                others = [other for other in self.protocols if self._protocol(other, variant).few_shot]
                raise _no_shots_error(self.name, name, others)
            return None
        if requested is not None and requested > few_shot.max_shots:
            raise UsageError(
                f"--shots {requested}: {self.name} has {few_shot.max_shots} worked examples per question under protocol {name}"
            )
        return few_shot.shots if requested is None else requested

    def _protocol(self, name: str, variant: str) -> Protocol:
        protocol = self.protocols[name]
        return protocol if isinstance(protocol, Protocol) else protocol(variant)


def _no_shots_error(benchmark: str, protocol: str, others: Sequence[str] = ()) -> UsageError:
    """Return the error for --shots with a protocol without few-shot examples; `others`: protocols with examples."""
    hint = f"; --protocol {others[0]} has some" if others else ""
    return UsageError(f"--shots: protocol {protocol} of {benchmark} has no few-shot examples{hint}")


def _prompter(protocol: Protocol, data: Data, variant: str, shots: int | None) -> Prompter:
    if protocol.few_shot is not None and shots is not None:
        return protocol.few_shot.prompter(data, variant, shots)
    if protocol.prompter is not None:
        return protocol.prompter(data, variant)
    if protocol.prompt is None:
        raise TypeError("a protocol needs a prompt, a prompter or few-shot examples")
    return protocol.prompt


def make_listing(benchmark: Benchmark) -> Listing:
    """Return the summary of a benchmark for lists and shell completion."""
    return Listing(
        about=benchmark.title,
        variants={name: variant.rows for name, variant in benchmark.variants.items()},
        default=benchmark.default or tuple(name for name in benchmark.variants if name),
        protocols=benchmark.protocol_names,
        version=benchmark.version,
        needs=tuple(sorted(benchmark.needs)),
        gated=benchmark.gated,
    )


class ModuleBenchmark(Benchmark, frozen=True, kw_only=True):
    """The older form of a suite file: constants, and a function `suite(variant, protocol)`."""

    module: ModuleType

    @classmethod
    def of(cls, module: ModuleType, name: str) -> ModuleBenchmark:
        """Wrap a module; raises AttributeError if it does not define a suite."""
        constants = vars(module)
        return cls(
            name=name,
            title=(module.__doc__ or "").partition("\n")[0],
            version=module.VERSION,
            variants={variant: Variant(rows) for variant, rows in module.VARIANTS.items()},
            default=tuple(constants.get("DEFAULT", ())),
            sets=constants.get("SETS", {}),
            samples=lambda data, variant: module.suite(variant).samples(data),
            protocols=dict.fromkeys(module.PROTOCOLS, _defined_by_function),
            needs=module.NEEDS,
            gated=module.GATED,
            aggregate=constants.get("aggregate"),
            module=module,
        )

    def resolve(self, variant: str | None) -> tuple[str, ...]:
        """Return the variants that a name selects; resolved by the module's `find` if it has one."""
        find = vars(self.module).get("find")
        return tuple(find(variant or "")) if find else super().resolve(variant)

    @property
    def protocol_names(self) -> tuple[str, ...]:
        """Return the names that the module lists."""
        return tuple(self.protocols)

    def suite(self, variant: str = "", protocol: str = "", *, shots: int | None = None) -> Suite:
        """Return the suite that the module's function defines."""
        name = protocol or self.protocol_names[0]
        if shots is not None:
            raise _no_shots_error(self.name, name)
        suite: Suite = self.module.suite(variant, name)
        return suite


def _defined_by_function(variant: str) -> Protocol:
    raise TypeError("the module's function `suite` defines this protocol")


def benchmark_of(module: ModuleType, name: str) -> Benchmark:
    """Return the benchmark that a module defines; raises AttributeError if it defines none."""
    defined = vars(module).get("BENCHMARK")
    return defined if isinstance(defined, Benchmark) else ModuleBenchmark.of(module, name)
