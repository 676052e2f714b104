"""HMMT: equal expressions are right under both protocols; `official` reads the last box, or else the last integer."""

from __future__ import annotations

import pytest

from evals.data import Data
from evals.scorers.upstream.boxed import MathArenaBox
from evals.suites import hmmt
from evals.types import Prompt, Reply, Sample
from tests.support.cpu_time import assert_cpu_time
from tests.support.tables import table

SAMPLES = {
    sample.id: sample
    for year in ("2025", "2026")
    for sample in hmmt.BENCHMARK.suite(year, "strict").samples(Data(suite="hmmt", sample=True))
}


def verdict(protocol: str, sample: Sample, text: str) -> str:
    scorer = hmmt.BENCHMARK.suite("2025", protocol).scorers["answer"]
    return str(scorer(sample, Prompt(), Reply(text=text)).verdict)


@table(
    ("name", "text", "strict", "official"),
    [
        ("2025-sample-1", r"Hence \boxed{\pi/4}.", "right", "right"),
        ("2025-sample-2", r"\boxed{\sqrt{5} + 2}", "right", "right"),
        ("2025-sample-3", r"\boxed{0.75}", "right", "right"),
        ("2025-sample-3", r"The answer is $\frac{3}{4}$.", "right", "wrong"),  # the last integer is 4
        ("2025-sample-3", r"\boxed{p = \frac{3}{4} \approx 0.8}", "right", "right"),
        ("2025-sample-3", "It is three quarters.", "right", "unanswered"),
        ("2026-sample-1", r"\boxed{5,120.}", "right", "right"),
        ("2026-sample-1", "There are 5120 ways, see page 7.", "unanswered", "wrong"),
        ("2026-sample-1", "See page 7 for the 5120", "unanswered", "right"),
        ("2026-sample-1", "-5120", "wrong", "right"),  # the last integer loses its sign
        ("2026-sample-1", r"\boxed{5120}", "right", "right"),
        ("2026-sample-2", r"\boxed{6\sqrt6} no, \boxed{6\sqrt{5}}", "wrong", "wrong"),
        ("2026-sample-5", r"<think>\boxed{9}</think>", "unanswered", "unanswered"),
    ],
)
def test_replies_are_scored_under_strict_and_official(
    name: str, text: str, strict: str, official: str
) -> None:
    assert (verdict("strict", SAMPLES[name], text), verdict("official", SAMPLES[name], text)) == (
        strict,
        official,
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{\text{probability } \tfrac{3}{4}}", r"\tfrac{3}{4}"),
        (r"\boxed{x = y = 12}", "12"),
        (r"\boxed{1{,}024}", "1024"),
        (r"\boxed{45^\circ}", "45"),
        (r"\boxed{\displaystyle \frac{\pi}{2}\approx 1.57}", r"\frac{\pi}{2}"),
        ("12 or so, 007", "007"),
        (r"\boxed{}", None),
        ("none", None),
    ],
)
def test_answers_are_read_as_matharena_reads_them(text: str, answer: str | None) -> None:
    assert MathArenaBox().extract_answer(text) == answer


@pytest.mark.parametrize("piece", ["\\boxed{", "\\text{", "=", "9", "1,", "\\approx"])
def test_hostile_boxes_are_read_in_linear_time(piece: str) -> None:
    for text in (piece * 50_000, f"\\boxed{{{piece * 20_000}}}"):
        assert_cpu_time(3, lambda text=text: MathArenaBox().extract_answer(text))


def test_official_compares_decimals_to_six_digits_although_matharena_requires_ten() -> None:
    one_third = Sample(id="1", target=r"\frac{1}{3}")
    assert verdict("official", one_third, r"\boxed{0.333333}") == "right"  # a documented difference
    assert verdict("official", one_third, r"\boxed{0.3333}") == "wrong"
