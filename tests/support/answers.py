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
def rows(folder: str) -> list[dict[str, Any]]:
    """The bundled items of one suite, whatever their variant."""
    files = [path for path in sorted((SAMPLES / folder).glob("*.jsonl")) if path.stem != "validation"]
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def words(prompt: Prompt) -> str:
    """All texts of a prompt."""
    return "\n".join(part.text for m in prompt.messages for part in m.parts if isinstance(part, Text))


def right(prompt: Prompt) -> str:
    """The right answer to any sample item of MMLU-Pro, GPQA and AIME."""
    asked = words(prompt)
    for row in rows("mmlu_pro"):
        if row["question"] in asked:
            return f"Hence.\nANSWER: {row['answer']}"
    for row in rows("aime"):
        if str(row.get("problem", row.get("Problem"))) in asked:
            return f"So \\boxed{{{row.get('answer', row.get('Answer'))}}}."
    for row in rows("gpqa"):
        if row["Question"].strip() in asked:
            option = re.escape(row["Correct Answer"].strip())
            found = re.search(rf"(?m)^\(?([A-D])[).:]\s*{option}\s*$", asked)
            assert found, asked
            return f"The answer is ({found[1]}).\nANSWER: {found[1]}"
    raise AssertionError(f"no sample item: {asked}")


def parents_fail(prompt: Prompt) -> str:
    """Right, but the server rejects the question about a heap."""
    if "parent of the node" in words(prompt):
        raise Rejected("HTTP 400: as scripted")
    return right(prompt)


def hostile(prompt: Prompt) -> str:
    """Terminal escape sequences of all kinds, also in the stated answer."""
    return f"{ESCAPES} The answer is \\boxed{{{ESCAPES}7}}"


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x1b[8mhidden\r"
