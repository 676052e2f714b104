"""Scripted judge models, used as `scripted:call=tests.support.judges:NAME`."""

from __future__ import annotations

import json
import re

from evals.prompts import plain_text
from evals.types import Prompt


def _texts(prompt: Prompt) -> tuple[str, str, str]:
    words = plain_text(prompt.messages[-1].parts)
    found = re.search(r"case's number, (\w+)\.", words)
    assert found
    case = found[1]
    parts = [
        words.partition(f"<{n} {case}>\n")[2].partition(f"\n</{n} {case}>")[0]
        for n in ("reference", "candidate")
    ]
    return case, parts[0], parts[1]


def letter_b(prompt: Prompt) -> str:
    """Right where the reference is option B, or stands in the candidate's text."""
    case, gold, candidate = _texts(prompt)
    return json.dumps({"case": case, "verdict": "A" if gold.startswith("B.") or gold in candidate else "B"})


def never(prompt: Prompt) -> str:
    """Nothing is right."""
    return json.dumps({"case": _texts(prompt)[0], "verdict": "B"})


def six(prompt: Prompt) -> str:
    """Six points for everything."""
    return json.dumps({"case": _texts(prompt)[0], "verdict": "6"})
