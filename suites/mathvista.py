"""MathVista (Lu et al., arXiv 2310.02255), split testmini.

540 questions have options; the others ask for a number (two of them for a list). `official` compares answers as the
authors do (evals/scorers/upstream/mathvista.py), but a rule extracts the answer instead of a language model, and
sampling is greedy with up to 32,768 tokens (theirs: temperature 0.2, 512 tokens). `intern-s1` follows VLMEvalKit
(evals/scorers/upstream/vlmevalkit.py), whose judge extracts the answer if its rule cannot parse the reply. `strict`
needs a stated option, or one stated number that is correct to the requested precision. Upstream's questions begin with
a hint on the answer format, which is reworded, so runs made here are `intern-s1~`. `vlmevalkit` is `intern-s1` with
greedy sampling.

`geometry` is the subset that OptMerge (arXiv 2505.19892) reports: the items with at least one of three labels, namely
the skills algebraic reasoning and geometry reasoning, and the task geometry problem solving. The headline is the
unweighted mean of the three labels' accuracies. The labels overlap: the 304 items have 728 labels, and 206 of the items
have all three. `accuracy` counts each item once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer, gold_answer_line
from evals.data import Data, Row, Split, text_list
from evals.data.media import with_image
from evals.errors import DataError
from evals.prompts import LETTERS, ask_with_images, hinted_question, options, plain_text
from evals.prompts.upstream import UNAVAILABLE
from evals.report.metrics import accuracy, mean_value
from evals.scorers.upstream.mathvista import Official, Strict
from evals.scorers.upstream.vlmevalkit import MATHVISTA
from evals.suite import INTERN_S1
from evals.types import Metric, Point, Prompt, Prompter, Sample, Sampling, Scorer

ROWS = Split(hub="AI4Math/MathVista", split="testmini", stems=("testmini", "items"), rows=1_000)
ANSWER_FORMATS = {
    "integer": "a whole number",
    "float": "a number with {precision} decimal place(s)",
    "list": "a list of numbers in square brackets, such as [1, 2, 3]",
    "text": "a single word or phrase",
}
GEOMETRY = ("algebraic reasoning", "geometry problem solving", "geometry reasoning")
"""Labels of the variant `geometry`: two skills and a task."""
LABEL_SEPARATOR = " + "


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("pid", "answer", "choices", "answer_type")):
        metadata = row.get("metadata") or {}
        group = _geometry_labels(metadata) if variant else str(metadata.get("task", ""))
        if variant and not group:
            continue
        choices = text_list(row, "choices")
        unit = f" (Unit: {row['unit']})" if row.get("unit") else ""
        question = row.get("question") and f"{row['question']}{unit}"
        image = row.get("decoded_image") or row.get("image")
        yield Sample(
            id=str(row["pid"]),
            question=with_image(data, question, image, required=True),
            target=_target(row, choices),
            choices=choices,
            group=group,
            meta={"answer_type": str(row["answer_type"]), "precision": int(float(row.get("precision") or 0))},
        )


def _geometry_labels(metadata: Mapping[str, Any]) -> str:
    """Return an item's labels among `GEOMETRY`; empty if it has none."""
    labels = {str(metadata.get("task", "")), *map(str, metadata.get("skills") or ())}
    return LABEL_SEPARATOR.join(label for label in GEOMETRY if label in labels)


def mean_of_labels(points: Sequence[Point]) -> float:
    """Return the mean of the three labels' accuracies; raises ValueError if a label has no scored item."""
    scored = [
        (point.group.split(LABEL_SEPARATOR), point.value) for point in points if point.value is not None
    ]
    values_by_label = [[value for labels, value in scored if label in labels] for label in GEOMETRY]
    if not all(values_by_label):
        raise ValueError("a label has no scored item")
    return sum(sum(values) / len(values) for values in values_by_label) / len(values_by_label)


def _target(row: Row, choices: tuple[str, ...]) -> str:
    answer = str(row["answer"])
    if not choices:
        return answer
    if answer not in choices:
        raise DataError(f"mathvista: {row['pid']}: the gold answer {answer!r} is not one of its options")
    return LETTERS[choices.index(answer)]


def _answer_format(sample: Sample) -> str:
    if sample.choices:
        return "the letter of the right option"
    answer_format = ANSWER_FORMATS.get(str(sample.meta["answer_type"]), ANSWER_FORMATS["text"])
    return answer_format.format(precision=sample.meta["precision"])


def _prompt(sample: Sample, repeat: int) -> Prompt:
    choices = f"\n{options(sample.choices, line_format='({}) {}')}" if sample.choices else ""
    ending = "" if sample.choices else ", without its unit"
    return ask_with_images(
        sample,
        f"{plain_text(sample.question)}{choices}\n\nReason as far as you need to, then finish with a line of the form "
        f"`Answer: X`, where X is {_answer_format(sample)}{ending}.",
    )


def _vlmevalkit_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return the prompt in VLMEvalKit's layout."""
    return hinted_question(sample, _answer_format(sample))


GEOMETRY_METRICS = (
    Metric(name="accuracy_of_labels", of=mean_of_labels, pool="whole", headline=True),
    Metric(name="accuracy", of=mean_value),
)


def _protocol(scorer: Scorer, variant: str, *, prompt: Prompter = _prompt, **options: Any) -> Protocol:
    metrics = GEOMETRY_METRICS if variant else accuracy()
    return Protocol(prompt=prompt, scorers={"answer": scorer}, metrics=metrics, **options)


_vlmevalkit = partial(
    _protocol,
    MATHVISTA,
    prompt=_vlmevalkit_prompt,
    upstream=UNAVAILABLE,
    ideal=gold_answer,
    why_unsolvable=lambda sample: "its answer is a list" if sample.meta["answer_type"] == "list" else "",
)
BENCHMARK = Benchmark(
    name="mathvista",
    title="MathVista: 1,000 questions (testmini) about figures, charts and photos with numbers (Lu et al., arXiv 2310.02255).",
    version="2",
    variants={"": Variant(1_000, chance=0.179), "geometry": Variant(304)},
    default=("",),
    samples=_samples,
    protocols={
        "strict": partial(_protocol, Strict()),
        "official": partial(_protocol, Official()),
        "intern-s1": partial(_vlmevalkit, sampling=INTERN_S1),
        "vlmevalkit": partial(_vlmevalkit, sampling=Sampling(temperature=0.0, max_tokens=2_048)),
    },
    ideal=gold_answer_line,
    needs=frozenset({"image"}),
    licence="CC-BY-SA-4.0",
    cite="arXiv 2310.02255",
)
