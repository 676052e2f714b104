"""MathVista: three recorded runs score as published, item by item; the official rule's defects; `strict`."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals import load
from evals.data import Data
from evals.scorers.text import edit_distance
from evals.scorers.upstream.mathvista import Official, Strict, format_number, nearest_option
from evals.suite import check
from evals.suites import mathvista
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tools.mirror import document


@pytest.mark.parametrize(
    ("model", "right"), [("bard", 348), ("llava_llama_2_13b", 261), ("random_guess", 179)]
)
def test_recorded_extractions_score_as_published(shared: Path, mirror: Path, model: str, right: int) -> None:
    folder = shared / "data" / "mathvista" / "outputs"
    samples = {s.id: s for s in mathvista._samples(Data(suite="mathvista", local=mirror))}
    rule, right_count = Official(), 0
    for name, row in document(folder / f"output_{model}.json.gz").items():
        score = rule(samples[name], Prompt(), Reply(text=row["extraction"]))
        if "true_false" in row:
            assert (score.value == 1.0) == row["true_false"], name
        right_count += score.value == 1.0
    assert right_count == right
    assert document(folder / f"scores_{model}.json")["average"]["correct"] in (right, str(right))


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "abc", 3), ("kitten", "sitting", 3), ("a", "a", 0), ("flaw", "lawn", 2)],
)
def test_edit_distance_is_symmetric(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == edit_distance(second, first) == distance


def test_known_defects_of_upstream_are_reproduced() -> None:
    choices = ("larger", "no", "smaller")
    assert nearest_option("I cannot tell.", choices) in range(3)  # every text has a nearest option
    assert nearest_option("A larger one", choices) == 0
    assert nearest_option("(c) smaller", choices) == 2
    assert format_number("7.9", "integer", 0) == "7"
    assert format_number("5 years", "integer", 0) is None
    assert format_number("inf", "integer", 0) is None


@pytest.mark.parametrize(
    ("meta", "gold", "text", "right"),
    [
        ({"answer_type": "integer"}, "7", "Answer: 7.9", False),
        ({"answer_type": "integer"}, "7", "Answer: 7 years", True),
        ({"answer_type": "integer"}, "7", "Answer: 7 or 8", False),
        ({"answer_type": "integer"}, "1250", "\\boxed{1,250}", True),
        ({"answer_type": "integer"}, "-3", "Answer: −3", True),
        ({"answer_type": "float", "precision": 1}, "1.2", "Answer: 1.24", True),
        ({"answer_type": "float", "precision": 1}, "1.2", "Answer: 1.3", False),
        ({"answer_type": "float", "precision": 2}, "0.0", "Answer: 0.004", True),
        ({"answer_type": "list"}, "[0, 2, 1]", "Answer: 0, 2, 1", True),
        ({"answer_type": "list"}, "[2014, 2016]", "Answer: [2016, 2014]", False),
        ({"answer_type": "integer"}, "7", "I count 7 of them, or so.", False),
    ],
)
def test_strict_requires_one_stated_number(
    meta: dict[str, object], gold: str, text: str, right: bool
) -> None:
    score = Strict()(Sample(id="x", target=gold, meta=meta), Prompt(), Reply(text=text))
    assert (score.value == 1.0) == right


def test_empty_replies_are_unanswered() -> None:
    sample = Sample(id="x", target="B", choices=("larger", "no"))
    assert Strict()(sample, Prompt(), Reply(text="")).verdict == "unanswered"
    assert Official()(sample, Prompt(), Reply(text=" ")).verdict == "unanswered"


@pytest.mark.parametrize("text", ["9" * 50_000, "1," * 25_000, "-" * 50_000, "(" * 50_000, "x" * 200_000])
def test_long_hostile_replies_are_scored_without_delay(text: str) -> None:
    for sample in (
        Sample(id="x", target="7", meta={"answer_type": "float"}),
        Sample(id="x", target="A", choices=("a", "b")),
    ):
        for rule in (Official(), Strict()):
            rule(sample, Prompt(), Reply(text=text))
            rule(sample, Prompt(), Reply(text=f"Answer: {text}"))


def test_gold_answers_get_full_marks(mirror: Path) -> None:
    for protocol in mathvista.BENCHMARK.protocol_names:
        result = check(*load.suite("mathvista", protocol), Data(suite="mathvista", local=mirror))
        assert (result.samples, result.faults) == (1000, ())


@pytest.mark.parametrize("protocol", mathvista.BENCHMARK.protocol_names)
def test_the_samples_run_end_to_end_with_their_images(tmp_path: Path, protocol: str) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "mathvista", "--sample", "-m", "scripted:call=tests.support.scripted_vision:without_box", "--protocol", protocol,
                    "--results", tmp_path, "--json")  # fmt: skip
    (run,) = outcome.json["runs"]
    # under a protocol with a judge, replies that the rule cannot read wait for it
    waiting = run["counts"].get("failed:waiting", 0)
    assert outcome.status == bool(waiting), outcome.err
    assert waiting == 0 or protocol.startswith(("intern-s1", "vlmevalkit"))
    assert run["counts"]["right"] == run["expected"] - waiting
    assert run["estimates"][0]["value"] == 1.0
