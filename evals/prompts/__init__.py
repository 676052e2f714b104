"""Build prompts from samples with layouts shared by suites; `upstream/` reads verbatim prompts of other harnesses."""

from evals.prompts.layout import (
    ANSWER_LINE,
    LETTERS,
    SELECTING,
    ask,
    ask_with_images,
    hinted_question,
    image_alone,
    images_first,
    images_of,
    option_question,
    options,
    plain_text,
    rng,
    shuffled,
)

__all__ = [
    "ANSWER_LINE",
    "LETTERS",
    "SELECTING",
    "ask",
    "ask_with_images",
    "hinted_question",
    "image_alone",
    "images_first",
    "images_of",
    "option_question",
    "options",
    "plain_text",
    "rng",
    "shuffled",
]
