"""TRQA-lit (OriGene, bioRxiv 2025.06.03.657658): 172 questions on therapeutic targets; one or several options are right.

`official` follows SciEvalKit (@ 0817251a, scieval/dataset/trqa.py), which other vendors use: all right options in a
`<choice>` tag, and the rule of evals/extract/upstream/scieval.py, which counts every letter of the extracted text as an
option. SciEvalKit's optional judge for replies without an answer is not used. `strict` reads stated options. Both
require the exact set of right options, without partial credit. The authors publish scores of the core set (e.g. 0.578,
which is not a multiple of 1/172) without their prompt, rule or number of runs. TRQA's other 1,749 questions, with
free-form answers graded by a judge, are not included.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import DecodeError
from msgspec.json import decode

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.errors import DataError
from evals.extract.upstream.scieval import letters_scieval
from evals.prompts import LETTERS, template
from evals.scorers.options import OptionSet, StatedOptions
from evals.types import Prompt, Sample, Text

ROWS = Split(
    hub="InternScience/SciEval",
    split="train",
    hub_file="TRQA.tsv",
    stems=("TRQA", "TRQA-lit-choice-172-coreset"),
    rows=172,
)
"""SciEvalKit's copy (MD5 756bf0b1); the authors' file (GENTEL-lab/OriGene @ 09429e79) has the same columns."""


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for position, raw in enumerate(data.rows(ROWS), 1):
        row = {str(column).strip().lower(): value for column, value in raw.items()}
        if missing := {"question", "options", "answer"} - row.keys():
            raise DataError(f"trqa: row {position} lacks column {min(missing)!r}; it has {', '.join(raw)}")
        gold_letters = tuple(sorted(set(str(row["answer"]).upper()) - set(" ,;")))
        yield Sample(
            id=str(row.get("index") or position),
            question=(Text(str(row["question"]).strip()),),
            target=gold_letters[0] if len(gold_letters) == 1 else gold_letters,
            choices=_choices(row["options"], position),
            group="one right option" if len(gold_letters) == 1 else "several right options",
        )


def _choices(options_column: object, position: int) -> tuple[str, ...]:
    """Return the options from a JSON object {letter: text}, in the order of the letters."""
    try:
        texts = (
            options_column
            if isinstance(options_column, dict)
            else decode(str(options_column), type=dict[str, str])
        )
    except DecodeError as error:
        raise DataError(f"trqa: question {position}: its options are not a JSON object: {error}") from error
    letters = sorted(map(str, texts))
    if not 1 < len(letters) < len(LETTERS) or letters != list(LETTERS[: len(letters)]):
        raise DataError(f"trqa: question {position}: options not lettered A, B, C ...: {', '.join(letters)}")
    return tuple(str(texts[letter]) for letter in letters)


QUESTION = (
    "Question about therapeutic targets: {question}\n\n{options}\n\n"
    "One or several of these options are right; choose all that are. "
)
TAG_INSTRUCTION = (
    "Reply with their letters alone, between <choice> and </choice>, e.g. <choice>A, C</choice>."
)
LINE_INSTRUCTION = (
    "Think it through, then finish with a line of the form `ANSWER: X, Y` with the letters of all right options, and of no "
    "other."
)


def _ideal_tag(sample: Sample, prompt: Prompt) -> str:
    return f"<choice>{', '.join(sorted(map(prompt.shown_letter, sample.targets)))}</choice>"


BENCHMARK = Benchmark(
    name="trqa",
    title="TRQA-lit, core set: 172 questions on therapeutic targets with one or several right options (OriGene, 2025).",
    variants={"": Variant(172)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=template(QUESTION + LINE_INSTRUCTION), scorers={"choice": StatedOptions()}),
        "official": Protocol(
            prompt=template(QUESTION + TAG_INSTRUCTION),
            scorers={"choice": OptionSet(letters_scieval)},
            ideal=_ideal_tag,
        ),
    },
    chance=1 / 15,
    licence="CC-BY-NC-SA-4.0",
    cite="bioRxiv 10.1101/2025.06.03.657658",
)
