"""MicroVQA (Burgess et al., arXiv 2503.13399).

`official` follows the authors (jmhb0/microvqa @ 0868fdf8, eval/eval.py and openai_api.py): options are numbered from 1,
the text precedes the images, the first digit after "answer is" counts, and replies are sampled at temperature 1 with up
to 2,048 tokens. `intern-s1` follows VLMEvalKit (@ e8e78f05, its general multiple choice): a rule reads the option, or a
judge model if the rule cannot. VLMEvalKit's instruction to choose, and its judge prompt, are read from its wheel
(`intern-s1~`: reworded). `strict` needs a stated letter. An item has up to eight images, which precede the text except
under `official`; under `intern-s1` they are numbered.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer
from evals.data import Data, Split, text_list
from evals.data.media import images
from evals.errors import DataError
from evals.extract.upstream.letters import first_match
from evals.plain import count_of
from evals.prompts import (
    LETTERS,
    SELECT_INSTRUCTION,
    images_first,
    images_of,
    options,
    plain_text,
    template,
    text_first,
)
from evals.prompts.upstream.sentences import OPTION_JUDGE, SELECT_OPTION, sentence_prompts
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.upstream.inferred import closest_option
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Sampling, Text

ROWS = Split(hub="jmhb/microvqa", split="train", stems=("train", "test", "MicroVQA", "items"), rows=1_042)


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("key_question", "question", "choices", "correct_index")):
        choices, gold_index = text_list(row, "choices"), int(row["correct_index"])
        if not 0 <= gold_index < len(choices):
            raise DataError(
                f"microvqa: {row['key_question']}: the gold answer {gold_index} is not an index of its {count_of(len(choices), 'option')}"
            )
        yield Sample(
            id=str(row["key_question"]),
            question=(*images(data, row.get("images_list") or ()), Text(str(row["question"]))),
            target=LETTERS[gold_index],
            choices=choices,
            group=str(row.get("task_str") or row.get("task") or ""),
        )


digit_after_answer_is = first_match("numbered", r"answer is \*?\*?\(?([0-9])\)?\*?\*?")
"""The authors' rule: the first digit after "answer is"; "The answer is 12 um" is read as 1."""


def _numbered_prompt(sample: Sample, repeat: int) -> Prompt:
    option_lines = "\n".join(f"  ({number}): {choice}" for number, choice in enumerate(sample.choices, 1))
    text = (
        "Answer this multiple-choice question. Reason step by step and finish with your answer in the form "
        f'"The answer is (X)".\n\n{plain_text(sample.question)}\n\nOptions:\n{option_lines}\n'
    )
    return text_first(sample, text)


def _vlmevalkit_prompt(sample: Sample, repeat: int) -> Prompt:
    option_block = f"Options:\n{options(sample.choices)}\n{SELECT_INSTRUCTION}"
    text = f"Question: {plain_text(sample.question)}\n{option_block}"
    return images_first([*images_of(sample), Text(text)])


STRICT_PROMPT = "{question}\n{options}\n\nFinish with a line of the form `ANSWER: X`, where X is the letter of one option."
BENCHMARK = Benchmark(
    name="microvqa",
    title="MicroVQA: 1,042 questions by biologists about their microscopy images, three tasks (Burgess et al., arXiv 2503.13399).",
    version="3",
    variants={"": Variant(1_042)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=template(STRICT_PROMPT), scorers={"choice": StatedChoice()}),
        "official": Protocol(
            prompt=_numbered_prompt,
            scorers={"choice": Choice(digit_after_answer_is)},
            sampling=Sampling(temperature=1.0, top_p=1.0, max_tokens=2_048),
            ideal=lambda sample, prompt: f"The answer is ({LETTERS.index(str(sample.target)) + 1}).",
        ),
        "intern-s1": Protocol(
            prompt=_vlmevalkit_prompt,
            upstream=sentence_prompts(SELECT_OPTION, judge=OPTION_JUDGE),
            scorers={"choice": closest_option()},
            sampling=INTERN_S1,
            ideal=gold_answer,
        ),
    },
    needs=frozenset({"image"}),
    chance=0.22,
    licence="see the data set's card on the hub",
    cite="arXiv 2503.13399",
)
