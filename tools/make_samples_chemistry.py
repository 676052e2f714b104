"""Write the bundled items of SMolInstruct: our own questions, with answers computed by RDKit or looked up.

    python -m tools.make_samples_chemistry            write suites/samples/smolinstruct/*.jsonl
    python -m tools.make_samples_chemistry --check    list files that differ; exit status 1 if there are any

RDKit computes all formulas, all SMILES in the data set's form (canonical, Kekulé), and all products of reactions (by
reaction templates). Values that are looked up have their source beside them: systematic names, measured solubilities and
partition coefficients (log D at pH 7.4 equals log P for uncharged compounds), and pharmacology that does not depend on a
threshold. The structures of drugs are those of ChEMBL's approved drugs. `test_sample_facts.py` compares the coefficients
with two tables, and the names with OPSIN's structures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from rdkit import Chem
from rdkit.Chem import rdChemReactions, rdMolDescriptors

from tools.sample_files import SAMPLES, json_lines, write_or_check

NAMES = {
    "2-acetyloxybenzoic acid": "CC(=O)Oc1ccccc1C(=O)O",
    "2-[4-(2-methylpropyl)phenyl]propanoic acid": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "N-(4-hydroxyphenyl)acetamide": "CC(=O)Nc1ccc(O)cc1",
    "1,3,7-trimethylpurine-2,6-dione": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "3-[(2S)-1-methylpyrrolidin-2-yl]pyridine": "CN1CCC[C@H]1c1cccnc1",
    "4-hydroxy-3-methoxybenzaldehyde": "COc1cc(C=O)ccc1O",
    "(2S)-2-aminopropanoic acid": "C[C@H](N)C(=O)O",
    "(2R)-butan-2-ol": "CC[C@@H](C)O",
    "(E)-but-2-enedioic acid": "OC(=O)/C=C/C(=O)O",
    "2-methyl-1,3,5-trinitrobenzene": "Cc1c(cc(cc1[N+](=O)[O-])[N+](=O)[O-])[N+](=O)[O-]",
    "1-chloro-4-nitrobenzene": "Clc1ccc(cc1)[N+](=O)[O-]",
    "sodium;acetate": "CC(=O)[O-].[Na+]",
    "2-(dimethylamino)ethanol": "CN(C)CCO",
    "5-methyl-2-propan-2-ylphenol": "CC(C)c1ccc(C)cc1O",
}

DRUGS = {
    "1-[(2R,4S,5S)-4-azido-5-(hydroxymethyl)oxolan-2-yl]-5-methylpyrimidine-2,4-dione": "zidovudine",
    "1-[(2R,5S)-5-(hydroxymethyl)-2,5-dihydrofuran-2-yl]-5-methylpyrimidine-2,4-dione": "stavudine",
    "(4S)-6-chloro-4-(2-cyclopropylethynyl)-4-(trifluoromethyl)-1H-3,1-benzoxazin-2-one": "efavirenz",
    "4-amino-1-[(2R,5S)-2-(hydroxymethyl)-1,3-oxathiolan-5-yl]pyrimidin-2-one": "lamivudine",
    "4-amino-1-[(2R,5S)-5-(hydroxymethyl)oxolan-2-yl]pyrimidin-2-one": "zalcitabine",
    "(2S)-3-(3,4-dihydroxyphenyl)-2-hydrazinyl-2-methylpropanoic acid": "carbidopa",
    "(2R,3R,4R,5R)-hexane-1,2,3,4,5,6-hexol": "mannitol",
    "(2S)-2-[[4-[(2,4-diaminopteridin-6-yl)methyl-methylamino]benzoyl]amino]pentanedioic acid": "methotrexate",
}
"""Systematic names of the drugs below whose SMILES specify stereochemistry; OPSIN's structure of each must be among their SMILES."""

LOG_S = {
    "c1ccccc1": -1.64,
    "Cc1ccccc1": -2.21,
    "c1ccc2ccccc2c1": -3.60,
    "c1ccc(cc1)-c1ccccc1": -4.31,
    "Oc1ccccc1": 0.00,
    "Nc1ccccc1": -0.41,
    "O=[N+]([O-])c1ccccc1": -1.80,
    "Clc1ccccc1": -2.38,
    "CCCCCC": -3.84,
    "C1CCCCC1": -3.10,
    "ClC(Cl)Cl": -1.17,
    "CCOCC": -0.09,
    "CCCCCCCCO": -2.39,
    "OC(=O)c1ccccc1": -1.55,
}
"""SMILES -> log10 of the solubility in mol/L in water at 20 to 25 °C (Huuskonen 2000, J. Chem. Inf. Comput. Sci. 40, 773)."""

LOG_P = {
    "c1ccccc1": 2.13,
    "Cc1ccccc1": 2.73,
    "c1ccc2ccccc2c1": 3.30,
    "Clc1ccccc1": 2.84,
    "O=[N+]([O-])c1ccccc1": 1.85,
    "COc1ccccc1": 2.11,
    "O=Cc1ccccc1": 1.48,
    "CC(=O)c1ccccc1": 1.58,
    "CC(=O)Nc1ccccc1": 1.16,
    "O=C1CCCCC1": 0.81,
    "CCCCCCCCO": 3.00,
    "CCOCC": 0.89,
    "CCOC(C)=O": 0.73,
    "c1ccc(cc1)-c1ccccc1": 3.98,
}
"""SMILES -> log10 of the octanol-water partition coefficient (CRC Handbook and SYRRES, from the package `chemicals`)."""

BRAIN = {
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C": "Yes",  # caffeine, N06BC01
    "CN1CCC[C@H]1c1cccnc1": "Yes",  # nicotine, N07BA01
    "CCO": "Yes",  # ethanol, N07BB06
    "CN1c2ccc(Cl)cc2C(=NCC1=O)c1ccccc1": "Yes",  # diazepam, N05BA01
    "CCC1(c2ccccc2)C(=O)NC(=O)NC1=O": "Yes",  # phenobarbital, N03AA02
    "CC(N)Cc1ccccc1": "Yes",  # amphetamine, N06BA01
    "CCCC(C)C1(CC)C(=O)NC(=S)NC1=O": "Yes",  # thiopental, N01AF03
    "NCCc1ccc(O)c(O)c1": "No",  # dopamine: hence levodopa
    "C[C@@](Cc1ccc(O)c(O)c1)(NN)C(=O)O": "No",  # carbidopa: given because it stays outside
    "OC[C@@H](O)[C@@H](O)[C@H](O)[C@H](O)CO": "No",  # mannitol: an osmotic agent because it stays outside
    "CN(Cc1cnc2nc(N)nc(N)c2n1)c1ccc(cc1)C(=O)N[C@@H](CCC(=O)O)C(=O)O": "No",  # methotrexate: given intrathecally
    "NCCc1c[nH]c2ccc(O)cc12": "No",  # serotonin: made where it acts
}
"""Yes: acts in the brain, according to its class in the WHO's ATC index. No: stays outside, according to its label or textbooks."""

WITHDRAWN = {
    "Nc1c(CC(=O)O)cccc1C(=O)c1ccc(Br)cc1": "Yes",  # bromfenac (by mouth), liver
    "CC(C(=O)O)c1ccc2oc(nc2c1)-c1ccc(Cl)cc1": "Yes",  # benoxaprofen, liver
    "NC(=N)NC(=N)NCCc1ccccc1": "Yes",  # phenformin, lactic acidosis
    "Cc1c(C)c2c(c(C)c1O)CCC(C)(COc1ccc(CC3SC(=O)NC3=O)cc1)O2": "Yes",  # troglitazone, liver
    "CN1CC(c2ccccc2)c2cccc(N)c2C1": "Yes",  # nomifensine, haemolytic anaemia
    "O=C(O)COc1ccc(C(=O)c2cccs2)c(Cl)c1Cl": "Yes",  # ticrynafen, liver
    "CC(C)(C)c1ccc(cc1)C(O)CCCN1CCC(CC1)C(O)(c1ccccc1)c1ccccc1": "Yes",  # terfenadine, arrhythmia
    "CC(=O)Oc1ccccc1C(=O)O": "No",  # aspirin
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O": "No",  # ibuprofen
    "CN(C)C(=N)NC(=N)N": "No",  # metformin
    "CCN(CC)CC(=O)Nc1c(C)cccc1C": "No",  # lidocaine
    "CC(=O)Nc1ccc(O)cc1": "No",  # paracetamol
}
"""Yes: in Wikipedia's "List of withdrawn drugs". No: in the WHO's Model List of Essential Medicines."""

HIV = {
    "Cc1cn([C@H]2C[C@H](N=[N+]=[N-])[C@@H](CO)O2)c(=O)[nH]c1=O": "Yes",  # zidovudine
    "Cc1cn([C@H]2C=C[C@@H](CO)O2)c(=O)[nH]c1=O": "Yes",  # stavudine
    "O=C1Nc2c(C)ccnc2N(C2CC2)c2ncccc12": "Yes",  # nevirapine
    "O=C1Nc2ccc(Cl)cc2[C@@](C#CC2CC2)(C(F)(F)F)O1": "Yes",  # efavirenz
    "Nc1ccn([C@@H]2CS[C@H](CO)O2)c(=O)n1": "Yes",  # lamivudine
    "Nc1ccn([C@H]2CC[C@@H](CO)O2)c(=O)n1": "Yes",  # zalcitabine
    "NCC(=O)O": "No",  # glycine
    "N[C@@H](CCC(N)=O)C(=O)O": "No",  # L-glutamine
    "CC(C)[C@H](N)C(=O)O": "No",  # L-valine
    "CC(C)C[C@H](N)C(=O)O": "No",  # L-leucine
    "OC1C(O)C(O)C(O)C(O)C1O": "No",  # inositol
    "NC(=O)c1cccnc1": "No",  # nicotinamide
}
"""Yes: approved by the FDA against HIV. No: an ingredient of RPMI 1640, the medium in which the virus is grown."""

EFFECTS = (
    ("CC(=O)Oc1ccccc1C(=O)O", "Gastrointestinal disorders", "the stomach and gut", "Yes"),  # aspirin
    ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "Renal and urinary disorders", "the kidneys", "Yes"),  # ibuprofen
    ("CC(=O)Nc1ccc(O)cc1", "Hepatobiliary disorders", "the liver", "Yes"),  # paracetamol
    ("Cn1cnc2c1c(=O)n(C)c(=O)n2C", "Psychiatric disorders", "sleep and mood", "Yes"),  # caffeine
    ("CN(C)C(=N)NC(=N)N", "Gastrointestinal disorders", "the stomach and gut", "Yes"),  # metformin
    ("CN1c2ccc(Cl)cc2C(=NCC1=O)c1ccccc1", "Nervous system disorders", "the nervous system", "Yes"),  # diazepam
    ("O=C1CCC(N2C(=O)c3ccccc3C2=O)C(=O)N1", "Pregnancy conditions", "the unborn child", "Yes"),  # thalidomide
    ("CCC1(c2ccccc2)C(=O)NC(=O)NC1=O", "Nervous system disorders", "the nervous system", "Yes"),  # phenobarbital
    ("OCC1OC(OC2(CO)OC(CO)C(O)C2O)C(O)C(O)C1O", "Ear and labyrinth disorders", "the ear", "No"),  # sucrose
    ("C[C@H](N)C(=O)O", "Ear and labyrinth disorders", "the ear", "No"),  # alanine
    ("COc1cc(C=O)ccc1O", "Ear and labyrinth disorders", "the ear", "No"),  # vanillin
    ("NCC(=O)O", "Ear and labyrinth disorders", "the ear", "No"),  # glycine
)  # fmt: skip
"""SMILES, SIDER's class of side effects (column `target`), the organ in the question, answer.

Yes: listed as an adverse reaction on the drug's label. No: foods and amino acids, generally recognised as safe."""

CAPTIONS = {
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C": "The molecule is a purine alkaloid, xanthine with a methyl group on each of the "
    "nitrogen atoms 1, 3 and 7. It occurs in coffee and tea and stimulates the central nervous system.",
    "CC(=O)Oc1ccccc1C(=O)O": "The molecule is the acetate ester of salicylic acid. It inhibits cyclooxygenases and "
    "is used against pain, fever and the clotting of blood.",
    "CC(=O)Nc1ccc(O)cc1": "The molecule is the amide of acetic acid and 4-aminophenol. It is a phenol that relieves "
    "pain and fever.",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O": "The molecule is propanoic acid that carries a 4-isobutylphenyl group at position "
    "2. It is a non-steroidal anti-inflammatory drug.",
    "COc1cc(C=O)ccc1O": "The molecule is benzaldehyde with a methoxy group at position 3 and a hydroxy group at "
    "position 4. It is the main flavour of vanilla.",
    "CN1CCC[C@H]1c1cccnc1": "The molecule is a pyridine alkaloid in which a (2S)-1-methylpyrrolidin-2-yl group sits "
    "at position 3 of the ring. It occurs in tobacco and activates acetylcholine receptors.",
    "NC(N)=O": "The molecule is the diamide of carbonic acid. Mammals excrete most of their nitrogen as this compound.",
    "NCCc1ccc(O)c(O)c1": "The molecule is a catecholamine, benzene-1,2-diol with a 2-aminoethyl group at position 4. "
    "It is a neurotransmitter and the precursor of noradrenaline.",
    "C[C@H](N)C(=O)O": "The molecule is the L-enantiomer of the amino acid that has a methyl group as its side "
    "chain. It is one of the building blocks of proteins.",
    "OC(=O)CC(O)(CC(=O)O)C(=O)O": "The molecule is propane-1,2,3-tricarboxylic acid with a hydroxy group at "
    "position 2. It gives lemons their taste and starts the tricarboxylic acid cycle.",
    "CC(C)c1ccc(C)cc1O": "The molecule is phenol with an isopropyl group at position 2 and a methyl group at "
    "position 5. It is a monoterpenoid of thyme and kills bacteria.",
    "Oc1ccccc1": "The molecule is benzene with one hydroxy group, the simplest member of its class. Its dilute "
    "solution was the first surgical antiseptic.",
}

REACTIONS = (
    ("[C:1](=[O:2])Cl.[NX3;H2,H1;!$(NC=O):3]>>[C:1](=[O:2])[N:3]", "CC(=O)Cl", "NCc1ccccc1"),
    ("[C:1](=[O:2])Cl.[NX3;H2,H1;!$(NC=O):3]>>[C:1](=[O:2])[N:3]", "O=C(Cl)c1ccccc1", "C1COCCN1"),
    ("[C:1](=[O:2])Cl.[NX3;H2,H1;!$(NC=O):3]>>[C:1](=[O:2])[N:3]", "CCC(=O)Cl", "Nc1ccc(F)cc1"),
    ("[C:1](=[O:2])Cl.[OX2H:3][C:4]>>[C:1](=[O:2])[O:3][C:4]", "CC(=O)Cl", "OCCc1ccccc1"),
    ("[C:1](=[O:2])[OH].[OX2H:3][CX4:4]>>[C:1](=[O:2])[O:3][C:4]", "OC(=O)c1ccccc1", "CCO"),
    ("[C:1](=[O:2])[OH].[OX2H:3][CX4:4]>>[C:1](=[O:2])[O:3][C:4]", "CC(=O)O", "CC(C)CCO"),
    ("[c:1][OX2H:2].[CH2:3]Br>>[c:1][O:2][C:3]", "Oc1ccc(Cl)cc1", "BrCc1ccccc1"),
    ("[c:1]B(O)O.[c:2]Br>>[c:1][c:2]", "OB(O)c1ccccc1", "Brc1ccncc1"),
    ("[c:1]B(O)O.[c:2]Br>>[c:1][c:2]", "COc1ccc(cc1)B(O)O", "Brc1ccc(C=O)cc1"),
    ("[NX3;H1:1].[CH2:2]Br>>[N:1][C:2]", "C1CCNCC1", "BrCCc1ccccc1"),
    ("[CX3H1:1]=O.[NX3;H2:2][c:3]>>[C:1]=[N:2][c:3]", "O=Cc1ccccc1", "Nc1ccccc1"),
    ("[N:1]=[C:2]=[O:3].[NX3;H2:4]>>[N:1][C:2](=[O:3])[N:4]", "O=C=Nc1ccccc1", "NC1CCCCC1"),
)
"""Reaction template in SMARTS, then the SMILES of the reactants."""


def kekule(smiles: str) -> str:
    """Return a molecule in the data set's form: its fragments in canonical Kekulé SMILES, sorted."""
    fragments = []
    for fragment in smiles.split("."):
        mol = Chem.MolFromSmiles(fragment)
        Chem.Kekulize(mol)
        fragments.append(Chem.MolToSmiles(mol, kekuleSmiles=True))
    return ".".join(sorted(fragments))


def formula(smiles: str) -> str:
    """Return a molecule's formula in the data set's form."""
    return rdMolDescriptors.CalcMolFormula(Chem.MolFromSmiles(smiles))


def product(template: str, *reactants: str) -> str:
    """Return the product of a reaction; raises ValueError unless there is exactly one."""
    reaction = rdChemReactions.ReactionFromSmarts(template)
    products = set()
    for (mol,) in reaction.RunReactants(tuple(map(Chem.MolFromSmiles, reactants))):
        Chem.SanitizeMol(mol)
        products.add(kekule(Chem.MolToSmiles(mol)))
    if len(products) != 1:
        raise ValueError(f"{template} on {reactants} gives {products}")
    return products.pop()


class Item(NamedTuple):
    """An item of a task; `{}` in the question and the answer stands for the raw input and the raw output."""

    task: str
    raw_input: str
    raw_output: str
    question: str
    answer: str = "{}"
    target: str | None = None
    """The column `target` of the data set, which only SIDER uses."""


def items() -> Iterator[Item]:
    """Yield the items of all tasks."""
    for name, smiles in NAMES.items():
        mol_formula, kekule_smiles = formula(smiles), kekule(smiles)
        question = "Which molecular formula belongs to the name {} ?"
        yield Item("name_conversion-i2f", name, mol_formula, question, "It is {} .")
        yield Item("name_conversion-i2s", name, kekule_smiles, "Write the compound {} as SMILES.")
        question = "Which molecular formula does {} have?"
        yield Item("name_conversion-s2f", kekule_smiles, mol_formula, question)
        question = "Give the IUPAC name of {} ."
        yield Item("name_conversion-s2i", kekule_smiles, name, question, "It is called {} .")
    for smiles, log_s in LOG_S.items():
        question, answer = "How soluble in water is {} ?", "{} mol/L as log10."
        yield Item("property_prediction-esol", kekule(smiles), f"{log_s:.2f}", question, answer)
    for smiles, log_p in LOG_P.items():
        question = "What is the octanol/water distribution coefficient logD of {} at pH 7.4?"
        yield Item("property_prediction-lipo", kekule(smiles), f"{log_p:.2f}", question)
    for task, question, answers in (
        ("property_prediction-bbbp", "Does {} cross the blood-brain barrier?", BRAIN),
        ("property_prediction-clintox", "Was {} taken off the market because of its toxicity?", WITHDRAWN),
        ("property_prediction-hiv", "Does {} inhibit the replication of HIV?", HIV),
    ):
        for smiles, answer in answers.items():
            yield Item(task, kekule(smiles), answer, question)
    for smiles, target, organ, answer in EFFECTS:
        question = f"At ordinary doses, are there known side effects of {{}} on {organ}?"
        yield Item("property_prediction-sider", kekule(smiles), answer, question, target=target)
    for smiles, caption in CAPTIONS.items():
        yield Item("molecule_captioning", kekule(smiles), caption, "Describe the molecule {} in words.")
        yield Item("molecule_generation", caption, kekule(smiles), "Give a molecule that fits: {}")
    for template, *reactants in REACTIONS:
        inputs, output = kekule(".".join(reactants)), product(template, *reactants)
        question = "What do {} give when they react?"
        yield Item("forward_synthesis", inputs, output, question, "They give {} .")
        yield Item("retrosynthesis", output, inputs, "From which reactants can {} be made in one step?")


TAGS = {
    "i2f": ("IUPAC", "MOLFORMULA"),
    "i2s": ("IUPAC", "SMILES"),
    "s2f": ("SMILES", "MOLFORMULA"),
    "s2i": ("SMILES", "IUPAC"),
    "esol": ("SMILES", "NUMBER"),
    "lipo": ("SMILES", "NUMBER"),
    "molecule_captioning": ("SMILES", ""),
    "molecule_generation": ("", "SMILES"),
    "forward_synthesis": ("SMILES", "SMILES"),
    "retrosynthesis": ("SMILES", "SMILES"),
}
"""Last part of a task's name -> tags around the raw input and the raw output; empty for text."""


def row(number: int, item: Item) -> dict[str, Any]:
    """Return an item as a row with the hub's columns."""
    tag_names = TAGS.get(item.task.rpartition("-")[2], ("SMILES", "BOOLEAN"))
    tags = [(f"<{name}>", f"</{name}>") if name else (None, None) for name in tag_names]
    tagged = [
        raw if not tag[0] else f"{tag[0]} {raw} {tag[1]}"
        for raw, tag in zip((item.raw_input, item.raw_output), tags, strict=True)
    ]
    return {
        "sample_id": f"{item.task}.sample.{number}.{item.target}",
        "input": item.question.replace("{}", tagged[0]),
        "output": item.answer.replace("{}", tagged[1]),
        "raw_input": item.raw_input,
        "raw_output": item.raw_output,
        "split": "sample",
        "task": item.task,
        "input_core_tag_left": tags[0][0],
        "input_core_tag_right": tags[0][1],
        "output_core_tag_left": tags[1][0],
        "output_core_tag_right": tags[1][1],
        "target": item.target,
    }


def files() -> dict[str, str]:
    """Return the contents by file name."""
    by_task: dict[str, list[Item]] = {}
    for item in items():
        by_task.setdefault(item.task, []).append(item)
    return {
        f"{task}.jsonl": json_lines(row(i, item) for i, item in enumerate(task_items))
        for task, task_items in by_task.items()
    }


def names_that_differ() -> list[str]:
    """Return a line for each name to which OPSIN assigns another structure; raises ImportError without py2opsin."""
    from py2opsin import py2opsin

    names = [*NAMES, *DRUGS]
    smiles = dict(zip(names, py2opsin([name.replace(";", " ") for name in names]), strict=True))
    known = {kekule(smiles) for smiles in (*BRAIN, *HIV)}
    faults = [
        f"{name}: OPSIN's structure is {smiles[name]!r}"
        for name in NAMES
        if kekule(smiles[name]) != kekule(NAMES[name])
    ]
    return faults + [
        f"{DRUGS[name]}: {smiles[name]} is not among the SMILES"
        for name in DRUGS
        if kekule(smiles[name]) not in known
    ]


if __name__ == "__main__":
    sys.exit(write_or_check(SAMPLES / "smolinstruct", files()))
