"""Statements in any dress are read as the base answer or not at all; replies without an answer are read as nothing.

A table is multiplied out: base answers x ways of stating x what follows x what comes before. Readings are compared with the base
answer; a reading that is another answer fails. A few wrappers must be read (`MUST`), so that reading nothing is no way out.
"""

from __future__ import annotations

import itertools
import random
import re
import time

import pytest

from evals import extract
from evals.extract.expression import normalise_expression, stated_expression
from evals.extract.probability import probability
from evals.extract.upstream.last_letter import letter as last_letter
from evals.scorers.options import options_stated
from tests.support.sizes import size

OPTIONS = ("mitochondrion", "ribosome", "chloroplast", "nucleus")
STATED = (
    "ANSWER: {}", "Answer: **{}**", "**Answer:** {}", "**Final answer: {}**", "The answer is {}.", "The final answer is **{}**.",
    "The correct answer is ({}).", "<answer>{}</answer>", "<answer>\n{}\n</answer>", r"\boxed{{{}}}", r"$\boxed{{\text{{{}}}}}$",
    r"\[\boxed{{{}}}\]", '{{"answer": "{}"}}', '```json\n{{"reasoning": "short", "answer": "{}"}}\n```', "答案：{}", "答案是{}。", "最终答案：**{}**",
    "【答案】{}", "正确答案为{}。", "Réponse : {}", "Die Antwort lautet {}.", "La respuesta es {}.", "정답: {}", "答えは{}です。", "Ответ: {}",
    "La risposta è {}.", "A resposta é {}.", "Therefore, the answer is `{}`.", "### Final Answer\n\n{}", "ANSWER: {}.", "ＡＮＳＷＥＲ：{}",
    "Hence the answer must be {}.", "I am fairly sure the answer is {}.", "<|begin_of_box|>{}<|end_of_box|>", "ANSWER = {}", "| Answer | {} |",
)  # fmt: skip
LETTER_STATED = (
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
MUST = frozenset((*STATED[:12], *STATED[14:20]))


def made(base: str, other: str, stated: str, after: str, before: str) -> str:
    return before.format(other=other) + stated.format(base) + after.format(other=other)


def letter(text: str) -> str | None:
    found = extract.choice(text, OPTIONS)
    return None if found is None else str(found.value)


def integer(text: str) -> str | None:
    found = extract.integer(text)
    return None if found is None else str(found)


def option_text(text: str) -> str | None:
    found = extract.choice(text, OPTIONS)
    return None if found is None else OPTIONS[ord(found.value) - ord("A")]


def free(text: str) -> str | None:
    found = extract.stated_text(text)
    return None if found is None else str(found.value[-1]).casefold()


def yes_no(text: str) -> str | None:
    found = extract.yes_no(text)
    return None if found is None else "yes" if found else "no"


def number(text: str) -> str | None:
    found = extract.stated_text(text)
    value = (
        None
        if found is None
        else next((v for h in found.value if (v := extract.number(h)) is not None), None)
    )
    return None if value is None else f"{value:g}"


def several(text: str) -> str | None:
    found = options_stated(text, OPTIONS)
    return None if found is None else ", ".join(sorted(found.value))


def expression(text: str) -> str | None:
    """Return the base answer that is among the readings, else the first reading."""
    found = stated_expression(text)
    if found is None:
        return None
    plain = [normalise_expression(head).replace(" ", "") for head in found.value]
    return next(
        (base for base in FORMULAS if normalise_expression(base).replace(" ", "") in plain), found.value[0]
    )


FORMULAS = (r"\frac{1}{2}", r"3\sqrt{2}", r"24\pi", "2^{10}", "x^2+1")
KINDS = {
    "several options": (several, (("A, C", "B, D"), ("B, D", "A"), ("A, B, D", "C")), STATED),
    "several options in words": (lambda text: (several(text) or "").replace(", ", " and ") or None, (("A and C", "B and D"),), STATED),
    "expression": (expression, tuple(itertools.pairwise(FORMULAS)), STATED),
    "letter": (letter, (("A", "C"), ("B", "D"), ("C", "A"), ("D", "B")), (*STATED, *LETTER_STATED)),
    "option text": (option_text, (("ribosome", "nucleus"), ("chloroplast", "mitochondrion")), STATED),
    "integer": (integer, (("113", "204"), ("7", "12"), ("0", "3")), STATED),
    "number": (number, (("3.14", "2.71"), ("12500", "9")), STATED),
    "yes or no": (yes_no, (("yes", "no"), ("no", "yes")), STATED),
    "free": (free, (("germany", "france"), ("light blue", "red")), STATED),
}  # fmt: skip


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_dressed_answer_is_the_answer_or_nothing(kind: str, step: int) -> None:
    read, bases, stated = KINDS[kind]
    failures, unread = [], []
    combinations = itertools.product(bases, stated, AFTER, BEFORE)
    for (base, other), form, after, before in itertools.islice(combinations, 0, None, step):
        text = made(base, other, form, after, before)
        got = read(text)
        if got not in (base, None):
            failures.append((got, text))
        elif got is None and form in MUST and after == "" and before == "":
            unread.append(text)
    assert failures == []
    assert unread == []


def test_there_are_enough_of_them() -> None:
    total = sum(len(bases) * len(stated) * len(AFTER) * len(BEFORE) for _, bases, stated in KINDS.values())
    assert total >= 20_000


NOTHING = (
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
    read = []
    for _ in range(size(2_000, 10_000)):
        a, b, c = rng.sample("ABCD", 3)
        text = rng.choice(NOTHING).format(a=a, b=b, c=c, n=rng.randint(2, 9))
        text = text if text.startswith("analysis") else rng.choice(FILLER) + text
        if rng.random() < 0.3:
            text += "\n" + rng.choice(NOTHING[:6]).format(a=a, b=b, c=c, n=3)
        if (found := letter(text) or integer(text) or several(text)) is not None:
            read.append((found, text))
    assert len(read) <= size(1, 5), sorted(set(read))[:20]


NO_FORMULA = (
    "Let x = {n}.", "We first need the radius.", "Suppose that the area is {n}\\pi.", "The area lies between {n} and 9.", "\\boxed{{}}", "\\boxed",
    "I could not find the area.", "If the answer were {n}, the sides would not fit.", "The answer is not {n}.", "The answer is either {n} or {m}.", "ANSWER:", "<answer></answer>",
    "Let us compute the area of the square first, then that of the circle", "<think>The answer is {n}. Let me", "Is it $\\frac{{1}}{{{n}}}$?", "I'm sorry, I cannot see the image.",
    "图中没有给出半径，无法计算。", "A common mistake is to answer {n}.", "Without the height the volume cannot be determined.", "\\boxed{{?}}", "Answer: I don't know",
)  # fmt: skip


def test_replies_without_an_expression_are_read_as_nothing() -> None:
    rng = random.Random(2)
    read = []
    for _ in range(size(1_000, 5_000)):
        text = rng.choice(FILLER) + rng.choice(NO_FORMULA).format(n=rng.randint(2, 9), m=rng.randint(10, 19))
        if (found := expression(text)) is not None:
            read.append((found, text))
    assert len(read) <= size(1, 2), sorted(set(read))[:20]


TRAPS = ("answer ", "the answer is not B. ", "**", "`", "$", "(", "A,", "A and ", "\\boxed{", "选", "is ", "so the option ", "✅ ", "\\text{", "yes or no ", "answer:\n", "<answer>", '"answer": "', "1,000", "x = ", "\n", "答案", "答:", "[x] ", "- A. x\n", "because ", "C, since ", "the ribosome ", "→ ", "wait ", "{", "\\frac{", "<", "|", "A: false\n", "only C ", " or B", "correct: ", "option is ", '"option": "', "ᾳ", "İ", "\u200b", "é ", "0")  # fmt: skip


BOUND_S = 0.05
"""CPU seconds that a reader may take for 64 KiB of any shape, with the machine to itself."""
BESIDE_OTHERS = 3
"""Times that beside other tests, measured for coverage."""


def ten(text: str) -> str | None:
    return last_letter(text, 10)


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
def test_no_reader_holds_up_the_event_loop(trap: str) -> None:
    hold_up(trap, BESIDE_OTHERS * BOUND_S)


@pytest.mark.slow
@pytest.mark.alone
def test_no_reader_takes_more_than_the_bound_alone() -> None:
    for trap in TRAPS:
        hold_up(trap, BOUND_S)


def hold_up(trap: str, bound_s: float) -> None:
    """Assert that no reader takes longer for 64 KiB of a trap."""
    for text in (
        trap * (65_536 // len(trap)),
        "word " * 6_000 + trap * (32_768 // len(trap)),
        "ANSWER: " + trap * (65_536 // len(trap)),
    ):
        for read in (
            letter,
            integer,
            yes_no,
            number,
            several,
            expression,
            probability,
            ten,
            extract.split_reasoning,
        ):
            took = _timed(read, text)
            for _ in range(4):  # a busy machine makes each CPU second longer
                took = min(took, _timed(read, text)) if took >= bound_s else took
            assert took < bound_s or took < bound_s * _slowness(), (read.__name__, trap, took)


REFERENCE = re.compile(r"\b(?:answer|option|choice)\s+(?:is|was)\b[^\n]{0,40}$", re.IGNORECASE)
REFERENCE_S = 0.0038
"""CPU seconds of one search for it in 64 KiB on the machine on which the bound was set.

Inferred: the slowest reader took just under the bound there, and 60 ms on a machine where this search takes 5 ms.
"""


def _slowness() -> float:
    """Return how much slower this core is at present than the one on which the bound was set."""
    text = "option is " * 6_553
    return min(_timed(REFERENCE.search, text) for _ in range(9)) / REFERENCE_S


def _timed(read: object, text: str) -> float:
    extract.visible.cache_clear()
    began = time.process_time()
    read(text)
    return time.process_time() - began
