"""Write the bundled items of Biology-Instructions: our own questions, whose answers follow from the question or from textbooks.

    python -m tools.make_samples_biology            write suites/samples/biology_instructions/*.jsonl
    python -m tools.make_samples_biology --check    list files that differ; exit status 1 if there are any

Sequences are random; each question states the rule by which its answer is computed from the sequence. The items thus cover
every kind of answer and metric, but test no knowledge of biology, except for families, modifications and enzymes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from evals.data.biology import TASKS
from tools.sample_files import SAMPLES, json_lines, write_or_check

ITEMS = 12
"""Number of items per task with random sequences."""


class Rule(NamedTuple):
    """How an answer is computed from a sequence, and how the question states this."""

    alphabet: str
    motif: str
    """The part of a sequence that decides a yes-or-no question; else empty."""
    instruction: str
    answer: Callable[[str], Any]


def share(letters: str) -> Callable[[str], float]:
    """Return a function that returns the share of these letters in a sequence."""
    return lambda sequence: round(sum(sequence.count(letter) for letter in letters) / len(sequence), 3)


def motif_rule(motif: str) -> Rule:
    """Return the rule that an answer is positive if the sequence contains a motif."""
    return Rule(
        "ACGT",
        motif,
        f"The site is present exactly if the sequence holds {motif}. Is it?",
        lambda s: "positive" if motif in s else "negative",
    )


NUMBERS = {
    "RNA-CRISPROnTarget": Rule("ACGT", "", "Give the share of G and C, as a stand-in for efficiency.", share("GC")),
    "Protein-Fluorescence": Rule("ACDEFGHIKLMNPQRSTVWY", "", "Give the share of aromatic residues (F, W, Y).", share("FWY")),
    "Protein-Stability": Rule("ACDEFGHIKLMNPQRSTVWY", "", "Give the share of the residues I, L and V.", share("ILV")),
    "Protein-Thermostability": Rule("ACDEFGHIKLMNPQRSTVWY", "", "Give the number of prolines, times ten.", lambda s: 10.0 * s.count("P")),
    "RNA-Isoform": Rule("ACGU", "", "Give the share of A and U.", share("AU")),
    "RNA-MeanRibosomeLoading": Rule("ACGU", "", "Give the number of AUG in it, plus the share of A.", lambda s: s.count("AUG") + share("A")(s)),
    "Multi_sequence-sirnaEfficiency": Rule("ACGU", "", "Give the share of A and U in per cent.", lambda s: round(100 * share("AU")(s), 1)),
}  # fmt: skip
"""Task with a number as its answer -> rule."""
KEYED_NUMBERS = {
    "DNA-enhancer_activity": ("ACGT", {"hk": "GC", "dev": "AT"}),
    "RNA-ProgrammableRNASwitches": ("ACGU", {"ON": "G", "OFF": "C", "ON_OFF": "A"}),
}
"""Task with several numbers as its answer -> (alphabet, letters whose share is asked for by key)."""
MOTIFS = {
    "DNA-cpd": "TATAAA", "DNA-emp": "CCGCC", "DNA-pd": "TATA", "DNA-tf-h": "CACGTG", "DNA-tf-m": "GGGCGG",
    "Multi_sequence-antibody_antigen": "GATC", "Multi_sequence-promoter_enhancer_interaction": "AATT",
    "Multi_sequence-rna_protein_interaction": "GCGC", "Protein-Solubility": "GAATTC",
}  # fmt: skip
"""Task with `positive` or `negative` as its answer -> the motif that decides it."""
FAMILIES = {
    "leader": "It precedes the coding part of an operon's transcript and attenuates it.",
    "tRNA": "It carries amino acids to the ribosome and ends in CCA.",
    "5_8S_rRNA": "It belongs to the large subunit of eukaryotic ribosomes and pairs with 28S rRNA.",
    "ribozyme": "It catalyses the cleavage of a phosphodiester bond.",
    "CD-box": "It guides 2'-O-methylation in the nucleolus.",
    "Intron_gpII": "It removes itself by way of a lariat.",
    "IRES": "It lets ribosomes begin without a cap.",
    "5S_rRNA": "About 120 nucleotides long, it belongs to the large subunit and is made by RNA polymerase III.",
    "miRNA": "About 22 nucleotides long, it guides Argonaute to messenger RNAs.",
    "riboswitch": "In a 5' untranslated region it binds a metabolite and changes expression.",
    "Intron_gpI": "It removes itself with the help of a free guanosine.",
    "HACA-box": "It guides pseudouridylation in the nucleolus.",
}
NUCLEOSIDES = {
    "m6A": "N6-methyladenosine", "m1A": "N1-methyladenosine", "m5C": "5-methylcytidine", "m7G": "7-methylguanosine",
    "Psi": "pseudouridine", "AtoI": "inosine made from adenosine", "m5U": "5-methyluridine", "Um": "2'-O-methyluridine",
    "Am": "2'-O-methyladenosine", "m6A,Psi": "N6-methyladenosine and pseudouridine",
    "Cm,Gm": "2'-O-methylcytidine and 2'-O-methylguanosine", "none": "no modified nucleoside",
}  # fmt: skip
ENZYMES = {
    "EC1.1.1.1": "alcohol dehydrogenase", "EC1.1.1.27": "L-lactate dehydrogenase", "EC1.11.1.6": "catalase",
    "EC1.15.1.1": "superoxide dismutase", "EC2.7.1.1": "hexokinase", "EC2.7.1.2": "glucokinase",
    "EC3.1.3.1": "alkaline phosphatase", "EC3.1.3.2": "acid phosphatase", "EC3.4.21.4": "trypsin", "EC3.4.21.5": "thrombin",
    "EC4.2.1.1": "carbonic anhydrase", "EC4.2.1.2,EC6.5.1.2": "fumarate hydratase fused to DNA ligase (NAD+)",
}  # fmt: skip


def rows(task: str) -> Iterator[tuple[str, Any, str, str]]:
    """Yield (prompt, answer, type of the answer, upstream's name of the task)."""
    random = Random(task)
    if task in MOTIFS:
        rule = motif_rule(MOTIFS[task])
        for number in range(ITEMS):
            sequence = "".join(random.choices(rule.alphabet, k=30)).replace(rule.motif, "")
            sequence = sequence[:12] + rule.motif * (number % 2) + sequence[12:]
            yield f"<dna>{sequence}<dna> {rule.instruction}", rule.answer(sequence), "cls", task
    elif task in KEYED_NUMBERS:
        alphabet, shares = KEYED_NUMBERS[task]
        for _ in range(ITEMS):
            sequence = "".join(random.choices(alphabet, k=40))
            keys = ", ".join(f"{key} the share of {' and '.join(letters)}" for key, letters in shares.items())
            answer = {key: share(letters)(sequence) for key, letters in shares.items()}
            yield f"<dna>{sequence}<dna> Give {keys}.", answer, "dict", task
    elif task in NUMBERS:
        rule = NUMBERS[task]
        for _ in range(ITEMS):
            sequence = "".join(random.choices(rule.alphabet, k=40))
            yield f"<seq>{sequence}<seq> {rule.instruction}", float(rule.answer(sequence)), "number", task
    else:
        yield from _textbook_rows(task)


def _textbook_rows(task: str) -> Iterator[tuple[str, Any, str, str]]:
    if task == "RNA-NoncodingRNAFamily":
        for family, description in FAMILIES.items():
            question = f"{description} Which family of RNA is this?"
            yield question, family, "string", "Non-coding RNA Function Classification"
    elif task == "RNA-Modification":
        for labels, nucleosides in NUCLEOSIDES.items():
            question = f"An RNA holds {nucleosides}. What are the short names?"
            yield question, labels, "string", "Modification Prediction"
    else:
        for number, name in ENZYMES.items():
            yield f"What is the EC number of {name}?", number, "string", "Function EC"


def files() -> dict[str, str]:
    """Return the contents by file name."""
    return {
        f"{task}.jsonl": json_lines(
            (
                {"prompt": prompt, "ground_truth": answer, "meta_data": {"ans_type": kind, "task": name}}
                for prompt, answer, kind, name in rows(task)
            ),
            ensure_ascii=True,
        )
        for task in TASKS
    }


if __name__ == "__main__":
    sys.exit(write_or_check(SAMPLES / "biology_instructions", files()))
