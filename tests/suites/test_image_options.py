"""MSEarth, XLRS-Bench and MicroVQA: the published readings case by case, both layouts of the data, whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evals.data import Data
from evals.errors import DataError
from evals.extract.upstream.letters import (
    answer_msearth,
    letters_all_distinct,
    letters_xlrs,
    option_msearth,
)
from evals.prompts import plain_text
from evals.suite import checked_samples
from evals.suites import microvqa, msearth, xlrs
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [
    json.loads(line) for line in (TESTS / "cases" / "image_options.jsonl").read_text("utf-8").splitlines()
]


def split(text: str) -> list[str | None] | None:
    answer = answer_msearth(text)
    return None if answer is None else list(option_msearth(answer))


RULES = {
    "letters_xlrs": letters_xlrs,
    "letters_all_distinct": letters_all_distinct,
    "microvqa": lambda text: microvqa.digit_after_answer_is(text, 9),
    "msearth": split,
}


@table("case", CASES, ids=lambda case: f"{case['rule']}: {case['why']}")
def test_readings(case: dict[str, Any]) -> None:
    assert RULES[case["rule"]](case["text"]) == case["read"]


@pytest.mark.parametrize(
    "text", ["{" * 50_000, "a" * 50_000, "```json\n" * 5_000, "(" * 50_000, "answer is " * 5_000]
)
def test_hostile_replies_are_read_in_no_time(text: str) -> None:
    for rule in RULES.values():
        rule(text)


def value(suite: Any, sample: Sample, text: str) -> float | None:
    (scorer,) = suite.scorers.values()
    return getattr(scorer, "rule", scorer)(sample, Prompt(), Reply(text=text)).value


ONE = Sample(id="1", target="B", choices=("Aquifer 1", "Aquifer 2", "Aquifer 3", "None"), group="t")
BOTH = Sample(
    id="2", target=("A", "D"), choices=("Road", "Airport", "Lake", "Town"), group=xlrs.MULTIPLE_ANSWER_TASK
)


@table(
    ("module", "sample", "text", "official", "strict"),
    [
        (msearth, ONE, '{"answer": "B"}', 1.0, 1.0),
        (msearth, ONE, "b", 0.0, 1.0),  # letters are compared as they are written
        (msearth, ONE, '{"answer": "Aquifer 2"}', 1.0, 1.0),
        (msearth, ONE, "ANSWER: B", 0.0, 1.0),
        (msearth, ONE, "Reasoning first.\nANSWER: B", 0.0, 1.0),
        (xlrs, ONE, "Answer: B", 0.0, 1.0),  # states A, B and E
        (xlrs, ONE, "\\boxed{B}", 0.0, 1.0),
        (xlrs, ONE, "(B)", 1.0, 1.0),
        (xlrs, BOTH, "A D", 1.0, 1.0),
        (xlrs, BOTH, "A", 0.0, 0.0),
        (xlrs, BOTH, "ANSWER: A, D", 0.0, 1.0),
        (xlrs, BOTH, "ANSWER: A, B, D", 0.0, 0.0),
        (xlrs, BOTH, "Road and Dam", 1.0, 0.0),  # a, d and D
        (microvqa, ONE, "The answer is (2).", 1.0, 0.0),
        (microvqa, ONE, "The answer is (B).", 0.0, 1.0),
        (microvqa, ONE, "The answer is 2 um wide", 1.0, 0.0),
    ],
)
def test_published_and_mended(
    module: ModuleType, sample: Sample, text: str, official: float, strict: float
) -> None:
    variant = next(iter(module.BENCHMARK.variants))
    assert value(module.BENCHMARK.suite(variant, "official"), sample, text) == official
    assert value(module.BENCHMARK.suite(variant, "strict"), sample, text) == strict


def test_xlrs_with_a_judge_decides_what_upstream_takes_for_letters_and_leaves_the_rest() -> None:
    suite = xlrs.BENCHMARK.suite("lite", "intern-s1")
    assert value(suite, ONE, "B") == 1.0
    assert value(suite, ONE, "Red") == 0.0  # D, E and R
    assert value(suite, ONE, "The answer is B") is None


def rows(tmp_path: Path, name: str, *found: dict[str, Any]) -> Data:
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return Data(suite=name, local=tmp_path)


def read(module: ModuleType, data: Data) -> list[Sample]:
    return list(checked_samples(module.BENCHMARK.suite(), data))


def test_msearth_reads_the_hubs_text_and_vlmevalkits_table(tmp_path: Path) -> None:
    query = "<image> Caption: Options: none. Question: Which?\nOptions:\nA. one\nB. two\nC. three\nD. four"
    (hub,) = read(
        msearth, rows(tmp_path, "msearth", {"question_id": "q-7", "query": query, "response": "B. two"})
    )
    table = {
        "index": 7,
        "question": "Caption: c\nQuestion: Which?",
        "answer": "B",
        "A": "one",
        "B": "two",
        "C": "three",
        "D": "four",
    }
    (other,) = read(msearth, rows(tmp_path, "msearth", table))
    assert (hub.id, other.id) == ("q-7", "7")
    assert hub.choices == other.choices == ("one", "two", "three", "four")
    assert hub.target == other.target == "B"
    assert plain_text(hub.question) == "Caption: Options: none. Question: Which?"


def test_xlrs_reads_the_hubs_lists_and_the_copys_text(tmp_path: Path) -> None:
    listed = ["(A) Road", "(B) Airport", "(C) Lake", "(D) Town"]
    base = {"index": 3, "question": "Which? ", "answer": "A D"}
    (hub,) = read(
        xlrs,
        rows(
            tmp_path, "xlrs", {**base, "category": xlrs.MULTIPLE_ANSWER_TASK, "multi-choice options": listed}
        ),
    )
    text = (
        "The choices are listed below:\n" + "\n".join(listed) + "\n\nSelect the best answer.\nThe answer is:"
    )
    (copy,) = read(xlrs, rows(tmp_path, "xlrs", {
        **base, "category": xlrs.MULTIPLE_ANSWER_TASK.partition("/")[0], "l2-category": xlrs.MULTIPLE_ANSWER_TASK.partition("/")[2], "multi-choice options": text}))  # fmt: skip
    assert (hub.id, copy.id) == (f"{xlrs.MULTIPLE_ANSWER_TASK}/3", "3")
    assert hub.target == copy.target == ("A", "D")
    assert hub.choices == copy.choices == ("Road", "Airport", "Lake", "Town")
    assert hub.group == copy.group == xlrs.MULTIPLE_ANSWER_TASK
    assert (
        plain_text(xlrs._official_prompt(copy, 0).messages[0].parts) == "Which? " + text
    )  # the data set's own words
    assert "separated by spaces" in plain_text(xlrs._official_prompt(hub, 0).messages[0].parts)


def test_xlrs_copy_lies_in_parts(tmp_path: Path) -> None:
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
    assert [s.id for s in read(xlrs, Data(suite="xlrs", local=tmp_path))] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("module", "name", "row", "says"),
    [
        (msearth, "msearth", {"query": "q\nOptions:\nA. x\nB. y", "response": "C. z"}, "not one of its 2 choices"),
        (msearth, "msearth", {"question": "q"}, "lacks column query"),
        (xlrs, "xlrs", {"index": 1, "category": "c", "question": "?", "answer": "E", "multi-choice options": ["(A) x", "(B) y"]}, "not one of its 2"),
        (xlrs, "xlrs", {"index": 1, "category": "c", "question": "?", "answer": "A", "multi-choice options": ["(A) x", "(C) y"]}, "C ...: A, C"),
        (microvqa, "microvqa", {"key_question": "k", "question": "?", "choices": ["x"], "correct_index": 1}, "not an index of its 1 option"),
    ],
)  # fmt: skip
def test_faulty_rows_are_refused_in_one_line(
    tmp_path: Path, module: ModuleType, name: str, row: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read(module, rows(tmp_path, name, row))
    assert "\n" not in str(caught.value)


def test_a_table_of_vlmevalkit_is_read_with_its_images(tmp_path: Path) -> None:
    (tmp_path / "msearth").mkdir()
    wide = "x" * 200_000  # a cell wider than Python's csv allows by itself
    (tmp_path / "msearth" / "MSEarthMCQ.tsv").write_text(
        f'index\tquestion\tA\tB\tanswer\timage\n5\t"Which,\nhere?"\tone\ttwo\tB\t{wide}\n'
    )
    (sample,) = read(msearth, Data(suite="msearth", local=tmp_path))
    assert (sample.id, sample.target, sample.choices) == ("5", "B", ("one", "two"))
    assert plain_text(sample.question) == "Which,\nhere?"


@pytest.mark.parametrize("suite", ["msearth", "xlrs", "microvqa"])
@pytest.mark.parametrize("protocol", ["strict", "official", "intern-s1"])
def test_the_samples_run_with_their_pictures(tmp_path: Path, suite: str, protocol: str) -> None:
    pytest.importorskip("PIL")
    found = evals("run", suite, "--sample", "-m", f"scripted:call=tests.support.scripted_experts:{suite}_{protocol.replace('-', '_')}",
                  "--protocol", protocol, "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    assert found.status == 0, found.err
    (run,) = found.json["runs"]
    assert run["counts"] == {"right": 9}
    (headline,) = [e for e in run["estimates"] if e["headline"]]
    assert (headline["metric"], headline["value"]) == (
        "accuracy_macro" if suite == "xlrs" else "accuracy",
        pytest.approx(1.0),
    )
    assert len(list(tmp_path.glob("*/media/*"))) >= 2


def test_several_images_are_sent_in_order(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for module, name in ((xlrs, "xlrs"), (microvqa, "microvqa")):
        samples = read(module, Data(suite=name, sample=True, media=tmp_path))
        two = next(s for s in samples if sum(isinstance(p, Media) for p in s.question) == 2)
        asked = module.BENCHMARK.suite(next(iter(module.BENCHMARK.variants)), "strict").prompter(
            Data(suite=name, sample=True)
        )(two, 0)
        assert [type(part).__name__ for part in asked.messages[0].parts] == ["Media", "Media", "Text"]
