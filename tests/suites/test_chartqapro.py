"""ChartQAPro: the published rule with its defects, the mended one, prompts by type, and bad data."""

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
    ("gold", "text", "published", "mended"),
    [
        ("100", "105", 1, 1),
        ("100", "105.1", 0, 0),
        ("0", "0.0", 1, 1),
        ("0", "0.04", 0, 1),
        ("12%", "12", 1, 1),
        ("1250", "1,250", pytest.approx(0.8), 1),  # ANLS of two numbers
        ("1950", "1900", 1, 1),  # the data do not call it a year
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
def test_the_published_rule_and_the_mended_one(gold: str, text: str, published: object, mended: int) -> None:
    assert Published()(_sample(gold), Prompt(), Reply(text=text)).value == published
    assert Strict()(_sample(gold), Prompt(), Reply(text=f"Because.\nAnswer: {text}")).value == mended


def test_years_are_exact_where_the_data_say_so() -> None:
    for rule, form in ((Published(), "{}"), (Strict(), "Answer: {}")):
        for years, text, value in (("NO", "2011", 1.0), ("YES", "2011", 0.0), ("YES", "2012", 1.0)):
            assert (
                rule(_sample("2012", years=(years,)), Prompt(), Reply(text=form.format(text))).value == value
            )
    last = _sample("2012", kind="Conversational", years=("YES", "NO"))
    assert Published()(last, Prompt(), Reply(text="2011")).value == 1.0


def test_a_chain_of_thought_is_scored_with_the_rule_for_bare_answers() -> None:
    text = "The bars are 3 and 4 high. The answer is 7"
    assert Published()(_sample("7"), Prompt(), Reply(text=text)).value == 0.0
    assert Strict()(_sample("7"), Prompt(), Reply(text=text)).value == 1.0


def test_silence_and_filters_are_no_answers() -> None:
    for rule in (Published(), Strict()):
        assert rule(_sample("7"), Prompt(), Reply(text="")).verdict == "unanswered"
        assert rule(_sample("7"), Prompt(), Reply(text="7", stop="filter")).verdict == "refused"


@pytest.mark.parametrize(
    "text", ["[" * 1_999, "(" * 1_999, "['a'," * 400, "[9" + "9" * 1_900 + "]", "[1j, {}]", "[a\x00]"]
)
def test_a_reply_is_no_program(text: str) -> None:
    assert Published()(_sample("7"), Prompt(), Reply(text=text)).value == 0.0
    assert split_gold(text)


def test_each_type_has_its_prompt_and_a_conversation_its_turns() -> None:
    def asked(protocol: str) -> dict[str, str]:
        suite = chartqapro.BENCHMARK.suite("", protocol)
        data = Data(suite="chartqapro", sample=True)
        prompter = suite.prompter(data)
        return {s.group: str(prompter(s, 0).messages[0].parts[-1].text) for s in suite.samples(data)}

    direct, reasoned = asked("official"), asked("official-cot")
    assert set(direct) == set(chartqapro.QUESTION_TYPES)
    assert "one letter: a, b, c or d" in direct["Multi Choice"]
    assert "Conversation: ['At which position is the greatest value?', '4']" in direct["Conversational"]
    assert all("answer alone" in text for text in direct.values())
    assert all("The answer is X" in text for text in reasoned.values())


ROW = {
    "question": "['How many?']",
    "answer": "['7']",
    "question_type": "Factoid",
    "year": "['NO']",
    "paragraph": "",
}


def test_the_table_of_vlmevalkit_gives_the_same_samples(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(ROW))
    data = Data(suite="chartqapro", local=tmp_path / "test.jsonl")
    (sample,) = chartqapro.BENCHMARK.suite("", "official").samples(data)
    assert (sample.target, sample.group, sample.meta["years"]) == ("7", "Factoid", ["NO"])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"question_type": "Riddle"}, "0: question type 'Riddle' is not one of Factoid, Multi Choice"),
        ({"answer": "7"}, "0: column 'answer' is not a list or is empty"),
        ({"answer": "[open('x')]"}, "0: column 'answer' is not a list or is empty"),
        ({"year": None}, "0: column 'year' is not a list or is empty"),
        ({"answer": "['7', '8']"}, "0: 1 question, but 2 answers"),
    ],
)
def test_a_row_of_another_form_is_one_line(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({**ROW, **changed}))
    done = evals(
        "run",
        "chartqapro",
        "--data",
        tmp_path / "test.jsonl",
        "-m",
        "scripted:7",
        "--results",
        tmp_path / "r",
    )
    assert done.status == 2
    assert says in done.error_line
    assert not (tmp_path / "r").exists() or not list((tmp_path / "r").rglob("*.jsonl"))
