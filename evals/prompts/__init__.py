"""Sample -> prompt: layouts shared by suites; `upstream/` reads verbatim prompts of other harnesses."""

from evals.prompts.layout import (
    ANSWER_LINE,
    LETTERS,
    SELECTING,
    ask,
    ask_with_images,
    hinted,
    image_alone,
    images_of,
    options,
    pictures_first,
    plain_text,
    rng,
    selecting,
    shuffled,
)

__all__ = [
    "ANSWER_LINE",
    "LETTERS",
    "SELECTING",
    "ask",
    "ask_with_images",
    "hinted",
    "image_alone",
    "images_of",
    "options",
    "pictures_first",
    "plain_text",
    "rng",
    "selecting",
    "shuffled",
]
