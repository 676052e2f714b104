"""Bounding boxes: read in the usual notations, matched by intersection over union; extra boxes lower the score."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.extract.regions import regions
from evals.records.files import Gold
from evals.report.estimates import estimate
from evals.scorers.boxes import Box, Boxes, grounding, iou, matched_ious
from evals.types import Point, Prompt, Reply, Sample
from tests.support.cpu_time import assert_cpu_time
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "regions.jsonl").read_text("utf-8").splitlines()]
IMAGE_SIZE = {"width": 400, "height": 200}


@table("case", CASES, ids=lambda case: case["why"])
def test_boxes_and_labels_are_read_in_every_notation(case: dict[str, list[object]]) -> None:
    parsed = regions(str(case["text"]))
    assert [list(region.numbers) for region in parsed] == case["boxes"]
    assert [region.label for region in parsed] == case["labels"]


@pytest.mark.parametrize(
    "text",
    [
        "[1,2,3,4]" * 20_000,
        "(" * 50_000,
        "{" * 50_000,
        "[1," * 20_000,
        "<box>" * 10_000,
        "9" * 50_000,
        "[1e999,1,2,3]",
        "(1,2)" + "\n" * 50_000,
        "left: 1, " * 6_000,
        "1 " * 25_000,
    ],
)
def test_a_hostile_reply_has_at_most_1000_boxes_and_is_read_in_linear_time(text: str) -> None:
    assert len(assert_cpu_time(1, lambda: regions(text))) <= 1_000


def test_named_coordinates_define_the_order_of_the_numbers() -> None:
    reply = Reply(text="top: 50, left: 100, bottom: 150, right: 300")
    for form in ("xyxy", "xywh", "yxyx"):
        sample = Sample(id="1", target="[100, 50, 300, 150]", meta=IMAGE_SIZE)
        assert Boxes(form=form)(sample, Prompt(), reply).verdict == "right"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Box(0, 0, 2, 2), Box(0, 0, 2, 2), 1.0),
        (Box(0, 0, 2, 2), Box(1, 0, 3, 2), 1 / 3),
        (Box(0, 0, 2, 2), Box(2, 0, 4, 2), 0.0),  # they share an edge
        (Box(0, 0, 4, 4), Box(1, 1, 3, 3), 0.25),
        (Box(0, 0, 1, 1), Box(5, 5, 6, 6), 0.0),
        (Box(1, 1, 1, 1), Box(1, 1, 1, 1), 0.0),  # boxes without area
    ],
)
def test_iou_matches_values_calculated_by_hand(first: Box, second: Box, expected: float) -> None:
    assert iou(first, second) == iou(second, first) == pytest.approx(expected)


COORDINATE = st.integers(0, 12)


@given(st.tuples(*[COORDINATE] * 4), st.tuples(*[COORDINATE] * 4))
def test_iou_matches_a_count_of_unit_cells(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    boxes = [Box(*(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))) for x1, y1, x2, y2 in (a, b)]
    cells = [
        {(x, y) for x in range(int(box.x1), int(box.x2)) for y in range(int(box.y1), int(box.y2))}
        for box in boxes
    ]
    union = len(cells[0] | cells[1])
    assert iou(*boxes) == pytest.approx(len(cells[0] & cells[1]) / union if union else 0.0)


def value_verdict_iou(
    text: str, target: str | tuple[str, ...], rule: Boxes, stop: str = "stop"
) -> tuple[float | None, str, float]:
    score = rule(Sample(id="q", target=target, meta=dict(IMAGE_SIZE)), Prompt(), Reply(text=text, stop=stop))
    return score.value, score.verdict, round(score.parts["iou"], 6)


@table(
    ("text", "rule", "expected"),
    [
        ("[100, 50, 300, 150]", Boxes(), (1.0, "right", 1.0)),
        ("[250, 250, 750, 750]", Boxes(scale="thousand"), (1.0, "right", 1.0)),
        ("[0.25, 0.25, 0.75, 0.75]", Boxes(scale="unit"), (1.0, "right", 1.0)),
        ("[0.25, 0.25, 0.75, 0.75]", Boxes(scale="thousand"), (1.0, "right", 1.0)),  # clearly fractions
        ("[0.25, 0.25, 0.75, 0.75]", Boxes(), (1.0, "right", 1.0)),
        ("[250, 250, 750, 750]", Boxes(), (0.0, "wrong", 0.0)),  # thousandths although the prompt asked for pixels
        ("[100, 50, 200, 100]", Boxes(form="xywh"), (1.0, "right", 1.0)),
        ("[50, 100, 150, 300]", Boxes(form="yxyx"), (1.0, "right", 1.0)),
        ("[300, 150, 100, 50]", Boxes(), (1.0, "right", 1.0)),  # opposite corners in reverse order
        ("[100, 50, 200, 150]", Boxes(), (1.0, "right", 0.5)),  # exactly at the threshold
        ("[100, 50, 199, 150]", Boxes(), (0.0, "wrong", 0.495)),
        ("[100, 50, 200, 150]", Boxes(threshold=0.75), (0.0, "wrong", 0.5)),
        ("[0, 0, 400, 200]", Boxes(), (0.0, "wrong", 0.25)),  # the whole image
        ("[100, 50, 300, 150] or [0, 0, 1, 1]", Boxes(), (0.0, "wrong", 0.0)),  # the last box is the answer
        ("[0, 0, 1, 1], no: [100, 50, 300, 150]", Boxes(), (1.0, "right", 1.0)),
        ("I see no cat.", Boxes(), (0.0, "unanswered", 0.0)),
    ],
)  # fmt: skip
def test_value_verdict_and_iou_of_a_single_box(
    text: str, rule: Boxes, expected: tuple[float, str, float]
) -> None:
    assert value_verdict_iou(text, "100,50,300,150", rule) == expected


TWO_TARGETS = ("0,0,100,100", "200,0,300,100")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[0,0,100,100] [200,0,300,100]", (1.0, "right", 1.0)),
        ("[200,0,300,100] [0,0,100,100]", (1.0, "right", 1.0)),  # any order
        ("[0,0,100,100]", (2 / 3, "graded", 0.5)),
        ("[0,0,100,100] [0,0,100,100]", (2 / 3, "graded", 0.5)),  # the same box twice
        # two boxes too many
        ("[0,0,100,100] [200,0,300,100] [0,100,100,200] [300,100,400,200]", (2 / 3, "graded", 1.0)),
        ("[300,100,400,200]", (0.0, "wrong", 0.0)),
    ],
)
def test_several_boxes_are_scored_by_f1(text: str, expected: tuple[float, str, float]) -> None:
    value, verdict, overlap = value_verdict_iou(text, TWO_TARGETS, Boxes())
    assert (value, verdict, overlap) == (pytest.approx(expected[0]), expected[1], pytest.approx(expected[2]))


def test_the_matching_is_optimal_and_not_greedy() -> None:
    golds = [Box(0, 0, 10, 10), Box(3, 0, 13, 10)]
    boxes = [Box(2, 0, 12, 10), Box(-4, 0, 6, 10)]
    assert matched_ious(golds, boxes) == pytest.approx([6 / 14, 9 / 11])


def test_two_overlaps_above_the_threshold_are_preferred_to_a_perfect_one_and_a_small_one() -> None:
    golds = [Box(0, 0, 10, 10), Box(3, 0, 13, 10)]
    boxes = [Box(0, 0, 10, 10), Box(-3, 0, 7, 10)]  # 1 and 0.18, or 0.54 and 0.54
    assert matched_ious(golds, boxes) == pytest.approx([7 / 13, 7 / 13])
    assert matched_ious(golds, boxes, 0.75) == pytest.approx([1.0, 4 / 16])


def test_verdicts_of_incomplete_replies_and_errors_for_malformed_targets() -> None:
    assert value_verdict_iou("[0,0,1,1]", TWO_TARGETS, Boxes(), stop="filter")[1] == "refused"
    assert value_verdict_iou("", TWO_TARGETS, Boxes(), stop="length")[1] == "truncated"
    for target in ("1,2,3", "5,5,1,1", "a,b,c,d"):
        with pytest.raises(ValueError):  # noqa: PT011 - Scoring adds the message about the data
            value_verdict_iou("[0,0,1,1]", target, Boxes())


def test_fractions_that_the_prompt_did_not_ask_for_mark_the_score_as_suspect() -> None:
    sample = Sample(id="q", target="100,50,300,150", meta=dict(IMAGE_SIZE))
    assert Boxes()(sample, Prompt(), Reply(text="[0.25, 0.25, 0.75, 0.75]")).suspect
    assert not Boxes(scale="unit")(sample, Prompt(), Reply(text="[0.25, 0.25, 0.75, 0.75]")).suspect
    assert not Boxes(scale="thousand")(sample, Prompt(), Reply(text="[0, 0, 1, 1]")).suspect


def test_grounding_metrics_count_missing_items_only_in_the_bounds() -> None:
    overlaps = {"a": 1.0, "b": 0.6, "c": 0.5, "d": 0.49}
    points = [Point(n, 0, "", n, "right", 1.0, None, "", 0, {"iou": o}) for n, o in overlaps.items()]
    golds = {n: Gold("", n, "", 0) for n in (*overlaps, "e")}
    estimates = {m.name: estimate(points, m, golds, repeats=1) for m in grounding()}
    assert {n: e.value for n, e in estimates.items()} == {
        "acc@0.5": 0.75,
        "acc@0.75": 0.25,
        "mean_iou": pytest.approx(0.6475),
    }
    assert (estimates["acc@0.5"].worst, estimates["acc@0.5"].best) == (0.6, 0.8)
    assert [m.headline for m in grounding()] == [True, False, False]
