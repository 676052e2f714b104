"""ChartQA (Masry et al., arXiv 2203.10244), test split: 1,250 questions written by people, 1,250 generated from captions.

`official` is relaxed accuracy over the whole reply (evals/scorers/chart.py documents its defects). `intern-s1` is the
same with the sampling of the published Intern-S1 scores and VLMEvalKit's sentence that asks for a short answer
(`intern-s1~`: reworded). `chartmoe` is the rule of ChartMoE's authors at three tolerances
(evals/scorers/upstream/chartmoe.py; it accepts an empty reply for every target); the instruction precedes the question,
and replies are limited to 500 tokens. The authors' programs of thought (`--pot`), which they execute without a sandbox,
are not run; whether the published 84.64 % includes them is not stated. The aggregate is the mean of both subsets, as
reported by ChartMoE's authors. `strict` compares the stated answer. The data set has no ids; `<subset>-<position in the
subset>` is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer, gold_answer_line
from evals.data import Data, Split
from evals.data.media import with_image
from evals.prompts import template
from evals.prompts.upstream.sentences import Replacement, TextLocation, sentence_prompts
from evals.report.aggregate import mean_of_variants
from evals.report.metrics import accuracy, mean_value
from evals.scorers.chart import Relaxed, Stated
from evals.scorers.upstream.chartmoe import ChartMoE
from evals.suite import INTERN_S1
from evals.types import Metric, Sample, Sampling

ROWS = Split(hub="lmms-lab/ChartQA", split="test", stems=("test", "items"))


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    counts: Counter[str] = Counter()
    for row in data.rows(ROWS, required=("type", "answer")):
        subset = str(row["type"]).removesuffix("_test")
        counts[subset] += 1
        if subset != variant:
            continue
        yield Sample(
            id=str(row.get("id") or f"{subset}-{counts[subset] - 1}"),
            question=with_image(data, row.get("question"), row.get("image")),
            target=str(row["answer"]).strip(),
            group=subset,
        )


SHORT_ANSWER = "Answer with a single word or phrase and nothing else."
UPSTREAM_PROMPTS = sentence_prompts(
    Replacement(
        own_text=f"\n{SHORT_ANSWER}",
        upstream_texts=(TextLocation("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3),),
    )
)


ANSWER_LINE = "Finish with a line of the form `Answer: X`, where X is a single word, phrase or number."
SHORT_ANSWER_PROMPT = template(f"{{question}}\n{SHORT_ANSWER}")
SUBSETS = ("human", "augmented")


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean of both subsets, which have the same size and share charts."""
    return mean_of_variants(SUBSETS, cards, same_items=[SUBSETS])


BENCHMARK = Benchmark(
    name="chartqa",
    title="ChartQA: questions about charts, 1,250 by people, 1,250 generated from captions (Masry et al., arXiv 2203.10244).",
    version="2",
    variants=dict.fromkeys(SUBSETS, Variant(1_250)),
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=template(f"{{question}}\n{ANSWER_LINE}"), scorers={"relaxed": Stated()}),
        "official": Protocol(
            prompt=SHORT_ANSWER_PROMPT,
            scorers={"relaxed": Relaxed()},
            sampling=Sampling(temperature=0.0, max_tokens=1024),
            ideal=gold_answer,
        ),
        "intern-s1": Protocol(
            prompt=SHORT_ANSWER_PROMPT,
            upstream=UPSTREAM_PROMPTS,
            scorers={"relaxed": Relaxed()},
            sampling=INTERN_S1,
            ideal=gold_answer,
        ),
        "chartmoe": Protocol(
            prompt=template(f"{SHORT_ANSWER}\n{{question}}"),
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
            ideal=gold_answer,
        ),
    },
    ideal=gold_answer_line,
    needs=frozenset({"image"}),
    licence="GPL-3.0",
    cite="arXiv 2203.10244",
    aggregate=aggregate,
)
