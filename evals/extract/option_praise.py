"""Read options before a word that calls them right: "option B is correct", "which makes C the right answer"."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_cue import MAX_CONTEXT_CHARS, MAX_CUE_CHARS, CueResult
from evals.extract.statements import Statement

_BEFORE = lazy_pattern(
    r"(?P<word>[A-Za-z]+\s+|[,.:;]\s*|^\s*)?(?P<list>(?<![A-Za-z0-9_'’.+=^/-])(?P<open>[\s*_`$\"'“(\[{（]|\\(?:text|mathbf|mathrm|textbf|boxed)\b)*[A-Z]"
    r"(?:[*_`$\"'”)\]}）])*(?:\s*(?:,\s*and\b|,|&|\band\b)\s*[*_(]*[A-Z][*_)]*(?![A-Za-z]))*)[:.]?"
    r"\s*(?:is|are|must\s+be|would\s+be|should\s+be|seems|appears)\b(?:\s+(?:indeed|therefore|thus|clearly|definitely|the|my|our|only|most|more|likely|to|be|both|single|correct|right|best|better|stronger|preferred|intended|final|appropriate|accurate|suitable))*\s+[*_]*$",
)
_LETTER_IS = lazy_pattern(r"[A-Z][*_`$\"'”)\]}）]*[:.]?\s*(?:is|are|must|would|should|seems|appears)\b")
"""A fast precondition for `_BEFORE`, which takes much longer."""
_VERBS = (" is ", " are ", " be ", " seems ", " appears ")
_FIT = lazy_pattern(
    r"[*_]*(?:(?:\s+(?:answer|option|choice|one|response|solution|match|fit)s?)?[*_]*"
    r"(?:[^\S\n]*(?:$|\n|[.。!,;:)]|[—–-]\s)|\s+(?:because|since|as|and|so|based|given|according|due|which|here|among|from|to\s+th))|\s+(?:answer|option|choice)\b(?!\s*\?))",
    re.IGNORECASE,
)
_OTHER_NOUN = lazy_pattern(
    r"(?:(?:option|choice|answer|letter|statement)s?|so|therefore|thus|hence|only|that|and|both|then|since|is|because|but|means|making|makes|conclude)\s*$",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(r"[\s*_`\"'“#>-]*(?:[(\[（【](?P<a>[A-Z])[)\]）】]|(?P<b>[A-Z])[.):])")
_DENIED_LIST = lazy_pattern(r"\b(?:nor|neither|not)\s*\W*$", re.IGNORECASE)

_MADE = lazy_pattern(
    r"\b(?:makes|making|leaves|leaving|renders|rendering)\s+(?:option\s+|choice\s+|answer\s+|only\s+)?[*_(]*(?P<letter>[A-Z])[*_)]*\s+(?:as\s+)?the\s+(?:(?:only|single|most|best|clear|obvious|correct|right|likely)\s+)*[*_]*$"
)
"""As in "which makes C the right answer"."""
_UNSURE = lazy_pattern(
    r"\b(?:if|nothing|not|never|neither|would|could|might|may|unless|hardly|\w+n['’]t)\b[^.\n]*$",
    re.IGNORECASE,
)
_GUARDED = lazy_pattern(
    r"(?:n['’]t\s+(?:think|believe|mean|say)|\b(?:if|whether|unless|suppos\w+|assum\w+|imagin\w+|doubt|e\.g\.|for\s+example|could|might|may|not|never|another|wrong|incorrect)|如果|假设|不)"
    r"(?:\s+(?:that|if|whether|option|choice))*[\s*_\"'“(]*$",
    re.IGNORECASE,
)
_LETTER = lazy_pattern(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")


def letters_before_praise(text: str, at: int, end: int) -> CueResult:
    """Return the letters before a word of praise from `at` to `end`."""
    left = text[max(0, at - MAX_CONTEXT_CHARS) : at]
    if not any(verb in left[-60:] for verb in (*_VERBS, " the ")):
        return None
    if (made_right := _MADE.search(left)) is not None and not _UNSURE.search(left, 0, made_right.start()):
        first = at - len(left) + made_right.start("letter")
        return (
            made_right["letter"],
            Statement("cue", first, first + 1, statement_mood.mood(text, first, first)),
            True,
        )
    before = _BEFORE.search(left) if _LETTER_IS.search(left) else None
    if before is None or not _FIT.match(text, end, min(len(text), end + MAX_CUE_CHARS)):
        return None
    letters = list(_LETTER.finditer(before["list"]))
    names = "".join(letter[0] for letter in letters)
    if not letters or not _are_options(left, before, names):
        return None
    begin = at - len(left) + before.start("list")
    first = begin + letters[0].start()
    is_question = text[end : end + 40].lstrip("*_ ")[:1] in ("?", "？") if end < len(text) else False
    mood = "asked" if is_question else statement_mood.mood(text, begin, begin)
    return names, Statement("cue", first, first + len(before["list"].strip()), mood), True


def _are_options(left: str, before: re.Match[str], names: str) -> bool:
    """Return whether letters before "is correct" are options that the sentence asserts, and no words or labels."""
    label = _LABEL.match(left, left.rfind("\n") + 1)
    if label and len(left) < MAX_CONTEXT_CHARS and (label["a"] or label["b"]) not in names:
        return False  # "F. A and B are correct": the text of option F
    noun = before["word"]
    if noun and noun.strip().isalpha() and not _OTHER_NOUN.search(noun):
        return False
    if names == "I" and not re.search(r"\(I\)|option|choice", before[0]):
        return False
    lead = left[: before.start("list")]
    return not (_DENIED_LIST.search(lead) or _GUARDED.search(lead))
