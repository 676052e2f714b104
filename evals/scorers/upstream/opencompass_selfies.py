r"""OpenCompass' rules for Mol-Instructions (opencompass 0.5.4, datasets/mol_instructions_chem.py), with known defects.

* The content of the last pair of `<SELFIES>` tags is decoded. Without tags, the *whole reply* and the gold SELFIES are read as
  SMILES up to the first space, so a right answer without tags, or in SMILES, scores about 0.
* The energy is the last number that is the whole content of a box or `<NUMBER>` (without `+`, exponent or unit). A missing
  number counts as 0 hartree, which the aggregate (3 - error) / 3 rewards with about 95 of 100, while an answer in eV gets 0.
* A description is compared as a whole, including any introduction.

Tasks are abbreviated as in `mol_instructions`.
"""

from __future__ import annotations

from typing import Any

from evals.extract.selfies import decode_selfies
from evals.scorers.molecule_forms import UsesRdkit, rdkit
from evals.scorers.outcomes import no_answer
from evals.scorers.upstream.opencompass import TAGGED_NUMBER, Errors, score_similarity
from evals.types import Prompt, Reply, Sample, Score


def last_number(text: str) -> float | None:
    """Return the last number that is the whole content of a `<NUMBER>` tag or a box."""
    numbers = TAGGED_NUMBER.findall(text)
    return float(numbers[-1]) if numbers else None


def last_tag_content(text: str, tag: str) -> str:
    """Return the content of the last pair of tags; empty if there is none."""
    content, position = "", 0
    opening, closing = f"<{tag}>", f"</{tag}>"
    while (begin := text.find(opening, position)) >= 0:
        end = text.find(closing, begin)
        if end < 0:
            break
        content, position = text[begin + len(opening) : end].strip(), end + len(closing)
    return content


class TaggedSimilarity(UsesRdkit, frozen=True):
    """Scores the Tanimoto similarity of Morgan fingerprints (radius 2, 2,048 bits); 0 if invalid (MG, FS, RS, RP)."""

    def warm(self) -> None:
        """Import RDKit and selfies."""
        super().warm()
        decode_selfies("[C]")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        rd = rdkit()
        tag_content, target = last_tag_content(reply.text, "SELFIES"), str(sample.target)
        answer = tag_content or reply.text
        mol, gold = (_parse_molecule(rd, text, selfies=bool(tag_content)) for text in (answer, target))
        why = "upstream reads no molecule" if mol is None else "upstream reads the gold SELFIES as SMILES"
        score = score_similarity(reply, answer, mol=mol, gold=gold, why_invalid=why)
        if score.verdict == "graded" and not answer.strip():
            return no_answer(reply, "the empty molecule", value=score.value, parts=score.parts)
        return score


def _parse_molecule(rd: Any, text: str, *, selfies: bool) -> Any:
    smiles = decode_selfies(text) if selfies else text
    return None if smiles is None else rd.Chem.MolFromSmiles(smiles)


class LastNumberError(Errors, frozen=True):
    """Scores the absolute error of the last number; a missing number counts as a prediction of 0 (PP)."""

    def read(self, text: str) -> float | None:
        """Return the last number."""
        return last_number(text)
