"""Multiple choice with several right options: the set of stated options must be the set of right ones.

Letters are read as shown to the model and translated by the prompt's own key. No partial credit; precision,
recall, F1 and the Hamming distance of the two sets stand beside the score.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from evals import extract
from evals.scorers.choice import silence
from evals.types import Prompt, Reply, Sample, Score

OptionsReader = Callable[[str, Sequence[str]], tuple[str, ...] | None]
"""(reply, options as shown from A on) -> letters as shown, in the order stated; None: nothing was stated."""

LONGEST = 100_000
"""Characters of a reply that are read, from its end."""
_LETTERS = re.compile(r"[(\[]?[A-Z][)\]]?(?:(?:\s*+(?:[,;/&]|\band\b)\s*+|\s++)[(\[]?[A-Z][)\]]?)*[.:]?")
_BEGINS = re.compile(r"[(\[]?([A-Z])[)\]]?\s*[.:)]\s*(.+)", re.DOTALL)
_MARKUP = re.compile(r"\[(?:START|END)_\w+\]|\\(?:ce|pu|text|mathrm|mathbf|rm)\b|\\[,;! ]|[${}^_*`'\"\s]")


def options_stated(text: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    """Read the options of the stated answer (tag, box, "answer is"): letters, or the text of one option."""
    text = text[-LONGEST:]
    region = extract.stated(text)
    if region is not None and (found := _letters(region, len(shown)) or _by_text(region, shown)) is not None:
        return found
    return extract.letters(text, len(shown))


def _letters(region: str, count: int) -> tuple[str, ...] | None:
    """Read "A", "(A)", "A, C", "A and C", "B. sodium chloride"; None: this is no list of letters."""
    bare = region.strip().strip("*`$ \n").strip()
    if _LETTERS.fullmatch(bare):
        return tuple(dict.fromkeys(re.findall("[A-Z]", bare)))
    begins = _BEGINS.fullmatch(bare)
    return (begins[1],) if begins and ord(begins[1]) - ord("A") < count else None


def _by_text(region: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    """Read an option that is spelled out; None where none or several are."""
    wanted = _bare(region)
    same = [chr(ord("A") + i) for i, option in enumerate(shown) if wanted and _bare(option) == wanted]
    return tuple(same) if len(same) == 1 else None


def _bare(text: str) -> str:
    return _MARKUP.sub("", text).casefold().rstrip(".")


class OptionSet(Struct, frozen=True):
    """Scores 1 where exactly the right options are stated, else 0."""

    read: OptionsReader

    def __repr__(self) -> str:
        """Name the rule, so that a change of it shows in a run's card."""
        return f"OptionSet({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; the target is a letter or a tuple of letters in the data set's order."""
        shown = prompt.as_shown(sample).choices
        found = None if reply.stop == "filter" else self.read(reply.text, shown)
        if found is None:
            return Score(value=0.0, verdict=silence(reply), why="no option stated")
        letters = {prompt.source_letter(x) for x in found if ord(x) - ord("A") < len(shown)} - {None}
        stated = {letter for letter in letters if letter}
        if not stated:
            return Score(
                value=0.0, verdict="invalid", answer=",".join(found), why="states no option that is there"
            )
        right = set(sample.target) if isinstance(sample.target, tuple) else {str(sample.target)}
        return _compare(stated, right)


def _compare(stated: set[str], right: set[str]) -> Score:
    hits = len(stated & right)
    missed, extra = sorted(right - stated), sorted(stated - right)
    parts = {
        "precision": hits / len(stated),
        "recall": hits / len(right),
        "f1": 2 * hits / (len(stated) + len(right)),
        "hamming": (len(missed) + len(extra)) / len(right),
    }
    why = "; ".join(
        f"{what} {', '.join(some)}" for what, some in (("misses", missed), ("adds", extra)) if some
    )
    return Score(
        value=float(not why),
        verdict="wrong" if why else "right",
        answer=",".join(sorted(stated)),
        why=why,
        parts=parts,
    )
