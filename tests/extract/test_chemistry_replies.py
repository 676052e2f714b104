"""Replies in the styles of today's models, judged by hand: what is read from them, by kind. None: nothing may be read.

The second to fourth files were judged before any of them was run: 101 of 120, 71 of 80, then 34 of 40 were read right at
first; one case of each of the first two lots is debatable.
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


def value_of(case: dict[str, Any]) -> Any:
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
    value, wanted = value_of(case), case["read"]
    if case["kind"] == "number":
        pytest.importorskip("pint")
        assert value == (wanted if wanted is None else pytest.approx(wanted, rel=2e-3))
    elif case["kind"] == "formula":
        assert (value and element_counts(value)) == (wanted and element_counts(wanted))
    elif case["kind"] in ("reactants", "products"):
        assert (value and sorted(value.split("."))) == (wanted and sorted(wanted.split(".")))
    else:
        assert value == wanted


def test_what_was_read_and_where_is_part_of_the_score() -> None:
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
def test_an_impossible_molecule_is_invalid_and_no_failure(text: str) -> None:
    pytest.importorskip("rdkit")
    score = Molecule()(Sample(id="1", target="CCO"), Prompt(), Reply(text=text))
    assert (score.value, score.verdict) == (0.0, "invalid")


def test_a_tower_of_powers_is_no_number_and_no_failure() -> None:
    reply = Reply(text=r"\boxed{9^{9^{9}}}")
    for scorer in (Within(), AbsoluteError()):
        assert scorer(Sample(id="1", target=9.0), Prompt(), reply).verdict in ("unanswered", "wrong")


def test_a_reply_cut_in_its_reasoning_is_truncated() -> None:
    reply = Reply(text="<think>The formula is C2H6O, so <MOLFORMULA> C2H6O </MOLFORMULA>")
    assert Formula()(Sample(id="1", target="C2H6O"), Prompt(), reply).verdict == "truncated"


def test_components_are_named_beside_the_strict_verdict() -> None:
    pytest.importorskip("rdkit")
    sample = Sample(id="1", target="CC(=O)Cl.NCc1ccccc1")
    reply = Reply(text="Reactant 1: CC(=O)Cl\nReactant 2: Cl")
    score = Molecule(several=True, side="reactants")(sample, Prompt(), reply)
    assert (score.verdict, score.parts["components"]) == ("wrong", 0.5)
    assert score.why == "CC(=O)Cl is right, NCc1ccccc1 is missing, Cl is extra"
