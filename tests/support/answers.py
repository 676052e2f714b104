"""Scripted models that know the bundled items, used as `scripted:call=tests.support.answers:NAME`."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from evals.errors import Rejected
from evals.types import Prompt, Text
from tests.support.paths import ROOT

SAMPLES = ROOT / "suites" / "samples"


@cache
def bundled_rows(folder: str) -> list[dict[str, Any]]:
    """Return the bundled items of a suite, of all variants."""
    files = [path for path in sorted((SAMPLES / folder).glob("*.jsonl")) if path.stem != "validation"]
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def prompt_text(prompt: Prompt) -> str:
    """Return all texts of a prompt, one per line."""
    return "\n".join(part.text for m in prompt.messages for part in m.parts if isinstance(part, Text))


def correct_answer(prompt: Prompt) -> str:
    """Answer any bundled item of MMLU-Pro, GPQA or AIME correctly."""
    text = prompt_text(prompt)
    for row in bundled_rows("mmlu_pro"):
        if row["question"] in text:
            return f"Hence.\nANSWER: {row['answer']}"
    for row in bundled_rows("aime"):
        if str(row.get("problem", row.get("Problem"))) in text:
            return f"So \\boxed{{{row.get('answer', row.get('Answer'))}}}."
    for row in bundled_rows("gpqa"):
        if row["Question"].strip() in text:
            option = re.escape(row["Correct Answer"].strip())
            match = re.search(rf"(?m)^\(?([A-D])[).:]\s*{option}\s*$", text)
            assert match, text
            return f"The answer is ({match[1]}).\nANSWER: {match[1]}"
    raise AssertionError(f"no bundled item: {text}")


def heap_question_rejected(prompt: Prompt) -> str:
    """Answer correctly, but reject the question about a heap, as a server would."""
    if "parent of the node" in prompt_text(prompt):
        raise Rejected("HTTP 400: as scripted")
    return correct_answer(prompt)


def escape_sequences(prompt: Prompt) -> str:
    """Reply with terminal escape sequences of several kinds, including one in the stated answer."""
    return f"{ESCAPES} The answer is \\boxed{{{ESCAPES}7}}"


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x1b[8mhidden\r"
