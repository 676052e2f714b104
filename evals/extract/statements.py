r"""Find the statements of a reply: boxes, tag pairs, JSON fields, answer lines, sentences such as "the answer is B".

A statement has a form, an extent (positions in the text) and a mood (`statement_mood.py`). Statements are yielded
lazily from the last to the first, because most replies need only their last lines; `reading.py` selects the final one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

from evals.extract import statement_mood
from evals.extract.languages import LANGUAGE_BY_NOUN, is_denied_or_conditional
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.statement_mood import Mood
from evals.extract.tags import boxes

Form: TypeAlias = Literal[
    "box", "tag", "json", "line", "sentence", "cue", "correction", "mark", "emphasis", "last line", "whole",
    "prose",
]  # fmt: skip
"""The form of a statement, from explicit (a box) to implicit (prose)."""
DELIMITED_FORMS: frozenset[Form] = frozenset(("box", "tag", "json"))
"""Forms whose end is marked, so that the statement is complete even at the end of a truncated reply."""
MAX_CHARS = 100_000
"""Maximum number of characters that are read, from the end of a reply."""
MAX_CUES = 300
"""Maximum number of cue words that are examined, from the end of a reply."""
MAX_STATEMENT_CHARS = 2_000
"""Maximum length of a statement in characters."""


class Statement(NamedTuple):
    """A part of a reply that states an answer, or that may be the answer if the reply states none."""

    form: Form
    begin: int
    end: int
    mood: Mood = "asserted"


CueReading: TypeAlias = tuple[Any, Statement, bool]
"""(answer, or None if the statement must still be parsed; statement; whether it is strong, see `reading.py`)."""

_TAG_LEFT = lazy_pattern(r"[<\[]\s*(?:(?:final|my|correct|the)[ _-]?)?$", re.IGNORECASE)
_TAG_RIGHT = lazy_pattern(r"s?(?:[ _-](?:choice|option|letter))?\s*[>\]]\s*:?", re.IGNORECASE)
_UNCLOSED_TAG = lazy_pattern(r"[\[<](?:answers?|ans)[\]>][^\[\]<>\n]{1,160}[\[<]$", re.IGNORECASE)
_TAG_CLOSE = lazy_pattern(
    r"[\[<]\s*/?\s*(?:(?:final|my|correct|the)[ _-]?)?(?:answers?|ans)\s*[\]>]", re.IGNORECASE
)
_JSON_LEFT = lazy_pattern(r"[\"'](?:[A-Za-z]{1,12}[_ ]){0,2}$")
_JSON_RIGHT = lazy_pattern(
    r"s?(?:[_ ][A-Za-z]{1,12}){0,2}[\"']\s*:\s*(?:\"(?P<string>(?:[^\"\\\n]|\\.){0,2000})\"|\[(?P<list>[^\[\]\n]{0,400})\]|(?P<bare>[^\s,{}\[\]\"][^,{}\n]{0,80}))",
    re.IGNORECASE,
)
_FORMATTING = r"[*_\"'’”`)\]】}~]{0,6}"
_VERB = (
    r"(?:['’]s(?=\s[*_(]{0,3}(?-i:[A-J])\b)|\s+(?:is|are|was|will\s+be|would\s+be|must\s+be|should\s+be|(?:has|would\s+have|ought|needs)\s+to\s+be|(?:can|could)\s+only\s+be|cannot\s+be\s+anything\s+but|lies\s+in|(?:seems|appears)\s+to\s+be|remains|becomes|equals|(?:comes|works)\s+out\s+(?:to|as)|turns\s+out\s+to\s+be)\b)"
    r"(?:\s+not\s+[^\s,]{1,12}\s*,?\s+but\b)?(?:\s+(?:therefore|thus|then|hence|simply|just|now|clearly|indeed|still|again|really|in\s+fact|actually|(?:most\s+|very\s+)?(?:likely|probably)|presumably|given\s+by|as\s+follows))?"
)
_SIGN = rf"{_FORMATTING}\s{{0,3}}(?P<mark>[:：]|={{1,2}}>|=|->|>>|\.\.\.|[→⇒⟹➜➔➡👉]\ufe0f?|\s[—–-]\s|—\s|——|\|){_FORMATTING}"
_LINK = rf"(?:{_SIGN}|(?P<verb>{_VERB})(?:{_FORMATTING}\s{{0,3}}(?P<colon>[:：]))?|(?P<line>{_FORMATTING}[^\S\n]*\n))"
"""The text between a noun such as "answer" and the answer itself."""
_ENGLISH_LINK = lazy_pattern(
    rf"s?(?:_[a-z]{{1,10}})?(?:\s?#?\d{{1,2}}(?=\s?[:：]))?(?:\s+(?:choice|option|letter|value|key))?(?:\s*[(\[][^()\[\]\n]{{0,40}}[)\]])?"
    rf"(?:\s+(?:to(?!\s[*_(]{{0,3}}(?-i:[A-J])\b)|for|of|in|among|from|here|that|which|we|with|you|you['’]re|i)\b[^.\n:?!]{{0,100}}?|,\s(?!(?:if|when|unless|provided|assuming|according|some|many|most|they|he|she|say)\b)[^.,\n:?!]{{1,40}},)??{_LINK}",
    re.IGNORECASE,
)
_ABBREVIATION_LINK = lazy_pattern(rf"s?[.)]?(?:{_LINK}|[^\S\n]+(?=\S)|(?=\([A-Z]\)))", re.IGNORECASE)
_CHINESE_LINK = lazy_pattern(
    r"(?:选项)?[」』】)）]{0,2}\s*(?:(?:应该|应当|应|就|只能|最终|故|可能|必定|肯定|显然|无疑|便|则|当)?\s*(?:不是[^,，。;；\n]{1,12}[,，]\s*而)?(?P<verb>是|即?为|即|选?填入?|选择?|等于)\s*(?P<colon>[:：])?|"
    + _SIGN
    + rf"|(?P<line>{_FORMATTING}[^\S\n]*\n)|(?<=】)(?P<tagged>)|(?=[*_(]{{0,3}}[A-J][*_)]{{0,3}}[.。]?\s*(?:\n|$))|[^\S\n]+(?=[*_(]{{0,3}}[A-Z\d]\w{{0,3}}[*_)]{{0,3}}[.。]?\s*(?:\n|$)))"
)
_EMPTY_LINK = lazy_pattern(r"(?P<mark>)")
"""The empty link after a cue word that ends in a colon, such as "result:"."""
_BARE_LINK = lazy_pattern(r"(?:[^\S\n]+(?:choice|option|letter))?[^\S\n]+(?=\S{1,40}[^\S\n]*(?:\n|$))")
"""As in "Answer B" on its own line."""
_DOTTED_LINK = lazy_pattern(r"[.,;][^\S\n]+(?=\S{1,12}[^\S\n]*(?:\n|$))")
"""As in "Answer. B"."""
_BRACKET_LINK = lazy_pattern(
    r"(?P<verb>\s+(?=[*_$]{0,3}\([A-Za-z\d]{1,5}\))|\s+of\s+(?=[*_$(\\]{0,4}\d))|(?=\([A-Z]\))"
)
"""As in "giving the answer (C)" and "an answer of 113"."""
_CLOSING_LINK = lazy_pattern(r"(?P<verb>\s+)(?=[*_$]{0,3}[A-Z][*_$]{0,3}\.?\s*$)")
"""As in "... translates it. Answer B." and "27/64 ⟹ answer D" at the end of a reply."""
_LINE_START = lazy_pattern(r"(?:^|\n)[\s*_#>-]*(?:(?:my|the|final|correct|best)\s+)*$", re.IGNORECASE)
_HEADING_START = lazy_pattern(
    r"(?:^|\n|[.!?;:,→⇒⟹]\s)[\s*_#>-]*(?:(?:my|the|final|correct|best)\s+)*$", re.IGNORECASE
)
_SENTENCE_END = lazy_pattern(
    r"\n|[.!?](?!\s(?:[=×·+/]|\\(?:cdot|times)\b))(?=[\s*_)\]\"'”’]|$)|[。；！？]|(?<=[\d$])[:：](?=\s[a-z])"
)
NEGATED_ANSWER = lazy_pattern(
    r"[*_]*(?:(?:definitely|certainly|clearly|probably|therefore|thus)\s+)?(?:not|never|neither)\s+(?:option\b|choice\b|[*_$(\[]{0,3}(?:\\|[-−]?\d|(?-i:[A-Z])(?![A-Za-z])))(?!\S{0,12},?\s+but\b)|[^\s.,。、]{1,12}?\s*(?:(?:이|가|은|는)?\s*아[니닙닌]|(?:では|じゃ)(?:な[いく]|ありません)|değil\b)",
    re.IGNORECASE,
)
_UNFINISHED_LINE = lazy_pattern(r"(?:\b(?:is|are|equals|be)|(?<=[\w$)])[=:：是为])[\s*_$]*$")
"""The end of a line that is continued by a displayed formula: "The sum $m+n$ equals"."""
_LEAST_LIKELY = lazy_pattern(r"\bleast\s+(?:likely|plausible|probable)\s+$", re.IGNORECASE)
_DISPLAY_DELIMITERS = {"$$": "$$", "\\[": "\\]", "```": "```", "\\begin{aligned}": "\\end{aligned}"}
LABELLED_LINE = lazy_pattern(
    r"\s*(?:(?P<mark>[-*•]|\d[.)])\s+)?[*_(\[-]*([A-Za-z])[*_]*(?:[.):\]]|(?(mark)\s*(?:\(|\n|$)|(?!)))"
)
HEADINGS = ("final:", "result:", "verdict:", "tl;dr:", "结果:")
"""Headings that introduce an answer; 结果 is "result"."""
_CORRECTIONS = ("actually, it's", "actually it's", "actually, it is", "actually it is")
_CORRECTION_LINK = lazy_pattern(r"(?P<verb>\s+)(?=[*_$\\(]{0,4}[-−]?\d)")
RESULT_NOUNS = ("final result", "final value")
"""Nouns for the result of a calculation."""
_BOX_TOKEN = "<|begin_of_box|>"  # noqa: S105
_GENERAL_CUE_WORDS = (
    "answer", *RESULT_NOUNS, "ans", "\\boxed", "\\fbox", _BOX_TOKEN, "答案", "答:", "correction:", *HEADINGS, "更正:",
    "故填", "应填", "选填", *_CORRECTIONS, *LANGUAGE_BY_NOUN,
)  # fmt: skip
"""Words that may introduce an answer of any kind; 答案 and 答 are "answer", 更正 is "correction", 故填 is "hence fill in"."""
_FORMULA_END = lazy_pattern(r"[$\n]")
INCOMPLETE_BOX = ("\\boxed", "\\fbox{")
"""Beginnings of boxes that the reply does not close or fill; a statement with this content is rejected."""
_BEFORE_ANSWER = lazy_pattern(r"(?:\b(?:is|are|be|equals)\b|[=:：是为])[\s$*\\(\[]*$", re.IGNORECASE)
"""Text directly before an answer, unlike that before the name of the command ("put it in \\boxed{}")."""
_WORDS_WITH_PLURAL = frozenset(("answer", "option", "choice", "letter", "statement"))
_GENERAL_CUES = frozenset(_GENERAL_CUE_WORDS)


class Cue(NamedTuple):
    """A word that may introduce an answer, and the function that reads its context."""

    word: str
    """In lower case."""
    read: Callable[[str, int], CueReading | None]
    """Called with the text and the position of the word."""
    only_at_ends: bool = False
    """Whether the word is searched for only near the start and the end of a reply."""


LATE_CHARS, EARLY_CHARS = 500, 200
"""Numbers of characters at the end and at the start of a reply that are searched for cues such as "so"."""
_END_STATEMENT_CHARS = 60
"""Maximum number of characters between the word of such a cue and the end of its statement."""


class _WordIndex(NamedTuple):
    letter_words: dict[str, str]
    """Singular or plural -> word, for words of lower-case ASCII letters."""
    symbols: tuple[str, ...]
    """All other words."""
    ascii_symbols: tuple[str, ...]
    """Those of `symbols` that consist of ASCII characters."""


_LETTER_RUN = re.compile("[a-z]+")
_NON_LETTERS_TO_BLANKS = str.maketrans({code: " " for code in range(128) if not chr(code).isalpha()})


def _letter_runs(lower: str) -> list[str]:
    return lower.translate(_NON_LETTERS_TO_BLANKS).split() if lower.isascii() else _LETTER_RUN.findall(lower)


@cache
def _index_words(words: tuple[str, ...]) -> _WordIndex:
    letter_words = {word: word for word in words if _LETTER_RUN.fullmatch(word)}
    symbols = tuple(word for word in words if word not in letter_words)
    plurals = {word + "s": word for word in letter_words if word in _WORDS_WITH_PLURAL}
    return _WordIndex(plurals | letter_words, symbols, tuple(filter(str.isascii, symbols)))


class Cues:
    """The cues of a kind of answer, indexed by their words."""

    def __init__(self, cues: Iterable[Cue] = ()) -> None:
        self.by_word = {cue.word: cue for cue in cues}
        words_anywhere = (cue.word for cue in self.by_word.values() if not cue.only_at_ends)
        anywhere = dict.fromkeys((*_GENERAL_CUE_WORDS, *words_anywhere))
        self.anywhere = _index_words(tuple(anywhere))
        self.all = _index_words(tuple(dict.fromkeys((*anywhere, *self.by_word))))


NO_CUES = Cues()


def statements_backwards(text: str, begin: int, end: int, cues: Cues) -> Iterator[CueReading]:
    """Yield the statements in a part of the text, the last one first, with the answers that cues have already parsed."""
    window, searched_from, word_count = LATE_CHARS + _END_STATEMENT_CHARS, end, 0
    early, late = begin + EARLY_CHARS, end - LATE_CHARS - _END_STATEMENT_CHARS
    while searched_from > begin and word_count < MAX_CUES:
        start = max(begin, end - window)
        words = cues.all if searched_from > late or start < early else cues.anywhere
        for position, word in reversed(_word_positions(text, start, searched_from, words)):
            cue = cues.by_word.get(word)
            if cue is not None and cue.only_at_ends and early <= position < late:
                continue
            word_count += 1
            if word_count > MAX_CUES:
                return
            if cue is not None and (cue_reading := cue.read(text, position)):
                yield cue_reading
            elif (
                word in _GENERAL_CUES and (parsed := _parse_statement(text, position, word, end)) is not None
            ):
                yield None, parsed, True
        searched_from, window = start, window * 8


def _word_positions(text: str, start: int, end: int, words: _WordIndex) -> list[tuple[int, str]]:
    """Return (position, word) of each cue word in a part of the text, in order of position."""
    searched = text[start : end + 16]
    lower = searched.lower()
    if len(lower) != len(searched):
        lower = searched.replace("İ", "I").lower()  # the only letter whose lower case is longer
    positions = []
    length_searched, find = end - start, lower.find
    present = {words.letter_words[run] for run in words.letter_words.keys() & _letter_runs(lower)}
    for word in (*present, *(words.ascii_symbols if lower.isascii() else words.symbols)):
        position = find(word)
        if position < 0:
            continue
        size, is_whole_word = len(word), word.isascii() and word[-1].isalpha()
        while 0 <= position < length_searched:
            after = lower[position + size : position + size + 1]
            if not (is_whole_word and "a" <= after <= "z") or (after == "s" and word in _WORDS_WITH_PLURAL):
                positions.append((start + position, word))
            position = find(word, position + size)
    positions.sort()
    return positions


def _parse_statement(text: str, begin: int, word: str, limit: int) -> Statement | None:
    """Return the statement that a word introduces; None if it introduces none."""
    if word[0] == "\\":
        return _parse_box(text, begin, limit)
    word_end = begin + len(word)
    if word == _BOX_TOKEN:
        close = text.find("<|end_of_box|>", word_end, word_end + MAX_STATEMENT_CHARS)
        return Statement("box", word_end, close if close >= 0 else min(limit, word_end + MAX_STATEMENT_CHARS))
    context = text[max(0, begin - 24) : begin]
    if word.isascii():
        if context[-1:].isalnum() or context[-1:] == "/":
            return None
        if (
            context[-1:] in "<[_ -"
            and _TAG_LEFT.search(context)
            and (tag := _TAG_RIGHT.match(text, word_end, limit))
        ):
            return _parse_tag(text, begin, tag.end(), limit)
        if (field := json_value_extent(text, begin, word_end, limit)) is not None:
            brace = text.rfind("{", max(0, begin - MAX_STATEMENT_CHARS), begin)
            mood = statement_mood.mood(text, brace if brace >= 0 else begin, field[1])
            return Statement("json", *field, mood)
    link = _match_link(text, word, begin, word_end, limit)
    if link is None or (word in LANGUAGE_BY_NOUN and is_denied_or_conditional(text, begin)):
        return None
    return statement_after_link(text, begin, link, limit)


def json_value_extent(text: str, begin: int, end: int, limit: int | None = None) -> tuple[int, int] | None:
    """Return the extent of the value of a JSON field whose name contains the word from `begin` to `end`."""
    if not _JSON_LEFT.search(text, max(0, begin - 24), begin):
        return None
    field = _JSON_RIGHT.match(text, end, len(text) if limit is None else limit)
    return None if field is None else field.span(str(field.lastgroup))


def _match_link(text: str, word: str, begin: int, end: int, limit: int) -> re.Match[str] | None:
    """Match the text between a cue word and the answer."""
    if word == "answer" or word in RESULT_NOUNS:
        link = _ENGLISH_LINK.match(text, end, min(limit, end + 320))
        if link is None and _LINE_START.search(text, max(0, begin - 24), begin):
            link = _BARE_LINK.match(text, end, limit) or _DOTTED_LINK.match(text, end, limit)
        link = link or _BRACKET_LINK.match(text, end, limit)
        if link is None and _HEADING_START.search(text, max(0, begin - 24), begin):
            link = _CLOSING_LINK.match(text, end, limit)
        return link
    if word == "ans":
        return _ABBREVIATION_LINK.match(text, end, min(limit, end + 320))
    if word in HEADINGS and not _HEADING_START.search(text, max(0, begin - 24), begin):
        return None
    if word in _CORRECTIONS:
        return _CORRECTION_LINK.match(text, end, limit)
    if word[-1] in ":填":
        return _EMPTY_LINK.match(text, end)
    if word == "答案":
        return _CHINESE_LINK.match(text, end, min(limit, end + 60))
    return _non_english_link_pattern(LANGUAGE_BY_NOUN[word].link).match(text, end, min(limit, end + 60))


@cache
def _non_english_link_pattern(link: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?:\s+(?:correctas?|correctes?|corrett[ae]|corretas?|exactas?|exactes?|exatas?|esatt[ae]|giust[ae]|justes?|certas?|finale?|definitiva))?(?:\s*\([^()\n]{{0,40}}\))?(?:(?P<verb>{link})(?:\s*(?P<colon>[:：]))?|{_SIGN}|(?P<line>{_FORMATTING}[^\S\n]*\n)|】|[^\S\n]+(?=[*_(]{{0,3}}[A-Z\d]\w{{0,3}}[*_)]{{0,3}}[.。]?\s*(?:\n|$)))",
        re.IGNORECASE,
    )


def _parse_box(text: str, begin: int, limit: int) -> Statement | None:
    window = text[begin : min(limit, begin + MAX_STATEMENT_CHARS + 200)]
    spans = boxes(window)
    if spans and spans[0][0] == 0:
        _, box_end, content = spans[0]
        if not content.strip() and _BEFORE_ANSWER.search(text, max(0, begin - 24), begin):
            return Statement("box", begin, begin + len(INCOMPLETE_BOX[0]))
        content_end = begin + (box_end - 1 if window[box_end - 1] == "}" else box_end)
        mood = statement_mood.mood(text, begin, begin + box_end)
        return Statement("box", content_end - len(content), content_end, mood)
    opening = window.find("{", 0, 12)
    if opening < 0:
        return None
    formula_end = _FORMULA_END.search(window, opening)
    if formula_end is None:
        return Statement("box", begin, min(len(text), begin + len(INCOMPLETE_BOX[0])))
    end = begin + formula_end.start()
    return Statement("box", begin + opening + 1, end, statement_mood.mood(text, begin, end))


def _parse_tag(text: str, tag_begin: int, begin: int, limit: int) -> Statement | None:
    end_limit = min(limit, begin + MAX_STATEMENT_CHARS)
    close = _TAG_CLOSE.search(text, begin, end_limit)
    if close is None:
        newline = text.find("\n", begin, end_limit)
        end = newline if newline >= 0 else end_limit
        if not text[begin:end].strip() and _UNCLOSED_TAG.search(text, max(0, begin - 200), tag_begin):
            return None  # an opening tag that is meant as the closing one
        return Statement("tag", begin, end, statement_mood.mood(text, tag_begin, begin))
    if close.start() == begin:
        return None
    return Statement("tag", begin, close.start(), statement_mood.mood(text, tag_begin, close.end()))


def statement_after_link(text: str, noun_begin: int, link: re.Match[str], limit: int) -> Statement | None:
    """Return the statement after a noun such as "answer" and the link between them; None if nothing is stated there."""
    groups = link.groupdict()
    begin = link.end()
    stop = min(limit, begin + MAX_STATEMENT_CHARS)
    is_sentence = groups.get("verb") is not None and groups.get("colon") is None
    if is_sentence:
        begin = next((i for i in range(begin, min(stop, begin + 40)) if not text[i].isspace()), begin)
        sentence_end = _SENTENCE_END.search(text, begin, stop)
        end = sentence_end.start() if sentence_end else stop
        list_limit = min(limit, end + MAX_STATEMENT_CHARS)
    else:
        begin, end = _line_extent(text, begin, stop)
        if _UNFINISHED_LINE.search(text, max(begin, end - 40), end):
            begin, end = _line_extent(text, end, stop)
        list_limit = stop
    if _begins_option_list(text, link.end() - 1, begin, list_limit):
        return None
    if not is_sentence and "\n" in text[link.end() - 1 : begin]:
        end = _items_end(text, begin, end, stop)
    if end <= begin:
        return None
    if is_sentence and (
        NEGATED_ANSWER.match(text, begin, end)
        or _LEAST_LIKELY.search(text, max(0, noun_begin - 24), noun_begin)
    ):
        return Statement("sentence", begin, end, "negated")
    if statement_mood.is_conditional_answer(text, begin, end, noun_begin=noun_begin, link=link[0]):
        return Statement("sentence" if is_sentence else "line", begin, end, "conditional")
    mood = statement_mood.mood(text, noun_begin, end if is_sentence else begin, link=link[0])
    return Statement("sentence" if is_sentence else "line", begin, end, mood)


def _begins_option_list(text: str, link_end: int, begin: int, stop: int) -> bool:
    """Return whether the next line begins a list of all options instead of a choice among them."""
    if "\n" not in text[link_end:begin] or (label := LABELLED_LINE.match(text, begin)) is None:
        return False
    newline = text.find("\n", begin, stop)
    following = LABELLED_LINE.match(text, newline, stop) if newline >= 0 else None
    return following is not None and ord(following[2].upper()) == ord(label[2].upper()) + 1


def _items_end(text: str, begin: int, end: int, stop: int) -> int:
    """Return the end of a list of labelled lines that begins at an answer line."""
    while LABELLED_LINE.match(text, begin, end) and end < stop:
        begin, following = end + 1, text.find("\n", end + 1, stop)
        following = stop if following < 0 else following
        if LABELLED_LINE.match(text, begin, following) is None:
            break
        end = following
    return end


def _line_extent(text: str, begin: int, stop: int) -> tuple[int, int]:
    """Return the extent of the rest of the line, the next line with content, or the formula or code block that it opens."""
    while begin < stop and (
        text[begin].isspace() or text[begin] in "*_" or text.startswith("\n> ", begin - 1)
    ):
        begin += 1
    end = text.find("\n", begin, stop)
    if end >= 0 and not text[begin:end].strip("=-~ "):  # the underline of a heading
        begin, end = end + 1, text.find("\n", end + 1, stop)
    end = stop if end < 0 else end
    opening = text[begin:end].strip()
    if opening.startswith("```") and opening[3:].isalpha():
        opening = "```"
    if (closing := _DISPLAY_DELIMITERS.get(opening)) is not None:
        close = text.find(closing, end, stop)
        return (begin + len(text[begin:end].strip()), close) if close >= 0 else (begin, end)
    return begin, end
