r"""SUPERChem (Zhao et al., arXiv 2512.01274): 500 multiple-choice problems in chemistry with up to 26 options.

Every problem exists in two versions: `multimodal`, with images where the text or an option refers to them, and `text`,
with a description instead of each image. `official` follows VLMEvalKit (@ e8e78f05, dataset/superchem.py): a boxed
answer, and the rule of evals/extract/upstream/letters.py, which requires the right letters and nothing else.
VLMEvalKit's prompt asks for a single character, so items with several right options cannot be answered as requested.
`strict` asks for all right options and reads them wherever they are stated. The fidelity of the reasoning (RPF), for
which upstream requires gemini-2.5-pro as the judge, is not computed; the headline is pass@1 of the answers.
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
from evals.extract.upstream.letters import letters_superchem
from evals.prompts import LETTERS
from evals.scorers.options import OptionSet, StatedOptions
from evals.types import Message, Part, Prompt, Sample, Sampling, Text

ROWS = Split(
    hub="ZehuaZhao/SUPERChem",
    split="train",
    hub_file="SUPERChem-500.parquet",
    stems=("SUPERChem-500", "superchem"),
    rows=500,
)
"""The file with the MD5 cf009742 that VLMEvalKit states; its revision on the hub is not pinned."""
_IMAGE_TAG = re.compile(r"<MultiModal>((?:(?!</?MultiModal>).)*+)</MultiModal>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"!?\s*+\[(.+)\]\s*\(([^)]+)\)", re.DOTALL)


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    required = ("uuid", "question_type", "question_en", "options_en", "answer_en")
    for row in data.rows(ROWS, required=required):
        if row["question_type"] != "multiple_choice":
            raise DataError(
                f"superchem: {row['uuid']}: questions of type {row['question_type']!r} are not supported"
            )
        choices = _choices(row)
        gold_letters = _parse_gold(row)
        text = f"{row['question_en']}\n\n" + "".join(
            f"{letter}: {choice}\n" for letter, choice in zip(LETTERS, choices, strict=False)
        )
        parts = (
            (Text(_with_descriptions(text)),)
            if variant == "text"
            else tuple(_question_parts(data, row, text))
        )
        yield Sample(
            id=str(row["uuid"]),
            question=parts,
            target=gold_letters[0] if len(gold_letters) == 1 else gold_letters,
            choices=tuple(map(_with_descriptions, choices)),
            group="one right option" if len(gold_letters) == 1 else "several right options",
        )


def _choices(row: Row) -> tuple[str, ...]:
    """Return the options in the order of their letters; raises DataError if these are not A, B, C ... without a gap."""
    options_column = row["options_en"]
    try:
        texts = json.loads(options_column) if isinstance(options_column, str) else dict(options_column or {})
    except ValueError as error:
        raise DataError(f"superchem: {row['uuid']}: its options are not a JSON object: {error}") from error
    letters = [letter for letter in LETTERS if texts.get(letter) is not None]
    if len(letters) < 2 or letters != list(LETTERS[: len(letters)]):
        raise DataError(
            f"superchem: {row['uuid']}: its options are not lettered A, B, C ...: {', '.join(letters) or 'no letters'}"
        )
    return tuple(str(texts[letter]) for letter in letters)


def _parse_gold(row: Row) -> tuple[str, ...]:
    answer = row["answer_en"]
    letters = re.findall(r"\w+", answer) if isinstance(answer, str) else [str(item) for item in answer or ()]
    return tuple(sorted({letter.strip().upper() for letter in letters}))


def _with_descriptions(text: str) -> str:
    """Replace every image with its description."""
    return _IMAGE_TAG.sub(lambda tag: f"<MultiModal>{_parse_link(tag)[0]}</MultiModal>", text)


def _parse_link(tag: re.Match[str]) -> tuple[str, str]:
    """Return the description and path of an image; for a tag without a link, its text and an empty path."""
    up_to_last_parenthesis = (
        tag[1].strip().rpartition(")")[0] + ")"
    )  # else the search for one takes quadratic time
    link = _LINK.match(up_to_last_parenthesis)
    return (link[1], link[2]) if link else (tag[1], "")


def _question_parts(data: Data, row: Row, text: str) -> Iterator[Part]:
    """Yield the text and images in order; no images if no model is called."""
    images: dict[str, object] = {}
    for column in ("question_images", "options_images"):
        images |= dict(row.get(column) or {})
    position = 0
    for tag in _IMAGE_TAG.finditer(text):
        yield Text(text[position : tag.start()])
        position = tag.end()
        _, path = _parse_link(tag)
        if images.get(path) is None:
            raise DataError(f"superchem: {row['uuid']}: there is no image {path!r}")
        if (media := image(data, images[path])) is not None:
            yield media
    yield Text(text[position:])


def _prompt(instruction: str, sample: Sample, repeat: int) -> Prompt:
    return Prompt(
        messages=(Message("user", (Text("Question:\n\n"), *sample.question, Text(f"\n{instruction}"))),)
    )


BOX_INSTRUCTION = (
    "Reason step by step first, then give the answer in a box, like $\\boxed{A}$; the box holds nothing but the one character of "
    "the choice."
)
LINE_INSTRUCTION = (
    "One or several of these options are right. Reason step by step, then finish with a line of the form `ANSWER: X` or "
    "`ANSWER: X, Y`, with the letters of all right options and of no other."
)


def _ideal_box(sample: Sample, prompt: Prompt) -> str:
    return f"\\boxed{{{''.join(sorted(map(prompt.shown_letter, sample.targets)))}}}"


SAMPLING = Sampling(temperature=1.0, max_tokens=32_768)
"""Sampling of the authors' eval/eval.py."""
BENCHMARK = Benchmark(
    name="superchem",
    title="SUPERChem: 500 hard problems in chemistry with up to 26 options, with images or their descriptions (arXiv 2512.01274).",
    variants={"multimodal": Variant(500), "text": Variant(500, needs=frozenset())},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=partial(_prompt, LINE_INSTRUCTION), scorers={"choice": StatedOptions()}, sampling=SAMPLING
        ),
        "official": Protocol(
            prompt=partial(_prompt, BOX_INSTRUCTION),
            scorers={"choice": OptionSet(letters_superchem)},
            sampling=SAMPLING,
            ideal=_ideal_box,
        ),
    },
    needs=frozenset({"image"}),
    licence="see the data set's card on the hub",
    cite="arXiv 2512.01274",
)
