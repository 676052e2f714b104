"""GQA, VizWiz, TextVQA, OCR-VQA, DocVQA, InfographicVQA: VLMEvalKit's rules, stated answers, data layouts, and complete runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from evals import load, short_answers
from evals.data import Data
from evals.errors import DataError
from evals.prompts import plain_text
from evals.scorers.short_answers import StatedShortAnswer
from evals.scorers.upstream.vqa import Anls, VqaScore, WholeReply, anls, normalise_answer, vqa_score
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.tables import table

SUITES = ("gqa", "vizwiz", "textvqa", "ocrvqa", "docvqa", "infovqa")
TEN_ANSWERS = ("paris",) * 8 + ("Paris, France", "rome")


@table(
    ("text", "expected"),
    [
        ("The Eiffel-Tower!", "eiffel tower"),
        ("two  cats", "2 cats"),
        ("None", "0"),
        ("3,000 (about)", "3000 about"),  # with a comma between digits, all punctuation is removed
        ("left/right", "left right"),
        ("left / right", "left right"),
        ("U.S.A.", "usa"),
        ("2.5 m.", "2.5 m"),
        ("dont", "don't"),
        ("y'alld've", "y'all'd've"),
        ("somebody'd", "somebodyd"),
        ("a", ""),
        ("a\nb\tc", "b c"),
        (". " * 33, "."),  # DEFECT: only 32 full stops are removed
    ],
)
def test_answers_are_normalised_as_by_upstream(text: str, expected: str) -> None:
    assert normalise_answer(text) == expected


@pytest.mark.parametrize(
    ("golds", "text", "value"),
    [
        (TEN_ANSWERS, "Paris", 1.0),
        (TEN_ANSWERS, "the Paris.", 1.0),
        (TEN_ANSWERS, "The answer is Paris.", 0.0),  # the whole reply is compared
        (TEN_ANSWERS, "rome", 0.3),
        (("x",) * 3 + ("y",) * 7, "x", pytest.approx(0.9)),
        (("x",) * 4 + ("y",) * 6, "x", 1.0),
        (("x", "x") + ("y",) * 8, "x", pytest.approx(0.6)),
        (("x",), "x", 0.0),  # no other annotator agrees
        (("the",) * 10, "", 1.0),  # DEFECT: an article is normalised to an empty answer
    ],
)
def test_full_credit_requires_agreement_with_three_of_the_other_annotators(
    golds: tuple[str, ...], text: str, value: object
) -> None:
    assert vqa_score(golds, text) == value


@pytest.mark.parametrize(
    ("golds", "text", "value"),
    [
        (("Hale",), "hale", 1.0),
        (("R. Hale",), "R Hale", pytest.approx(1 - 1 / 7)),
        (("R. Hale", "Hale"), "hale", 1.0),
        (("Hale",), "Hall", 0.75),
        (("Hale",), "Halo x", pytest.approx(0.5)),
        (("Hale",), "Hugh", 0.0),
        (("ab",), "a", 0.5),
        (("abc",), "ab" + " " * 30, pytest.approx(1 - 1 / 32)),  # DEFECT: blanks raise the score
        (("x",), "y" * 20_000, 0.0),
    ],
)
def test_similarity_below_one_half_scores_zero(golds: tuple[str, ...], text: str, value: object) -> None:
    assert anls(golds, text) == value


@table(
    ("rule", "gold", "text", "whole", "stated"),
    [
        ("text", "yes", "Yes", 1, 1),
        ("text", "yes", "Yes.", 0, 1),
        ("text", "yes", "The answer is yes.", 0, 1),
        ("text", "yes", "The lamp is lit. So no.\nAnswer: yes", 0, 1),
        ("text", "yes", "no", 0, 0),
        ("text", "blue", "Let me think. First things first.\n\nblue", 0, 1),
        ("text", "yes", "## Solution\n\nSome steps.\n\n**yes**", 0, 1),
        ("text", "green", "red\n\nWait, that is wrong.\n\ngreen", 0, 1),
        ("text", ("Ada Brook", "A. Brook"), "A. Brook", 1, 1),
        ("vqa", TEN_ANSWERS, "The answer is Paris.", 0, 1),
        ("vqa", TEN_ANSWERS, "paris", 1, 1),
        ("vqa", ("unanswerable",) * 10, "unanswerable", 1, 1),
        ("vqa", ("unanswerable",) * 10, "Answer: unanswerable", 0, 1),
        ("anls", "R. Hale", "Answer: R. Hale", 0, 1),
        ("anls", "Hale", "The answer is **Hale**.", 0, 1),
    ],
)
def test_a_sentence_around_the_answer_is_wrong_for_whole_replies_and_right_for_stated_answers(
    rule: Any, gold: Any, text: str, whole: int, stated: int
) -> None:
    sample, reply = Sample(id="1", target=gold), Reply(text=text)
    scorers = (short_answers.RULES[rule][1], StatedShortAnswer(rule))
    assert [scorer(sample, Prompt(), reply).value for scorer in scorers] == [whole, stated]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "scorer", [VqaScore(), WholeReply(), Anls(), *map(StatedShortAnswer, ("vqa", "text", "anls"))]
)
def test_empty_truncated_filtered_and_long_replies_get_no_credit(scorer: Any) -> None:
    sample = Sample(id="1", target=TEN_ANSWERS)
    assert scorer(sample, Prompt(), Reply(text="")).verdict == "unanswered"
    assert scorer(sample, Prompt(), Reply(text="", stop="length")).verdict == "truncated"
    assert scorer(sample, Prompt(), Reply(text="paris", stop="filter")).verdict == "refused"
    for text in ("x" * 200_000, "." * 19_000, "a " * 9_000, ", " * 9_000, "1," * 9_000):
        assert scorer(sample, Prompt(), Reply(text=text)).value == 0.0


def test_a_sentence_without_an_answer_is_unanswered() -> None:
    for text in (
        "I'm sorry, but I can't help with that request.",
        "That is a hard question, and I am not sure at all.",
    ):
        score = StatedShortAnswer("text")(Sample(id="1", target="yes"), Prompt(), Reply(text=text))
        assert (score.value, score.verdict) == (0.0, "unanswered")


def test_the_span_of_an_answer_on_the_last_line_is_its_position_in_the_reply() -> None:
    text = "First things first.\nThen.\n\nblue"
    score = StatedShortAnswer("text")(Sample(id="1", target="blue"), Prompt(), Reply(text=text))
    assert score.span is not None
    assert (text[slice(*score.span)], score.verdict) == ("blue", "right")


def test_an_empty_reply_that_agrees_with_an_article_is_suspect() -> None:
    score = VqaScore()(Sample(id="1", target=("a",) * 10), Prompt(), Reply(text=""))
    assert (score.value, score.verdict, score.suspect) == (1.0, "unanswered", True)


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("protocol", ["strict", "official~", "qwen2-vl~"])
def test_a_run_reports_the_scores_of_whole_replies_and_of_stated_answers(
    tmp_path: Path, name: str, protocol: str
) -> None:
    pytest.importorskip("PIL")
    protocol = "official" if (name, protocol) == ("vizwiz", "official~") else protocol
    outcome = evals("run", name, "--sample", "-m", "scripted:The answer is yes.", "--protocol", protocol,
                    "--results", tmp_path, "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    metric = load.suite(name, protocol)[0].headline.name
    second_metric = f"{metric}_{'whole' if protocol == 'strict' else 'stated'}"
    values = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
    assert set(values) == {metric, second_metric}
    assert run["coverage"] == 1.0
    assert list(tmp_path.glob("*/media/*"))
    if name == "gqa":  # one of the sample questions is answered by "yes"
        assert min(values.values()) == 0.0 < max(values.values())


def test_prompts_of_vizwiz_are_those_of_upstream() -> None:
    data = Data(suite="vizwiz", sample=True)
    (suite,) = load.suite("vizwiz", "official")
    sample = next(iter(suite.samples(data)))
    assert plain_text(suite.prompter(data)(sample, 0).messages[0].parts) == plain_text(sample.question)
    if not short_answers.INTERNVL.fault():
        (suite,) = load.suite("vizwiz", "internvl")
        assert plain_text(suite.prompter(data)(sample, 0).messages[0].parts).endswith(
            "single word or phrase."
        )


def png(colour: str) -> bytes:
    pil_image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    pil_image.new("RGB", (32, 24), colour).save(stream, "PNG")
    return stream.getvalue()


HUB_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "vizwiz": ("val", {"question_id": "v1.jpg", "question": "What?", "answers": list(TEN_ANSWERS), "category": "other"}),
    "textvqa": ("validation", {"question_id": 34602, "image_id": "0054", "question": "What?", "answers": list(TEN_ANSWERS), "ocr_tokens": ["x"]}),
    "docvqa": ("DocVQA/validation", {"questionId": "49153", "question": "What?", "question_types": ["form"], "docId": 14465, "answers": ["0.28"]}),
    "infovqa": ("InfographicVQA/validation", {"questionId": "98313", "question": "What?", "answers": ["4", "four"], "answer_type": ["single span"], "image_url": "https://x/y.jpeg"}),
    "ocrvqa:test": ("test", {"image_id": "0001", "questions": ["What?", "Who?"], "answers": ["A Title", "A. Author"], "genre": "Science"}),
}  # fmt: skip


@pytest.mark.parametrize("spec", HUB_ROWS)
def test_parquet_files_of_the_hub_are_read(tmp_path: Path, spec: str) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    stem, row = HUB_ROWS[spec]
    name = spec.partition(":")[0]
    path = tmp_path / name / f"{stem}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row | {"image": {"bytes": png("red"), "path": "x.png"}}]), path)
    (suite,) = load.suite(spec, "strict")
    samples = list(suite.samples(Data(suite=name, local=tmp_path, media=tmp_path / "media")))
    assert len(samples) == len(row.get("questions", [1]))
    first = samples[0]
    assert isinstance(first.question[0], Media)
    assert (first.question[0].width, plain_text(first.question)) == (32, "What?")
    assert first.target == {"vizwiz": TEN_ANSWERS, "textvqa": TEN_ANSWERS, "docvqa": "0.28", "infovqa": ("4", "four"), "ocrvqa:test": "A Title"}[spec]  # fmt: skip
    assert first.group == {"vizwiz": "other", "textvqa": "", "docvqa": "form", "infovqa": "single span", "ocrvqa:test": "Science"}[spec]  # fmt: skip


def test_gqa_joins_questions_and_images_of_the_hub(tmp_path: Path) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    questions = [
        {"id": "201", "imageId": "n1", "question": "Is it red?", "answer": "yes", "types": {"structural": "verify"}},
        {"id": "202", "imageId": "n2", "question": "Which colour?", "answer": "blue", "types": {"structural": "query"}},
    ]  # fmt: skip
    images = [
        {"id": name, "image": {"bytes": png(colour), "path": None}}
        for name, colour in (("n2", "blue"), ("n1", "red"))
    ]
    for config, rows in (("instructions", questions), ("images", images)):
        path = tmp_path / "gqa" / f"testdev_balanced_{config}" / "testdev-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    (suite,) = load.suite("gqa", "strict")
    data = Data(suite="gqa", local=tmp_path, media=tmp_path / "media")
    first, second = suite.samples(data)
    assert (first.group, first.cluster, second.target) == ("verify", "n1", "blue")
    assert first.question[0] != second.question[0]
    assert all(isinstance(sample.question[0], Media) for sample in (first, second))
    pq.write_table(pa.Table.from_pylist(images[:1]), path)
    with raises(DataError):
        list(suite.samples(data))


def test_tables_of_vlmevalkit_are_read(tmp_path: Path) -> None:
    import base64

    image = base64.b64encode(png("red")).decode()
    table = tmp_path / "TextVQA_VAL.tsv"
    golds = str(list(TEN_ANSWERS)).replace('"', '""')
    table.write_text(f'index\timage\tquestion\tanswer\n7\t{image}\tWhat?\t"{golds}"\n', encoding="utf-8")
    (suite,) = load.suite("textvqa", "strict")
    (sample,) = suite.samples(Data(suite="textvqa", local=table, media=tmp_path / "media"))
    assert (sample.id, sample.target) == ("7", TEN_ANSWERS)
    testcore = tmp_path / "OCRVQA_TESTCORE.tsv"
    testcore.write_text(f"index\timage\tquestion\tanswer\n1\t{image}\tWho?\tAda\n", encoding="utf-8")
    (suite,) = load.suite("ocrvqa", "strict")
    (sample,) = suite.samples(Data(suite="ocrvqa", local=testcore, media=tmp_path / "media"))
    assert (sample.id, sample.target) == ("1", "Ada")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("textvqa", {"question": "What?"}),
        ("docvqa", {"question": "What?", "answers": []}),
        ("gqa", {"question": "What?"}),
    ],
    ids=["textvqa", "docvqa", "gqa"],
)
def test_invalid_rows_are_reported_in_one_line(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps(row))
    (suite,) = load.suite(name, "strict")
    with raises(DataError):
        list(suite.samples(Data(suite=name, local=tmp_path / "items.jsonl")))


def test_a_book_cover_with_more_questions_than_answers_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(
        json.dumps({"image_id": "c", "questions": ["a", "b"], "answers": ["x"]})
    )
    (suite,) = load.suite("ocrvqa:test", "strict")
    with raises(DataError):
        list(suite.samples(Data(suite="ocrvqa", local=tmp_path / "test.jsonl")))


def test_for_a_subset_that_is_not_on_the_hub_the_message_names_the_file(tmp_path: Path) -> None:
    outcome = evals("run", "ocrvqa", "-m", "scripted:x", "--results", tmp_path)
    outcome.assert_usage_error()


def test_samples_without_enough_agreement_are_unsolvable() -> None:
    solvable = Sample(id="1", target=("x",) * 3 + ("y",) * 3 + ("z",) * 4)
    unsolvable = Sample(id="1", target=("x",) * 3 + ("y",) * 3 + ("z",) * 2 + ("u", "v"))
    assert short_answers.too_little_agreement(solvable) == ""
    assert short_answers.too_little_agreement(unsolvable) != ""
