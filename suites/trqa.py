"""TRQA-lit (OriGene, bioRxiv 2025.06.03.657658): 172 questions on therapeutic targets; one or several options are right.

`official` follows SciEvalKit (@ 0817251a, scieval/dataset/trqa.py), by which rivals measure: all right options in a
`<choice>` tag, and the rule of evals/extract/upstream/scieval.py, which takes every letter of what it reads for an option.
A judge, which SciEvalKit asks only if told to and if nothing was read, is not asked. `strict` reads stated options. Both
require exactly the right set: no partial credit. The authors print the core set's numbers without their prompt, rule or runs;
0.578 is not a share of 172. TRQA's other 1,749 questions have free answers that a judge grades: they are not here.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import DecodeError
from msgspec.json import decode

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.errors import DataError
from evals.extract.upstream.scieval import letters_scieval
from evals.prompts import LETTERS, ask, options, plain_text
from evals.scorers.options import OptionSet, StatedOptions
from evals.suite import GREEDY_32K
from evals.types import Prompt, Sample, Text

ROWS = Split(
    hub="InternScience/SciEval",
    split="train",
    files="TRQA.tsv",
    stems=("TRQA", "TRQA-lit-choice-172-coreset"),
    rows=172,
)
"""SciEvalKit's copy, as its MD5 756bf0b1 names it; the authors' file (GENTEL-lab/OriGene @ 09429e79) has the same columns."""


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for position, raw in enumerate(data.rows(ROWS), 1):
        row = {str(column).strip().lower(): value for column, value in raw.items()}
        if missing := {"question", "options", "answer"} - row.keys():
            raise DataError(f"trqa: row {position} lacks column {min(missing)!r}; it has {', '.join(raw)}")
        choices = _choices(row["options"], position)
        right = tuple(sorted(set(str(row["answer"]).upper()) - set(" ,;")))
        if not right or max(right) >= LETTERS[len(choices)] or min(right) < "A":
            raise DataError(
                f"trqa: question {position}: of the gold answer {row['answer']!r} not all are among its {len(choices)} options"
            )
        yield Sample(
            id=str(row.get("index") or position),
            question=(Text(str(row["question"]).strip()),),
            target=right[0] if len(right) == 1 else right,
            choices=choices,
            group="one right option" if len(right) == 1 else "several right options",
        )


def _choices(given: object, position: int) -> tuple[str, ...]:
    """Return the options of a JSON object from letter to text, in the order of the letters."""
    try:
        texts = given if isinstance(given, dict) else decode(str(given), type=dict[str, str])
    except DecodeError as error:
        raise DataError(f"trqa: question {position}: its options are no JSON object: {error}") from error
    marks = sorted(map(str, texts))
    if not 1 < len(marks) < len(LETTERS) or marks != list(LETTERS[: len(marks)]):
        raise DataError(f"trqa: question {position}: its options are lettered {', '.join(marks)}")
    return tuple(str(texts[mark]) for mark in marks)


def _question(sample: Sample, form: str) -> Prompt:
    return ask(
        f"Question about therapeutic targets: {plain_text(sample.question)}\n\n{options(sample.choices)}\n\n"
        f"One or several of these options are right; choose all that are. {form}"
    )


def _tagged(sample: Sample, repeat: int) -> Prompt:
    return _question(
        sample,
        "Reply with their letters alone, between <choice> and </choice>, e.g. <choice>A, C</choice>.",
    )


def _line(sample: Sample, repeat: int) -> Prompt:
    return _question(
        sample,
        "Think it through, then finish with a line of the form `ANSWER: X, Y` with the letters of all right options, and "
        "of no other.",
    )


def _letters(sample: Sample, prompt: Prompt) -> str:
    right = sample.target if isinstance(sample.target, tuple) else (str(sample.target),)
    return ", ".join(sorted(map(prompt.shown_letter, right)))


def _ideal_line(sample: Sample, prompt: Prompt) -> str:
    return f"ANSWER: {_letters(sample, prompt)}"


def _ideal_tag(sample: Sample, prompt: Prompt) -> str:
    return f"<choice>{_letters(sample, prompt)}</choice>"


BENCHMARK = Benchmark(
    name="trqa",
    title="TRQA-lit, core set: 172 questions on therapeutic targets with one or several right options (OriGene, 2025).",
    variants={"": Variant(172)},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=_line,
            scorers={"choice": StatedOptions()},
            sampling=GREEDY_32K,
            ideal=_ideal_line,
        ),
        "official": Protocol(
            prompt=_tagged,
            scorers={"choice": OptionSet(letters_scieval)},
            sampling=GREEDY_32K,
            ideal=_ideal_tag,
        ),
    },
    chance=1 / 15,
    licence="CC-BY-NC-SA-4.0",
    cite="bioRxiv 10.1101/2025.06.03.657658",
)
