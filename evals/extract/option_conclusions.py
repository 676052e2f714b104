"""Cues of concluding phrases that name an option: "B is the exception", "the best fit is B", "B comes closest", "B it is".

All are weak statements, used only if there is no explicit answer. Those in `CONCLUSIONS` are searched for only near the
start and the end of a reply.
"""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import OptionCueReader, after_link, is_word_start, letter_at, read_cue
from evals.extract.option_letters import CLAUSE_END, parse_letters
from evals.extract.statements import CueReading, Statement

_SUBJECT = lazy_pattern(
    r"(?:^|[.;:,\n]\s*|\b(?:so|thus|hence|therefore|though|but|only|that|option|choice|statement)\s+)(?P<mark>[*_(\[]*)(?P<letter>[A-Z])[)\]*_]*\s+$",
    re.IGNORECASE,
)
_SUBJECT_AND_VERB = lazy_pattern(
    r"(?:^|[.;:,\n]\s*|\b(?:so|thus|hence|therefore|though|but|only|that|option|choice|statement)\s+)(?P<mark>[*_(\[]*)(?P<letter>[A-Z])[)\]*_]*\s+(?:is|comes|lies|seems)\s+(?:the\s+)?$",
    re.IGNORECASE,
)


def _read_subject(text: str, begin: int, end: int, *, has_verb: bool) -> CueReading | None:
    """Return the letter that is the subject of a clause whose predicate, from `begin` to `end`, has been matched."""
    pattern = _SUBJECT_AND_VERB if has_verb else _SUBJECT
    subject = pattern.search(text, max(0, begin - 40), begin)
    if subject is None or not text[subject.start("letter")].isupper():
        return None
    is_marked = subject["mark"] or re.search(r"option|choice|statement", subject[0], re.IGNORECASE)
    if subject["letter"] in "AI" and not is_marked and not has_verb:
        return None
    mood = statement_mood.mood(text, subject.start("letter"), end)
    return text[subject.start("letter")], Statement("cue", *subject.span("letter"), mood), False


_CLAUSE_STOP = lazy_pattern(r"[*_]*\s*(?:[.!,;]|\n|$)")
_GENERAL_CLAIM = lazy_pattern(
    r"\b(?:all|each|every\w*|they|these|others)\b[^.;\n]{0,80}\b(?:are|is|were|have|has|holds?|appl(?:y|ies)|correct|true|fit|agree)\b[^.;\n]{0,40}$",
    re.IGNORECASE,
)
"""The text before "except", as in "all of them are true"."""
_COPULA = lazy_pattern(r"(?:\s+out)?\s+(?:is|would\s+be|must\s+be|seems\s+to\s+be)\b:?", re.IGNORECASE)


def _read_exception(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the exception is B", "B is the exception"."""
    end = begin + len(word)
    if link := _COPULA.match(text, end, end + 24):
        return read_cue(text, begin, link.end(), is_strong=False, allow_unmarked=False)
    return _read_subject(text, begin, end, has_verb=True) if _CLAUSE_STOP.match(text, end) else None


def _read_except(text: str, begin: int, word: str) -> CueReading | None:
    """Read "all are true except (for) option B"."""
    if not is_word_start(text, begin) or not _GENERAL_CLAIM.search(text, max(0, begin - 120), begin):
        return None
    return _read_after_except(text, begin, word)


_read_after_except = after_link(r"(?:\s+for)?(?:\s+(?:option|choice|statement)\b)?", is_strong=False)
_ANSWER_ADJECTIVE = lazy_pattern(
    r"\b(?:correct|right|best|better|closest|nearest|matching|likeliest|odd|my|only)\s*$", re.IGNORECASE
)


def _read_right_one(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the right one is B", "the best fit is (B)", "the odd one out is B"."""
    if not _ANSWER_ADJECTIVE.search(text, max(0, begin - 16), begin):
        return None
    end = begin + len(word)
    link = _COPULA.match(text, end, end + 24)
    is_noun_of_option = word in ("hypothesis", "explanation")
    return link and read_cue(text, begin, link.end(), is_strong=False, allow_unmarked=is_noun_of_option)


_FALSE = lazy_pattern(r"\b(?:incorrect|false|untrue|wrong|not\s+(?:true|correct))\s*$", re.IGNORECASE)
_NOT_TRUE = lazy_pattern(r"s?\s+that\s+is\s+(?:not\s+(?:true|correct)|false|incorrect)\s+is\b", re.IGNORECASE)


def read_false_statement(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the false statement is B", "the statement that is not true is B", for questions that ask for it."""
    end = begin + len(word)
    link = _NOT_TRUE.match(text, end, end + 40)
    if link is None and _FALSE.search(text, max(0, begin - 16), begin):
        link = _COPULA.match(text, end, end + 24)
    if link is None:
        return None
    letters, letters_begin, letters_end = parse_letters(text, link.end(), end + 60, allow_unmarked=False)
    return (letters, Statement("cue", letters_begin, letters_end), False) if len(letters) == 1 else None


def _read_closest(text: str, begin: int, word: str) -> CueReading | None:
    """Read "closest to B", "the closest is B", "B is closest", "B comes closest"."""
    end = begin + len(word)
    if link := _COPULA.match(text, end, end + 24):
        return read_cue(text, begin, link.end(), is_strong=False, allow_unmarked=False)
    if _CLAUSE_STOP.match(text, end):
        return _read_subject(text, begin, end, has_verb=True)
    return _read_after_closest(text, begin, word)


_read_after_closest = after_link(r"\s+to\b", is_strong=False)
_BEST_VERB = lazy_pattern(
    r"\s+(?:describes?|explains?|fits?|matches|answers?|captures?|represents?|completes?|summari[sz]es|accounts?\s+for|reflects?|characteri[sz]es|illustrates?)\b[^.;,?\n]{0,100}[*_]*(?:[.!]|\n|$)",
    re.IGNORECASE,
)


def read_best(text: str, begin: int, word: str) -> CueReading | None:
    """Read "option B best describes the process"."""
    verb = _BEST_VERB.match(text, begin + len(word), begin + 160)
    return _read_subject(text, begin, verb.end(), has_verb=False) if verb else None


_I_WOULD = lazy_pattern(r"\bi(?:['’](?:d|ll)|\s+(?:would|will|shall|must))\s*$", re.IGNORECASE)
_WITH_CONFIDENCE = lazy_pattern(
    r"\s+(?:with|at)\s+(?:about|around|roughly|high|low|moderate|some|~?\d)", re.IGNORECASE
)


def read_answer_verb(text: str, begin: int, word: str) -> CueReading | None:
    """Read "I'd answer B", "I'll answer with B", "I would mark (B) with about 70 % confidence"."""
    if not _I_WOULD.search(text, max(0, begin - 12), begin):
        return None
    end = begin + len(word)
    end += len(" with") if text.startswith(" with ", end) else 0
    letters, letters_begin, letters_end = parse_letters(text, end, end + 40, allow_unmarked=True)
    marks_end = letters_end
    while marks_end < len(text) and text[marks_end] in ")]*_":
        marks_end += 1
    if not letters or not (CLAUSE_END.match(text, marks_end) or _WITH_CONFIDENCE.match(text, marks_end)):
        return None
    mood = statement_mood.mood(text, begin, letters_end)
    return letters, Statement("cue", letters_begin, letters_end, mood), False


_LETTER_BEFORE_IT_IS = lazy_pattern(
    r"(?:^|[.!,:;\n]\s*|\bso\s+)[*_(]*(?P<letter>[A-Z])[)*_]*\s*$", re.IGNORECASE
)
_IS_AT_LINE_END = lazy_pattern(r"\s+is(?:\s+then)?\s*[.!*_]*\s*(?:\n|$)", re.IGNORECASE)


def read_it(text: str, begin: int, word: str) -> CueReading | None:
    """Read "So B it is." and "it is B", "it must be B"."""
    if _IS_AT_LINE_END.match(text, begin + len(word)):
        subject = _LETTER_BEFORE_IT_IS.search(text, max(0, begin - 12), begin)
        is_letter = subject is not None and text[subject.start("letter")].isupper()
        return letter_at(text, subject.start("letter"), is_strong=False) if subject and is_letter else None
    return _read_after_it(text, begin, word)


_read_after_it = after_link(r"\s+(?:is|must\s+be|should\s+be|has\s+to\s+be)\b", is_strong=False)
_EVIDENCE = lazy_pattern(
    r"\b(?:everything|all|evidence|data|clues?|findings?|results?|analysis|reasoning|facts?|observations?|signs?|this|that|which|these|calculations?|symptoms?)\s+(?:\w+\s+)?$",
    re.IGNORECASE,
)


def _is_evidence(text: str, end: int) -> bool:
    """Return whether the text before a verb names evidence as its subject, without denying it."""
    return bool(_EVIDENCE.search(text, max(0, end - 40), end)) and not _DENIED_SUPPORT.search(
        text, max(0, end - 80), end
    )


def _read_points_to(text: str, begin: int, word: str) -> CueReading | None:
    """Read "everything points to B", but not "the arrow points to B"."""
    return _read_after_points(text, begin, word) if _is_evidence(text, begin) else None


_DENIED_SUPPORT = lazy_pattern(
    r"\b(?:no|not|nothing|none|nobody|neither|little|hardly|barely|scarcely|never|but|except|n['’]t)\b[^.;\n]*$",
    re.IGNORECASE,
)
"""A word with which a clause denies its support, as in "nothing supports B"."""
_read_after_points = after_link(r"\s+(?:clearly\s+)?to\b", is_strong=False)


def _read_supports(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the evidence supports B" at the end of a reply."""
    supported = _read_after_supports(text, begin, word) if _is_evidence(text, begin) else None
    return supported if supported and not text[supported[1].end :].strip(" \t\n.!*_)\"'") else None


_read_after_supports = after_link(r"(?:\s+(?:option|choice)\b)?", is_strong=False)
CONCLUSIONS: dict[str, OptionCueReader] = {
    "it": read_it,
    **dict.fromkeys(("mark", "tick", "circle"), read_answer_verb),
    "exception": _read_exception,
    "except": _read_except,
    **dict.fromkeys(("one", "fit", "match", "value", "hypothesis", "explanation"), _read_right_one),
    **dict.fromkeys(("closest", "nearest"), _read_closest),
    **dict.fromkeys(("think", "believe"), after_link(r"(?:\s+(?:it\s+is|it['’]s|that))?", is_strong=False)),
    **dict.fromkeys(("points", "point", "pointing"), _read_points_to),
    **dict.fromkeys(("supports", "favors", "favours", "suggests", "implies", "indicates"), _read_supports),
    **dict.fromkeys(("that's", "that’s"), after_link(r"", is_strong=False)),
    **dict.fromkeys(
        ("overall", "elimination", "summarize", "summarise"), after_link(r"\s*[,:]", is_strong=False)
    ),
    # "so it is", "that is" (twice), "can be obtained", "hence it is" (twice), "should be"
    **dict.fromkeys(
        ("所以是", "即为", "即是", "可得", "因此是", "故为", "应是"), after_link(r"", is_strong=False)
    ),
    **dict.fromkeys(
        ("结论", "结果"), after_link(r"\s*(?:是|为|:)", is_strong=False)
    ),  # "conclusion", "result"
    "猜": after_link(r"(?:是|选)?", is_strong=False),  # "guess"
    "namely": after_link(r",?", is_strong=False),
}
"""Cue word -> its reader; the words are searched for only near the start and the end of a reply."""
