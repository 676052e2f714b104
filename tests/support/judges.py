"""Scripted judge models, used as `scripted:call=tests.support.judges:NAME`."""

from __future__ import annotations

import json
import re

from evals.prompts import plain_text
from evals.types import Prompt


def texts_of(prompt: Prompt) -> tuple[str, str, str]:
    """Return the case's number, the reference answer and the candidate's reply."""
    text = plain_text(prompt.messages[-1].parts)
    match = re.search(r"case's number, (\w+)\.", text)
    assert match
    case = match[1]
    parts = [
        text.partition(f"<{n} {case}>\n")[2].partition(f"\n</{n} {case}>")[0]
        for n in ("reference", "candidate")
    ]
    return case, parts[0], parts[1]


def letter_b(prompt: Prompt) -> str:
    """Accept the candidate if the reference is option B or occurs in its text."""
    case, gold, candidate = texts_of(prompt)
    return json.dumps({"case": case, "verdict": "A" if gold.startswith("B.") or gold in candidate else "B"})


def never(prompt: Prompt) -> str:
    """Accept no candidate."""
    return json.dumps({"case": texts_of(prompt)[0], "verdict": "B"})


def six(prompt: Prompt) -> str:
    """Give every candidate six points."""
    return json.dumps({"case": texts_of(prompt)[0], "verdict": "6"})
