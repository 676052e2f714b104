"""The rules of SMolInstruct's authors (OSU-NLP-Group/LLM4Chem @ 43ab5fcc, `utils/metrics.py`).

The answer is the text between the first `<TAG>` and the first `</TAG>`; without them there is no answer. Molecules are
equal if the sets of their fragments' InChIs are equal: multiplicities are ignored, and isotopes, radicals and the
stereochemistry of sulfoxides are lost. A question may have several gold answers.

Differences from upstream: InChIs are computed from the cleaned molecule, not from its Kekulé SMILES (no verdict differed on
1,500 answers by MolT5 and 62 edge cases); captions are split into words, not into SciBERT's word pieces, whose vocabulary
is not on a package index.

Tasks: I2F, I2S, S2F and S2I convert between IUPAC name, SMILES and formula; MG is molecule generation, FS forward
synthesis, RS retrosynthesis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from evals.scorers.answers import finite_float
from evals.scorers.molecule import MAX_SMILES_CHARS, gold_molecules, length_fault
from evals.scorers.molecule_forms import UsesRdkit, compute_fingerprints, rdkit, tanimoto_similarities
from evals.scorers.outcomes import binary_score, invalid_answer, no_answer
from evals.types import Point, Prompt, Reply, Sample, Score

_FORMULA = re.compile(r"(?:[A-Za-z]\d*)+(?:[+-]\d*)*$")
_ELEMENT_COUNT = re.compile(r"([A-Z][a-z]?)(\d+)?")
_CHARGE = re.compile(r"[+-]\d*")


def between_tags(text: str, tag: str) -> str:
    """Return the text between the first opening and the first closing tag; empty if either is missing."""
    start, end = text.find(f"<{tag}>"), text.find(f"</{tag}>")
    return "" if start < 0 or end < 0 else text[start + len(tag) + 2 : end].strip()


def gold_answers(sample: Sample) -> list[str]:
    """Return the gold answer, and those of the other rows with the same question."""
    return [str(gold).strip() for gold in (sample.target, *sample.meta.get("also", ()))]


def element_counts(formula: str) -> dict[str, int] | None:
    """Return element counts as upstream does; None if upstream considers the formula invalid.

    Upstream checks that the text consists of letters, digits and signs, then reads elements up to the first invalid symbol:
    "C6H6xyz" counts as C6H6. Brackets, dots and subscripts are invalid. The first sign is the charge.
    """
    if not _FORMULA.match(formula):
        return None
    counts: dict[str, int] = {}
    position = 0
    while atom := _ELEMENT_COUNT.match(formula, position):
        counts[atom[1]] = counts.get(atom[1], 0) + int(atom[2][:9] if atom[2] else 1)
        position = atom.end()
    if sign := _CHARGE.search(formula):
        counts[sign[0][0]] = int(sign[0][1:10] or 1)
    return counts


class ElementMatch(Struct, frozen=True):
    """Scores 1 for equal element counts (tasks I2F and S2F)."""

    tag: str = "MOLFORMULA"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = between_tags(reply.text, self.tag)
        if not answer:
            return no_answer(reply, f"no <{self.tag}>")
        counts = element_counts(answer)
        if counts is None:
            return invalid_answer(answer, "upstream reads no formula")
        right = counts in [element_counts(gold) for gold in gold_answers(sample)]
        return _score(answer, right=right)


def _score(answer: str, *, right: bool, parts: dict[str, float] | None = None) -> Score:
    return binary_score(right=right, answer=answer[:MAX_SMILES_CHARS], parts=parts or {})


class SplitMatch(Struct, frozen=True):
    """Scores 1 if the parts between semicolons are the same strings, in any order (task S2I)."""

    tag: str = "IUPAC"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = between_tags(reply.text, self.tag)
        if not answer:
            return no_answer(reply, f"no <{self.tag}>")
        golds = [sorted(gold.split(";")) for gold in gold_answers(sample)]
        return _score(answer, right=sorted(answer.split(";")) in golds)


class ExactMatch(UsesRdkit, frozen=True):
    """Scores 1 for the same set of fragments (tasks I2S, MG, FS, RS).

    Parts: `valid`; for valid answers also the similarities `morgan`, `rdk` and `maccs` (the best over the gold answers),
    `subset` (all fragments are in a gold set) and `intersection` (at least one is). Upstream reports the latter under both
    names.
    """

    tag: str = "SMILES"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = between_tags(reply.text, self.tag).replace(";", ".")
        if not answer:
            return no_answer(reply, f"no <{self.tag}>", parts={"valid": 0.0})
        golds = gold_molecules(sample)
        if why := length_fault(answer, golds):
            return invalid_answer(answer, why, parts={"valid": 0.0})
        answer_fragments = _fragments(answer)
        if answer_fragments is None:
            return invalid_answer(answer, "not a molecule", parts={"valid": 0.0})
        gold_fragments = [fragments for gold in golds if (fragments := _fragments(gold)) is not None]
        right = any(answer_fragments[1] == gold_inchis for _, gold_inchis in gold_fragments)
        parts = {"valid": 1.0, **_compare_fragments(answer_fragments, gold_fragments)}
        return _score(answer, right=right, parts=parts)


_MoleculeAndInchis = tuple[Any, frozenset[str]]
"""A molecule, and the InChIs of its fragments."""


def _fragments(smiles: str) -> _MoleculeAndInchis | None:
    """Return a molecule, cleaned as upstream does it, and the InChIs of its fragments; None if it is invalid."""
    rd = rdkit()
    fragments = []
    for fragment_smiles in smiles.split("."):
        mol = rd.Chem.MolFromSmiles(fragment_smiles) if fragment_smiles else None
        if mol is None:
            return None
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
            atom.SetIsotope(0)
            atom.SetNumRadicalElectrons(0)
            if not atom.GetIsAromatic():
                atom.SetNoImplicit(False)  # noqa: FBT003 - RDKit's parameter is positional
                atom.SetNumExplicitHs(0)
            all_single = all(bond.GetBondType() == rd.Chem.BondType.SINGLE for bond in atom.GetBonds())
            if atom.GetDegree() < 3 or (atom.GetDegree() == 3 and not all_single):
                atom.SetChiralTag(rd.Chem.ChiralType.CHI_UNSPECIFIED)
        cleaned = rd.Chem.MolFromSmiles(rd.Chem.MolToSmiles(mol))
        if cleaned is None:
            return None
        fragments.append(cleaned)
    molecule = fragments[0]
    for fragment in fragments[1:]:
        molecule = rd.Chem.CombineMols(molecule, fragment)
    if len(fragments) > 1:
        rd.Chem.SanitizeMol(molecule)
    return molecule, frozenset(str(rd.Chem.MolToInchi(fragment)) for fragment in fragments)


def _compare_fragments(
    answer_fragments: _MoleculeAndInchis, gold_fragments: Sequence[_MoleculeAndInchis]
) -> dict[str, float]:
    fingerprints = compute_fingerprints(answer_fragments[0])
    similarities = [
        tanimoto_similarities(compute_fingerprints(mol), fingerprints) for mol, _ in gold_fragments
    ]
    parts = {name: max((by_kind[name] for by_kind in similarities), default=0.0) for name in fingerprints}
    parts["intersection"] = float(any(answer_fragments[1] & gold_inchis for _, gold_inchis in gold_fragments))
    parts["subset"] = float(any(answer_fragments[1] <= gold_inchis for _, gold_inchis in gold_fragments))
    return parts


class Number(Struct, frozen=True):
    """Scores the absolute error; None if the tag's content is not a finite number (ESOL, Lipo)."""

    tag: str = "NUMBER"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = between_tags(reply.text, self.tag)
        if not answer:
            return no_answer(reply, f"no <{self.tag}>", value=None)
        value = finite_float(answer[:100])
        if value is None:
            return invalid_answer(answer[:100], "not a number", value=None)
        return Score(value=abs(value - float(str(sample.target))), verdict="graded", answer=answer)


class Boolean(Struct, frozen=True):
    """Scores 1 for the right yes or no in its tag, ignoring case (BBBP, ClinTox, HIV, SIDER)."""

    tag: str = "BOOLEAN"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = between_tags(reply.text, self.tag).lower()
        if not answer:
            return no_answer(reply, f"no <{self.tag}>")
        if answer not in ("yes", "no"):
            return invalid_answer(answer[:100], "neither yes nor no")
        return _score(answer, right=answer == str(sample.target).lower())


class Valid(Struct, frozen=True):
    """A statistic over the valid answers only, as upstream computes F1 and MCC."""

    of: Callable[[Sequence[Point]], float]

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the statistic; raises ValueError if no answer is valid."""
        return self.of(
            [point for point in points if point.verdict in ("right", "wrong", "graded", "missing")]
        )
