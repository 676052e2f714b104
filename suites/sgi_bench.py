"""SGI-Bench (InternScience/SGI-Bench, arXiv 2512.16969), the two parts that a rule scores.

`reasoning`: 291 multiple-choice questions about experiments with images; `official` takes the first box that holds a capital
letter, as upstream's `MCA` does (@ 16584afe, task_4_experimental_reasoning/step_2_score.py). `deep-research`: 318 questions with a
short answer; `official` is equality, character by character, with the last `<answer>` of the reply, or else with the whole reply.
Upstream also counts the answer as another model rewrites it, so its numbers may be higher; items whose call failed count there as
wrong, and yet seven numbers of its leaderboard are not a share of 318 (`evals claims check --grid --suite sgi-bench`). `strict` requires a
stated letter, and compares numbers by value and texts by their words.

The other parts are not here: dry experiments execute what a model wrote, ideas and wet experiments are graded by several judges
and sentence embeddings. So the mean of five parts, the SGI-Score, cannot be computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract.upstream.letters import first_match
from evals.prompts import LETTERS, ask, ask_with_images, options, plain_text
from evals.scorers.chart import Stated
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.upstream.last_tag import LastTag
from evals.suite import GREEDY_32K
from evals.types import Part, Prompt, Sample, Text

SPLITS = {
    "reasoning": Split(hub="InternScience/SGI-Reasoning", stems=("reasoning", "SGI-Reasoning"), rows=291),
    "deep-research": Split(
        hub="InternScience/SGI-DeepResearch", stems=("deep_research", "SGI-DeepResearch"), rows=318
    ),
}
first_boxed_letter = first_match("first_boxed_letter", r"\\boxed\{([A-Z])\}")


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    make = _of_reasoning if variant == "reasoning" else _of_research
    for row in data.rows(SPLITS[variant], required=("idx", "question", "answer", "discipline")):
        yield make(data, row)


def _of_reasoning(data: Data, row: Row) -> Sample:
    choices = tuple(map(str, row.get("options") or ()))
    right = str(row["answer"])
    if not right.isdecimal() or int(right) >= len(choices):
        raise DataError(f"sgi-bench: {row['idx']}: option {right} of {len(choices)} is the gold answer")
    pictures: list[Part | None] = [image(data, value) for value in row.get("images") or ()]
    return Sample(
        id=str(row["idx"]),
        question=(*(part for part in pictures if part is not None), Text(str(row["question"]))),
        target=LETTERS[int(right)],
        choices=choices,
        group=str(row["discipline"]),
    )


def _of_research(data: Data, row: Row) -> Sample:
    return Sample(
        id=str(row["idx"]),
        question=(Text(str(row["question"])),),
        target=str(row["answer"]),
        group=str(row["discipline"]),
    )


def _choose(form: str) -> Callable[[Sample, int], Prompt]:
    def prompt(sample: Sample, repeat: int) -> Prompt:
        return ask_with_images(
            sample,
            "Answer this multiple-choice question step by step; exactly one option is the most correct. "
            f"{form}\n\nQuestion:\n{plain_text(sample.question)}\n\nOptions:\n{options(sample.choices)}",
        )

    return prompt


def _state(sample: Sample, repeat: int) -> Prompt:
    return ask(
        f"{plain_text(sample.question)}\n\nReason step by step if that helps. Put the final answer, and nothing else, between "
        "<answer> and </answer>, e.g. <answer>1.00</answer>."
    )


def _boxed(sample: Sample, prompt: Prompt) -> str:
    return f"\\boxed{{{prompt.shown_letter(str(sample.target))}}}"


def _tagged(sample: Sample, prompt: Prompt) -> str:
    return f"<answer>{sample.target}</answer>"


IN_A_BOX = "Give the reasoning, then the letter of that option alone in a box, e.g. \\boxed{A}."
ON_A_LINE = "Finish with a line of the form `ANSWER: X`, where X is the letter of one option."
PROTOCOLS: Mapping[tuple[str, str], Protocol] = {
    ("strict", "reasoning"): Protocol(
        prompt=_choose(ON_A_LINE), scorers={"answer": StatedChoice()}, sampling=GREEDY_32K
    ),
    ("strict", "deep-research"): Protocol(
        prompt=_state, scorers={"answer": Stated(tolerance=0.001)}, sampling=GREEDY_32K, ideal=_tagged
    ),
    ("official", "reasoning"): Protocol(
        prompt=_choose(IN_A_BOX),
        scorers={"answer": Choice(first_boxed_letter)},
        sampling=GREEDY_32K,
        ideal=_boxed,
    ),
    ("official", "deep-research"): Protocol(
        prompt=_state, scorers={"answer": LastTag("answer")}, sampling=GREEDY_32K, ideal=_tagged
    ),
}
"""(protocol, variant) -> what is asked and scored."""

BENCHMARK = Benchmark(
    name="sgi-bench",
    title="SGI-Bench: experimental reasoning (291, images) and deep research (318, short answers), the parts that a rule scores.",
    variants={
        "reasoning": Variant(291, chance=0.15),
        "deep-research": Variant(318, chance=0.0, needs=frozenset()),
    },
    samples=_samples,
    protocols={
        "strict": lambda variant: PROTOCOLS["strict", variant],
        "official": lambda variant: PROTOCOLS["official", variant],
    },
    needs=frozenset({"image"}),
    licence="see its cards on the hub",
    cite="arXiv 2512.16969",
)
