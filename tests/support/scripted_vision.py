"""A scripted model that knows the bundled items with images: `scripted:call=tests.support.scripted_vision:right`."""

from __future__ import annotations

from evals.types import Media, Prompt, Text
from tools.make_samples_vision import ITEMS


def right(prompt: Prompt) -> str:
    """The right answer, only if an image was sent with the question."""
    parts = prompt.messages[-1].parts
    asked = "".join(part.text for part in parts if isinstance(part, Text))
    if not any(isinstance(part, Media) for part in parts):
        return "I see no picture."
    (item,) = (i for i in ITEMS if i.question in asked)
    return f"So \\boxed{{{item.answer}}}."


def plainly(prompt: Prompt) -> str:
    """The right answer without a box."""
    return "Answer: " + right(prompt).removeprefix("So \\boxed{").removesuffix("}.")
