"""MicroVQA (Burgess et al., arXiv 2503.13399).

`official` follows the authors (jmhb0/microvqa @ 0868fdf8, eval/eval.py): options numbered from 1, "The answer is (X)", the
first digit after it. `intern-s1` follows VLMEvalKit (@ e8e78f05, its general multiple choice): a rule, and a judge for
replies that the rule cannot parse, with VLMEvalKit's own prompts (`intern-s1~`: reworded). `strict` needs a stated
letter. An item has up to eight images, which are sent first.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract.upstream.letters import first_match
from evals.prompts import LETTERS, SELECTING, ask_with_images, options, plain_text
from evals.prompts.upstream.sentences import NAMES_ONE, SELECT, sentences
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.judge.judged import Judged
from evals.scorers.upstream.inferred import Inferred
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Text

ROWS = Split(hub="jmhb/microvqa", split="train", stems=("train", "test", "MicroVQA", "items"), rows=1_042)


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("key_question", "question", "choices", "correct_index")):
        choices, right = tuple(map(str, row["choices"])), int(row["correct_index"])
        if not 0 <= right < len(choices):
            raise DataError(
                f"microvqa: {row['key_question']}: option {right} of {len(choices)} is the gold answer"
            )
        pictures = [image(data, value) for value in row.get("images_list") or ()]
        yield Sample(
            id=str(row["key_question"]),
            question=(*(p for p in pictures if p is not None), Text(str(row["question"]))),
            target=LETTERS[right],
            choices=choices,
            group=str(row.get("task_str") or row.get("task") or ""),
        )


numbered = first_match("numbered", r"answer is \*?\*?\(?([0-9])\)?\*?\*?")
"""The authors' rule: the first digit after "answer is"; "The answer is 12 um" reads 1."""


def _numbered(sample: Sample, repeat: int) -> Prompt:
    shown = "\n".join(f"  ({n}): {choice}" for n, choice in enumerate(sample.choices, 1))
    text = (
        "Answer this multiple-choice question. Reason step by step and finish with your answer in the form "
        f'"The answer is (X)".\n\n{plain_text(sample.question)}\n\nOptions:\n{shown}\n'
    )
    return ask_with_images(sample, text)


def _select(sample: Sample, repeat: int) -> Prompt:
    shown = f"Options:\n{options(sample.choices)}\n{SELECTING}"
    return ask_with_images(sample, f"Question: {plain_text(sample.question)}\n{shown}")


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    shown = f"{plain_text(sample.question)}\n{options(sample.choices)}"
    return ask_with_images(
        sample, f"{shown}\n\nFinish with a line of the form `ANSWER: X`, where X is the letter of one option."
    )


BENCHMARK = Benchmark(
    name="microvqa",
    title="MicroVQA: 1,042 questions of biologists about their microscopy images, three tasks (Burgess et al., arXiv 2503.13399).",
    version="2",
    variants={"": Variant(1_042)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_reasoned, scorers={"choice": StatedChoice()}),
        "official": Protocol(
            prompt=_numbered,
            scorers={"choice": Choice(numbered)},
            ideal=lambda sample, prompt: f"The answer is ({LETTERS.index(str(sample.target)) + 1}).",
        ),
        "intern-s1": Protocol(
            prompt=_select,
            upstream=sentences(SELECT, judge=NAMES_ONE),
            scorers={"choice": Judged(rule=Inferred(), mode="rest", form="option")},
            sampling=INTERN_S1,
            ideal=lambda sample, prompt: str(sample.target),
        ),
    },
    needs=frozenset({"image"}),
    chance=0.22,
    licence="see its card on the hub",
    cite="arXiv 2503.13399",
)
