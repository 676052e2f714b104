"""Molecules, sets, formulas, names, numbers with units and rectangles, in any wording, are read as stated or not at all."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest

from evals.extract.chemical import stated_formula, stated_name
from evals.extract.molecules import stated_molecule
from evals.extract.quantity import stated
from evals.extract.regions import regions
from evals.extract.units import convert
from evals.scorers.formula import element_counts, is_formula
from tests.extract.test_metamorphic import ANSWER_FORMS, BOUND_S, BUSY_FACTOR
from tests.support.cpu_time import assert_cpu_time

FORMS = (
    *(form for form in ANSWER_FORMS if "ＡＮＳＷＥＲ" not in form),
    "**{}**",
    "`{}`",
    "{}",
    "I believe it is {}.",
    "```\n{}\n```",
    "| Answer |\n|---|\n| {} |",
)
AFTER = (
    "", "\n", "\n\nThis follows from the definition.", "\n\nA common mistake is to answer {other}.", "\n\nSome students would say the answer is {other}.",
    "\n\nLet me know if you have any questions!", "\n\nConfidence: high", "\n\nIf it were charged, the answer would be {other}.", "\n\nQuestion: What is next?\nAnswer: {other}",
    "\n\n若带电荷则答案是{other}。", "<|im_end|>", "\n\nIt is not {other}.",
)  # fmt: skip
BEFORE = (
    "", "<think>The answer is {other}.</think>\n", "[THINK]ANSWER: {other}[/THINK]", "◁think▷The answer is {other}◁/think▷", "Let me see. It cannot be {other}.\n\n",
    "<|channel|>analysis<|message|>maybe {other}<|end|><|start|>assistant<|channel|>final<|message|>", "analysisANSWER: {other}assistantfinal",
    "First I thought the answer is {other}.\n\n", "ANSWER: {other}\n\nWait, I made an error.\n\n", "\\boxed{{{other}}} Let me recheck.\n\n",
)  # fmt: skip
MUST_BE_READ = frozenset((*FORMS[:12], *FORMS[14:20]))
SMILES_FORMS = (
    "<SMILES> {} </SMILES>", "<SMILES>{}</SMILES>", "SMILES: {}", "**SMILES:** `{}`", "The SMILES is {}.", "Canonical SMILES: {}", '{{"smiles": "{}"}}', "该分子的SMILES为：{}。", "SMILES：{}",
    "```smiles\n{}\n```", "| Property | Value |\n|---|---|\n| SMILES | {} |",
)  # fmt: skip
SET_FORMS = (
    "<SMILES> {} </SMILES>", "Reactants: {}", "The reactants are {}.", "反应物：{}", '{{"reactants": "{}"}}', "**Reactants and Reagents:**\n```\n{}\n```", "Starting materials: {}",
)  # fmt: skip
LIST_FORMS = (
    "Reactant 1: {0}\nReactant 2: {1}", "**Reactant 1:** `{0}`\n**Reactant 2:** `{1}`", "Reactants:\n1. {0}\n2. {1}", "Reactants:\n- {0} (the acid)\n- {1} (the amine)", "反应物1：{0}\n反应物2：{1}",
    "Reactant A: {0}\n\nReactant B: {1}", "<SMILES>{0}</SMILES> + <SMILES>{1}</SMILES>", '{{"reactants": ["{0}", "{1}"]}}', "| Reactant | SMILES |\n|---|---|\n| first | {0} |\n| second | {1} |",
    "Acid: {0}\nAmine: {1}", "The reactants are:\n\n1. **Acid** – `{0}`\n2. **Amine** – `{1}`", "反应物为：\n1. {0}（酸）\n2. {1}（胺）", "Reactants: {0} and {1}", "Reactants: {0} + {1}",
)  # fmt: skip
REACTION_FORMS = (
    "{0}.{1}>>CCOC(C)=O",
    "<SMILES> {0}.{1}>>CCOC(C)=O </SMILES>",
    "{0} + {1} → CCOC(C)=O",
    "Answer: {0}.{1}>>CCOC(C)=O",
)
FORMULA_FORMS = (
    "<MOLFORMULA> {} </MOLFORMULA>",
    "Molecular formula: {}",
    "The molecular formula is **{}**.",
    "分子式为{}。",
    '{{"formula": "{}"}}',
    "The formula of the compound is {}.",
    "| Formula | {} |",
)
NAME_FORMS = (
    "<IUPAC> {} </IUPAC>",
    "IUPAC name: {}",
    "The IUPAC name is **{}**.",
    "系统命名为{}。",
    '{{"iupac_name": "{}"}}',
    "The compound is called {}.",
    "| IUPAC name | {} |",
)
NUMBER_FORMS = (
    "{} (predicted)",
    "Answer: {} at 300 K",
    "The answer is approximately {}.",
    "Answer: about **{}**",
    "<NUMBER> {} </NUMBER>",
    "答案：约{}",
    "Final answer: ~{}",
)


def molecule(text: str) -> object:
    reading = stated_molecule(text)
    return None if reading is None else reading.value


def components(text: str) -> object:
    reading = stated_molecule(text, is_set=True, side="reactants")
    return None if reading is None else tuple(sorted(reading.value.split(".")))


def formula(text: str) -> object:
    reading = stated_formula(text, is_formula)
    return (
        None
        if reading is None
        else tuple(sorted((element_counts(reading.value) or {reading.value: 0}).items()))
    )


def name(text: str) -> object:
    reading = stated_name(text)
    return None if reading is None else reading.value


def number(text: str) -> object:
    reading = stated(text, "eV")
    if reading is None:
        return None
    value = convert(reading.value.value, reading.value.unit, "eV")
    return None if value is None else round(value, 9)


def rectangle(text: str) -> object:
    rectangles = regions(text)
    return rectangles[-1].numbers if rectangles else None


KINDS = {
    "molecule": (molecule, (("CC(=O)Oc1ccccc1C(=O)O", "CC(=O)NCc1ccccc1"), ("CCO", "CCN"), ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O")), (*FORMS, *SMILES_FORMS)),
    "set": (components, (("CC(=O)Cl.NCc1ccccc1", "CC(=O)O.CCO"), ("[Na+].[OH-].CCBr", "CCN")), (*FORMS, *SET_FORMS)),
    "formula": (formula, (("C9H8O4", "C6H12O6"), ("C₉H₈O₄", "C7H6O3"), ("CuSO4·5H2O", "CuSO4")), (*FORMS, *FORMULA_FORMS)),
    "name": (name, (("2-acetyloxybenzoic acid", "2-hydroxybenzoic acid"), ("(2S)-2-aminopropanoic acid", "(2R)-2-aminopropanoic acid")), (*FORMS, *NAME_FORMS)),
    "number": (number, (("1.42 eV", "0.6 eV"), ("1420 meV", "3.2 eV"), ("1.42e0 eV", "2 eV"), (r"1.42 \times 10^{0}~\text{eV}", "5 eV")), (*FORMS, *NUMBER_FORMS)),
}  # fmt: skip


def expected_value(read: object, base: str) -> object:
    if read is number:
        return 1.42
    return read(base)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stated_answer_is_read_as_itself_or_not_at_all(kind: str, step: int) -> None:
    read, bases, forms = KINDS[kind]
    failures, unread = [], []
    for base, other in bases:
        expected = expected_value(read, base)
        assert expected is not None
        combinations = itertools.product(forms, AFTER, BEFORE)
        for form, after, before in itertools.islice(combinations, 0, None, step):
            text = before.format(other=other) + form.format(base) + after.format(other=other)
            value = read(text)
            if value not in (expected, None):
                failures.append((value, text))
            elif value is None and not after and not before and (form in MUST_BE_READ or form not in FORMS):
                unread.append(text)
    assert failures == []
    assert unread == []


@pytest.mark.parametrize("forms", [LIST_FORMS, REACTION_FORMS], ids=["lists", "reactions"])
def test_listed_components_are_read_as_the_set_or_not_at_all(forms: tuple[str, ...]) -> None:
    expected = tuple(sorted(("CC(=O)O", "NCc1ccccc1")))
    failures, unread = [], []
    for form, after, before in itertools.product(forms, AFTER, BEFORE):
        text = (
            before.format(other="CCBr.CCI")
            + form.format("CC(=O)O", "NCc1ccccc1")
            + after.format(other="CCBr.CCI")
        )
        value = components(text)
        if value not in (expected, None):
            failures.append((value, text))
        elif value is None and not after and not before:
            unread.append(text)
    assert failures == []
    assert unread == []


BOX_FORMS = (
    "[10, 20, 110, 220]",
    "<box>[[10, 20, 110, 220]]</box>",
    '{{"bbox_2d": [10, 20, 110, 220], "label": "cat"}}',
    "Answer: [10, 20, 110, 220]",
    "The box is (10, 20), (110, 220).",
    "答案：[10, 20, 110, 220]",
)


def test_rectangles_in_reasoning_are_not_read() -> None:
    reasoning = [before for before in BEFORE if "hink" in before or "analysis" in before]
    for form, before in itertools.product(BOX_FORMS, ("", *reasoning)):
        text = before.format(other="[1, 2, 3, 4]") + form.format()
        assert rectangle(text) == (10.0, 20.0, 110.0, 220.0), text
    assert rectangle("<think>It is at [1, 2, 3, 4]") is None
    assert rectangle("<think>It is at [1, 2, 3, 4]</think>I cannot see it.") is None


WITHOUT_ANSWER = (
    "I could not decide between {a} and {b}.", "It is either {a} or {b}.", "We have to compare {a}, {b} and {c}.", "I'm sorry, but I can't help with that.", "I cannot answer this question.",
    "Is it {a}? Or {b}?", "The answer is not {a}.", "If the answer is {a}, then {b} fails.", "<think>The answer is {a}. Let me double-check", "[THINK]So the answer is {a}. Let me",
    "<|channel|>analysis<|message|>The answer is {a}", "analysisSo the answer is {a}. Need to", "Both {a} and {b} seem plausible.", "A student claims the answer is {a}. I could not verify this.",
    "Without more data one cannot choose between {a} and {b}.", "抱歉，我无法回答这个问题。", "答案不是{a}。", "如果答案是{a}，则矛盾。", "ANSWER:", "The answer is", "\\boxed{{}}", "<answer></answer>",
    "The answer could be {a}, {b} or {c}.", "Answer: {a} or {b}", "I am torn between {a} and {b}", "Some people say {a}, others say {b}.", "None of this settles the matter.", "There are {n} cases to consider.",
    "Neither {a} nor {b} is right.", "ANSWER: {a}\n\nWait, that is wrong. Let me redo this from the", "The SMILES could be {a} or {b}.", "<SMILES></SMILES>",
)  # fmt: skip
FILLER = (
    "",
    "We look at the structure. ",
    "Consider the energy balance first.\n",
    "Step 1: list what is known.\n",
    "首先分析题目。\n",
)
CANDIDATES = {
    molecule: ("CC(=O)Oc1ccccc1C(=O)O", "CCN", "CCCl", "c1ccncc1O"),
    components: ("CCO.CC(=O)O", "CC(=O)Cl.CCN", "CCBr", "c1ccccc1.ClCl"),
    formula: ("C9H8O4", "C6H12O6", "C2H6O", "C7H6O3"),
    name: ("2-acetyloxybenzoic acid", "propan-2-ol", "3-methylpentane", "N-phenylacetamide"),
    number: ("1.42 eV", "0.6 eV", "3.2 eV", "2.5 eV"),
}  # fmt: skip


@pytest.mark.parametrize("read", CANDIDATES, ids=lambda read: read.__name__)
def test_replies_without_an_answer_are_read_as_nothing(read: object) -> None:
    rng = random.Random(1)
    wrong_readings = []
    for _ in range(2_000):
        a, b, c = rng.sample(CANDIDATES[read], 3)
        text = rng.choice(WITHOUT_ANSWER).format(a=a, b=b, c=c, n=rng.randint(2, 9))
        text = text if text.startswith("analysis") else rng.choice(FILLER) + text
        if rng.random() < 0.3:
            text += "\n" + rng.choice(WITHOUT_ANSWER[:6]).format(a=a, b=b, c=c, n=3)
        if (value := read(text)) is not None:
            wrong_readings.append((value, text))
    assert len(wrong_readings) <= 1, sorted(set(wrong_readings))[:20]


HOSTILE_PIECES = (
    "smiles ", "SMILES: ", "<SMILES>", "<SMILES>C</SMILES> ", "Reactant 1: CCO\n", "- CCO\n", "1. C (", "`C` ", "(", "C(", "C or ", "产物：", '"smiles": "', "CCO ", " ( ", "[",
    "formula is ", "formula: ", "name: ", "called ", "<IUPAC>", "分子式", "1.5 eV ", "5 or ", "±", "10^", "\\frac{", "answer: 5 ", "<NUMBER>", "(甲", "| ", "** ", "wait, ", "[1,2,3,4]", "\n", " ",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE_PIECES)
def test_no_reader_blocks_the_event_loop_on_hostile_text(piece: str) -> None:
    for text in (
        piece * (65_536 // len(piece)),
        "word " * 6_000 + piece * (32_768 // len(piece)),
        "ANSWER: " + piece * (65_536 // len(piece)),
    ):
        for read in (molecule, components, formula, name, number, rectangle):
            assert_cpu_time(BUSY_FACTOR * BOUND_S, partial(read, text), (read.__name__, piece))
