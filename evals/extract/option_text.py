r"""An option named by its own text: "the ribosome", `\frac{27}{64}` for 27/64, "None of the above" where one says so.

>>> Options(["mitochondrion", "ribosome"]).named("the **ribosome**.")
'B'
"""

from __future__ import annotations

from collections.abc import Sequence

from evals.extract.later import later
from evals.extract.peel import heads, peel

_FRACTION = later(r"\\[dtc]?frac\s*\{([^{}]{1,80})\}\s*\{([^{}]{1,80})\}")
_SHORT_FRACTION = later(r"\\[dtc]?frac\s*(\d)\s*(\d)")
_MARKUP = later(
    r"\\(?:ce|pu|text|textbf|textrm|mathrm|mathbf|mathit|rm|left|right|displaystyle|mbox)(?![A-Za-z])|\\[,;:! ]|~|[${}^_*`'\"\s“”‘’]"
)
_ARTICLE = later(r"(?:the|a|an|option|choice|answer)\s+(?=\S)", 2)
_LABEL = later(r"[(\[]?([A-Z])[)\]]?\s*[.:)、．]\s*(?=\S)")
_NONE = later(r"(?:none|neither)\s+(?:of\s+)?(?:the|these|them|above)|以上(?:都|皆|均)(?:不|非)|none\b", 2)
_FIGURES = str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹₊₋⁺⁻", "01234567890123456789+-+-")
_HENCE = later(r"\b(?:so|hence|therefore|thus|i\.e\.|namely)\b[\s,:]*(?:it\s+is\s+|the\s+|is\s+)?$", 2)
_WORKED_OUT = later(
    r"(?:=|\bi\.e\.|\bthat\s+is|\bnamely)[\s,:]*(?P<result>[^=≈]{1,80}?)(?:\s*(?:≈|\\approx\b)[^=≈]{1,30})?\.?\s*$",
    2,
)
"""As in "(3/4)^3 = 27/64 ≈ 0.42"."""
_LONG = 4
"""Letters of an option that is read off the end of a sentence."""
LONGEST = 600


class Options:
    """The options as shown, ready to be compared with a statement's text."""

    def __init__(self, options: Sequence[str]) -> None:
        self._given = options
        self._longest = 2 * max(map(len, options), default=0) + 120
        self._none = [i for i, option in enumerate(options) if _NONE.match(option.strip())]
        self._numbers, self._unit = _without_common_unit(options)
        self._probes = [_probe(option) for option in self._numbers]
        self._texts: list[str] | None = None
        self._fold = True

    def named(self, stated: str) -> str | None:
        """Return the letter of the one option that a statement spells out; None: none, or several."""
        stated = stated[: self._longest]
        low = _squeezed(stated)
        if not any(probe in low for probe in self._probes):
            return None
        sides = list(heads(stated))
        if worked := _WORKED_OUT.search(stated):
            sides.append(worked["result"])
        return next((letter for side in sides if (letter := self.exactly(side))), None)

    def _prepared(self) -> list[str]:
        """Return the options' texts without layout, made when first needed."""
        if self._texts is None:
            exact = [normal(option) for option in self._numbers]
            self._unit = normal(self._unit).casefold()
            folded = [text.casefold() for text in exact]
            self._fold = len(set(folded)) == len(set(exact))
            self._texts = folded if self._fold else exact
        return self._texts

    def exactly(self, stated: str) -> str | None:
        """Return the letter of the option whose text this is."""
        texts, wanted = self._prepared(), normal(stated[:LONGEST])
        wanted = (wanted.casefold() if self._fold else wanted).removesuffix(self._unit)
        same = [i for i, text in enumerate(texts) if text == wanted] if wanted else []
        return chr(ord("A") + same[0]) if len(same) == 1 else None

    def ending(self, sentence: str) -> tuple[str, int] | None:
        """Return (letter, where its text begins) of the one option that a sentence ends with; None if it names another too."""
        low = sentence.casefold()
        texts = [option.strip().rstrip(".").casefold() for option in self._given]
        ends = [
            i
            for i, text in enumerate(texts)
            if len(text) >= _LONG and low.endswith(text) and not low[: -len(text)][-1:].isalnum()
        ]
        if not ends:
            return None
        place = max(ends, key=lambda i: len(texts[i]))
        begin = len(sentence) - len(texts[place])
        if any(len(text) >= _LONG and text in low[:begin] for text in texts) and not _HENCE.search(
            low, 0, begin
        ):
            return None
        return chr(ord("A") + place), begin

    def none_of_them(self) -> str | None:
        """Return the letter of the option that says that none fits."""
        return chr(ord("A") + self._none[0]) if len(self._none) == 1 else None


_UNIT = later(r"(?P<number>[-+−\d.,/×^{}()\s]*\d[-+\d.,/×^{}()]*)\s+(?P<unit>[A-Za-z°%µ][^\d\n]{0,30})")


def _without_common_unit(options: Sequence[str]) -> tuple[list[str], str]:
    """Drop a unit that every option ends with: "32" then names "32 degrees"."""
    found = [_UNIT.fullmatch(option.strip()) for option in options]
    units = {match["unit"].strip() for match in found if match}
    if len(units) == 1 and all(found):
        return [match["number"] for match in found if match], units.pop()
    return list(options), ""


_COMMAND = later(r"\\[a-z]+|\}\s*\{")
_LAYOUT = later(r"[\^_{}$]")
_RUN = later(r"[a-z0-9]+")


def _probe(option: str) -> str:
    """Return the longest word or number of an option, without which nothing can spell it out; empty: it has none."""
    return max(_RUN.findall(_squeezed(option)), key=len, default="")


def _squeezed(text: str) -> str:
    """Return small letters without LaTeX's commands and marks, so that a power stands behind its base."""
    return _LAYOUT.sub("", _COMMAND.sub(" ", _figures(text).casefold()))


def _figures(text: str) -> str:
    return text if text.isascii() else text.translate(_FIGURES)


def normal(text: str) -> str:
    """Return a text without layout: fractions with a slash, figures on the line, no blanks, no article."""
    text = _figures(peel(text))
    if found := _ARTICLE.match(text):
        text = text[found.end() :]
    if "\\" in text:
        text = _SHORT_FRACTION.sub(r"\1/\2", _FRACTION.sub(r"\1/\2", text))
    return _MARKUP.sub("", text).rstrip(".")


def labelled(text: str) -> tuple[str, str] | None:
    """Take "B. sodium chloride" apart: (letter, text); None: it does not begin so."""
    found = _LABEL.match(peel(text))
    return (found[1], peel(text)[found.end() :]) if found else None
