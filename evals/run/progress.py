"""Live progress: bars on a terminal, a line every `LINE_EVERY_S` seconds on a pipe, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from evals.plain import notice, plain
from evals.records.card import Finding
from evals.records.store import Run
from evals.report import statistics as stats
from evals.run.health import Health, watched
from evals.run.job import Job
from evals.types import Record, Reply, Score

LINE_EVERY_S = 10.0
BAR = "{desc} {bar:20} {n_fmt}/{total_fmt}  "
"""Format of a bar on a terminal; further facts follow it."""
MOST = 300
"""Maximum number of characters shown of a failure's message."""


class Tally:
    """Running totals of one suite."""

    def __init__(self, job: Job, *, model: str = "") -> None:
        """`model`: put before the suite's name, if several models are run."""
        self.name = f"{model}: {job.suite.id}" if model else job.suite.id
        self.total = len(job.samples) * job.repeats
        self.before = len(job.done)
        self.done = self.truncated = self.tokens = self.scored = self.rejudged = 0
        self.sum = self.squares = 0.0
        self.binary = True
        self.items: dict[str, tuple[int, float]] | None = {} if job.repeats > 1 else None
        """Count and sum of scores by sample, if there are repeats: samples, not repeats, are independent."""
        self.failed: Counter[str] = Counter()
        """Number of failures by kind."""
        self.first: dict[str, str] = {}
        """Message of the first failure of each kind."""
        self.health = health_so_far(job)
        self._began = self._ended = 0.0
        """Start of the first call and end of the last, on the monotonic clock; a suite may wait for others."""

    @property
    def left(self) -> int:
        """Number of calls that remain."""
        return self.total - self.before - self.done

    @property
    def seconds(self) -> float:
        """Time since the suite's first call began; of a finished suite, up to its last reply."""
        return max((time.monotonic() if self.left else self._ended) - self._began, 1e-3)

    def add(self, record: Record) -> None:
        """Add one record."""
        self._ended = time.monotonic()
        if not self.done:
            self._began = self._ended - (record.outcome.seconds if isinstance(record.outcome, Reply) else 0.0)
        self.done += 1
        if not isinstance(record.outcome, Reply):
            self.failed[record.outcome.kind] += 1
            self.first.setdefault(record.outcome.kind, record.outcome.message)
            return
        self.truncated += record.outcome.stop == "length"
        self.tokens += record.outcome.usage.output or 0
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Score) and score.value is not None:
            self.scored += 1
            self.sum += score.value
            self.squares += score.value**2
            if self.items is not None:
                count, total = self.items.get(record.sample, (0, 0.0))
                self.items[record.sample] = count + 1, total + score.value
            self.binary = self.binary and score.value in (0.0, 1.0)

    def causes(self) -> list[str]:
        """Return a line for each kind of failure: its count and the message of the first."""
        return [
            f"{self.name}: {count} failed {kind}: {self.first[kind][:MOST]}"
            for kind, count in self.failed.most_common()
        ]

    def score(self) -> str:
        """Return the running score of this session with its interval, as text."""
        if not self.scored:
            return ""
        mean = self.sum / self.scored
        if self.binary:
            interval = self._interval()
            if interval.low is None:
                return f"{100 * mean:.1f} %"
            return f"{100 * mean:.1f} % [{100 * (interval.low or 0):.1f}, {100 * (interval.high or 0):.1f}]"
        spread = max(self.squares / self.scored - mean**2, 0.0) / self.scored
        return f"{mean:.3g} ± {stats.z_quantile(0.975) * spread**0.5:.2g}"

    def _interval(self) -> stats.Interval:
        """Return the interval of a fraction, computed over samples rather than repeats."""
        if self.items is None:
            return stats.proportion(self.sum, self.scored)
        return stats.mean([total / count for count, total in self.items.values()], bounds=(0.0, 1.0))


def health_so_far(job: Job) -> Health:
    """Return the health of a run after the replies of earlier sessions."""
    health = Health(watched=watched(job.writer.card.config.model))
    if job.done:
        for record in Run(job.writer.path).records():
            health.add(record)
    return health


class Progress(AbstractContextManager["Progress"]):
    """The display of a command: a row for each suite of each model."""

    def __init__(self, *, quiet: bool) -> None:
        self._models: list[ModelProgress] = []
        self._quiet = quiet
        self._printed = time.monotonic()
        self._last: dict[int, tuple[int, int]] = {}
        """Replies and rescored replies on the last line of each row, by its number; off a terminal."""
        self._on_terminal = False
        self._bars: list[Any] = []
        self._cell: Any = None
        """Display handle in a notebook."""

    def __enter__(self) -> Progress:
        if not self._quiet and in_notebook():
            import IPython.display as notebook

            show: Callable[..., Any] = notebook.display
            self._cell = show(_Shown(self._lines()), display_id=True)
        elif not self._quiet and sys.stderr.isatty():
            self._on_terminal = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._draw()
            for bar in self._bars:
                bar.close()
            self._bars = []
        elif self._cell is not None:
            self._draw()
        elif not self._quiet and any(tally.done for tally in self._tallies):
            self._line()

    def add(self, rows: ModelProgress) -> None:
        """Show the rows of one more model from now on."""
        self._models.append(rows)
        if self._on_terminal:
            self._add_bars(rows)
        elif self._cell is not None:
            self._draw()

    @property
    def draws_bars(self) -> bool:
        """Return whether lines must be printed by `say`, above the bars."""
        return bool(self._bars)

    @property
    def _tallies(self) -> list[Tally]:
        return [tally for rows in self._models for tally in rows.tallies]

    def say(self, line: str) -> None:
        """Print a line, above the bars if there are any."""
        if self._bars:
            self._bars[0].write(plain(line), file=sys.stderr)
        else:
            notice(line)

    def changed(self) -> None:
        """Update the display, a few times a second at most."""
        if self._quiet:
            return
        current = time.monotonic()
        if self._bars or self._cell is not None:
            if current - self._printed > 0.2:
                self._printed = current
                self._draw()
        elif current - self._printed > LINE_EVERY_S:
            self._printed = current
            self._line()

    def _add_bars(self, rows: ModelProgress) -> None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no thread that redraws
        for tally in rows.tallies:
            self._bars.append(
                tqdm(
                    desc=tally.name,
                    total=tally.total,
                    initial=tally.before,
                    position=len(self._bars),
                    bar_format=BAR,
                    dynamic_ncols=True,
                )
            )
        longest = max(len(tally.name) for tally in self._tallies)
        for bar, tally in zip(self._bars, self._tallies, strict=True):
            bar.set_description_str(tally.name.ljust(longest))

    def _draw(self) -> None:
        if self._cell is not None:
            self._cell.update(_Shown(self._lines()))
            return
        rows = [(tally, facts) for model in self._models for tally, facts in model.facts()]
        for bar, (tally, facts) in zip(self._bars, rows, strict=True):
            bar.n, bar.bar_format = (
                tally.before + tally.done,
                BAR + facts.replace("{", "{{").replace("}", "}}"),
            )
            bar.refresh()

    def _lines(self) -> list[str]:
        return [
            f"{tally.name}: {tally.before + tally.done}/{tally.total}  {facts}"
            for rows in self._models
            for tally, facts in rows.facts()
        ]

    def _line(self) -> None:
        """Print a line for each suite that has begun and changed since its last line."""
        for number, (tally, line) in enumerate(zip(self._tallies, self._lines(), strict=True)):
            state = (tally.done, tally.rejudged)
            if any(state) and self._last.get(number) != state:
                self._last[number] = state
                notice(line)


class ModelProgress:
    """The rows of one model; its runner reports every record to it."""

    def __init__(
        self,
        display: Progress,
        jobs: Sequence[Job],
        *,
        model: str = "",
        spent: Callable[[], str],
        more: Callable[[int], str] | None = None,
        alarm: Callable[[int, Finding], None] | None = None,
    ) -> None:
        """`model`: its name, if several are run. `spent`: returns its cost so far.

        `more`: returns further text on a job, by its number. `alarm`: called with each new health finding of a job.
        """
        self.tallies = [Tally(job, model=model) for job in jobs]
        self._display, self._spent, self._more, self._alarm = display, spent, more, alarm

    def record(self, job: int, record: Record) -> None:
        """Add one record."""
        self.tallies[job].add(record)
        self._watch(job, record)
        self._display.changed()

    def rejudged(self, job: int) -> None:
        """Count a reply of an earlier session that was scored again."""
        self.tallies[job].rejudged += 1
        self._display.changed()

    def _watch(self, job: int, record: Record) -> None:
        """Report new health findings, even with --quiet."""
        tally = self.tallies[job]
        for finding in tally.health.add(record):
            self._display.say(f"{tally.name}: {finding.message}{'' if finding.fault else ' (a warning)'}")
            if self._alarm is not None:
                self._alarm(job, finding)

    def facts(self) -> list[tuple[Tally, str]]:
        """Return each suite's tally with what is shown behind its bar."""
        return [
            (tally, self._facts(number, tally) + _remaining_time(tally))
            for number, tally in enumerate(self.tallies)
        ]

    def _facts(self, number: int, tally: Tally) -> str:
        seconds = tally.seconds
        facts = [pace(tally.done, seconds)] if tally.done else []
        facts += [f"{tally.tokens / seconds:.0f} tok/s"] if tally.tokens else []
        facts += [tally.score()]
        facts += [f"{tally.failed.total()} failed"] if tally.failed else []
        facts += [f"{tally.truncated} truncated"] if tally.truncated else []
        facts += [f"{tally.rejudged} scored again"] if tally.rejudged else []
        facts += [self._more(number)] if self._more else []
        return "  ".join(fact for fact in (*facts, self._spent()) if fact)


def _remaining_time(tally: Tally) -> str:
    """Return the remaining time of a suite at the pace so far."""
    if not tally.done or not tally.left:
        return ""
    return f"  {duration(tally.left * tally.seconds / tally.done)} left"


def pace(count: int, seconds: float) -> str:
    """Return a rate per second, minute or hour, in the unit in which it does not round to zero.

    >>> pace(30, 10.0), pace(3, 60.0), pace(1, 600.0), pace(12_000, 10.0)
    ('3.0/s', '3.0/min', '6/h', '1,200/s')
    """
    rate = count / seconds
    if rate >= 1 or not count:
        return f"{rate:,.{0 if rate >= 100 else 1}f}/s"
    return f"{60 * rate:.1f}/min" if 60 * rate >= 1 else f"{3600 * rate:.2g}/h"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration(42), duration(750), duration(7500)
    ('42 s', '12 min', '2 h 05 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class _Shown:
    """Plain text for display in a notebook."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._text = "\n".join(lines)

    def __repr__(self) -> str:
        """Return the text, which IPython shows as it is."""
        return self._text


def in_notebook() -> bool:
    """Return whether this process is the kernel of a Jupyter notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
