"""Scripted models that know the bundled items of physics, charts, maps and microscopy: `scripted:call=tests.support.scripted_experts:NAME`."""

from __future__ import annotations

import json
from typing import Any

from evals.types import Media, Prompt
from tests.support.answers import rows, words


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
    """A judge that extracts the text after `Answer: `."""
    from tests.support import judges

    case, _, candidate = judges._texts(prompt)
    return json.dumps({"case": case, "answer": candidate.partition("Answer: ")[2]})


def _of(folder: str, prompt: Prompt) -> dict[str, Any]:
    """The item that a prompt asks, which must show a picture."""
    assert any(isinstance(part, Media) for message in prompt.messages for part in message.parts)
    asked = words(prompt)
    return max((row for row in rows(folder) if _question(row) in asked), key=lambda row: len(_question(row)))


def _question(row: dict[str, Any]) -> str:
    text = str(row.get("question") or row["query"].partition("Question: ")[2].partition("\n")[0])
    return text.strip()


def msearth_strict(prompt: Prompt) -> str:
    """The right option, stated."""
    return f"Think.\nANSWER: {_of('msearth', prompt)['response'][0]}"


def msearth_official(prompt: Prompt) -> str:
    """The right option in JSON."""
    return json.dumps({"answer": _of("msearth", prompt)["response"], "Explanation": "seen"})


def msearth_intern_s1(prompt: Prompt) -> str:
    """The right letter alone."""
    return str(_of("msearth", prompt)["response"][0])


def xlrs_strict(prompt: Prompt) -> str:
    """All right options, stated."""
    return f"Think.\nANSWER: {', '.join(_of('xlrs', prompt)['answer'])}"


def xlrs_official(prompt: Prompt) -> str:
    """The right letters alone."""
    return " ".join(_of("xlrs", prompt)["answer"])


xlrs_intern_s1 = xlrs_official


def microvqa_strict(prompt: Prompt) -> str:
    """The right option's letter."""
    return f"Think.\nANSWER: {'ABCDE'[_of('microvqa', prompt)['correct_index']]}"


def microvqa_official(prompt: Prompt) -> str:
    """The right option's number."""
    return f"The answer is ({_of('microvqa', prompt)['correct_index'] + 1})."


def microvqa_intern_s1(prompt: Prompt) -> str:
    """The right letter alone."""
    return "ABCDE"[_of("microvqa", prompt)["correct_index"]]
