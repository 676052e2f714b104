"""Letter rules of other projects, as published, flaws included. For our own rule see `letters.py`."""

from __future__ import annotations

import re
from functools import cache

import msgspec

from evals.extract.lazy_pattern import lazy_pattern

_ANSWER_IS = lazy_pattern(r"answer is \(?([A-J])\)?")
_ANSWER_COLON = lazy_pattern(r"[aA]nswer:\s*([A-J])")
_ISOLATED = lazy_pattern(r"\b[A-J]\b")
_SIMPLE_EVALS = lazy_pattern(r"(?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?")


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
    """Find the last capital A-J between word boundaries, looking at ever longer tails."""
    size = 64
    while True:
        start = max(0, len(text) - size)
        if isolated := _ISOLATED.findall(text, start):
            return str(isolated[-1])
        if start == 0:
            return None
        size *= 4


def letter_simple_evals(text: str) -> str | None:
    """Read the first "Answer: X" with X in A-D, upper or lower case (openai/simple-evals @ ee3b0318, GPQA)."""
    match = _SIMPLE_EVALS.search(text)
    return match[1].upper() if match else None


def letter_opencompass(text: str, last: str = "D") -> str | None:
    """Read the first "ANSWER: X" with X from A to `last`, any case.

    The rule stage of OpenCompass for GPQA (`last` D) and MMLU-Pro (P); `**ANSWER:** B` escapes it.
    Source: open-compass/opencompass @ a5acc4bb.
    """
    match = _opencompass(last).search(text)
    return match[1].upper() if match else None


@cache
def _opencompass(last: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)ANSWER\s*:\s*([A-{last}])")


# --- image suites -------------------------------------------------------------------------------------------

_MICROVQA = lazy_pattern(r"answer is \*?\*?\(?([0-9])\)?\*?\*?")
_MSEARTH_OPTION = lazy_pattern(r"\s*([a-dA-D])(?!\w)\s*+[):.,]?\s*+")
_XLRS_DROPPED = ("The best answer is", "The correct answer is", "The answer is", "The answer")


def option_microvqa(text: str) -> int | None:
    """Read the number of an option, from 1: the digit behind the first "answer is" that has one.

    Source: jmhb0/microvqa @ 0868fdf8, eval/eval.py. "The answer is 12 um" reads 1.
    """
    match = _MICROVQA.search(text)
    return int(match[1]) if match else None


def answer_msearth(text: str) -> str | None:
    """Read the field `answer` of a reply in JSON, or take the reply itself; None for a field that is no text.

    Source: xiangyu-mm/MSEarth @ 4e8dce37, auto_evaluator/evaluation/evaluation_mcq.py: all backslashes are deleted first,
    a block marked as JSON goes before the first braces, and these end at their first closing brace.
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
    """Return what `(?<=```json\\n)([\\s\\S]*?)(?=\\n```)` finds first, in linear time."""
    start = text.find("```json\n")
    end = text.find("\n```", start + 8) if start >= 0 else -1
    return text[start + 8 : end] if end >= 0 else None


def _braces(text: str) -> str | None:
    r"""Return what `\{[^}]*\}` finds first, in linear time."""
    start = text.find("{")
    end = text.find("}", start) if start >= 0 else -1
    return text[start : end + 1] if end >= 0 else None


def option_msearth(answer: str) -> tuple[str | None, str | None]:
    """Split an answer into its option's letter, as written, and what stands behind; same source.

    Without a letter at its very beginning, or with a line break behind it, all of it is content.
    """
    match = _MSEARTH_OPTION.match(answer)
    if match is None or "\n" in answer[match.end() :].removesuffix("\n"):
        return None, answer.strip()
    return match[1], answer[match.end() :].strip() or None


def letters_xlrs(text: str) -> str:
    """Read every letter a to e of a reply, inside words too, unless letters stand in brackets.

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
    """Take a reply as its letters, whatever they spell, where none stands twice: "Red" is D, E and R; None: ask a judge.

    Source: open-compass/VLMEvalKit @ e8e78f05, dataset/utils (MCQ_VERIFIER, several answers), with which XLRS-Bench is
    judged.
    """
    letters = [letter for letter in text.upper() if "A" <= letter <= "Z"]
    return "".join(sorted(letters)) if letters and len(letters) == len(set(letters)) else None
