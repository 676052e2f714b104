r"""SUPERChem (Zhao et al., arXiv 2512.01274): 500 problems in chemistry with up to 26 options, by the letters of the answer.

Every problem exists in two forms: `multimodal`, whose pictures are placed where the text refers to them, in options too, and
`text`, with a description instead of each. `official` follows VLMEvalKit (@ e8e78f05, dataset/superchem.py): the answer
in a box, and the rule of evals/extract/upstream/superchem.py, which wants the right letters and nothing else. Its prompt asks
for a single character, which an item with several right options cannot be answered with. `strict` asks for all right options
and reads them wherever they are stated. The fidelity of the reasoning (RPF), which gemini-2.5-pro alone may judge upstream, is
not computed, so that the headline is pass@1 of the answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract.upstream.superchem import letters_superchem
from evals.prompts import LETTERS
from evals.scorers.options import OptionSet, StatedOptions
from evals.types import Message, Part, Prompt, Sample, Sampling, Text

ROWS = Split(
    hub="ZehuaZhao/SUPERChem",
    split="train",
    files="SUPERChem-500.parquet",
    stems=("SUPERChem-500", "superchem"),
    rows=500,
)
"""The file whose MD5 VLMEvalKit states as cf009742; its revision on the hub is not known here."""
_PICTURE = re.compile(r"<MultiModal>((?:(?!</?MultiModal>).)*+)</MultiModal>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"!?\s*+\[(.+)\]\s*\(([^)]+)\)", re.DOTALL)


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    required = ("uuid", "question_type", "question_en", "options_en", "answer_en")
    for row in data.rows(ROWS, required=required):
        if row["question_type"] != "multiple_choice":
            raise DataError(
                f"superchem: {row['uuid']}: questions of type {row['question_type']!r} are unknown"
            )
        choices = _choices(row)
        right = _right(row, len(choices))
        text = f"{row['question_en']}\n\n" + "".join(
            f"{mark}: {choice}\n" for mark, choice in zip(LETTERS, choices, strict=False)
        )
        parts = (Text(_described(text)),) if variant == "text" else tuple(_parts(data, row, text))
        yield Sample(
            id=str(row["uuid"]),
            question=parts,
            target=right[0] if len(right) == 1 else right,
            choices=tuple(map(_described, choices)),
            group="one right option" if len(right) == 1 else "several right options",
        )


def _choices(row: Row) -> tuple[str, ...]:
    """Return the options from A to the first letter without one."""
    given = row["options_en"]
    try:
        texts = json.loads(given) if isinstance(given, str) else dict(given or {})
    except ValueError as error:
        raise DataError(f"superchem: {row['uuid']}: its options are not a JSON object: {error}") from error
    marks = [mark for mark in LETTERS if texts.get(mark) is not None]
    if len(marks) < 2 or marks != list(LETTERS[: len(marks)]):
        raise DataError(
            f"superchem: {row['uuid']}: its options are lettered {', '.join(marks) or 'not at all'}"
        )
    return tuple(str(texts[mark]) for mark in marks)


def _right(row: Row, count: int) -> tuple[str, ...]:
    given = row["answer_en"]
    letters = re.findall(r"\w+", given) if isinstance(given, str) else [str(each) for each in given or ()]
    right = tuple(sorted({letter.strip().upper() for letter in letters}))
    if not right or any(len(letter) != 1 or not 0 <= LETTERS.find(letter) < count for letter in right):
        raise DataError(
            f"superchem: {row['uuid']}: of the gold answer {given!r} not all are among its {count} options"
        )
    return right


def _described(text: str) -> str:
    """Replace every picture by its description."""
    return _PICTURE.sub(lambda tag: f"<MultiModal>{_link(tag)[0]}</MultiModal>", text)


def _link(tag: re.Match[str]) -> tuple[str, str]:
    """Return description and address of a picture; for a tag without a link, only its text."""
    link = _LINK.match(tag[1].strip())
    return (link[1], link[2]) if link else (tag[1], "")


def _parts(data: Data, row: Row, text: str) -> Iterator[Part]:
    """Yield text and pictures in their order; no pictures if no model is called."""
    stored: dict[str, object] = {}
    for column in ("question_images", "options_images"):
        stored |= dict(row.get(column) or {})
    place = 0
    for tag in _PICTURE.finditer(text):
        yield Text(text[place : tag.start()])
        place = tag.end()
        _, address = _link(tag)
        if stored.get(address) is None:
            raise DataError(f"superchem: {row['uuid']}: there is no picture {address!r}")
        if (picture := image(data, stored[address])) is not None:
            yield picture
    yield Text(text[place:])


def _ask(form: str, sample: Sample, repeat: int) -> Prompt:
    return Prompt(messages=(Message("user", (Text("Question:\n\n"), *sample.question, Text(f"\n{form}"))),))


IN_A_BOX = (
    "Reason step by step first, then give the answer in a box, like $\\boxed{A}$; the box holds nothing but the one character of "
    "the choice."
)
ON_A_LINE = (
    "One or several of these options are right. Reason step by step, then finish with a line of the form `ANSWER: X` or "
    "`ANSWER: X, Y`, with the letters of all right options and of no other."
)


def _letters(sample: Sample, prompt: Prompt) -> list[str]:
    right = sample.target if isinstance(sample.target, tuple) else (str(sample.target),)
    return sorted(map(prompt.shown_letter, right))


def _boxed(sample: Sample, prompt: Prompt) -> str:
    return f"\\boxed{{{''.join(_letters(sample, prompt))}}}"


def _line(sample: Sample, prompt: Prompt) -> str:
    return f"ANSWER: {', '.join(_letters(sample, prompt))}"


LONG = Sampling(temperature=1.0, max_tokens=32_768)
"""Of the authors' eval/eval.py."""
BENCHMARK = Benchmark(
    name="superchem",
    title="SUPERChem: 500 hard problems in chemistry with up to 26 options, with pictures or descriptions (arXiv 2512.01274).",
    variants={"multimodal": Variant(500), "text": Variant(500, needs=frozenset())},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=partial(_ask, ON_A_LINE), scorers={"choice": StatedOptions()}, sampling=LONG, ideal=_line
        ),
        "official": Protocol(
            prompt=partial(_ask, IN_A_BOX),
            scorers={"choice": OptionSet(letters_superchem)},
            sampling=LONG,
            ideal=_boxed,
        ),
    },
    needs=frozenset({"image"}),
    licence="see the data set's card on the hub",
    cite="arXiv 2512.01274",
)
