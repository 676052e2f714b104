"""Write the bundled items of Mol-Instructions: those of SMolInstruct in SELFIES, reagents from textbooks, energies from QM9.

python -m tools.make_samples_selfies            write suites/samples/mol_instructions/*.jsonl
python -m tools.make_samples_selfies --check    list files that differ; exit status 1 if there are any
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import selfies

from tools.sample_files import SAMPLES, json_lines, write_or_check

ITEMS = 12
"""Number of items that are taken from each file of SMolInstruct."""
SHARED_TASKS = {
    "molecular_description_generation": ("molecule_captioning", "Describe this molecule in words."),
    "description_guided_molecule_design": ("molecule_generation", "Give a molecule that fits this description."),
    "forward_reaction_prediction": ("forward_synthesis", "What is the product of this reaction?"),
    "retrosynthesis": ("retrosynthesis", "From which reactants can this be made in one step?"),
}  # fmt: skip
"""Task -> (SMolInstruct's task with the same items, our instruction)."""
REAGENTS = {
    "CC(=O)O.CCO>>CC(=O)OCC": "OS(=O)(=O)O",  # Fischer esterification
    "c1ccccc1.CC(=O)Cl>>CC(=O)c1ccccc1": "Cl[Al](Cl)Cl",  # Friedel-Crafts acylation
    "c1ccccc1>>O=[N+]([O-])c1ccccc1": "O[N+](=O)[O-].OS(=O)(=O)O",  # nitration
    "c1ccccc1>>Brc1ccccc1": "BrBr.Br[Fe](Br)Br",  # bromination
    "C=Cc1ccccc1>>CCc1ccccc1": "[H][H].[Pd]",  # hydrogenation
    "CC(=O)c1ccccc1>>CC(O)c1ccccc1": "[BH4-].[Na+].CO",  # reduction of a ketone
    "OCc1ccccc1>>O=Cc1ccccc1": "O=[Mn]=O",  # oxidation of a benzylic alcohol
    "Nc1ccccc1.CC(=O)Cl>>CC(=O)Nc1ccccc1": "CCN(CC)CC",  # acylation of an amine
    "OC(=O)c1ccccc1>>O=C(Cl)c1ccccc1": "O=S(Cl)Cl",  # acid chloride
    "Brc1ccccc1.OB(O)c1ccccc1>>c1ccc(-c2ccccc2)cc1": "O=C([O-])[O-].[Na+].[Na+].[Pd]",  # Suzuki coupling
    "O=Cc1ccccc1.CC(C)=O>>CC(=O)C=Cc1ccccc1": "[OH-].[Na+]",  # aldol condensation
    "CCO>>CCBr": "BrP(Br)Br",  # bromide of an alcohol
}
"""Reaction -> reagents besides its reactants, from textbooks of organic chemistry."""
ENERGIES = {
    "C": (-0.3877, 0.1171, 0.5048),
    "N": (-0.2570, 0.0829, 0.3399),
    "O": (-0.2928, 0.0687, 0.3615),
    "C#C": (-0.2845, 0.0506, 0.3351),
}
"""SMILES -> HOMO, LUMO and gap in hartree: the first four molecules of QM9 (B3LYP/6-31G(2df,p); Ramakrishnan et al. 2014)."""


def to_selfies(smiles: str) -> str:
    """Return a molecule, several molecules or a reaction in SELFIES."""
    return ">>".join(selfies.encoder(side) for side in smiles.split(">>"))


def rows(task: str) -> Iterator[tuple[str, str, str]]:
    """Yield (instruction, input, output) for each row of a task."""
    if task == "reagent_prediction":
        for reaction, reagents in REAGENTS.items():
            yield "Which reagents does this reaction need?", to_selfies(reaction), to_selfies(reagents)
    elif task == "property_prediction":
        for smiles, energies in ENERGIES.items():
            for name, value in zip(("HOMO", "LUMO", "HOMO-LUMO gap"), energies, strict=True):
                yield f"What is the {name} energy of this molecule?", to_selfies(smiles), f"{value}"
    else:
        source, instruction = SHARED_TASKS[task]
        lines = (SAMPLES / "smolinstruct" / f"{source}.jsonl").read_text(encoding="utf-8").splitlines()
        for row in map(json.loads, lines[:ITEMS]):
            raw_input, raw_output = row["raw_input"].replace(";", "."), row["raw_output"].replace(";", ".")
            yield (
                instruction,
                raw_input if source == "molecule_generation" else to_selfies(raw_input),
                raw_output if source == "molecule_captioning" else to_selfies(raw_output),
            )


def files() -> dict[str, str]:
    """Return the contents by file name."""
    contents = {}
    for task in (*SHARED_TASKS, "reagent_prediction", "property_prediction"):
        lines = [
            {"instruction": i, "input": x, "output": y, "metadata": {"task": task, "split": "test"}}
            for i, x, y in rows(task)
        ]
        contents[f"{task}.jsonl"] = json_lines(lines, ensure_ascii=True)
    return contents


if __name__ == "__main__":
    sys.exit(write_or_check(SAMPLES / "mol_instructions", files()))
