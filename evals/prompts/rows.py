"""Build the prompts of `Suite.of` from a template, from a function of the row, or in the default layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evals.errors import UsageError
from evals.prompts.layout import ask, options, plain_text
from evals.types import Prompt, Prompter, Sample
from evals.validation import cause

CHOICE_INSTRUCTION = "End with a line `ANSWER: X`, where X is the letter of your choice."
ANSWER_INSTRUCTION = "End with a line `ANSWER: ` and your answer."


def prompter(prompt: str | Callable[[Mapping[str, Any]], str] | None) -> Prompter:
    """Return the function that builds the prompts of samples of `evals.data.rows`.

    A template may contain `{COLUMN}` for a column of the row, and `{question}` and `{options}` (with letters).
    """

    def default_prompt(sample: Sample, repeat: int) -> Prompt:
        parts = [
            plain_text(sample.question),
            options(sample.choices),
            CHOICE_INSTRUCTION if sample.choices else ANSWER_INSTRUCTION,
        ]
        return ask("\n".join(part for part in parts if part))

    def from_template(sample: Sample, repeat: int) -> Prompt:
        columns = {
            **sample.meta["row"],
            "question": plain_text(sample.question),
            "options": options(sample.choices),
        }
        try:
            return ask(str(prompt).format_map(columns))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise UsageError(
                f"the prompt template cannot be filled for row {sample.id}: {cause(error)}; known names: {', '.join(columns)}"
            ) from None

    def from_function(sample: Sample, repeat: int) -> Prompt:
        text = prompt(sample.meta["row"]) if callable(prompt) else ""
        if not isinstance(text, str):
            raise UsageError(f"the prompt function returned {type(text).__name__}, not a string")
        return ask(text)

    return default_prompt if prompt is None else from_template if isinstance(prompt, str) else from_function
