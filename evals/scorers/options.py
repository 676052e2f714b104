"""Score multiple-choice questions with several right options: the stated options must be exactly the right ones.

The stated letters refer to the options as shown to the model and are converted to the data set's order. There is no partial
credit. The parts of the score are precision, recall, F1, and the Hamming distance of the two sets divided by the number of
right options.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from evals.extract.choices import letters_by_layout
from evals.extract.formatting import half_width, shortened_answers
from evals.extract.option_cues import CUES
from evals.extract.option_letters import parse_letters
from evals.extract.option_text import EMPHASISED_START, Options
from evals.extract.option_verdicts import option_verdicts
from evals.extract.reading import REJECTED, Reading, read_answer, read_layout
from evals.extract.smiles import looks_like_smiles
from evals.extract.statement_mood import mood
from evals.extract.statements import Form
from evals.extract.visible import visible
from evals.scorers.formula import element_counts
from evals.scorers.outcomes import binary_score, no_answer, no_stated_answer, with_reading
from evals.types import Prompt, Reply, Sample, Score

OptionsReader = Callable[[str, Sequence[str]], tuple[str, ...] | None]
"""(reply, options as shown) -> letters as shown, in the order stated; None if none is stated."""

_LETTERS = re.compile(
    r"[(\[]?[A-Z][)\]]?(?:(?:\s*+(?:[,;/&+、和]|\band\b)\s*+|\s++|(?<=[)\]])(?=[(\[]))[(\[]?[A-Z][)\]]?)*[.:]?"
)
_LOWER_CASE_LETTERS = re.compile(
    r"[(\[]?[a-z][)\]]?(?:\s*+(?:,\s*+(?:and\b)?|[;/&+、和]|\band\b)\s*+[(\[]?[a-z][)\]]?)+[.:]?"
)
"""Two or more letters in lower case; a single one may be a word."""
_ITEM_LETTER = re.compile(r"(?:^|(?<=[\s,;，；、]))[(\[*]{0,3}([A-Z])\*{0,2}\s?[.:)\]：]+\*{0,2}\s*(?=\S)")
"""An option's letter with punctuation, followed by its text."""
_LETTER_WITH_TEXT = re.compile(r"(?<![A-Za-z])([A-Z])\s*[(（]([^()（）\n]{2,200})[)）]")
"""An option's text in brackets after its letter."""
_MARKUP_OR_SPACE = re.compile(
    r"\[(?:START|END)_\w+\]|\\(?:ce|pu|text|mathrm|mathbf|textbf|rm)\b|\\[,;! ()]|[${}^_*`'\"\s]"
)
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed)\s?\{([^{}]*)\}")
_LEADING_NOUN = re.compile(r"^(?:options?|choices?|letters?|选项)\s*[:：]?\s*", re.IGNORECASE)
_INTRODUCTION = re.compile(r"^\s*(?:all|both|each|only|the\s+following)\b[^:\n.]{0,60}:\s*", re.IGNORECASE)
_QUOTED_LETTER = re.compile(r"[\"']([A-Z])[\"']")
_TEXT_THEN_LETTER = re.compile(r"(?P<text>.{1,200}?)\s*\((?P<letter>[A-Z])\)")
_LETTER_THEN_TEXT = re.compile(r"\(?(?P<letter>[A-Z])[.):]{1,2}\s*(?P<text>.{1,200})")
_BEFORE_TEXTS = re.compile(
    r"^(?:(?!\b(?:not|no|never|neither|wrong|incorrect|false|other|remaining|if)\b|n['’]t)[^.;:\n]){0,160}?\b(?:are|is)\s*:?\s+(?=\S)",
    re.IGNORECASE,
)
"""The subject and verb before the texts of options, as in "the compounds that form hydrogen bonds are"."""
_LIST_SEPARATOR = re.compile(r"[;\n、和]|,(?=\s)|\band\b")
_FURTHER_LETTER = re.compile(r"\W{0,4}(?:and|also|plus|as\s+well\s+as)\b[^.\n]{0,12}\b[A-Z]\b")
_ALTERNATIVES = re.compile(
    r"(?<![A-Za-z])[A-Z][)\]*}]*\s*(?:,\s*)?(?:(?:\band\s?/\s?)?\bor\b|或)\s*(?:option\s+)?[(\[*{]*[A-Z](?![A-Za-z])",
    re.IGNORECASE,
)
"""Two options joined by "or"."""
_CONTRAST = re.compile(r"[,;]\s*(?:(?:but|and)\s+)?not\b")
_LIST = r"(?P<list>[*_(]*[A-Z][)*_]*(?:(?:,\s*(?:and\s+)?|\s+and\s+|\s*&\s*)[*_(]*[A-Z][)*_]*)+)(?![A-Za-z])"
_CLOSING_LIST = re.compile(
    r"(?:^|(?<=[.!?:;]\s)|(?<=\n))(?:(?:[Ss]o|[Tt]hus|[Hh]ence|[Tt]herefore|[Aa]ccordingly|[Tt]hat is|[Nn]amely|i\.e\.),?\s+)?"
    r"(?:(?P<only>[Oo]nly)\s+|(?:[Bb]oth|[Ss]tatements|[Oo]ptions)\s+|(?:[Tt]he\s+|[Tt]hese\s+|[Tt]hose\s+)?(?:(?!\b(?:wrong|incorrect|false|other|remaining|not|available|possible|given)\b)[\w/-]+\s+){0,6}?(?:is|are|must\s+be)\s*:?\s+)?"
    + _LIST
    + r"(?(only)(?:\s+(?:contain|have|fit|work|satisfy|show|meet|match|qualify|hold|remain|apply|can|do)\b(?!\s+not\b|n)[^.\n]{0,80})?|(?:\s+are\s+(?:the\s+(?:ones|answers?)|right|correct|true|what\s+remains))?)[*_]*\.?$"
)
"""As in "Hence A and C.", "the right ones are A and C" or "only A and C contain an OH group", at the end of a reply."""
_MAX_CLOSING_CHARS = 240
_MAX_ANSWER_CHARS = 60
"""Maximum length of a tag, line or JSON value that is rejected, rather than skipped, if it names no option."""


def options_stated(text: str, options: Sequence[str], *, truncated: bool = False) -> Reading | None:
    """Read the options that the reply states, by letters, by letters with their texts, or by texts only.

    The value is a tuple of letters as shown, in the order stated. Options joined by "or" are not an answer.
    """
    parser = _Parser(options)
    reading = read_answer(half_width(text), parser, cues=CUES, use_layout=False, truncated=truncated)
    if reading is None and not parser.has_rejected and not truncated:
        reading = (
            _read_option_verdicts(text, len(options))
            or read_layout(text, parser.parse_layout)
            or _read_closing_list(text, len(options))
            or letters_by_layout(text, options)
        )
    if reading is None or not reading.value:
        return None
    if reading.form in ("box", "tag") and len(reading.value) == 1:
        reading = _with_earlier_letters(half_width(text), reading)
    contrast = _CONTRAST.search(text, reading.begin, reading.end)
    if _ALTERNATIVES.search(half_width(text), reading.begin, contrast.start() if contrast else reading.end):
        return None
    return reading._replace(value=tuple(dict.fromkeys(reading.value)))


_OPENING = r"(?:\$*\\boxed\{|\[ANSWER\]|<answer>)\s*(?:\\text\{)?[*_(]*"
_CLOSING = r"[)*_]*\}?\s*(?:\}\$*|\[/ANSWER\]|</answer>)"
_EARLIER_LETTERS = re.compile(
    rf"(?P<letters>(?:{_OPENING}[A-Z]{_CLOSING}\s*(?:,|;|&|、|和|\band\b|,\s*and\b)?\s*)+){_OPENING}$",
    re.IGNORECASE,
)
_LETTER_IN_BOX = re.compile(rf"{_OPENING}([A-Z])(?={_CLOSING})", re.IGNORECASE)


def _with_earlier_letters(text: str, reading: Reading) -> Reading:
    r"""Return the reading of the last of several adjacent boxes or tags, as in `\boxed{A} and \boxed{C}`, with the letters of all."""
    earlier = _EARLIER_LETTERS.search(text, max(0, reading.begin - 200), reading.begin)
    if earlier is None:
        return reading
    letters = tuple(letter.upper() for letter in _LETTER_IN_BOX.findall(earlier["letters"]))
    return reading._replace(value=(*letters, *reading.value), begin=earlier.start())


def _read_option_verdicts(text: str, option_count: int) -> Reading | None:
    """Read a reply that calls every option right or wrong; the value contains the letters of the right ones."""
    visible_text, truncated = visible(half_width(text))
    verdicts = [] if truncated else option_verdicts(visible_text, option_count)
    letters = tuple(verdict.letter for verdict in verdicts if verdict.is_correct)
    if len(verdicts) < option_count or not letters:
        return None
    return Reading(letters, "mark", verdicts[0].position, verdicts[-1].position + 1)


def _read_closing_list(text: str, option_count: int) -> Reading | None:
    """Read the letters in the last sentence: "The options are A and C.", "Hence A and C.", "Only A and C contain OH."."""
    visible_text, truncated = visible(half_width(text))
    end = len(visible_text.rstrip())
    closing = None if truncated else _CLOSING_LIST.search(visible_text, max(0, end - _MAX_CLOSING_CHARS), end)
    if closing is None:
        return None
    letters = re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", closing["list"])
    is_every_option = len(set(letters)) == option_count and not closing["only"]
    if is_every_option or max(letters) >= chr(ord("A") + option_count):
        return None
    is_asserted = mood(visible_text, *closing.span("list")) == "asserted"
    return Reading(tuple(letters), "prose", *closing.span("list")) if is_asserted else None


class _Parser:
    """Parses a statement: a list of letters, texts of options, or letters with their texts."""

    def __init__(self, options: Sequence[str]) -> None:
        self._texts = [_normalise(option) for option in options]
        self._options = Options(options)
        self.has_rejected = False

    def __call__(self, content: str, form: Form) -> Any:
        """Return the letters; REJECTED if the answer is not an option, None if there is no answer."""
        letters = self._parse(_LETTER_WITH_TEXT.sub(self._without_own_text, content), form)
        self.has_rejected = self.has_rejected or letters is REJECTED
        return letters

    def parse_layout(self, content: str, form: Form) -> Any:
        """Read letters or option texts in a whole reply or its last line, and only option texts in any other layout."""
        if form not in ("whole", "last line"):
            return _parse_texts(content, self._texts)
        return (
            _parse_texts(content, self._texts)
            or _parse_letters(content)
            or (form == "whole" and self._parse_run(content, form))
            or _parse_lower_case(content, len(self._texts))
            or self._parse_labelled_texts(content)
        )

    def _parse(self, content: str, form: Form) -> Any:
        letters = (
            _parse_letters(content)
            or _parse_texts(content, self._texts)
            or _parse_lower_case(content, len(self._texts))
            or self._parse_run(content, form)
        )
        if letters:
            return letters
        if (items := _parse_items(content, self._texts)) is not None:
            return items or REJECTED
        for head in shortened_answers(content):
            if letters := _parse_letters(head) or _parse_texts(head, self._texts):
                remainder = content[content.find(head) + len(head) :] if head in content else ""
                return REJECTED if _FURTHER_LETTER.match(remainder) else letters
        if letter := self._options.letter_of_text(content):
            return (letter,)
        if _is_chemical(content):
            return REJECTED
        stated, _, _ = parse_letters(content, 0, len(content), allow_unmarked=True, allow_run=True)
        if stated:
            return tuple(stated)
        is_short = 0 < len(content.strip()) <= _MAX_ANSWER_CHARS and "\n" not in content.strip()
        return REJECTED if form in ("tag", "line", "json") and is_short else None

    def _parse_labelled_texts(self, content: str) -> tuple[str, ...] | None:
        """Return the letters of "A. 1-butanol and C. 2-butanol" or "... are 1-butanol (A) and 2-butanol (C)"; None for every option."""
        content = _BEFORE_TEXTS.sub("", content)
        parts = [part.strip(" *_.,;") for part in re.split(r"\*{0,2}(?:,\s|;|\band\b)\*{0,2}", content)]
        letters = []
        for part in filter(None, parts):
            labelled = _TEXT_THEN_LETTER.fullmatch(part) or _LETTER_THEN_TEXT.fullmatch(part)
            index = ord(labelled["letter"]) - ord("A") if labelled else -1
            if (
                labelled is None
                or index >= len(self._texts)
                or _normalise(labelled["text"]) != self._texts[index]
            ):
                return None
            letters.append(labelled["letter"])
        return tuple(dict.fromkeys(letters)) if 1 < len(letters) < len(self._texts) else None

    def _parse_run(self, content: str, form: Form) -> tuple[str, ...] | None:
        """Return letters without separators: in any order in a box or tag, elsewhere in alphabetical order."""
        letters = _parse_letter_run(content, len(self._texts))
        return letters if letters and (form in ("box", "tag") or list(letters) == sorted(letters)) else None

    def _without_own_text(self, match: re.Match[str]) -> str:
        """Return the letter without the text in brackets if it is (part of) the option's text, else the match unchanged."""
        index, text = ord(match[1]) - ord("A"), _normalise(match[2])
        is_own_text = index < len(self._texts) and text in self._texts[index]
        return match[1] if is_own_text else match[0]


def _parse_letters(statement: str) -> tuple[str, ...] | None:
    """Return the letters of "A", "(A)", "A and C", `"A", "C"`, a list with one per line, or "All alcohols: A, C"; else None."""
    statement = _INTRODUCTION.sub("", statement)
    normalised = (
        _TEXT_COMMAND.sub(r"\1", _QUOTED_LETTER.sub(r"\1", statement)).strip().strip("*`$ \n").strip()
    )
    normalised = re.sub(r"(?m)^\s*(?:[-*•]|\d[.)])\s+", "", _LEADING_NOUN.sub("", normalised)).replace(
        "**", ""
    )
    if _LETTERS.fullmatch(normalised):
        return tuple(dict.fromkeys(re.findall("[A-Z]", normalised)))
    return None


def _parse_letter_run(statement: str, option_count: int) -> tuple[str, ...] | None:
    """Return distinct letters without separators, as in "CA"; else None."""
    letters = _TEXT_COMMAND.sub(r"\1", statement).strip("*`$ \n")
    are_options = all("A" <= letter < chr(ord("A") + option_count) for letter in letters)
    return tuple(letters) if 1 < len(letters) == len(set(letters)) and are_options else None


def _parse_lower_case(statement: str, option_count: int) -> tuple[str, ...] | None:
    """Return the letters of a lower-case list, as in "a, c" or "(a) and (c)", in upper case; else None."""
    normalised = statement.strip().strip("*`$ \n").strip()
    letters = re.findall(r"\b[a-z]\b", normalised) if _LOWER_CASE_LETTERS.fullmatch(normalised) else []
    if not letters or max(letters) >= chr(ord("a") + option_count):
        return None
    return tuple(dict.fromkeys(letter.upper() for letter in letters))


def _parse_items(statement: str, texts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the letters of a list such as "A. 1-butanol, C. 2-butanol"; else None.

    The result is empty if a letter is followed by another option's text.
    """
    items = [item for item in _ITEM_LETTER.finditer(statement) if ord(item[1]) - ord("A") < len(texts)]
    if not items or statement[: items[0].start()].strip(" \n*-•([0123456789.)"):
        return None
    ends = [*(item.start() for item in items[1:]), len(statement)]
    letters: list[str] = []
    for item, end in zip(items, ends, strict=True):
        stated = _normalise(statement[item.end() : end].rstrip(" -*•\n")).strip(",;")
        own_text = texts[ord(item[1]) - ord("A")]
        if stated in texts and stated != own_text:
            return ()
        begins_line = statement[: item.start()].rstrip(" -*•").endswith("\n")
        if not letters or stated.startswith(own_text) or own_text.startswith(stated) or begins_line:
            letters.append(item[1])
    return tuple(dict.fromkeys(letters))


def _parse_texts(statement: str, texts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the letters of options stated by their texts; None unless each text equals that of exactly one option."""
    without_brackets = re.sub(r"\s+[(（][^()（）]*[)）]\s*$", "", statement.strip())
    emphasised = EMPHASISED_START.match(statement)
    for parts in (
        [statement],
        [without_brackets],
        _LIST_SEPARATOR.split(statement),
        statement.split(","),
        [emphasised["answer"] if emphasised else ""],
    ):
        stated = [text for text in map(_normalise, parts) if text]
        if stated and all(texts.count(text) == 1 for text in stated):
            return tuple(dict.fromkeys(chr(ord("A") + texts.index(text)) for text in stated))
    return None


def _is_chemical(statement: str) -> bool:
    """Return whether a statement is a formula or SMILES, which may begin with an option's letter."""
    normalised = unicodedata.normalize("NFKC", statement.strip().strip("*`$")).split(" ")[0].rstrip(".,;")
    return len(normalised) > 1 and (element_counts(normalised) is not None or looks_like_smiles(normalised))


def _normalise(text: str) -> str:
    return _MARKUP_OR_SPACE.sub("", unicodedata.normalize("NFKC", text)).casefold().rstrip(".,;")


class OptionSet(Struct, frozen=True):
    """Scores 1 if exactly the right options are read by an upstream rule, else 0."""

    read: OptionsReader

    def __repr__(self) -> str:
        return f"OptionSet({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the target is a letter or a tuple of letters in the data set's order."""
        letters = None if reply.stop == "filter" else self.read(reply.text, prompt.as_shown(sample).choices)
        if letters is None:
            return no_answer(reply, "no option stated")
        return score_options(sample, prompt, letters)


class StatedOptions(Struct, frozen=True):
    """Scores 1 if exactly the right options are stated, by letters or by texts: the rule of the protocol `strict`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the target is a letter or a tuple of letters in the data set's order."""
        options, truncated = prompt.as_shown(sample).choices, reply.stop == "length"
        reading = None if reply.stop == "filter" else options_stated(reply.text, options, truncated=truncated)
        if reading is None:
            return no_stated_answer(reply, "no option stated")
        return with_reading(reading, score_options(sample, prompt, reading.value))


def score_options(sample: Sample, prompt: Prompt, letters: Iterable[str]) -> Score:
    """Score the set of shown letters; letters beyond the options are extra, or make the answer invalid if there are no others."""
    letters, count = list(letters), len(sample.choices)
    not_offered = sorted({letter for letter in letters if not 0 <= ord(letter) - ord("A") < count})
    source_letters = (prompt.source_letter(letter) for letter in letters if letter not in not_offered)
    stated = {letter for letter in source_letters if letter}
    if not stated:
        why = "no stated letter is an option"
        return Score(value=0.0, verdict="invalid", answer=",".join(letters), why=why)
    right = set(sample.targets)
    hits = len(stated & right)
    missed, extra = sorted(right - stated), sorted(stated - right) + not_offered
    parts = {
        "precision": hits / (hits + len(extra)),
        "recall": hits / len(right),
        "f1": 2 * hits / (hits + len(extra) + len(right)),
        "hamming": (len(missed) + len(extra)) / len(right),
    }
    differences = (("misses", missed), ("adds", extra))
    why = "; ".join(f"{verb} {', '.join(options)}" for verb, options in differences if options)
    return binary_score(right=not why, answer=",".join(sorted(stated)), why=why, parts=parts)
