"""MMMU (arXiv 2311.16502) and MMMU-Pro.

Of MMMU's validation questions, 847 are multiple choice and 53 ask for a word or a number. `official` parses replies like
the authors, without their random guess (evals/scorers/upstream/mmmu.py). `intern-s1` follows VLMEvalKit, which produced the
published Intern-S1 numbers (evals/scorers/upstream/inferred.py: a rule, and a judge for the rest; open questions are given
two options for scoring), and `intern-s1-exact` is its exact matching without a judge. `strict` needs a stated answer.
Images are placed where the question mentions them; an image that only an option mentions follows the question. Under
`intern-s1`, as in that model's adapter, they come first and are numbered, the first one at twice its width and height.
VLMEvalKit's instruction to choose, and its judge prompt, are read from its wheel (`intern-s1~`: reworded).

MMMU-Pro (arXiv 2409.02813): 1,730 questions with up to ten options (one has twelve), as text with images (`pro-standard`)
and as one image that contains everything (`pro-vision`); the headline of both is their mean.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import enlarge_image, image
from evals.errors import DataError
from evals.prompts import LETTERS, SELECTING, images_first, images_of, option_question, options, plain_text
from evals.prompts.upstream.sentences import NAMES_ONE, SELECT, Place, Swap, sentences
from evals.report.aggregate import mean_of_variants
from evals.report.metrics import accuracy, accuracy_guess
from evals.scorers.upstream.inferred import Inferred, closest_option
from evals.scorers.upstream.mmmu import Official, Strict
from evals.suite import INTERN_S1
from evals.types import Media, Message, Part, Prompt, Prompter, Sample, Sampling, Text

SETS = {"pro": ("pro-standard", "pro-vision")}
SUBJECTS = (
    "Accounting", "Agriculture", "Architecture_and_Engineering", "Art", "Art_Theory", "Basic_Medical_Science",
    "Biology", "Chemistry", "Clinical_Medicine", "Computer_Science", "Design",
    "Diagnostics_and_Laboratory_Medicine", "Economics", "Electronics", "Energy_and_Power", "Finance", "Geography",
    "History", "Literature", "Manage", "Marketing", "Materials", "Math", "Mechanical_Engineering", "Music",
    "Pharmacy", "Physics", "Psychology", "Public_Health", "Sociology",
)  # fmt: skip
WHOLE = Split(hub="MMMU/MMMU", split="validation", stems=("validation", "items"))
PRO = {"pro-standard": "standard (10 options)", "pro-vision": "vision"}
"""Variant -> configuration on the hub."""
_PICTURE = re.compile(r"<image (\d)>")


def _rows(data: Data, variant: str) -> Iterator[Row]:
    """Yield the rows of one file, or of the hub's 30 subjects in turn."""
    required = ("id", "options", "answer")
    if variant:
        config = PRO[variant]
        stems = (f"pro/{variant.removeprefix('pro-')}", f"{config}/test")
        split = Split(hub="MMMU/MMMU_Pro", config=config, stems=stems, rows=1_730)
        yield from data.rows(split, required=required)
        return
    if data.origin != "hub" and data.has(WHOLE):
        yield from data.rows(WHOLE, required=required)
        return
    for subject in SUBJECTS:
        files = (f"{subject}/validation",)
        split = Split(hub=WHOLE.hub, config=subject, split="validation", stems=files, rows=30, main=False)
        for row in data.rows(split, required=required):
            yield {"subject": subject, **row}


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in _rows(data, variant):
        given = _listed(row, "options")
        inner = given[0] if len(given) == 1 else None
        nested = isinstance(inner, list)
        choices = tuple(map(str, inner if isinstance(inner, list) else given))
        answer = str(row["answer"])
        golds = tuple(map(str, _listed(row, "answer"))) if answer.startswith("[") else (answer,)
        yield Sample(
            id=str(row["id"]),
            question=tuple(_page(data, row) if variant == "pro-vision" else _parts(data, row, choices)),
            target=golds[0] if len(golds) == 1 else golds,
            choices=choices,
            meta={"options": 1} if nested else {},
            group=str(row.get("subject") or re.sub(r"^[a-z0-9]+_|_\d+$", "", str(row["id"]))),
        )


def _listed(row: Row, column: str) -> list[object]:
    """Parse a list that the hub stores as a Python literal."""
    value = row[column]
    try:
        listed = ast.literal_eval(value) if isinstance(value, str) else value
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise DataError(f"mmmu: {row['id']}: column {column!r} holds no list") from None
    if not isinstance(listed, list | tuple):
        raise DataError(f"mmmu: {row['id']}: column {column!r} holds no list")
    return list(listed)


def _page(data: Data, row: Row) -> Iterator[Part]:
    """Yield the image that contains question and options."""
    if not row.get("image") and data.media is not None:
        raise DataError(f"mmmu: {row['id']}: its picture is not in the data")
    if (page := image(data, row.get("image"))) is not None:
        yield page


def _parts(data: Data, row: Row, choices: tuple[str, ...]) -> Iterator[Part]:
    """Yield the question with its images in place, then images that only options name."""
    if not row.get("question"):
        return
    question = str(row["question"])
    end = 0
    for mark in _PICTURE.finditer(question):
        if (picture := _picture(data, row, mark[1])) is not None:
            yield Text(question[end : mark.end()])
            yield picture
            end = mark.end()
    yield Text(question[end:])
    asked = set(_PICTURE.findall(question))
    for number in sorted({n for choice in choices for n in _PICTURE.findall(choice)} - asked):
        if (picture := _picture(data, row, number)) is not None:
            yield Text(f"\n<image {number}>")
            yield picture


def _picture(data: Data, row: Row, number: str) -> Part | None:
    value = row.get(f"image_{number}")
    if not value and data.media is not None:
        raise DataError(f"mmmu: {row['id']}: its picture {number} is not in the data")
    return image(data, value) if value else None


def _prompt(sample: Sample, repeat: int) -> Prompt:
    if sample.choices:
        ending = f"\n\n{options(sample.choices, mark='({}) {}')}\n\nReason as far as you need to, then finish with a line "
        ending += "of the form `ANSWER: X`, where X is the letter of the right option."
    else:
        ending = "\n\nReason as far as you need to, then finish with a line of the form `Answer: X`, where X is a single "
        ending += "word, phrase or number."
    return Prompt(messages=(Message("user", (*sample.question, Text(ending))),))


def _page_prompt(sample: Sample, repeat: int) -> Prompt:
    words = (
        "The picture holds a multiple-choice question with its options. Write the question down, reason step by step, then "
        "finish with a line of the form `Answer: X`, where X is the letter of the right option."
    )
    return Prompt(messages=(Message("user", (*sample.question, Text(words))),))


def _chain(sample: Sample, repeat: int) -> Prompt:
    """Return the prompt of MMMU-Pro's authors with reasoning: question, options, and the form of the last line."""
    ending = f"\n{options(sample.choices)}\nReason step by step, then finish with a line of the form `Answer: X`, where X "
    ending += "is the letter of the right option."
    return Prompt(messages=(Message("user", (*sample.question, Text(ending))),))


LAST_LINE = "Reason step by step and finish with a line of the form `Answer: X`, X being an option's letter."
ON_THE_PAGE = "Answer the multiple-choice question in the picture. "
IN_FILE = ("dataset/image_mcq.py", "MMMUProDataset.build_prompt")
SWAPS = {
    "": SELECT,
    "pro-standard": Swap(ours=f"{SELECTING}{LAST_LINE}", theirs=(Place(*IN_FILE, 16),)),
    "pro-vision": Swap(ours=f"{ON_THE_PAGE}{LAST_LINE}", theirs=(Place(*IN_FILE, 2), Place(*IN_FILE, 4))),
}


def _selecting(data: Data, variant: str) -> Prompter:
    """Return the prompt in VLMEvalKit's layout."""
    form = LAST_LINE if variant else ""

    def ask(sample: Sample, repeat: int) -> Prompt:
        text, pictures = _marked(sample)
        parts: list[Part] = []
        for number, piece in enumerate(
            _PICTURE.split(f"Question: {text}{option_question(sample.choices)}{form}")
        ):
            if number % 2 == 0:
                parts.append(Text(piece))
            elif piece in pictures:
                parts.append(pictures[piece])
        first = next((part for part in parts if isinstance(part, Media)), None)
        if first is not None:  # everywhere: the same image is sent at one size
            large = enlarge_image(first, 2, max_pixels=data.max_pixels)
            parts = [large if part == first else part for part in parts]
        return images_first(parts)

    def ask_page(sample: Sample, repeat: int) -> Prompt:
        (page,) = images_of(sample)
        return images_first(
            [enlarge_image(page, 2, max_pixels=data.max_pixels), Text(f"{ON_THE_PAGE}{form}")]
        )

    return ask_page if variant == "pro-vision" else ask


def _marked(sample: Sample) -> tuple[str, dict[str, Media]]:
    """Return the question's text with its marks, and number -> image."""
    parts = list(sample.question)
    pictures = {
        mark[-1]: part
        for before, part in itertools.pairwise(parts)
        if isinstance(part, Media) and isinstance(before, Text) and (mark := _PICTURE.findall(before.text))
    }
    while len(parts) > 1 and isinstance(parts[-1], Media):
        del parts[-2:]  # images that only options name
    return plain_text(parts), pictures


def _direct(sample: Sample, repeat: int) -> Prompt:
    """Return the authors' prompt for direct answers."""
    ending = "\n\nAnswer the question with a single word or phrase."
    if sample.choices:
        shown = options(sample.choices, mark="({}) {}")
        ending = f"\n\n{shown}\n\nAnswer directly with the letter of the right option."
    return Prompt(messages=(Message("user", (*sample.question, Text(ending))),))


def _ideal(sample: Sample, prompt: Prompt) -> str:
    gold = sample.target[0] if isinstance(sample.target, tuple) else sample.target
    return f"({prompt.shown_letter(str(gold))})" if sample.choices else f"Answer: {gold}"


def _nested(sample: Sample) -> str:
    """Return why no reply can get full marks for one sample of MMMU-Pro under the authors' rule."""
    return "its options are a list within a list" if sample.meta.get("options") else ""


def _open_lost(sample: Sample) -> str:
    """Return why no reply can get full marks for four of MMMU's open questions under VLMEvalKit's rule."""
    if sample.choices:
        return ""
    if isinstance(sample.target, tuple):
        return "its several gold answers are one text to upstream"
    letter = str(sample.target) in LETTERS[2:] and len(str(sample.target)) == 1
    return "its gold answer is a letter beyond the two options that it gets" if letter else ""


def _strict(variant: str) -> Protocol:
    prompt = _page_prompt if variant == "pro-vision" else _prompt
    return Protocol(prompt=prompt, scorers={"answer": Strict()})


AUTHORS = {"": (_direct, 1024), "pro-standard": (_chain, 4096), "pro-vision": (_page_prompt, 4096)}
"""Variant -> prompt and tokens."""


def _official(variant: str) -> Protocol:
    prompt, tokens = AUTHORS[variant]
    return Protocol(
        prompt=prompt,
        scorers={"answer": Official(pro=bool(variant))},
        metrics=(*accuracy(), accuracy_guess()),
        sampling=Sampling(temperature=0.0, max_tokens=tokens),
        unwinnable=_nested,
    )


def _intern_s1(variant: str) -> Protocol:
    return Protocol(
        prompter=_selecting,
        upstream=sentences(SWAPS[variant], judge=NAMES_ONE),
        scorers={"answer": closest_option(Inferred(line=bool(variant)))},
        sampling=INTERN_S1,
        unwinnable=_open_lost,
    )


def _intern_s1_exact(variant: str) -> Protocol:
    return Protocol(
        prompter=_selecting,
        upstream=sentences(SWAPS[variant]),
        scorers={"answer": Inferred(exact=True, line=bool(variant))},
        sampling=INTERN_S1,
        unwinnable=_open_lost,
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return MMMU-Pro's headline, the mean of its two settings; None if neither was run.

    Both ask the same questions, so their errors may add up.
    """
    if not any(name in cards for name in SETS["pro"]):
        return None
    return {"name": "pro"} | mean_of_variants(SETS["pro"], cards, shared=[SETS["pro"]])


BENCHMARK = Benchmark(
    name="mmmu",
    title="MMMU: 900 validation questions of 30 college subjects with up to seven pictures each; `:pro` is MMMU-Pro.",
    version="2",
    variants={
        "": Variant(900, chance=0.247, cite="arXiv 2311.16502"),
        "pro-standard": Variant(1_730, chance=0.1284, cite="arXiv 2409.02813"),
        "pro-vision": Variant(1_730, chance=0.1284, cite="arXiv 2409.02813"),
    },
    default=("",),
    sets=SETS,
    samples=_samples,
    protocols={
        "strict": _strict,
        "official": _official,
        "intern-s1": _intern_s1,
        "intern-s1-exact": _intern_s1_exact,
    },
    ideal=_ideal,
    needs=frozenset({"image"}),
    licence="Apache-2.0",
    aggregate=aggregate,
)
