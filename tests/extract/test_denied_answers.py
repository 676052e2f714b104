"""Replies that mention an answer only to deny it, to ask about it, or to leave it open state none."""

from __future__ import annotations

import json

import pytest

from evals.extract.choices import choice
from evals.extract.numbers import integer
from evals.extract.quantity import stated
from evals.extract.regions import regions
from evals.extract.yesno import yes_no
from evals.scorers.properties import StatedProperties
from evals.types import Prompt, Reply, Sample
from tests.support.tables import table

OPTIONS = ("liquid", "ice", "steam", "plasma")


@table(
    "text",
    [
        "Nothing supports B.", "Little evidence supports B", "The evidence hardly supports B.", "No evidence points to B.",
        "Everything but the last clue points to B", "B best describes it? No.", "B (ice) is wrong.", "B (ice) is not the answer.",
        "B (ice) or C (steam).", "B (ice)?", "B (ice) if cold.", "I would rule out answer A.", "This excludes answer B.",
        "Eliminate answer C.", f"B{59 * ' '}is wrong", "The answer is B. On second thought, B is wrong.",
        "Answer: B. I made an error. It is not B.", "The answer is B. No wait, that still is wrong.",
    ],
)  # fmt: skip
def test_no_option_is_read(text: str) -> None:
    assert choice(text, OPTIONS) is None


@table(
    "text",
    ["B (ice)", "B (ice).", "The evidence supports B.", "Everything points to B.", "It melts. Answer B.", "B best describes the process.",
     "The answer is B. Wait, no. Let me check. Yes, it is B."],
)  # fmt: skip
def test_the_stated_option_is_read(text: str) -> None:
    reading = choice(text, OPTIONS)
    assert reading is not None
    assert reading.value == "B"


@table(
    "text",
    ["The total is below 7.", "It stays under 7 metres.", "Nobody gets 7 here.", "He gave away 7 apples.", "It would be 7 cuts.",
     "The answer is below 7.", "It contradicts the value 7."],
)  # fmt: skip
def test_no_integer_is_read(text: str) -> None:
    assert integer(text) is None


def test_an_estimate_that_is_called_wrong_is_not_read() -> None:
    assert stated("I'd say 5 is too high.", "eV") is None
    assert stated("I'd say 5 eV.", "eV") is not None


def test_a_yes_that_is_taken_back_is_not_read() -> None:
    assert yes_no("Yes. On second thought, that is wrong.") is None
    assert yes_no("Yes.") is True


def test_a_box_that_is_denied_or_assumed_is_not_read() -> None:
    assert list(regions("The box is not left: 5, top: 6, right: 7, bottom: 8")) == []
    assert list(regions("If the box were left: 5, top: 6, right: 7, bottom: 8")) == []
    assert len(list(regions("left: 5, top: 6, right: 7, bottom: 8"))) == 1


@pytest.mark.parametrize(
    ("text", "stop", "verdict"),
    [
        ("The molecule has 5 rings.", "stop", "right"),
        ("The molecule has 5 rings.", "length", "truncated"),
        ("The molecule does not have 5 rings.", "stop", "unanswered"),
        ("It has at least 5 rings.", "stop", "unanswered"),
        ("Does it have 5 rings?", "stop", "unanswered"),
    ],
)
def test_a_count_must_be_asserted(text: str, stop: str, verdict: str) -> None:
    sample = Sample(id="1", target=json.dumps({"ring_count": 5}))
    assert StatedProperties("count")(sample, Prompt(), Reply(text=text, stop=stop)).verdict == verdict
