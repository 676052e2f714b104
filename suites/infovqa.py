"""InfographicVQA (Mathew et al., arXiv 2104.12756), validation: questions about infographics; the test split has no public answers.

See evals/short_answers.py for the rules; the value of a reply is its similarity to the nearest gold answer (ANLS).
"""

from __future__ import annotations

from collections.abc import Iterator

from evals import short_answers as common
from evals.benchmark import Benchmark, Variant
from evals.data import Data, Split
from evals.data.media import with_image
from evals.types import Sample

ROWS = Split(
    hub="lmms-lab/DocVQA",
    config="InfographicVQA",
    split="validation",
    stems=("InfographicVQA/validation", "InfoVQA_VAL", "validation", "items"),
    rows=2_801,
)


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        name = str(row.get("questionId") or row.get("index") or number)
        kinds = row.get("answer_type") or ()
        yield Sample(
            id=name,
            question=with_image(data, row.get("question"), row.get("image"), required=True),
            target=common.golds(row, "answers", "answer", suite="infovqa", name=name),
            group="" if isinstance(kinds, str) else ", ".join(map(str, kinds[:1])),
            cluster=str(row.get("image_url") or ""),
        )


BENCHMARK = Benchmark(
    name="infovqa",
    title="InfographicVQA: 2,801 questions about infographics, validation (Mathew et al., arXiv 2104.12756).",
    variants={"": Variant(2_801)},
    samples=_samples,
    protocols=common.protocols("anls"),
    ideal=common.ideal,
    needs=frozenset({"image"}),
    licence="Apache-2.0 as stated on the hub; the documents' own terms are not",
    cite="arXiv 2104.12756",
)
