"""MathVista (Lu et al., arXiv 2310.02255), split testmini.

540 questions have options, the others ask for a number (two for a list). `official` compares like the authors
(evals/scorers/upstream/mathvista.py), with a rule instead of their language model that extracts the answer. `intern-s1`
follows VLMEvalKit (evals/scorers/upstream/vlmevalkit.py), whose judge extracts the answer if its rule cannot parse it.
`strict` needs a stated option, or one stated number that is correct to the requested precision. Upstream's questions begin
with a hint on the answer format, which is reworded, so that runs made here are `intern-s1~`.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.prompts import LETTERS, ask_with_images, hinted, images_of, options, pictures_first, plain_text
from evals.prompts.upstream import UNREAD
from evals.scorers.upstream.mathvista import Official, Strict
from evals.scorers.upstream.vlmevalkit import MATHVISTA
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Text

ROWS = Split(hub="AI4Math/MathVista", split="testmini", stems=("testmini", "items"), rows=1_000)
KINDS = {
    "integer": "a whole number",
    "float": "a number with {precision} decimal place(s)",
    "list": "a list of numbers in square brackets, such as [1, 2, 3]",
    "text": "a single word or phrase",
}


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("pid", "answer", "choices", "answer_type")):
        choices = tuple(map(str, row["choices"] or ()))
        text = row.get("question") and _words(row)
        picture = row.get("decoded_image") or row.get("image")
        metadata = row.get("metadata") or {}
        yield Sample(
            id=str(row["pid"]),
            question=with_image(data, text, picture, required=True),
            target=_gold(row, choices),
            choices=choices,
            group=str(metadata.get("task", "")),
            meta={"answer_type": str(row["answer_type"]), "precision": int(float(row.get("precision") or 0))},
        )


def _words(row: Row) -> str:
    return f"{row['question']} (Unit: {row['unit']})" if row.get("unit") else str(row["question"])


def _gold(row: Row, choices: tuple[str, ...]) -> str:
    answer = str(row["answer"])
    if not choices:
        return answer
    if answer not in choices:
        raise DataError(f"mathvista: {row['pid']}: the gold answer {answer!r} is not one of its options")
    return LETTERS[choices.index(answer)]


def _prompt(sample: Sample, repeat: int) -> Prompt:
    if sample.choices:
        shown = f"\n{options(sample.choices, mark='({}) {}')}"
        form = "where X is the letter of the right option"
    else:
        shown = ""
        kind = KINDS.get(str(sample.meta["answer_type"]), KINDS["text"])
        form = f"where X is {kind.format(precision=sample.meta['precision'])}, without its unit"
    words = (
        f"{plain_text(sample.question)}{shown}\n\nReason as far as you need to, then finish with a line of the form "
        f"`Answer: X`, {form}."
    )
    return ask_with_images(sample, words)


def _hinted(sample: Sample, repeat: int) -> Prompt:
    """Return the prompt in VLMEvalKit's layout."""
    form = "the letter of the right option"
    if not sample.choices:
        kind = KINDS.get(str(sample.meta["answer_type"]), KINDS["text"])
        form = kind.format(precision=sample.meta["precision"])
    return pictures_first(
        [*images_of(sample), Text(hinted(plain_text(sample.question), form, sample.choices))]
    )


def _unwinnable(sample: Sample) -> str:
    return "its answer is a list" if sample.meta["answer_type"] == "list" else ""


BENCHMARK = Benchmark(
    name="mathvista",
    title="MathVista: 1,000 questions (testmini) about figures, charts and photos with numbers (Lu et al., arXiv 2310.02255).",
    version="2",
    variants={"": Variant(1_000)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_prompt, scorers={"answer": Strict()}),
        "official": Protocol(prompt=_prompt, scorers={"answer": Official()}),
        "intern-s1": Protocol(
            prompt=_hinted,
            upstream=UNREAD,
            scorers={"answer": MATHVISTA},
            sampling=INTERN_S1,
            ideal=lambda sample, prompt: str(sample.target),
            unwinnable=_unwinnable,
        ),
    },
    ideal=lambda sample, prompt: f"Answer: {sample.target}",
    needs=frozenset({"image"}),
    chance=0.179,
    licence="CC-BY-SA-4.0",
    cite="arXiv 2310.02255",
)
