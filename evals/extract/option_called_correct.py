"""Read options that a sentence calls correct: "option B is correct", "which makes C the right answer"."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import MAX_CONTEXT_CHARS, MAX_CUE_CHARS, is_for_one_case, letter_at
from evals.extract.statements import CueReading, Statement

GLOSS = (
    r"(?:\s\([^()\n]{1,60}\)[*_]*|,\s(?!(?:which|not|and|or|but|if|while|though|unless)\b)[^,.;:\n]{1,60},)?"
)
"""An option's text after its letter, as in "C (chloroplast) is correct"."""
_LETTERS_ARE = lazy_pattern(
    r"(?P<word>[A-Za-z]+\s+|[,.:;]\s*|^\s*)?(?P<list>(?<![A-Za-z0-9_'’.+=^/-])(?P<open>[\s*_`$\"'“(\[{（]|\\(?:text|mathbf|mathrm|textbf|boxed)\b)*[A-Z]"
    r"(?:[*_`$\"'”)\]}）])*(?:\s*(?:,\s*and\b|,|&|\band\b)\s*[*_(]*[A-Z][*_)]*(?![A-Za-z]))*)[:.]?"
    rf"{GLOSS}\s*(?:is|are|must\s+be|would\s+be|should\s+be|has\s+to\s+be|seems|appears)\b(?:\s+(?:indeed|therefore|thus|clearly|definitely|the|my|our|only|most|more|likely|to|be|both|single|correct|right|best|better|stronger|preferred|intended|final|appropriate|accurate|suitable))*\s+[*_]*$"
)
_LETTER_IS = lazy_pattern(
    rf"[A-Z][*_`$\"'”)\]}}）]*[:.]?{GLOSS}\s*(?:is|are|must|would|should|has|seems|appears)\b"
)
"""A necessary condition for `_LETTERS_ARE` that is much faster to check."""
_VERBS = (" is ", " are ", " be ", " seems ", " appears ")
_AFTER_ADJECTIVE = lazy_pattern(
    r"[*_]*(?:(?:\s+(?:answer|option|choice|one|response|solution|match|fit)s?)?[*_]*"
    r"(?:[^\S\n]*(?:$|\n|[.。!;:)]|,(?!\s(?:but|as|and)\s(?:so|is|are|does|do)\b)|[—–-]\s)|\s+(?:because|since|as|and|so|based|given|according|due|which|here|among|from|to\s+th))|\s+supported\b|\s+(?:answer|option|choice)\b(?!\s*\?))",
    re.IGNORECASE,
)
_MAY_PRECEDE = lazy_pattern(
    r"(?:(?:option|choice|answer|letter|statement)s?|so|therefore|thus|hence|only|that|and|both|then|since|is|because|but|means|making|makes|conclude|i\s+(?:believe|think|say)|suggests?|shows?|indicates?|confirms?)\s*$",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(r"[\s*_`\"'“#>-]*(?:[(\[（【](?P<bracketed>[A-Z])[)\]）】]|(?P<bare>[A-Z])[.):])")
_DENIED_LIST = lazy_pattern(r"\b(?:nor|neither|not)\s*\W*$", re.IGNORECASE)
_MAKES_LETTER = lazy_pattern(
    r"\b(?:makes|making|leaves|leaving|renders|rendering)\s+(?:option\s+|choice\s+|answer\s+|only\s+)?[*_(]*(?P<letter>[A-Z])[*_)]*\s+(?:(?:(?:as\s+)?the|as)\s+)?(?:(?:only|single|most|best|clear|obvious|correct|right|likely)\s+)*[*_]*$"
)
"""As in "which makes C the right answer"."""
_HEDGED = lazy_pattern(
    r"\b(?:if|nothing|not|never|neither|would|could|might|may|unless|hardly|\w+n['’]t)\b[^.\n]*$",
    re.IGNORECASE,
)
_NOT_ASSERTED = lazy_pattern(
    r"(?:n['’]t\s+(?:think|believe|mean|say)|\b(?:if|whether|unless|suppos\w+|assum\w+|imagin\w+|doubt|e\.g\.|for\s+example|could|might|may|not|never|another|wrong|incorrect)|如果|假设|不)"
    r"(?:\s+(?:true|that|if|whether|options?|choices?|statements?))*[\s*_\"'“(]*$",
    re.IGNORECASE,
)
_LETTER = lazy_pattern(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")


def letters_called_correct(text: str, begin: int, end: int) -> CueReading | None:
    """Return the letters to which the adjective from `begin` to `end`, such as "correct", applies."""
    context = text[max(0, begin - MAX_CONTEXT_CHARS) : begin]
    if not any(verb in context[-60:] for verb in (*_VERBS, " the ", "makes ", "making ")):
        return None
    if (
        (made_correct := _MAKES_LETTER.search(context)) is not None
        and not _HEDGED.search(context, 0, made_correct.start())
        and _AFTER_ADJECTIVE.match(text, end, end + MAX_CUE_CHARS)
    ):
        start = begin - len(context) + made_correct.start("letter")
        return letter_at(text, start, is_strong=True)
    subject = _LETTERS_ARE.search(context) if _LETTER_IS.search(context) else None
    if subject is None or not _AFTER_ADJECTIVE.match(text, end, end + MAX_CUE_CHARS):
        return None
    matches = list(_LETTER.finditer(subject["list"]))
    letters = "".join(letter[0] for letter in matches)
    if not matches or not _are_options(context, subject, letters):
        return None
    list_begin = begin - len(context) + subject.start("list")
    start = list_begin + matches[0].start()
    mood = statement_mood.mood(text, list_begin, list_begin, link=text[list_begin:end])
    if text[end : end + 40].lstrip("*_ ")[:1] in ("?", "？") and end < len(text):
        mood = "asked"
    elif mood == "asserted" and is_for_one_case(text, list_begin):
        mood = "conditional"
    return letters, Statement("cue", start, start + len(subject["list"].strip()), mood), True


def _are_options(context: str, subject: re.Match[str], letters: str) -> bool:
    """Return whether the letters before "is correct" are options, not words or labels, and are asserted to be correct."""
    label = _LABEL.match(context, context.rfind("\n") + 1)
    if label and len(context) < MAX_CONTEXT_CHARS and (label["bracketed"] or label["bare"]) not in letters:
        return False  # "F. A and B are correct": the text of option F
    word = subject["word"]
    if word and word.strip().isalpha() and not _MAY_PRECEDE.search(context, 0, subject.start("list")):
        return False
    if letters == "I" and not re.search(r"\(I\)|option|choice", subject[0]):
        return False
    preceding = context[: subject.start("list")]
    return not (_DENIED_LIST.search(preceding) or _NOT_ASSERTED.search(preceding))
