"""Order of calls: longest expected reply first, so that no long reply is left for the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.data.sample_store import SampleStore
from evals.errors import StoreError
from evals.records import store
from evals.run.job import Job


def order(jobs: Sequence[Job]) -> list[tuple[int, int, int]]:
    """Return one queue of all open samples and repeats of a command, longest expected reply first.

    The expectation is the sample's output tokens in an earlier run (its seconds if tokens are equal);
    without one, the mean of its suite's earlier run; without that, the suite's max_tokens. Returns
    (job, position, repeat) triples in calling order.
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
        for position, name in enumerate(job.samples.ids):
            tokens, seconds = lengths.get(name, usual)
            for repeat in range(job.repeats):
                if (name, repeat) not in job.done:
                    keyed.append((-tokens, -seconds, repeat, number, position))
    keyed.sort()
    return [(number, position, repeat) for _, _, repeat, number, position in keyed]


def lengths(
    folder: Path, pattern: str, *, prefer: Path, samples: SampleStore
) -> dict[str, tuple[float, float]]:
    """Return output tokens and seconds of each sample in the newest earlier run of this suite, of this model if there is one.

    Empty if no run holds half of the samples.
    """
    runs = sorted(
        (run for run in folder.glob(pattern)),
        key=lambda path: (path.parent.parent == prefer, path.stat().st_mtime),
        reverse=True,
    )
    sample_ids = set(samples.ids)
    for path in runs[:3]:
        try:
            briefs = list(store.Run(path.parent).briefs())
        except StoreError:
            continue  # an earlier run that cannot be read is no reason not to start this one
        length_by_sample = {
            b.sample: (float(b.output or 0), b.seconds) for b in briefs if b.stop and b.sample in sample_ids
        }
        if 2 * len(length_by_sample) >= len(sample_ids):
            return length_by_sample
    return {}
