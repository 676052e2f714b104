"""IFEval (Zhou et al., arXiv 2311.07911): 541 prompts with one to three instructions that a rule can verify.

`official`: the prompt as in the data, the checkers of lm-evaluation-harness 0.4.13, four accuracies; the headline is the
strict prompt-level accuracy, the share of prompts whose instructions are all followed. `intern-s1` is the same with the
sampling of the published Intern-S1 scores (OpenCompass @ a5acc4bb, configs/datasets/IFEval). `strict` corrects the checkers
(evals/scorers/instructions.py). All protocols remove reasoning first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.errors import DataError
from evals.prompts import question_prompt
from evals.scorers.instructions import METRICS, Instructions, checked_arguments, missing_packages
from evals.suite import GREEDY_32K, INTERN_S1
from evals.types import Sample, Sampling, Text

ROWS = Split(
    hub="google/IFEval",
    revision="966cd89545d6b6acfd7638bc708b98261ca58e84",
    split="train",
    stems=("train", "input_data", "ifeval_input_data"),
    rows=541,
)


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("key", "prompt", "instruction_id_list", "kwargs")):
        names = [str(name) for name in row["instruction_id_list"]]
        try:
            arguments = checked_arguments(names, row["kwargs"])
        except DataError as error:
            raise DataError(f"ifeval: {row['key']}: {error}") from error
        yield Sample(
            id=str(row["key"]),
            question=(Text(str(row["prompt"])),),
            target=tuple(names),
            group=names[0].partition(":")[0],
            meta={"instructions": names, "arguments": arguments, "ideal": str(row.get("ideal") or "")},
        )


def _why_unsolvable(sample: Sample) -> str:
    return "" if sample.meta["ideal"] else "the data contain no reply that follows its instructions"


def _protocol(rules: Literal["official", "mended"], sampling: Sampling) -> Protocol:
    return Protocol(
        prompt=question_prompt,
        scorers={"instructions": Instructions(rules)},
        metrics=METRICS,
        sampling=sampling,
        why_unsolvable=_why_unsolvable,
        refuses=missing_packages(),
        verbatim=True,
    )


BENCHMARK = Benchmark(
    name="ifeval",
    title="IFEval: 541 prompts with instructions that a rule can verify (Zhou et al., arXiv 2311.07911).",
    variants={"": Variant(541)},
    samples=_samples,
    protocols={
        "strict": lambda variant: _protocol("mended", GREEDY_32K),
        "official": lambda variant: _protocol("official", Sampling(temperature=0.0, max_tokens=1280)),
        "intern-s1": lambda variant: _protocol("official", INTERN_S1),
    },
    ideal=lambda sample, prompt: str(sample.meta["ideal"]),
    licence="Apache-2.0",
    cite="arXiv 2311.07911",
)
