"""A scripted model that knows the bundled items with images: `scripted:call=tests.support.scripted_vision:correct_answer`."""

from __future__ import annotations

from evals.types import Media, Prompt, Text
from tools.make_samples_vision import ITEMS


def correct_answer(prompt: Prompt) -> str:
    """Answer correctly if an image was sent with the question."""
    parts = prompt.messages[-1].parts
    text = "".join(part.text for part in parts if isinstance(part, Text))
    if not any(isinstance(part, Media) for part in parts):
        return "I see no picture."
    (item,) = (i for i in ITEMS if i.question in text)
    return f"So \\boxed{{{item.answer}}}."


def without_box(prompt: Prompt) -> str:
    """Answer correctly, without a box."""
    return "Answer: " + correct_answer(prompt).removeprefix("So \\boxed{").removesuffix("}.")
