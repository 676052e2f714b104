"""Score molecules stated in SELFIES or SMILES against a gold answer in SELFIES."""

from __future__ import annotations

from msgspec.structs import replace

from evals.extract.reading import Reading
from evals.extract.selfies import decode_selfies, rewrite_selfies
from evals.scorers.molecule import Molecule
from evals.types import Prompt, Reply, Sample, Score


class SelfiesMolecule(Molecule, frozen=True):
    """Scores a molecule as `Molecule` does; both notations are read, and the gold answers are SELFIES."""

    def warm(self) -> None:
        """Import RDKit and selfies."""
        super().warm()
        decode_selfies("[C]")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        also = [_to_smiles(str(gold)) for gold in sample.meta.get("also", ())]
        meta = {**sample.meta, "also": also} if also else sample.meta
        return super().__call__(
            replace(sample, target=_to_smiles(str(sample.target)), meta=meta), prompt, reply
        )

    def read(self, reply: Reply) -> Reading | None:
        """Return the molecule, or the set of molecules, that a reply states.

        A SELFIES string at the end of a truncated reply may be incomplete, as every prefix of one is valid, and is not read.
        """
        rewriting = rewrite_selfies(reply.text)
        reading = super().read(replace(reply, text=rewriting.text))
        if reading is None:
            return None
        original = rewriting.with_original_position(reading)
        may_be_incomplete = reply.stop == "length" and original.end >= len(reply.text.rstrip())
        return None if may_be_incomplete else original


def _to_smiles(gold: str) -> str:
    return decode_selfies(gold.strip()) or gold
