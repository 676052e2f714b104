"""ChartQA (Masry et al., arXiv 2203.10244), test split: 1,250 questions written by people, 1,250 generated from captions.

`official` is relaxed accuracy over the whole reply (evals/scorers/chart.py documents its defects). `intern-s1` is the same
with the sampling of the published Intern-S1 numbers and VLMEvalKit's sentence that asks for a short answer (`intern-s1~`:
reworded). `chartmoe` is the rule of ChartMoE's authors at its three tolerances, under which an empty reply is right for every
target (evals/scorers/upstream/chartmoe.py), so that stored replies show how much of a gap is the rule; the short answer is asked for
before the question, 500 new tokens. Their programs of thought (`--pot`), which they run unprotected, are not run; whether the
published 84.64 % contain them is not stated. Their average of both parts is `chartqa`'s aggregate.
`strict` compares the stated answer. The data set has no ids; they are `<part>-<position in it>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.data.media import with_image
from evals.prompts import ask_with_images, plain_text
from evals.prompts.upstream.sentences import Place, Swap, sentences
from evals.report.aggregate import mean_of_variants
from evals.report.metrics import accuracy, mean_value
from evals.scorers.chart import Relaxed, Stated
from evals.scorers.upstream.chartmoe import ChartMoE
from evals.suite import INTERN_S1
from evals.types import Metric, Prompt, Sample, Sampling

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


def _short_first(sample: Sample, repeat: int) -> Prompt:
    return ask_with_images(sample, f"{SHORT}\n{plain_text(sample.question)}")


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    form = "Finish with a line of the form `Answer: X`, where X is a single word, phrase or number."
    return ask_with_images(sample, f"{plain_text(sample.question)}\n{form}")


def _bare(sample: Sample, prompt: Prompt) -> str:
    return str(sample.target)


PARTS = ("human", "augmented")


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean of both parts, which are of one size; they share charts."""
    return mean_of_variants(PARTS, cards, shared=[PARTS])


BENCHMARK = Benchmark(
    name="chartqa",
    title="ChartQA: questions about charts, 1,250 by people and 1,250 made from captions (Masry et al., arXiv 2203.10244).",
    version="2",
    variants=dict.fromkeys(PARTS, Variant(1_250)),
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
        "chartmoe": Protocol(
            prompt=_short_first,
            scorers={
                "relaxed": ChartMoE(),
                "relaxed_10": ChartMoE(tolerance=0.10),
                "relaxed_20": ChartMoE(tolerance=0.20),
            },
            metrics=(
                *accuracy(),
                Metric(name="accuracy_10", of=mean_value, scorer="relaxed_10"),
                Metric(name="accuracy_20", of=mean_value, scorer="relaxed_20"),
            ),
            sampling=Sampling(temperature=0.0, max_tokens=500),
            ideal=_bare,
        ),
    },
    ideal=lambda sample, prompt: f"Answer: {sample.target}",
    needs=frozenset({"image"}),
    licence="GPL-3.0",
    cite="arXiv 2203.10244",
    aggregate=aggregate,
)
