"""Multiple choice with several right options: the set of stated options must be the set of right ones.

Letters are read as shown to the model and translated by the prompt's own key. No partial credit; precision,
recall, F1 and the Hamming distance of the two sets stand beside the score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from msgspec import Struct

from evals import extract
from evals.extract.smiles import looks_like_smiles
from evals.scorers.choice import silence
from evals.scorers.formula import counts
from evals.types import Prompt, Reply, Sample, Score

OptionsReader = Callable[[str, Sequence[str]], tuple[str, ...] | None]
"""(reply, options as shown from A on) -> letters as shown, in the order stated; None: nothing was stated."""

LONGEST = 100_000
"""Characters of a reply that are read, from its end."""
_LETTERS = re.compile(r"[(\[]?[A-Z][)\]]?(?:(?:\s*+(?:[,;/&+、和]|\band\b)\s*+|\s++)[(\[]?[A-Z][)\]]?)*[.:]?")
_ITEM = re.compile(r"(?:^|(?<=[\s,;，；、]))[(\[*]{0,3}([A-Z])\s?[.:)\]：]+\*{0,2}\s*(?=\S)")
"""An option's letter with its mark, its text behind it."""
_MARKUP = re.compile(
    r"\[(?:START|END)_\w+\]|\\(?:ce|pu|text|mathrm|mathbf|textbf|rm)\b|\\[,;! ()]|[${}^_*`'\"\s]"
)
_PARTS = re.compile(r"[;\n、和]|,(?=\s)|\band\b")


def options_stated(text: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    """Read the options of the stated answer (tag, box, "answer is"): letters, with or without their texts, or the texts."""
    text = text[-LONGEST:]
    region = extract.stated(text)
    if region is not None and (found := _in_statement(region, shown)) is not None:
        return found
    if region is not None and _chemistry(region):
        return None
    return extract.letters(text, len(shown))


def _in_statement(region: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    return _letters(region) or _by_text(region, shown) or _items(region, shown)


def _letters(region: str) -> tuple[str, ...] | None:
    """Read "A", "(A)", "A, C", "A and C"; None: this is no list of letters."""
    bare = (
        re.sub(r"\\(?:text|mathrm|mathbf|textbf|boxed)\s?\{([^{}]*)\}", r"\1", region)
        .strip()
        .strip("*`$ \n")
        .strip()
    )
    bare = re.sub(r"^(?:options?|choices?|letters?|选项)\s*[:：]?\s*", "", bare, flags=re.IGNORECASE)
    if _LETTERS.fullmatch(bare):
        return tuple(dict.fromkeys(re.findall("[A-Z]", bare)))
    return None


def _items(region: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    """Read "A. 1-butanol, C. 2-butanol" and the same on lines; what stands behind a letter must not be another option."""
    marks = [mark for mark in _ITEM.finditer(region) if ord(mark[1]) - ord("A") < len(shown)]
    if not marks or region[: marks[0].start()].strip(" \n*-•([0123456789.)"):
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(region)]
    others = [_bare(option) for option in shown]
    found: list[str] = []
    for mark, end in zip(marks, ends, strict=True):
        said, own = _bare(region[mark.end() : end]).strip(",;"), others[ord(mark[1]) - ord("A")]
        if said in others and said != own:
            return None
        if not found or said.startswith(own) or own.startswith(said) or region[: mark.start()].endswith("\n"):
            found.append(mark[1])
    return tuple(dict.fromkeys(found))


def _by_text(region: str, shown: Sequence[str]) -> tuple[str, ...] | None:
    """Read options that are spelled out; None where a piece is none, or is the text of two."""
    texts = [_bare(option) for option in shown]
    whole = re.sub(r"\s+[(（][^()（）]*[)）]\s*$", "", region.strip())
    for pieces in ([region], [whole], _PARTS.split(region), region.split(",")):
        wanted = [piece for piece in map(_bare, pieces) if piece]
        if wanted and all(texts.count(piece) == 1 for piece in wanted):
            return tuple(dict.fromkeys(chr(ord("A") + texts.index(piece)) for piece in wanted))
    return None


def _chemistry(region: str) -> bool:
    """Whether a statement is a formula or SMILES, which is no letter though it begins with one."""
    bare = unicodedata.normalize("NFKC", region.strip().strip("*`$")).split(" ")[0].rstrip(".,;")
    return len(bare) > 1 and (counts(bare) is not None or looks_like_smiles(bare))


def _bare(text: str) -> str:
    return _MARKUP.sub("", unicodedata.normalize("NFKC", text)).casefold().rstrip(".,;")


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
