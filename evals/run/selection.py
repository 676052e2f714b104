"""Select the samples of a run: those named by the user, or a seeded random subset."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from evals.data.sample_store import SampleStore
from evals.errors import UnknownName
from evals.records.card import Config
from evals.run.job import Options
from evals.suite import Suite


def selected_positions(samples: SampleStore, suite: Suite, settings: Options | Config) -> list[int]:
    """Return the positions of the samples to run: those named by the user, else a subset, else all."""
    if not settings.sample_ids:
        keep_pairs = any(metric.together for metric in suite.metrics)
        return subset(samples, settings.limit, seed=settings.seed, suite=suite.id, keep_pairs=keep_pairs)
    positions = {sample_id: position for position, sample_id in enumerate(samples.ids)}
    for sample_id in settings.sample_ids:
        if sample_id not in positions:
            raise UnknownName(f"sample of {suite.id}", sample_id, positions)
    return sorted({positions[sample_id] for sample_id in settings.sample_ids})


def subset(
    samples: SampleStore, limit: int | None, *, seed: int, suite: str, keep_pairs: bool = False
) -> list[int]:
    """Return the positions, in data order, of a seeded random subset stratified by group.

    `keep_pairs`: do not separate samples of one group and cluster, e.g. the two assertions of a pair, so that the subset may
    be slightly larger than `limit`.
    """
    if limit is None or limit >= len(samples):
        return list(range(len(samples)))
    strata: dict[str, list[int]] = {}
    for position, group in enumerate(samples.groups):
        strata.setdefault(group, []).append(position)
    shares = _apportion(
        {group: len(members) for group, members in strata.items()}, limit, f"{suite}\x1f{seed}"
    )

    def sampling_unit(position: int) -> str:
        cluster = samples.clusters[position] if keep_pairs else ""
        return cluster or samples.ids[position]

    def random_key(position: int) -> bytes:
        return sha256(f"{suite}\x1f{seed}\x1f{sampling_unit(position)}".encode()).digest()

    selected: list[int] = []
    for group, members in strata.items():
        ordered, end = sorted(members, key=random_key), shares[group]
        while 0 < end < len(ordered) and sampling_unit(ordered[end]) == sampling_unit(ordered[end - 1]):
            end += 1
        selected += ordered[:end]
    return sorted(selected)


def _apportion(sizes: Mapping[str, int], total: int, seed: str) -> dict[str, int]:
    """Divide `total` among groups in proportion to their sizes; rounding is random, so that all items are equally likely.

    Systematic sampling of the groups in random order (Cox 1987, *controlled rounding*): each share differs from its
    exact value by less than 1.
    """
    population = sum(sizes.values())
    order = sorted(sizes, key=lambda group: sha256(f"{seed}\x1f{group}".encode()).digest())
    start = int.from_bytes(sha256(seed.encode()).digest()[:4], "big") % population
    shares, lower = {}, start
    for group in order:
        upper = lower + total * sizes[group]
        shares[group] = upper // population - lower // population
        lower = upper
    return shares
