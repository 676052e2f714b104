"""Sample -> prompt: layouts that suites share; verbatim prompts of other harnesses are in `upstream/`."""

from evals.prompts.layout import (
    LETTERS,
    SELECTING,
    ask,
    ask_with_images,
    hinted,
    images_of,
    options,
    pictures_first,
    plain_text,
    rng,
    selecting,
    shuffled,
)

__all__ = [
    "LETTERS",
    "SELECTING",
    "ask",
    "ask_with_images",
    "hinted",
    "images_of",
    "options",
    "pictures_first",
    "plain_text",
    "rng",
    "selecting",
    "shuffled",
]
