"""The order of calls: longest expected reply first, so that no long reply is left for the end.

Expected lengths are estimated from the replies of the run, by a linear regression of the logarithm of the output tokens on
a predictor, with an effect for each group. The predictor is the length of the sample's reply in an earlier run of any model;
without one, the size of the question. In the recorded replies of three models to MMLU-Pro, predictions from size and group have a
correlation of .40 to .51 with the logarithm of the length.
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

MIN_REPLIES = 16
"""Number of replies needed to estimate a suite's lengths in tokens without an earlier run; with fewer, only ranks are used."""
MIN_CALLS, MAX_CALLS = 256, 50_000
"""The order is updated during the run if the number of calls is in this range. With fewer calls the order hardly matters; with
more, the last calls are a small part of the run, and writing records out of data order takes more memory."""
SHRINKAGE = 8.0
"""Number of replies at which the effect of a group, or the slope, is shrunk to half of its estimate."""
RESORT_INTERVAL = 100.0
"""Minimum time between two sorts of the queue, as a multiple of the time that a sort takes."""

PlannedCall = tuple[int, int, int]
"""(index of the job, position of the sample, repeat)."""


def calling_order(jobs: Sequence[Job]) -> list[PlannedCall]:
    """Return the calls that all jobs still need, in calling order."""
    return Queue(jobs).remaining()


class Queue:
    """The calls that remain to be made; `pop` returns the one with the longest expected reply."""

    def __init__(
        self,
        jobs: Sequence[Job],
        fixed: Sequence[PlannedCall] | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`fixed`: a calling order that is not changed."""
        self._clock = clock
        self._replies = 0
        self._min_replies, self._min_elapsed_s = MIN_REPLIES * len(jobs), 0.0
        """Number of replies, and time since the start, from which the queue may be sorted again."""
        self._started = clock()
        self._calls = list(fixed) if fixed is not None else _data_order(jobs)
        self._calls.reverse()
        self._is_fixed = fixed is not None
        self._is_adaptive = fixed is None and MIN_CALLS <= len(self._calls) <= MAX_CALLS
        self._predictors = [LengthPredictor(job) for job in jobs] if fixed is None else []
        if fixed is None:
            self._sort()
        if not self._is_adaptive:
            self._predictors = []

    def __len__(self) -> int:
        return len(self._calls)

    def pop(self, *, shortest: bool = False) -> PlannedCall:
        """Return the next call; `shortest`: the one with the shortest expected reply instead, unless the order is fixed."""
        return self._calls.pop(0 if shortest and not self._is_fixed else -1)

    def remaining(self) -> list[PlannedCall]:
        """Return the remaining calls in calling order."""
        return self._calls[::-1]

    def add_reply(self, call: PlannedCall, tokens: float) -> None:
        """Update the expected lengths with the length of a reply, and sort the queue again from time to time."""
        if not self._is_adaptive:
            return
        job_index, position, _ = call
        self._predictors[job_index].add(position, tokens)
        self._replies += 1
        if self._replies < self._min_replies:
            return
        if (elapsed_s := self._clock() - self._started) >= self._min_elapsed_s:
            self._min_replies = max(2 * self._min_replies, self._replies)
            self._sort()
            sort_s = self._clock() - self._started - elapsed_s
            self._min_elapsed_s = elapsed_s + RESORT_INTERVAL * sort_s

    def _sort(self) -> None:
        """Sort by expected tokens; while a suite of an adaptive queue has no estimates, by the rank within each suite."""
        by_tokens = not self._is_adaptive or all(predictor.has_estimates for predictor in self._predictors)
        sort_keys = [
            predictor.log_tokens() if by_tokens else predictor.ranks() for predictor in self._predictors
        ]
        self._calls.sort(key=lambda call: sort_keys[call[0]][call[1]])


def _data_order(jobs: Sequence[Job]) -> list[PlannedCall]:
    """Return the remaining calls: the first repeat of every suite in data order, then the second, and so on."""
    return [
        (job_index, position, repeat)
        for repeat in range(max((job.repeats for job in jobs), default=0))
        for job_index, job in enumerate(jobs)
        if repeat < job.repeats
        for position, sample_id in enumerate(job.samples.ids)
        if (sample_id, repeat) not in job.done
    ]


class LengthPredictor:
    """Predicts the lengths of the replies to one suite."""

    def __init__(self, job: Job) -> None:
        self._groups = job.samples.groups
        self._has_earlier_lengths = bool(job.lengths)
        self._predictor_values = _log_lengths(job) if job.lengths else array("d", map(log, job.samples.sizes))
        self._log_limit = log1p(job.sampling.max_tokens or 4096)
        self._suite_sums, self._group_sums = _Sums(), dict[str, _Sums]()

    @property
    def has_estimates(self) -> bool:
        """Return whether lengths can be estimated in tokens."""
        return self._has_earlier_lengths or self._suite_sums.n >= MIN_REPLIES

    def add(self, position: int, tokens: float) -> None:
        """Add the length of a reply."""
        x, y = self._predictor_values[position], log1p(tokens)
        self._suite_sums.add(x, y)
        group = self._groups[position]
        if group:
            (self._group_sums.get(group) or self._group_sums.setdefault(group, _Sums())).add(x, y)

    def log_tokens(self) -> array[float]:
        """Return the logarithm of the expected tokens for every sample; without estimates, that of `max_tokens`."""
        if not self.has_estimates:
            return array("d", [self._log_limit]) * len(self._predictor_values)
        if self._suite_sums.n < MIN_REPLIES:
            return self._predictor_values
        slope, mean_x, mean_y, variance = self._suite_sums.fit_line()
        effects = {
            group: (sums.y - sums.n * mean_y - slope * (sums.x - sums.n * mean_x)) / (sums.n + SHRINKAGE)
            for group, sums in self._group_sums.items()
        }
        intercept = mean_y - slope * mean_x + variance / 2  # the mean of a log-normal distribution
        pairs = zip(self._predictor_values, self._groups, strict=True)
        return array("d", (intercept + slope * x + effects.get(group, 0.0) for x, group in pairs))

    def ranks(self) -> array[float]:
        """Return each sample's rank by expected length, from 0 to 1 within the suite; among equal lengths, the first ranks higher."""
        values = self.log_tokens() if self.has_estimates else self._predictor_values
        ranks = array("d", [0.0]) * len(values)
        for rank, position in enumerate(sorted(range(len(values) - 1, -1, -1), key=values.__getitem__)):
            ranks[position] = rank / len(values)
        return ranks


def _log_lengths(job: Job) -> array[float]:
    """Return the log length of each sample's reply in an earlier run, or the mean log length if there is no such reply.

    Lengths are in tokens or, if these were not counted, in milliseconds.
    """
    has_tokens = any(tokens for tokens, _ in job.lengths.values())
    log_lengths = {
        sample_id: log1p(tokens if has_tokens else 1000 * seconds)
        + 1e-9 * seconds  # of equally long replies, the slower one comes first
        for sample_id, (tokens, seconds) in job.lengths.items()
    }
    mean = sum(log_lengths.values()) / len(log_lengths)
    return array("d", (log_lengths.get(sample_id, mean) for sample_id in job.samples.ids))


class _Sums:
    """Running sums for a linear regression."""

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

    def fit_line(self) -> tuple[float, float, float, float]:
        """Return the slope (shrunk towards 0), the means of x and y, and the variance around the line."""
        mean_x, mean_y = self.x / self.n, self.y / self.n
        sxx = max(self.xx - self.n * mean_x**2, 0.0)
        sxy, syy = self.xy - self.n * mean_x * mean_y, self.yy - self.n * mean_y**2
        slope = sxy / (sxx + SHRINKAGE * max(sxx / self.n, 1e-9))
        return slope, mean_x, mean_y, max(syy - slope * sxy, 0.0) / self.n


def earlier_lengths(
    folder: Path, pattern: str, *, prefer: Path, samples: SampleStore
) -> dict[str, tuple[float, float]]:
    """Return (output tokens, seconds) by sample id in an earlier run of the suite, preferably the newest run of this model.

    `folder`: folder of the suite; `pattern`: pattern of record files in it; `prefer`: folder of this model's runs. Three runs
    are tried, this model's before others and newer before older ones; empty if none has replies to half of the samples.
    """
    runs = sorted(
        folder.glob(pattern),
        key=lambda path: (path.parent.parent == prefer, path.stat().st_mtime),
        reverse=True,
    )
    sample_ids = set(samples.ids)
    for path in runs[:3]:
        try:
            records = list(store.Run(path.parent).compact_records())
        except StoreError:
            continue  # an unreadable earlier run does not prevent this one
        length_by_sample = {
            record.sample: (float(record.output or 0), record.seconds)
            for record in records
            if record.stop and record.sample in sample_ids
        }
        if 2 * len(length_by_sample) >= len(sample_ids):
            return length_by_sample
    return {}
