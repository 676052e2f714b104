"""GQA (Hudson and Manning, arXiv 1902.09506), balanced test-dev: questions about a scene, answered in a word or two.

On the hub, questions and images are two configurations, joined by `imageId`; rows of VLMEvalKit's table
GQA_TestDev_Balanced.tsv contain both. See evals/short_answers.py for the protocols.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evals import short_answers
from evals.benchmark import Benchmark, Variant
from evals.data import Data, Row, Split
from evals.data.media import image
from evals.errors import DataError
from evals.types import Media, Part, Sample, Text

HUB = "lmms-lab/GQA"
QUESTIONS = Split(
    hub=HUB,
    config="testdev_balanced_instructions",
    split="testdev",
    stems=("testdev_balanced_instructions/testdev", "GQA_TestDev_Balanced", "items"),
)
IMAGES = Split(
    hub=HUB,
    config="testdev_balanced_images",
    split="testdev",
    stems=("testdev_balanced_images/testdev",),
    in_single_file=False,
)


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    images: dict[str, Media] | None = None
    for row in data.rows(QUESTIONS, required=("question", "answer")):
        sample_id = str(row.get("id") or row.get("index"))
        if images is None:  # joined only if a model is called and the rows have no images of their own
            rows = (
                () if row.get("image") or data.media is None else data.rows(IMAGES, required=("id", "image"))
            )
            images = {str(r["id"]): media for r in rows if (media := image(data, r["image"])) is not None}
        types = row.get("types")
        yield Sample(
            id=sample_id,
            question=_question_parts(data, row, images, sample_id),
            target=short_answers.gold_answers(row, "answer", suite="gqa", sample_id=sample_id),
            group=str(types.get("structural") or "") if isinstance(types, Mapping) else "",
            cluster=str(row.get("imageId") or ""),
        )


def _question_parts(data: Data, row: Row, images: Mapping[str, Media], sample_id: str) -> tuple[Part, ...]:
    text = Text(str(row["question"]))
    if data.media is None:
        return (text,)
    media = image(data, row["image"]) if row.get("image") else images.get(str(row.get("imageId")))
    if media is None:
        raise DataError(f"gqa: {sample_id}: its image {row.get('imageId')!r} is not in the data")
    return (media, text)


BENCHMARK = Benchmark(
    name="gqa",
    title="GQA: 12,578 questions about scenes, balanced test-dev, answered in a word or two (arXiv 1902.09506).",
    variants={"": Variant(12_578)},
    samples=_samples,
    protocols=short_answers.protocols("text"),
    ideal=lambda sample, prompt: short_answers.best_answer(sample),
    needs=frozenset({"image"}),
    licence="CC-BY-4.0",
    cite="arXiv 1902.09506",
)
