"""Build prompts from samples, in layouts that suites share; `upstream/` reads the verbatim prompts of other harnesses."""

from evals.prompts.layout import (
    ANSWER_LINE,
    LETTERS,
    SELECT_INSTRUCTION,
    append_to_question,
    ask,
    ask_with_images,
    hinted_question,
    images_first,
    images_of,
    images_only,
    option_block,
    options,
    plain_text,
    question_prompt,
    rng,
    shuffled,
    template,
    text_first,
)

__all__ = [
    "ANSWER_LINE", "LETTERS", "SELECT_INSTRUCTION", "append_to_question", "ask", "ask_with_images",
    "hinted_question", "images_first", "images_of", "images_only", "option_block", "options", "plain_text",
    "question_prompt", "rng", "shuffled", "template", "text_first",
]  # fmt: skip
