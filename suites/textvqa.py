"""TextVQA (Singh et al., arXiv 1904.08920), validation: questions about text in photos, ten answers each.

The questions go without the recognised words (`ocr_tokens`) that the data set has beside them, as in VLMEvalKit; with them the
figures are higher. See evals/short_answers.py for the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals import short_answers as common
from evals.benchmark import Benchmark, Variant
from evals.data import Data, Split
from evals.data.media import with_image
from evals.types import Sample

ROWS = Split(hub="lmms-lab/textvqa", split="validation", stems=("validation", "TextVQA_VAL", "items"))


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        name = str(row.get("question_id") or row.get("index") or number)
        yield Sample(
            id=name,
            question=with_image(data, row.get("question"), row.get("image"), required=True),
            target=common.golds(row, "answers", "answer", suite="textvqa", name=name),
            cluster=str(row.get("image_id") or ""),
        )


BENCHMARK = Benchmark(
    name="textvqa",
    title="TextVQA: 5,000 questions about text in photos, ten answers each (Singh et al., arXiv 1904.08920).",
    variants={"": Variant(5_000)},
    samples=_samples,
    protocols=common.protocols("vqa"),
    ideal=common.ideal,
    needs=frozenset({"image"}),
    licence="CC-BY-4.0",
    cite="arXiv 1904.08920",
)
