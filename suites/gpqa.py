"""GPQA (Rein et al. 2023, arXiv 2311.12022). The authors ask that no item be published in plain text.

`official`: openai/simple-evals @ ee3b0318, gpqa_eval.py: four repeats, the default of its class (its command-line tool
runs ten); the orders of options for all rows and repeats are drawn from a single generator seeded with 0; the first
match of `Answer: X` counts, and a lower-case letter is wrong. No system message (simple-evals sends GPT models one);
temperature 0.5 and up to 2,048 tokens, as in its samplers for chat models. White space around the question and the
options is removed under every protocol.

`intern-s1`: OpenCompass @ a5acc4bb, gpqa_cascade_eval: the first match of `ANSWER: X` counts; a judge model grades the
replies that this rule does not count as right. The prompts for the model and the judge are OpenCompass' own (`intern-s1~`:
reworded). Options are rotated by the row number, so that the gold letters are D, C, B, A in turn; `{A}` in a question,
e.g. in the subscript of a formula, is replaced by option A.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.extract.upstream.letters import first_match
from evals.intern_s1 import intern_s1_protocol
from evals.prompts import ANSWER_LINE, ask, options, plain_text, rng, shuffled
from evals.prompts.upstream import opencompass_prompts
from evals.report.metrics import accuracy, accuracy_guess
from evals.scorers.choice import Choice, StatedChoice
from evals.types import Prompt, Prompter, Sample, Sampling, Text

VARIANTS = {"diamond": Variant(198), "main": Variant(448), "extended": Variant(546)}
HUB, REVISION = "Idavidrein/gpqa", "633f5ee89ab8ad4522a9f850766b73f62147ffdd"
ANSWER_COLUMNS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    rows, name = VARIANTS[variant].rows, f"gpqa_{variant}"
    split = Split(hub=HUB, revision=REVISION, config=name, split="train", stems=(variant, name), rows=rows)
    for position, row in enumerate(data.rows(split, required=("Record ID", *ANSWER_COLUMNS))):
        yield Sample(
            id=str(row["Record ID"]),
            question=(Text(str(row["Question"])),) if row.get("Question") else (),
            target="A",
            choices=tuple(str(row[column]) for column in ANSWER_COLUMNS),
            group=str(row.get("High-level domain") or ""),
            meta={"row": position},
        )


def _prompt(instruction: str, sample: Sample, order: tuple[int, ...], line_format: str = "{}) {}") -> Prompt:
    """Return a prompt with the options in the given order; white space around the question and the options is removed."""
    option_lines = options([sample.choices[i].strip() for i in order], line_format=line_format)
    return ask(f"{instruction}\n\n{plain_text(sample.question).strip()}\n\n{option_lines}", order=order)


STRICT_INSTRUCTION = f"Answer this graduate-level science question. Think it through step by step, then finish with {ANSWER_LINE}"
LAST_LINE_INSTRUCTION = (
    "Answer the multiple-choice question below{}. The last line of your reply must read '{}: $LETTER' (without the "
    "quotes), where LETTER is one of ABCD."
)


def _strict_prompt(sample: Sample, repeat: int) -> Prompt:
    return _prompt(STRICT_INSTRUCTION, sample, shuffled(4, rng("gpqa", sample.id, repeat)), "{}. {}")


def _official_prompter(data: Data, variant: str) -> Prompter:
    """Return a prompter with simple-evals' option orders, drawn from `Random(0)` for all rows of each repeat in turn."""
    instruction = LAST_LINE_INSTRUCTION.format(", reasoning step by step first", "Answer")
    row_count = sum(1 for _ in _samples(data, variant))
    generator, orders = Random(0), list[tuple[int, ...]]()

    def prompt(sample: Sample, repeat: int) -> Prompt:
        position = repeat * row_count + sample.meta["row"]
        while len(orders) <= position:
            orders.append(tuple(generator.sample(range(4), 4)))
        return _prompt(instruction, sample, orders[position])

    return prompt


def _rotated_prompt(sample: Sample, repeat: int) -> Prompt:
    order = tuple((i + sample.meta["row"] + 1) % 4 for i in range(4))
    return _prompt(LAST_LINE_INSTRUCTION.format("", "ANSWER"), sample, order)


UPSTREAM_PROMPTS = opencompass_prompts(
    "gpqa/gpqa_cascade_eval_gen_772ea0.py", "gpqa_infer_cfg", "gpqa_eval_cfg.evaluator.llm_evaluator"
)
SIMPLE_EVALS_RULE = first_match("first_letter", r"(?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?")
OPENCOMPASS_RULE = first_match("opencompass_letter", r"(?i)ANSWER\s*:\s*([A-D])")

BENCHMARK = Benchmark(
    name="gpqa",
    title="GPQA: graduate-level questions in physics, chemistry and biology (Rein et al. 2023, arXiv 2311.12022).",
    version="2",
    variants=VARIANTS,
    default=("diamond",),  # main contains diamond, and extended contains main
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_strict_prompt, scorers={"choice": StatedChoice()}),
        "official": Protocol(
            prompter=_official_prompter,
            scorers={"choice": Choice(SIMPLE_EVALS_RULE)},
            metrics=(*accuracy(), accuracy_guess()),
            sampling=Sampling(temperature=0.5, max_tokens=2048),
            repeats=4,
        ),
        "intern-s1": intern_s1_protocol(_rotated_prompt, UPSTREAM_PROMPTS, Choice(OPENCOMPASS_RULE)),
    },
    gated=True,
    chance=0.25,
    licence="CC-BY-4.0, gated",
    cite="arXiv 2311.12022",
)
