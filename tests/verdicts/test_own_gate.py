"""The project's own gate passes as things are, and fails when a prompt, an extractor or a scorer changes."""

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
    return structs.replace(load.suite("mmlu-pro", "strict")[0], **changes)


@pytest.mark.slow
def test_every_suite_is_as_committed():
    assert own_gate.check() == []


def test_one_suite_is_as_committed():
    assert own_gate.check(iter([mmlu_pro()])) == []


def test_every_style_is_committed_for_every_suite():
    for suite in own_gate.suites():
        if not own_gate.samples_of(suite, own_gate.bundled_data(suite)):
            continue
        lines = [
            one
            for one in own_gate.read(suite.name)
            if (one["suite"], one["protocol"]) == (suite.id, suite.protocol)
        ]
        assert [one["style"] for one in lines] == list(own_gate.STYLES), (
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
class Generous:
    """Finds every answer right."""

    rule: Any

    def __call__(self, sample: Any, prompt: Any, reply: Any) -> Score:
        found = self.rule(sample, prompt, reply)
        return structs.replace(found, value=1.0, verdict="right") if found.verdict == "wrong" else found


def test_a_broken_scorer_fails_the_gate():
    broken = mmlu_pro(scorers={"choice": Generous(mmlu_pro().scorers["choice"])})
    faults = own_gate.check(iter([broken]))
    assert faults
    assert all("'wrong'" in fault and "'right'" in fault for fault in faults)


def test_a_suite_without_replies_fails_the_gate(monkeypatch, tmp_path):
    monkeypatch.setattr(own_gate, "FOLDER", tmp_path)
    assert own_gate.check(iter([mmlu_pro()])) == [
        "mmlu-pro strict: no committed replies (python -m tools.own_gate write)"
    ]
