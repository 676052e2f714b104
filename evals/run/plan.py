"""What a command is about to do: its samples, its run on disk (new or resumed), and the order of asking."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from time import localtime, strftime

from msgspec import Struct, structs

from evals.data import Data
from evals.data.sample_store import Spool
from evals.errors import DataError, StoreError, UsageError
from evals.records import card as cards
from evals.records import store
from evals.records.card import Card, Config
from evals.records.files import Brief
from evals.run.request_extras import with_system
from evals.suite import Digest, Suite, checked
from evals.types import Failure, Prompter, Sampling

MEDIA = frozenset({"image", "time_series", "structure"})
"""What is kept beside the run."""


class Options(Struct, frozen=True, kw_only=True):
    """What the user asked for, the same for all suites of a command."""

    results: Path = Path("results")
    data: Path | None = None
    sample: bool = False
    limit: int | None = None
    repeats: int | None = None
    seed: int = 0
    sampling: Sampling = Sampling()
    """Overrides of the suite's own."""
    recommended: Sampling = Sampling()
    """By the model's makers: for protocols that leave the draw open."""
    recommend_all: bool = False
    """Take what is recommended in the place of what a protocol fixes, too."""
    recommender: str = ""
    """Profile that recommends it, for the card."""
    run: str | None = None
    max_pixels: int | None = None
    max_pixels_of: str = ""
    """Profile that names the limit; empty: the user."""
    judge: str = ""
    """As named on the command line, without secrets."""
    engine: str = ""
    """See `Config`."""
    system: str = ""
    """The user's system prompt; empty: none."""
    fresh: bool = False
    """Make a new run even where the same one is there already."""
    data_hash: str | None = None
    """Beginning of a data hash that the user accepts in the place of the pinned one."""


class Job(Struct, kw_only=True):
    """One suite of a command, ready to be asked."""

    suite: Suite
    repeats: int
    sampling: Sampling
    spool: Spool
    prompter: Prompter
    writer: store.Writer
    done: set[tuple[str, int]]
    """Sample-repeats that have a reply already; scored again where that failed, never asked again."""
    lengths: dict[str, tuple[float, float]]
    """Sample id -> (output tokens, seconds) in an earlier run."""
    notes: list[str]
    stale: bool = False
    """Whether stored replies are to be scored again: the rule has changed, or some have no score."""
    reused: str = ""
    """Says that the run was finished before and nothing is asked; empty: something is."""


def data_for(suite: Suite, options: Options, *, takes: frozenset[str] = frozenset()) -> Data:
    """Say where a suite's rows come from; `takes`: what the model takes besides text."""
    data = Data(suite=suite.name, local=options.data, sample=options.sample, takes=takes)
    if not suite.needs & MEDIA:
        return data
    return structs.replace(
        data, media=options.results / suite.folder / "media", max_pixels=options.max_pixels
    )


def read(suite: Suite, data: Data, *, accept: str | None = None) -> tuple[Spool, str]:
    """Read all samples of a suite once; returns them with the hash of the whole data set.

    The hub's rows must hash to what is pinned, or to what begins with `accept`; raises DataError.
    """
    spool, digest = Spool(), Digest()
    try:
        for sample in checked(suite, data):
            spool.add(sample)
            digest.add(sample)
    except DataError as error:
        if data.local is None or data.sample or str(data.local) in str(error):
            raise
        raise DataError(f"{error} (in {data.local})") from error
    spool.freeze()
    found = digest.hexdigest()
    wanted = accept or suite.sha256
    if (data.origin == "hub" or accept) and wanted and not found.startswith(wanted):
        raise DataError(
            f"{suite.id}: the rows hash to {found[:16]}, pinned is {wanted[:16]}: other data than the published "
            f"numbers rest on; to use it knowingly, add --data-hash {found[:16]}"
        )
    return spool, found


def subset(spool: Spool, limit: int | None, *, seed: int, suite: str, together: bool = False) -> list[int]:
    """Choose a seeded random subset, stratified by group: positions in the order of the data.

    `together`: what shares cluster and group (both assertions of a pair) is chosen whole, at the cost of a few more.
    """
    if limit is None or limit >= len(spool):
        return list(range(len(spool)))
    strata: dict[str, list[int]] = {}
    for position, group in enumerate(spool.groups):
        strata.setdefault(group, []).append(position)
    shares = _apportion({group: len(members) for group, members in strata.items()}, limit)

    def unit(position: int) -> str:
        return (together and spool.clusters[position]) or spool.ids[position]

    def draw(position: int) -> bytes:
        return sha256(f"{suite}\x1f{seed}\x1f{unit(position)}".encode()).digest()

    chosen: list[int] = []
    for group, members in strata.items():
        ordered, end = sorted(members, key=draw), shares[group]
        while 0 < end < len(ordered) and unit(ordered[end]) == unit(ordered[end - 1]):
            end += 1
        chosen += ordered[:end]
    return sorted(chosen)


def _apportion(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Share `total` out in proportion to the sizes, by largest remainders."""
    everything = sum(sizes.values())
    exact = {group: total * size / everything for group, size in sizes.items()}
    shares = {group: int(share) for group, share in exact.items()}
    by_remainder = sorted(exact, key=lambda group: (shares[group] - exact[group], group))
    for group in by_remainder[: total - sum(shares.values())]:
        shares[group] += 1
    return shares


def prepare(
    suite: Suite, options: Options, *, model: str, spec: str, takes: frozenset[str] = frozenset()
) -> Job:
    """Read the data, find or make the run on disk, and say what of it is done already."""
    if suite.refuses:
        raise UsageError(suite.refuses)
    data = data_for(suite, options, takes=takes)
    spool, digest = read(suite, data, accept=options.data_hash)
    _wants_questions(suite, spool)
    prompter = suite.prompter(data)
    whole = any(metric.together for metric in suite.metrics)
    chosen = subset(spool, options.limit, seed=options.seed, suite=suite.id, together=whole)
    if narrowed := len(chosen) < len(spool):
        spool = _narrowed(spool, chosen)
    sampling, how = drawn(suite, options)
    config = Config(
        suite=suite.id,
        version=suite.version,
        protocol=suite.protocol,
        data_sha256=digest,
        model=spec,
        sampling=sampling,
        seed=options.seed,
        repeats=options.repeats or suite.repeats,
        limit=options.limit if narrowed else None,
        max_pixels=options.max_pixels if "image" in suite.needs else None,
        judge=options.judge if suite.judged else "",
        engine=options.engine,
        words=suite.words.card()["asks_sha256"][:16] if suite.words else "",
        system=options.system,
    )
    folder = options.results / suite.folder / store.slug(model)
    path, notes = _place(folder, config, options.run, fresh=options.fresh)
    writer, done, stale = _open(path, config, suite, data, model=model, spool=spool)
    return Job(
        suite=suite,
        repeats=config.repeats,
        sampling=config.sampling,
        spool=spool,
        prompter=with_system(prompter, options.system) if options.system else prompter,
        writer=writer,
        done=done,
        lengths=_lengths(options.results / suite.folder, prefer=folder, spool=spool),
        notes=[
            *notes,
            *how,
            *_pixel_notes(config, options),
            *_system_notes(config),
            *_data_notes(suite, data, digest),
        ],
        stale=stale,
        reused=_reused(writer.card, len(done)),
    )


def _reused(card: Card, done: int) -> str:
    if not card.expected or done < card.expected:
        return ""
    return (
        f"{card.run}, begun {strftime('%Y-%m-%d %H:%M', localtime(card.started))}, has all {done} replies: it is "
        "reused, nothing is asked (--fresh asks again)"
    )


def _data_notes(suite: Suite, data: Data, digest: str) -> list[str]:
    if data.origin != "hub" or suite.sha256:
        return []
    return [
        f"no hash of this data set is pinned: its rows came from the hub as they were, sha256 {digest[:16]}"
    ]


def _system_notes(config: Config) -> list[str]:
    return ["asked with a system prompt of the user's own (--system)"] if config.system else []


def _pixel_notes(config: Config, options: Options) -> list[str]:
    if config.max_pixels is None or not options.max_pixels_of:
        return []
    return [
        f"images of more than {config.max_pixels:,} pixels are sent smaller, the limit of {options.max_pixels_of}"
    ]


def drawn(suite: Suite, options: Options) -> tuple[Sampling, list[str]]:
    """Decide how replies are drawn, and say so where it is neither the protocol nor the user alone.

    A temperature is part of a protocol where the protocol names one. Where it does not, what the makers of
    the model recommend is taken as a whole, unless the user gives a temperature.
    """
    own, asked, makers = suite.sampling, options.sampling, options.recommended
    how = []
    if (
        makers != Sampling()
        and asked.temperature is None
        and (options.recommend_all or own.temperature is None)
    ):
        draw = {name: getattr(makers, name) for name in ("temperature", "top_p", "top_k", "min_p")}
        own = structs.replace(own, **draw)
        words = ", ".join(f"{name} {value:g}" for name, value in draw.items() if value is not None)
        how = [f"sampling as the makers of {options.recommender} recommend: {words}"]
    return override(own, asked, seed=options.seed), how


def override(own: Sampling, asked: Sampling, *, seed: int) -> Sampling:
    """Give the suite's sampling with what the user set; a drawn reply gets the run's seed."""
    changed = {f: v for f in asked.__struct_fields__ if (v := getattr(asked, f)) not in (None, (), {})}
    merged = structs.replace(own, **changed)
    if merged.temperature == 0.0 or merged.seed is not None:
        return merged
    return structs.replace(merged, seed=seed)


def _wants_questions(suite: Suite, spool: Spool) -> None:
    if spool.lacking:
        raise DataError(
            f"{suite.id}: sample {spool.lacking!r} has no question, so it can be scored but not asked; "
            "the data needs its column with the question"
        )


def _narrowed(spool: Spool, chosen: Sequence[int]) -> Spool:
    kept = Spool()
    for position in chosen:
        kept.add(spool[position])
    kept.freeze()
    spool.close()
    return kept


def _place(folder: Path, config: Config, run: str | None, *, fresh: bool) -> tuple[Path, list[str]]:
    """Find the run that this configuration continues, or a free place for a new one."""
    if run is not None and (run != store.slug(run) or "@" in run):
        raise UsageError(f"--run {run!r}: use letters, digits, dots, hyphens and underscores")
    known = _known(folder, run)
    if run is None:
        same = [
            name
            for name, card in known.items()
            if card.config == config and card.origin == "run" and not fresh
        ]
        if same:
            return folder / max(same), []
        nearest = None if fresh else max(known, default=None)
        notes = [f"a new run, since {_changes(config, known[nearest].config, nearest)}"] if nearest else []
        return folder / _free(folder, store.new_id(config)), notes
    for name in (run, *(f"{run}-{n}" for n in range(2, 1000))):
        if name not in known:
            notes = (
                []
                if name == run
                else [f"run {run} exists, so this is {name}: {_changes(config, known[run].config, run)}"]
            )
            return folder / name, notes
        if known[name].config == config and not fresh:
            return folder / name, []
    raise StoreError(f"run {run!r} has a thousand namesakes in {folder}")


def _known(folder: Path, run: str | None) -> dict[str, Card]:
    """Read the cards of a model's runs; one that cannot be read matters only where it is asked for."""
    found = {}
    for path in folder.glob("*/card.json"):
        name = path.parent.name
        try:
            found[name] = store.read_card(path.parent)
        except StoreError:
            if run is not None and (name == run or name.startswith(f"{run}-")):
                raise
    return found


def _changes(config: Config, other: Config, name: str) -> str:
    return f"{', '.join(config.changes(other)) or 'nothing'} changed against {name}"


def _free(folder: Path, name: str) -> str:
    return name if not (folder / name).exists() else f"{name}-{time.time_ns() % 10_000}"


def _open(
    path: Path, config: Config, suite: Suite, data: Data, *, model: str, spool: Spool
) -> tuple[store.Writer, set[tuple[str, int]], bool]:
    resumed = (path / "card.json").exists()
    card = (
        store.read_card(path)
        if resumed
        else Card(run=path.name, config=config, model=model, started=time.time())
    )
    writer = store.Writer(path, card)
    versions = suite.scorer_versions()
    done: set[tuple[str, int]] = set()
    stale = False
    if resumed:
        replied = [b for b in store.Run(path).briefs() if not b.failure]
        known = (card.scorers, card.errata)
        changed = bool(card.scorers) and known != (versions, suite.errata.version)
        stale = changed or any(map(_unscored, replied))
        done = {(b.sample, b.repeat) for b in replied}
    card.status, card.finished = "running", None
    card.data, card.gated, card.chance = (
        ("local" if suite.in_memory else data.origin),
        suite.gated,
        suite.chance,
    )
    card.expected = len(spool) * config.repeats
    card.wording = suite.words.card() if suite.words else {}
    card.commit, card.packages, card.host = cards.commit(), cards.packages(), cards.host()
    if not stale:  # else whatever scores again says so when it has
        card.scorers, card.errata = versions, suite.errata.version
    writer.write_card()
    writer.write_samples(spool)
    return writer, done, stale


def _unscored(brief: Brief) -> bool:
    return not brief.scores or any(isinstance(score, Failure) for score in brief.scores.values())


def _lengths(folder: Path, *, prefer: Path, spool: Spool) -> dict[str, tuple[float, float]]:
    """Find out how long each sample took in the newest earlier run of this suite, this model's first."""
    found = sorted(
        (run for run in folder.glob("*/*/records.parquet")),
        key=lambda path: (path.parent.parent == prefer, path.stat().st_mtime),
        reverse=True,
    )
    wanted = set(spool.ids)
    for path in found[:3]:
        try:
            briefs = list(store.Run(path.parent).briefs())
        except StoreError:
            continue  # an earlier run that cannot be read is no reason not to start this one
        lengths = {
            b.sample: (float(b.output or 0), b.seconds) for b in briefs if b.stop and b.sample in wanted
        }
        if 2 * len(lengths) >= len(wanted):
            return lengths
    return {}


def reseeded(sampling: Sampling, repeat: int) -> Sampling:
    """Give the sampling of one repeat: repeats of one sample must not draw the same reply."""
    if repeat == 0 or sampling.seed is None:
        return sampling
    return structs.replace(sampling, seed=sampling.seed + repeat)


def order(jobs: Sequence[Job]) -> list[tuple[int, int, int]]:
    """Put all sample-repeats of a command into one queue, the longest expected first.

    The expectation is the sample's output tokens in an earlier run (where those are alike, its seconds);
    without one, the mean of its suite's earlier run; without that, the suite's max_tokens. Returns
    (job, position, repeat) triples in the order of asking.
    """
    keyed: list[tuple[float, float, int, int, int]] = []
    for number, job in enumerate(jobs):
        lengths = job.lengths
        usual = (
            (
                sum(t for t, _ in lengths.values()) / len(lengths),
                sum(s for _, s in lengths.values()) / len(lengths),
            )
            if lengths
            else (float(job.sampling.max_tokens or 4096), 0.0)
        )
        for position, name in enumerate(job.spool.ids):
            tokens, seconds = lengths.get(name, usual)
            for repeat in range(job.repeats):
                if (name, repeat) not in job.done:
                    keyed.append((-tokens, -seconds, repeat, number, position))
    keyed.sort()
    return [(number, position, repeat) for _, _, repeat, number, position in keyed]
