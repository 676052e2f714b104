"""Build the prompts of `Suite.of` from a template, from a function of the row, or in the default layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from evals.errors import UsageError
from evals.prompts.layout import ask, options, plain_text
from evals.types import Prompt, Prompter, Sample
from evals.validation import cause

CHOICE_INSTRUCTION = "End with a line `ANSWER: X`, where X is the letter of your choice."
ANSWER_INSTRUCTION = "End with a line `ANSWER: ` and your answer."


def prompter(prompt: str | Callable[[Mapping[str, Any]], str] | None) -> Prompter:
    """Return the function that builds the prompts of samples of `evals.data.rows`.

    A template may contain `{COLUMN}` for a column of the row, and `{question}` and `{options}` (with letters). The function
    raises UsageError if the template cannot be filled, or the user's function returns no text.
    """
    if prompt is None:
        return _default_prompt
    return partial(_fill_template, prompt) if isinstance(prompt, str) else partial(_call_function, prompt)


def _default_prompt(sample: Sample, repeat: int) -> Prompt:
    instruction = CHOICE_INSTRUCTION if sample.choices else ANSWER_INSTRUCTION
    parts = (plain_text(sample.question), options(sample.choices), instruction)
    return ask("\n".join(filter(None, parts)))


def _fill_template(template: str, sample: Sample, repeat: int) -> Prompt:
    columns = {
        **sample.meta["row"],
        "question": plain_text(sample.question),
        "options": options(sample.choices),
    }
    try:
        return ask(template.format_map(columns))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the prompt template cannot be filled for row {sample.id}: {cause(error)}; known names: {', '.join(columns)}"
        ) from None


def _call_function(function: Callable[[Mapping[str, Any]], str], sample: Sample, repeat: int) -> Prompt:
    text: object = function(sample.meta["row"])
    if not isinstance(text, str):
        raise UsageError(f"the prompt function returned {type(text).__name__}, not a string")
    return ask(text)
