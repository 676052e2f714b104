"""Score molecules by their level of agreement with the gold answer, called a rung (`evals.scorers.molecule_match`).

`evals.extract.molecules` extracts the molecule from a reply. Every reply gets a verdict: an answer that RDKit cannot read
is `invalid`. A gold answer that RDKit cannot read makes the score suspect.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from evals.extract.molecules import stated_molecule
from evals.extract.reading import Reading
from evals.extract.smiles import Side, looks_like_smiles, smiles_fault
from evals.scorers.molecule_forms import MoleculeForms, UsesRdkit, same_inchikey_block, similarities
from evals.scorers.molecule_match import RUNGS, MoleculeMatch, compare_components, compare_molecules
from evals.scorers.outcomes import invalid_answer, no_stated_answer, with_reading
from evals.types import Point, Prompt, Reply, Sample, Score, Verdict

MAX_SMILES_CHARS = 5_000
"""Maximum length of a SMILES or SELFIES, or four times the target's length if that is more."""
NO_MOLECULE = {"parsed": 0.0, "valid": 0.0, "rung": 0.0}
"""Parts of the score of a reply without a molecule."""


def length_fault(answer: str, golds: Sequence[str]) -> str:
    """Return why an answer is too long to be parsed as a molecule; empty if it is not."""
    too_long = len(answer) > max(MAX_SMILES_CHARS, 4 * max(map(len, golds)))
    return f"{len(answer)} characters, too long for an answer" if too_long else ""


class Molecule(UsesRdkit, frozen=True):
    """Scores 1 if the answer reaches `rung`, else 0; the parts record the rung that it reaches.

    Parts: `parsed` (the syntax is SMILES), `valid` (a possible molecule), `rung` (a value of `RUNGS`) and, if the gold is
    valid too, `skeleton` (first blocks of the InChIKeys agree), `morgan`, `rdk`, `maccs` (similarities), `components` (F1, for
    sets).
    `sample.meta["also"]` contains additional gold answers; the best match counts.
    """

    rung: str = "compound"
    several: bool = False
    """Whether an answer is a set of molecules."""
    side: Side = ""
    """The side to score if a reply states a whole reaction."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = None if reply.stop == "filter" else self.read(reply)
        if reading is None:
            return replace(no_stated_answer(reply, "no molecule stated"), parts=NO_MOLECULE)
        return with_reading(reading, self._score_answer(sample, reading.value))

    def read(self, reply: Reply) -> Reading | None:
        """Return the molecule, or the set of molecules, that a reply states."""
        return stated_molecule(
            reply.text, is_set=self.several, side=self.side, truncated=reply.stop == "length"
        )

    def _score_answer(self, sample: Sample, answer: str) -> Score:
        golds = gold_molecules(sample)
        if why := length_fault(answer, golds):
            return invalid_answer(answer, why, parts=NO_MOLECULE)
        if answer not in golds and not looks_like_smiles(answer):
            return invalid_answer(answer, f"not SMILES: {smiles_fault(answer)}", parts=NO_MOLECULE)
        forms = MoleculeForms(answer, several=self.several)
        best, gold = best_match(forms, [MoleculeForms(gold, several=self.several) for gold in golds])
        return self._score_match(forms, gold, best)

    def _score_match(self, forms: MoleculeForms, gold: MoleculeForms, best: MoleculeMatch) -> Score:
        parts = {
            "parsed": float(forms.mol is not None or forms.raw is not None),
            "valid": float(forms.mol is not None),
            "rung": float(best.rung),
        }
        if forms.mol is not None and gold.mol is not None:
            if self.several:
                parts["components"] = 1.0 if best.rung >= RUNGS["compound"] else _component_f1(forms, gold)
            same_skeleton = best.rung >= RUNGS["no_stereo"] or same_inchikey_block(forms, gold)
            parts["skeleton"] = float(same_skeleton)
            parts |= similarities(forms, gold)
        right = best.rung >= RUNGS[self.rung]
        verdict: Verdict = "right" if right else "wrong" if forms.mol is not None else "invalid"
        return Score(
            value=float(right),
            verdict=verdict,
            answer=forms.smiles,
            why=best.why,
            suspect=best.undecided,
            parts=parts,
        )


def gold_molecules(sample: Sample) -> list[str]:
    """Return the gold answer and its alternatives, with dots instead of semicolons between components."""
    return [str(gold).strip().replace(";", ".") for gold in (sample.target, *sample.meta.get("also", ()))]


def best_match(forms: MoleculeForms, golds: Sequence[MoleculeForms]) -> tuple[MoleculeMatch, MoleculeForms]:
    """Return the match with the highest rung and its gold answer; ties are resolved by similarity."""
    matches = [(compare_molecules(forms, gold), gold) for gold in golds]
    if len(matches) == 1:
        return matches[0]
    return max(matches, key=lambda pair: (pair[0].rung, _morgan_similarity(forms, pair[1])))


def _component_f1(forms: MoleculeForms, gold: MoleculeForms) -> float:
    """Return the F1 of the components; 0 if both are single molecules."""
    are_single = "." not in forms.smiles and "." not in gold.smiles
    return 0.0 if are_single else compare_components(forms, gold).f1


def _morgan_similarity(forms: MoleculeForms, gold: MoleculeForms) -> float:
    return 0.0 if forms.mol is None or gold.mol is None else similarities(forms, gold)["morgan"]


class AtLeast(Struct, frozen=True):
    """The share of replies that reach a rung."""

    rung: str

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the statistic; raises ValueError if there are no points."""
        if not points:
            raise ValueError("there are no points")
        return sum(map(self._reaches_rung, points)) / len(points)

    def _reaches_rung(self, point: Point) -> float:
        if point.verdict == "missing":
            return point.value or 0.0
        return float(point.parts.get("rung", 0.0) >= RUNGS[self.rung])
