"""MSEarth, XLRS-Bench and MicroVQA: the authors' rules case by case, both layouts of the data, and complete runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import structs

from evals.data import Data
from evals.errors import DataError, Waiting
from evals.extract.upstream.letters import (
    answer_msearth,
    letters_xlrs,
    option_msearth,
)
from evals.prompts import plain_text
from evals.suite import checked_samples
from evals.suites import microvqa, msearth, physics, xlrs
from evals.types import Media, Prompt, Reply, Sample, Text
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [
    json.loads(line) for line in (TESTS / "cases" / "image_options.jsonl").read_text("utf-8").splitlines()
]


def read_msearth(text: str) -> list[str | None] | None:
    answer = answer_msearth(text)
    return None if answer is None else list(option_msearth(answer))


RULES = {
    "letters_xlrs": letters_xlrs,
    "microvqa": lambda text: microvqa.digit_after_answer_is(text, 9),
    "msearth": read_msearth,
}


@table("case", CASES, ids=lambda case: f"{case['rule']}: {case['why']}")
def test_replies_are_read_as_in_the_table(case: dict[str, Any]) -> None:
    assert RULES[case["rule"]](case["text"]) == case["read"]


@pytest.mark.parametrize(
    "text", ["{" * 50_000, "a" * 50_000, "```json\n" * 5_000, "(" * 50_000, "answer is " * 5_000]
)
def test_long_hostile_replies_are_read_without_delay(text: str) -> None:
    for rule in RULES.values():
        rule(text)


def score_value(suite: Any, sample: Sample, text: str) -> float | None:
    (scorer,) = suite.scorers.values()
    return getattr(scorer, "rule", scorer)(sample, Prompt(), Reply(text=text)).value


ONE_RIGHT = Sample(id="1", target="B", choices=("Aquifer 1", "Aquifer 2", "Aquifer 3", "None"), group="t")
TWO_RIGHT = Sample(
    id="2", target=("A", "D"), choices=("Road", "Airport", "Lake", "Town"), group=xlrs.MULTIPLE_ANSWER_TASK
)


@table(
    ("module", "sample", "text", "official", "strict"),
    [
        (msearth, ONE_RIGHT, '{"answer": "B"}', 1.0, 1.0),
        (msearth, ONE_RIGHT, "b", 0.0, 1.0),  # letters are compared as they are written
        (msearth, ONE_RIGHT, '{"answer": "Aquifer 2"}', 1.0, 1.0),
        (msearth, ONE_RIGHT, "ANSWER: B", 0.0, 1.0),
        (msearth, ONE_RIGHT, "Reasoning first.\nANSWER: B", 0.0, 1.0),
        (xlrs, ONE_RIGHT, "Answer: B", 0.0, 1.0),  # read as A, B and E
        (xlrs, ONE_RIGHT, "\\boxed{B}", 0.0, 1.0),
        (xlrs, ONE_RIGHT, "(B)", 1.0, 1.0),
        (xlrs, TWO_RIGHT, "A D", 1.0, 1.0),
        (xlrs, TWO_RIGHT, "A", 0.0, 0.0),
        (xlrs, TWO_RIGHT, "ANSWER: A, D", 0.0, 1.0),
        (xlrs, TWO_RIGHT, "ANSWER: A, B, D", 0.0, 0.0),
        (xlrs, TWO_RIGHT, "Road and Dam", 1.0, 0.0),  # the letters a, d and D are read
        (microvqa, ONE_RIGHT, "The answer is (2).", 1.0, 0.0),
        (microvqa, ONE_RIGHT, "The answer is (B).", 0.0, 1.0),
        (microvqa, ONE_RIGHT, "The answer is 2 um wide", 1.0, 0.0),
    ],
)
def test_replies_are_scored_under_official_and_strict(
    module: ModuleType, sample: Sample, text: str, official: float, strict: float
) -> None:
    variant = next(iter(module.BENCHMARK.variants))
    assert score_value(module.BENCHMARK.suite(variant, "official"), sample, text) == official
    assert score_value(module.BENCHMARK.suite(variant, "strict"), sample, text) == strict


def test_xlrs_with_a_judge_sends_it_every_reply() -> None:
    (scorer,) = xlrs.BENCHMARK.suite("lite", "intern-s1").scorers.values()
    for text in ("B", "The answer is B"):
        with pytest.raises(Waiting):
            asyncio.run(scorer(ONE_RIGHT, Prompt(), Reply(text=text)))


def test_only_microvqa_and_msearth_send_the_authors_prompt_before_the_images() -> None:
    parts = [Media(kind="image", media_type="image/png", sha256="0" * 64), Text("What is shown?")]
    sample = structs.replace(ONE_RIGHT, question=tuple(parts))
    for module, is_text_first in ((microvqa, True), (msearth, True), (xlrs, False)):
        protocol = module.BENCHMARK.protocols["official"]
        (message,) = protocol.prompt(structs.replace(sample, meta={"shown": ""}), 0).messages
        assert isinstance(message.parts[0], Text) == is_text_first


def write_rows(tmp_path: Path, name: str, *rows: dict[str, Any]) -> Data:
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Data(suite=name, local=tmp_path)


def read_samples(module: ModuleType, data: Data) -> list[Sample]:
    return list(checked_samples(module.BENCHMARK.suite(), data))


def test_msearth_rows_of_the_hub_and_of_vlmevalkit_are_read(tmp_path: Path) -> None:
    query = "<image> Caption: Options: none. Question: Which?\nOptions:\nA. one\nB. two\nC. three\nD. four"
    (hub,) = read_samples(
        msearth, write_rows(tmp_path, "msearth", {"question_id": "q-7", "query": query, "response": "B. two"})
    )
    vlmevalkit_row = {
        "index": 7,
        "question": "Caption: c\nQuestion: Which?",
        "answer": "B",
        "A": "one",
        "B": "two",
        "C": "three",
        "D": "four",
    }
    (vlmevalkit,) = read_samples(msearth, write_rows(tmp_path, "msearth", vlmevalkit_row))
    assert (hub.id, vlmevalkit.id) == ("q-7", "7")
    assert hub.choices == vlmevalkit.choices == ("one", "two", "three", "four")
    assert hub.target == vlmevalkit.target == "B"
    assert plain_text(hub.question) == "Caption: Options: none. Question: Which?"


def test_xlrs_rows_of_the_hub_and_of_vlmevalkit_are_read(tmp_path: Path) -> None:
    option_list = ["(A) Road", "(B) Airport", "(C) Lake", "(D) Town"]
    base = {"index": 3, "question": "Which? ", "answer": "A D"}
    (hub,) = read_samples(
        xlrs,
        write_rows(
            tmp_path,
            "xlrs",
            {**base, "category": xlrs.MULTIPLE_ANSWER_TASK, "multi-choice options": option_list},
        ),
    )
    text = (
        "The choices are listed below:\n"
        + "\n".join(option_list)
        + "\n\nSelect the best answer.\nThe answer is:"
    )
    (vlmevalkit,) = read_samples(xlrs, write_rows(tmp_path, "xlrs", {
        **base, "category": xlrs.MULTIPLE_ANSWER_TASK.partition("/")[0], "l2-category": xlrs.MULTIPLE_ANSWER_TASK.partition("/")[2], "multi-choice options": text}))  # fmt: skip
    assert (hub.id, vlmevalkit.id) == (f"{xlrs.MULTIPLE_ANSWER_TASK}/3", "3")
    assert hub.target == vlmevalkit.target == ("A", "D")
    assert hub.choices == vlmevalkit.choices == ("Road", "Airport", "Lake", "Town")
    assert hub.group == vlmevalkit.group == xlrs.MULTIPLE_ANSWER_TASK
    # VLMEvalKit's row contains the instruction
    assert plain_text(xlrs._official_prompt(vlmevalkit, 0).messages[0].parts) == "Which? " + text
    assert "separated by spaces" in plain_text(xlrs._official_prompt(hub, 0).messages[0].parts)


def test_xlrs_reads_vlmevalkits_rows_from_several_files(tmp_path: Path) -> None:
    (tmp_path / "xlrs").mkdir()
    for part in range(3):
        row = {
            "index": part,
            "category": "a",
            "l2-category": "b",
            "question": "?",
            "multi-choice options": "(A) x\n(B) y",
            "answer": "A",
        }
        (tmp_path / "xlrs" / f"XLRS-Bench-lite_part{part}.jsonl").write_text(json.dumps(row) + "\n")
    assert [s.id for s in read_samples(xlrs, Data(suite="xlrs", local=tmp_path))] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("module", "name", "row"),
    [
        pytest.param(msearth, "msearth", {"query": "q\nOptions:\nA. x\nB. y", "response": "C. z"}, id="msearth: gold answer"),
        pytest.param(msearth, "msearth", {"question": "q"}, id="msearth: columns"),
        pytest.param(xlrs, "xlrs", {"index": 1, "category": "c", "question": "?", "answer": "E", "multi-choice options": ["(A) x", "(B) y"]}, id="xlrs: gold answer"),
        pytest.param(xlrs, "xlrs", {"index": 1, "category": "c", "question": "?", "answer": "A", "multi-choice options": ["(A) x", "(C) y"]}, id="xlrs: option letters"),
        pytest.param(microvqa, "microvqa", {"key_question": "k", "question": "?", "choices": ["x"], "correct_index": 1}, id="microvqa: gold answer"),
    ],
)  # fmt: skip
def test_invalid_rows_are_reported_in_one_line(
    tmp_path: Path, module: ModuleType, name: str, row: dict[str, Any]
) -> None:
    with raises(DataError):
        read_samples(module, write_rows(tmp_path, name, row))


def test_a_table_of_vlmevalkit_is_read_with_its_images(tmp_path: Path) -> None:
    (tmp_path / "msearth").mkdir()
    cell = "x" * 200_000  # longer than the default field limit of Python's csv module
    (tmp_path / "msearth" / "MSEarthMCQ.tsv").write_text(
        f'index\tquestion\tA\tB\tanswer\timage\n5\t"Which,\nhere?"\tone\ttwo\tB\t{cell}\n'
    )
    (sample,) = read_samples(msearth, Data(suite="msearth", local=tmp_path))
    assert (sample.id, sample.target, sample.choices) == ("5", "B", ("one", "two"))
    assert plain_text(sample.question) == "Which,\nhere?"


@pytest.mark.parametrize("suite", ["msearth", "xlrs", "microvqa"])
@pytest.mark.parametrize("protocol", ["strict", "official", "intern-s1"])
def test_the_samples_run_end_to_end_with_their_images(tmp_path: Path, suite: str, protocol: str) -> None:
    pytest.importorskip("PIL")
    judge = ("--judge", "scripted:call=tests.support.scripted_experts:lenient_judge")
    outcome = evals("run", suite, "--sample", "-m", f"scripted:call=tests.support.scripted_experts:{suite}_{protocol.replace('-', '_')}",
                    "--protocol", protocol, "--results", tmp_path, "--run", "r", "--json",
                    *(judge if (suite, protocol) == ("xlrs", "intern-s1") else ()))  # fmt: skip
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    assert run["counts"] == {"right": 9}
    (headline,) = [estimate for estimate in run["estimates"] if estimate["headline"]]
    assert (headline["metric"], headline["value"]) == (
        "accuracy_macro" if suite == "xlrs" else "accuracy",
        pytest.approx(1.0),
    )
    assert len(list(tmp_path.glob("*/media/*"))) >= 2


def test_several_images_are_numbered_under_intern_s1() -> None:
    images = [Media(kind="image", media_type="image/png", sha256=digit * 64) for digit in "01"]
    sample = structs.replace(ONE_RIGHT, question=(*images, Text("What is shown?")), meta={"shown": ""})
    for module in (microvqa, xlrs, physics):
        protocol = module.BENCHMARK.protocols["intern-s1"]
        (message,) = protocol.prompt(sample, 0).messages
        assert message.parts[:6] == (
            Text("Image-1: "), images[0], Text("\n"), Text("Image-2: "), images[1], Text("\n")
        )  # fmt: skip
        assert len(message.parts) == 7


def test_several_images_are_sent_before_the_text(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for module, name in ((xlrs, "xlrs"), (microvqa, "microvqa")):
        samples = read_samples(module, Data(suite=name, sample=True, media=tmp_path))
        sample = next(s for s in samples if sum(isinstance(part, Media) for part in s.question) == 2)
        prompt = module.BENCHMARK.suite(next(iter(module.BENCHMARK.variants)), "strict").prompter(
            Data(suite=name, sample=True)
        )(sample, 0)
        assert [type(part).__name__ for part in prompt.messages[0].parts] == ["Media", "Media", "Text"]
