r"""Prompt layouts shared by suites, and the only source of randomness in prompts.

>>> options(("3", "4"))
'A. 3\nB. 4'
>>> order = shuffled(4, rng("gpqa", "rec1", 0))
>>> sorted(order)
[0, 1, 2, 3]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random

from evals.types import Media, Message, Part, Prompt, Prompter, Sample, Text

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rng(*identity: str | int) -> Random:
    """Return a random number generator seeded by its arguments, e.g. `rng(suite, sample.id, repeat)`."""
    digest = sha256("\x1f".join(map(str, identity)).encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def shuffled(count: int, generator: Random) -> tuple[int, ...]:
    """Return a random permutation of `range(count)`."""
    indices = list(range(count))
    generator.shuffle(indices)
    return tuple(indices)


def options(choices: Sequence[str], *, line_format: str = "{}. {}") -> str:
    """Return lettered options, one per line."""
    return "\n".join(line_format.format(LETTERS[i], choice) for i, choice in enumerate(choices))


def plain_text(parts: Sequence[Part]) -> str:
    """Return the text parts of a question, joined."""
    return "".join(part.text for part in parts if isinstance(part, Text))


def ask(text: str, *, order: tuple[int, ...] | None = None) -> Prompt:
    """Build a prompt with `text` as its single user turn; no model is called."""
    return Prompt(messages=(Message.user(text),), order=order)


def images_of(sample: Sample) -> list[Media]:
    """Return the media of a question, which are images in all but a few suites, in order."""
    return [part for part in sample.question if isinstance(part, Media)]


def images_only(sample: Sample, repeat: int) -> Prompt:
    """Return a prompt with the sample's images and no text, for image classifiers."""
    return Prompt(messages=(Message("user", tuple(images_of(sample))),))


def ask_with_images(sample: Sample, text: str) -> Prompt:
    """Return a prompt with a single user turn: the question's images, then `text`."""
    return Prompt(messages=(Message("user", (*images_of(sample), Text(text))),))


def text_first(sample: Sample, text: str) -> Prompt:
    """Return a prompt with a single user turn: `text`, then the question's images."""
    return Prompt(messages=(Message("user", (Text(text), *images_of(sample))),))


def question_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return a prompt with a single user turn: the question's images, then its text, without an added instruction."""
    return ask_with_images(sample, plain_text(sample.question))


def template(
    text: str,
    *,
    line_format: str = "{}. {}",
    build: Callable[[Sample, str], Prompt] = ask_with_images,
) -> Prompter:
    """Return a prompter that fills a text with `{question}`, `{options}`, `{group}` and `{last}`, the last option's letter.

    `line_format`: of an option; `build`: makes the prompt of the text, by default with the question's images before it.
    """

    def prompt(sample: Sample, repeat: int) -> Prompt:
        question, lines = plain_text(sample.question), options(sample.choices, line_format=line_format)
        last = LETTERS[len(sample.choices) - 1]
        return build(sample, text.format(question=question, options=lines, group=sample.group, last=last))

    return prompt


def append_to_question(sample: Sample, text: str) -> Prompt:
    """Return a prompt with a single user turn: the question with its images in place, then `text`."""
    return Prompt(messages=(Message("user", (*sample.question, Text(text))),))


def images_first(parts: Sequence[Part]) -> Prompt:
    """Return a prompt with all images before all text, as VLMEvalKit's adapter for Intern-S1 sends it.

    Several images are numbered, and each is replaced in the text by a placeholder with its number, unless all
    images are adjacent; with a single image, texts are joined by line breaks. Source: open-compass/VLMEvalKit @ e8e78f05,
    api/adapters/interns1_1.py and vlm/internvl/utils.py (`reorganize_prompt`).
    """
    images = [part for part in parts if isinstance(part, Media)]
    if len(images) < 2:
        text = "\n".join(part.text for part in parts if isinstance(part, Text))
        return Prompt(messages=(Message("user", (*images, Text(text))),))
    numbers = iter(range(1, len(images) + 1))
    text = "".join(part.text if isinstance(part, Text) else f"<Image-{next(numbers)}>" for part in parts)
    text = text.replace("".join(f"<Image-{n}>" for n in range(1, len(images) + 1)), "")
    numbered_images: list[Part] = []
    for number, image in enumerate(images, 1):
        numbered_images += [Text(f"Image-{number}: "), image, Text("\n")]
    return Prompt(messages=(Message("user", (*numbered_images, Text(text))),))


ANSWER_LINE = "a line of the form `ANSWER: X`, where X is A, B, C or D."
SELECT_INSTRUCTION = "Choose the right one among these options.\n"


def option_block(choices: Sequence[str]) -> str:
    """Return the options and the instruction to choose one, in VLMEvalKit's layout; a line break if there are no options."""
    return f"\nOptions:\n{options(choices)}\n{SELECT_INSTRUCTION}" if choices else "\n"


def hinted_question(sample: Sample, answer_format: str) -> Prompt:
    """Return a prompt in the layout of VLMEvalKit's math benchmarks, with a hint about the answer's format."""
    choices = f"\nChoices:\n{options(sample.choices, line_format='({}) {}')}" if sample.choices else ""
    hint = f"Hint: Work the question out and give {answer_format} at the end."
    return images_first(
        [*images_of(sample), Text(f"{hint}\nQuestion: {plain_text(sample.question)}{choices}")]
    )
