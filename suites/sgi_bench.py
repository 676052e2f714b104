"""SGI-Bench (InternScience/SGI-Bench, arXiv 2512.16969), the two parts that are scored by rule.

`reasoning`: 291 multiple-choice questions, with images, about experiments; `official` uses the first box that consists
of one capital letter, as upstream's `MCA` does (@ 16584afe, task_4_experimental_reasoning/step_2_score.py).
`deep-research`: 318 questions with a short answer; `official` requires the last `<answer>` of the reply, or else the
whole reply, to equal the gold answer exactly. Upstream compares the answer again after another model has rewritten it,
so its scores may be higher. Failed calls count as wrong upstream; nevertheless, seven scores on its leaderboard are not
multiples of 1/318 (`evals claims check --grid --suite sgi-bench`). `strict` needs a stated letter, and compares numbers
by value and texts by their words.

The other parts are not supported: dry experiments execute model output, and ideas and wet experiments are graded by
several judges and sentence embeddings. The SGI-Score, the mean of five parts, therefore cannot be computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split, text_list
from evals.data.media import images
from evals.errors import DataError
from evals.extract.upstream.letters import first_match
from evals.plain import count_of
from evals.prompts import LETTERS, template
from evals.scorers.chart import Stated
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.upstream.last_tag import LastTag
from evals.types import Prompt, Prompter, Sample, Text

SPLITS = {
    "reasoning": Split(hub="InternScience/SGI-Reasoning", stems=("reasoning", "SGI-Reasoning"), rows=291),
    "deep-research": Split(
        hub="InternScience/SGI-DeepResearch", stems=("deep_research", "SGI-DeepResearch"), rows=318
    ),
}
first_boxed_letter = first_match("first_boxed_letter", r"\\boxed\{([A-Z])\}")


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    to_sample = _reasoning_sample if variant == "reasoning" else _research_sample
    for row in data.rows(SPLITS[variant], required=("idx", "question", "answer", "discipline")):
        yield to_sample(data, row)


def _reasoning_sample(data: Data, row: Row) -> Sample:
    choices = text_list(row, "options")
    gold_index = str(row["answer"])
    if not gold_index.isdecimal() or int(gold_index) >= len(choices):
        raise DataError(
            f"sgi-bench: {row['idx']}: the gold answer {gold_index} is not an index of its {count_of(len(choices), 'option')}"
        )
    return Sample(
        id=str(row["idx"]),
        question=(*images(data, row.get("images") or ()), Text(str(row["question"]))),
        target=LETTERS[int(gold_index)],
        choices=choices,
        group=str(row["discipline"]),
    )


def _research_sample(data: Data, row: Row) -> Sample:
    return Sample(
        id=str(row["idx"]),
        question=(Text(str(row["question"])),),
        target=str(row["answer"]),
        group=str(row["discipline"]),
    )


def _choice_prompter(instruction: str) -> Prompter:
    return template(
        "Answer this multiple-choice question step by step; exactly one option is the most correct. "
        f"{instruction}\n\nQuestion:\n{{question}}\n\nOptions:\n{{options}}"
    )


ANSWER_PROMPT = template(
    "{question}\n\nReason step by step if that helps. Put the final answer, and nothing else, between <answer> and "
    "</answer>, e.g. <answer>1.00</answer>."
)


def _ideal_box(sample: Sample, prompt: Prompt) -> str:
    return f"\\boxed{{{prompt.shown_letter(str(sample.target))}}}"


def _ideal_tag(sample: Sample, prompt: Prompt) -> str:
    return f"<answer>{sample.target}</answer>"


BOX_INSTRUCTION = "Give the reasoning, then the letter of that option alone in a box, e.g. \\boxed{{A}}."
LINE_INSTRUCTION = "Finish with a line of the form `ANSWER: X`, where X is the letter of one option."
PROTOCOLS: Mapping[str, Mapping[str, Protocol]] = {
    "strict": {
        "reasoning": Protocol(prompt=_choice_prompter(LINE_INSTRUCTION), scorers={"answer": StatedChoice()}),
        "deep-research": Protocol(
            prompt=ANSWER_PROMPT, scorers={"answer": Stated(tolerance=0.001)}, ideal=_ideal_tag
        ),
    },
    "official": {
        "reasoning": Protocol(
            prompt=_choice_prompter(BOX_INSTRUCTION),
            scorers={"answer": Choice(first_boxed_letter)},
            ideal=_ideal_box,
        ),
        "deep-research": Protocol(
            prompt=ANSWER_PROMPT, scorers={"answer": LastTag("answer")}, ideal=_ideal_tag
        ),
    },
}
"""Name of the protocol -> variant -> protocol."""

BENCHMARK = Benchmark(
    name="sgi-bench",
    title="SGI-Bench: experimental reasoning (291, images) and deep research (318, short answers), the parts scored by rule.",
    variants={
        "reasoning": Variant(291, chance=0.15),
        "deep-research": Variant(318, chance=0.0, needs=frozenset()),
    },
    samples=_samples,
    protocols={name: by_variant.__getitem__ for name, by_variant in PROTOCOLS.items()},
    needs=frozenset({"image"}),
    licence="see the data sets' cards on the hub",
    cite="arXiv 2512.16969",
)
