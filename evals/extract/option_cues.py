"""The words by which replies name an option, with a reader for each."""

from __future__ import annotations

import re
from collections.abc import Callable

from evals.extract import option_cues_foreign as foreign
from evals.extract import statement_mood
from evals.extract.languages import FOREIGN_OPTIONS
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_cue import MAX_CONTEXT_CHARS, MAX_CUE_CHARS, CueResult, is_word_start, read_cue
from evals.extract.option_letters import FULL_STOP, parse_letters
from evals.extract.option_praise import letters_before_praise
from evals.extract.statements import Cue, Cues, Statement, json_field

# --- "the correct option is C", "Final choice: C" -----------------------------------------------------------

_NOUN_LINK = lazy_pattern(
    r"s?(?:\s+(?:letter|here|from|among|for|to)\b[^.\n:?!]{0,60}?)??(?:[*_\"'’”`)\]\s]{0,6}(?:[:：=]|->|→|—|–|\s-\s)"
    r"|\s+(?:is|are|was|will\s+be|would\s+be|must\s+be|should\s+be|(?:has|would\s+have|ought)\s+to\s+be|(?:can|could)\s+only\s+be|(?:seems|appears)\s+to\s+be|remains|becomes)\b(?:\s+not\s+\S{1,4}\s*,?\s+but\b)?)",
    re.IGNORECASE,
)
_LONG_LINK = lazy_pattern(
    r"s?\s+(?:that|which|consistent|compatible|matching|satisfying|supported|left|remaining|with|in)\b[^.\n:?!]{0,80}?\s(?:is|are)\b",
    re.IGNORECASE,
)
_PRAISED = lazy_pattern(
    r"\b(?:correct|right|best|final|my|our|closest|likely|appropriate|accurate|suitable|answer|only|chosen|valid|nearest|remaining|true|matching|selected|suited)[\s*_]*$",
    re.IGNORECASE,
)
_UNPRAISED = lazy_pattern(
    r"\b(?:first|second|third|another|other|each|every|next|last|which|incorrect|wrong|worst)\s*$",
    re.IGNORECASE,
)
_COLON = lazy_pattern(r"s?\s*[*_]*:")
_POINTS = lazy_pattern(
    r"(?:\b(?:is|are|to|with|by|as|of|only|that\s+is|i\.e\.,?|namely|hence|therefore|thus|so|conclude|giving|matches|selects?|leaves|leaving|corresponds?\s+to|points?\s+to|favou?rs|supports?|in|pick|choose|select)\s*(?:the\s+)?(?:answer\s+)?|[(（]\s*|^\s*|[.:,;]\s+)[*_]*$",
    re.IGNORECASE,
)


def _read_noun(text: str, at: int, word: str) -> CueResult:
    end = at + len(word)
    left = text[max(0, at - MAX_CONTEXT_CHARS) : at]
    if (field := json_field(text, at, end)) is not None:
        return read_cue(text, at, field[0], strong=True, firm=True, run=True, form="json")
    if not is_word_start(text, at):
        return None
    if (before := letters_before_praise(text, at, end)) is not None:
        return before
    near = left[-30:]
    is_meant = _PRAISED.search(near) or not (_UNPRAISED.search(near) or _COLON.match(text, end))
    if text[end : end + 1] == "s" and not _PRAISED.search(near):
        return None  # "the options are ..."
    link = _NOUN_LINK.match(text, end, min(len(text), end + MAX_CUE_CHARS))
    if link is None and _PRAISED.search(near):
        link = _LONG_LINK.match(text, end, min(len(text), end + MAX_CUE_CHARS))
    if is_meant and link is not None:
        stated = read_cue(text, at, link.end(), strong=True, firm=True, run=True)
        return None if stated and text[end : end + 1] == "s" and len(stated[0]) < 2 else stated
    if word in ("option", "choice", "statement") and not _UNPRAISED.search(left):
        return _read_named_option(text, at, end, left) or foreign.read_foreign_option(text, at, word)
    return None


_SURVIVES = lazy_pattern(
    r"[*_`\"'”)\]]{0,4}\s+(?:alone\s+)?(?:remains?|survives?|works?|fits|matches|holds|applies|qualif(?:y|ies)|satisf(?:y|ies)|is\s+(?:left|the\s+one|true|consistent|supported|possible))\b",
    re.IGNORECASE,
)


def _read_named_option(text: str, at: int, end: int, left: str) -> CueResult:
    """Read "corresponds to option C.", "(option D)", "only option F survives": weak, and only at a sentence's end."""
    letters, first, last = parse_letters(text, end, min(len(text), end + 60), strong=True)
    if not letters or (not text[end : end + 1].isspace() and text[end : end + 1] not in "*_`("):
        return None
    close = last
    while close < len(text) and text[close] in "*_`\"'”)]）】":
        close += 1
    if re.search(r"\bonly\s+[*_]*$", left, re.IGNORECASE) and _SURVIVES.match(text, last):
        pass
    elif not (_POINTS.search(left) and FULL_STOP.match(text, close)):
        return None
    return letters, Statement("cue", first, last, statement_mood.mood(text, at, last)), False


# --- "option B is correct", "(B) is the best answer" --------------------------------------------------------

_HEADS_LIST = lazy_pattern(r"(?:^|\n)[\s*_#>-]*(?:(?:the|all)\s+)*$", re.IGNORECASE)
_LISTED = lazy_pattern(
    r"(?:\s+(?:options?|choices?|statements?|letters?|ones?))?\s*[*_]*\s*:[*_]*", re.IGNORECASE
)


def _read_praise(text: str, at: int, word: str) -> CueResult:
    """Read "(B) is correct", "Correct: A, C"."""
    if not is_word_start(text, at):
        return None
    if word in ("correct", "right") and _HEADS_LIST.search(text, max(0, at - 24), at):
        heading = _LISTED.match(text, at + len(word), at + len(word) + 40)
        if heading is not None:
            return read_cue(text, at, heading.end(), strong=True, firm=True, run=True)
    return letters_before_praise(text, at, at + len(word))


# --- "I choose C", "go with C", "so C.", "only C works" -----------------------------------------------------


def _verb_reader(pattern: str, *, strong: bool) -> Callable[[str, int, str], CueResult]:
    """Return a reader of the text after a verb of choosing."""
    behind = lazy_pattern(pattern, re.IGNORECASE)

    def reads(text: str, at: int, word: str) -> CueResult:
        if not is_word_start(text, at):
            return None
        link = behind.match(text, at + len(word), at + len(word) + 60)
        return read_cue(text, at, link.end(), strong=strong, firm=False, chosen=strong) if link else None

    return reads


_TRUE_ONE = lazy_pattern(
    r"[*_)]{0,3}\s+(?:is|must\s+be)\s+(?:the\s+)?(?:only\s+)?(?:true|correct|right|valid)\b", re.IGNORECASE
)


def _read_in_letter(text: str, at: int, word: str) -> CueResult:
    """Read "the statement in C is the true one"."""
    if not is_word_start(text, at):
        return None
    letters, first, last = parse_letters(text, at + 2, min(len(text), at + 40), strong=True)
    if len(letters) != 1 or not text[first].isupper() or not _TRUE_ONE.match(text, last):
        return None
    return letters, Statement("cue", first, last, statement_mood.mood(text, at, at)), False


_LONE = lazy_pattern(r"[*_(\"'`]{0,3}(?P<letter>[A-Z])(?=[*_)\"'`]{0,3}\s)")
_ONLY = lazy_pattern(r"\s+(?:option\s+|choice\s+|statement\s+)?", re.IGNORECASE)


_ONE_BEFORE = lazy_pattern(
    r"(?:^|[.;:,\n]\s*|\b(?:so|thus|hence|therefore|only|option|choice|answer|statement)\s+)[*_(\[]*(?P<letter>[A-Z])[)\]*_]*\s+$",
    re.IGNORECASE,
)
_IS_THE = lazy_pattern(
    r"(?:^|[^A-Za-z0-9])(?P<letter>[A-Z])[)\]*_]*\s+is\s+(?:therefore\s+|thus\s+|clearly\s+)?the\s+$"
)
_BEST = lazy_pattern(
    r"\s+(?:(?:the\s+)?best|better|perfectly|all\b[^.\n]{0,60}|the\s+[^.\n]{3,60})?\s*[*_]*(?:[.!]|\n|$)",
    re.IGNORECASE,
)
_ONE = lazy_pattern(r"\s+(?:one|option|choice|answer|statement|candidate|possibility)\b", re.IGNORECASE)


def _read_fit(text: str, at: int, word: str, *, asked: bool = False) -> CueResult:
    """Read "Option C fits best."."""
    before = _ONE_BEFORE.search(text, max(0, at - 24), at)
    if before is None or not (asked or _BEST.match(text, at + len(word), at + 100)):
        return None
    first = before.start("letter")
    if not text[first].isupper() or (
        text[first] in "AI" and not re.search("option|choice|[(*]", before[0], re.IGNORECASE)
    ):
        return None
    return text[first], Statement("cue", first, first + 1, statement_mood.mood(text, first, first)), False


_WHAT_IS_ASKED = lazy_pattern(
    r"\s+(?:all\s+(?:of\s+)?)?(?:the|this|these|our|both|every|each|given|stated)\s+(?:\w+\s+){0,3}?(?:descriptions?|criteri(?:a|on)|conditions?|requirements?|question|evidence|data|observations?|facts?|results?|calculation|derivation|constraints?|findings?|value|stem|properties)\b[^.,;\n]{0,30}[*_]*(?:[.!]|\n|$)",
    re.IGNORECASE,
)


def _read_match(text: str, at: int, word: str) -> CueResult:
    """Read "which matches C." and "Option C matches the description exactly."."""
    if _WHAT_IS_ASKED.match(text, at + len(word), at + 160) and (
        fitting := _read_fit(text, at, word, asked=True)
    ):
        return fitting
    return _MATCHES(text, at, word) if word == "matches" else None


_MATCHES = _verb_reader(r"", strong=False)


def _read_only(text: str, at: int, word: str) -> CueResult:
    """Read "only C works", "C is the only one that ..."."""
    if not is_word_start(text, at):
        return None
    before = _IS_THE.search(text, max(0, at - 40), at)
    if before is not None and _ONE.match(text, at + len(word)):
        first = before.start("letter")
        return (
            before["letter"],
            Statement("cue", first, first + 1, statement_mood.mood(text, first, first)),
            False,
        )
    link = _ONLY.match(text, at + 4)
    if link is None:
        return None
    letters, first, last = parse_letters(text, link.end(), min(len(text), link.end() + 40), strong=True)
    if not letters and (lone := _LONE.match(text, link.end())):
        letters, first, last = lone["letter"], lone.start("letter"), lone.end("letter")
    if not letters or not text[first].isupper():
        return None
    if not _SURVIVES.match(text, last) and not FULL_STOP.match(text, last):
        return None
    return letters, Statement("cue", first, last, statement_mood.mood(text, at, last)), False


_CORRECTION = lazy_pattern(
    r"[\s,:;.!—–-]{1,6}(?:(?:no|wait|it['’]s|it\s+is|i\s+mean|the\s+answer\s+is|should\s+be|it\s+should\s+be)[\s,:;]{1,3}){0,3}",
    re.IGNORECASE,
)


def _read_correction(text: str, at: int, word: str) -> CueResult:
    """Read "Wait, no, C.", "Actually C."."""
    if not is_word_start(text, at) or not at:
        return None
    link = _CORRECTION.match(text, at + len(word), at + len(word) + 40)
    if link is None:
        return None
    letters, first, last = parse_letters(text, link.end(), min(len(text), link.end() + 60), strong=False)
    if not letters:
        return None
    return letters, Statement("correction", first, last, statement_mood.mood(text, first, last)), True


# --- tags of other names ---------------------------------------------------------------------------------

_TAG_NAME = lazy_pattern(
    r"\s*(?:final|choice|option|final[_-]?(?:choice|option|answer)|selection|selected|letter|result|output|solution|response|prediction)\s*>",
    re.IGNORECASE,
)
_WIDEST_TAG = 60
_TAGGED_LETTERS = lazy_pattern(
    r">(?P<letters>\s*[*_(\[]*(?:[A-Z]|[A-J](?:(?:[\s)\]*_]|[,;/&]|\band\b){0,6}[\s(\[*_]{0,4}[A-J]){1,9}))[)\]*_.]*\s*$"
)
"""One letter, or a list of several of the first ten, for questions with several right options."""


def _read_closing_tag(text: str, at: int, word: str) -> CueResult:
    """Read `<final>C</final>` and `<choice>A, C</choice>`."""
    if not _TAG_NAME.match(text, at + 2, at + 30):
        return None
    begin = text.rfind(">", max(0, at - _WIDEST_TAG), at)
    tagged = _TAGGED_LETTERS.match(text, begin, at) if begin >= 0 else None
    if tagged is None:
        return None
    letters = "".join(character for character in tagged["letters"] if character.isupper())
    return letters, Statement("tag", *tagged.span("letters")), True


# --- the one tick in a list ---------------------------------------------------------------------------------

TICKS = ("✓", "✔", "✅", "☑", "[x]")
_TICK_LINE = lazy_pattern(r"[\s*_>|-]*[(\[]?(?P<letter>[A-Z])[)\]]?[*_\s]*[.:)|、—–-][^\n]*$")


_TICKED = lazy_pattern(r"(?<![A-Za-z0-9])[(\[*_]*(?P<letter>[A-Z])[)\]*_.:]*\s*$")
"""As in "A ✗, B ✗ → C ✓"."""


def _read_tick(text: str, at: int, word: str) -> CueResult:
    """Read the option whose line has the reply's only tick."""
    begin = text.rfind("\n", 0, at) + 1
    line = _TICK_LINE.match(text, begin, at)
    ticks = [i for mark in TICKS for i in _positions(text, mark)]
    if (
        line is None
        and len(ticks) == 1
        and text.count(text[at]) == 1
        and any(cross in text[begin:at] for cross in "✗✘❌")
    ):
        line = _TICKED.search(text, max(begin, at - 12), at)
    elif line is None:
        return read_cue(text, at, at + len(word), strong=False, firm=True) if len(ticks) == 1 else None
    if line is None or len({text.rfind("\n", 0, i) for i in ticks}) > 1:
        return None
    first = line.start("letter")
    return line["letter"], Statement("mark", first, first + 1), False


def _positions(text: str, mark: str) -> list[int]:
    positions: list[int] = []
    at = text.find(mark)
    while at >= 0 and len(positions) < 50:
        positions.append(at)
        at = text.find(mark, at + 1)
    return positions


_STRONG: dict[str, Callable[[str, int, str], CueResult]] = {
    **dict.fromkeys(("choice", "option", "letter", "statement"), _read_noun),
    **dict.fromkeys(
        ("correct", "right", "best", "appropriate", "accurate", "suitable", "plausible", "answer"),
        _read_praise,
    ),
    **dict.fromkeys(
        ("choose", "select", "pick"),
        _verb_reader(r"(?:\s+(?:would|will|must|has\s+to)(?=\s+be\b))?", strong=True),
    ),
    "go": _verb_reader(r"\s+(?:with|for)\b", strong=True),
    "opt": _verb_reader(r"\s+for\b", strong=True),
    **dict.fromkeys(("wait", "actually", "correction", "rather", "sorry"), _read_correction),
    "选": foreign.read_chosen,
    "正确": foreign.read_right,
    "符合": foreign.read_suits,
    **dict.fromkeys(("应为", "应该", "不对"), foreign.read_should),
    **dict.fromkeys(FOREIGN_OPTIONS, foreign.read_foreign_option),
    "</": _read_closing_tag,
    **dict.fromkeys(("只有", "唯有", "仅有"), foreign.read_only),
}
_WEAK: dict[str, Callable[[str, int, str], CueResult]] = {
    **dict.fromkeys(
        ("it", "that"), _verb_reader(r"\s+(?:is|must\s+be|should\s+be|has\s+to\s+be)\b", strong=False)
    ),
    **dict.fromkeys(("it's", "it’s", "so", "therefore", "thus", "hence"), _verb_reader(r"", strong=False)),
    **dict.fromkeys(
        ("definitely", "probably", "certainly", "clearly", "likely", "surely", "obviously"),
        _verb_reader(r"", strong=False),
    ),
    **dict.fromkeys(("conclusion", "summary", "short"), _verb_reader(r"\s*[,:]", strong=False)),
    **dict.fromkeys(
        ("giving", "leaving", "leaves"), _verb_reader(r"(?:\s+(?:us|only|just|behind|with))*", strong=False)
    ),
    **dict.fromkeys(("lean", "leaning"), _verb_reader(r"\s+(?:towards?|to)\b", strong=False)),
    **dict.fromkeys(
        ("say", "guess", "bet", "vote", "conclude"),
        _verb_reader(r"(?:\s+(?:is|would\s+be|that\s+it\s+is|for|on|it['’]s))?", strong=False),
    ),
    **dict.fromkeys(("stick", "settle", "going"), _verb_reader(r"\s+(?:with|on|for)\b", strong=False)),
    **dict.fromkeys(("corresponds", "closest"), _verb_reader(r"\s+to\b", strong=False)),
    "in": _read_in_letter,
    "left": _verb_reader(r"\s+with\b", strong=False),
    **dict.fromkeys(("gotta", "must"), _verb_reader(r"\s+be\b", strong=False)),
    **dict.fromkeys(("matches", "satisfies", "meets"), _read_match),
    **dict.fromkeys(("fits", "works", "remains", "survives", "qualifies", "holds"), _read_fit),
    "only": _read_only,
    **dict.fromkeys(TICKS, _read_tick),
}


def _make_cue(word: str, reads: Callable[[str, int, str], CueResult], *, weak: bool) -> Cue:
    return Cue(word, lambda text, at: reads(text, at, word), weak=weak)


CUES = Cues(
    _make_cue(word, reads, weak=readers is _WEAK)
    for readers in (_STRONG, _WEAK)
    for word, reads in readers.items()
)
