"""`--shots`: the number of few-shot examples is part of the protocol's name, by which runs are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals import load
from evals.data import Data
from evals.errors import DataError, UnknownName, UsageError
from evals.labels import ProtocolName
from evals.records import store
from evals.types import Sample, Text
from tests.support.command import evals
from tests.support.error_messages import assert_recorded, raises


def prompt(suite: str, protocol: str, group: str, data: Data | None = None) -> str:
    """Return the text of the prompt for an invented question of a group."""
    (loaded,) = load.suite(suite, protocol)
    sample = Sample(id="1", question=(Text("Which?"),), target="A", choices=("a", "b", "c", "d"), group=group)
    rendered = loaded.prompter(data or Data(suite=loaded.name, sample=True))(sample, 0)
    return "".join(
        part.text for message in rendered.messages for part in message.parts if isinstance(part, Text)
    )


@pytest.mark.parametrize(
    ("suite", "group", "marker"),
    [("mmlu-pro", "math", "\nOptions:\n"), ("chembench:4k", "Name_Conversion", "\nAnswer:")],
)
@pytest.mark.parametrize("shots", [0, 1])
def test_the_prompt_contains_the_requested_number_of_examples(
    suite: str, group: str, marker: str, shots: int
) -> None:
    text = prompt(suite, f"official+{shots}-shot", group)
    assert text.count(marker) == shots + 1
    assert ("each with its reasoning" in text) == (shots > 0 and suite == "mmlu-pro")


def test_the_official_number_of_shots_keeps_the_official_name() -> None:
    for suite in ("mmlu-pro", "chembench:4k"):
        assert [variant.protocol for variant in load.suite(suite, "official", shots=5)] == ["official"]
        assert [variant.protocol for variant in load.suite(suite, "official+5-shot")] == ["official"]
        assert [(variant.protocol, variant.shots) for variant in load.suite(suite, "official", shots=2)] == [
            ("official+2-shot", 2)
        ]
    assert load.suite("mmlu-pro", "strict")[0].shots is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("mmlu-pro", "strict", 3),
        ("chembench:4k", None, 3),
        ("chembench:lamalab", "official", 3),
        ("gpqa", "official", 0),
        ("mmlu-pro", "official", 6),
        ("mmlu-pro", "official+6-shot", None),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_unsupported_shots_give_a_one_line_message(arguments: tuple[str, str | None, int | None]) -> None:
    suite, protocol, shots = arguments
    with raises(UsageError):
        load.suite(suite, protocol, shots=shots)


@pytest.mark.parametrize(
    "name", ["official+x-shot", "official+-1-shot", "official+03-shot", "own+3-shot", "+3-shot"]
)
def test_malformed_names_are_unknown(name: str) -> None:
    with raises(UnknownName):
        load.suite("mmlu-pro", name)


def test_protocol_names_are_unchanged_by_parsing() -> None:
    for text in ("official", "official+0-shot", "intern-s1+4-shot~", "intern-s1~"):
        assert str(ProtocolName.parse(text)) == text


def test_local_data_with_too_few_examples_are_rejected(tmp_path: Path) -> None:
    row = '{"question_id": 1, "question": "Q?", "options": ["x", "y"], "answer": "A", "category": "math", "cot_content": "A: x"}'
    (tmp_path / "validation.jsonl").write_text(f"{row}\n{row}\n")
    data = Data(suite="mmlu-pro", local=tmp_path)
    assert prompt("mmlu-pro", "official+2-shot", "math", data).count("\nOptions:\n") == 3
    with raises(DataError):
        prompt("mmlu-pro", "official", "math", data)


def test_a_run_with_another_number_of_shots_has_another_protocol(here: Path) -> None:
    arguments = (
        "run",
        "mmlu-pro",
        "--sample",
        "--protocol",
        "official",
        "-m",
        "scripted:The answer is (A)",
        "--limit",
        "4",
    )
    official, one_shot = evals(*arguments), evals(*arguments, "--shots", "1")
    assert "1 few-shot example (--shots) instead of the number in official" in one_shot.err
    assert "--shots" not in official.err
    cards = [run.card for run in store.runs(here / "results")]
    assert sorted(card.config.protocol for card in cards) == ["official", "official+1-shot"]
    comparison = evals("compare", *(card.run for card in cards))
    assert comparison.status == 2
    assert_recorded(comparison.err.strip())
    rescored = evals("score", next(c.run for c in cards if "+" in c.config.protocol))
    assert rescored.status == 0, rescored.err
