"""Scripted models that know the bundled items of physics, charts, maps and microscopy: `scripted:call=tests.support.scripted_experts:NAME`."""

from __future__ import annotations

import json
from typing import Any

from evals.types import Media, Prompt
from tests.support.answers import bundled_rows, prompt_text


def boxes(prompt: Prompt) -> str:
    """Put each part of a physics problem's answer into its own box."""
    (row,) = (row for row in bundled_rows("physics") if row["questions"] in prompt_text(prompt))
    return "\n".join(f"\\boxed{{{part}}}" for part in row["final_answers"])


def charts(prompt: Prompt) -> str:
    """Answer a question about a chart correctly."""
    turns = [turn for row in bundled_rows("chartbench") for turn in row["conversation"]]
    (label,) = {turn["label"] for turn in turns if turn["query"] in prompt_text(prompt)}
    return f"Answer: {label}"


def copyist(prompt: Prompt) -> str:
    """Extract the text after `Answer: `, as a judge."""
    from tests.support import judges

    case, _, candidate = judges.texts_of(prompt)
    return json.dumps({"case": case, "answer": candidate.partition("Answer: ")[2]})


def _item(folder: str, prompt: Prompt) -> dict[str, Any]:
    """Return the item of a prompt, which must contain an image."""
    assert any(isinstance(part, Media) for message in prompt.messages for part in message.parts)
    text = prompt_text(prompt)
    return max(
        (row for row in bundled_rows(folder) if _question(row) in text), key=lambda row: len(_question(row))
    )


def _question(row: dict[str, Any]) -> str:
    text = str(row.get("question") or row["query"].partition("Question: ")[2].partition("\n")[0])
    return text.strip()


def msearth_strict(prompt: Prompt) -> str:
    """State the right option."""
    return f"Think.\nANSWER: {_item('msearth', prompt)['response'][0]}"


def msearth_official(prompt: Prompt) -> str:
    """Return the right option in JSON."""
    return json.dumps({"answer": _item("msearth", prompt)["response"], "Explanation": "seen"})


def msearth_intern_s1(prompt: Prompt) -> str:
    """Return only the right letter."""
    return str(_item("msearth", prompt)["response"][0])


def xlrs_strict(prompt: Prompt) -> str:
    """State all right options."""
    return f"Think.\nANSWER: {', '.join(_item('xlrs', prompt)['answer'])}"


def xlrs_official(prompt: Prompt) -> str:
    """Return only the right letters."""
    return " ".join(_item("xlrs", prompt)["answer"])


xlrs_intern_s1 = xlrs_official


def lenient_judge(prompt: Prompt) -> str:
    """Judge every reply to be right."""
    from tests.support import judges

    return json.dumps({"case": judges.texts_of(prompt)[0], "verdict": "A"})


def microvqa_strict(prompt: Prompt) -> str:
    """State the right option's letter."""
    return f"Think.\nANSWER: {'ABCDE'[_item('microvqa', prompt)['correct_index']]}"


def microvqa_official(prompt: Prompt) -> str:
    """State the right option's number."""
    return f"The answer is ({_item('microvqa', prompt)['correct_index'] + 1})."


def microvqa_intern_s1(prompt: Prompt) -> str:
    """Return only the right letter."""
    return "ABCDE"[_item("microvqa", prompt)["correct_index"]]
