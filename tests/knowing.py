"""Models for tests that know the sample items of physics, charts, maps and microscopy: `scripted:call=knowing:NAME`."""

from __future__ import annotations

import json

from answers import rows, words

from evals.types import Prompt


def boxes(prompt: Prompt) -> str:
    """Every part of a physics problem's answer in a box of its own."""
    (row,) = (row for row in rows("physics") if row["questions"] in words(prompt))
    return "\n".join(f"\\boxed{{{part}}}" for part in row["final_answers"])


def charts(prompt: Prompt) -> str:
    """The right answer about a chart."""
    turns = [turn for row in rows("chartbench") for turn in row["conversation"]]
    (label,) = {turn["label"] for turn in turns if turn["query"] in words(prompt)}
    return f"Answer: {label}"


def copyist(prompt: Prompt) -> str:
    """A judge that copies out what follows `Answer: `."""
    import judges

    case, _, candidate = judges._texts(prompt)
    return json.dumps({"case": case, "answer": candidate.partition("Answer: ")[2]})
