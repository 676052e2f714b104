"""`evals show RUN --sample`: molecules with formula, and with the name that the sample itself states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import evals

pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")

ASPIRIN = "CC(=O)OC1=CC=CC=C1C(=O)O"
CANONICAL = "CC(=O)Oc1ccccc1C(=O)O"


def block(here: Path, suite: str, title: str, reply: str) -> str:
    """Return a block of the first bundled item of a suite, answered with this reply."""
    run = evals(
        "run", suite, "--sample", "--limit", "14", "-m", f"scripted:{reply}", "--quiet", "--run", "one"
    )
    assert run.status in (0, 1), run.err
    first = {"I2S": "name_conversion-i2s", "S2I": "name_conversion-s2i", "FS": "forward_synthesis"}[
        suite[-3:].lstrip(":-")
    ]
    shown = evals("show", "one", "--sample", f"{first}.sample.0.None")
    assert shown.status == 0, shown.err
    return shown.out.partition(f"\n{title}\n")[2].partition("\n\n")[0]


def test_the_gold_molecule_has_the_name_of_the_question(here: Path) -> None:
    gold = block(here, "smolinstruct:NC-I2S", "Gold", "<SMILES> CCO </SMILES>")
    assert gold == f"  {ASPIRIN}  (C9H8O4)\n  2-acetyloxybenzoic acid"


def test_an_answer_that_is_the_same_molecule_has_its_name(here: Path) -> None:
    read = block(here, "smolinstruct:NC-I2S", "Answer", f"<SMILES> {CANONICAL} </SMILES>")
    assert read == f"  {CANONICAL}  (C9H8O4)\n  2-acetyloxybenzoic acid"


def test_another_answer_has_formula_and_canonical_smiles_but_no_name(here: Path) -> None:
    read = block(here, "smolinstruct:NC-I2S", "Answer", "<SMILES> OCC </SMILES>")
    assert read == "  OCC  (C2H6O; canonical CCO)"
    assert block(here, "smolinstruct:NC-I2S", "Molecules", "<SMILES> OCC </SMILES>") == ""


def test_a_molecule_whose_name_is_asked_for_has_the_gold_name(here: Path) -> None:
    molecules = block(here, "smolinstruct:NC-S2I", "Molecules", "no idea")
    assert molecules == f"  {ASPIRIN}  (C9H8O4)\n  2-acetyloxybenzoic acid"


def test_molecules_without_a_name_have_the_canonical_smiles(here: Path) -> None:
    molecules = block(here, "smolinstruct:FS", "Molecules", "no idea")
    assert molecules == "  CC(=O)Cl.NCC1=CC=CC=C1  (C2H3ClO + C7H9N; canonical CC(=O)Cl.NCc1ccccc1)"
