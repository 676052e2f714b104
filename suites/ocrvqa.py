"""OCR-VQA (Mishra et al., ICDAR 2019): title, author, year and genre of books, read from their covers.

`testcore` is VLMEvalKit's subset, on which published scores are based. It is not on the hub: pass its table
OCRVQA_TESTCORE.tsv with `--data`. Its number of rows, 3,072, is inferred from OptMerge's 52 scores, which are multiples of
1/3,072, 44 of them rounded to two decimals and 8 truncated. `test` is the whole test split, from the hub, with several
questions per cover. See evals/short_answers.py for the protocols.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals import short_answers
from evals.benchmark import Benchmark, Variant
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.plain import count_of
from evals.types import Sample

TESTCORE = Split(hub="", stems=("OCRVQA_TESTCORE", "testcore", "items"))
TEST = Split(hub="howard-hou/OCR-VQA", split="test", stems=("test",), rows=20_796)


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    if variant == "test":
        for row in data.rows(TEST, required=("image_id", "questions", "answers")):
            yield from _cover_samples(data, row)
        return
    if data.origin == "hub":
        raise DataError(
            "ocrvqa: VLMEvalKit's subset is not on the hub: pass its table with --data OCRVQA_TESTCORE.tsv, "
            "run ocrvqa:test, or try --sample"
        )
    for number, row in enumerate(data.rows(TESTCORE, required=("question", "answer"))):
        sample_id = str(row.get("index") or number)
        yield Sample(
            id=sample_id,
            question=with_image(data, row["question"], row.get("image"), required=True),
            target=short_answers.gold_answers(row, "answer", suite="ocrvqa", sample_id=sample_id),
        )


def _cover_samples(data: Data, row: Row) -> Iterator[Sample]:
    image_id, questions, answers = str(row["image_id"]), row["questions"], row["answers"]
    if len(questions) != len(answers):
        raise DataError(
            f"ocrvqa: {image_id}: {count_of(len(questions), 'question')}, but {count_of(len(answers), 'answer')}"
        )
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        yield Sample(
            id=f"{image_id}-{number}",
            question=with_image(data, question, row.get("image"), required=True),
            target=str(answer),
            group=str(row.get("genre") or ""),
            cluster=image_id,
        )


BENCHMARK = Benchmark(
    name="ocrvqa",
    title="OCR-VQA: questions about book covers, answered by their text (Mishra et al., ICDAR 2019).",
    variants={"testcore": Variant(3_072), "test": Variant()},
    default=("testcore",),
    samples=_samples,
    protocols=short_answers.protocols("text"),
    ideal=lambda sample, prompt: short_answers.best_answer(sample),
    needs=frozenset({"image"}),
    licence="not stated (ocr-vqa.github.io)",
    cite="https://ocr-vqa.github.io",
)
