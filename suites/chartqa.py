"""ChartQA (Masry et al., arXiv 2203.10244), test split: 1,250 questions written by people, 1,250 generated from captions.

`official` is relaxed accuracy over the whole reply (evals/scorers/chart.py documents its defects). `intern-s1` is the same
with the sampling of the published Intern-S1 numbers and VLMEvalKit's sentence that asks for a short answer (`intern-s1~`:
reworded). `strict` compares the stated answer. The data set has no ids; they are `<part>-<position in it>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.data.media import with_image
from evals.prompts import ask_with_images, plain_text
from evals.prompts.upstream.sentences import Place, Swap, sentences
from evals.scorers.chart import Relaxed, Stated
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Sampling

ROWS = Split(hub="lmms-lab/ChartQA", split="test", stems=("test", "items"))


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    seen: Counter[str] = Counter()
    for row in data.rows(ROWS, required=("type", "answer")):
        part = str(row["type"]).removesuffix("_test")
        seen[part] += 1
        if part != variant:
            continue
        yield Sample(
            id=str(row.get("id") or f"{part}-{seen[part] - 1}"),
            question=with_image(data, row.get("question"), row.get("image")),
            target=str(row["answer"]).strip(),
            group=part,
        )


SHORT = "Answer with a single word or phrase and nothing else."
WORDS = sentences(
    Swap(ours=f"\n{SHORT}", theirs=(Place("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3),))
)


def _direct(sample: Sample, repeat: int) -> Prompt:
    return ask_with_images(sample, f"{plain_text(sample.question)}\n{SHORT}")


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    form = "Finish with a line of the form `Answer: X`, where X is a single word, phrase or number."
    return ask_with_images(sample, f"{plain_text(sample.question)}\n{form}")


def _bare(sample: Sample, prompt: Prompt) -> str:
    return str(sample.target)


BENCHMARK = Benchmark(
    name="chartqa",
    title="ChartQA: questions about charts, 1,250 by people and 1,250 made from captions (Masry et al., arXiv 2203.10244).",
    version="2",
    variants={"human": Variant(1_250), "augmented": Variant(1_250)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_reasoned, scorers={"relaxed": Stated()}),
        "official": Protocol(
            prompt=_direct,
            scorers={"relaxed": Relaxed()},
            sampling=Sampling(temperature=0.0, max_tokens=1024),
            ideal=_bare,
        ),
        "intern-s1": Protocol(
            prompt=_direct, upstream=WORDS, scorers={"relaxed": Relaxed()}, sampling=INTERN_S1, ideal=_bare
        ),
    },
    ideal=lambda sample, prompt: f"Answer: {sample.target}",
    needs=frozenset({"image"}),
    licence="GPL-3.0",
    cite="arXiv 2203.10244",
)
