"""MMMU: the official rule, without upstream's random choices, on recorded replies; the rule `strict`; images within the text."""

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

RANDOM_CHOICES = {"validation_Design_4": True, "validation_Psychology_4": False}
"""Sample for which upstream chose an option at random -> whether the choice was right."""


def test_recorded_replies_are_read_as_upstream_read_them(shared: Path, mirror: Path) -> None:
    folder = shared / "data" / "mmmu" / "example_outputs" / "llava1.5_13b"
    recorded = document(folder / "total_val_output.json")
    samples = {s.id: s for s in mmmu._samples(Data(suite="mmmu", local=mirror))}
    rule, right, right_by_subject = Official(), 0.0, defaultdict(float)
    expected_right_guesses = 0.0
    for output in sorted(folder.glob("*/output.json")):
        for row in document(output):
            sample = samples[row["id"]]
            score = rule(sample, Prompt(), Reply(text=row["response"]))
            right += score.value or 0.0
            right_by_subject[sample.group] += score.value or 0.0
            if score.verdict == "unanswered":
                expected_right_guesses += 1 / len(sample.choices)
                assert (recorded[row["id"]] == sample.target) == RANDOM_CHOICES[row["id"]]
            elif sample.choices:
                assert score.answer == recorded[row["id"]], row["id"]
    assert len(right_by_subject) == 30
    assert (right, expected_right_guesses) == (329.0, 0.5)
    assert round(right / 900, 4) == 0.3656
    assert round((right + expected_right_guesses) / 900, 4) == 0.3661
    # as upstream reports it, with its random choices
    assert round((right + sum(RANDOM_CHOICES.values())) / 900, 4) == 0.3667


def test_an_import_reports_the_expected_accuracy_with_upstreams_random_choices(
    shared: Path, mirror: Path, tmp_path: Path
) -> None:
    import json

    folder = shared / "data" / "mmmu" / "example_outputs" / "llava1.5_13b"
    rows = [row for output in sorted(folder.glob("*/output.json")) for row in document(output)]
    replies = tmp_path / "replies.jsonl"
    replies.write_text("\n".join(json.dumps({"id": r["id"], "text": r["response"]}) for r in rows))
    outcome = evals("import", "replies", replies, "--suite", "mmmu", "--model", "llava-1.5-13b", "--protocol", "official",
                    "--data", mirror, "--results", tmp_path / "results", "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    values = {e["metric"]: e["value"] for e in outcome.json["runs"][0]["estimates"] if not e["group"]}
    assert values["accuracy"] == pytest.approx(329 / 900)
    assert values["accuracy_guess"] == pytest.approx(329.5 / 900)


@pytest.mark.parametrize(
    ("text", "letter"),
    [("(B)", "B"), ("B.", "B"), ("I say A then B", "B"), ("(A) or B", "A"), ("A cat", "A"), ("no idea", None),
     ("it should be the red one, I think", "A"), ("", None)],
)  # fmt: skip
def test_options_are_read_as_upstream_reads_them(text: str, letter: str | None) -> None:
    assert read_option(text, ("red", "green", "blue")) == letter


def test_official_searches_for_open_answers_anywhere_in_the_reply_and_strict_does_not() -> None:
    official, strict = Official(), Strict()
    sixty, ion = Sample(id="x", target="60"), Sample(id="x", target="ion")
    # numbers are compared as a whole
    assert official(sixty, Prompt(), Reply(text="The year is 1960x")).value == 0.0
    assert (
        official(ion, Prompt(), Reply(text="It is a question")).value == 1.0
    )  # a defect of upstream: "question" contains "ion"
    assert strict(ion, Prompt(), Reply(text="Answer: a question")).value == 0.0
    assert candidate_answers("so 1,234.5 it is 7") >= {7.0}


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [("12%", "Answer: 12", True), ("12%", "Answer: 0.12", False), ("0.5", "Answer: 0.52", True), ("0.5", "Answer: .6", False),
     ("1,250", "\\boxed{1250}", True), ("Renaissance", "**Answer:** renaissance.", True), ("8", "It might be 8 or 9", False)],
)  # fmt: skip
def test_strict_compares_numbers_at_the_precision_of_the_gold_answer(
    gold: str, text: str, right: bool
) -> None:
    assert (Strict()(Sample(id="x", target=gold), Prompt(), Reply(text=text)).value == 1.0) == right


@pytest.mark.parametrize(
    "text", ["9" * 50_000 + "x", "so " * 20_000, "1," * 25_000, "\n" * 40_000 + "=", "-" * 50_000]
)
def test_long_hostile_replies_are_scored_without_delay(text: str) -> None:
    for sample in (Sample(id="x", target="7"), Sample(id="x", target="A", choices=("a", "b"))):
        Official()(sample, Prompt(), Reply(text=text))
        Strict()(sample, Prompt(), Reply(text=text))


def test_gold_answers_get_full_marks(mirror: Path) -> None:
    for protocol in mmmu.BENCHMARK.protocol_names:
        result = check(*load.suite("mmmu", protocol), Data(suite="mmmu", local=mirror))
        assert (result.samples, result.faults) == (900, ())


def test_images_are_placed_where_the_question_refers_to_them(tmp_path: Path) -> None:
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
    heights_and_texts = [part.height if isinstance(part, Media) else part.text for part in parts]
    assert heights_and_texts == ["Is <image 2>", 16, " like <image 1>", 8, "?", "\n<image 3>", 24]
    assert store_image(tmp_path / "media", (tmp_path / "mmmu" / "1.png").read_bytes()) in parts
    assert all(
        isinstance(part, Text) for part in mmmu._question_parts(Data(suite="mmmu", local=tmp_path), row, ())
    )


@pytest.mark.parametrize("protocol", mmmu.BENCHMARK.protocol_names)
def test_the_samples_run_end_to_end_with_their_images(tmp_path: Path, protocol: str) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "mmmu", "--sample", "-m", "scripted:call=tests.support.scripted_vision:without_box", "--protocol", protocol,
                    "--results", tmp_path, "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert outcome.json["runs"][0]["estimates"][0]["value"] == 1.0
