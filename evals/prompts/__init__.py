"""Sample -> prompt: layouts that suites share; verbatim prompts of other harnesses are in `upstream/`."""

from evals.prompts.layout import (
    LETTERS,
    SELECTING,
    ask,
    hinted,
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
    "hinted",
    "options",
    "pictures_first",
    "plain_text",
    "rng",
    "selecting",
    "shuffled",
]
