"""Plan of a run: its samples, its folder on disk (new or resumed), and the expected lengths of replies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from time import gmtime, strftime

from msgspec import Struct, structs

from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import DataError, StoreError, UnknownName, UsageError
from evals.labels import ProtocolName
from evals.records import store
from evals.records.card import Card, Config, host
from evals.records.files import Brief
from evals.records.names import NOISE_PREFIX
from evals.records.writer import Writer
from evals.run.describe import new_card, put_rules, put_suite
from evals.run.fit import CLASSES
from evals.run.job import Job, Options
from evals.run.order import lengths
from evals.run.request_extras import with_system
from evals.run.sampling import resolved
from evals.suite import Digest, Suite, checked
from evals.types import Failure, Prompter, Sampling

MEDIA = frozenset({"image", "time_series", "structure"})
"""Kinds of media stored beside the runs."""


def data_for(suite: Suite, options: Options, *, takes: frozenset[str] = frozenset()) -> Data:
    """Return the data source of a suite; `takes`: modalities the model accepts besides text."""
    data = Data(suite=suite.name, local=options.data, sample=options.sample, model_inputs=takes)
    if not suite.needs & MEDIA:
        return data
    return structs.replace(
        data, media=options.results / suite.folder / "media", max_pixels=options.max_pixels
    )


def read(suite: Suite, data: Data, *, accept: str | None = None) -> tuple[SampleStore, str]:
    """Read all samples of a suite; returns them with the hash of the whole data set.

    Raises DataError if hub rows hash neither to the pinned value nor to one that begins with `accept`.
    """
    samples, digest = SampleStore(), Digest()
    try:
        for sample in checked(suite, data):
            samples.add(sample)
            digest.add(sample)
    except DataError as error:
        if data.local is None or data.sample or str(data.local) in str(error):
            raise
        raise DataError(f"{error} (in {data.local})") from error
    samples.freeze()
    computed = digest.hexdigest()
    pinned = accept or suite.sha256
    if (data.origin == "hub" or accept) and pinned and not computed.startswith(pinned):
        raise DataError(
            f"{suite.id}: the rows hash to {computed[:16]}, pinned is {pinned[:16]}: these are not the data behind the "
            f"published numbers; to use them anyway, add --data-hash {computed[:16]}"
        )
    return samples, computed


def subset(
    samples: SampleStore, limit: int | None, *, seed: int, suite: str, together: bool = False
) -> list[int]:
    """Return the positions, in data order, of a seeded random subset stratified by group.

    `together`: samples that share cluster and group (both assertions of a pair) are never split; the subset may be
    slightly larger than `limit`.
    """
    if limit is None or limit >= len(samples):
        return list(range(len(samples)))
    strata: dict[str, list[int]] = {}
    for position, group in enumerate(samples.groups):
        strata.setdefault(group, []).append(position)
    shares = _apportion(
        {group: len(members) for group, members in strata.items()}, limit, f"{suite}\x1f{seed}"
    )

    def unit(position: int) -> str:
        return (together and samples.clusters[position]) or samples.ids[position]

    def draw(position: int) -> bytes:
        return sha256(f"{suite}\x1f{seed}\x1f{unit(position)}".encode()).digest()

    chosen: list[int] = []
    for group, members in strata.items():
        ordered, end = sorted(members, key=draw), shares[group]
        while 0 < end < len(ordered) and unit(ordered[end]) == unit(ordered[end - 1]):
            end += 1
        chosen += ordered[:end]
    return sorted(chosen)


def _apportion(sizes: Mapping[str, int], total: int, seed: str) -> dict[str, int]:
    """Apportion `total` in proportion to the sizes, rounded at random: every item has the same chance to be chosen.

    Systematic sampling of the groups in a random order (Cox 1987, *controlled rounding*): a share lies within 1 of the exact one.
    """
    everything = sum(sizes.values())
    order = sorted(sizes, key=lambda group: sha256(f"{seed}\x1f{group}".encode()).digest())
    start = int.from_bytes(sha256(seed.encode()).digest()[:4], "big") % everything
    shares, before = {}, start
    for group in order:
        after = before + total * sizes[group]
        shares[group] = after // everything - before // everything
        before = after
    return shares


class Plan(Struct, kw_only=True):
    """One suite of a command, ready to run; nothing has been written yet."""

    suite: Suite
    data: Data
    samples: SampleStore
    total: int
    """Samples in the data set; the store holds those selected."""
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
        """Return whether the run exists already."""
        return (self.path / "card.json").exists()

    @property
    def prompter(self) -> Prompter:
        """Return the prompter of this run, with the user's system prompt if there is one."""
        own = self.suite.prompter(self.data)
        return with_system(own, self.config.system) if self.config.system else own

    def lengths(self, *, own: bool = False) -> dict[str, tuple[float, float]]:
        """Return output tokens and seconds per sample of an earlier run; empty if there is none. `own`: only of this model."""
        pattern = f"{self.folder.name if own else '*'}/*/records.parquet"
        return lengths(self.folder.parent, pattern, prefer=self.folder, samples=self.samples)


def resolve(
    suite: Suite,
    options: Options,
    *,
    model: str,
    spec: str,
    takes: frozenset[str] = frozenset(),
    keep_media: bool = True,
) -> Plan:
    """Read the data, select the samples and choose the run folder; writes only media, and not even them without `keep_media`."""
    if suite.refuses:
        raise UsageError(suite.refuses)
    if options.system and CLASSES in suite.needs:
        raise UsageError(f"--system: {suite.id} has no prompt, since its models read no words")
    data = data_for(suite, options, takes=takes)
    data = data if keep_media else structs.replace(data, media=None)
    samples, digest = read(suite, data, accept=options.data_hash)
    if keep_media or not suite.needs & MEDIA:
        _require_questions(suite, samples)
    total, groups = len(samples), set(samples.groups)
    chosen = _chosen(samples, suite, options)
    narrowed = len(chosen) < total
    samples = _subset_of(samples, chosen) if narrowed else samples
    sampling, how = resolved(suite, options)
    config = _config(
        suite, options, digest=digest, spec=spec, sampling=sampling, asked=len(samples), narrowed=narrowed
    )
    folder = options.results / suite.folder / store.slug(model)
    path, notes = _place(folder, config, options.run, fresh=options.fresh)
    plan = Plan(
        suite=suite,
        data=data,
        samples=samples,
        total=total,
        absent_groups=tuple(sorted(groups.difference(samples.groups))),
        config=config,
        folder=folder,
        path=path,
        notes=[*notes, *how],
    )
    plan.notes += _notes(plan, options, groups=len(groups))
    return plan


def _config(
    suite: Suite, options: Options, *, digest: str, spec: str, sampling: Sampling, asked: int, narrowed: bool
) -> Config:
    """Return the configuration that identifies a run; `asked`: number of samples, a subset if `narrowed`."""
    return Config(
        suite=suite.id,
        version=suite.version,
        protocol=suite.protocol,
        data_sha256=digest,
        model=spec,
        sampling=sampling,
        seed=options.seed,
        repeats=options.repeats or suite.repeats,
        limit=(options.limit or asked) if narrowed else None,
        sample_ids=options.sample_ids if narrowed else (),
        max_pixels=options.max_pixels if "image" in suite.needs else None,
        judge=options.judge if suite.judged else "",
        engine=options.engine,
        words=suite.upstream.card()["asks_sha256"][:16] if suite.upstream else "",
        system=options.system,
    )


def _chosen(samples: SampleStore, suite: Suite, options: Options) -> list[int]:
    """Return the positions of the samples to run: those that the user names, else a subset, else all."""
    if not options.sample_ids:
        together = any(metric.together for metric in suite.metrics)
        return subset(samples, options.limit, seed=options.seed, suite=suite.id, together=together)
    places = {name: position for position, name in enumerate(samples.ids)}
    for name in options.sample_ids:
        if name not in places:
            raise UnknownName(f"sample of {suite.id}", name, places)
    return sorted({places[name] for name in options.sample_ids})


def prepare(
    suite: Suite, options: Options, *, model: str, spec: str, takes: frozenset[str] = frozenset()
) -> Job:
    """Read the data, open or create the run on disk, and return the job with the outcomes it has already."""
    plan = resolve(suite, options, model=model, spec=spec, takes=takes)
    prompter, earlier_lengths = plan.prompter, plan.lengths()
    writer, done, stale = _open(plan, model=model)
    return Job(
        suite=suite,
        repeats=plan.config.repeats,
        sampling=plan.config.sampling,
        samples=plan.samples,
        prompter=prompter,
        writer=writer,
        done=done,
        lengths=earlier_lengths,
        notes=plan.notes,
        stale=stale,
        reused=_reused(writer.card, len(done)),
    )


def _reused(card: Card, done: int) -> str:
    if not card.expected or done < card.expected:
        return ""
    return (
        f"{card.run}, started {strftime('%Y-%m-%d %H:%M', gmtime(card.started))} UTC, has all {done} replies: it is "
        "reused, no call is made (--fresh starts a new run)"
    )


def _notes(plan: Plan, options: Options, *, groups: int) -> Iterator[str]:
    """Yield the notes on images, system prompt, data and subset; `groups`: their number in the whole data set."""
    suite, config, absent = plan.suite, plan.config, plan.absent_groups
    if config.max_pixels is not None and options.max_pixels_of:
        yield f"images of more than {config.max_pixels:,} pixels are scaled down, the limit of {options.max_pixels_of}"
    if config.system:
        yield "with a system prompt of the user (--system)"
    if (named := ProtocolName.parse(suite.protocol)).shots is not None:
        own = named._replace(shots=None)
        yield f"{named.shots} few-shot examples, not the number of {own} (--shots): {named} is never ranked with {own}"
    if plan.data.origin == "hub" and not suite.sha256 and not suite.in_memory:
        yield f"no hash of this data set is pinned; its rows have sha256 {config.data_sha256[:16]}"
    if plan.data.origin == "local" and suite.sha256 and suite.sha256 != config.data_sha256:
        yield (
            f"another version of the data, or a part: the rows hash to {config.data_sha256[:16]}, pinned is "
            f"{suite.sha256[:16]}; never compared with runs on the pinned rows"
        )
    if absent and suite.headline.pool == "macro":
        yield (
            f"the subset has no item of {len(absent)} of {groups} groups ({', '.join(absent[:3])} ...): "
            f"no {suite.headline.name}"
        )


def _require_questions(suite: Suite, samples: SampleStore) -> None:
    if samples.first_without_question:
        raise DataError(
            f"{suite.id}: sample {samples.first_without_question!r} has no question, so no model can be asked; "
            "the data need a column with the question"
        )


def _subset_of(samples: SampleStore, chosen: Sequence[int]) -> SampleStore:
    kept = SampleStore()
    for position in chosen:
        kept.add(samples[position])
    kept.freeze()
    samples.close()
    return kept


def _place(folder: Path, config: Config, run: str | None, *, fresh: bool) -> tuple[Path, list[str]]:
    """Return the folder of the run that this configuration resumes, or an unused one, with notes for the user."""
    if run is not None and (run != store.slug(run) or "@" in run):
        raise UsageError(f"--run {run!r}: use letters, digits, dots, hyphens and underscores")
    cards = _cards_in(folder, run)
    if run is None:
        earlier = {
            name: card for name, card in cards.items() if not name.startswith(NOISE_PREFIX) and not fresh
        }
        newest_last = sorted(earlier, key=lambda name: (earlier[name].started, name))
        same = [name for name in newest_last if cards[name].config == config and cards[name].origin == "run"]
        if same:
            return folder / same[-1], []
        nearest = next(reversed(newest_last), None)
        notes = [f"a new run, since {_changes(config, cards[nearest].config, nearest)}"] if nearest else []
        return folder / _free(folder, store.new_id(config)), notes
    for name in (run, *(f"{run}-{n}" for n in range(2, 1000))):
        if name not in cards:
            if store.has_records(str(folder / name)):
                store.read_card(
                    folder / name
                )  # raises: it is missing, and nothing is written over the records
            notes = (
                []
                if name == run
                else [f"run {run} exists, so this is {name}: {_changes(config, cards[run].config, run)}"]
            )
            return folder / name, notes
        if cards[name].config == config and not fresh:
            return folder / name, []
    raise StoreError(f"run {run!r} exists a thousand times in {folder}")


def _cards_in(folder: Path, run: str | None) -> dict[str, Card]:
    """Return the cards of a model's runs by name; an unreadable card raises only if it belongs to the named run."""
    cards = {}
    for path in folder.glob("*/card.json"):
        name = path.parent.name
        try:
            cards[name] = store.read_card(path.parent)
        except StoreError:
            if run is not None and (name == run or name.startswith(f"{run}-")):
                raise
    return cards


def _changes(config: Config, earlier: Config, name: str) -> str:
    return f"{'; '.join(config.changes(earlier)) or 'nothing differs'} in {name}"


def _free(folder: Path, name: str) -> str:
    return name if not (folder / name).exists() else f"{name}-{time.time_ns() % 10_000}"


def _open(plan: Plan, *, model: str) -> tuple[Writer, set[tuple[str, int]], bool]:
    """Open a plan's run for writing; returns the writer, the (sample, repeat) pairs done, and whether replies need rescoring."""
    suite, config, path, resumed = plan.suite, plan.config, plan.path, plan.resumes
    data = "local" if suite.in_memory else plan.data.origin
    card = (
        store.read_card(path)
        if resumed
        else new_card(config, suite, run=path.name, model=model, data=data, started=time.time())
    )
    writer = Writer(path, card)
    versions = suite.scorer_versions()
    done: set[tuple[str, int]] = set()
    stale = False
    if resumed:
        replied = [b for b in store.Run(path).briefs() if not b.failure]
        scored_by = (card.scorers, card.errata)
        changed = bool(card.scorers) and scored_by != (versions, suite.errata.version)
        stale = changed or any(map(_unscored, replied))
        done = {(b.sample, b.repeat) for b in replied}
    card.status, card.finished = "running", None
    put_suite(card, suite, data=data)
    card.expected, card.absent_groups = len(plan.samples) * config.repeats, plan.absent_groups
    card.wording = suite.upstream.card() if suite.upstream else {}
    card.host = host()
    if not stale:  # otherwise rescoring updates the rules when it is done
        put_rules(card, suite)
    writer.write_card()
    writer.write_samples(plan.samples)
    return writer, done, stale


def _unscored(brief: Brief) -> bool:
    return not brief.scores or any(isinstance(score, Failure) for score in brief.scores.values())
