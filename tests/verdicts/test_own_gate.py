"""tools/own_gate.py: passes on the current suites, and fails if a prompt, an extractor or a scorer changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import structs

from evals import load
from evals.prompts import ask
from evals.scorers.choice import Choice
from evals.suite import Suite
from evals.types import Score
from tools import own_gate


def mmlu_pro(**changes: Any) -> Suite:
    """Return the suite mmlu-pro with changed fields."""
    return structs.replace(load.suite("mmlu-pro", "strict")[0], **changes)


@pytest.mark.slow
def test_prompts_and_scores_of_every_suite_are_as_committed():
    assert own_gate.check() == []


def test_prompts_and_scores_of_one_suite_are_as_committed():
    assert own_gate.check(iter([mmlu_pro()])) == []


def test_replies_in_every_style_are_committed_for_every_suite():
    for suite in own_gate.suites():
        if not own_gate.samples_of(suite, own_gate.bundled_data(suite)):
            continue
        lines = [
            line
            for line in own_gate.file_lines(suite.name)
            if (line["suite"], line["protocol"]) == (suite.id, suite.protocol)
        ]
        assert [line["style"] for line in lines] == list(own_gate.STYLES), (
            f"{suite.id} {suite.protocol}: python -m tools.own_gate write, then commit tests/cases/own"
        )


def test_a_broken_prompt_fails_the_gate():
    broken = mmlu_pro(prompter=lambda data: lambda sample, repeat: ask(f"Please! {sample.id}"))
    faults = own_gate.check(iter([broken]))
    assert len([fault for fault in faults if "the prompt has changed" in fault]) == len(own_gate.STYLES)


def test_a_broken_extractor_fails_the_gate():
    broken = mmlu_pro(scorers={"choice": Choice(lambda text, count: None)})
    faults = own_gate.check(iter([broken]))
    assert any("'right'" in fault and "'unanswered'" in fault for fault in faults)


@dataclass(frozen=True)
class LenientScorer:
    """A scorer that counts wrong answers as right."""

    rule: Any

    def __call__(self, sample: Any, prompt: Any, reply: Any) -> Score:
        score = self.rule(sample, prompt, reply)
        return structs.replace(score, value=1.0, verdict="right") if score.verdict == "wrong" else score


def test_a_broken_scorer_fails_the_gate():
    broken = mmlu_pro(scorers={"choice": LenientScorer(mmlu_pro().scorers["choice"])})
    faults = own_gate.check(iter([broken]))
    assert faults
    assert all("'wrong'" in fault and "'right'" in fault for fault in faults)


def test_a_suite_without_replies_fails_the_gate(monkeypatch, tmp_path):
    monkeypatch.setattr(own_gate, "FOLDER", tmp_path)
    assert own_gate.check(iter([mmlu_pro()])) == [
        "mmlu-pro strict: no committed replies (python -m tools.own_gate write)"
    ]
