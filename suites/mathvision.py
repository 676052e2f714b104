"""MathVision (Wang et al. 2024, arXiv 2402.14804): competition problems with an image.

`official` parses and compares answers as the authors do (evals/scorers/upstream/mathvision.py). `intern-s1` follows
VLMEvalKit (evals/scorers/upstream/vlmevalkit.py), whose judge extracts the answer if its rule cannot parse the reply.
`strict` needs a stated option, or an expression that equals the gold answer. Each problem has one image, which is sent
first; placeholders such as `<image1>` in a question refer to parts of it. VLMEvalKit's hint on the answer format is
reworded, so runs made here are `intern-s1~`. `vlmevalkit` is `intern-s1` with greedy sampling.

`geometry` is the subset of testmini that OptMerge (arXiv 2505.19892) reports: four subjects of 19 items, **76 items in
all**, so that one item is worth 1.3 percentage points and the standard error of a score is about 5 points. The headline is
the mean of the four subjects' accuracies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer
from evals.data import Data, Split, text_list
from evals.data.media import with_image
from evals.prompts import ask_with_images, hinted_question, options, plain_text
from evals.prompts.upstream import UNAVAILABLE
from evals.report.metrics import accuracy
from evals.scorers.upstream.mathvision import Official, Strict
from evals.scorers.upstream.vlmevalkit import MATHVISION
from evals.suite import INTERN_S1
from evals.types import Prompt, Prompter, Sample, Sampling, Scorer

VARIANTS = {
    "testmini": Variant(304),
    "test": Variant(3_040, chance=0.1008),  # a fifth of the 1,532 problems with options
    "geometry": Variant(76),
}
GEOMETRY = ("metric geometry - angle", "metric geometry - area", "metric geometry - length", "solid geometry")
"""Subjects of the variant `geometry`."""


def _split(variant: str) -> Split:
    variant = "testmini" if variant == "geometry" else variant
    return Split(
        hub="MathLLMs/MathVision", split=variant, stems=(variant, "items"), rows=VARIANTS[variant].rows
    )


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for row in data.rows(_split(variant), required=("id", "answer", "options", "subject")):
        if variant == "geometry" and row["subject"] not in GEOMETRY:
            continue
        image = row.get("decoded_image") or row.get("image")
        yield Sample(
            id=str(row["id"]),
            question=with_image(data, row.get("question"), image, required=True),
            target=str(row["answer"]),
            choices=text_list(row, "options"),
            group=str(row["subject"]),
            meta={"level": str(row.get("level", ""))},
        )


def _prompt(sample: Sample, repeat: int) -> Prompt:
    option_block = f"\n{options(sample.choices)}" if sample.choices else ""
    text = (
        "Solve the problem about the picture step by step and put the final answer into \\boxed{}; where there are "
        f"options, put only the letter of the right one there.\n\n{plain_text(sample.question)}{option_block}"
    )
    return ask_with_images(sample, text)


def _vlmevalkit_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return the prompt in VLMEvalKit's layout."""
    return hinted_question(sample, "the letter of the right option" if sample.choices else "the final answer")


def _ideal(sample: Sample, prompt: Prompt) -> str:
    gold = str(sample.target).replace("$", "")
    return gold if gold.startswith("\\boxed") else f"\\boxed{{{gold}}}"


def _gold_contains(*markers: str) -> Callable[[Sample], str]:
    """Return a check for any of `markers`, which upstream removes from replies, but not from gold answers (six contain one)."""

    def reason(sample: Sample) -> str:
        marker = next((marker for marker in markers if marker in str(sample.target)), "")
        return marker and f"its gold answer contains {marker}"

    return reason


def _protocol(scorer: Scorer, variant: str, *, prompt: Prompter = _prompt, **options: Any) -> Protocol:
    metrics = accuracy(macro=variant == "geometry")
    return Protocol(prompt=prompt, scorers={"answer": scorer}, metrics=metrics, **options)


_vlmevalkit = partial(
    _protocol, MATHVISION, prompt=_vlmevalkit_prompt, upstream=UNAVAILABLE, ideal=gold_answer
)
UNSOLVABLE_OFFICIAL = _gold_contains("\\boxed", "^{\\circ}", "\\left")
BENCHMARK = Benchmark(
    name="mathvision",
    title="MathVision: 3,040 competition problems with an image, 16 subjects, 5 levels (Wang et al. 2024, arXiv 2402.14804).",
    version="2",
    variants=VARIANTS,
    default=("testmini",),
    samples=_samples,
    protocols={
        "strict": partial(_protocol, Strict()),
        "official": partial(_protocol, Official(), why_unsolvable=UNSOLVABLE_OFFICIAL),
        "intern-s1": partial(_vlmevalkit, sampling=INTERN_S1),
        "vlmevalkit": partial(_vlmevalkit, sampling=Sampling(temperature=0.0, max_tokens=2_048)),
    },
    ideal=_ideal,
    needs=frozenset({"image"}),
    licence="MIT",
    cite="arXiv 2402.14804",
)
