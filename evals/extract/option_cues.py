"""The cues for options: words with which replies name one, each with a function that reads the option beside the word.

The *link* is the text between the cue word and the letter, such as "is" or "with".
"""

from __future__ import annotations

import re

from evals.extract import option_cues_non_english as non_english
from evals.extract import option_ordinals, statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import (
    MAX_CONTEXT_CHARS,
    MAX_CUE_CHARS,
    OptionCueReader,
    after_link,
    is_word_start,
    letter_at,
    read_closing_tag,
    read_cue,
    read_letter_list,
)
from evals.extract.option_called_correct import GLOSS, letters_called_correct
from evals.extract.option_conclusions import CONCLUSIONS, read_answer_verb, read_best, read_false_statement
from evals.extract.option_corrections import CORRECTIONS
from evals.extract.option_letters import CLAUSE_END, parse_letters
from evals.extract.statements import Cue, CueReading, Cues, Statement, json_value_extent

# --- "the correct option is C", "Final choice: C" -----------------------------------------------------------

_NOUN_LINK = lazy_pattern(
    r"s?(?:\s+(?:letter|here|from|among|for|to)\b[^.\n:?!]{0,60}?)??(?:[*_\"'’”`)\]\s]{0,6}(?:[:：=]|->|→|—|–|\s-\s)"
    r"|\s+(?:is|are|was|will\s+be|would\s+be|must\s+be|should\s+be|(?:has|would\s+have|ought)\s+to\s+be|(?:can|could)\s+only\s+be|(?:seems|appears)\s+to\s+be|remains|becomes)\b(?:\s+not\s+\S{1,4}\s*,?\s+but\b)?:?)",
    re.IGNORECASE,
)
_LINK_WITH_MODIFIER = lazy_pattern(
    r"s?\s+(?:that|which|consistent|compatible|matching|satisfying|supported|left|remaining|with|in)\b[^.\n:?!]{0,80}?\s(?:is|are)\b",
    re.IGNORECASE,
)
"""As in "option consistent with the data is"."""
_LINK_WITH_CLAUSE = lazy_pattern(
    r"\s+(?:that|which)\s+(?:best\b|correctly\b|most\b|fits\b|works\b|matches\b|satisfies\b|answers\b|agrees\b)[^.\n:?!]{0,80}?\s(?:is|are)\b",
    re.IGNORECASE,
)
"""As in "option that best fits the data is"."""
_ANSWER_QUALIFIER = lazy_pattern(
    r"\b(?:correct|right|best|final|my|our|closest|likely|appropriate|accurate|suitable|answer|only|chosen|valid|nearest|remaining|true|matching|selected|suited)[\s*_]*$",
    re.IGNORECASE,
)
_OTHER_QUALIFIER = lazy_pattern(
    r"\b(?:first|second|third|another|other|each|every|next|last|which|incorrect|wrong|worst)\s*$",
    re.IGNORECASE,
)
_COLON = lazy_pattern(r"s?\s*[*_]*:(?![*_\s]*[(]?[A-Z][)*_.]*\s*$)")
"""A colon after "option", as in a list of options, except before a letter that ends the reply."""
_INTRODUCES_OPTION = lazy_pattern(
    r"(?:\b(?:is|are|was|to|with|by|as|of|only|that\s+is|i\.e\.,?|namely|hence|therefore|thus|so|conclude|giving|matches|selects?|matching|leaves|leaving|corresponds?\s+to|points?\s+to|favou?rs?|supports?|in|pick|choose|select)\s*(?:the\s+)?(?:answer\s+)?|[(（]\s*|^\s*|[.:,;]\s+(?:answer\s+)?)[*_]*$",
    re.IGNORECASE,
)


def _read_noun(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the correct option is C", "Final choice: C", "B is the right option", "(option D)."."""
    end = begin + len(word)
    context = text[max(0, begin - MAX_CONTEXT_CHARS) : begin]
    if (extent := json_value_extent(text, begin, end)) is not None:
        value_begin, _ = extent
        return read_cue(
            text, begin, value_begin, is_strong=True, allow_unmarked=True, allow_run=True, form="json"
        )
    if not is_word_start(text, begin):
        return None
    if (called_correct := letters_called_correct(text, begin, end)) is not None:
        return called_correct
    left_context = context[-30:]
    means_answer = _ANSWER_QUALIFIER.search(left_context) or not (
        word in ("response", "selection") or _OTHER_QUALIFIER.search(left_context) or _COLON.match(text, end)
    )
    if text[end : end + 1] == "s" and (
        not _ANSWER_QUALIFIER.search(left_context) or re.search(r"remaining\s+$", left_context)
    ):
        return None  # "the options are ...", "the remaining options are ..."
    link = _NOUN_LINK.match(text, end, end + MAX_CUE_CHARS)
    if link is None and _ANSWER_QUALIFIER.search(left_context):
        link = _LINK_WITH_MODIFIER.match(text, end, end + MAX_CUE_CHARS)
    if link is None and word in ("option", "choice", "statement"):
        link = _LINK_WITH_CLAUSE.match(text, end, end + MAX_CUE_CHARS)
    if means_answer and link is not None:
        reading = read_cue(text, begin, link.end(), is_strong=True, allow_unmarked=True, allow_run=True)
        if text[end : end + 1] != "s" or (reading and len(reading[0]) > 1):
            return reading
        return read_letter_list(text, begin, link)
    if word == "statement" and (false_statement := read_false_statement(text, begin, word)) is not None:
        return false_statement
    if word in ("option", "choice", "statement") and not _OTHER_QUALIFIER.search(context):
        return (
            _read_named_option(text, begin, end, context)
            or non_english.read_option_in_other_language(text, begin, word)
            or option_ordinals.read_numbered_option(text, begin)
        )
    return None


_REMAINS = lazy_pattern(
    r"[*_`\"'”)\]]{0,4}\s+(?:alone\s+)?(?:remains?|survives?|works?|fits|matches|holds|applies|qualif(?:y|ies)|satisf(?:y|ies)|is\s+(?:left|the\s+one|true|consistent|supported|possible))\b",
    re.IGNORECASE,
)


_HAS_PROPERTY = lazy_pattern(
    r"[*_`\"'”)\]]{0,4}\s+(?:has|gives|shows|contains|meets|fulfill?s|agrees|describes|explains|can\s+be)\s(?!been\b|no\b)(?:(?!\b(?:so|but|not|cannot|ruled|excluded|eliminated)\b|n['’]t)[^.;\n]){1,120}[.*_]*\s*$",
    re.IGNORECASE,
)
"""As in "only B has two shaded corners.", at the end of a reply."""


def _remains_or_fits(text: str, end: int) -> bool:
    """Return whether the verb after "only B" makes B the answer."""
    return bool(_REMAINS.match(text, end) or _HAS_PROPERTY.match(text, end))


def _read_named_option(text: str, begin: int, end: int, context: str) -> CueReading | None:
    """Read weak statements: "corresponds to option C." and "(option D).", which end a sentence, and "only option F survives"."""
    letters, letters_begin, letters_end = parse_letters(text, end, end + 60, allow_unmarked=True)
    if not letters or (not text[end : end + 1].isspace() and text[end : end + 1] not in "*_`("):
        return None
    marks_end = letters_end
    while marks_end < len(text) and text[marks_end] in "*_`\"'”)]）】":
        marks_end += 1
    is_only = re.search(r"\bonly\s+[*_]*$", context, re.IGNORECASE) and _remains_or_fits(text, letters_end)
    if not is_only and not (_INTRODUCES_OPTION.search(context) and CLAUSE_END.match(text, marks_end)):
        return None
    mood = statement_mood.mood(text, begin, letters_end)
    return letters, Statement("cue", letters_begin, letters_end, mood), False


# --- "option B is correct", "(B) is the best answer" --------------------------------------------------------

_LINE_START = lazy_pattern(r"(?:^|\n)[\s*_#>-]*(?:(?:the|all)\s+)*$", re.IGNORECASE)
_LIST_HEADING = lazy_pattern(
    r"(?:\s+(?:options?|choices?|statements?|letters?|ones?))?\s*[*_]*\s*:[*_]*", re.IGNORECASE
)


def _read_called_correct(text: str, begin: int, word: str) -> CueReading | None:
    """Read "(B) is correct", "Correct: A, C"."""
    if not is_word_start(text, begin):
        return None
    if word == "best" and (described := read_best(text, begin, word)) is not None:
        return described
    if word == "answer" and (intended := read_answer_verb(text, begin, word)) is not None:
        return intended
    if word in ("correct", "right") and _LINE_START.search(text, max(0, begin - 24), begin):
        heading = _LIST_HEADING.match(text, begin + len(word), begin + len(word) + 40)
        if heading is not None:
            return read_cue(text, begin, heading.end(), is_strong=True, allow_unmarked=True, allow_run=True)
    return letters_called_correct(text, begin, begin + len(word))


# --- "I choose C", "go with C", "so C.", "only C works" -----------------------------------------------------


_IS_TRUE = lazy_pattern(
    r"[*_)]{0,3}\s+(?:is|must\s+be)\s+(?:the\s+)?(?:only\s+)?(?:true|correct|right|valid)\b", re.IGNORECASE
)


def _read_statement_in(text: str, begin: int, word: str) -> CueReading | None:
    """Read "the statement in C is the true one"."""
    if not is_word_start(text, begin):
        return None
    letters, letters_begin, letters_end = parse_letters(
        text, begin + len(word), begin + 40, allow_unmarked=True
    )
    if len(letters) != 1 or not text[letters_begin].isupper() or not _IS_TRUE.match(text, letters_end):
        return None
    mood = statement_mood.mood(text, begin, begin)
    return letters, Statement("cue", letters_begin, letters_end, mood), False


_SINGLE_LETTER = lazy_pattern(r"[*_(\"'`]{0,3}(?P<letter>[A-Z])(?=[*_)\"'`]{0,3}\s)")
_AFTER_ONLY = lazy_pattern(r"\s+(?:option\s+|choice\s+|statement\s+)?", re.IGNORECASE)
_SUBJECT_LETTER = lazy_pattern(
    r"(?:^|[.;:,\n]\s*|\b(?:so|thus|hence|therefore|only|option|choice|answer|statement)\s+)[*_(\[]*(?P<letter>[A-Z])[)\]*_]*\s+$",
    re.IGNORECASE,
)
_LETTER_IS_THE = lazy_pattern(
    rf"(?:^|[^A-Za-z0-9])(?P<letter>[A-Z])[)\]*_]*{GLOSS}\s+is\s+(?:therefore\s+|thus\s+|clearly\s+)?the\s+$"
)
_AFTER_FITS = lazy_pattern(
    r"(?:\s+(?:(?:the\s+)?best|better|perfectly|instead|all\b[^.\n]{0,60}|the\s+[^.\n]{3,60}))?\s*[*_]*(?:[.!;]|,?\s+(?:while|whereas)\b|\n|$)",
    re.IGNORECASE,
)
_EXCLUDED = lazy_pattern(
    r"\s+(?:that|which|we|you|i)\s+(?:can|could|may|must|is|has)\s+(?:safely\s+|clearly\s+)?(?:be\s+)?(?:ruled|excluded|eliminated|rejected|discarded|exclude|eliminate|rule|reject|discard)",
    re.IGNORECASE,
)
_OPTION_NOUN = lazy_pattern(
    r"\s+(?:one|option|choice|answer|statement|candidate|possibility)\b", re.IGNORECASE
)


def _read_subject_that_fits(
    text: str, begin: int, word: str, *, has_object: bool = False
) -> CueReading | None:
    """Read "Option C fits best."; `has_object`: the verb has an object such as "all the criteria"."""
    subject = _SUBJECT_LETTER.search(text, max(0, begin - 24), begin)
    if subject is None or not (has_object or _AFTER_FITS.match(text, begin + len(word), begin + 100)):
        return None
    letter_begin = subject.start("letter")
    if not text[letter_begin].isupper() or (
        text[letter_begin] in "AI" and not re.search("option|choice|[(*]", subject[0], re.IGNORECASE)
    ):
        return None
    return letter_at(text, letter_begin, is_strong=False)


_CRITERIA = lazy_pattern(
    r"\s+(?:all\s+(?:of\s+)?)?(?:the|this|these|our|both|every|each|given|stated)\s+(?:\w+\s+){0,3}?(?:descriptions?|criteri(?:a|on)|conditions?|requirements?|question|evidence|data|observations?|facts?|results?|calculation|derivation|constraints?|findings?|value|stem|properties)\b[^.,;\n]{0,30}[*_]*(?:[.!]|\n|$)",
    re.IGNORECASE,
)


def _read_matches(text: str, begin: int, word: str) -> CueReading | None:
    """Read "which matches C." and "Option C matches the description exactly."."""
    if _CRITERIA.match(text, begin + len(word), begin + 160) and (
        reading := _read_subject_that_fits(text, begin, word, has_object=True)
    ):
        return reading
    return _read_after_matches(text, begin, word) if word == "matches" else None


_read_after_matches = after_link(r"(?!\s*\n)", is_strong=False)


def _read_only(text: str, begin: int, word: str) -> CueReading | None:
    """Read "only C works", "C is the only one that ..."."""
    if not is_word_start(text, begin):
        return None
    subject = _LETTER_IS_THE.search(text, max(0, begin - 100), begin)
    noun = _OPTION_NOUN.match(text, begin + len(word)) if subject else None
    if subject and noun and not _EXCLUDED.match(text, noun.end(), noun.end() + 60):
        return letter_at(text, subject.start("letter"), is_strong=False)
    link = _AFTER_ONLY.match(text, begin + len(word))
    if link is None:
        return None
    letters, letters_begin, letters_end = parse_letters(
        text, link.end(), link.end() + 40, allow_unmarked=True
    )
    if not letters and (lone := _SINGLE_LETTER.match(text, link.end())):
        letters, letters_begin, letters_end = lone["letter"], lone.start("letter"), lone.end("letter")
    if not letters or not text[letters_begin].isupper():
        return None
    if not _remains_or_fits(text, letters_end) and not CLAUSE_END.match(text, letters_end):
        return None
    mood = statement_mood.mood(text, begin, letters_end)
    return letters, Statement("cue", letters_begin, letters_end, mood), False


# --- the only tick in a list ---------------------------------------------------------------------------------

TICKS = ("✓", "✔", "✅", "☑", "[x]")
_TICK_LINE = lazy_pattern(
    r"[\s*_>|-]*(?:(?:[Oo]ption|[Cc]hoice)\s+)?[(\[]?(?P<letter>[A-Z])[)\]]?[*_\s]*(?:[.:)|、—–-][^\n]*)?$"
)
_TICKED_LETTER = lazy_pattern(r"(?<![A-Za-z0-9])[(\[*_]*(?P<letter>[A-Z])[)\]*_.:]*\s*$")
"""As in "A ✗, B ✗ → C ✓"."""
_MAX_TICKS = 50
"""Maximum number of ticks of one kind that are examined."""


def _read_ticked_option(text: str, tick_position: int, word: str) -> CueReading | None:
    """Read the option on the only line that has a tick, or beside the only tick of the reply."""
    line_begin = text.rfind("\n", 0, tick_position) + 1
    label = _TICK_LINE.match(text, line_begin, tick_position)
    ticks = [position for sign in TICKS for position in _find_ticks(text, sign)]
    if (
        label is None
        and len(ticks) == 1
        and text.count(text[tick_position]) == 1
        and any(cross in text[line_begin:tick_position] for cross in "✗✘❌")
    ):
        label = _TICKED_LETTER.search(text, max(line_begin, tick_position - 12), tick_position)
    elif label is None:
        ends_line = not text[tick_position + 1 : text.find("\n", tick_position)].strip()
        if len(ticks) != 1 or (ends_line and text[line_begin:tick_position].strip()):
            return None
        return read_cue(text, tick_position, tick_position + len(word), is_strong=False, allow_unmarked=True)
    if label is None or len({text.rfind("\n", 0, i) for i in ticks}) > 1:
        return None
    return label["letter"], Statement("mark", *label.span("letter")), False


def _find_ticks(text: str, sign: str) -> list[int]:
    """Return the positions of the first `_MAX_TICKS` ticks; a regex would take several times as long."""
    positions: list[int] = []
    position = text.find(sign)
    while position >= 0 and len(positions) < _MAX_TICKS:
        positions.append(position)
        position = text.find(sign, position + 1)
    return positions


_CUES_ANYWHERE: dict[str, OptionCueReader] = {
    **dict.fromkeys(("choice", "option", "letter", "statement", "response", "selection"), _read_noun),
    **dict.fromkeys(
        ("correct", "right", "best", "better", "appropriate", "accurate", "suitable", "plausible", "answer"),
        _read_called_correct,
    ),
    **dict.fromkeys(
        ("choose", "select", "pick"),
        after_link(r"(?:\s+(?:would|will|must|has\s+to)(?=\s+be\b))?", is_strong=True),
    ),
    "go": after_link(r"\s+(?:with|for)\b", is_strong=True),
    "opt": after_link(r"\s+for\b", is_strong=True),
    **CORRECTIONS,
    **non_english.CUES,
    "</": read_closing_tag,
}
_CUES_AT_ENDS: dict[str, OptionCueReader] = {
    **CONCLUSIONS,
    **option_ordinals.CUES,
    "that": after_link(r"\s+(?:is|must\s+be|should\s+be|has\s+to\s+be)\b", is_strong=False),
    **dict.fromkeys(("it's", "it’s", "so", "therefore", "thus", "hence"), after_link(r"", is_strong=False)),
    **dict.fromkeys(
        ("definitely", "probably", "certainly", "clearly", "likely", "surely", "obviously", "undoubtedly"),
        after_link(r"(?!\s+answer\b)", is_strong=False),
    ),
    **dict.fromkeys(
        ("conclusion", "summary", "short", "accordingly", "consequently", "finally", "ergo"),
        after_link(r"\s*[,:]|(?<=\bergo)", is_strong=False),
    ),
    **dict.fromkeys(
        ("giving", "leaving", "leaves"),
        after_link(r"(?:\s+(?:us|only|just|behind|with))*", is_strong=False),
    ),
    **dict.fromkeys(("lean", "leaning"), after_link(r"(?:\s+(?:towards?|to)\b)?", is_strong=False)),
    **dict.fromkeys(
        ("say", "guess", "bet", "vote", "conclude"),
        after_link(r"(?:\s+(?:is|would\s+be|that\s+it\s+is|for|on|it['’]s|goes\s+to))?", is_strong=False),
    ),
    **dict.fromkeys(
        ("stick", "settle", "going", "lock", "locking"),
        after_link(r"\s+(?:with|on|for|in)\b", is_strong=False),
    ),
    "corresponds": after_link(r"\s+to\b", is_strong=False),
    "boils": after_link(r"\s+down\s+to\b", is_strong=False),
    "commit": after_link(r"\s+to\b", is_strong=False),
    "arrive": after_link(r"\s+at\b", is_strong=False),
    "end": after_link(r"\s+up\s+with\b", is_strong=False),
    "in": _read_statement_in,
    "left": after_link(r"\s+with\b", is_strong=False),
    **dict.fromkeys(("gotta", "must", "has"), after_link(r"\s+(?:to\s+)?be\b", is_strong=False)),
    **dict.fromkeys(("matches", "satisfies", "meets"), _read_matches),
    **dict.fromkeys(("fits", "works", "remains", "survives", "qualifies", "holds"), _read_subject_that_fits),
    "only": _read_only,
    **dict.fromkeys(TICKS, _read_ticked_option),
}


def _make_cue(word: str, reader: OptionCueReader, *, only_at_ends: bool) -> Cue:
    return Cue(word, lambda text, begin: reader(text, begin, word), only_at_ends=only_at_ends)


CUES = Cues(
    _make_cue(word, reader, only_at_ends=readers is _CUES_AT_ENDS)
    for readers in (_CUES_ANYWHERE, _CUES_AT_ENDS)
    for word, reader in readers.items()
)
