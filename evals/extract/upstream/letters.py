"""Letter rules of other projects, as published, with their flaws. For our own rule see `evals/extract/choices.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from string import ascii_uppercase

import msgspec

from evals.extract.lazy_pattern import lazy_pattern

_ANSWER_IS = lazy_pattern(r"answer is \(?([A-J])\)?")
_ANSWER_COLON = lazy_pattern(r"[aA]nswer:\s*([A-J])")
_ISOLATED = lazy_pattern(r"\b[A-J]\b")


def letter_mmlu_pro(text: str) -> str | None:
    """Read a letter A-J by the three patterns of MMLU-Pro's authors, tried one after the other.

    First "answer is X"; the last "answer: X" of the first line that has one; the last capital A-J that
    stands alone, pronouns included. `**` is deleted first, as their API script does and their local
    script does not: on their recordings of gemini-1.5-flash-002 and Mistral-7B-v0.2 both give the same
    letters. Source: TIGER-AI-Lab/MMLU-Pro @ f418b116, evaluate_from_api.py.
    """
    text = text.replace("**", "")
    if match := _ANSWER_IS.search(text):
        return match[1]
    if match := _ANSWER_COLON.search(text):
        newline = text.find("\n", match.start())
        end = len(text) if newline < 0 else newline
        for other in _ANSWER_COLON.finditer(text, match.end()):
            if other.start() > end:
                break
            match = other
        return match[1]
    return _last_isolated(text)


def _last_isolated(text: str) -> str | None:
    """Return the last capital A-J between word boundaries, searching ever longer tails."""
    size = 64
    while True:
        start = max(0, len(text) - size)
        if isolated := _ISOLATED.findall(text, start):
            return str(isolated[-1])
        if start == 0:
            return None
        size *= 4


def first_match(name: str, pattern: str) -> Callable[[str, int], str | None]:
    """Return the rule that reads an option from the first match of a pattern; `name`: its name in cards.

    Group 1 of the pattern is the option's letter, in any case, or its number from 1; None if there is no such option.
    """
    compiled = lazy_pattern(pattern)

    def read(text: str, count: int) -> str | None:
        match = compiled.search(text)
        if match is None or len(match[1]) > 2:
            return None
        index = int(match[1]) - 1 if match[1].isdecimal() else ascii_uppercase.index(match[1].upper())
        return ascii_uppercase[index] if 0 <= index < count else None

    read.__name__ = name
    return read


# --- image suites -------------------------------------------------------------------------------------------

_MSEARTH_OPTION = lazy_pattern(r"\s*([a-dA-D])(?!\w)\s*+[):.,]?\s*+")
_XLRS_DROPPED = ("The best answer is", "The correct answer is", "The answer is", "The answer")


def answer_msearth(text: str) -> str | None:
    """Read the field `answer` of a reply in JSON, or take the reply itself; None for a field that is not text.

    Source: xiangyu-mm/MSEarth @ 4e8dce37, auto_evaluator/evaluation/evaluation_mcq.py: all backslashes are deleted first,
    a block marked as JSON takes precedence over the first braces, and these end at their first closing brace.
    """
    text = text.replace("\\", "")
    document = _fenced(text)
    if document is None:
        document = _braces(text)
    if document is None:
        return text
    try:
        value = msgspec.json.decode(re.sub(r",\s*+([}\]])", r"\1", document))
    except (msgspec.DecodeError, RecursionError):
        return text
    answer = value.get("answer") if isinstance(value, dict) else None
    return answer if isinstance(answer, str) else None


def _fenced(text: str) -> str | None:
    """Return the first match of `(?<=```json\\n)([\\s\\S]*?)(?=\\n```)` in linear time."""
    start = text.find("```json\n")
    end = text.find("\n```", start + 8) if start >= 0 else -1
    return text[start + 8 : end] if end >= 0 else None


def _braces(text: str) -> str | None:
    r"""Return what `\{[^}]*\}` in linear time."""
    start = text.find("{")
    end = text.find("}", start) if start >= 0 else -1
    return text[start : end + 1] if end >= 0 else None


def option_msearth(answer: str) -> tuple[str | None, str | None]:
    """Split an answer into its option's letter, as written, and what follows; same source.

    Without a letter at its very beginning, or followed by a line break, all of it is content.
    """
    match = _MSEARTH_OPTION.match(answer)
    if match is None or "\n" in answer[match.end() :].removesuffix("\n"):
        return None, answer.strip()
    return match[1], answer[match.end() :].strip() or None


def letters_xlrs(text: str) -> str:
    """Read every letter a to e of a reply, inside words too, unless some are in brackets.

    Source: open-compass/VLMEvalKit @ e8e78f05, dataset/image_mcq.py, XLRSBench; its pattern makes every boundary
    optional. "Answer: B" is A, B and E; a reply without a capital A to E is nothing.
    """
    text = text.strip()
    for prefix in _XLRS_DROPPED:
        text = text.replace(prefix, "")
    if not re.search("[A-E]", text):
        return ""
    letters = re.findall(r"\(([a-eA-E])\)", text) or re.findall("[a-eA-E]", text)
    return "".join(sorted({letter.upper() for letter in letters}))


def letters_all_distinct(text: str) -> str | None:
    """Return the letters of a reply, whatever they spell, if none occurs twice: "Red" is D, E and R; None: ask a judge.

    Source: open-compass/VLMEvalKit @ e8e78f05, dataset/utils (MCQ_VERIFIER, several answers), with which XLRS-Bench is
    judged.
    """
    letters = [letter for letter in text.upper() if "A" <= letter <= "Z"]
    return "".join(sorted(letters)) if letters and len(letters) == len(set(letters)) else None
