"""Models for tests that know the sample items of physics, charts, maps and microscopy: `scripted:call=knowing:NAME`."""

from __future__ import annotations

from answers import rows, words

from evals.types import Prompt


def boxes(prompt: Prompt) -> str:
    """Every part of a physics problem's answer in a box of its own."""
    (row,) = (row for row in rows("physics") if row["questions"] in words(prompt))
    return "\n".join(f"\\boxed{{{part}}}" for part in row["final_answers"])
