"""VizWiz (Gurari et al., arXiv 1802.08218), validation: questions of blind people about photos they took, ten answers each.

Many photos do not show the answer, and "unanswerable" is then what most annotators wrote. `official` is VLMEvalKit's class for it, which
sends the question alone; its wrappers for Qwen2-VL and InternVL add their own sentences (`qwen2-vl`, `internvl`), so that figures
of different models were not asked alike. See evals/short_answers.py for the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals import short_answers as common
from evals.benchmark import Benchmark, Variant
from evals.data import Data, Split
from evals.data.media import with_image
from evals.types import Sample

ROWS = Split(hub="lmms-lab/VizWiz-VQA", split="val", stems=("val", "VizWiz", "items"))


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        name = str(row.get("question_id") or row.get("index") or number)
        yield Sample(
            id=name,
            question=with_image(data, row.get("question"), row.get("image"), required=True),
            target=common.golds(row, "answers", "answer", suite="vizwiz", name=name),
            group=str(row.get("category") or ""),
        )


BENCHMARK = Benchmark(
    name="vizwiz",
    title="VizWiz: 4,319 questions of blind people about their photos, ten answers each (arXiv 1802.08218).",
    variants={"": Variant(4_319)},
    samples=_samples,
    protocols={
        "strict": common.of_stated("vqa"),
        "official": common.of_whole("vqa", prompt=common.alone, upstream=None),
        "qwen2-vl": common.of_whole("vqa", upstream=common.QWEN2_VL, sampling=common.AS_QWEN2_VL),
        "internvl": common.of_whole("vqa", upstream=common.INTERNVL),
    },
    ideal=common.ideal,
    needs=frozenset({"image"}),
    licence="CC-BY-4.0",
    cite="arXiv 1802.08218",
)
