"""HMMT: equal expressions are right in either protocol, and only a box counts officially."""

from __future__ import annotations

import pytest

from evals.data import Data
from evals.suites import hmmt
from evals.types import Prompt, Reply, Sample

SAMPLES = {
    sample.id: sample
    for year in ("2025", "2026")
    for sample in hmmt.BENCHMARK.suite(year, "strict").samples(Data(suite="hmmt", sample=True))
}


def verdict(protocol: str, sample: Sample, text: str) -> str:
    scorer = hmmt.BENCHMARK.suite("2025", protocol).scorers["answer"]
    return str(scorer(sample, Prompt(), Reply(text=text)).verdict)


@pytest.mark.parametrize(
    ("name", "text", "strict", "official"),
    [
        ("2025-sample-1", r"Hence \boxed{\pi/4}.", "right", "right"),
        ("2025-sample-2", r"\boxed{\sqrt{5} + 2}", "right", "right"),
        ("2025-sample-3", r"\boxed{0.75}", "right", "right"),
        ("2025-sample-3", r"The answer is $\frac{3}{4}$.", "right", "unanswered"),
        ("2026-sample-1", r"\boxed{5120}", "right", "right"),
        ("2026-sample-2", r"\boxed{6\sqrt6} no, \boxed{6\sqrt{5}}", "wrong", "wrong"),
        ("2026-sample-5", r"<think>\boxed{9}</think>", "unanswered", "unanswered"),
    ],
)
def test_equal_expressions(name: str, text: str, strict: str, official: str) -> None:
    assert (verdict("strict", SAMPLES[name], text), verdict("official", SAMPLES[name], text)) == (
        strict,
        official,
    )
