"""ChartQA and MMStar: the published rules with their defects, the mended ones, and sample items on their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.data import Data
from evals.scorers.chart import Relaxed, Stated
from evals.suites import chartqa, mmstar
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals


@pytest.mark.parametrize(
    ("gold", "text", "published", "mended"),
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
def test_relaxed_accuracy_as_published_and_mended(
    gold: str, text: str, published: bool, mended: bool
) -> None:
    sample = Sample(id="x", target=gold)
    assert (Relaxed()(sample, Prompt(), Reply(text=text)).value == 1.0) == published
    assert (Stated()(sample, Prompt(), Reply(text=f"Because.\nAnswer: {text}")).value == 1.0) == mended


def test_the_tolerance_is_an_option() -> None:
    sample = Sample(id="x", target="100")
    assert Relaxed(tolerance=0.1)(sample, Prompt(), Reply(text="109")).value == 1.0
    assert Stated(tolerance=0.0)(sample, Prompt(), Reply(text="Answer: 101")).value == 0.0
    assert repr(Stated(tolerance=0.1)) == "Stated(tolerance=0.1)"  # so a change of it shows in the card


def test_reasoning_costs_the_published_rule_its_answer() -> None:
    sample = Sample(id="x", target="7")
    reply = Reply(text="The bars are 3 and 4 high.\nAnswer: 7")
    assert (Relaxed()(sample, Prompt(), reply).value, Stated()(sample, Prompt(), reply).value) == (0.0, 1.0)


@pytest.mark.parametrize("text", ["9" * 50_000, "1," * 50_000, "$ " * 50_000, "%" * 50_000, "- " * 50_000])
def test_hostile_replies_are_judged_at_once(text: str) -> None:
    for judge in (Relaxed(), Stated()):
        judge(Sample(id="x", target="7"), Prompt(), Reply(text=text))
        judge(Sample(id="x", target="7"), Prompt(), Reply(text=f"Answer: {text}"))


@pytest.mark.parametrize(
    ("text", "found"),
    [("B", "B"), ("(b) green", "B"), ("Option C", "C"), ("The answer is D.", "D"), ("A cat is seen", "A"),
     ("I think B", None), ("**B**", None), ("", None)],
)  # fmt: skip
def test_mmstars_authors_look_at_the_beginning_alone(text: str, found: str | None) -> None:
    assert mmstar.beginning(text, 4) == found


def test_parts_of_chartqa_are_told_apart() -> None:
    data = Data(suite="chartqa", sample=True)
    human, made = ([s.id for s in chartqa._samples(data, part)] for part in chartqa.BENCHMARK.variants)
    assert human == [f"human-{n}" for n in range(len(human))]
    assert made == [f"augmented-{n}" for n in range(len(made))]
    assert min(len(human), len(made)) >= 8


@pytest.mark.parametrize("suite", ["mmstar", "chartqa"])
@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_the_samples_go_the_whole_way_with_their_pictures(tmp_path: Path, suite: str, protocol: str) -> None:
    pytest.importorskip("PIL")
    found = evals(
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
    assert found.status == 0, found.err
    for run in found.json["runs"]:
        assert run["coverage"] == 1.0
    assert list(tmp_path.glob("*/media/*"))
