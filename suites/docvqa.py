"""DocVQA (Mathew et al., arXiv 2007.00398), validation: questions about scanned pages; the test split has no public answers.

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
    config="DocVQA",
    split="validation",
    stems=("DocVQA/validation", "DocVQA_VAL", "validation", "items"),
    rows=5_349,
)


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        name = str(row.get("questionId") or row.get("index") or number)
        kinds = row.get("question_types") or ()
        yield Sample(
            id=name,
            question=with_image(data, row.get("question"), row.get("image"), required=True),
            target=common.golds(row, "answers", "answer", suite="docvqa", name=name),
            group="" if isinstance(kinds, str) else ", ".join(map(str, kinds[:1])),
            cluster=str(row.get("docId") or ""),
        )


BENCHMARK = Benchmark(
    name="docvqa",
    title="DocVQA: 5,349 questions about scanned pages, validation (Mathew et al., arXiv 2007.00398).",
    variants={"": Variant(5_349)},
    samples=_samples,
    protocols=common.protocols("anls"),
    ideal=common.ideal,
    needs=frozenset({"image"}),
    licence="Apache-2.0 as stated on the hub; the documents' own terms are not",
    cite="arXiv 2007.00398",
)
