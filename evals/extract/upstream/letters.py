"""Extract letters by the published rules of other projects, including their defects; for our own rule see `choices.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from string import ascii_uppercase

import msgspec

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.visible import visible

_ANSWER_IS = lazy_pattern(r"answer is \(?([A-J])\)?")
_ANSWER_COLON = lazy_pattern(r"[aA]nswer:\s*([A-J])")
_ISOLATED = lazy_pattern(r"\b[A-J]\b")


def letter_mmlu_pro(text: str) -> str | None:
    """Read a letter A-J by the first matching pattern of three that MMLU-Pro's authors use.

    These are the first "answer is X"; the last "answer: X" of the first line that has one; and the last isolated capital A-J,
    including pronouns. `**` is deleted first, as in the authors' API script but not in their local script; on their published
    outputs of gemini-1.5-flash-002 and Mistral-7B-v0.2, both give the same letters. Source: TIGER-AI-Lab/MMLU-Pro @ f418b116,
    evaluate_from_api.py.
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
    isolated = _ISOLATED.findall(text)
    return isolated[-1] if isolated else None


def first_match(name: str, pattern: str) -> Callable[[str, int], str | None]:
    """Return a rule that reads an option from the first match of a pattern; `name`: the rule's name in cards.

    Group 1 of the pattern is the option's letter, or its number, counted from 1. The rule returns None if there is no such
    option; a lower-case letter is not an option, since upstream compares it with a capital.
    """
    compiled = lazy_pattern(pattern)

    def read(text: str, count: int) -> str | None:
        match = compiled.search(text)
        if match is None or len(match[1]) > 2:
            return None
        index = int(match[1]) - 1 if match[1].isdecimal() else ascii_uppercase.find(match[1])
        return ascii_uppercase[index] if 0 <= index < count else None

    read.__name__ = name
    return read


# --- image suites -------------------------------------------------------------------------------------------

_MSEARTH_OPTION = lazy_pattern(r"\s*([a-dA-D])(?!\w)\s*+[):.,]?\s*+")
_SUPERCHEM_BOX = r"\boxed{"
_SUPERCHEM_IGNORED = ("\\", "{", "}", "text", "math", "bf", "rm")
_XLRS_IGNORED = ("The best answer is", "The correct answer is", "The answer is", "The answer")


def answer_msearth(text: str) -> str | None:
    """Return the field `answer` of a JSON reply, or else the whole reply; None if the field is not text.

    Source: xiangyu-mm/MSEarth @ 4e8dce37, auto_evaluator/evaluation/evaluation_mcq.py: all backslashes are deleted first;
    a block marked as JSON takes precedence over the first braces, which end at the first closing brace.
    """
    text = text.replace("\\", "")
    document = _json_block(text)
    if document is None:
        document = _first_braces(text)
    if document is None:
        return text
    try:
        value = msgspec.json.decode(re.sub(r",\s*+([}\]])", r"\1", document))
    except (msgspec.DecodeError, RecursionError):
        return text
    answer = value.get("answer") if isinstance(value, dict) else None
    return answer if isinstance(answer, str) else None


def _json_block(text: str) -> str | None:
    """Return the first match of `(?<=```json\\n)([\\s\\S]*?)(?=\\n```)` in linear time."""
    start = text.find("```json\n")
    end = text.find("\n```", start + 8) if start >= 0 else -1
    return text[start + 8 : end] if end >= 0 else None


def _first_braces(text: str) -> str | None:
    r"""Return the first match of `\{[^}]*\}` in linear time."""
    start = text.find("{")
    end = text.find("}", start) if start >= 0 else -1
    return text[start : end + 1] if end >= 0 else None


def option_msearth(answer: str) -> tuple[str | None, str | None]:
    """Split an answer into its option's letter, as written, and its content, as MSEarth's evaluator does.

    Without a letter at its start, or with a line break after the letter, the whole answer is content.
    """
    match = _MSEARTH_OPTION.match(answer)
    if match is None or "\n" in answer[match.end() :].removesuffix("\n"):
        return None, answer.strip()
    return match[1], answer[match.end() :].strip() or None


def letters_xlrs(text: str) -> str:
    """Return every letter a to e of a reply, even within words; if there are letters in brackets, only those.

    Source: open-compass/VLMEvalKit @ e8e78f05, dataset/image_mcq.py, XLRSBench; its pattern makes every boundary
    optional, so that "Answer: B" is A, B and E. A reply without a capital A to E has no answer.
    """
    text = text.strip()
    for prefix in _XLRS_IGNORED:
        text = text.replace(prefix, "")
    if not re.search("[A-E]", text):
        return ""
    letters = re.findall(r"\(([a-eA-E])\)", text) or re.findall("[a-eA-E]", text)
    return "".join(sorted({letter.upper() for letter in letters}))


def letters_superchem(text: str, options: Sequence[str]) -> tuple[str, ...] | None:
    r"""Return every character of the last box, in capitals, followed by `?` if one occurs twice; None if no box is closed.

    Source: open-compass/VLMEvalKit @ e8e78f05, dataset/superchem.py (`_parse_boxed_answer`, `_score_multiple_choice_answer`).
    The text between the last `\boxed{` and the next closing brace, without backslashes, braces and the strings "text",
    "math", "bf" and "rm", must consist of the right letters: `\boxed{A, C}`, `\boxed{A. Benzene}` and
    `\boxed{\mathsf{A}}` are wrong. The authors' code (catalystforyou/SUPERChem_eval @ 8c0eb792) differs in one case: it
    accepts `AA` for A and C.
    """
    content, position, visible_text = None, 0, visible(text).text
    while (begin := visible_text.find(_SUPERCHEM_BOX, position)) >= 0:
        end = visible_text.find("}", begin + len(_SUPERCHEM_BOX) + 1)
        if end < 0:
            break
        content, position = visible_text[begin + len(_SUPERCHEM_BOX) : end].strip(), end + 1
    if content is None:
        return None
    for ignored in _SUPERCHEM_IGNORED:
        content = content.replace(ignored, "")
    characters = tuple(content.strip().upper())
    return characters if len(set(characters)) == len(characters) else (*characters, "?")
