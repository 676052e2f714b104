"""RefCOCO: how four evaluators read a rectangle, both layouts of the data, complete runs, and the mean of eight splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.data import Data
from evals.errors import DataError
from evals.prompts import plain_text
from evals.scorers.upstream.grounding import RULES, UpstreamBox
from evals.suites import refcoco
from evals.types import Media, Prompt, Reply, Sample
from tests.suites.test_short_answers import png
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.tables import table

GOLD = "[100, 100, 300, 400]"
SAMPLE = Sample(id="1", target=GOLD, meta={"width": 500, "height": 500})
PIXELS, FRACTIONS, THOUSANDTHS = "100, 100, 300, 400", "0.2, 0.2, 0.6, 0.8", "200, 200, 600, 800"
EVALUATORS = ("optmerge-qwen", "lmms-eval", "internvl", "vlmevalkit")


@table(
    ("text", "right"),
    [
        (f"[{FRACTIONS}]", "1111"),
        (f"[{THOUSANDTHS}]", "1011"),
        (f"[{PIXELS}]", "0000"),  # read as thousandths
        (f"[[{THOUSANDTHS}]]", "1011"),
        (f"({FRACTIONS})", "1001"),
        ("(0.2, 0.2), (0.6, 0.8)", "1001"),
        (f"<ref>a cup</ref><box>[[{THOUSANDTHS}]]</box>", "1011"),
        (f"box: {FRACTIONS}", "0001"),
        ("[0.2 0.2 0.6 0.8]", "0001"),
        ("[0.6, 0.8, 0.2, 0.2]", "0001"),  # corners in the wrong order
        (f"[0, 0, 0.1, 0.1] no: [{FRACTIONS}]", "0000"),  # the first rectangle counts
        # for InternVL, the first field after the bracket is not a number
        (f"[near the door] [{FRACTIONS}]", "1101"),
        (f"[near the door]\n[{FRACTIONS}]", "1111"),
        ("[0.2, 0.2, 0.6, 0.8 ]", "1111"),
        (f"It is object 1: {FRACTIONS}", "0000"),  # the first number that is read is 1
        ("no rectangle", "0000"),
        ("[nan, 0, 1, 1]", "0000"),
    ],
)
def test_rectangles_are_read_as_each_evaluator_reads_them(text: str, right: str) -> None:
    scores = [UpstreamBox(rule)(SAMPLE, Prompt(), Reply(text=text)) for rule in EVALUATORS]  # type: ignore[arg-type]
    assert "".join(str(int(score.value or 0)) for score in scores) == right
    assert all(0 <= score.parts["iou"] <= 1 for score in scores)


@table("rule", EVALUATORS)
@table(
    "text",
    ["[" * 200_000, "[," * 100_000, "[1 " * 60_000, "1" * 200_000, "[" + "9" * 200_000, "(1, 2), (" * 20_000, "[\n" * 90_000, "[1" + " " * 150_000],
)  # fmt: skip
def test_long_hostile_replies_are_read_without_delay(rule: str, text: str) -> None:
    assert UpstreamBox(rule)(SAMPLE, Prompt(), Reply(text=text)).value == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", EVALUATORS)
def test_empty_filtered_and_truncated_replies_have_their_own_verdicts(rule: Any) -> None:
    scorer = UpstreamBox(rule)
    assert scorer(SAMPLE, Prompt(), Reply(text="")).verdict == "unanswered"
    assert scorer(SAMPLE, Prompt(), Reply(text=f"[{FRACTIONS}]", stop="filter")).verdict == "refused"
    assert scorer(SAMPLE, Prompt(), Reply(text="[0.2, 0.", stop="length")).verdict == "truncated"
    assert scorer(SAMPLE, Prompt(), Reply(text="no idea")).verdict == "wrong"
    assert set(RULES) == set(EVALUATORS)


def test_every_phrase_in_a_row_of_the_hub_is_a_sample(tmp_path: Path) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    row = {"question_id": "469306", "image": {"bytes": png("red"), "path": None}, "question": "Describe it.",
           "answer": ["left cup", "cup"], "bbox": [2.0, 4.0, 20.5, 10.0], "file_name": "COCO_1_0.jpg"}  # fmt: skip
    for folder, name in (
        (tmp_path / "refcoco" / "RefCOCO", "val"),
        (tmp_path / "refcoco" / "RefCOCOg", "test"),
    ):
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([row, row]), folder / f"{name}-00000-of-00001.parquet")
    for spec in ("refcoco:val", "refcoco:g-test"):
        (suite,) = load.suite(spec, "strict")
        samples = list(suite.samples(Data(suite="refcoco", local=tmp_path, media=tmp_path / "media")))
        assert [sample.id for sample in samples] == [f"469306-{n}" for n in range(4)]
        first = samples[0]
        assert (first.target, first.cluster) == ("[2, 4, 22.5, 14]", "COCO_1_0.jpg")
        assert first.meta == {"width": 32, "height": 24}
        assert isinstance(first.question[0], Media)
        assert [plain_text(sample.question) for sample in samples[:2]] == ["left cup", "cup"]


def test_rectangles_in_files_of_internvl_are_read_as_corners(tmp_path: Path) -> None:
    (tmp_path / "cup.png").write_bytes(png("red"))
    row = {"image": "cup.png", "sent": "the cup", "bbox": [2, 4, 22, 14], "width": 32, "height": 24}
    (tmp_path / "refcoco+_testB.jsonl").write_text(json.dumps(row))
    (suite,) = load.suite("refcoco:plus-testB", "strict")
    (sample,) = suite.samples(Data(suite="refcoco", local=tmp_path))
    assert (sample.target, plain_text(sample.question)) == ("[2, 4, 22, 14]", "the cup")


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 0, 3]},
        {"bbox": [1, 2, "inf", 3]},
        {"answer": []},
        {"width": None},
        {"width": 0, "image": "items.jsonl"},
    ],
    ids=["three numbers", "width 0", "infinite", "no answer", "missing image", "unknown size"],
)
def test_invalid_rows_are_reported_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {
        "question_id": "7",
        "image": "missing.png",
        "answer": ["cup"],
        "bbox": [1, 2, 3, 4],
        "width": 9,
        "height": 9,
    }
    (tmp_path / "items.jsonl").write_text(json.dumps(row | change))
    (suite,) = load.suite("refcoco:val", "strict")
    with raises(DataError):
        list(suite.samples(Data(suite="refcoco", local=tmp_path / "items.jsonl")))


@pytest.mark.parametrize("protocol", refcoco.BENCHMARK.protocols)
def test_the_samples_run_end_to_end(tmp_path: Path, protocol: str) -> None:
    pytest.importorskip("PIL")
    protocol = protocol if protocol == "strict" else f"{protocol}~"
    outcome = evals("run", "refcoco:val", "refcoco:g-test", "--sample", "-m", "scripted:[0.0833, 0.1667, 0.3333, 0.5]",
                    "--protocol", protocol, "--results", tmp_path, "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    for run in outcome.json["runs"]:
        values = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
        assert set(values) == {"acc@0.5", "acc@0.75", "mean_iou"}
        assert values["acc@0.5"] == 0.4  # right for the square of one scene and for the circle of the other


def test_the_mean_of_the_eight_splits_requires_all_of_them(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    options = (
        "--sample",
        "-m",
        "scripted:[0.0833, 0.1667, 0.3333, 0.5]",
        "--protocol",
        "vlmevalkit~",
        "--results",
        tmp_path,
    )
    evals("run", "refcoco", *options)
    (mean,) = evals("show", "--results", tmp_path, "--json").json["aggregates"]
    assert mean["value"] is None
    assert mean["missing"] == ["plus-val", "plus-testA", "plus-testB", "g-val", "g-test"]
    evals("run", "refcoco:plus", "refcoco:g", *options)
    (mean,) = evals("show", "--results", tmp_path, "--json").json["aggregates"]
    assert (mean["name"], mean["value"], mean["missing"]) == ("avg", pytest.approx(0.4), [])
