r"""The rules of Mol-Instructions' authors (zjunlp/Mol-Instructions @ d08a15f8, `evaluation/molecule/`), with known defects.

* A reply is decoded as SELFIES up to its last `]`: text before the first bracket is skipped, a reply with text between two
  molecules is invalid, and a reply *without a bracket* is the empty molecule, which is valid.
* InChIs are compared without stereochemistry, so "exact" ignores it.
* Invalid answers are dropped, so every metric, including the share of exact matches, covers only valid answers.
* The energy is the number at the very end of a reply: `-0.2482.` is read as 2482, and a number with a unit is not read.
* A description ends at its last full stop.

An answer in SMILES is skipped or invalid. BLEU is computed over the characters of SELFIES, the Levenshtein distance over
those of SMILES. Tasks: molecule generation (MG), forward synthesis (FS), retrosynthesis (RS), reagent prediction (RP),
property prediction (PP), molecule captioning (MC).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from evals.extract.selfies import decode_selfies
from evals.scorers.molecule import length_fault
from evals.scorers.molecule_forms import compute_fingerprints, rdkit, tanimoto_similarities
from evals.scorers.outcomes import binary_score, invalid_answer, no_answer
from evals.scorers.text import Caption, bleu_counts, edit_distance, tokenize
from evals.types import Prompt, Reply, Sample, Score

_FINAL_NUMBER = re.compile(r"-?\d+\.?\d*\Z")
_MAX_TAIL_CHARS = 100
"""Number of characters at the end of a reply that are searched for a number."""


class _Molecule(NamedTuple):
    smiles: str
    """Canonical, without stereochemistry."""
    inchi: str
    fingerprints: dict[str, Any]


@lru_cache(maxsize=4096)
def _upstream_molecule(selfies: str) -> _Molecule | None:
    """Return the molecule of a SELFIES string as upstream decodes it; None if upstream drops it."""
    rd = rdkit()
    smiles = decode_selfies(selfies)
    decoded = None if smiles is None else rd.Chem.MolFromSmiles(smiles)
    if decoded is None:
        return None
    canonical = str(rd.Chem.MolToSmiles(decoded, isomericSmiles=False))
    mol = rd.Chem.MolFromSmiles(canonical)
    if mol is None:
        return None
    return _Molecule(canonical, str(rd.Chem.MolToInchi(mol)), compute_fingerprints(mol))


def text_up_to_last(text: str, mark: str) -> str:
    """Return a text up to and including its last `mark`; if there is none, it is appended."""
    return text.rpartition(mark)[0] + mark if mark in text else text + mark


def _character_bleu_counts(answer: str, target: str) -> dict[str, float]:
    """Return character n-gram counts as in nltk's `corpus_bleu`, where a text shorter than n counts as one n-gram."""
    counts = bleu_counts(tokenize(answer, "characters"), tokenize(target, "characters"))
    return {name: max(1.0, n) if name.startswith("bleu_total") else n for name, n in counts.items()}


class Generated(Struct, frozen=True):
    """Scores 1 for the same molecule or set of molecules, ignoring stereochemistry (MG, FS, RS, RP).

    Parts: `valid`; for valid answers also `exact`, `levenshtein`, `bleu_*` counts, and the Tanimoto similarities `morgan`
    (counts), `rdk`, `maccs`.
    """

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import RDKit and selfies."""
        _upstream_molecule("[C]")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = reply.text.strip()
        if not text or reply.stop == "filter":
            return no_answer(reply, "no text", parts={"valid": 0.0})
        answer, target = text_up_to_last(text, "]"), str(sample.target)
        gold = _upstream_molecule(target)
        if why := length_fault(answer, [target]):
            return invalid_answer(answer, why, parts={"valid": 0.0})
        molecule = _upstream_molecule(answer)
        if molecule is None or gold is None:
            why = "upstream decodes no molecule" if molecule is None else "the gold answer is not a molecule"
            return invalid_answer(answer, why, parts={"valid": 0.0})
        right = molecule.inchi == gold.inchi
        parts = tanimoto_similarities(gold.fingerprints, molecule.fingerprints)
        parts |= _character_bleu_counts(answer, target) | {"valid": 1.0, "exact": float(right)}
        parts["levenshtein"] = float(edit_distance(molecule.smiles, gold.smiles))
        why = "" if molecule.smiles else "no bracket: upstream reads the empty molecule"
        return binary_score(right=right, answer=molecule.smiles or None, why=why, parts=parts)


class EndNumber(Struct, frozen=True):
    """Scores the absolute error of the number at the very end of a reply; None if there is none (PP)."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        tail = reply.text.rstrip().removesuffix("</s>").rstrip()[-_MAX_TAIL_CHARS:]
        number = None if reply.stop == "filter" else _FINAL_NUMBER.search(tail)
        if number is None:
            return no_answer(reply, "no number at the end of the reply: upstream drops it", value=None)
        value = float(number[0])
        return Score(value=abs(value - float(str(sample.target))), verdict="graded", answer=f"{value!r}")


class UpToLastStop(Struct, frozen=True):
    """Scores a description as `Caption` does, up to its last full stop (MC)."""

    caption: Caption
    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import nltk and read WordNet."""
        self.caption.warm()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = reply.text.strip()
        return self.caption(
            sample, prompt, replace(reply, text=text_up_to_last(text, ".")) if text else reply
        )
