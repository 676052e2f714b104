"""Scripted models with a known accuracy on generated questions: `scripted:call=tests.support.scripted_accuracy:NAME`."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

from evals.errors import Rejected
from evals.types import Prompt, Text


def write_questions(path: Path, count: int) -> Path:
    """Write questions in MMLU-Pro's format that state their right answer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        for i in range(count):
            letter = "ABCD"[i % 4]
            row = {
                "question_id": i,
                "question": f"Item {i}: which letter is {letter}?",
                "options": ["first", "second", "third", "fourth"],
                "answer": letter,
                "answer_index": i % 4,
                "category": f"subject {i % 3}",
            }
            stream.write(json.dumps(row) + "\n")
    return path


def _hash_fraction(prompt: Prompt, salt: str) -> float:
    """Return a pseudo-random number from 0 to 1, fixed for a question and a model."""
    return int.from_bytes(sha256(f"{salt}{_number_and_letter(prompt)}".encode()).digest()[:6], "big") / 2**48


def _number_and_letter(prompt: Prompt) -> str:
    text = " ".join(p.text for m in prompt.messages for p in m.parts if isinstance(p, Text))
    match = re.search(r"Item (\d+): which letter is ([A-D])", text)
    assert match, text
    return f"{match[1]} {match[2]}"


def _answer(prompt: Prompt, *, skill: float, changed: float, salt: str) -> str:
    """Answer correctly with probability `skill`.

    Which questions are answered correctly is fixed; for a share `changed` of them, it also depends on `salt`.
    """
    right = _hash_fraction(prompt, "question") < skill
    if _hash_fraction(prompt, salt) < changed:
        right = _hash_fraction(prompt, f"again {salt}") < skill
    letter = _number_and_letter(prompt)[-1]
    return f"ANSWER: {letter if right else 'ABCD'['ABCD'.index(letter) - 1]}"


def steady(prompt: Prompt) -> str:
    return _answer(prompt, skill=0.7, changed=0.0, salt="")


def unchanged(prompt: Prompt) -> str:
    return _answer(prompt, skill=0.7, changed=0.2, salt="b")


def worse(prompt: Prompt) -> str:
    return _answer(prompt, skill=0.5, changed=0.2, salt="c")


def often_rejecting(prompt: Prompt) -> str:
    if _hash_fraction(prompt, "down") < 0.2:
        raise Rejected("HTTP 400: as scripted")
    return steady(prompt)
