"""ProteinLMBench (Shen et al., arXiv 2406.05540): 944 multiple-choice questions about proteins.

There are two published setups, and vendors do not state which one their scores are based on. `official` is the authors'
(as in SciEvalKit @ PrismaX, `ProteinLMBench.build_prompt`): options are numbered from 1, number 7 means "not sure", and the
*first number anywhere* in the reply counts, so that "In 2 of 6 cases ... option 4" is read as option 2. `intern-s1` is
OpenCompass' (@ a5acc4bb, ProteinLMBench_llmjudge_gen_a67965): options are lettered and a judge grades the whole reply. The
prompts for the model and the judge are OpenCompass' own (`intern-s1~`: reworded). `strict` needs a stated letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split, text_list
from evals.errors import DataError
from evals.extract.upstream.last_letter import letter
from evals.extract.upstream.letters import first_match
from evals.intern_s1 import intern_s1_protocol
from evals.plain import count_of
from evals.prompts import LETTERS, ask, options, plain_text, template
from evals.prompts.upstream import opencompass_prompts
from evals.scorers.choice import Choice, StatedChoice
from evals.types import Prompt, Sample, Sampling, Text

ROWS = Split(
    hub="tsynbio/ProteinLMBench",
    revision="f1397963c7f727a4a2f00cdd691e6e219c36e992",
    config="evaluation",
    split="train",
    stems=("evaluation", "ProteinLMBench", "train"),
    rows=944,
)
UNSURE_OPTION = 7
"""Number of the option "not sure" under `official`, which is never right."""


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for position, row in enumerate(data.rows(ROWS, required=("question", "options", "answer")), 1):
        choices = tuple(option.rpartition(": ")[2] for option in text_list(row, "options"))
        gold_number = re.search(r"(?<!\d)(\d+)\s*$", str(row["answer"]))
        if gold_number is None or not 0 < int(gold_number[1]) <= len(choices):
            raise DataError(
                f"proteinlmbench: question {position}: the gold answer {row['answer']!r} is not one of its {count_of(len(choices), 'option')}"
            )
        yield Sample(
            id=str(row.get("id") or position),
            question=(Text(str(row["question"])),),
            target=LETTERS[int(gold_number[1]) - 1],
            choices=choices,
        )


LETTERED_PROMPT = template(
    "Answer this question about proteins; exactly one option is right. Think it through, then finish with a line of the form "
    "`ANSWER: X`, where X is one letter from A to {last}.\n\n{question}\n\n{options}"
)


def _numbered_prompt(sample: Sample, repeat: int) -> Prompt:
    option_lines = "\n".join(f"option {number}: {choice}" for number, choice in enumerate(sample.choices, 1))
    return ask(
        "Answer this multiple-choice question from what it says alone. Exactly one option is right; choose it by its "
        f"number, and option {UNSURE_OPTION} if you are not sure. Begin your reply with 'The correct option is' and the number, "
        'e.g. "The correct option is Option X." Reason step by step.\n\n'
        f"Question:\n{plain_text(sample.question)}\n\nOptions:\n{option_lines}\n\nThe correct option is:"
    )


first_number = first_match("first_number", r"(\d+)")


def _columns(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Return the columns of OpenCompass' loader (datasets/ProteinLMBench.py)."""
    return {
        "question": f"\nQuestion: {question}\nAnswer Choices: \n{options(sample.choices)}\n",
        "start": "A",
        "end": LETTERS[len(sample.choices) - 1],
        "options": str(list(sample.choices)),
        "label": str(sample.target),
    }


UPSTREAM_PROMPTS = opencompass_prompts(
    "ProteinLMBench/ProteinLMBench_llmjudge_gen_a67965.py",
    "infer_cfg",
    "eval_cfg.evaluator",
    columns=_columns,
    gold_column="label",
)


BENCHMARK = Benchmark(
    name="proteinlmbench",
    version="2",
    title="ProteinLMBench: 944 multiple-choice questions about proteins (Shen et al., arXiv 2406.05540).",
    variants={"": Variant(944)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=LETTERED_PROMPT, scorers={"choice": StatedChoice()}),
        "official": Protocol(
            prompt=_numbered_prompt,
            scorers={"choice": Choice(first_number)},
            sampling=Sampling(temperature=0.0, max_tokens=2048),
            ideal=lambda sample, prompt: (
                f"The correct option is Option {LETTERS.index(sample.targets[0]) + 1}."
            ),
        ),
        "intern-s1": intern_s1_protocol(LETTERED_PROMPT, UPSTREAM_PROMPTS, Choice(letter), mode="whole"),
    },
    chance=1 / 6,
    licence="Apache-2.0",
    cite="arXiv 2406.05540",
)
