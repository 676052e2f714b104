"""Rows of samples: what may be shown of a gated suite."""

from __future__ import annotations

import pytest

from evals.terminal.samples import sample_row
from evals.types import Record, Score
from tests.support import toy


def answer_row(answer: str | None, *, gated: bool) -> dict[str, object]:
    score = Score(value=0.0, verdict="wrong", answer=answer)
    reply = toy.record("q000")
    record = Record(
        sample="q000", repeat=0, prompt=reply.prompt, outcome=reply.outcome, scores={"exact": score}
    )
    return sample_row(toy.sample("q000"), 0, record, gated=gated)


@pytest.mark.parametrize(("answer", "shown"), [("B", "B"), ("the text of an option", None), (None, None)])
def test_of_a_gated_suite_only_letters_are_shown_as_answers(answer: str | None, shown: str | None) -> None:
    row = answer_row(answer, gated=True)
    assert row["answer"] == shown
    assert not {"target", "why", "prompt", "reply", "reasoning"} & set(row)
    assert answer_row(answer, gated=False)["answer"] == answer
