"""Multiple choice with several right options: the set of stated options must be the set of right ones.

Letters are read as shown to the model and translated by the prompt's own key. No partial credit; precision,
recall, F1 and the Hamming distance of the two sets are recorded beside the score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from evals.extract.choices import option_letters
from evals.extract.judged import verdicts
from evals.extract.option_cues import CUES
from evals.extract.option_letters import listed
from evals.extract.peel import half_width, heads
from evals.extract.reading import REFUSED, Reading, by_shape, read
from evals.extract.smiles import looks_like_smiles
from evals.extract.statements import Form
from evals.extract.visible import visible
from evals.scorers.choice import unanswered, unanswered_verdict, with_reading
from evals.scorers.formula import counts
from evals.types import Prompt, Reply, Sample, Score

OptionsReader = Callable[[str, Sequence[str]], tuple[str, ...] | None]
"""(reply, options as shown from A on) -> letters as shown, in the order stated; None: nothing was stated."""

_LETTERS = re.compile(r"[(\[]?[A-Z][)\]]?(?:(?:\s*+(?:[,;/&+、和]|\band\b)\s*+|\s++)[(\[]?[A-Z][)\]]?)*[.:]?")
_SMALL = re.compile(
    r"[(\[]?[a-z][)\]]?(?:\s*+(?:,\s*+(?:and\b)?|[;/&+、和]|\band\b)\s*+[(\[]?[a-z][)\]]?)+[.:]?"
)
"""Two letters or more in lower case; a single one may be a word."""
_ITEM = re.compile(r"(?:^|(?<=[\s,;，；、]))[(\[*]{0,3}([A-Z])\s?[.:)\]：]+\*{0,2}\s*(?=\S)")
"""An option's letter with its mark, followed by its text."""
_GLOSS = re.compile(r"(?<![A-Za-z])([A-Z])\s*[(（]([^()（）\n]{2,200})[)）]")
"""An option's text in brackets after its letter."""
_MARKUP = re.compile(
    r"\[(?:START|END)_\w+\]|\\(?:ce|pu|text|mathrm|mathbf|textbf|rm)\b|\\[,;! ()]|[${}^_*`'\"\s]"
)
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed)\s?\{([^{}]*)\}")
_NOUN = re.compile(r"^(?:options?|choices?|letters?|选项)\s*[:：]?\s*", re.IGNORECASE)
_ALL = re.compile(r"^\s*(?:all|both|each|only|the\s+following)\b[^:\n.]{0,60}:\s*", re.IGNORECASE)
_QUOTED = re.compile(r"[\"']([A-Z])[\"']")
_PARTS = re.compile(r"[;\n、和]|,(?=\s)|\band\b")
_MORE = re.compile(r"\W{0,4}(?:and|also|plus|as\s+well\s+as)\b[^.\n]{0,12}\b[A-Z]\b")
_OR = re.compile(
    r"(?<![A-Za-z])[A-Z][)\]*}]*\s*(?:,\s*)?(?:\bor\b|或)\s*(?:option\s+)?[(\[*{]*[A-Z](?![A-Za-z])",
    re.IGNORECASE,
)
"""Two options of which one is meant."""
_TALK = 60
"""Length limit: a longer answer line that names no option is ignored."""


def options_stated(text: str, shown: Sequence[str], *, truncated: bool = False) -> Reading | None:
    """Read the options that the reply states, by letters, by letters with their texts, or by texts only.

    The value is a tuple of letters as shown, in the order stated. `truncated`: the reply was cut off at its end.
    """
    parser = _Parser(shown)
    reading = read(half_width(text), parser, cues=CUES, shaped=False, truncated=truncated)
    if reading is None and not parser.refused and not truncated:
        reading = _judged(text, len(shown)) or by_shape(text, parser.bare) or option_letters(text, len(shown))
    if reading is None or not reading.value or _OR.search(half_width(text), reading.begin, reading.end):
        return None
    return reading._replace(value=tuple(dict.fromkeys(reading.value)))


def _judged(text: str, count: int) -> Reading | None:
    """Read a reply that judges every option: those that it calls right."""
    shown, unclosed = visible(half_width(text))
    judged = [] if unclosed else verdicts(shown, count)
    if len(judged) < count or not any(one.true for one in judged):
        return None
    letters = tuple(one.letter for one in judged if one.true)
    return Reading(letters, "mark", judged[0].at, judged[-1].at + 1)


class _Parser:
    """Reads one statement: a list of letters, options spelled out, letters with their texts."""

    def __init__(self, shown: Sequence[str]) -> None:
        self._shown = shown
        self._texts = [_bare(option) for option in shown]
        self.refused = False

    def __call__(self, content: str, form: Form) -> Any:
        """Return the letters; REFUSED if an answer is stated that is not an option, None if nothing is."""
        outcome = self._parse(_GLOSS.sub(self._without_text, content), form)
        self.refused = self.refused or outcome is REFUSED
        return outcome

    def bare(self, content: str, form: Form) -> Any:
        """Return the letters of a reply that is, or ends with, nothing but letters or options' texts."""
        if form not in ("whole", "last line"):
            return _by_text(content, self._texts)
        return _by_text(content, self._texts) or _letters(content) or _small(content, len(self._shown))

    def _parse(self, content: str, form: Form) -> Any:
        letters = _letters(content) or _by_text(content, self._texts) or _small(content, len(self._shown))
        if letters is None and form in ("box", "tag"):
            letters = _run(content, len(self._shown))
        if letters is None and (letters := _items(content, self._texts)) is not None:
            return letters or REFUSED
        for head in heads(content) if letters is None else ():
            if (letters := _letters(head) or _by_text(head, self._texts)) is not None:
                rest = content[content.find(head) + len(head) :] if head in content else ""
                return REFUSED if _MORE.match(rest) else letters
        if letters is not None:
            return letters
        if _chemistry(content):
            return REFUSED
        stated, _, _ = listed(content, 0, len(content), strong=True, run=True)
        if stated:
            return tuple(stated)
        short = 0 < len(content.strip()) <= _TALK and "\n" not in content.strip()
        return REFUSED if form in ("tag", "line", "json") and short else None

    def _without_text(self, gloss: re.Match[str]) -> str:
        """Remove the option's own text in brackets after its letter."""
        place, text = ord(gloss[1]) - ord("A"), _bare(gloss[2])
        own = place < len(self._texts) and text in self._texts[place]
        return gloss[1] if own else gloss[0]


def _letters(region: str) -> tuple[str, ...] | None:
    """Read "A", "(A)", "A, C", "A and C", `"A", "C"`, one a line or not, "All alcohols: A, C"; None: no list of letters."""
    region = _ALL.sub("", region)
    bare = _WRAPPED.sub(r"\1", _QUOTED.sub(r"\1", region)).strip().strip("*`$ \n").strip()
    bare = re.sub(r"(?m)^\s*[-*•]\s+", "", _NOUN.sub("", bare)).replace("**", "")
    if _LETTERS.fullmatch(bare):
        return tuple(dict.fromkeys(re.findall("[A-Z]", bare)))
    return None


def _run(region: str, count: int) -> tuple[str, ...] | None:
    """Read "CA", letters in any order without anything between them; None: no such run of different options."""
    bare = _WRAPPED.sub(r"\1", region).strip("*`$ \n")
    known = all("A" <= letter < chr(ord("A") + count) for letter in bare)
    return tuple(bare) if 1 < len(bare) == len(set(bare)) and known else None


def _small(region: str, count: int) -> tuple[str, ...] | None:
    """Read "a, c" and "(a) and (c)"; None: no list of options' letters in lower case."""
    bare = region.strip().strip("*`$ \n").strip()
    letters = re.findall(r"\b[a-z]\b", bare) if _SMALL.fullmatch(bare) else []
    if not letters or max(letters) >= chr(ord("a") + count):
        return None
    return tuple(dict.fromkeys(letter.upper() for letter in letters))


def _items(region: str, texts: Sequence[str]) -> tuple[str, ...] | None:
    """Read "A. 1-butanol, C. 2-butanol" and the same on lines; empty if a letter is followed by another option's text."""
    marks = [mark for mark in _ITEM.finditer(region) if ord(mark[1]) - ord("A") < len(texts)]
    if not marks or region[: marks[0].start()].strip(" \n*-•([0123456789.)"):
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(region)]
    letters: list[str] = []
    for mark, end in zip(marks, ends, strict=True):
        stated = _bare(region[mark.end() : end].rstrip(" -*•\n")).strip(",;")
        own = texts[ord(mark[1]) - ord("A")]
        if stated in texts and stated != own:
            return ()
        begins_line = region[: mark.start()].rstrip(" -*•").endswith("\n")
        if not letters or stated.startswith(own) or own.startswith(stated) or begins_line:
            letters.append(mark[1])
    return tuple(dict.fromkeys(letters))


def _by_text(region: str, texts: Sequence[str]) -> tuple[str, ...] | None:
    """Read options that are spelled out; None if a piece is none, or is the text of two."""
    whole = re.sub(r"\s+[(（][^()（）]*[)）]\s*$", "", region.strip())
    for pieces in ([region], [whole], _PARTS.split(region), region.split(",")):
        wanted = [piece for piece in map(_bare, pieces) if piece]
        if wanted and all(texts.count(piece) == 1 for piece in wanted):
            return tuple(dict.fromkeys(chr(ord("A") + texts.index(piece)) for piece in wanted))
    return None


def _chemistry(region: str) -> bool:
    """Whether a statement is a formula or SMILES, which is not a letter though it begins with one."""
    bare = unicodedata.normalize("NFKC", region.strip().strip("*`$")).split(" ")[0].rstrip(".,;")
    return len(bare) > 1 and (counts(bare) is not None or looks_like_smiles(bare))


def _bare(text: str) -> str:
    return _MARKUP.sub("", unicodedata.normalize("NFKC", text)).casefold().rstrip(".,;")


class OptionSet(Struct, frozen=True):
    """Scores 1 if exactly the right options are read by an upstream rule, else 0."""

    read: OptionsReader

    def __repr__(self) -> str:
        return f"OptionSet({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; the target is a letter or a tuple of letters in the data set's order."""
        letters = None if reply.stop == "filter" else self.read(reply.text, prompt.as_shown(sample).choices)
        if letters is None:
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no option stated")
        return compare(sample, prompt, letters)


class StatedOptions(Struct, frozen=True):
    """Scores 1 if exactly the right options are stated, by letters or by their own texts: the rule of `strict`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; the target is a letter or a tuple of letters in the data set's order."""
        shown, truncated = prompt.as_shown(sample).choices, reply.stop == "length"
        reading = None if reply.stop == "filter" else options_stated(reply.text, shown, truncated=truncated)
        if reading is None:
            return unanswered(reply, "no option stated")
        return with_reading(reading, compare(sample, prompt, reading.value))


def compare(sample: Sample, prompt: Prompt, letters: Iterable[str]) -> Score:
    """Score the options of these letters, as shown, against the right ones; letters of no option are extra ones."""
    letters, count = list(letters), len(sample.choices)
    beyond = sorted({letter for letter in letters if not 0 <= ord(letter) - ord("A") < count})
    source = {prompt.source_letter(letter) for letter in letters if letter not in beyond}
    stated = {letter for letter in source if letter}
    if not stated:
        why = "states no option that is there"
        return Score(value=0.0, verdict="invalid", answer=",".join(letters), why=why)
    right = set(sample.target) if isinstance(sample.target, tuple) else {str(sample.target)}
    hits = len(stated & right)
    missed, extra = sorted(right - stated), sorted(stated - right) + beyond
    parts = {
        "precision": hits / (hits + len(extra)),
        "recall": hits / len(right),
        "f1": 2 * hits / (hits + len(extra) + len(right)),
        "hamming": (len(missed) + len(extra)) / len(right),
    }
    named = (("misses", missed), ("adds", extra))
    why = "; ".join(f"{verb} {', '.join(options)}" for verb, options in named if options)
    return Score(
        value=float(not why),
        verdict="wrong" if why else "right",
        answer=",".join(sorted(stated)),
        why=why,
        parts=parts,
    )
