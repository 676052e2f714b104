"""Live progress: bars on a terminal, text in a notebook, lines every `LINE_EVERY_S` seconds elsewhere; with --quiet, only findings."""

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
from evals.run.health import Health, is_checked
from evals.run.job import Job
from evals.types import Failure, Record, Reply, Score

DRAW_EVERY_S, LINE_EVERY_S = 0.2, 10.0
"""Minimum interval between two updates of bars or of a notebook, and between two printed lines."""
BAR_FORMAT = "{desc} {bar:20} {n_fmt}/{total_fmt}  "
"""tqdm's format of a bar; the text from `ModelProgress.rows` is appended."""
MAX_MESSAGE_CHARS = 300
"""Maximum number of characters of a failure's message that are shown."""


class Tally:
    """Running totals of one suite on one model: of its replies and scores since the run began; of the rest, in this session."""

    def __init__(self, job: Job, *, model: str = "") -> None:
        """`model`: prefix of the suite's name if several models are run."""
        self.name = f"{model}: {job.suite.id}" if model else job.suite.id
        self.total = len(job.samples) * job.repeats
        self.done_before = len(job.done)
        self.done = self.truncated = self.tokens = self.scored = self.rescored = 0
        self.score_sum = self.sum_of_squares = 0.0
        self.is_binary = True
        self.totals_by_sample: dict[str, tuple[int, float]] | None = {} if job.repeats > 1 else None
        """Sample id -> (count, sum) of its scores; None without repeats, when all scores are independent."""
        self.failure_counts: Counter[str] = Counter()
        self.first_messages: dict[str, str] = {}
        """Message of the first failure of each kind."""
        self.health = Health(enabled=is_checked(job.writer.card.config.model))
        self._add_earlier_sessions(job)
        self._started_s = self._ended_s = 0.0
        """Start of the first recorded call and end of the last one, in monotonic time."""

    @property
    def remaining(self) -> int:
        """Return the number of calls that remain."""
        return self.total - self.done_before - self.done

    @property
    def seconds(self) -> float:
        """Return the seconds since the first call began; if no calls remain, those between the first call and the last reply."""
        return max((time.monotonic() if self.remaining else self._ended_s) - self._started_s, 1e-3)

    def add(self, record: Record) -> None:
        """Add one record."""
        self._ended_s = time.monotonic()
        if not self.done:
            self._started_s = self._ended_s - (
                record.outcome.seconds if isinstance(record.outcome, Reply) else 0.0
            )
        self.done += 1
        if not isinstance(record.outcome, Reply):
            self.failure_counts[record.outcome.kind] += 1
            self.first_messages.setdefault(record.outcome.kind, record.outcome.message)
            return
        self.tokens += record.outcome.usage.output or 0
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Failure):
            self.failure_counts[score.kind] += 1
            self.first_messages.setdefault(score.kind, f"the scorer failed: {score.message}")
        self._add_reply(record, record.outcome)

    def _add_earlier_sessions(self, job: Job) -> None:
        """Add the records of earlier sessions; failed calls are made again, and stale scores are replaced."""
        for record in Run(job.writer.path).records() if job.done else ():
            self.health.add(record)
            is_kept = (record.sample, record.repeat) in job.done and not job.is_stale
            if is_kept and isinstance(record.outcome, Reply):
                self._add_reply(record, record.outcome)

    def _add_reply(self, record: Record, reply: Reply) -> None:
        self.truncated += reply.stop == "length"
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Score) and score.value is not None:
            self.scored += 1
            self.score_sum += score.value
            self.sum_of_squares += score.value**2
            if self.totals_by_sample is not None:
                count, total = self.totals_by_sample.get(record.sample, (0, 0.0))
                self.totals_by_sample[record.sample] = count + 1, total + score.value
            self.is_binary = self.is_binary and score.value in (0.0, 1.0)

    def failure_lines(self) -> list[str]:
        """Return a line for each kind of failure, with its count and first message."""
        return [
            f"{self.name}: {count} failed ({kind}): {self.first_messages[kind][:MAX_MESSAGE_CHARS]}"
            for kind, count in self.failure_counts.most_common()
        ]

    def score_text(self) -> str:
        """Return the mean score so far, with its interval, as text."""
        if not self.scored:
            return ""
        mean = self.score_sum / self.scored
        if self.is_binary:
            interval = self._interval()
            if interval.low is None:
                return f"{100 * mean:.1f} %"
            return f"{100 * mean:.1f} % [{100 * (interval.low or 0):.1f}, {100 * (interval.high or 0):.1f}]"
        count, squares = self.scored, self.sum_of_squares
        if self.totals_by_sample is not None:  # over samples rather than repeats
            means = [total / repeats for repeats, total in self.totals_by_sample.values()]
            count, squares, mean = len(means), sum(value * value for value in means), sum(means) / len(means)
        variance_of_mean = max(squares / count - mean**2, 0.0) / count
        return f"{mean:.3g} ± {stats.z_quantile(0.975) * variance_of_mean**0.5:.2g}"

    def _interval(self) -> stats.Interval:
        """Return the interval of a mean of scores that are 0 or 1, computed over samples rather than repeats."""
        if self.totals_by_sample is None:
            return stats.proportion(self.score_sum, self.scored)
        return stats.mean(
            [total / count for count, total in self.totals_by_sample.values()], bounds=(0.0, 1.0)
        )


class Progress(AbstractContextManager["Progress"]):
    """The display of a command: a row for each suite of each model."""

    def __init__(self, *, quiet: bool) -> None:
        self._models: list[ModelProgress] = []
        self._quiet = quiet
        self._last_update = time.monotonic()
        self._last_states: dict[int, tuple[int, int]] = {}
        """Row -> (records, rescored replies) when its line was last printed; used without a terminal."""
        self._is_on_terminal = False
        self._bars: list[Any] = []
        self._notebook_display: Any = None
        """Display handle in a notebook."""

    def __enter__(self) -> Progress:
        if not self._quiet and in_notebook():
            import IPython.display as notebook

            display: Callable[..., Any] = notebook.display
            self._notebook_display = display(_NotebookText(self._row_texts()), display_id=True)
        elif not self._quiet and sys.stderr.isatty():
            self._is_on_terminal = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._draw()
            for bar in self._bars:
                bar.close()
            self._bars = []
        elif self._notebook_display is not None:
            self._draw()
        elif not self._quiet and any(tally.done for tally in self._tallies):
            self._print_lines()

    def add(self, model: ModelProgress) -> None:
        """Show the rows of another model from now on."""
        self._models.append(model)
        if self._is_on_terminal:
            self._add_bars(model)
        elif self._notebook_display is not None:
            self._draw()

    @property
    def draws_bars(self) -> bool:
        """Return whether bars are shown, so that other lines must be printed by `say`."""
        return bool(self._bars)

    @property
    def _tallies(self) -> list[Tally]:
        return [tally for model in self._models for tally in model.tallies]

    def say(self, line: str) -> None:
        """Print a line, above the bars if there are any."""
        if self._bars:
            self._bars[0].write(plain(line), file=sys.stderr)
        else:
            notice(line)

    def flush(self) -> None:
        """Print the lines that have changed, if progress is shown as lines."""
        if not (self._quiet or self._bars or self._notebook_display):
            self._print_lines()

    def update(self) -> None:
        """Update the display, at most every `DRAW_EVERY_S` (bars, notebooks) or `LINE_EVERY_S` (lines) seconds."""
        if self._quiet:
            return
        now = time.monotonic()
        if self._bars or self._notebook_display is not None:
            if now - self._last_update > DRAW_EVERY_S:
                self._last_update = now
                self._draw()
        elif now - self._last_update > LINE_EVERY_S:
            self._last_update = now
            self._print_lines()

    def _add_bars(self, model: ModelProgress) -> None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # disables tqdm's monitor thread
        for tally in model.tallies:
            self._bars.append(
                tqdm(
                    desc=tally.name,
                    total=tally.total,
                    initial=tally.done_before,
                    position=len(self._bars),
                    bar_format=BAR_FORMAT,
                    dynamic_ncols=True,
                )
            )
        longest = max(len(tally.name) for tally in self._tallies)
        for bar, tally in zip(self._bars, self._tallies, strict=True):
            bar.set_description_str(tally.name.ljust(longest))

    def _draw(self) -> None:
        if self._notebook_display is not None:
            self._notebook_display.update(_NotebookText(self._row_texts()))
            return
        rows = [row for model in self._models for row in model.rows()]
        for bar, (tally, details) in zip(self._bars, rows, strict=True):
            bar.n = tally.done_before + tally.done
            bar.bar_format = BAR_FORMAT + details.replace("{", "{{").replace("}", "}}")
            bar.refresh()

    def _row_texts(self) -> list[str]:
        return [
            f"{tally.name}: {tally.done_before + tally.done}/{tally.total}  {details}"
            for model in self._models
            for tally, details in model.rows()
        ]

    def _print_lines(self) -> None:
        """Print a line for each row that has changed since its last line."""
        for number, (tally, line) in enumerate(zip(self._tallies, self._row_texts(), strict=True)):
            state = (tally.done, tally.rescored)
            if any(state) and self._last_states.get(number) != state:
                self._last_states[number] = state
                notice(line)


class ModelProgress:
    """The rows of one model; the model's runner reports every record to it."""

    def __init__(
        self,
        display: Progress,
        jobs: Sequence[Job],
        *,
        model: str = "",
        spent: Callable[[], str],
        extra: Callable[[int], str] | None = None,
        on_record: Callable[[int, Record], None] | None = None,
        on_finding: Callable[[int, Finding], None] | None = None,
    ) -> None:
        """`model`: name of the model if several models are run. `spent`: returns the model's cost so far, as text.

        `extra`: returns additional text for a job. `on_record`: called with every record and the index of its job, before it
        is displayed. `on_finding`: called with the index of a job and its new health finding.
        """
        self.tallies = [Tally(job, model=model) for job in jobs]
        self._display, self._spent, self._extra = display, spent, extra
        self._on_record, self._on_finding = on_record, on_finding

    def record(self, job_index: int, record: Record) -> None:
        """Add one record."""
        if self._on_record is not None:
            self._on_record(job_index, record)
        self.tallies[job_index].add(record)
        self._check_health(job_index, record)
        self._display.update()

    def count_rescored(self, job_index: int) -> None:
        """Count a rescored reply of an earlier session."""
        self.tallies[job_index].rescored += 1
        self._display.update()

    def _check_health(self, job_index: int, record: Record) -> None:
        """Report new health findings, even with --quiet."""
        tally = self.tallies[job_index]
        for finding in tally.health.add(record):
            self._display.say(f"{tally.name}: {finding.message}{'' if finding.fault else ' (a warning)'}")
            if self._on_finding is not None:
                self._on_finding(job_index, finding)

    def rows(self) -> list[tuple[Tally, str]]:
        """Return (tally, text that follows the bar) for each suite."""
        return [
            (tally, self._details_text(job_index, tally) + _remaining_time(tally))
            for job_index, tally in enumerate(self.tallies)
        ]

    def _details_text(self, job_index: int, tally: Tally) -> str:
        seconds = tally.seconds
        details = [rate_text(tally.done, seconds)] if tally.done else []
        details += [f"{tally.tokens / seconds:.0f} tok/s"] if tally.tokens else []
        details += [tally.score_text()]
        details += [f"{tally.failure_counts.total()} failed"] if tally.failure_counts else []
        details += [f"{tally.truncated} truncated"] if tally.truncated else []
        details += [f"{tally.rescored} scored again"] if tally.rescored else []
        details += [self._extra(job_index)] if self._extra else []
        return "  ".join(filter(None, (*details, self._spent())))


def _remaining_time(tally: Tally) -> str:
    if not tally.done or not tally.remaining:
        return ""
    return f"  {duration_text(tally.remaining * tally.seconds / tally.done)} left"


def rate_text(count: int, seconds: float) -> str:
    """Return a rate as text: per second; if that is below 1, per minute; if that is below 1 too, per hour.

    >>> rate_text(30, 10.0), rate_text(3, 60.0), rate_text(1, 600.0), rate_text(12_000, 10.0)
    ('3.0/s', '3.0/min', '6/h', '1,200/s')
    """
    rate = count / seconds
    if rate >= 1 or not count:
        return f"{rate:,.{0 if rate >= 100 else 1}f}/s"
    return f"{60 * rate:.1f}/min" if 60 * rate >= 1 else f"{3600 * rate:.2g}/h"


def duration_text(seconds: float) -> str:
    """Return a duration as text: seconds, minutes, or hours and minutes.

    >>> duration_text(42), duration_text(750), duration_text(7500)
    ('42 s', '12 min', '2 h 05 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class _NotebookText:
    """Plain text that a notebook displays."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._text = "\n".join(lines)

    def __repr__(self) -> str:
        """Return the text, which IPython displays."""
        return self._text


def in_notebook() -> bool:
    """Return whether this process is the kernel of a Jupyter notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
