"""Answers in any wording and markup are read as the base answer or not at all; replies without an answer are read as nothing.

The replies are all combinations of a base answer, a form in which it is stated, a text after it and a text before it. A
reading that differs from the base answer fails. Some forms must be read (`MUST_BE_READ`), so that a reader that never reads
anything fails, too.
"""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest

from evals import extract
from evals.extract.expression import normalise_expression, stated_expression
from evals.extract.probability import probability
from evals.extract.upstream.last_letter import letter as upstream_last_letter
from evals.scorers.options import options_stated
from tests.support.cpu_time import assert_cpu_time
from tests.support.sizes import size

OPTIONS = ("mitochondrion", "ribosome", "chloroplast", "nucleus")
ANSWER_FORMS = (
    "ANSWER: {}", "Answer: **{}**", "**Answer:** {}", "**Final answer: {}**", "The answer is {}.", "The final answer is **{}**.",
    "The correct answer is ({}).", "<answer>{}</answer>", "<answer>\n{}\n</answer>", r"\boxed{{{}}}", r"$\boxed{{\text{{{}}}}}$",
    r"\[\boxed{{{}}}\]", '{{"answer": "{}"}}', '```json\n{{"reasoning": "short", "answer": "{}"}}\n```', "答案：{}", "答案是{}。", "最终答案：**{}**",
    "【答案】{}", "正确答案为{}。", "Réponse : {}", "Die Antwort lautet {}.", "La respuesta es {}.", "정답: {}", "答えは{}です。", "Ответ: {}",
    "La risposta è {}.", "A resposta é {}.", "Therefore, the answer is `{}`.", "### Final Answer\n\n{}", "ANSWER: {}.", "ＡＮＳＷＥＲ：{}",
    "Hence the answer must be {}.", "I am fairly sure the answer is {}.", "<|begin_of_box|>{}<|end_of_box|>", "ANSWER = {}", "| Answer | {} |",
)  # fmt: skip
LETTER_FORMS = (
    "The correct option is {}.", "Option {} is correct.", "({}) is the best choice.", "So {}.", "I choose {}.", "故选{}。", "选项{}正确。", "正确的是{}。",
    "This corresponds to option {}.", "Only {} remains.", "My choice: {}", "I would go with {}.",
)  # fmt: skip
AFTER = (
    "", "\n", "\n\nThis follows from the definition.", "\n\nNote: the second-best choice is {other}.", "\n\nA common mistake is to pick {other}.",
    "\n\nSome students would say the answer is {other}.", "\n\nLet me know if you have any questions!", "\n\nConfidence: 85%", "\n\nIf friction were ignored, the answer would be {other}.",
    "\n\nQuestion: What is next?\nAnswer: {other}", "\n\nOption {other} is wrong because it fails the test.", "\n\n若忽略摩擦则答案是{other}。", "<|im_end|>",
)  # fmt: skip
BEFORE = (
    "", "<think>The answer is {other}.</think>\n", "[THINK]ANSWER: {other}[/THINK]", "◁think▷The answer is {other}◁/think▷", "Let me see. It cannot be {other}.\n\n",
    "<|channel|>analysis<|message|>maybe {other}<|end|><|start|>assistant<|channel|>final<|message|>", "analysisANSWER: {other}assistantfinal",
    "First I thought the answer is {other}.\n\n", "ANSWER: {other}\n\nWait, I made an error.\n\n", "The answer is {other}. No, that is wrong.\n\n", "\\boxed{{{other}}} Let me recheck.\n\n",
)  # fmt: skip
MUST_BE_READ = frozenset((*ANSWER_FORMS[:12], *ANSWER_FORMS[14:20]))


def build_reply(base: str, other: str, form: str, after: str, before: str) -> str:
    return before.format(other=other) + form.format(base) + after.format(other=other)


def letter(text: str) -> str | None:
    reading = extract.choice(text, OPTIONS)
    return None if reading is None else str(reading.value)


def integer(text: str) -> str | None:
    reading = extract.integer(text)
    return None if reading is None else str(reading)


def option_text(text: str) -> str | None:
    reading = extract.choice(text, OPTIONS)
    return None if reading is None else OPTIONS[ord(reading.value) - ord("A")]


def free_form(text: str) -> str | None:
    reading = extract.stated_text(text)
    return None if reading is None else str(reading.value[-1]).casefold()


def yes_no(text: str) -> str | None:
    reading = extract.stated_yes_no(text)
    return None if reading is None else "yes" if reading.value else "no"


def number(text: str) -> str | None:
    reading = extract.stated_text(text)
    if reading is None:
        return None
    values = (extract.number(candidate) for candidate in reading.value)
    return next((f"{value:g}" for value in values if value is not None), None)


def option_set(text: str) -> str | None:
    reading = options_stated(text, OPTIONS)
    return None if reading is None else ", ".join(sorted(reading.value))


def expression(text: str) -> str | None:
    """Return the base answer that is among the candidates read, or else the first candidate."""
    reading = stated_expression(text)
    if reading is None:
        return None
    normalised = [normalise_expression(candidate).replace(" ", "") for candidate in reading.value]
    return next(
        (base for base in FORMULAS if normalise_expression(base).replace(" ", "") in normalised),
        reading.value[0],
    )


FORMULAS = (r"\frac{1}{2}", r"3\sqrt{2}", r"24\pi", "2^{10}", "x^2+1")
KINDS = {
    "several options": (option_set, (("A, C", "B, D"), ("B, D", "A"), ("A, B, D", "C")), ANSWER_FORMS),
    "several options in words": (lambda text: (option_set(text) or "").replace(", ", " and ") or None, (("A and C", "B and D"),), ANSWER_FORMS),
    "expression": (expression, tuple(itertools.pairwise(FORMULAS)), ANSWER_FORMS),
    "letter": (letter, (("A", "C"), ("B", "D"), ("C", "A"), ("D", "B")), (*ANSWER_FORMS, *LETTER_FORMS)),
    "option text": (option_text, (("ribosome", "nucleus"), ("chloroplast", "mitochondrion")), ANSWER_FORMS),
    "integer": (integer, (("113", "204"), ("7", "12"), ("0", "3")), ANSWER_FORMS),
    "number": (number, (("3.14", "2.71"), ("12500", "9")), ANSWER_FORMS),
    "yes or no": (yes_no, (("yes", "no"), ("no", "yes")), ANSWER_FORMS),
    "free": (free_form, (("germany", "france"), ("light blue", "red")), ANSWER_FORMS),
}  # fmt: skip


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stated_answer_is_read_as_itself_or_not_at_all(kind: str, step: int) -> None:
    read, bases, forms = KINDS[kind]
    failures, unread = [], []
    combinations = itertools.product(bases, forms, AFTER, BEFORE)
    for (base, other), form, after, before in itertools.islice(combinations, 0, None, step):
        text = build_reply(base, other, form, after, before)
        reading = read(text)
        if reading not in (base, None):
            failures.append((reading, text))
        elif reading is None and form in MUST_BE_READ and after == "" and before == "":
            unread.append(text)
    assert failures == []
    assert unread == []


def test_there_are_at_least_20_000_combinations() -> None:
    total = sum(len(bases) * len(forms) * len(AFTER) * len(BEFORE) for _, bases, forms in KINDS.values())
    assert total >= 20_000


WITHOUT_ANSWER = (
    "Option {a} describes energy, option {b} describes proteins.", "We have to compare {a}, {b} and {c}.", "(A) mitochondrion\n(B) ribosome\n(C) chloroplast\n(D) nucleus",
    "A. mitochondrion\nB. ribosome\nC. chloroplast\nD. nucleus", "I could not decide between {a} and {b}.", "It is either {a} or {b}.", "I'm sorry, but I can't help with that.",
    "I cannot answer this question.", "Let me think about option {a} first", "Is it {a}? Or {b}?", "The answer cannot be {a}.", "The answer is not {a}.", "If the answer is {a}, then {b} fails.",
    "<think>The answer is {a}. Let me double-check", "[THINK]So the answer is {a}. Let me", "◁think▷ANSWER: {a}", "<|channel|>analysis<|message|>The answer is {a}", "analysisSo the answer is {a}. Need to",
    "Both {a} and {b} seem plausible.", "A student claims the answer is {a}. I could not verify this.", "Without more data one cannot choose between {a} and {b}.", "抱歉，我无法回答这个问题。", "选项{a}和选项{b}都有可能。",
    "答案不是{a}。", "如果答案是{a}，则矛盾。", "Please reply in the form ANSWER: X, where X is a letter.", "None of this settles the matter.", "There are {n} cases to consider.", "ANSWER:", "The answer is", "\\boxed{{}}", "<answer></answer>",
    "Option {a} is incorrect. Option {b} is incorrect.", "Neither {a} nor {b} is right.", "The answer could be {a}, {b} or {c}.", "Answer: {a} or {b}", "I am torn between {a} and {b}", "Some people say {a}, others say {b}.",
)  # fmt: skip
FILLER = (
    "",
    "We look at the cell. ",
    "Consider the energy balance first.\n",
    "Step 1: list what is known.\n",
    "首先分析题目。\n",
    "- light\n- water\n\n",
)


def test_replies_without_an_answer_are_read_as_nothing() -> None:
    rng = random.Random(1)
    wrong_readings = []
    for _ in range(size(2_000, 10_000)):
        a, b, c = rng.sample("ABCD", 3)
        text = rng.choice(WITHOUT_ANSWER).format(a=a, b=b, c=c, n=rng.randint(2, 9))
        text = text if text.startswith("analysis") else rng.choice(FILLER) + text
        if rng.random() < 0.3:
            text += "\n" + rng.choice(WITHOUT_ANSWER[:6]).format(a=a, b=b, c=c, n=3)
        if (reading := letter(text) or integer(text) or option_set(text)) is not None:
            wrong_readings.append((reading, text))
    assert len(wrong_readings) <= size(1, 5), sorted(set(wrong_readings))[:20]


WITHOUT_EXPRESSION = (
    "Let x = {n}.", "We first need the radius.", "Suppose that the area is {n}\\pi.", "The area lies between {n} and 9.", "\\boxed{{}}", "\\boxed",
    "I could not find the area.", "If the answer were {n}, the sides would not fit.", "The answer is not {n}.", "The answer is either {n} or {m}.", "ANSWER:", "<answer></answer>",
    "Let us compute the area of the square first, then that of the circle", "<think>The answer is {n}. Let me", "Is it $\\frac{{1}}{{{n}}}$?", "I'm sorry, I cannot see the image.",
    "图中没有给出半径，无法计算。", "A common mistake is to answer {n}.", "Without the height the volume cannot be determined.", "\\boxed{{?}}", "Answer: I don't know",
)  # fmt: skip


def test_replies_without_an_expression_are_read_as_nothing() -> None:
    rng = random.Random(2)
    wrong_readings = []
    for _ in range(size(1_000, 5_000)):
        text = rng.choice(FILLER) + rng.choice(WITHOUT_EXPRESSION).format(
            n=rng.randint(2, 9), m=rng.randint(10, 19)
        )
        if (reading := expression(text)) is not None:
            wrong_readings.append((reading, text))
    assert len(wrong_readings) <= size(1, 2), sorted(set(wrong_readings))[:20]


HOSTILE_PIECES = ("answer ", "the answer is not B. ", "**", "`", "$", "(", "A,", "A and ", "\\boxed{", "选", "is ", "so the option ", "✅ ", "\\text{", "yes or no ", "answer:\n", "<answer>", '"answer": "', "1,000", "x = ", "\n", "答案", "答:", "[x] ", "- A. x\n", "because ", "C, since ", "the ribosome ", "→ ", "wait ", "{", "\\frac{", "<", "|", "A: false\n", "only C ", " or B", "correct: ", "option is ", '"option": "', "ᾳ", "İ", "\u200b", "é ", "0", "no ", "no, ", "[1,2,3,4]", " ")  # fmt: skip


BOUND_S = 0.05
"""Maximum CPU time of a reader for 64 KiB of any text on an idle machine."""
BUSY_FACTOR = 3
"""Factor for this bound if other tests run at the same time and coverage is measured."""


def last_letter(text: str) -> str | None:
    return upstream_last_letter(text, 10)


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE_PIECES)
def test_no_reader_blocks_the_event_loop_on_hostile_text(piece: str) -> None:
    assert_readers_are_fast(piece, BUSY_FACTOR * BOUND_S)


@pytest.mark.slow
@pytest.mark.alone
def test_no_reader_exceeds_the_bound_on_an_idle_machine() -> None:
    for piece in HOSTILE_PIECES:
        assert_readers_are_fast(piece, BOUND_S)


def assert_readers_are_fast(piece: str, bound_s: float) -> None:
    """Assert that every reader takes less than `bound_s` for 64 KiB of a repeated piece."""
    for text in (
        piece * (65_536 // len(piece)),
        "word " * 6_000 + piece * (32_768 // len(piece)),
        "ANSWER: " + piece * (65_536 // len(piece)),
    ):
        for read in (
            letter,
            integer,
            yes_no,
            number,
            option_set,
            expression,
            probability,
            last_letter,
            extract.split_reasoning,
        ):
            assert_cpu_time(bound_s, partial(read, text), (read.__name__, piece))
