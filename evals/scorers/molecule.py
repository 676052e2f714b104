"""Molecules as answers: compared with the gold answer on a ladder of rungs, and explained.

`evals.extract.smiles` reads them out of a reply. Every reply gets a verdict: what RDKit cannot read,
or fails on, is `invalid`. A gold answer that RDKit cannot read makes the score suspect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from evals.extract.molecules import stated_molecule
from evals.extract.reading import Reading
from evals.extract.smiles import Side, looks_like_smiles, odd_part
from evals.scorers.choice import unanswered, with_reading
from evals.scorers.ladder import RUNGS, Climb, climb, compare_components
from evals.scorers.molecule_forms import Form, rdkit, same_skeleton, similarities
from evals.types import Point, Prompt, Reply, Sample, Score, Verdict

LONGEST = 5_000
"""Length limit of a SMILES; four times the target's length if that is more."""


class Molecule(Struct, frozen=True):
    """Scores 1 if the answer reaches `rung`, else 0; the parts hold the whole ladder.

    Parts: `parsed` (the syntax is SMILES), `valid` (a possible molecule), `rung` (a number of `RUNGS`),
    `skeleton` (InChIKey's first block agrees), and Tanimoto by `morgan`, `rdk`, `maccs`; the last four
    only if there is a molecule. `sample.meta["also"]` holds further gold answers; the best match counts.
    """

    rung: str = "compound"
    several: bool = False
    side: Side = ""
    """The wanted side if a reply states a whole reaction."""
    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import RDKit."""
        rdkit()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        reading = None if reply.stop == "filter" else self.read(reply)
        if reading is None:
            return replace(unanswered(reply, "no molecule stated"), parts=NOTHING)
        return with_reading(reading, self._judged(sample, reading.value))

    def read(self, reply: Reply) -> Reading | None:
        """Return the molecule, or the set of molecules, that a reply states."""
        return stated_molecule(
            reply.text, several=self.several, side=self.side, truncated=reply.stop == "length"
        )

    def _judged(self, sample: Sample, answer: str) -> Score:
        golds = gold_molecules(sample)
        if len(answer) > max(LONGEST, 4 * max(map(len, golds))):
            return _invalid(f"{len(answer)} characters, too long for an answer", answer)
        if answer not in golds and not looks_like_smiles(answer):
            return _invalid(f"not SMILES: {odd_part(answer)}", answer)
        form = Form(answer, several=self.several)
        best, gold = best_climb(form, [Form(gold, several=self.several) for gold in golds])
        return self._score(form, gold, best)

    def _score(self, form: Form, gold: Form, best: Climb) -> Score:
        parts = {
            "parsed": float(form.mol is not None or form.raw is not None),
            "valid": float(form.mol is not None),
        }
        parts["rung"] = float(best.rung)
        if form.mol is not None and gold.mol is not None:
            if self.several:
                parts["components"] = 1.0 if best.rung >= RUNGS["compound"] else _shared(form, gold)
            parts["skeleton"] = float(best.rung >= 3 or same_skeleton(form, gold))
            parts |= similarities(form, gold)
        right = best.rung >= RUNGS[self.rung]
        verdict: Verdict = "right" if right else "wrong" if form.mol is not None else "invalid"
        return Score(
            value=float(right),
            verdict=verdict,
            answer=form.smiles,
            why=best.why,
            suspect=best.undecided,
            parts=parts,
        )


def gold_molecules(sample: Sample) -> list[str]:
    """Return the gold answer and its alternatives; a semicolon separates components like a dot."""
    return [str(gold).strip().replace(";", ".") for gold in (sample.target, *sample.meta.get("also", ()))]


def best_climb(form: Form, golds: Sequence[Form]) -> tuple[Climb, Form]:
    """Climb for each gold answer and keep the highest; of equal ones the more similar."""
    climbs: Iterator[tuple[Climb, Form]] = ((climb(form, gold), gold) for gold in golds)
    if len(golds) == 1:
        return next(climbs)
    return max(climbs, key=lambda pair: (pair[0].rung, _morgan(form, pair[1])))


def _shared(form: Form, gold: Form) -> float:
    """Return the F1 of the components; single molecules below the rung `compound` share none."""
    single = "." not in form.smiles and "." not in gold.smiles
    return 0.0 if single else compare_components(form, gold).f1


def _morgan(form: Form, gold: Form) -> float:
    return 0.0 if form.mol is None or gold.mol is None else similarities(form, gold)["morgan"]


NOTHING = {"parsed": 0.0, "valid": 0.0, "rung": 0.0}
"""Parts of a score without a molecule."""


def _invalid(why: str, answer: str) -> Score:
    return Score(value=0.0, verdict="invalid", answer=answer[:200], why=why, parts=NOTHING)


class AtLeast(Struct, frozen=True):
    """Share of replies that reach a rung of the ladder."""

    rung: str

    def __call__(self, points: Sequence[Point]) -> float:
        """Reduce; raises ValueError if there are no points."""
        if not points:
            raise ValueError("there are no points")
        return sum(map(self._reached, points)) / len(points)

    def _reached(self, point: Point) -> float:
        if point.verdict == "missing":
            return point.value or 0.0
        return float(point.parts.get("rung", 0.0) >= RUNGS[self.rung])
