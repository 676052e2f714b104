"""Replies that mention an answer only to deny it, to ask about it, or to leave it open state none."""

from __future__ import annotations

import json

import pytest

from evals import extract
from evals.extract.chemical import stated_formula, stated_name
from evals.extract.choices import choice
from evals.extract.numbers import integer
from evals.extract.quantity import stated
from evals.extract.regions import regions
from evals.extract.yesno import stated_yes_no
from evals.scorers.formula import is_formula
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
    assert stated_yes_no("Yes. On second thought, that is wrong.") is None
    assert stated_yes_no("Yes.").value is True


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


@table(
    "text",
    ["Not A, but B.", "It is B that expands.", "Between A and B, B is more consistent with the data.", "All things considered, B has to be the one.",
     "Everything else fails, leaving only option B standing.", "The one that expands is (B), not (A).", "Hence statement B is the one that holds.",
     "Students often answer C here. The correct response, however, is B.", "Option B stands out as the only dense one.",
     "We get $x = 5$.\n\n$\\Rightarrow \\text{(B)}$"],
)  # fmt: skip
def test_the_option_of_the_last_sentence_is_read(text: str) -> None:
    reading = choice(text, OPTIONS)
    assert reading is not None
    assert reading.value == "B"


@table(
    "text",
    ["It is A that melts. It is B that expands.", "If it were cold, it is B that fits.", "It is B that most students pick.", "Not A, but not B.",
     "Between A and B, B is more tempting.", "Option B stands out as wrong.", "Is it B that expands?", "It is not B that expands.", "Not A but B or C.",
     "It is B which is wrong.", "I doubt it is B that fits.", "It is C that forms the bonds.", "Option B stands out, though C is denser.", "It is B that expands, and D that glows."],
)  # fmt: skip
def test_a_last_sentence_that_denies_or_doubts_states_no_option(text: str) -> None:
    assert choice(text, OPTIONS) is None


@table(
    ("text", "letter"),
    [("Only II is true.", "B"), ("So, only I is correct.", "A"), ("Only II and III are true.", "C"), ("Not only II is true.", None), ("I thought that only II is true.", None)],
)  # fmt: skip
def test_the_only_true_statement_is_the_option_with_that_text(text: str, letter: str | None) -> None:
    reading = choice(text, ("I only", "II only", "II and III", "all of them"))
    assert (reading and reading.value) == letter


@table(
    ("text", "number"),
    [
        ("Of 30, 12 are excluded, leaving 18.", 18), (r"So we have \(n = 5! = 120\).", 120), (r"So \(n = 120\).", 120),
        ("The maximum is 25, attained when x = 3.", 25), ("The minimum is $25$ (at $x=y=2$).", 25), ("The value is 25 at x = 3, but at x = 4 it is 30.", 30),
        ("N = 45321, so the last three digits are 321.", 321), ("It works for n = 25 but not for n = 24, so 25 it is.", 25),
        ("The area is 16 square units.", 16), ("Interior angle sum: 540°.", 540), ("Total time: 9:30", None), ("They meet at 9:30.", None),
        ("The angles are 36 degrees and the apex is 72 degrees.", None), ("x is 36° and y is 72°.", None), ("There are 30 children, leaving 18 for the second round.", None),
    ],
)  # fmt: skip
def test_the_result_and_not_another_number_is_read(text: str, number: int | None) -> None:
    assert integer(text) == number


def test_the_result_of_a_sum_or_a_reaction_is_read() -> None:
    reading = stated("The molar mass of KOH is 39.1 + 16.0 + 1.0 = 56.1 g/mol.")
    assert reading is not None
    assert reading.value.value == 56.1
    assert stated("It is not 39.1 + 16.0 = 55.1 g/mol.") is None
    formula = stated_formula("Acetylation of C7H6O3 gives C9H8O4.", is_formula)
    assert formula is not None
    assert formula.value == "C9H8O4"
    name = stated_name("IUPAC name → propan-2-one")
    assert name is not None
    assert name.value == "propan-2-one"
