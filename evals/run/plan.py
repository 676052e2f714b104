"""Plan a run: select its samples, choose its folder (new or resumed), and open it for writing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from time import gmtime, strftime

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.boundary import foreign_code
from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import Crash, DataError, StoreError, UsageError
from evals.labels import ProtocolName
from evals.plain import count_of
from evals.records import store
from evals.records.card import Card, Config, host
from evals.records.files import CompactRecord
from evals.records.names import NOISE_PREFIX
from evals.records.writer import Writer
from evals.run.compatibility import CLASSES
from evals.run.describe import new_card, record_rules, record_suite
from evals.run.job import Job, Options
from evals.run.order import earlier_lengths
from evals.run.request_extras import with_system
from evals.run.sampling import resolve_sampling
from evals.run.selection import selected_positions
from evals.suite import Digest, Suite, checked_samples
from evals.types import Failure, Prompter, Sampling

MEDIA_KINDS = frozenset({"image", "time_series", "structure"})
"""Kinds of media, which are stored in the folder of the suite's runs."""


def data_for(suite: Suite, options: Options, *, accepts: frozenset[str] = frozenset()) -> Data:
    """Return the data source of a suite. `accepts`: what the model accepts as input besides text."""
    data = Data(suite=suite.name, local=options.data, sample=options.sample, model_inputs=accepts)
    if not suite.needs & MEDIA_KINDS:
        return data
    return structs.replace(
        data, media=options.results / suite.folder / "media", max_pixels=options.max_pixels
    )


def read_samples(suite: Suite, data: Data, *, accepted_hash: str | None = None) -> tuple[SampleStore, str]:
    """Return all samples of a suite, and the hash of the data set.

    Raises DataError if the hash does not begin with `accepted_hash`; if that is None, hub rows must have the pinned hash.
    """
    samples, digest = SampleStore(), Digest()
    try:
        for sample in checked_samples(suite, data):
            samples.add(sample)
            digest.add(sample)
    except DataError as error:
        if data.local is None or data.sample or str(data.local) in str(error):
            raise
        raise DataError(f"{error} (in {data.local})") from error
    except UnicodeEncodeError as error:
        raise DataError(
            f"{suite.id}: item {len(samples) + 1} contains an unpaired surrogate, which is not a character"
        ) from error
    except TypeError as error:
        raise DataError(f"{suite.id}: item {len(samples) + 1}: {error}") from error
    samples.freeze()
    computed = digest.hexdigest()
    pinned = accepted_hash or suite.sha256
    if (data.origin == "hub" or accepted_hash) and pinned and not computed.startswith(pinned):
        raise DataError(
            f"{suite.id}: the rows hash to {computed[:16]}, not to the pinned {pinned[:16]}: these are not the data behind "
            f"the published numbers; to use them anyway, add --data-hash {computed[:16]}"
        )
    return samples, computed


class Plan(Struct, kw_only=True):
    """The plan of a run, before its folder is written."""

    suite: Suite
    data: Data
    samples: SampleStore
    total: int
    """Number of samples in the data set; `samples` contains only the selected ones."""
    absent_groups: tuple[str, ...]
    """Groups of the data set without a selected sample."""
    config: Config
    folder: Path
    """Folder of this model's runs of the suite."""
    path: Path
    """Folder of the run to resume or create."""
    notes: list[str]

    @property
    def resumes(self) -> bool:
        """Return whether the run exists already, so that it is resumed."""
        return (self.path / "card.json").exists()

    @property
    def prompter(self) -> Prompter:
        """Return the prompter of this run, with the user's system prompt if there is one."""
        base = self.suite.prompter(self.data)
        return with_system(base, self.config.system) if self.config.system else base

    def lengths(self, *, own_model: bool = False) -> dict[str, tuple[float, float]]:
        """Return (output tokens, seconds) by sample id in an earlier run; empty if there is none. `own_model`: only of this model."""
        pattern = f"{self.folder.name if own_model else '*'}/*/records.parquet"
        return earlier_lengths(self.folder.parent, pattern, prefer=self.folder, samples=self.samples)


def make_plan(
    suite: Suite,
    options: Options,
    *,
    model: str,
    spec: str,
    accepts: frozenset[str] = frozenset(),
    store_media: bool = True,
) -> Plan:
    """Read the data, select the samples and choose the run's folder; writes nothing but media, and only if `store_media`."""
    if suite.refuses:
        raise UsageError(suite.refuses)
    if options.system and CLASSES in suite.needs:
        raise UsageError(f"--system: {suite.id} has no prompt, since its models read no text")
    data = data_for(suite, options, accepts=accepts)
    data = data if store_media else structs.replace(data, media=None)
    samples, digest = read_samples(suite, data, accepted_hash=options.data_hash)
    if store_media or not suite.needs & MEDIA_KINDS:
        _check_questions(suite, samples)
    total, groups = len(samples), set(samples.groups)
    positions = selected_positions(samples, suite, options)
    is_subset = len(positions) < total
    samples = _copy_selected(samples, positions) if is_subset else samples
    sampling, sampling_notes = resolve_sampling(suite, options)
    config = _make_config(
        suite, options, data=data, samples=samples, digest=digest, spec=spec, sampling=sampling, is_subset=is_subset
    )  # fmt: skip
    folder = options.results / suite.folder / store.slug(model)
    path, notes = _choose_folder(folder, config, options)
    plan = Plan(
        suite=suite, data=data, samples=samples, total=total,
        absent_groups=tuple(sorted(groups.difference(samples.groups))),
        config=config, folder=folder, path=path, notes=[*notes, *sampling_notes],
    )  # fmt: skip
    plan.notes += _plan_notes(plan, options, groups=len(groups))
    return plan


def _check_questions(suite: Suite, samples: SampleStore) -> None:
    if samples.first_without_question:
        raise DataError(
            f"{suite.id}: sample {samples.first_without_question!r} has no question, so no model can be called; "
            "the data need a column with the question"
        )


def _make_config(
    suite: Suite,
    options: Options,
    *,
    data: Data,
    samples: SampleStore,
    digest: str,
    spec: str,
    sampling: Sampling,
    is_subset: bool,
) -> Config:
    """Return the configuration that identifies a run. `samples`: the selected ones; `is_subset`: whether these are not all."""
    prompts_hash = _prompts_hash(suite.prompter(data), samples) if suite.in_memory else ""
    return Config(
        suite=suite.id,
        version=suite.version,
        protocol=suite.protocol,
        data_sha256=digest,
        model=spec,
        sampling=sampling,
        seed=options.seed,
        repeats=options.repeats or suite.repeats,
        limit=(options.limit or len(samples)) if is_subset else None,
        sample_ids=options.sample_ids if is_subset else (),
        max_pixels=options.max_pixels if "image" in suite.needs else None,
        judge=options.judge if suite.judged else "",
        engine=options.engine,
        words=suite.upstream.card()["asks_sha256"][:16] if suite.upstream else prompts_hash,
        system=options.system,
    )


def _prompts_hash(prompter: Prompter, samples: SampleStore) -> str:
    """Return a prefix of the SHA-256 of a run's prompts: a suite made of rows may get other prompts or questions at any time."""
    digest = sha256()
    for sample in samples:
        try:
            with foreign_code(Crash):
                digest.update(msgspec.json.encode(prompter(sample, 0)))
        except Crash as error:
            digest.update(str(error).encode(errors="replace"))
    return digest.hexdigest()[:16]


def prepare(
    suite: Suite, options: Options, *, model: str, spec: str, accepts: frozenset[str] = frozenset()
) -> Job:
    """Read the data, open or create the run, and return the job, with the replies that exist already marked as done.

    An existing run is not changed yet; see `begin`.
    """
    plan = make_plan(suite, options, model=model, spec=spec, accepts=accepts)
    prompter, lengths, resumed = plan.prompter, plan.lengths(), plan.resumes
    writer, done, is_stale = _open_run(plan, model=model)
    job = Job(
        suite=suite,
        repeats=plan.config.repeats,
        sampling=plan.config.sampling,
        samples=plan.samples,
        prompter=prompter,
        writer=writer,
        done=done,
        lengths=lengths,
        notes=plan.notes,
        is_stale=is_stale,
        reuse_message=_reuse_message(writer.card, len(done)),
    )
    if not resumed:  # its card reserves its id
        begin(job)
    return job


def _reuse_message(card: Card, done: int) -> str:
    if not card.expected or done < card.expected:
        return ""
    return (
        f"{card.run}, started {strftime('%Y-%m-%d %H:%M', gmtime(card.started))} UTC, has all {done} replies: it is "
        "reused without any call (--fresh starts a new run)"
    )


def _plan_notes(plan: Plan, options: Options, *, groups: int) -> Iterator[str]:
    """Yield notes for the card on the images, the prompts, the data and the subset. `groups`: number of groups in the data set."""
    suite, config, absent = plan.suite, plan.config, plan.absent_groups
    if config.max_pixels is not None and options.max_pixels_source:
        yield f"images of more than {config.max_pixels:,} pixels, the limit of {options.max_pixels_source}, are scaled down"
    if config.system:
        yield "with the user's system prompt (--system)"
    if (protocol := ProtocolName.parse(suite.protocol)).shots is not None:
        base = protocol._replace(shots=None)
        examples = count_of(protocol.shots, "few-shot example")
        yield f"{examples} (--shots) instead of the number in {base}: {protocol} is never ranked with {base}"
    if plan.data.origin == "hub" and not suite.sha256 and not suite.in_memory:
        yield f"no hash of this data set is pinned; its rows have sha256 {config.data_sha256[:16]}"
    if plan.data.origin == "local" and suite.sha256 and suite.sha256 != config.data_sha256:
        yield (
            f"another version of the data, or part of it: the rows hash to {config.data_sha256[:16]}, not to the pinned "
            f"{suite.sha256[:16]}; never compared with runs on the pinned rows"
        )
    if absent and suite.headline.pool == "macro":
        yield (
            f"the subset has no items from {len(absent)} of {groups} groups ({', '.join(absent[:3])} ...): "
            f"{suite.headline.name} cannot be computed"
        )


def _copy_selected(samples: SampleStore, positions: Sequence[int]) -> SampleStore:
    """Copy the samples at these positions to a new store, and close the old one."""
    selected = SampleStore()
    for position in positions:
        selected.add(samples[position])
    selected.freeze()
    samples.close()
    return selected


def _choose_folder(folder: Path, config: Config, options: Options) -> tuple[Path, list[str]]:
    """Return the folder of the run to resume, or of a new run (with a number appended to an id that exists), with a note on the reason."""
    run, fresh = options.run, options.fresh
    if run is not None and (run != store.slug(run) or "@" in run):
        raise UsageError(f"--run {run!r}: use at most 80 letters, digits, dots, hyphens and underscores")
    cards, unreadable = _cards_in(folder, run)
    if run is None:
        resumable = [] if fresh else [name for name in cards if not name.startswith(NOISE_PREFIX)]
        newest_first = sorted(resumable, key=lambda name: (cards[name].started, name), reverse=True)
        for name in newest_first:
            if _can_resume(cards[name], config, options):
                return folder / name, []
        notes = [
            f"a new run, since {_differences_text(config, cards, name, options)}" for name in newest_first[:1]
        ]
        notes += [] if fresh else [f"not resumed: {reason}" for reason in unreadable]
        return folder / _unused_name(folder, store.new_id(config)), notes
    for name in (run, *(f"{run}-{n}" for n in range(2, 1000))):
        if name not in cards:
            if store.has_records(str(folder / name)):
                store.read_card(folder / name)  # raises, since a card is missing: records are not overwritten
            if name == run:
                return folder / name, []
            return folder / name, [
                f"run {run} exists, so this is {name}: {_differences_text(config, cards, run, options)}"
            ]
        if _can_resume(cards[name], config, options) and not fresh:
            return folder / name, []
    raise StoreError(f"--run {run}: {folder} has a thousand runs of this name; choose another")


def _can_resume(card: Card, config: Config, options: Options) -> bool:
    """Return whether a run has this configuration, in any order of its sample ids, the same weights, and was not imported or copied."""
    recorded, requested = (
        structs.replace(c, sample_ids=tuple(sorted(set(c.sample_ids)))) for c in (card.config, config)
    )
    return recorded == requested and card.origin == "run" and not options.has_newer_weights(card.started)


def _cards_in(folder: Path, run: str | None) -> tuple[dict[str, Card], list[str]]:
    """Return the cards of a model's runs by run id, and for each unreadable one the reason.

    Raises StoreError if the run named by the user, or one of its numbered successors, has an unreadable card.
    """
    cards, unreadable = {}, []
    for run_path in sorted(folder.glob("*")):
        name = run_path.name
        if store.stamp(str(run_path)) is None or disk.is_ignored(name):
            continue
        try:
            cards[name] = store.read_card(run_path)
        except StoreError as error:
            if run is not None and (name == run or name.startswith(f"{run}-")):
                raise
            unreadable.append(str(error))
    return cards, unreadable


def _differences_text(config: Config, cards: Mapping[str, Card], name: str, options: Options) -> str:
    """Return why the run `name` is not resumed with a configuration, as text."""
    card = cards[name]
    differences = [*config.changes(card.config)] or (
        [] if card.origin == "run" else [f"the origin is {card.origin!r}"]
    )
    differences += ["the weights were older"] if options.has_newer_weights(card.started) else []
    return f"{'; '.join(differences) or 'nothing differs'} in {name}"


def _unused_name(folder: Path, name: str) -> str:
    """Return a name for a new run; a number is appended if another run, begun in the same second, has it."""
    return name if not (folder / name).exists() else f"{name}-{time.time_ns() % 10_000}"


def _open_run(plan: Plan, *, model: str) -> tuple[Writer, set[tuple[str, int]], bool]:
    """Open a plan's run for writing; return the writer, (sample, repeat) of the existing replies, and whether to rescore these.

    The card on disk is not changed, so that a run is not left `running` if the command ends before its first call. The card
    of a run that needs neither calls nor rescoring is not changed in memory either.
    """
    suite, config, path, resumed = plan.suite, plan.config, plan.path, plan.resumes
    data = "local" if suite.in_memory else plan.data.origin
    card = (
        store.read_card(path)
        if resumed
        else new_card(config, suite, run=path.name, model=model, data=data, started=time.time())
    )
    writer = Writer(path, card)
    done: set[tuple[str, int]] = set()
    is_stale = False
    if resumed:
        expected = set(plan.samples.ids)
        records = [
            record
            for record in store.Run(path).compact_records()
            if not record.failure and record.sample in expected
        ]
        scored_by = (card.scorers, card.errata)
        rules_changed = bool(card.scorers) and scored_by != (suite.scorer_versions(), suite.errata.version)
        is_stale = rules_changed or any(map(_lacks_score, records))
        done = {(record.sample, record.repeat) for record in records}
    card.expected = len(plan.samples) * config.repeats
    if is_stale or len(done) < card.expected or card.status == "running":
        card.status, card.finished, card.host = "running", None, host()
        record_suite(card, suite, data=data)
        card.absent_groups = plan.absent_groups
        card.wording = suite.upstream.card() if suite.upstream else {}
        if not is_stale:  # otherwise rescoring records the rules when it is done
            record_rules(card, suite)
    return writer, done, is_stale


def begin(job: Job) -> None:
    """Write the card and the samples of a prepared job's run; a card that was not changed is not written."""
    if job.writer.card.status == "running":
        job.writer.write_card()
    job.writer.write_samples(job.samples)


def _lacks_score(record: CompactRecord) -> bool:
    return not record.scores or any(isinstance(score, Failure) for score in record.scores.values())
