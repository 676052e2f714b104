"""ChartQAPro (Masry et al., arXiv 2504.05506): 1,948 questions of five types about 1,341 charts from 157 sources.

`official` asks for the answer alone (the authors' "Direct"), `official-cot` for reasoning that ends with "The answer is X".
Both are scored by the authors' rule, which compares the whole reply (evals/scorers/upstream/chartqapro.py documents its
defects), so a reply that contains the requested reasoning is nearly always wrong under `official-cot`. VLMEvalKit's
`ChartQAPro` and `ChartQAPro_CoT` are the same. Programs of thought are not run. `strict` compares the stated answer. The
prompts are ours, based on the authors' instructions.

Rows are the hub's (Question, Answer, Question Type, Year, Paragraph, image) or VLMEvalKit's (the same columns in lower
case, lists as Python literals). The earlier turns of a conversation are part of the prompt, with their answers; the last
turn is scored. The number of rows is the paper's; rows without an id are identified by their position.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer_line
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.plain import count_of
from evals.prompts import ask_with_images, plain_text
from evals.scorers.upstream.chartqapro import Published, Strict, parse_list_literal, split_gold
from evals.types import Prompt, Sample, Sampling

ROWS = Split(hub="ahmed-masry/ChartQAPro", split="test", stems=("test", "chartqapro", "ChartQAPro", "items"))
VALUE_FORMAT = "a single word, number or phrase, without units, but with million, m, billion, B or K as the chart writes it"
QUESTION_TYPES = {
    "Factoid": ("Answer this question from the image.", VALUE_FORMAT),
    "Multi Choice": (
        "Choose the right one of the answers given, from the image.",
        "one letter: a, b, c or d",
    ),
    "Conversational": (
        "Answer the last question of this conversation from its earlier turns and the image.",
        VALUE_FORMAT,
    ),
    "Fact Checking": ("Judge from the image whether this statement is true.", "true or false"),
    "Hypothetical": ("Answer this hypothetical question from the image.", VALUE_FORMAT),
}
"""Question type -> task, and format of the answer."""


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for position, raw in enumerate(data.rows(ROWS)):
        row = {name.lower().replace(" ", "_"): value for name, value in raw.items()}
        sample_id = str(row.get("id") or row.get("index") or position)
        turns, golds, years = (
            _parse_list(row, column, sample_id) for column in ("question", "answer", "year")
        )
        question_type = str(row.get("question_type") or "")
        if question_type not in QUESTION_TYPES:
            raise DataError(
                f"chartqapro: {sample_id}: question type {question_type!r} is not one of {', '.join(QUESTION_TYPES)}"
            )
        if len(turns) != len(golds):
            raise DataError(
                f"chartqapro: {sample_id}: {count_of(len(turns), 'question')}, but {count_of(len(golds), 'answer')}"
            )
        previous_turns = [text for turn in zip(turns[:-1], golds[:-1], strict=True) for text in turn]
        yield Sample(
            id=sample_id,
            question=with_image(data, turns[-1], row.get("image")),
            target=golds[-1].strip(),
            group=question_type,
            meta={"years": years, "turns": previous_turns, "paragraph": str(row.get("paragraph") or "")},
        )


def _parse_list(row: Row, column: str, sample_id: str) -> list[str]:
    value = row.get(column)
    items = parse_list_literal(value) if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise DataError(f"chartqapro: {sample_id}: column {column!r} is not a list or is empty")
    return [str(item) for item in items]


INSTRUCTIONS = {
    "official": "Reply with the answer alone.",
    "official-cot": 'Think step by step, and put the final answer into a sentence of its own, as in "The answer is X".',
    "strict": "Think step by step, then finish with a line of the form `Answer: X`.",
}


def _prompt(instruction: str, sample: Sample, repeat: int) -> Prompt:
    task, answer_format = QUESTION_TYPES[sample.group]
    turns = [str(turn) for turn in sample.meta["turns"]]
    question = plain_text(sample.question)
    parts = [
        str(sample.meta["paragraph"]),
        task,
        f"The answer is {answer_format}. Several answers stand in brackets: [X, Y]. "
        "If the image does not hold the answer, it is: unanswerable.",
        instruction,
        f"Conversation: {turns}" if turns else "",
        f"Question: {question}",
    ]
    return ask_with_images(sample, "\n".join(filter(None, parts)))


def _ideal(sample: Sample, prompt: Prompt) -> str:
    """Return the answer in the only form that the published rule reads: several items as a Python literal."""
    items = split_gold(str(sample.target))
    return str(items) if len(items) > 1 else str(sample.target)


def _official(instruction: str) -> Protocol:
    return Protocol(
        prompt=partial(_prompt, instruction),
        scorers={"relaxed": Published()},
        sampling=Sampling(temperature=0.0, max_tokens=2_048),
        ideal=_ideal,
    )


BENCHMARK = Benchmark(
    name="chartqapro",
    title="ChartQAPro: 1,948 questions of five types about charts from 157 sources (Masry et al., arXiv 2504.05506).",
    variants={"": Variant(1_948)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=partial(_prompt, INSTRUCTIONS["strict"]), scorers={"relaxed": Strict()}),
        "official": _official(INSTRUCTIONS["official"]),
        "official-cot": _official(INSTRUCTIONS["official-cot"]),
    },
    ideal=gold_answer_line,
    needs=frozenset({"image"}),
    licence="MIT",
    cite="arXiv 2504.05506",
)
