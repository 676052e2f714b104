"""SuperGPQA (M-A-P, arXiv 2502.14739): 26,529 questions in 285 graduate disciplines with four to ten options.

`official` is the authors' zero-shot setup (SuperGPQA/SuperGPQA @ 03a3e278, also used by OpenCompass @ a5acc4bb): options
marked `A)`, a last line `Answer: X`, and the rule of evals/extract/upstream/supergpqa.py. The authors gave reasoning models
32,768 tokens and chat models 4,096; here the limit is always 32,768. The headline is the mean over questions ("sample" in
the authors' table); `accuracy_macro` is their mean over 13 disciplines. Their means over 72 fields and 285 subfields, their
split by difficulty and their five-shot setup are not computed. `strict` needs a stated option.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split, text_list
from evals.extract.upstream.supergpqa import option_supergpqa
from evals.prompts import template
from evals.scorers.choice import StatedChoice
from evals.scorers.options import OptionSet
from evals.types import Prompter, Sample, Text

ROWS = Split(
    hub="m-a-p/SuperGPQA",
    revision="4430d4458112c7d4497fdcf94d7cc223313d6acf",
    split="train",
    stems=("SuperGPQA-all", "SuperGPQA", "train"),
    rows=26_529,
)


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("uuid", "question", "options", "answer_letter", "discipline")):
        yield Sample(
            id=str(row["uuid"]),
            question=(Text(str(row["question"])),),
            target=str(row["answer_letter"]).strip(),
            choices=text_list(row, "options"),
            group=str(row["discipline"]),
        )


def _prompter(instruction: str, line_format: str) -> Prompter:
    return template(
        f"Answer this multiple-choice question; exactly one option is right. {instruction}, where X is one letter from A to "
        "{last}.\n\n{question}\n{options}",
        line_format=line_format,
    )


STRICT_INSTRUCTION = "Think it through, then finish with a line of the form `ANSWER: X`"
OFFICIAL_INSTRUCTION = "The last line of your reply must be of the form 'Answer: X' (without quotes)"
BENCHMARK = Benchmark(
    name="supergpqa",
    title="SuperGPQA: 26,529 questions in 285 graduate disciplines with up to ten options (arXiv 2502.14739).",
    variants={"": Variant(26_529)},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=_prompter(STRICT_INSTRUCTION, "{}. {}"), scorers={"choice": StatedChoice()}
        ),
        "official": Protocol(
            prompt=_prompter(OFFICIAL_INSTRUCTION, "{}) {}"), scorers={"choice": OptionSet(option_supergpqa)}
        ),
    },
    chance=0.104,
    licence="ODC-BY",
    cite="arXiv 2502.14739",
)
