"""SFE: points of a judge, pictures at their marks, and no zero where the judge cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.data import Data
from evals.errors import DataError
from evals.suites import sfe
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals

pytest.importorskip("PIL")


def asked(tmp_path: Path, judge: str, *words: str) -> dict[str, object]:
    found = evals("run", "sfe", "--sample", "-m", "scripted:Answer: 20", "--judge", judge, "--results", tmp_path,
                  "--run", "r", "--json", *words)  # fmt: skip
    assert found.status in (0, 1), found.err
    (run,) = found.json["runs"]
    return dict(run)


def test_the_score_is_the_mean_of_points_as_a_share_of_nine(tmp_path: Path) -> None:
    run = asked(tmp_path, "scripted:call=tests.support.judges:six")
    (headline,) = [e for e in run["estimates"] if e["headline"]]
    assert headline["value"] == pytest.approx(6 / 9)
    assert run["counts"] == {"graded": 11}
    assert run["coverage"] == 1.0


def test_points_that_cannot_be_read_are_failures_and_no_zeros(tmp_path: Path) -> None:
    run = asked(tmp_path, "scripted:ten of nine", "--limit", "3")
    assert run["counts"] == {"failed:unreadable": 3}
    assert run["coverage"] == 0.0
    assert all(e["value"] is None for e in run["estimates"])


def test_without_a_judge_it_says_so_first(tmp_path: Path) -> None:
    found = evals("run", "sfe", "--sample", "-m", "scripted:A", "--results", tmp_path)
    assert "add --judge MODEL" in found.error_line


def test_pictures_stand_at_their_marks(tmp_path: Path) -> None:
    data = Data(suite="sfe", sample=True, media=tmp_path)
    for sample in sfe._samples(data, "en"):
        assert isinstance(sample.question[0], Media)
    row = {"index": 1, "question": "<image> and <image>?", "image": ["images/bars.png"]}
    with pytest.raises(DataError, match="2 placeholders for 1 image"):
        list(sfe._question_parts(data, row))


@pytest.mark.parametrize(
    ("kind", "gold", "text", "verdict"),
    [("exact_match", "Basalt", "Answer: basalt.", "right"), ("exact_match", "basalt", "Answer: granite", "wrong"),
     ("open_ended", "basalt", "Answer: basalt", "unanswered")],
)  # fmt: skip
def test_the_rule_beside_the_judge_speaks_where_it_can(kind: str, gold: str, text: str, verdict: str) -> None:
    sample = Sample(id="x", target=gold, meta={"question_type": kind})
    assert sfe.Rule()(sample, Prompt(), Reply(text=text)).verdict == verdict
