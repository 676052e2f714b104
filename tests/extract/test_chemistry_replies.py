"""Replies in the styles of current models, each with its hand-judged reading; None if nothing may be read.

The replies of the second to fourth files were judged before the readers were run on them: at first, 101 of 120, 71 of 80
and 34 of 40 were read correctly. One case in each of the second and third files is debatable.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals.extract.chemical import stated_formula, stated_name
from evals.extract.molecules import stated_molecule
from evals.extract.numbers import stated_integer
from evals.extract.quantity import stated
from evals.extract.units import convert
from evals.scorers.formula import Formula, element_counts, is_formula
from evals.scorers.molecule import Molecule
from evals.scorers.names import Name
from evals.scorers.number import AbsoluteError, Within
from evals.types import Prompt, Reply, Sample
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [
    json.loads(line)
    for name in (
        "chemistry_replies.jsonl",
        "chemistry_replies_second.jsonl",
        "chemistry_replies_third.jsonl",
        "chemistry_replies_fourth.jsonl",
    )
    for line in (TESTS / "cases" / name).read_text("utf-8").splitlines()
]


def read_value(case: dict[str, Any]) -> Any:
    text = case["reply"]
    match case["kind"]:
        case "molecule":
            reading = stated_molecule(text)
        case "reactants" | "products":
            reading = stated_molecule(text, is_set=True, side=case["kind"])
        case "formula":
            reading = stated_formula(text, is_formula)
        case "name":
            reading = stated_name(text)
        case "integer":
            reading = stated_integer(text)
        case _:
            reading = stated(text, case["unit"])
            return reading and convert(reading.value.value, reading.value.unit, case["unit"])
    return reading and reading.value


@table("case", CASES, ids=lambda case: f"{case['kind']}|{case['reply'][:40]!a}")
def test_a_reply_is_read_as_a_person_reads_it(case: dict[str, Any]) -> None:
    value, expected = read_value(case), case["read"]
    if case["kind"] == "number":
        pytest.importorskip("pint")
        assert value == (expected if expected is None else pytest.approx(expected, rel=2e-3))
    elif case["kind"] == "formula":
        assert (value and element_counts(value)) == (expected and element_counts(expected))
    elif case["kind"] in ("reactants", "products"):
        assert (value and sorted(value.split("."))) == (expected and sorted(expected.split(".")))
    else:
        assert value == expected


def test_scores_record_the_form_and_the_span_of_the_answer() -> None:
    pytest.importorskip("rdkit")
    reply = "It is ethanol.\n\nSMILES: `OCC`"
    score = Molecule()(Sample(id="1", target="CCO"), Prompt(), Reply(text=reply))
    assert (score.verdict, score.form, score.suspect) == ("right", "line", False)
    assert score.span is not None
    assert reply[slice(*score.span)] == "OCC"
    score = Formula()(
        Sample(id="1", target="C2H6O"), Prompt(), Reply(text="<MOLFORMULA> C2H6O </MOLFORMULA>")
    )
    assert (score.verdict, score.form, score.span) == ("right", "tag", (13, 18))
    score = Name()(Sample(id="1", target="ethanol"), Prompt(), Reply(text="The compound is **ethanol**."))
    assert (score.verdict, score.form, score.suspect) == ("right", "emphasis", True)
    score = AbsoluteError()(Sample(id="1", target=1.5, unit="eV"), Prompt(), Reply(text="The gap is 1.5 eV."))
    assert (score.verdict, score.form, score.suspect) == ("graded", "prose", True)


@pytest.mark.parametrize(
    "text", ["<SMILES>[CH99999]</SMILES>", "<SMILES>[CH128]</SMILES>", "<SMILES>C1CC</SMILES>"]
)
def test_an_impossible_molecule_is_scored_as_invalid(text: str) -> None:
    pytest.importorskip("rdkit")
    score = Molecule()(Sample(id="1", target="CCO"), Prompt(), Reply(text=text))
    assert (score.value, score.verdict) == (0.0, "invalid")


def test_a_power_tower_is_not_evaluated() -> None:
    reply = Reply(text=r"\boxed{9^{9^{9}}}")
    for scorer in (Within(), AbsoluteError()):
        assert scorer(Sample(id="1", target=9.0), Prompt(), reply).verdict in ("unanswered", "wrong")


def test_a_reply_that_ends_within_its_reasoning_is_truncated() -> None:
    reply = Reply(text="<think>The formula is C2H6O, so <MOLFORMULA> C2H6O </MOLFORMULA>")
    assert Formula()(Sample(id="1", target="C2H6O"), Prompt(), reply).verdict == "truncated"


def test_a_wrong_set_is_explained_component_by_component() -> None:
    pytest.importorskip("rdkit")
    sample = Sample(id="1", target="CC(=O)Cl.NCc1ccccc1")
    reply = Reply(text="Reactant 1: CC(=O)Cl\nReactant 2: Cl")
    score = Molecule(several=True, side="reactants")(sample, Prompt(), reply)
    assert (score.verdict, score.parts["components"]) == ("wrong", 0.5)
    assert score.why == "CC(=O)Cl is right, NCc1ccccc1 is missing, Cl is extra"
