"""Progress lines: pace, remaining time and failures are readable, however slow a model is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from evals import Suite, evaluate
from evals.run import progress
from evals.run.progress import duration_text, rate_text
from evals.verdicts.formatting import format_p_with_name
from tests.support import toy
from tests.support.command import evals


@pytest.mark.parametrize(
    ("count", "seconds", "text"),
    [(30, 10.0, "3.0/s"), (3, 60.0, "3.0/min"), (1, 600.0, "6/h"), (0, 5.0, "0.0/s")],
)
def test_a_slow_pace_is_not_rounded_to_nothing(count: int, seconds: float, text: str) -> None:
    assert rate_text(count, seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (42, "42 s"), (750, "12 min"), (7500, "2 h 05 min"), (360_000, "100 h 00 min")],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_p_value_is_never_shown_as_zero() -> None:
    assert [format_p_with_name(p) for p in (0.0, 1e-9, 0.012, 1.0)] == [
        "p < 0.0001",
        "p < 0.0001",
        "p = 0.012",
        "p = 1",
    ]


def test_the_live_interval_of_errors_is_over_samples_not_repeats(tmp_path: Path) -> None:
    texts = []
    for repeats in (1, 4):
        job = toy.job(tmp_path / str(repeats), repeats=repeats)
        tally = progress.Tally(job)
        for index, sample in enumerate(job.samples.ids):
            for repeat in range(repeats):
                tally.add(toy.record(sample, repeat, value=0.5 + index))
        texts.append(tally.score_text())
        toy.close_job(job)
    assert texts[0] == texts[1] == "2 ± 1.1"


def test_a_resumed_run_shows_the_score_of_all_its_replies(tmp_path: Path) -> None:
    first = toy.job(tmp_path, run="r")
    a, b, c, d = first.samples.ids
    for record in (toy.record(a), toy.record(b), toy.failed_record(c)):
        first.writer.append(record)
    toy.close_job(first)
    resumed = toy.job(tmp_path, run="r")
    tally = progress.Tally(resumed)
    assert (tally.done_before, tally.done, tally.scored) == (2, 0, 2)
    for sample in (c, d):
        tally.add(toy.record(sample, value=0.0))
    assert (tally.remaining, tally.failure_counts.total()) == (0, 0)
    assert tally.score_text().startswith("50.0 %")
    toy.close_job(resumed)


def test_without_a_terminal_a_finished_suite_is_not_printed_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)  # a line after every reply
    outcome = evals("run", "mmlu-pro", "gpqa", "--sample", "-m", "scripted:ANSWER: A", "--concurrency", "1")
    lines = [line for line in outcome.err.splitlines() if re.match(r"\S+: \d+/\d+ ", line)]
    assert len(lines) == 16 + 12
    assert set(Counter(line.partition("  ")[0] for line in lines).values()) == {1}
    assert not any(" left" in line for line in lines if "16/16" in line or "12/12" in line)


def test_a_scorer_that_fails_is_reported_with_its_error(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = Suite.of([{"question": "a", "answer": "b"}], scorer=lambda reply, target: len(reply) / 0 > 1)
    evaluate(suite, lambda prompt: "b")
    assert "custom: 1 failed (crash): the scorer failed: ZeroDivisionError" in capsys.readouterr().err
