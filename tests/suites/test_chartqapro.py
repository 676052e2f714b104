"""ChartQAPro: the official rule with its defects, `strict`, prompts by question type, and invalid data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.scorers.upstream.chartqapro import Published, Strict, split_gold
from evals.suites import chartqapro
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.tables import table


def _sample(gold: str, *, kind: str = "Factoid", years: tuple[str, ...] = ("NO",)) -> Sample:
    return Sample(id="1", target=gold, group=kind, meta={"years": list(years)})


@table(
    ("gold", "text", "official", "strict"),
    [
        ("100", "105", 1, 1),
        ("100", "105.1", 0, 0),
        ("0", "0.0", 1, 1),
        ("0", "0.04", 0, 1),
        ("12%", "12", 1, 1),
        ("1250", "1,250", pytest.approx(0.8), 1),  # ANLS of two numbers
        ("1950", "1900", 1, 1),  # not marked as a year in the data
        ("Brazil", "Brasil", pytest.approx(5 / 6), 0),
        ("Brazil", "Chile", 0, 0),
        ("false", "falsey", pytest.approx(5 / 6), 0),
        ("b", "b", 1, 1),
        ("b", "c", 0, 0),
        ("unanswerable", "unanswerable", 1, 1),
        ("[P, S]", "['P', 'S']", 1, 1),
        ("[P, S]", "['S', 'P']", 0, 1),
        ("[P, S]", "['P']", 0.5, 0),
        ("[P, S]", "['P', 'S', 'Q']", pytest.approx(2 / 3), 0),
        ("[P, S]", "[\u2019P\u2019, \u2019S\u2019]", 0, 1),  # the quotes that the prompt shows
        ("[New York, Rome]", "['New York', 'Rome']", pytest.approx((1 - 1 / 8 + 1) / 2), 1),
        ("[12.5, 13]", "[12.5, 13.2]", 1, 1),
        ("[1,000, 3]", "[1,000, 3]", pytest.approx(1.0), 1),
    ],
)
def test_replies_are_scored_under_official_and_strict(
    gold: str, text: str, official: object, strict: int
) -> None:
    assert Published()(_sample(gold), Prompt(), Reply(text=text)).value == official
    assert Strict()(_sample(gold), Prompt(), Reply(text=f"Because.\nAnswer: {text}")).value == strict


def test_years_must_be_exact_if_the_data_mark_them() -> None:
    for rule, reply_format in ((Published(), "{}"), (Strict(), "Answer: {}")):
        for years, text, value in (("NO", "2011", 1.0), ("YES", "2011", 0.0), ("YES", "2012", 1.0)):
            assert (
                rule(_sample("2012", years=(years,)), Prompt(), Reply(text=reply_format.format(text))).value
                == value
            )
    sample = _sample("2012", kind="Conversational", years=("YES", "NO"))
    assert Published()(sample, Prompt(), Reply(text="2011")).value == 1.0


def test_the_official_rule_compares_the_whole_reply_even_with_reasoning() -> None:
    text = "The bars are 3 and 4 high. The answer is 7"
    assert Published()(_sample("7"), Prompt(), Reply(text=text)).value == 0.0
    assert Strict()(_sample("7"), Prompt(), Reply(text=text)).value == 1.0


def test_empty_replies_are_unanswered_and_filtered_ones_refused() -> None:
    for rule in (Published(), Strict()):
        assert rule(_sample("7"), Prompt(), Reply(text="")).verdict == "unanswered"
        assert rule(_sample("7"), Prompt(), Reply(text="7", stop="filter")).verdict == "refused"


@pytest.mark.parametrize(
    "text", ["[" * 1_999, "(" * 1_999, "['a'," * 400, "[9" + "9" * 1_900 + "]", "[1j, {}]", "[a\x00]"]
)
def test_replies_that_look_like_lists_are_parsed_safely(text: str) -> None:
    assert Published()(_sample("7"), Prompt(), Reply(text=text)).value == 0.0
    assert split_gold(text)


def test_prompts_depend_on_the_question_type_and_contain_earlier_turns() -> None:
    def prompts_by_type(protocol: str) -> dict[str, str]:
        suite = chartqapro.BENCHMARK.suite("", protocol)
        data = Data(suite="chartqapro", sample=True)
        prompter = suite.prompter(data)
        return {s.group: str(prompter(s, 0).messages[0].parts[-1].text) for s in suite.samples(data)}

    direct, with_reasoning = prompts_by_type("official"), prompts_by_type("official-cot")
    assert set(direct) == set(chartqapro.QUESTION_TYPES)
    assert "one letter: a, b, c or d" in direct["Multi Choice"]
    assert "Conversation: ['At which position is the greatest value?', '4']" in direct["Conversational"]
    assert all("answer alone" in text for text in direct.values())
    assert all("The answer is X" in text for text in with_reasoning.values())


ROW = {
    "question": "['How many?']",
    "answer": "['7']",
    "question_type": "Factoid",
    "year": "['NO']",
    "paragraph": "",
}


def test_rows_of_vlmevalkit_are_read(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(ROW))
    data = Data(suite="chartqapro", local=tmp_path / "test.jsonl")
    (sample,) = chartqapro.BENCHMARK.suite("", "official").samples(data)
    assert (sample.target, sample.group, sample.meta["years"]) == ("7", "Factoid", ["NO"])


@pytest.mark.parametrize(
    "change",
    [
        {"question_type": "Riddle"},
        {"answer": "7"},
        {"answer": "[open('x')]"},
        {"year": None},
        {"answer": "['7', '8']"},
    ],
    ids=["question type", "number", "expression", "no year", "two answers"],
)
def test_invalid_rows_are_reported_in_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({**ROW, **change}))
    outcome = evals(
        "run",
        "chartqapro",
        "--data",
        tmp_path / "test.jsonl",
        "-m",
        "scripted:7",
        "--results",
        tmp_path / "r",
    )
    outcome.assert_usage_error()
    assert not (tmp_path / "r").exists() or not list((tmp_path / "r").rglob("*.jsonl"))
