"""Order of calls: longest expected reply first, so that no long reply is left for the end.

What is expected of a sample is learnt from the replies of the run: a line through the logarithms of the output tokens over
a predictor, and the deviation of each group. The predictor is the sample's length in an earlier run, of any model; without one,
the size of its question. On the recorded replies of three models to MMLU-Pro, size and group together have a correlation
of .40 to .51 with the logarithm of the length.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from math import log, log1p
from pathlib import Path

from evals.data.sample_store import SampleStore
from evals.errors import StoreError
from evals.records import store
from evals.run.job import Job

ENOUGH = 16
"""Replies of a suite from which its expected lengths are in tokens; before, they are only ranks."""
LARGE, HUGE = 256, 50_000
"""Numbers of calls between which the order is learnt. Others keep that of the data if nothing is known of their suites: for
fewer it hardly matters, and of more the tail is a small part, while records in another order take memory."""
SHRINK = 8.0
"""Weight of the suite's line against the deviation of a group, in replies."""
SHARE = 100.0
"""Sorting the queue again may take one part in this many of the time since the start."""

Turn = tuple[int, int, int]
"""A call: (job, position of the sample, repeat)."""


def order(jobs: Sequence[Job]) -> list[Turn]:
    """Return all open samples and repeats of a command in calling order."""
    return Queue(jobs).rest()


class Queue:
    """The open samples of a command; `pop` returns the one with the longest expected reply."""

    def __init__(
        self,
        jobs: Sequence[Job],
        fixed: Sequence[Turn] | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`fixed`: a calling order that stays as it is."""
        self._clock = clock
        self._replies, self._next, self._not_before = 0, ENOUGH * len(jobs), 0.0
        self._since = clock()
        self._open = list(fixed) if fixed is not None else _by_repeat(jobs)
        self._open.reverse()
        self._learns = fixed is None and LARGE <= len(self._open) <= HUGE
        self._expected = [Expected(job) for job in jobs] if fixed is None else []
        if fixed is None:
            self._sort()
        if not self._learns:
            self._expected = []

    def __len__(self) -> int:
        return len(self._open)

    def pop(self) -> Turn:
        """Return the next call."""
        return self._open.pop()

    def rest(self) -> list[Turn]:
        """Return the calls that are left, in calling order."""
        return self._open[::-1]

    def replied(self, turn: Turn, tokens: float) -> None:
        """Learn from a reply of so many tokens; now and then this sorts the queue again."""
        if not self._learns:
            return
        number, position, _ = turn
        self._expected[number].learn(position, tokens)
        self._replies += 1
        if self._replies >= self._next and (now := self._clock()) - self._since >= self._not_before:
            self._next = max(2 * self._next, self._replies)
            self._sort()
            self._not_before = now - self._since + SHARE * (self._clock() - now)

    def _sort(self) -> None:
        """Sort by expected tokens if they are known for every suite, else by rank within the suite."""
        known = not self._learns or all(expected.known for expected in self._expected)
        values = [expected.log_tokens() if known else expected.ranks() for expected in self._expected]
        self._open.sort(key=lambda turn: values[turn[0]][turn[1]])


def _by_repeat(jobs: Sequence[Job]) -> list[Turn]:
    """Return all open calls: the first repeat of every suite, in the order of the data, then the second, and so on."""
    return [
        (number, position, repeat)
        for repeat in range(max((job.repeats for job in jobs), default=0))
        for number, job in enumerate(jobs)
        if repeat < job.repeats
        for position, name in enumerate(job.samples.ids)
        if (name, repeat) not in job.done
    ]


class Expected:
    """The lengths of replies that are expected in one suite."""

    def __init__(self, job: Job) -> None:
        self._groups = job.samples.groups
        self._earlier = bool(job.lengths)
        self._x = _earlier(job) if job.lengths else array("d", map(log, job.samples.sizes))
        self._unknown = log1p(job.sampling.max_tokens or 4096)
        self._suite, self._by_group = _Sums(), dict[str, _Sums]()

    @property
    def known(self) -> bool:
        """Return whether lengths in tokens can be stated."""
        return self._earlier or self._suite.n >= ENOUGH

    def learn(self, position: int, tokens: float) -> None:
        """Note the length of a reply."""
        x, y = self._x[position], log1p(tokens)
        self._suite.add(x, y)
        group = self._groups[position]
        if group:
            (self._by_group.get(group) or self._by_group.setdefault(group, _Sums())).add(x, y)

    def log_tokens(self) -> array[float]:
        """Return the logarithm of the expected tokens of every sample; of the limit if nothing is known."""
        if not self.known:
            return array("d", [self._unknown]) * len(self._x)
        if self._suite.n < ENOUGH:
            return self._x
        slope, mean_x, mean_y, variance = self._suite.line()
        effects = {
            group: (sums.y - sums.n * mean_y - slope * (sums.x - sums.n * mean_x)) / (sums.n + SHRINK)
            for group, sums in self._by_group.items()
        }
        start = mean_y - slope * mean_x + variance / 2  # the mean of a log-normal distribution
        pairs = zip(self._x, self._groups, strict=True)
        return array("d", (start + slope * x + effects.get(group, 0.0) for x, group in pairs))

    def ranks(self) -> array[float]:
        """Return the rank of each sample's expected length in the suite, from 0 to 1; of equal ones the first is higher."""
        values = self.log_tokens() if self.known else self._x
        ranks = array("d", [0.0]) * len(values)
        for rank, position in enumerate(sorted(range(len(values) - 1, -1, -1), key=values.__getitem__)):
            ranks[position] = rank / len(values)
        return ranks


def _earlier(job: Job) -> array[float]:
    """Return the logarithm of each sample's length in an earlier run: in tokens, or by its time if none was counted."""
    counted = any(tokens for tokens, _ in job.lengths.values())
    known = {
        name: log1p(tokens if counted else 1000 * seconds)
        + 1e-9 * seconds  # the slower of equally long ones first
        for name, (tokens, seconds) in job.lengths.items()
    }
    usual = sum(known.values()) / len(known)
    return array("d", (known.get(name, usual) for name in job.samples.ids))


class _Sums:
    """Running sums of a regression."""

    __slots__ = ("n", "x", "xx", "xy", "y", "yy")

    def __init__(self) -> None:
        self.n = 0
        self.x = self.y = self.xx = self.xy = self.yy = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.xy += x * y
        self.yy += y * y

    def line(self) -> tuple[float, float, float, float]:
        """Return the slope, shrunk towards 0, the means of x and y, and the variance around the line."""
        mean_x, mean_y = self.x / self.n, self.y / self.n
        sxx = max(self.xx - self.n * mean_x**2, 0.0)
        sxy, syy = self.xy - self.n * mean_x * mean_y, self.yy - self.n * mean_y**2
        slope = sxy / (sxx + SHRINK * max(sxx / self.n, 1e-9))
        return slope, mean_x, mean_y, max(syy - slope * sxy, 0.0) / self.n


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
