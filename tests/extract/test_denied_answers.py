"""Replies that mention an answer only to deny it, to ask about it, or to leave it open state none."""

from __future__ import annotations

import json

import pytest

from evals import extract
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


@table(
    "text",
    ["Option A ✗\nOption B ✓\nOption C ✗", "Option A: 1 – ❌\nOption B: 2 – ✅ matches\nOption C: 3 – ❌", "选项A：错误，因为……\n选项B：正确\n选项C：错误",
     "A. alpha — false.\nB. beta — true.\nC. gamma — false.", "Answer: A. On second thought: B.", "By the second law, it rises. → B", "It is the second one → option B",
     "None of them is a clear match, though B comes closest."],
)  # fmt: skip
def test_verdicts_corrections_and_arrows_state_an_option(text: str) -> None:
    reading = choice(text, ("alpha", "beta", "gamma", "delta"))
    assert reading is not None
    assert reading.value == "B"


def test_the_smiles_of_an_option_is_that_option() -> None:
    reading = choice("Answer: CC(C)=O", ("CCO", "CC(C)=O", "CCN"))
    assert reading is not None
    assert reading.value == "B"


@table(
    "text",
    [
        "答案可能是B，也可能是C。",
        "The least likely answer is B.",
        "A. alpha — true.\nB. beta — true.\nC. gamma — false.",
    ],
)
def test_alternatives_and_unlikely_options_are_not_read(text: str) -> None:
    assert choice(text, ("alpha", "beta", "gamma", "delta")) is None


@table(
    "text",
    [
        r"\boxed{x = 7 \text{ or } x = 12}",
        "x = 7 or x = 12",
        "Not the total: 25",
        r"\boxed{82}. Hmm wait, I forgot the case a = b.",
    ],
)
def test_alternatives_and_integers_taken_back_are_not_read(text: str) -> None:
    assert integer(text) is None


def test_a_text_that_is_called_wrong_is_not_read() -> None:
    assert extract.stated_text("**ice**, which is wrong") is None
    reading = extract.stated_text("**ice**, which is solid")
    assert reading is not None
    assert reading.value[-1] == "ice"


def test_a_number_after_conditions_is_read() -> None:
    reading = stated("The predicted logD at pH 7.4 is about 1.9.")
    assert reading is not None
    assert reading.value.value == 1.9
