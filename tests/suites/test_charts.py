"""ChartQA and MMStar: the official rules with their defects, `strict`, and runs on the sample items."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.data import Data
from evals.scorers.chart import Relaxed, Stated
from evals.scorers.upstream.chartmoe import ChartMoE
from evals.suites import chartqa, mmstar
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.tables import table


@table(
    ("gold", "text", "official", "strict"),
    [
        ("100", "105", True, True),
        ("100", "105.1", False, False),
        ("100", "95", True, True),
        ("-4", "-4.1", True, True),
        ("0", "0.0", False, True),
        ("0", "0.04", False, True),
        ("0", "0.06", False, False),
        ("12", "12%", False, True),
        ("12%", "12", False, True),
        ("12%", "0.12", True, True),
        ("2012", "1999", True, False),
        ("2012", "2012", True, True),
        ("1250", "1,250", False, True),
        ("1250", "$1,250", False, True),
        ("5", "5 apples", False, True),
        ("5", "5 or 6", False, False),
        ("Yes", "yes", True, True),
        ("Yes", "Yes.", False, True),
        ("Brazil", "Chile", False, False),
        ("7", "nan", False, False),
        ("7", "inf", False, False),
    ],
)
def test_relaxed_accuracy_is_computed_under_official_and_strict(
    gold: str, text: str, official: bool, strict: bool
) -> None:
    sample = Sample(id="x", target=gold)
    assert (Relaxed()(sample, Prompt(), Reply(text=text)).value == 1.0) == official
    assert (Stated()(sample, Prompt(), Reply(text=f"Because.\nAnswer: {text}")).value == 1.0) == strict


@table(
    ("gold", "text", "value"),
    [
        ("100", "105", 1), ("100", "105.1", 0), ("-4", "4", 1), ("12%", "12", 1), ("0.12", "12%", 0), ("1,250", "1250", 1),
        ("0", "0.04", 1), ("0", "0.06", 0), ("2012", "1999", 1), ("7", "Of 2 bars, 7", 0), ("7", "The sum is 7.", 1),
        ("7", "Seven", 0), ("Yes", "yes, it is", 1), ("North", "unknown", 1), ("light blue", "blue", 1),
        ("blue", "light blue", 0), ("Brazil", "Chile", 0), ("7", "1.2.3", 0),
    ],
)  # fmt: skip
def test_relaxed_accuracy_is_computed_as_by_chartmoe(gold: str, text: str, value: int) -> None:
    score = ChartMoE()(Sample(id="x", target=gold), Prompt(), Reply(text=text))
    assert (score.value, score.verdict) == (value, "right" if value else "wrong")


@pytest.mark.parametrize("gold", ["Brazil", "7"])
def test_chartmoe_scores_an_empty_reply_1_with_the_verdict_unanswered(gold: str) -> None:
    score = ChartMoE()(Sample(id="x", target=gold), Prompt(), Reply(text=" "))
    assert (score.value, score.verdict, score.suspect) == (1.0, "unanswered", True)
    assert "it is a substring of every target" in score.why
    filtered = ChartMoE()(Sample(id="x", target="Brazil"), Prompt(), Reply(text="", stop="filter"))
    assert (filtered.value, filtered.verdict) == (0.0, "refused")


def test_chartmoe_reports_three_tolerances_and_begins_with_the_short_answer_instruction(
    tmp_path: Path,
) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "chartqa", "--sample", "-m", "scripted:5.4", "--protocol", "chartmoe", "--results", tmp_path, "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    for run in outcome.json["runs"]:
        values = {
            estimate["metric"]: estimate["value"] for estimate in run["estimates"] if not estimate["group"]
        }
        assert values["accuracy"] < values["accuracy_10"] <= values["accuracy_20"]
    suite = chartqa.BENCHMARK.suite("human", "chartmoe")
    data = Data(suite="chartqa", sample=True)
    sample = next(iter(suite.samples(data)))
    assert suite.prompter(data)(sample, 0).messages[0].parts[-1].text.startswith(chartqa.SHORT_ANSWER)
    assert suite.sampling.max_tokens == 500


def test_the_tolerance_is_an_option() -> None:
    sample = Sample(id="x", target="100")
    assert Relaxed(tolerance=0.1)(sample, Prompt(), Reply(text="109")).value == 1.0
    assert Stated(tolerance=0.0)(sample, Prompt(), Reply(text="Answer: 101")).value == 0.0
    assert repr(Stated(tolerance=0.1)) == "Stated(tolerance=0.1)"  # so the card records it


def test_the_official_rule_does_not_find_the_answer_after_reasoning() -> None:
    sample = Sample(id="x", target="7")
    reply = Reply(text="The bars are 3 and 4 high.\nAnswer: 7")
    assert (Relaxed()(sample, Prompt(), reply).value, Stated()(sample, Prompt(), reply).value) == (0.0, 1.0)


@pytest.mark.parametrize("text", ["9" * 50_000, "1," * 50_000, "$ " * 50_000, "%" * 50_000, "- " * 50_000])
def test_long_hostile_replies_are_scored_without_delay(text: str) -> None:
    for scorer in (Relaxed(), Stated()):
        scorer(Sample(id="x", target="7"), Prompt(), Reply(text=text))
        scorer(Sample(id="x", target="7"), Prompt(), Reply(text=f"Answer: {text}"))


@pytest.mark.parametrize(
    ("text", "letter"),
    [("B", "B"), ("(b) green", "B"), ("Option C", "C"), ("The answer is D.", "D"), ("A cat is seen", "A"),
     ("I think B", None), ("**B**", None), ("", None)],
)  # fmt: skip
def test_the_official_rule_of_mmstar_reads_only_the_beginning(text: str, letter: str | None) -> None:
    assert mmstar.beginning(text, 4) == letter


def test_sample_ids_name_the_part_of_chartqa() -> None:
    data = Data(suite="chartqa", sample=True)
    human, augmented = ([s.id for s in chartqa._samples(data, part)] for part in chartqa.BENCHMARK.variants)
    assert human == [f"human-{n}" for n in range(len(human))]
    assert augmented == [f"augmented-{n}" for n in range(len(augmented))]
    assert min(len(human), len(augmented)) >= 8


@pytest.mark.parametrize("suite", ["mmstar", "chartqa"])
@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_the_samples_run_end_to_end_with_their_images(tmp_path: Path, suite: str, protocol: str) -> None:
    pytest.importorskip("PIL")
    outcome = evals(
        "run",
        suite,
        "--sample",
        "-m",
        "scripted:Answer: B",
        "--protocol",
        protocol,
        "--results",
        tmp_path,
        "--json",
    )
    assert outcome.status == 0, outcome.err
    for run in outcome.json["runs"]:
        assert run["coverage"] == 1.0
    assert list(tmp_path.glob("*/media/*"))
