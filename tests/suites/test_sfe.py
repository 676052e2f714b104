"""SFE: points awarded by a judge, images in place of their placeholders, and unreadable judge replies."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.data import Data
from evals.errors import DataError
from evals.suites import sfe
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.error_messages import raises

pytest.importorskip("PIL")


def run_with_judge(tmp_path: Path, judge: str, *options: str) -> dict[str, object]:
    outcome = evals("run", "sfe", "--sample", "-m", "scripted:Answer: 20", "--judge", judge, "--results", tmp_path,
                    "--run", "r", "--json", *options)  # fmt: skip
    assert outcome.status in (0, 1), outcome.err
    (run,) = outcome.json["runs"]
    return dict(run)


def test_the_score_is_the_mean_of_points_divided_by_nine(tmp_path: Path) -> None:
    run = run_with_judge(tmp_path, "scripted:call=tests.support.judges:six")
    (headline,) = [estimate for estimate in run["estimates"] if estimate["headline"]]
    assert headline["value"] == pytest.approx(6 / 9)
    assert run["counts"] == {"graded": 11}
    assert run["coverage"] == 1.0


def test_unreadable_points_are_failures_and_not_zeros(tmp_path: Path) -> None:
    run = run_with_judge(tmp_path, "scripted:ten of nine", "--limit", "3")
    assert run["counts"] == {"failed:unreadable": 3}
    assert run["coverage"] == 0.0
    assert all(estimate["value"] is None for estimate in run["estimates"])


def test_without_a_judge_the_run_does_not_start(tmp_path: Path) -> None:
    outcome = evals("run", "sfe", "--sample", "-m", "scripted:A", "--results", tmp_path)
    outcome.assert_usage_error()


def test_images_replace_their_placeholders(tmp_path: Path) -> None:
    data = Data(suite="sfe", sample=True, media=tmp_path)
    for sample in sfe._samples(data, "en"):
        assert isinstance(sample.question[0], Media)
    row = {"index": 1, "question": "<image> and <image>?", "image": ["images/bars.png"]}
    with raises(DataError):
        list(sfe._question_parts(data, row))


@pytest.mark.parametrize(
    ("kind", "gold", "text", "verdict"),
    [("exact_match", "Basalt", "Answer: basalt.", "right"), ("exact_match", "basalt", "Answer: granite", "wrong"),
     ("open_ended", "basalt", "Answer: basalt", "unanswered")],
)  # fmt: skip
def test_the_rule_with_which_the_judge_is_compared_scores_exact_matches_only(
    kind: str, gold: str, text: str, verdict: str
) -> None:
    sample = Sample(id="x", target=gold, meta={"question_type": kind})
    assert sfe.Rule()(sample, Prompt(), Reply(text=text)).verdict == verdict


def test_the_point_of_a_decimal_fraction_counts() -> None:
    sample = Sample(id="x", target="5", meta={"question_type": "exact_match"})
    assert sfe.Compared()(sample, Prompt(), Reply(text="Answer: .5")).verdict == "wrong"
    assert sfe.Rule()(sample, Prompt(), Reply(text="Answer: .5")).verdict == "wrong"
