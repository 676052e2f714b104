"""`evals show RUN --sample`: molecules with their formulas, and with names that the sample states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import evals

pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")

ASPIRIN = "CC(=O)OC1=CC=CC=C1C(=O)O"
CANONICAL = "CC(=O)Oc1ccccc1C(=O)O"


def shown_block(here: Path, suite: str, title: str, reply: str) -> str:
    """Run a suite with this reply, show its first bundled item, and return the block with this title."""
    run_outcome = evals(
        "run", suite, "--sample", "--limit", "14", "-m", f"scripted:{reply}", "--quiet", "--run", "one"
    )
    assert run_outcome.status in (0, 1), run_outcome.err
    item = {"I2S": "name_conversion-i2s", "S2I": "name_conversion-s2i", "FS": "forward_synthesis"}[
        suite[-3:].lstrip(":-")
    ]
    outcome = evals("show", "one", "--sample", f"{item}.sample.0.None")
    assert outcome.status == 0, outcome.err
    return outcome.out.partition(f"\n{title}\n")[2].partition("\n\n")[0]


def test_the_gold_molecule_is_shown_with_the_name_in_the_question(here: Path) -> None:
    gold = shown_block(here, "smolinstruct:NC-I2S", "Gold", "<SMILES> CCO </SMILES>")
    assert gold == f"  {ASPIRIN}  (C9H8O4)\n  2-acetyloxybenzoic acid"


def test_an_answer_equal_to_the_gold_molecule_is_shown_with_its_name(here: Path) -> None:
    answer = shown_block(here, "smolinstruct:NC-I2S", "Answer", f"<SMILES> {CANONICAL} </SMILES>")
    assert answer == f"  {CANONICAL}  (C9H8O4)\n  2-acetyloxybenzoic acid"


def test_another_molecule_is_shown_with_formula_and_canonical_smiles_but_no_name(here: Path) -> None:
    answer = shown_block(here, "smolinstruct:NC-I2S", "Answer", "<SMILES> OCC </SMILES>")
    assert answer == "  OCC  (C2H6O; canonical CCO)"
    assert shown_block(here, "smolinstruct:NC-I2S", "Molecules", "<SMILES> OCC </SMILES>") == ""


def test_a_molecule_to_be_named_is_shown_with_the_gold_name(here: Path) -> None:
    molecules = shown_block(here, "smolinstruct:NC-S2I", "Molecules", "no idea")
    assert molecules == f"  {ASPIRIN}  (C9H8O4)\n  2-acetyloxybenzoic acid"


def test_molecules_without_a_name_are_shown_with_canonical_smiles(here: Path) -> None:
    molecules = shown_block(here, "smolinstruct:FS", "Molecules", "no idea")
    assert molecules == "  CC(=O)Cl.NCC1=CC=CC=C1  (C2H3ClO + C7H9N; canonical CC(=O)Cl.NCc1ccccc1)"
