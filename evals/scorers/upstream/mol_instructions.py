r"""The Mol-Instructions authors' own rules (zjunlp/Mol-Instructions @ d08a15f8, `evaluation/molecule/`), defects included.

* Of a reply everything up to its last `]` is decoded as SELFIES: words before the first bracket are skipped, words between two
  molecules make it invalid, and a reply *without a bracket* is the empty molecule, which is valid;
* stereochemistry is removed from both sides, then InChIs are compared: "exact" ignores it;
* invalid answers are dropped before any metric, so all of them, the share of exact matches included, are over valid answers;
* the energy is the digits at the very end of a reply: a full stop after `-0.2482` makes it 2482, a unit makes it unread;
* a description ends at its last full stop.

A SMILES answer is not SELFIES: it is skipped, or breaks the decoder. BLEU is over the characters of SELFIES, Levenshtein's
distance over those of SMILES.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from evals.extract.selfies import decode_selfies
from evals.scorers.molecule import MAX_SMILES_CHARS
from evals.scorers.molecule_forms import rdkit
from evals.scorers.outcomes import unanswered_verdict
from evals.scorers.text import Caption, bleu_counts, edit_distance, tokenize
from evals.types import Prompt, Reply, Sample, Score, Verdict

_FINAL_NUMBER = re.compile(r"-?\d+\.?\d*\Z")
_MAX_TAIL_CHARS = 100
"""Number of characters, from the end of a reply, searched for its number."""


class _Molecule(NamedTuple):
    smiles: str
    """Canonical, without stereochemistry."""
    mol: Any
    inchi: str
    fingerprints: dict[str, Any]


@lru_cache(maxsize=4096)
def _decode_selfies(selfies: str) -> _Molecule | None:
    """Decode SELFIES as upstream does; None: it would be dropped."""
    rd = rdkit()
    smiles = decode_selfies(selfies)
    flat = None if smiles is None else rd.Chem.MolFromSmiles(smiles)
    if flat is None:
        return None
    canonical = str(rd.Chem.MolToSmiles(flat, isomericSmiles=False))
    mol = rd.Chem.MolFromSmiles(canonical)
    if mol is None:
        return None
    fingerprints = {
        "morgan": rd.morgan.GetSparseCountFingerprint(mol),
        "rdk": rd.rdk.GetFingerprint(mol),
        "maccs": rd.Descriptors.GetMACCSKeysFingerprint(mol),
    }
    return _Molecule(canonical, mol, str(rd.Chem.MolToInchi(mol)), fingerprints)


def text_up_to_last(text: str, mark: str) -> str:
    """Return a text up to its last `mark`, which is added if there is none."""
    return text.rpartition(mark)[0] + mark if mark in text else text + mark


def _character_bleu_counts(answer: str, target: str) -> dict[str, float]:
    """Count n-grams of characters as nltk's `corpus_bleu` does, for which a text shorter than n has one n-gram."""
    counts = bleu_counts(tokenize(answer, "characters"), tokenize(target, "characters"))
    return {name: max(1.0, n) if name.startswith("bleu_total") else n for name, n in counts.items()}


class Generated(Struct, frozen=True):
    """Scores 1 for the same molecule or set without stereochemistry (MG, FS, RS, RP).

    Parts of valid answers: `exact`, `levenshtein`, `bleu_*` counts, and Tanimoto by `morgan` (counts), `rdk`, `maccs`; of all: `valid`.
    """

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import RDKit and selfies."""
        _decode_selfies("[C]")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = reply.text.strip()
        if not text or reply.stop == "filter":
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no text", parts={"valid": 0.0})
        answer, target = text_up_to_last(text, "]"), str(sample.target)
        gold = _decode_selfies(target)
        molecule = _decode_selfies(answer) if len(answer) <= max(MAX_SMILES_CHARS, 4 * len(target)) else None
        if molecule is None or gold is None:
            why = "upstream decodes no molecule" if molecule is None else "the gold answer is no molecule"
            return Score(value=0.0, verdict="invalid", answer=answer[:200], why=why, parts={"valid": 0.0})
        right = molecule.inchi == gold.inchi
        tanimoto = rdkit().DataStructs.TanimotoSimilarity
        parts = {
            name: float(tanimoto(gold.fingerprints[name], fingerprint))
            for name, fingerprint in molecule.fingerprints.items()
        }
        parts |= _character_bleu_counts(answer, target) | {"valid": 1.0, "exact": float(right)}
        parts["levenshtein"] = float(edit_distance(molecule.smiles, gold.smiles))
        why = "" if molecule.smiles else "no bracket: upstream reads the empty molecule"
        verdict: Verdict = "right" if right else "wrong"
        return Score(
            value=float(right), verdict=verdict, answer=molecule.smiles or None, why=why, parts=parts
        )


class EndNumber(Struct, frozen=True):
    """Scores the absolute error of the number at the very end of a reply; None if there is none (PP)."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        tail = reply.text.rstrip().removesuffix("</s>").rstrip()[-_MAX_TAIL_CHARS:]
        number = None if reply.stop == "filter" else _FINAL_NUMBER.search(tail)
        if number is None:
            return Score(
                value=None, verdict=unanswered_verdict(reply), why="no number at its end: dropped by upstream"
            )
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
