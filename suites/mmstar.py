"""MMStar (Chen et al., arXiv 2403.20330).

The four options are part of the question's text, or in columns A to D. `official` parses only the beginning of a reply, like
the authors (MMStar-Benchmark/MMStar @ 88f243ab, eval/vlmeval/evaluate/mmstar.py): models that reason first score almost
nothing. `intern-s1` follows VLMEvalKit, which produced the published Intern-S1 numbers
(evals/scorers/upstream/inferred.py: a rule, and a judge for the rest), and `intern-s1-exact` is its exact matching without
a judge. `strict` needs a stated option. VLMEvalKit's instruction to choose, and its judge prompt, are read from its wheel
(`intern-s1~`: reworded).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.prompts import ANSWER_LINE, ask_with_images, images_first, images_of, option_question, plain_text
from evals.prompts.upstream.sentences import NAMES_ONE, SELECT, sentences
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.upstream.inferred import Inferred, closest_option
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Sampling, Text

ROWS = Split(hub="Lin-Chen/MMStar", split="val", stems=("val", "mmstar", "items"), rows=1_500)
_OPTIONS = re.compile(
    r"\s*Options:\s*\(?A[:.)]\s*(.*?)[,;\n]\s*\(?B[:.)]\s*(.*?)[,;\n]\s*\(?C[:.)]\s*(.*?)[,;\n]\s*\(?D[:.)]\s*(.*?)\s*\Z",
    re.DOTALL,
)
BEGINNINGS = ("", "(", "option ", "the answer is ")


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("index", "answer", "category")):
        answer = str(row["answer"]).strip().upper()
        if answer not in ("A", "B", "C", "D"):
            raise DataError(f"mmstar: {row['index']}: the gold answer {row['answer']!r} is none of A to D")
        yield Sample(
            id=str(row["index"]),
            question=with_image(data, row.get("question"), row.get("image")),
            target=answer,
            choices=_choices(row),
            group=str(row["category"]),
            meta={"axis": str(row.get("l2_category", ""))},
        )


def _choices(row: Row) -> tuple[str, ...]:
    """Return the options' texts from columns or from the question; their letters if neither has them."""
    if all(row.get(x) not in (None, "") for x in "ABCD"):
        return tuple(str(row[x]) for x in "ABCD")
    match = _OPTIONS.search(str(row.get("question") or "")[-4000:])
    return match.groups() if match else ("A", "B", "C", "D")


def beginning(text: str, count: int) -> str | None:
    """Return the letter at the start of a reply, by upstream's four forms; "A cat" reads as A."""
    low = text[:200].lower().strip().replace("\n", " ")
    for start in BEGINNINGS:
        letter = low[len(start) : len(start) + 1]
        if low.startswith(start) and letter in ("a", "b", "c", "d"):
            return letter.upper()
    return None


def _direct(sample: Sample, repeat: int) -> Prompt:
    form = "Choose the right one of the options and begin your reply with its letter."
    return ask_with_images(sample, f"{plain_text(sample.question)}\n{form}")


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    form = f"Finish with {ANSWER_LINE}"
    return ask_with_images(sample, f"{plain_text(sample.question)}\n{form}")


def _selecting(sample: Sample, repeat: int) -> Prompt:
    """Return the prompt in VLMEvalKit's layout, with the options after the question."""
    question, known = plain_text(sample.question), sample.choices != ("A", "B", "C", "D")
    shown = option_question(sample.choices if known else ())
    return images_first(
        [*images_of(sample), Text(f"Question: {_OPTIONS.sub('', question) if known else question}{shown}")]
    )


def _letter(sample: Sample, prompt: Prompt) -> str:
    return str(sample.target)


BENCHMARK = Benchmark(
    name="mmstar",
    title="MMStar: 1,500 questions that cannot be answered without their picture, 6 capabilities (Chen et al., arXiv 2403.20330).",
    version="2",
    variants={"": Variant(1_500)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_reasoned, scorers={"choice": StatedChoice()}),
        "official": Protocol(
            prompt=_direct,
            scorers={"choice": Choice(beginning)},
            sampling=Sampling(temperature=0.0, max_tokens=32),
            ideal=_letter,
        ),
        "intern-s1": Protocol(
            prompt=_selecting,
            upstream=sentences(SELECT, judge=NAMES_ONE),
            scorers={"choice": closest_option()},
            sampling=INTERN_S1,
            ideal=_letter,
        ),
        "intern-s1-exact": Protocol(
            prompt=_selecting,
            upstream=sentences(SELECT),
            scorers={"choice": Inferred(exact=True)},
            sampling=INTERN_S1,
            ideal=_letter,
        ),
    },
    needs=frozenset({"image"}),
    chance=0.25,
    licence="CC-BY-NC-SA-4.0",
    cite="arXiv 2403.20330",
)
