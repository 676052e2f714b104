r"""XLRS-Bench-lite (arXiv 2503.23771).

The headline is the mean over tasks. One task, overall land use, has several right options, all of which are required.
`official` is the rule that the authors share with VLMEvalKit (@ e8e78f05, dataset/image_mcq.py). It reads the letters a to
e anywhere in a reply, so that "Answer: B" is read as A, B and E, and `\boxed{B}` as B, D and E. Scores of this rule and of
a judge are not comparable (VLMEvalKit's issue 1331: 14.5 and the published 51.6).

`intern-s1` is VLMEvalKit with a judge, which reads every reply (upstream's judge lists options, ours grades the reply).
VLMEvalKit's rows contain the instruction, and the hub's do not; the judge prompt is ours for both, so runs made here
are `intern-s1~`. `strict` reads only stated options. The score depends strongly on the size of the images: set
`--max-pixels`.

Rows are the hub's (index, category, question, `multi-choice options` as a list, answer, image as a list) or VLMEvalKit's
(options as one string with the instruction, category and l2-category). The hub's index restarts in each task, so the ids of
its rows are `task/index`. The number of rows at e540ee2a, 3,080, is taken from other sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant, answer_line
from evals.data import Data, Row, Split
from evals.data.media import images
from evals.errors import DataError
from evals.extract.upstream.letters import letters_xlrs
from evals.prompts import ask_with_images, images_first, options, plain_text
from evals.prompts.upstream import UNAVAILABLE
from evals.report.metrics import accuracy
from evals.scorers.judge.judged import Judged
from evals.scorers.options import StatedOptions
from evals.scorers.outcomes import binary_score, no_answer
from evals.suite import INTERN_S1
from evals.types import Prompt, Reply, Sample, Score, Text

ROWS = Split(
    hub="initiacms/XLRS-Bench-lite",
    revision="e540ee2aa745ce9a83784ae76541ddb7f79f03ac",
    split="train",
    stems=("train", "XLRS-Bench-lite", "items"),
    rows=3_080,
)
MULTIPLE_ANSWER_TASK = "Land use classification/Overall Land use classification"
"""The task with several right options."""
_OPTION_LINE = re.compile(r"^[^\S\n]*\(?([A-E])[).]\s*(.*)$", re.MULTILINE)


def _samples(data: Data, variant: str = "lite") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("index", "question", "multi-choice options", "answer", "category")):
        task = "/".join(str(row[c]) for c in ("category", "l2-category") if row.get(c))
        sample_id = str(row["index"]) if row.get("l2-category") else f"{task}/{row['index']}"
        gold_letters = tuple(sorted(set(re.findall("[A-E]", str(row["answer"]).upper()))))
        column = row.get("image") or ()
        image_values = column if isinstance(column, list | tuple) else (column,)
        own_options = row["multi-choice options"]  # with the instruction, unless they are a list
        yield Sample(
            id=sample_id,
            question=(*images(data, image_values), Text(str(row["question"]))),
            target=gold_letters[0] if len(gold_letters) == 1 else gold_letters,
            choices=_choices(row),
            group=task,
            meta={"shown": own_options if isinstance(own_options, str) else ""},
        )


def _choices(row: Row) -> tuple[str, ...]:
    """Return the options' texts; raises DataError if they are not lettered consecutively."""
    options_column = row["multi-choice options"]
    is_list = isinstance(options_column, list | tuple)
    lettered = _OPTION_LINE.findall("\n".join(map(str, options_column if is_list else [options_column])))
    letters, texts = [letter for letter, _ in lettered], tuple(text.rstrip() for _, text in lettered)
    if not lettered or letters != list("ABCDE"[: len(lettered)]):
        raise DataError(
            f"xlrs: {row['index']}: its options are not lettered A, B, C ...: {', '.join(letters) or 'no letters'}"
        )
    return texts


def _official_prompt(sample: Sample, repeat: int) -> Prompt:
    question, has_several = plain_text(sample.question), sample.group == MULTIPLE_ANSWER_TASK
    if own_options := str(sample.meta["shown"]):
        return ask_with_images(sample, question + own_options)
    option_lines = options(sample.choices, line_format="({}) {}")
    instruction = (
        "Choose every option that applies and reply with their letters alone, separated by spaces."
        if has_several
        else "Choose the best option and reply with its letter alone."
    )
    return ask_with_images(
        sample, f"{question}\nThe choices are listed below:\n{option_lines}\n\n{instruction}\nThe answer is:"
    )


def _strict_prompt(sample: Sample, repeat: int) -> Prompt:
    answer_format = (
        "`ANSWER: X, Y`, with the letters of all options that apply"
        if sample.group == MULTIPLE_ANSWER_TASK
        else "`ANSWER: X`, where X is the letter of the best option"
    )
    text = f"{plain_text(sample.question)}\n{options(sample.choices)}\n\nFinish with a line of the form {answer_format}."
    return ask_with_images(sample, text)


class Letters(Struct, frozen=True):
    """Scores 1 if upstream reads exactly the right letters."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = "" if reply.stop == "filter" else reply.text[-100_000:]
        if not (letters := letters_xlrs(text)):
            return no_answer(reply, "no letters that upstream reads")
        if prompt.order:
            letters = "".join(sorted(prompt.source_letter(letter) or letter for letter in letters))
        return binary_score(right=set(letters) == set(sample.targets), answer=letters)


BENCHMARK = Benchmark(
    name="xlrs",
    title="XLRS-Bench-lite: questions about remote sensing images of up to 10,000 x 10,000 pixels, 13 tasks (arXiv 2503.23771).",
    version="3",
    variants={"lite": Variant(3_080)},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=_strict_prompt,
            scorers={"options": StatedOptions()},
            metrics=accuracy(macro=True),
            ideal=answer_line,
        ),
        "official": Protocol(
            prompt=_official_prompt, scorers={"options": Letters()}, metrics=accuracy(macro=True)
        ),
        "intern-s1": Protocol(
            # several images are numbered, as by Intern-S1's adapter
            prompt=lambda sample, repeat: images_first(_official_prompt(sample, repeat).messages[0].parts),
            upstream=UNAVAILABLE,
            scorers={"options": Judged(rule=Letters(), mode="whole")},
            metrics=accuracy(macro=True),
            sampling=INTERN_S1,
        ),
    },
    ideal=lambda sample, prompt: " ".join(sample.targets),
    needs=frozenset({"image"}),
    licence="CC-BY-NC-SA-4.0; the images have their own terms",
    cite="arXiv 2503.23771",
)
