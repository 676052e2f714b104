"""GPQA (Rein et al. 2023, arXiv 2311.12022). The authors ask that no item be published in plain text.

`official`: openai/simple-evals @ ee3b0318, gpqa_eval.py: four repeats; the order of options is drawn from one generator
seeded with 0 over all rows and repeats; first match of `Answer: X`.

`intern-s1`: OpenCompass @ a5acc4bb, gpqa_cascade_eval: first match of `ANSWER: X`, and a judge model for replies that this
does not count as right, both with OpenCompass' own prompts (`intern-s1~`: reworded). Options are rotated by the row number,
so that the gold letters are D, C, B, A in turn; a `{A}` in a question, e.g. in the index of a formula, becomes option A.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.extract import letter_opencompass, letter_simple_evals
from evals.prompts import ask, options, plain_text, rng, shuffled
from evals.prompts.upstream import UpstreamPrompts
from evals.report.metrics import accuracy, accuracy_guess
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.judge.judged import Judged
from evals.suite import INTERN_S1
from evals.types import Prompt, Prompter, Sample, Sampling, Text

VARIANTS = {"diamond": Variant(198), "main": Variant(448), "extended": Variant(546)}
HUB, REVISION = "Idavidrein/gpqa", "633f5ee89ab8ad4522a9f850766b73f62147ffdd"
ANSWERS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    rows, name = VARIANTS[variant].rows, f"gpqa_{variant}"
    split = Split(
        hub=HUB, revision=REVISION, config=name, split="train", stems=(variant, name), rows=rows, gated=True
    )
    for position, row in enumerate(data.rows(split, required=("Record ID", *ANSWERS))):
        yield Sample(
            id=str(row["Record ID"]),
            question=(Text(str(row["Question"])),) if row.get("Question") else (),
            target="A",
            choices=tuple(str(row[column]) for column in ANSWERS),
            group=str(row.get("High-level domain") or ""),
            meta={"row": position},
        )


def _ask(instruction: str, sample: Sample, order: Sequence[int], mark: str = "{}) {}") -> Prompt:
    """Return the prompt without the spaces around question and options, which only OpenCompass keeps."""
    shown = options([sample.choices[i].strip() for i in order], mark=mark)
    return ask(f"{instruction}\n\n{plain_text(sample.question).strip()}\n\n{shown}", order=tuple(order))


STRICT = (
    "Answer this graduate-level science question. Think it through step by step, then finish with a line of the form "
    "`ANSWER: X`, where X is A, B, C or D."
)
LAST_LINE = (
    "Answer the multiple-choice question below{}. The last line of your reply must read '{}: $LETTER' (without the "
    "quotes), where LETTER is one of ABCD."
)
OFFICIAL = LAST_LINE.format(", reasoning step by step first", "Answer")
ROTATED = LAST_LINE.format("", "ANSWER")


def _shuffled(sample: Sample, repeat: int) -> Prompt:
    return _ask(STRICT, sample, shuffled(4, rng("gpqa", sample.id, repeat)), "{}. {}")


def _official(data: Data, variant: str) -> Prompter:
    """Return the prompter with simple-evals' orders of options: row by row, repeat by repeat, from `Random(0)`."""
    rows, draw, orders = sum(1 for _ in _samples(data, variant)), Random(0), list[list[int]]()

    def prompt(sample: Sample, repeat: int) -> Prompt:
        position = repeat * rows + sample.meta["row"]
        while len(orders) <= position:
            orders.append(draw.sample(range(4), 4))
        return _ask(OFFICIAL, sample, orders[position])

    return prompt


def _rotated(sample: Sample, repeat: int) -> Prompt:
    return _ask(ROTATED, sample, [(position + sample.meta["row"] + 1) % 4 for position in range(4)])


def _row(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Return the columns that OpenCompass' loader makes (datasets/gpqa.py)."""
    shown = {letter: sample.choices[i] for letter, i in zip("ABCD", prompt.order or range(4), strict=True)}
    return {"question": question, **shown, "answer": prompt.shown_letter(str(sample.target))}


WORDS = UpstreamPrompts(
    file="gpqa/gpqa_cascade_eval_gen_772ea0.py",
    asks="gpqa_infer_cfg.prompt_template.template",
    judges="gpqa_eval_cfg.evaluator.llm_evaluator.prompt_template.template",
    row=_row,
    gold="answer",
)


def opencompass_letter(text: str, count: int) -> str | None:
    """Apply OpenCompass' rule."""
    return letter_opencompass(text)


def first_letter(text: str, count: int) -> str | None:
    """Apply the rule of simple-evals."""
    return letter_simple_evals(text)


BENCHMARK = Benchmark(
    name="gpqa",
    title="GPQA: graduate-level questions in physics, chemistry and biology (Rein et al. 2023, arXiv 2311.12022).",
    version="2",
    variants=VARIANTS,
    default=("diamond",),  # main contains diamond, and extended contains main
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_shuffled, scorers={"choice": StatedChoice()}),
        "official": Protocol(
            prompter=_official,
            scorers={"choice": Choice(first_letter)},
            metrics=(*accuracy(), accuracy_guess()),
            sampling=Sampling(temperature=0.5, max_tokens=2048),
            repeats=4,
        ),
        "intern-s1": Protocol(
            prompt=_rotated,
            upstream=WORDS,
            scorers={"judge": Judged(rule=Choice(opencompass_letter))},
            sampling=INTERN_S1,
        ),
    },
    ideal=lambda sample, prompt: f"Answer: {prompt.shown_letter(str(sample.target))}",
    gated=True,
    chance=0.25,
    licence="CC-BY-4.0, gated",
    cite="arXiv 2311.12022",
)
