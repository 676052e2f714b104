"""Chemical formulas are distinguished from other text, and crystal structures are parsed and described."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evals.scorers.material import describe_crystal, looks_like_formula, parse_structure


@pytest.mark.parametrize(
    "text",
    ["Fe2O3", "Ag(AuS)2", "Fe0.620C0.000953Mn0.000521", "$\\mathrm{Fe_2O_3}$", "Ca(OH)2", "[Fe(CN)6]", "Fe₂O₃", "NaCl.", "C"],
)  # fmt: skip
def test_compositions_are_recognised(text: str) -> None:
    assert looks_like_formula(text)


@pytest.mark.parametrize(
    "text",
    ["I think", "Xx2", "(", "H2O)", "", "2H2O", "Hello", "((((((((((H))))))))))", "H2O" * 200, "Fe2O3; rm -rf /", "__import__"],
)  # fmt: skip
def test_other_text_is_not_a_composition(text: str) -> None:
    assert not looks_like_formula(text)


def test_the_description_of_a_crystal_does_not_depend_on_its_file_format() -> None:
    core = pytest.importorskip("pymatgen.core")
    salt = core.Structure.from_spacegroup(
        "Fm-3m", core.Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    text = describe_crystal(salt)
    lines = text.splitlines()
    assert lines[:3] == [
        "Composition: NaCl",
        "Space group: Fm-3m (225)",
        "Lattice: a = 5.64 Å, b = 5.64 Å, c = 5.64 Å,",
    ]
    assert lines[4] == "Sites (8 in the cell, fractional coordinates):"
    assert lines[5] == "  Na 0.0000 0.0000 0.0000"
    assert len(lines) == 13
    assert describe_crystal(parse_structure(salt.as_dict())) == text
    assert describe_crystal(parse_structure(salt.to(fmt="poscar"))).startswith("Composition: NaCl")
    assert describe_crystal(parse_structure(salt.to(fmt="cif"))).splitlines()[1] == lines[1]
    assert describe_crystal(salt, max_sites=3).endswith("... and 5 more")


def test_without_pymatgen_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['pymatgen'] = None; from evals.scorers.material import parse_structure; parse_structure({})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.stderr.strip().splitlines()[-1].endswith("[materials]'")
