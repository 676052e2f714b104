"""The order of asking: the longest expected first, so that no long reply is left for the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.data.sample_store import Spool
from evals.errors import StoreError
from evals.records import store
from evals.run.job import Job


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


def lengths(folder: Path, pattern: str, *, prefer: Path, spool: Spool) -> dict[str, tuple[float, float]]:
    """Return output tokens and seconds of each sample in the newest earlier run of this suite, of this model if there is one.

    Empty if no run holds half of the samples.
    """
    runs = sorted(
        (run for run in folder.glob(pattern)),
        key=lambda path: (path.parent.parent == prefer, path.stat().st_mtime),
        reverse=True,
    )
    wanted = set(spool.ids)
    for path in runs[:3]:
        try:
            briefs = list(store.Run(path.parent).briefs())
        except StoreError:
            continue  # an earlier run that cannot be read is no reason not to start this one
        known = {b.sample: (float(b.output or 0), b.seconds) for b in briefs if b.stop and b.sample in wanted}
        if 2 * len(known) >= len(wanted):
            return known
    return {}
