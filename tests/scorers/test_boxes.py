"""Rectangles: read in the usual notations, compared by intersection over union, never rewarded for their number."""

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
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "regions.jsonl").read_text("utf-8").splitlines()]
PICTURE = {"width": 400, "height": 200}


@table("case", CASES, ids=lambda case: case["why"])
def test_notations(case: dict[str, list[object]]) -> None:
    found = regions(str(case["text"]))
    assert [list(one.numbers) for one in found] == case["boxes"]
    assert [one.label for one in found] == case["labels"]


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
    ],
)
def test_hostile_replies_are_bounded(text: str) -> None:
    assert len(regions(text)) <= 1_000


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (Box(0, 0, 2, 2), Box(0, 0, 2, 2), 1.0),
        (Box(0, 0, 2, 2), Box(1, 0, 3, 2), 1 / 3),
        (Box(0, 0, 2, 2), Box(2, 0, 4, 2), 0.0),  # they touch
        (Box(0, 0, 4, 4), Box(1, 1, 3, 3), 0.25),
        (Box(0, 0, 1, 1), Box(5, 5, 6, 6), 0.0),
        (Box(1, 1, 1, 1), Box(1, 1, 1, 1), 0.0),  # points
    ],
)
def test_overlaps_worked_out_by_hand(one: Box, other: Box, overlap: float) -> None:
    assert iou(one, other) == iou(other, one) == pytest.approx(overlap)


SIDE = st.integers(0, 12)


@given(st.tuples(SIDE, SIDE, SIDE, SIDE), st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_overlaps_counted_cell_by_cell(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    boxes = [Box(*(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))) for x1, y1, x2, y2 in (a, b)]
    cells = [
        {(x, y) for x in range(int(q.x1), int(q.x2)) for y in range(int(q.y1), int(q.y2))} for q in boxes
    ]
    union = len(cells[0] | cells[1])
    assert iou(*boxes) == pytest.approx(len(cells[0] & cells[1]) / union if union else 0.0)


def scored(
    text: str, target: str | tuple[str, ...], rule: Boxes, stop: str = "stop"
) -> tuple[float | None, str, float]:
    score = rule(Sample(id="q", target=target, meta=dict(PICTURE)), Prompt(), Reply(text=text, stop=stop))
    return score.value, score.verdict, round(score.parts["iou"], 6)


@table(
    ("text", "rule", "found"),
    [
        ("[100, 50, 300, 150]", Boxes(), (1.0, "right", 1.0)),
        ("[250, 250, 750, 750]", Boxes(scale="thousand"), (1.0, "right", 1.0)),
        ("[0.25, 0.25, 0.75, 0.75]", Boxes(scale="unit"), (1.0, "right", 1.0)),
        ("[0.25, 0.25, 0.75, 0.75]", Boxes(scale="thousand"), (1.0, "right", 1.0)),  # plainly shares
        ("[0.25, 0.25, 0.75, 0.75]", Boxes(), (1.0, "right", 1.0)),
        ("[250, 250, 750, 750]", Boxes(), (0.0, "wrong", 0.0)),  # thousandths where pixels were asked for
        ("[100, 50, 200, 100]", Boxes(form="xywh"), (1.0, "right", 1.0)),
        ("[50, 100, 150, 300]", Boxes(form="yxyx"), (1.0, "right", 1.0)),
        ("[300, 150, 100, 50]", Boxes(), (1.0, "right", 1.0)),  # corners the other way round
        ("[100, 50, 200, 150]", Boxes(), (1.0, "right", 0.5)),  # exactly half
        ("[100, 50, 199, 150]", Boxes(), (0.0, "wrong", 0.495)),
        ("[100, 50, 200, 150]", Boxes(threshold=0.75), (0.0, "wrong", 0.5)),
        ("[0, 0, 400, 200]", Boxes(), (0.0, "wrong", 0.25)),  # the whole picture
        ("[100, 50, 300, 150] or [0, 0, 1, 1]", Boxes(), (0.0, "wrong", 0.0)),  # the last one counts
        ("[0, 0, 1, 1], no: [100, 50, 300, 150]", Boxes(), (1.0, "right", 1.0)),
        ("I see no cat.", Boxes(), (0.0, "unanswered", 0.0)),
    ],
)  # fmt: skip
def test_one_rectangle(text: str, rule: Boxes, found: tuple[float, str, float]) -> None:
    assert scored(text, "100,50,300,150", rule) == found


TWO = ("0,0,100,100", "200,0,300,100")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[0,0,100,100] [200,0,300,100]", (1.0, "right", 1.0)),
        ("[200,0,300,100] [0,0,100,100]", (1.0, "right", 1.0)),  # any order
        ("[0,0,100,100]", (2 / 3, "graded", 0.5)),
        ("[0,0,100,100] [0,0,100,100]", (2 / 3, "graded", 0.5)),  # said twice
        (
            "[0,0,100,100] [200,0,300,100] [0,100,100,200] [300,100,400,200]",
            (2 / 3, "graded", 1.0),
        ),  # two too many
        ("[300,100,400,200]", (0.0, "wrong", 0.0)),
    ],
)
def test_several_rectangles(text: str, found: tuple[float, str, float]) -> None:
    value, verdict, overlap = scored(text, TWO, Boxes())
    assert (value, verdict, overlap) == (pytest.approx(found[0]), found[1], pytest.approx(found[2]))


def test_the_matching_is_the_best_and_not_the_first() -> None:
    golds = [Box(0, 0, 10, 10), Box(3, 0, 13, 10)]
    boxes = [Box(2, 0, 12, 10), Box(-4, 0, 6, 10)]
    assert matched_ious(golds, boxes) == pytest.approx([6 / 14, 9 / 11])


def test_two_sufficient_overlaps_are_better_than_a_perfect_one() -> None:
    golds = [Box(0, 0, 10, 10), Box(3, 0, 13, 10)]
    boxes = [Box(0, 0, 10, 10), Box(-3, 0, 7, 10)]  # 1 and 0.18, or 0.54 and 0.54
    assert matched_ious(golds, boxes) == pytest.approx([7 / 13, 7 / 13])
    assert matched_ious(golds, boxes, 0.75) == pytest.approx([1.0, 4 / 16])


def test_silence_and_gold_faults() -> None:
    assert scored("[0,0,1,1]", TWO, Boxes(), stop="filter")[1] == "refused"
    assert scored("", TWO, Boxes(), stop="length")[1] == "truncated"
    for target in ("1,2,3", "5,5,1,1", "a,b,c,d"):
        with pytest.raises(ValueError):  # noqa: PT011 - of the data, which the boundary words
            scored("[0,0,1,1]", target, Boxes())


def test_shares_that_were_not_asked_for_are_marked() -> None:
    sample = Sample(id="q", target="100,50,300,150", meta=dict(PICTURE))
    assert Boxes()(sample, Prompt(), Reply(text="[0.25, 0.25, 0.75, 0.75]")).suspect
    assert not Boxes(scale="unit")(sample, Prompt(), Reply(text="[0.25, 0.25, 0.75, 0.75]")).suspect
    assert not Boxes(scale="thousand")(sample, Prompt(), Reply(text="[0, 0, 1, 1]")).suspect


def test_metrics_of_grounding() -> None:
    overlaps = {"a": 1.0, "b": 0.6, "c": 0.5, "d": 0.49}
    points = [Point(n, 0, "", n, "right", 1.0, None, "", 0, {"iou": o}) for n, o in overlaps.items()]
    golds = {n: Gold("", n, "", 0) for n in (*overlaps, "e")}
    found = {m.name: estimate(points, m, golds, repeats=1) for m in grounding()}
    assert {n: e.value for n, e in found.items()} == {
        "acc@0.5": 0.75,
        "acc@0.75": 0.25,
        "mean_iou": pytest.approx(0.6475),
    }
    assert (found["acc@0.5"].worst, found["acc@0.5"].best) == (0.6, 0.8)
    assert [m.headline for m in grounding()] == [True, False, False]
