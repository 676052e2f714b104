"""MMMU: upstream's rule on what upstream recorded, without its draw; strict beside it; pictures in their places."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from evals import load
from evals.data import Data
from evals.data.media import store_image
from evals.scorers.upstream.mmmu import Official, Strict, candidate_answers, read_option
from evals.suite import check
from evals.suites import mmmu
from evals.types import Media, Prompt, Reply, Sample, Text
from tests.support.command import evals
from tools.mirror import document

GUESSED = {"validation_Design_4": True, "validation_Psychology_4": False}
"""What upstream drew an option for, and whether its draw was lucky."""


def test_every_recorded_reply_that_upstream_reads_is_read_alike(shared: Path, mirror: Path) -> None:
    folder = shared / "data" / "mmmu" / "example_outputs" / "llava1.5_13b"
    drawn = document(folder / "total_val_output.json")
    samples = {s.id: s for s in mmmu._samples(Data(suite="mmmu", local=mirror))}
    judge, right, subjects = Official(), 0.0, defaultdict(float)
    expected = 0.0
    for output in sorted(folder.glob("*/output.json")):
        for row in document(output):
            sample = samples[row["id"]]
            score = judge(sample, Prompt(), Reply(text=row["response"]))
            right += score.value or 0.0
            subjects[sample.group] += score.value or 0.0
            if score.verdict == "unanswered":
                expected += 1 / len(sample.choices)
                assert (drawn[row["id"]] == sample.target) == GUESSED[row["id"]]
            elif sample.choices:
                assert score.answer == drawn[row["id"]], row["id"]
    assert len(subjects) == 30
    assert (right, expected) == (329.0, 0.5)
    assert round(right / 900, 4) == 0.3656
    assert round((right + expected) / 900, 4) == 0.3661
    assert round((right + sum(GUESSED.values())) / 900, 4) == 0.3667  # as upstream prints it, draws included


def test_the_import_reports_the_draws_expectation(shared: Path, mirror: Path, tmp_path: Path) -> None:
    import json

    folder = shared / "data" / "mmmu" / "example_outputs" / "llava1.5_13b"
    rows = [row for output in sorted(folder.glob("*/output.json")) for row in document(output)]
    replies = tmp_path / "replies.jsonl"
    replies.write_text("\n".join(json.dumps({"id": r["id"], "text": r["response"]}) for r in rows))
    found = evals("import", "replies", replies, "--suite", "mmmu", "--model", "llava-1.5-13b", "--protocol", "official",
                  "--data", mirror, "--results", tmp_path / "results", "--json")  # fmt: skip
    assert found.status == 0, found.err
    values = {e["metric"]: e["value"] for e in found.json["runs"][0]["estimates"] if not e["group"]}
    assert values["accuracy"] == pytest.approx(329 / 900)
    assert values["accuracy_guess"] == pytest.approx(329.5 / 900)


@pytest.mark.parametrize(
    ("text", "found"),
    [("(B)", "B"), ("B.", "B"), ("I say A then B", "B"), ("(A) or B", "A"), ("A cat", "A"), ("no idea", None),
     ("it should be the red one, I think", "A"), ("", None)],
)  # fmt: skip
def test_options_are_read_as_upstream_does(text: str, found: str | None) -> None:
    assert read_option(text, ("red", "green", "blue")) == found


def test_an_open_answer_is_found_anywhere_by_upstream_and_not_by_us() -> None:
    sample = Sample(id="x", target="60")
    loose, tight = Official(), Strict()
    assert (
        loose(sample, Prompt(), Reply(text="The year is 1960x")).value == 0.0
    )  # "60" as a number is not in it
    assert (
        loose(Sample(id="x", target="ion"), Prompt(), Reply(text="It is a question")).value == 1.0
    )  # a defect
    assert tight(Sample(id="x", target="ion"), Prompt(), Reply(text="Answer: a question")).value == 0.0
    assert candidate_answers("so 1,234.5 it is 7") >= {7.0}


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [("12%", "Answer: 12", True), ("12%", "Answer: 0.12", False), ("0.5", "Answer: 0.52", True), ("0.5", "Answer: .6", False),
     ("1,250", "\\boxed{1250}", True), ("Renaissance", "**Answer:** renaissance.", True), ("8", "It might be 8 or 9", False)],
)  # fmt: skip
def test_strict_compares_numbers_by_the_digits_of_the_gold_one(gold: str, text: str, right: bool) -> None:
    assert (Strict()(Sample(id="x", target=gold), Prompt(), Reply(text=text)).value == 1.0) == right


@pytest.mark.parametrize(
    "text", ["9" * 50_000 + "x", "so " * 20_000, "1," * 25_000, "\n" * 40_000 + "=", "-" * 50_000]
)
def test_hostile_replies_are_judged_at_once(text: str) -> None:
    for sample in (Sample(id="x", target="7"), Sample(id="x", target="A", choices=("a", "b"))):
        Official()(sample, Prompt(), Reply(text=text))
        Strict()(sample, Prompt(), Reply(text=text))


def test_gold_answers_score_full_marks(mirror: Path) -> None:
    for protocol in mmmu.BENCHMARK.protocol_names:
        found = check(*load.suite("mmmu", protocol), Data(suite="mmmu", local=mirror))
        assert (found.samples, found.faults) == (900, ())


def test_pictures_stand_where_the_question_names_them(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "mmmu").mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (8, 8 * number)).save(tmp_path / "mmmu" / f"{number}.png")
    row = {
        "id": "validation_Art_1", "question": "Is <image 2> like <image 1>?", "options": "['yes', '<image 3>']",
        "answer": "A", **{f"image_{n}": f"{n}.png" for n in (1, 2, 3)},
    }  # fmt: skip
    data = Data(suite="mmmu", local=tmp_path, media=tmp_path / "media")
    parts = list(mmmu._question_parts(data, row, ("yes", "<image 3>")))
    shown = [part.height if isinstance(part, Media) else part.text for part in parts]
    assert shown == ["Is <image 2>", 16, " like <image 1>", 8, "?", "\n<image 3>", 24]
    assert store_image(tmp_path / "media", (tmp_path / "mmmu" / "1.png").read_bytes()) in parts
    assert all(
        isinstance(part, Text) for part in mmmu._question_parts(Data(suite="mmmu", local=tmp_path), row, ())
    )


@pytest.mark.parametrize("protocol", mmmu.BENCHMARK.protocol_names)
def test_the_samples_go_the_whole_way_with_their_pictures(tmp_path: Path, protocol: str) -> None:
    pytest.importorskip("PIL")
    found = evals("run", "mmmu", "--sample", "-m", "scripted:call=tests.support.scripted_vision:without_box", "--protocol", protocol,
                  "--results", tmp_path, "--json")  # fmt: skip
    assert found.status == 0, found.err
    assert found.json["runs"][0]["estimates"][0]["value"] == 1.0
