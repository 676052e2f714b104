"""MMMU (arXiv 2311.16502) and MMMU-Pro.

Of MMMU's validation questions, 847 are multiple choice and 53 ask for a word or a number. `official` parses replies as
the authors do, without their random guess (evals/scorers/upstream/mmmu.py). It samples greedily, with up to 1,024
tokens (the authors' LLaVA script: five beams, temperature 1, 128 tokens). `intern-s1` follows VLMEvalKit, which
produced the published Intern-S1 scores (evals/scorers/upstream/inferred.py: a rule reads the option, or a judge model
if the rule cannot; open questions get two options for scoring), and `intern-s1-exact` is VLMEvalKit's exact matching
without a judge. `strict` needs a stated answer. Images are placed where the question mentions them; an image that only
an option mentions follows the question. Under `intern-s1`, as in that model's adapter, images come first and are
numbered, the first one at twice its width and height. VLMEvalKit's instruction to choose, and its judge prompt, are
read from its wheel (`intern-s1~`: reworded).

MMMU-Pro (arXiv 2409.02813): 1,730 questions with up to ten options, one with twelve, as text with images (`pro-standard`)
and as a single image of the whole item (`pro-vision`); the aggregate is the mean of both. `official` uses the authors'
chain of thought, not their direct prompt, with 4,096 tokens as in their scripts, but greedily; theirs leave the temperature
to the server (GPT) or set 0.8 and top-p 0.95 (LMDeploy).
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import enlarge_image, image
from evals.errors import DataError
from evals.prompts import (
    LETTERS,
    SELECT_INSTRUCTION,
    append_to_question,
    images_first,
    images_of,
    option_block,
    options,
    plain_text,
)
from evals.prompts.upstream.sentences import (
    OPTION_JUDGE,
    SELECT_OPTION,
    Replacement,
    TextLocation,
    sentence_prompts,
)
from evals.report.aggregate import mean_of_variants
from evals.report.metrics import accuracy, accuracy_guess
from evals.scorers.upstream.inferred import Inferred, closest_option
from evals.scorers.upstream.mmmu import Official, Strict
from evals.suite import INTERN_S1
from evals.types import Media, Part, Prompt, Prompter, Sample, Sampling, Scorer, Text

SETS = {"pro": ("pro-standard", "pro-vision")}
SUBJECTS = (
    "Accounting", "Agriculture", "Architecture_and_Engineering", "Art", "Art_Theory", "Basic_Medical_Science",
    "Biology", "Chemistry", "Clinical_Medicine", "Computer_Science", "Design",
    "Diagnostics_and_Laboratory_Medicine", "Economics", "Electronics", "Energy_and_Power", "Finance", "Geography",
    "History", "Literature", "Manage", "Marketing", "Materials", "Math", "Mechanical_Engineering", "Music",
    "Pharmacy", "Physics", "Psychology", "Public_Health", "Sociology",
)  # fmt: skip
VALIDATION = Split(hub="MMMU/MMMU", split="validation", stems=("validation", "items"))
PRO_CONFIGS = {"pro-standard": "standard (10 options)", "pro-vision": "vision"}
"""Variant -> configuration on the hub."""
_IMAGE_MARK = re.compile(r"<image (\d)>")


def _rows(data: Data, variant: str) -> Iterator[Row]:
    """Yield the rows of one file, or of the hub's 30 subjects."""
    required = ("id", "options", "answer")
    if variant:
        config = PRO_CONFIGS[variant]
        stems = (f"pro/{variant.removeprefix('pro-')}", f"{config}/test")
        split = Split(hub="MMMU/MMMU_Pro", config=config, stems=stems, rows=1_730)
        yield from data.rows(split, required=required)
        return
    if data.origin != "hub" and data.has(VALIDATION):
        yield from data.rows(VALIDATION, required=required)
        return
    for subject in SUBJECTS:
        paths = (f"{subject}/validation",)
        split = Split(
            hub=VALIDATION.hub, config=subject, split="validation", stems=paths, rows=30, in_single_file=False
        )
        for row in data.rows(split, required=required):
            yield {"subject": subject, **row}


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in _rows(data, variant):
        options_list = _parse_list(row, "options")
        only_element = options_list[0] if len(options_list) == 1 else None
        is_nested = isinstance(only_element, list)
        choices = tuple(map(str, only_element if isinstance(only_element, list) else options_list))
        answer = str(row["answer"])
        golds = tuple(map(str, _parse_list(row, "answer"))) if answer.startswith("[") else (answer,)
        yield Sample(
            id=str(row["id"]),
            question=tuple(
                _page_parts(data, row) if variant == "pro-vision" else _question_parts(data, row, choices)
            ),
            target=golds[0] if len(golds) == 1 else golds,
            choices=choices,
            meta={"options": 1} if is_nested else {},
            group=str(row.get("subject") or re.sub(r"^[a-z0-9]+_|_\d+$", "", str(row["id"]))),
        )


def _parse_list(row: Row, column: str) -> list[object]:
    """Parse a list that the hub stores as a Python literal."""
    items = row[column]
    with suppress(SyntaxError, ValueError, MemoryError, RecursionError):
        items = ast.literal_eval(items) if isinstance(items, str) else items
    if not isinstance(items, list | tuple):
        raise DataError(f"mmmu: {row['id']}: column {column!r} is not a list")
    return list(items)


def _page_parts(data: Data, row: Row) -> Iterator[Part]:
    """Yield the image that contains question and options."""
    if not row.get("image") and data.media is not None:
        raise DataError(f"mmmu: {row['id']}: its image is not in the data")
    if (page := image(data, row.get("image"))) is not None:
        yield page


def _question_parts(data: Data, row: Row, choices: tuple[str, ...]) -> Iterator[Part]:
    """Yield the question with its images in place, then the images that only options mention."""
    if not row.get("question"):
        return
    question = str(row["question"])
    end = 0
    for mark in _IMAGE_MARK.finditer(question):
        if (media := _numbered_image(data, row, mark[1])) is not None:
            yield Text(question[end : mark.end()])
            yield media
            end = mark.end()
    yield Text(question[end:])
    mentioned = set(_IMAGE_MARK.findall(question))
    for number in sorted({n for choice in choices for n in _IMAGE_MARK.findall(choice)} - mentioned):
        if (media := _numbered_image(data, row, number)) is not None:
            yield Text(f"\n<image {number}>")
            yield media


def _numbered_image(data: Data, row: Row, number: str) -> Part | None:
    value = row.get(f"image_{number}")
    if not value and data.media is not None:
        raise DataError(f"mmmu: {row['id']}: its image {number} is not in the data")
    return image(data, value) if value else None


def _strict_prompt(sample: Sample, repeat: int) -> Prompt:
    if sample.choices:
        option_lines = f"\n\n{options(sample.choices, line_format='({}) {}')}"
        answer_line = "`ANSWER: X`, where X is the letter of the right option"
    else:
        option_lines, answer_line = "", "`Answer: X`, where X is a single word, phrase or number"
    instruction = f"Reason as far as you need to, then finish with a line of the form {answer_line}."
    return append_to_question(sample, f"{option_lines}\n\n{instruction}")


def _page_prompt(sample: Sample, repeat: int) -> Prompt:
    instruction = (
        "The picture holds a multiple-choice question with its options. Write the question down, reason step by step, then "
        "finish with a line of the form `Answer: X`, where X is the letter of the right option."
    )
    return append_to_question(sample, instruction)


def _reasoning_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return a chain-of-thought prompt in the layout of MMMU-Pro's authors: question, options, form of the last line."""
    instruction = "Reason step by step, then finish with a line of the form `Answer: X`, where X is the letter of the right option."
    return append_to_question(sample, f"\n{options(sample.choices)}\n{instruction}")


ANSWER_FORMAT = (
    "Reason step by step and finish with a line of the form `Answer: X`, X being an option's letter."
)
PAGE_INSTRUCTION = "Answer the multiple-choice question in the picture. "
PRO_PROMPT_FUNCTION = ("dataset/image_mcq.py", "MMMUProDataset.build_prompt")
REPLACEMENTS = {
    "": SELECT_OPTION,
    "pro-standard": Replacement(
        own_text=f"{SELECT_INSTRUCTION}{ANSWER_FORMAT}",
        upstream_texts=(TextLocation(*PRO_PROMPT_FUNCTION, 16),),
    ),
    "pro-vision": Replacement(
        own_text=f"{PAGE_INSTRUCTION}{ANSWER_FORMAT}",
        upstream_texts=(TextLocation(*PRO_PROMPT_FUNCTION, 2), TextLocation(*PRO_PROMPT_FUNCTION, 4)),
    ),
}
"""Variant -> our instruction, with the location of VLMEvalKit's."""


def _vlmevalkit_prompter(data: Data, variant: str) -> Prompter:
    """Return a prompter with VLMEvalKit's layout."""
    answer_format = ANSWER_FORMAT if variant else ""

    def ask(sample: Sample, repeat: int) -> Prompt:
        text, images = _question_and_images(sample)
        pieces = _IMAGE_MARK.split(f"Question: {text}{option_block(sample.choices)}{answer_format}")
        parts = [
            images[piece] if position % 2 else Text(piece)  # texts and the numbers of images in turn
            for position, piece in enumerate(pieces)
            if position % 2 == 0 or piece in images
        ]
        first_image = next((part for part in parts if isinstance(part, Media)), None)
        if first_image is not None:  # enlarge all its copies, since an image is sent at a single size
            enlarged = enlarge_image(first_image, 2, max_pixels=data.max_pixels)
            parts = [enlarged if part == first_image else part for part in parts]
        return images_first(parts)

    def ask_page(sample: Sample, repeat: int) -> Prompt:
        (page,) = images_of(sample)
        return images_first(
            [enlarge_image(page, 2, max_pixels=data.max_pixels), Text(f"{PAGE_INSTRUCTION}{answer_format}")]
        )

    return ask_page if variant == "pro-vision" else ask


def _question_and_images(sample: Sample) -> tuple[str, dict[str, Media]]:
    """Return the question's text with its image marks, and the images by number."""
    parts = list(sample.question)
    images = {
        marks[-1]: part
        for before, part in itertools.pairwise(parts)
        if isinstance(part, Media)
        and isinstance(before, Text)
        and (marks := _IMAGE_MARK.findall(before.text))
    }
    while len(parts) > 1 and isinstance(parts[-1], Media):
        del parts[-2:]  # images that only options mention
    return plain_text(parts), images


def _direct_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return a prompt for an answer without reasoning, like the authors'."""
    ending = "\n\nAnswer the question with a single word or phrase."
    if sample.choices:
        option_lines = options(sample.choices, line_format="({}) {}")
        ending = f"\n\n{option_lines}\n\nAnswer directly with the letter of the right option."
    return append_to_question(sample, ending)


def _ideal(sample: Sample, prompt: Prompt) -> str:
    gold = sample.target[0] if isinstance(sample.target, tuple) else sample.target
    return f"({prompt.shown_letter(str(gold))})" if sample.choices else f"Answer: {gold}"


def _why_nested_unsolvable(sample: Sample) -> str:
    """Return why no reply can get full marks for one sample of MMMU-Pro under the authors' rule."""
    return "its options are a list within a list" if sample.meta.get("options") else ""


def _why_open_unsolvable(sample: Sample) -> str:
    """Return why no reply can get full marks for four of MMMU's open questions under VLMEvalKit's rule."""
    if sample.choices:
        return ""
    if isinstance(sample.target, tuple):
        return "upstream treats its gold answers as a single string"
    is_other_letter = str(sample.target) in LETTERS[2:] and len(str(sample.target)) == 1
    return "its gold answer is a letter other than those of the two options" if is_other_letter else ""


def _strict(variant: str) -> Protocol:
    prompt = _page_prompt if variant == "pro-vision" else _strict_prompt
    return Protocol(prompt=prompt, scorers={"answer": Strict()})


AUTHORS_PROMPTS = {"": _direct_prompt, "pro-standard": _reasoning_prompt, "pro-vision": _page_prompt}


def _official(variant: str) -> Protocol:
    return Protocol(
        prompt=AUTHORS_PROMPTS[variant],
        scorers={"answer": Official(pro=bool(variant))},
        metrics=(*accuracy(), accuracy_guess()),
        sampling=Sampling(temperature=0.0, max_tokens=4096 if variant else 1024),
        why_unsolvable=_why_nested_unsolvable,
    )


def _vlmevalkit(scorer: Scorer, variant: str, judge: tuple[TextLocation, ...] = ()) -> Protocol:
    return Protocol(
        prompter=_vlmevalkit_prompter,
        upstream=sentence_prompts(REPLACEMENTS[variant], judge=judge),
        scorers={"answer": scorer},
        sampling=INTERN_S1,
        why_unsolvable=_why_open_unsolvable,
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return MMMU-Pro's headline, the mean of its two settings, which share their questions; None if neither was run."""
    if not any(name in cards for name in SETS["pro"]):
        return None
    return {"name": "pro"} | mean_of_variants(SETS["pro"], cards, same_items=[SETS["pro"]])


BENCHMARK = Benchmark(
    name="mmmu",
    title="MMMU: 900 validation questions in 30 college subjects with up to seven images each; `:pro` is MMMU-Pro.",
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
        "intern-s1": lambda variant: _vlmevalkit(
            closest_option(Inferred(line=bool(variant))), variant, OPTION_JUDGE
        ),
        "intern-s1-exact": lambda variant: _vlmevalkit(Inferred(exact=True, line=bool(variant)), variant),
    },
    ideal=_ideal,
    needs=frozenset({"image"}),
    licence="Apache-2.0",
    aggregate=aggregate,
)
